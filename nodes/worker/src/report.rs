//! What the load shards report: windows on their way up, iterations that move between shards, ends.
//!
//! A total (`-n`) is shared exactly: each shard has a static budget; one that has started all of its own asks, and
//! gets half of what the shard with the most has not yet started. Iterations only ever move, so the sum stands.

use std::time::Duration;

use hyperscale_codec::messages::{ArchivedStatsAck, StatsColumns, StatsSnapshot, StatsUpdate};
use hyperscale_codec::{Features, Head, JobId, NodeId, Sequence, ShardId};
use hyperscale_engine::orders::{Ended, Order, Report, ShareKey};
use hyperscale_reliability::{BackpressureLevel, Wanted};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source, build_all};

use crate::core::{Command, WorkerCore, WorkerEffects};
use crate::share::{STATISTICS, ShardPart, Share};

impl WorkerCore {
    pub(crate) fn on_report(&mut self, report: Report, effects: &mut WorkerEffects) {
        match report {
            Report::Ready { key, shard, result } => {
                if let Some(share) = self.shares.get_mut(&key) {
                    share.on_ready(shard, result, effects);
                }
            }
            Report::Window { key, shard, k_from, k_to, delta, .. } => {
                self.take(key, shard, k_from, k_to, &delta);
                effects.command(Command::Order { shard, order: Order::Recycle { key, cells: delta } });
                self.flush_if_complete(key, effects);
            }
            Report::Withdrawn { key, shard, until } => self.on_withdrawn(key, shard, until, effects),
            Report::NeedIterations { key, shard } => self.on_hungry(key, shard, effects),
            Report::Donated { key, shard, to, iterations } => {
                self.on_donated(key, shard, to, iterations, effects)
            }
            Report::Ended(ended) => self.on_ended(ended, effects),
        }
    }

    fn take(&mut self, key: ShareKey, shard: ShardId, from: u32, to: u32, delta: &CellSet) {
        let now = self.now;
        let Some(share) = self.shares.get_mut(&key) else { return };
        share.pending_from = Some(share.pending_from.map_or(from, |first| first.min(from)));
        share.pending_to = share.pending_to.max(to);
        share.pending_since.get_or_insert(now);
        let window = share.plan.window.as_secs_f32();
        if let Some(part) = share.part_mut(shard) {
            let windows = to.saturating_sub(from).saturating_add(1);
            let ended: u64 = delta.steps().iter().map(|step| step.count).sum();
            (part.told_at, part.units_per_s) = (Some(now), rate(ended, windows, window));
            part.total.advance(delta);
            part.pending.advance(delta);
            part.told_through = part.told_through.max(Some(to));
            part.dirty = true;
        }
    }

    /// Passes windows up when every running shard has told of the last one.
    fn flush_if_complete(&mut self, key: ShareKey, effects: &mut WorkerEffects) {
        let complete = self.shares.get(&key).is_some_and(|share| {
            let mut running = share.parts.iter().filter(|part| part.ended.is_none());
            running.all(|part| part.told_through >= Some(share.pending_to))
        });
        if complete {
            self.flush(key, effects);
        }
    }

    pub(crate) fn flush_late(&mut self, effects: &mut WorkerEffects) {
        let now = self.now;
        let late = self.shares.values().filter(|share| share.flush_deadline().is_some_and(|due| due <= now));
        let late: Vec<ShareKey> = late.map(|share| share.key).collect();
        late.into_iter().for_each(|key| self.flush(key, effects));
    }

