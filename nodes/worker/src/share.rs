//! One share of a workflow on this worker: its shards, what each recorded, how each ended.

use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedWorkflowDispatch, CancelOutcome, Share as WireShare, StatsFinal, WorkflowCancelResponse,
    WorkflowFinalResult, WorkflowState,
};
use hyperscale_codec::{Epoch, Head, NodeId, Sequence, ShardId};
use hyperscale_core::{Instant, LinkId};
use hyperscale_engine::orders::{Ended, Order, Origin, Prepare, ShareKey};
use hyperscale_fleet::Asking;
use hyperscale_jobs::{Units, split};
use hyperscale_plan::{Load, Plan, Step};
use hyperscale_reliability::StatsPace;
use hyperscale_stats::CellSet;

use crate::core::{Command, WorkerEffects, answer};
use crate::revise::Withdrawal;

/// The number of messages of statistics; their receipts name what they are for.
pub(crate) const STATISTICS: u32 = 1;
/// Windows of slower shards are waited for so long.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where requests go, before its name is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

/// One shard's part of a share.
#[derive(Debug)]
pub(crate) struct ShardPart {
    pub(crate) shard: ShardId,
    units: Units,
    pub(crate) iterations: u64,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: Sequence,
    /// The last message of which a receipt came.
    acked: Sequence,
    ready: bool,
    /// Everything since the epoch began.
    pub(crate) total: CellSet,
    /// What is not yet sent, and whether there is any.
    pub(crate) pending: CellSet,
    pub(crate) told_through: Option<u32>,
    pub(crate) dirty: bool,
    /// When it last reported, and steps that ended per second in the windows it told of then.
    pub(crate) told_at: Option<Instant>,
    pub(crate) units_per_s: f32,
    pub(crate) ended: Option<Box<Ended>>,
    final_kept: bool,
}

/// One share.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) key: ShareKey,
    pub(crate) plan: Arc<Plan>,
    /// Which start of whom gave it, over which link, and since when that is gone.
    pub(crate) manager: (NodeId, u64),
    pub(crate) link: LinkId,
    pub(crate) orphaned_since: Option<Instant>,
    pub(crate) correlation: u32,
    pub(crate) dc_token: u64,
    seed: u64,
    /// Since the workflow's start: what is due before it is another share's.
    from: Duration,
    pub(crate) parts: Vec<ShardPart>,
    failed: Option<String>,
    /// From the job's start to this share's, once that is ordered.
    pub(crate) started: Option<Duration>,
    /// When it has load, once that is ordered.
    pub(crate) begins: Option<Instant>,
    pub(crate) pending_from: Option<u32>,
    pub(crate) pending_to: u32,
    pub(crate) pending_since: Option<Instant>,
    /// The last window that was sent, as one or in a snapshot that stands for it.
    pub(crate) told_to: Option<u32>,
    /// When what is not sent goes.
    pub(crate) pace: StatsPace,
    canceller: Option<(LinkId, u32)>,
    pub(crate) cancelled: bool,
    /// This node was overloaded while it ran, and could not be sure to keep its schedule.
    pub(crate) saturated: bool,
    /// Shards that wait for iterations while others are asked.
    pub(crate) hungry: Vec<ShardId>,
    /// The manager has its last figures, in memory at least.
    pub(crate) result_received: bool,
    pub(crate) withdrawal: Option<Withdrawal>,
    pub(crate) result_acked: bool,
    pub(crate) finals_kept: bool,
}

