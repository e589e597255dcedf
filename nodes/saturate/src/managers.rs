//! The managers that are played: registered, alive, with jobs that they tell made-up figures of.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedJobCancelRequest, ArchivedJobDispatch, ArchivedManagerPeerRegistrationResponse, ArchivedStatsAck,
    DcFinalResult, JobCancelResponse, JobDispatchAck, JobState, ManagerHeartbeat, StatsColumns, StatsFinal,
    StatsSnapshot, StatsUpdate, WorkerOutcome, WorkerState, WorkflowOutcome, WorkflowState,
};
use hyperscale_codec::{Head, JobId, NodeId, Role, ShardId};
use hyperscale_core::LinkId;

use crate::core::{Later, SaturateCore, SaturateEffects};
use crate::figures::{Sender, Weights, of_all, of_source};
use crate::job::{Job, Stage};
use crate::open::For;
use crate::{Op, Target};

/// The level at which windows are not wanted at all, only snapshots.
pub(crate) const REJECT: u8 = 3;
/// A short job lives so long, unless it is cancelled.
pub(crate) const SHORT_LIFE: Duration = Duration::from_secs(1);
/// A snapshot that the gate wants is sent so often at most, beside the load; its receipt is nobody's.
pub(crate) const ASKED_AGAIN: Duration = Duration::from_secs(1);
pub(crate) const NOBODY: u32 = 1;
/// Worker shards that each manager claims; the gate divides a job by them.
const WORKER_SHARDS: u32 = 1;

impl SaturateCore {
    /// Says on each manager's link that it lives.
    pub(crate) fn manager_beats(&mut self, effects: &mut SaturateEffects) {
        for index in 0..usize::from(self.config.managers) {
            self.beat_one(index, effects);
        }
    }

    pub(crate) fn beat_one(&mut self, index: usize, effects: &mut SaturateEffects) {
        let jobs = u32::from(self.config.jobs);
        let Some(player) = self.players.get_mut(index) else { return };
        let Some(link) = player.link else { return };
        player.beats = player.beats.wrapping_add(1);
        let beat = ManagerHeartbeat {
            health: player.identity.health(player.beats, true, WORKER_SHARDS),
            has_quorum: true,
            accepting_jobs: true,
            is_leader: true,
            workers_live: u32::from(self.config.workers),
            workers_known: u32::from(self.config.workers),
            jobs,
            ..ManagerHeartbeat::default()
        };
        effects.send(link, Head::default(), &beat);
    }

    pub(crate) fn on_registered(
        &mut self,
        number: u32,
        answer: &ArchivedManagerPeerRegistrationResponse,
        effects: &mut SaturateEffects,
    ) {
        let error = || format!("the gate does not take a manager on: {}", answer.error.as_str());
        if let Some(index) = self.taken_on(number, answer.accepted, error, effects) {
            self.beat_one(index, effects);
            self.go_on(effects);
        }
    }

    /// Takes on what its own clients submitted; what others did, it cannot run.
    pub(crate) fn on_dispatch(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedJobDispatch,
        effects: &mut SaturateEffects,
    ) {
        let (id, attempt) = (JobId::from_bytes(told.job), told.attempt.to_native());
        let known = self.jobs.get_mut(&id);
        let accepted = known.is_some();
        let error = if accepted { "" } else { "saturate plays this datacenter; it makes no load" };
        let ack = JobDispatchAck { job: told.job, attempt, accepted, dc_token: 1, error: error.to_owned() };
        effects.send(link, Head::reply(number).job(id), &ack);
        let Some(job) = known else { return };
        (job.token, job.attempt) = (told.fence_token.to_native(), attempt);
        if job.stage != Stage::New {
            return;
        }
        job.stage = Stage::Running;
        if matches!(self.phase, crate::core::Phase::Ending { .. }) {
            match job.followed {
                true => self.end_job(id, effects),
                false => self.ask(For::Result(id), effects),
            }
        } else if job.is_long {
            self.go_on(effects);
        } else {
            self.short.push_back(id);
            self.after(SHORT_LIFE, Later::EndShort(id));
        }
    }