    /// Sends what the share's manager takes at present; the rest merges on.
    fn flush(&mut self, key: ShareKey, effects: &mut WorkerEffects) {
        let (now, node) = (self.now, self.config.identity.node);
        let Some(share) = self.shares.get_mut(&key) else { return };
        share.pending_since = None;
        // Without a manager windows merge on, and cost nothing but resolution.
        if share.orphaned_since.is_some() {
            return;
        }
        let waiting = share.parts.iter().any(|part| part.dirty);
        let wanted = if share.is_over() {
            // The last total of all goes next, whatever the level.
            Wanted { windows: waiting && share.pace.takes_windows(), ..Wanted::default() }
        } else {
            share.pace.poll(now, share.pending_to, waiting)
        };
        let (link, level) = (share.link, share.pace.level());
        let windows =
            share.pending_to.saturating_sub(share.pending_from.unwrap_or(share.pending_to)).saturating_add(1);
        if wanted.windows {
            let features = self.links.get(&link).map(|link| link.common);
            let batched = features.is_some_and(|common| common.contains(Features::BATCHED_STATS));
            bump(share, |part| part.dirty);
            let messages = share.updates(node, batched);
            self.sent.count(level, messages.len(), windows);
            for columns in messages {
                effects.send(link, Head::request(STATISTICS).job(key.job), &StatsUpdate(columns));
            }
            share.forget_pending();
        }
        if wanted.snapshot {
            bump(share, |_| true);
            let messages = share.columns(node, true).build();
            self.sent.count(level, messages.len(), if wanted.windows { 1 } else { windows });
            for columns in messages {
                effects.send(link, Head::request(STATISTICS).job(key.job), &StatsSnapshot(columns));
            }
            // It holds what was merged, too: what comes after it goes on from there.
            share.forget_pending();
        }
    }

    /// A receipt: what it is for, and how much more is welcome. An ended share's last figures are safe there.
    pub(crate) fn on_stats_acked(&mut self, job: JobId, ack: &ArchivedStatsAck, effects: &mut WorkerEffects) {
        let now = self.now;
        let acked = ack.source_epoch.iter().zip(ack.source_sequence.iter());
        let acked: Vec<(u64, u64)> =
            acked.map(|(epoch, sequence)| (epoch.to_native(), sequence.to_native())).collect();
        let level = BackpressureLevel::from_wire(ack.level);
        let delay = Duration::from_millis(ack.delay_ms.to_native().into());
        let mut told = Vec::new();
        for share in self.shares.values_mut().filter(|share| share.key.job == job) {
            // One of nothing is for what was not read: it is not on its way any more.
            let all = share.acked(&acked) || acked.is_empty();
            share.pace.on_ack(now, level, delay, all);
            if ack.want_snapshot {
                share.pace.want_snapshot();
            }
            if share.has_told(&acked) {
                share.result_received = true;
                told.push(share.key);
            }
        }
        told.into_iter().for_each(|key| self.settle_end(key));
        self.tell_if_drained(effects);
    }

    fn on_hungry(&mut self, key: ShareKey, shard: ShardId, effects: &mut WorkerEffects) {
        let Some(share) = self.shares.get_mut(&key) else { return };
        if let Some(part) = share.part_mut(shard) {
            part.iterations = 0;
        }
        if !share.hungry.contains(&shard) {
            share.hungry.push(shard);
        }
        ask_richest(share, shard, effects);
    }

    fn on_donated(
        &mut self,
        key: ShareKey,
        giver: ShardId,
        to: ShardId,
        iterations: u64,
        effects: &mut WorkerEffects,
    ) {
        let Some(share) = self.shares.get_mut(&key) else { return };
        if let Some(part) = share.part_mut(giver) {
            // What it keeps is at most what it gave: it gave half.
            part.iterations = iterations;
        }
        let iterations = share.keep_back(iterations);
        if iterations == 0 {
            ask_richest(share, to, effects);
            return;
        }
        if let Some(part) = share.part_mut(to) {
            part.iterations = iterations;
        }
        share.hungry.retain(|hungry| *hungry != to);
        effects.command(Command::Order { shard: to, order: Order::Grant { key, iterations } });
    }