impl Share {
    pub(crate) fn new(
        key: ShareKey,
        plan: Arc<Plan>,
        dispatch: &ArchivedWorkflowDispatch,
        (manager, link, correlation): ((NodeId, u64), LinkId, u32),
        shards: u16,
    ) -> Result<Self, String> {
        let index = usize::try_from(key.workflow.0).unwrap_or(usize::MAX);
        let workflow = plan.workflows.get(index).ok_or("the plan has no such workflow")?;
        let steps = workflow.steps.len();
        let units = Units {
            from: dispatch.share.unit_from.to_native(),
            count: dispatch.share.unit_count.to_native(),
            of: dispatch.share.units.to_native(),
        };
        let weights = vec![1; usize::from(shards)];
        let parts = split(units, &weights).map_err(|error| error.to_string())?;
        let budgets = spread(dispatch.share.iterations.to_native(), &parts);
        let parts = (0..shards).zip(parts).zip(budgets).filter(|((_, units), _)| units.count > 0);
        let parts = parts.map(|((shard, units), iterations)| ShardPart {
            shard: ShardId(shard),
            units,
            iterations,
            epoch: Epoch(0),
            sequence: Sequence(0),
            acked: Sequence(0),
            ready: false,
            total: CellSet::new(steps),
            pending: CellSet::new(steps),
            told_through: None,
            dirty: false,
            told_at: None,
            units_per_s: 0.0,
            ended: None,
            final_kept: false,
        });
        Ok(Self {
            key,
            manager,
            link,
            orphaned_since: None,
            correlation,
            dc_token: dispatch.dc_token.to_native(),
            seed: dispatch.seed.to_native(),
            from: Duration::from_micros(dispatch.from_us.to_native()),
            parts: parts.collect(),
            failed: None,
            started: None,
            begins: None,
            pending_from: None,
            pending_to: 0,
            pending_since: None,
            told_to: None,
            pace: StatsPace::new(plan.window, Instant::ZERO, seed_of_pace(key, dispatch.seed.to_native())),
            canceller: None,
            cancelled: false,
            saturated: false,
            hungry: Vec::new(),
            result_received: false,
            withdrawal: None,
            result_acked: false,
            finals_kept: false,
            plan,
        })
    }

    /// This node is overloaded. Load without a schedule has none to miss: to use all of a CPU is what it is asked.
    pub(crate) fn was_overloaded(&mut self) {
        let index = usize::try_from(self.key.workflow.0).unwrap_or(usize::MAX);
        self.saturated |= self.plan.workflows.get(index).is_some_and(|of| matches!(of.load, Load::Open(_)));
    }