    pub(crate) fn on_cancel(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedJobCancelRequest,
        effects: &mut SaturateEffects,
    ) {
        let id = JobId::from_bytes(told.job_id);
        let known = self.jobs.get_mut(&id);
        let answer = JobCancelResponse {
            job_id: told.job_id,
            success: known.is_some(),
            cancelled_workflow_count: u32::from(known.is_some()),
            error: String::new(),
            state: JobState::Cancelled.to_wire(),
            per_dc: Vec::new(),
        };
        effects.send(link, Head::reply(number).job(id), &answer);
        if let Some(job) = known {
            job.outcome = JobState::Cancelled;
            self.end_job(id, effects);
        }
    }

    /// Tells the pending windows of a job; the number of the message that is acknowledged.
    pub(crate) fn send_update(
        &mut self,
        id: JobId,
        number: u32,
        link: LinkId,
        effects: &mut SaturateEffects,
    ) {
        let obeys = self.config.obeys;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (from, to, told) = job.tell_pending();
        if obeys && job.level >= REJECT {
            return self.send_snapshot(id, number, link, false, effects);
        }
        job.updates += 1;
        job.in_updates.iter_mut().zip(told).for_each(|(sum, told)| *sum += told);
        let (token, sequence) = (job.token, job.updates);
        let node = self.players.get(job.manager).map_or(NodeId(0), |player| player.identity.node);
        let sender = Sender { node, shard: ShardId::ANY, epoch: 0, sequence };
        let all = of_all(&told, self.config.sources());
        let mut columns = std::mem::take(&mut self.columns);
        envelope(&mut columns, id, token, (from, to));
        columns.more = false;
        self.figures.fill(&mut columns, &[(sender, all)]);
        let update = StatsUpdate(columns);
        effects.send(link, Head::request(number).job(id), &update);
        self.columns = update.0;
    }

    /// Tells everything since the job's start, for every source; the last message is acknowledged.
    pub(crate) fn send_snapshot(
        &mut self,
        id: JobId,
        number: u32,
        link: LinkId,
        is_final: bool,
        effects: &mut SaturateEffects,
    ) {
        let sources = self.config.sources();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.snapshots += 1;
        let (token, sequence, windows, manager) = (job.token, job.snapshots, job.windows, job.manager);
        let to = job.next_window.saturating_sub(1);
        let all: Vec<_> = (0..sources)
            .map(|source| (self.source(manager, source, sequence), of_source(&windows, source)))
            .collect();
        self.tell_all_of((id, token, (0, to)), &all, (number, link), is_final, effects);
    }

    /// Tells figures since the start, in as many messages as it takes; the last is acknowledged.
    pub(crate) fn tell_all_of(
        &mut self,
        (id, token, windows): (JobId, u64, (u32, u32)),
        rows: &[(Sender, Weights)],
        (number, link): (u32, LinkId),
        is_final: bool,
        effects: &mut SaturateEffects,
    ) {
        let mut columns = std::mem::take(&mut self.columns);
        let parts = rows.chunks(self.figures.sources_max());
        let last = parts.len().saturating_sub(1);
        for (nth, part) in parts.enumerate() {
            envelope(&mut columns, id, token, windows);
            columns.more = nth < last;
            self.figures.fill(&mut columns, part);
            let head = if nth < last { Head::default() } else { Head::request(number) }.job(id);
            columns = if is_final {
                let told = StatsFinal(columns);
                effects.send(link, head, &told);
                told.0
            } else {
                let told = StatsSnapshot(columns);
                effects.send(link, head, &told);
                told.0
            };
        }
        self.columns = columns;
    }

    /// A shard of one of the workers that a manager tells of.
    fn source(&self, manager: usize, source: usize, sequence: u64) -> Sender {
        let shards = usize::from(self.config.worker_shards).max(1);
        Sender {
            node: self.worker(manager, source / shards),
            shard: ShardId(u16::try_from(source % shards).unwrap_or(0)),
            epoch: (1 << 32) | u64::try_from(source % shards + 1).unwrap_or(1),
            sequence,
        }
    }

    /// Worker shards that one message of this kind has figures of.
    pub(crate) fn updates_of(&self, op: Op) -> u64 {
        match (op, self.config.target) {
            // The manager's own sum, of all of them.
            (Op::Stats, Target::Gate) => 1,
            (Op::Snapshot, Target::Gate) => u64::try_from(self.config.sources()).unwrap_or(0),
            (Op::Stats | Op::Snapshot, Target::Manager) => self.config.worker_shards.into(),
            (_, Target::Gate | Target::Manager) => 0,
        }
    }