    fn on_ended(&mut self, ended: Box<Ended>, effects: &mut WorkerEffects) {
        let (key, shard) = (ended.key, ended.shard);
        self.take(key, shard, ended.k_from, ended.k_to, &ended.delta);
        let Some(share) = self.shares.get_mut(&key) else { return };
        if let Some(part) = share.part_mut(shard) {
            part.ended = Some(ended);
            part.iterations = 0;
        }
        if !share.is_over() {
            self.flush_if_complete(key, effects);
            return;
        }
        self.flush(key, effects);
        let Some(share) = self.shares.get_mut(&key) else { return };
        bump(share, |_| true);
        if share.orphaned_since.is_none() {
            self.tell_end(key, effects);
        }
    }
}

impl Share {
    /// What was merged is sent, or in what is.
    fn forget_pending(&mut self) {
        for part in self.parts.iter_mut().filter(|part| part.dirty) {
            part.pending.clear();
            part.dirty = false;
        }
        self.pending_from = None;
        self.told_to = Some(self.pending_to);
    }

    /// All parts: deltas of those with something new, or everything since their epochs began.
    pub(crate) fn columns(&self, worker: NodeId, cumulative: bool) -> ColumnsBuilder {
        self.columns_of(worker, cumulative, |_| true)
    }

    fn columns_of(
        &self,
        worker: NodeId,
        cumulative: bool,
        wanted: impl Fn(&ShardPart) -> bool,
    ) -> ColumnsBuilder {
        let from = self.pending_from.unwrap_or(self.pending_to);
        let to = self.pending_to.max(from);
        let unsent = self.parts.iter().any(|part| part.dirty);
        let after = self.told_to.filter(|_| unsent).unwrap_or(to);
        let told_from = if cumulative { after.min(to) } else { from };
        let mut builder = ColumnsBuilder::new(self.key.job, self.dc_token, told_from, to, self.window_ms())
            .ending_at_us(self.end_us(from, to));
        for part in self.parts.iter().filter(|part| (cumulative || part.dirty) && wanted(part)) {
            let source = Source { worker, shard: part.shard, epoch: part.epoch };
            let cells = if cumulative { &part.total } else { &part.pending };
            builder.push(source, part.sequence, self.key.workflow, cells);
        }
        builder
    }

    /// What is new, as the receiver takes it: in as few messages as can be, or a message for each shard.
    pub(crate) fn updates(&self, worker: NodeId, batched: bool) -> Vec<StatsColumns> {
        if batched {
            return self.columns(worker, false).build();
        }
        let dirty = self.parts.iter().filter(|part| part.dirty);
        build_all(dirty.map(|part| self.columns_of(worker, false, |other| other.shard == part.shard)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate of which two digits count")]
fn rate(ended: u64, windows: u32, window_s: f32) -> f32 {
    ended as f32 / (windows as f32 * window_s).max(0.001)
}

/// Each message of an epoch has the next number.
fn bump(share: &mut Share, wanted: impl Fn(&ShardPart) -> bool) {
    for part in share.parts.iter_mut().filter(|part| wanted(part)) {
        part.sequence = Sequence(part.sequence.0.saturating_add(1));
    }
}

/// Asks the shard that may have the most left to give; tells the hungry one when nobody has.
fn ask_richest(share: &mut Share, hungry: ShardId, effects: &mut WorkerEffects) {
    let key = share.key;
    // What is withdrawn moves no more within this worker.
    let others = share.parts.iter().filter(|part| {
        share.withdrawal.is_none() && part.shard != hungry && part.ended.is_none() && part.iterations > 0
    });
    let richest = others.max_by_key(|part| part.iterations).map(|part| part.shard);
    let (shard, order) = match richest {
        Some(richest) => (richest, Order::Donate { key, to: hungry }),
        None => {
            share.hungry.retain(|shard| *shard != hungry);
            (hungry, Order::Grant { key, iterations: 0 })
        }
    };
    effects.command(Command::Order { shard, order });
}