    /// Every host and port the workflow's requests go to, once.
    pub(crate) fn hosts(&self) -> Vec<HostPort> {
        let index = usize::try_from(self.key.workflow.0).unwrap_or(usize::MAX);
        let steps =
            self.plan.workflows.get(index).map(|workflow| workflow.steps.as_slice()).unwrap_or_default();
        let mut hosts: Vec<HostPort> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Request(request) => Some(&request.url),
                Step::Think(_) => None,
            })
            .map(|url| HostPort { host: url.host.clone(), port: url.port })
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    pub(crate) fn prepare(
        &mut self,
        origins: Arc<Vec<Origin>>,
        boot: u64,
        epochs: &mut u32,
        effects: &mut WorkerEffects,
    ) {
        let siblings = u16::try_from(self.parts.len()).unwrap_or(u16::MAX);
        for part in &mut self.parts {
            *epochs = epochs.wrapping_add(1);
            part.epoch = Epoch(boot << 32 | u64::from(*epochs));
            let prepare = Prepare {
                key: self.key,
                epoch: part.epoch,
                plan: Arc::clone(&self.plan),
                share: WireShare { iterations: part.iterations, ..part.units.share(0) },
                from: self.from,
                siblings,
                seed: self.seed ^ (u64::from(part.shard.0) << 48),
                origins: Arc::clone(&origins),
            };
            effects.command(Command::Order { shard: part.shard, order: Order::Prepare(Box::new(prepare)) });
        }
    }

    pub(crate) fn part_mut(&mut self, shard: ShardId) -> Option<&mut ShardPart> {
        self.parts.iter_mut().find(|part| part.shard == shard)
    }

    pub(crate) fn on_ready(
        &mut self,
        shard: ShardId,
        result: Result<(), String>,
        effects: &mut WorkerEffects,
    ) {
        if let Some(part) = self.part_mut(shard) {
            part.ready = true;
        }
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
        if self.parts.iter().all(|part| part.ready) {
            let result = self.failed.clone().map_or(Ok(()), Err);
            answer(effects, self.link, self.correlation, self.key, result);
            if self.cancelled {
                // The cancel came while there was nothing to cancel yet.
                let key = self.key;
                self.order_all(effects, || Order::Cancel { key, cut_after: Duration::ZERO });
            }
        }
    }

    /// Its manager asks again: it gets the answer when there is one, and it is there already if all shards are ready.
    pub(crate) fn answer_again(&mut self, link: LinkId, correlation: u32, effects: &mut WorkerEffects) {
        self.correlation = correlation;
        if !self.parts.is_empty() && self.parts.iter().all(|part| part.ready) {
            answer(effects, link, correlation, self.key, self.failed.clone().map_or(Ok(()), Err));
        }
    }

    pub(crate) fn start(&mut self, at: Instant, job_start: Instant, effects: &mut WorkerEffects) {
        if self.started.is_some() || self.cancelled {
            return;
        }
        self.started = Some(at.since(job_start));
        self.begins = Some(at + self.from);
        let key = self.key;
        self.pace = StatsPace::new(self.plan.window, at, seed_of_pace(key, self.seed));
        self.order_all(effects, || Order::Start { key, at, job_start });
    }

    pub(crate) fn cancel(
        &mut self,
        link: LinkId,
        correlation: u32,
        cut_after: Duration,
        effects: &mut WorkerEffects,
    ) {
        self.canceller = Some((link, correlation));
        if !self.cancelled {
            self.cancelled = true;
            let key = self.key;
            self.order_all(effects, || Order::Cancel { key, cut_after });
        }
    }

    pub(crate) fn order_all(&self, effects: &mut WorkerEffects, order: impl Fn() -> Order) {
        for part in &self.parts {
            effects.command(Command::Order { shard: part.shard, order: order() });
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.parts.iter().all(|part| part.ended.is_some())
    }

    /// Finals of these epochs are held for good. Whether all of this share's are now.
    pub(crate) fn keep_finals(&mut self, epochs: &[u64]) -> bool {
        let over = self.is_over();
        for part in self.parts.iter_mut().filter(|part| over && epochs.contains(&part.epoch.0)) {
            part.final_kept = true;
        }
        self.parts.iter().all(|part| part.final_kept)
    }

    /// Receipts of these (epoch, sequence) came. Whether all that was sent has one now.
    pub(crate) fn acked(&mut self, acked: &[(u64, u64)]) -> bool {
        for part in &mut self.parts {
            let own = acked.iter().filter(|(epoch, _)| *epoch == part.epoch.0);
            part.acked = own.map(|(_, sequence)| Sequence(*sequence)).fold(part.acked, Sequence::max);
        }
        self.parts.iter().all(|part| part.acked >= part.sequence)
    }

    /// Whether the last message of each part is among these (epoch, sequence).
    pub(crate) fn has_told(&self, acked: &[(u64, u64)]) -> bool {
        let told = |part: &ShardPart| acked.iter().any(|(e, s)| *e == part.epoch.0 && *s >= part.sequence.0);
        self.is_over() && self.parts.iter().all(told)
    }

    pub(crate) fn window_ms(&self) -> u32 {
        u32::try_from(self.plan.window.as_millis()).unwrap_or(1000)
    }

    pub(crate) fn flush_deadline(&self) -> Option<Instant> {
        let runs = self.orphaned_since.is_none() && !self.is_over();
        let pace = self.pace.next_deadline().filter(|_| runs);
        self.pending_since.map(|since| since + PATIENCE).into_iter().chain(pace).min()
    }

    /// Where the figures end, since the job's start: with the last window, or with the share within it.
    pub(crate) fn end_us(&self, from: u32, to: u32) -> u64 {
        let window_us = u64::from(self.window_ms()).saturating_mul(1000);
        let end_of = |windows: u64| window_us.saturating_mul(windows);
        let last = end_of(u64::from(to).saturating_add(1));
        let ended = self.parts.iter().map(|part| part.ended.as_deref().map(|end| micros(end.duration)));
        match ended.collect::<Option<Vec<u64>>>().and_then(|ends| ends.into_iter().max()) {
            Some(end) => {
                let end = micros(self.started.unwrap_or_default()).saturating_add(end);
                end.clamp(end_of(u64::from(from)), last)
            }
            None => last,
        }
    }

    /// The last snapshot, then the result; a cancel's answer goes between.
    pub(crate) fn send_final(
        &self,
        worker: NodeId,
        link: LinkId,
        asking: &Asking,
        effects: &mut WorkerEffects,
    ) {
        for columns in self.columns(worker, true).build() {
            effects.send(link, Head::request(STATISTICS).job(self.key.job), &StatsFinal(columns));
        }
        let ended = || self.parts.iter().filter_map(|part| part.ended.as_deref());
        if let Some((canceller, correlation)) = self.canceller {
            let answer = WorkflowCancelResponse {
                job_id: self.key.job.to_bytes(),
                workflow_id: self.key.workflow.0,
                attempt: self.key.attempt.0,
                revision: self.key.revision,
                outcome: CancelOutcome::Cancelled.to_wire(),
                in_flight_ended: ended().map(|end| end.in_flight_ended).sum(),
                in_flight_cut: ended().map(|end| end.in_flight_cut).sum(),
                never_started: ended().map(|end| end.never_started).sum(),
            };
            effects.send(canceller, Head::reply(correlation).job(self.key.job), &answer);
        }
        let has = |state| ended().any(|end| end.outcome == state);
        let outcome = if has(WorkflowState::Failed) {
            WorkflowState::Failed
        } else if self.cancelled || has(WorkflowState::Cancelled) {
            WorkflowState::Cancelled
        } else {
            WorkflowState::Completed
        };
        let result = WorkflowFinalResult {
            job: self.key.job.to_bytes(),
            workflow: self.key.workflow.0,
            attempt: self.key.attempt.0,
            revision: self.key.revision,
            dc_token: self.dc_token,
            outcome: outcome.to_wire(),
            error: ended()
                .map(|end| end.error.as_str())
                .find(|error| !error.is_empty())
                .unwrap_or("")
                .to_owned(),
            shards: u32::try_from(self.parts.len()).unwrap_or(u32::MAX),
            epochs: self.parts.iter().map(|part| part.epoch.0).collect(),
            generator_ok: !self.saturated && ended().all(|end| end.generator_ok),
            started_unix_ms: 0,
            duration_us: ended().map(|end| micros(end.duration)).max().unwrap_or(0),
            iterations_left: ended().map(|end| end.iterations_left).sum::<u64>()
                + self.withdrawal.as_ref().map_or(0, |withdrawal| withdrawal.kept_back),
            ..WorkflowFinalResult::default()
        };
        effects.send_with(link, asking.head().job(self.key.job), &asking.extensions, &result);
    }
}

/// So that the shares of a job do not wait for the same random times, nor for those of its load.
fn seed_of_pace(key: ShareKey, seed: u64) -> u64 {
    seed ^ (u64::from(key.workflow.0) << 32) ^ 0x7061_6365
}

/// Spreads a worker's iterations over its parts by their units: as even as whole numbers allow.
fn spread(total: u64, parts: &[Units]) -> Vec<u64> {
    let units: u64 = parts.iter().map(|part| u64::from(part.count)).sum();
    let mut given = 0;
    let mut before = 0;
    let up_to = |seen: u64| {
        let share = u128::from(total) * u128::from(seen) / u128::from(units.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    parts
        .iter()
        .map(|part| {
            before += u64::from(part.count);
            let part = up_to(before) - given;
            given += part;
            part
        })
        .collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_spread_to_the_last() {
        for total in [0, 1, 2, 10, 1_000_003] {
            for shards in 1..9 {
                let parts: Vec<Units> =
                    (0..shards).map(|from| Units { from, count: 1, of: shards }).collect();
                let budgets = spread(total, &parts);
                assert_eq!(budgets.iter().sum::<u64>(), total);
                assert!(budgets.iter().max().unwrap() - budgets.iter().min().unwrap() <= 1);
            }
        }
    }
}