    fn worker(&self, manager: usize, worker: usize) -> NodeId {
        let node = self.players.get(manager).map_or(0, |player| player.identity.node.0);
        NodeId((node << 1) ^ u128::try_from(worker + 1).unwrap_or(1) ^ (1 << 127))
    }

    pub(crate) fn on_stats_ack(
        &mut self,
        number: u32,
        ack: &ArchivedStatsAck,
        effects: &mut SaturateEffects,
    ) {
        let id = JobId::from_bytes(ack.job);
        let level = ack.level.min(REJECT);
        self.count_level(level);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.level = level;
            job.not_before = self.now + Duration::from_millis(ack.delay_ms.to_native().into());
            let may = self.config.obeys && job.stage == Stage::Running && job.asked_again <= self.now;
            if ack.want_snapshot && may {
                job.asked_again = self.now + ASKED_AGAIN;
                let link = self.players.get(job.manager).and_then(|player| player.link);
                link.into_iter().for_each(|link| self.send_snapshot(id, NOBODY, link, false, effects));
            }
        }
        // A receipt of nothing: the gate did not read it.
        if ack.source_sequence.is_empty() {
            let wait = Duration::from_millis(ack.delay_ms.to_native().into());
            self.refused(number, "overloaded", wait, effects);
        } else {
            self.answered(number, effects);
        }
    }

    /// Tells a job's last figures and its end.
    pub(crate) fn end_job(&mut self, id: JobId, effects: &mut SaturateEffects) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.stage == Stage::Running) else { return };
        job.stage = Stage::Ending;
        if !job.is_long {
            job.tell_pending();
        }
        self.ask(For::Figures(id), effects);
    }

    pub(crate) fn dc_final(&self, id: JobId, job: &Job) -> DcFinalResult {
        let duration_us = u64::from(job.next_window).saturating_mul(1_000_000).max(1);
        let worker = |worker: usize| WorkerOutcome {
            worker: self.worker(job.manager, worker).to_bytes(),
            name: format!("saturate-worker-{worker}"),
            shards: u32::from(self.config.worker_shards),
            state: WorkerState::Ok.to_wire(),
            gap_ms: 0,
            generator_ok: true,
            clock_offset_us: 0,
            clock_error_us: u64::MAX,
            epochs: u32::from(self.config.worker_shards),
        };
        let cancelled = job.outcome == JobState::Cancelled;
        let state = if cancelled { WorkflowState::Cancelled } else { WorkflowState::Completed };
        DcFinalResult {
            job: id.to_bytes(),
            fence_token: job.token,
            datacenter: self
                .players
                .get(job.manager)
                .map_or_else(String::new, |p| p.identity.datacenter.clone()),
            attempt: job.attempt,
            outcome: job.outcome.to_wire(),
            error: String::new(),
            workflows: vec![WorkflowOutcome {
                workflow: 0,
                state: state.to_wire(),
                duration_us,
                error: String::new(),
            }],
            workers: (0..usize::from(self.config.workers)).map(worker).collect(),
            events: Vec::new(),
            duration_us,
            started_unix_ms: self.config.wall.unix_ms(self.now),
        }
    }

    /// A client whose link ends at the shard that this manager's does; pushes go nowhere else.
    pub(crate) fn client_of(&self, manager: usize, nth: usize) -> usize {
        let shard = self.players.get(manager).map_or(ShardId(0), |player| player.shard);
        let clients =
            self.players.iter().enumerate().filter(|(_, player)| player.identity.role == Role::Client);
        let near: Vec<usize> =
            clients.filter(|(_, player)| player.shard == shard).map(|(index, _)| index).collect();
        near.get(nth % near.len().max(1)).copied().unwrap_or_else(|| self.first_client())
    }
}

pub(crate) fn envelope(columns: &mut StatsColumns, id: JobId, token: u64, (from, to): (u32, u32)) {
    columns.job = id.to_bytes();
    columns.token = token;
    columns.window_ms = 1000;
    (columns.k_from, columns.k_to) = (from, to);
    columns.end_us = (u64::from(to) + 1) * 1_000_000;
}
