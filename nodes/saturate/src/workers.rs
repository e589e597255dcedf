//! The workers that are played to a manager: registered, alive, with shares of jobs that they tell made-up figures of.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedRegistrationResponse, ArchivedShareRevision, ArchivedStatsAck, ArchivedWorkflowCancelRequest,
    ArchivedWorkflowDispatch, ArchivedWorkflowStart, CancelOutcome, HealthPiggyback, ShareRevisionAck,
    StatsUpdate, WorkerHeartbeat, WorkflowCancelResponse, WorkflowDispatchAck, WorkflowFinalResult,
    WorkflowState, WorkflowStatus,
};
use hyperscale_codec::{Head, JobId, NodeId, ShardId};
use hyperscale_core::LinkId;

use crate::core::{Later, Phase, SaturateCore, SaturateEffects};
use crate::figures::{Sender, Weights};
use crate::gate_side::GATE;
use crate::job::{Job, Stage};
use crate::managers::{ASKED_AGAIN, NOBODY, REJECT, SHORT_LIFE, envelope};
use crate::open::For;
use crate::share::{Share, ShareStage};

/// VUs that each shard of a worker claims to take.
const VUS_PER_SHARD: u32 = 10_000;

impl SaturateCore {
    /// Says on each worker's link that it lives.
    pub(crate) fn worker_beats(&mut self, effects: &mut SaturateEffects) {
        for index in GATE + 1..self.players.len() {
            self.worker_beat(index, effects);
        }
    }

    pub(crate) fn worker_beat(&mut self, index: usize, effects: &mut SaturateEffects) {
        let running = |job: &&Job| job.shares.get(&index).is_some_and(Share::is_running);
        let shares = u32::try_from(self.jobs.values().filter(running).count()).unwrap_or(u32::MAX);
        let vus = self.capacity();
        let Some(player) = self.players.get_mut(index) else { return };
        let Some(link) = player.link else { return };
        player.beats = player.beats.wrapping_add(1);
        // What is made up gets on.
        let rate = if shares > 0 { 1.0 } else { 0.0 };
        let health = player.identity.health(player.beats, true, vus.div_ceil(1_000));
        let health = HealthPiggyback { throughput: rate, expected_throughput: rate, ..health };
        effects.send(
            link,
            Head::default(),
            &WorkerHeartbeat { health, shares, ..WorkerHeartbeat::default() },
        );
    }

    pub(crate) fn capacity(&self) -> u32 {
        u32::from(self.config.worker_shards).saturating_mul(VUS_PER_SHARD)
    }

    pub(crate) fn on_worker_registered(
        &mut self,
        number: u32,
        answer: &ArchivedRegistrationResponse,
        effects: &mut SaturateEffects,
    ) {
        let error = || format!("the manager does not take a worker on: {}", answer.error.as_str());
        if let Some(index) = self.taken_on(number, answer.accepted, error, effects) {
            self.worker_beat(index, effects);
            self.go_on(effects);
        }
    }

    /// The share that an order on this link is about, and its worker.
    fn share(&mut self, link: LinkId, id: JobId, told: (u32, u32, u32)) -> Option<(usize, &mut Share)> {
        let (index, _) = self.player_of(link)?;
        let share = self.jobs.get_mut(&id)?.shares.get_mut(&index)?;
        share.is(told.0, told.1, told.2).then_some((index, share))
    }

    /// A share of a job: prepared at once, as there is nothing to prepare. Of other gates' jobs none is taken.
    pub(crate) fn on_share(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedWorkflowDispatch,
        effects: &mut SaturateEffects,
    ) {
        let id = JobId::from_bytes(told.job);
        let index = self.player_of(link).map(|(index, _)| index);
        let (epoch, shards) = (self.last_epoch + 1, u64::from(self.config.worker_shards));
        let known = index.and_then(|index| Some((index, self.jobs.get_mut(&id)?)));
        let ready = match known {
            Some((index, job)) => {
                let fresh = Share::new(told, epoch);
                let share = job.shares.entry(index).or_insert_with(|| fresh.clone());
                if share.epoch == epoch {
                    self.last_epoch += shards;
                }
                share.is(fresh.workflow, fresh.attempt, fresh.revision)
            }
            None => false,
        };
        let error = if ready { "" } else { "saturate plays this worker; it makes no load" };
        let ack = WorkflowDispatchAck {
            job: told.job,
            workflow: told.workflow.to_native(),
            attempt: told.attempt.to_native(),
            revision: told.revision.to_native(),
            ready,
            error: error.to_owned(),
        };
        effects.send(link, Head::reply(number).job(id), &ack);
    }

    pub(crate) fn on_share_started(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedWorkflowStart,
        effects: &mut SaturateEffects,
    ) {
        let id = JobId::from_bytes(told.job);
        let now = self.now;
        let key = (told.workflow.to_native(), told.attempt.to_native(), told.revision.to_native());
        let share = self.share(link, id, key).map(|(_, share)| share);
        let state = if share.is_some() { WorkflowState::Running } else { WorkflowState::Failed };
        if let Some(share) = share.filter(|share| share.stage == ShareStage::Ready) {
            share.stage = ShareStage::Running;
            share.began = now + Duration::from_micros(told.start_in_us.to_native())
                - Duration::from_micros(told.elapsed_us.to_native())
                - Duration::from_micros(told.job_elapsed_us.to_native());
        }
        let status = WorkflowStatus {
            job: told.job,
            workflow: key.0,
            attempt: key.1,
            revision: key.2,
            dc_token: told.dc_token.to_native(),
            state: state.to_wire(),
            reason: String::new(),
        };
        effects.send(link, Head::reply(number).job(id), &status);
        self.run_if_started(id, effects);
    }

    /// A job runs when all of its shares do: they are given together, and started when all are ready.
    fn run_if_started(&mut self, id: JobId, effects: &mut SaturateEffects) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.stage == Stage::New) else { return };
        if job.shares.values().any(|share| share.stage == ShareStage::Ready) {
            return;
        }
        job.stage = Stage::Running;
        if matches!(self.phase, Phase::Ending { .. }) {
            self.end_shares(id, effects);
        } else if job.is_long {
            self.go_on(effects);
        } else {
            self.short.push_back(id);
            self.after(SHORT_LIFE, Later::EndShort(id));
        }
    }

    /// Load of a played worker does not move.
    pub(crate) fn on_revision(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedShareRevision,
        effects: &mut SaturateEffects,
    ) {
        let ack = ShareRevisionAck {
            job: told.job,
            workflow: told.workflow.to_native(),
            attempt: told.attempt.to_native(),
            revision: told.revision.to_native(),
            in_force: false,
            until_us: told.until_us.to_native(),
            error: "saturate plays this worker; its load does not move".to_owned(),
        };
        effects.send(link, Head::reply(number).job(JobId::from_bytes(told.job)), &ack);
    }

    pub(crate) fn on_share_cancelled(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedWorkflowCancelRequest,
        effects: &mut SaturateEffects,
    ) {
        let id = JobId::from_bytes(told.job_id);
        let key = (told.workflow_id.to_native(), told.attempt.to_native(), told.revision.to_native());
        let found = self.share(link, id, key).map(|(index, share)| {
            share.cancelled |= share.stage != ShareStage::Ended;
            (index, share.stage)
        });
        let outcome = match found {
            Some((_, ShareStage::Ended)) => CancelOutcome::AlreadyFinished,
            Some(_) => CancelOutcome::Cancelled,
            None => CancelOutcome::Unknown,
        };
        // Its last figures go first, as of a worker that waits for what is in flight.
        if let Some((index, ShareStage::Ready | ShareStage::Running)) = found {
            self.end_share(id, index, effects);
        }
        let answer = WorkflowCancelResponse {
            job_id: told.job_id,
            workflow_id: key.0,
            attempt: key.1,
            revision: key.2,
            outcome: outcome.to_wire(),
            in_flight_ended: 0,
            in_flight_cut: 0,
            never_started: 0,
        };
        effects.send(link, Head::reply(number).job(id), &answer);
        self.run_if_started(id, effects);
    }

    /// Ends each worker's share of a job.
    pub(crate) fn end_shares(&mut self, id: JobId, effects: &mut SaturateEffects) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.stage == Stage::Running) else { return };
        job.stage = Stage::Ending;
        let workers: Vec<usize> = job.shares.keys().copied().collect();
        workers.into_iter().for_each(|index| self.end_share(id, index, effects));
    }

    fn end_share(&mut self, id: JobId, index: usize, effects: &mut SaturateEffects) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let is_long = job.is_long;
        let Some(share) = job.shares.get_mut(&index).filter(|share| share.stage != ShareStage::Ended) else {
            return;
        };
        if !is_long {
            share.record(now);
        }
        share.stage = ShareStage::Ended;
        self.ask(For::Share(id, index), effects);
    }

    /// A share's last figures, and its end.
    pub(crate) fn send_end(
        &mut self,
        (id, index): (JobId, usize),
        number: u32,
        link: LinkId,
        effects: &mut SaturateEffects,
    ) {
        self.send_totals((id, index), (NOBODY, link), true, effects);
        let now = self.now;
        let Some(share) = self.jobs.get(&id).and_then(|job| job.shares.get(&index)) else { return };
        let outcome = if share.cancelled { WorkflowState::Cancelled } else { WorkflowState::Completed };
        let shards = self.config.worker_shards;
        let result = WorkflowFinalResult {
            job: id.to_bytes(),
            workflow: share.workflow,
            attempt: share.attempt,
            revision: share.revision,
            dc_token: share.dc_token,
            outcome: outcome.to_wire(),
            shards: shards.into(),
            epochs: (0..shards).map(|shard| share.epoch.saturating_add(shard.into())).collect(),
            generator_ok: true,
            duration_us: u64::try_from(now.since(share.began).as_micros()).unwrap_or(u64::MAX),
            ..WorkflowFinalResult::default()
        };
        effects.send(link, Head::request(number).job(id), &result);
    }

    /// One row for each shard of a worker.
    fn rows(&self, index: usize, share: &Share, weights: &Weights) -> Vec<(Sender, Weights)> {
        let node = self.players.get(index).map_or(NodeId(0), |player| player.identity.node);
        let rows = Share::by_shard(weights, index.saturating_sub(1), self.config.worker_shards);
        rows.map(|(shard, weights)| {
            let epoch = share.epoch.saturating_add(shard.into());
            (Sender { node, shard: ShardId(shard), epoch, sequence: share.sequence }, weights)
        })
        .collect()
    }

    /// Tells the windows that wait, of all shards of a worker in one message.
    pub(crate) fn send_share_update(
        &mut self,
        id: JobId,
        number: u32,
        link: LinkId,
        effects: &mut SaturateEffects,
    ) {
        let Some((index, _)) = self.player_of(link) else { return };
        let (obeys, now) = (self.config.obeys, self.now);
        let Some(share) = self.jobs.get_mut(&id).and_then(|job| job.shares.get_mut(&index)) else { return };
        if obeys && share.level >= REJECT {
            return self.send_totals((id, index), (number, link), false, effects);
        }
        let (from, to, told) = share.tell(now);
        let token = share.dc_token;
        let Some(share) = self.jobs.get(&id).and_then(|job| job.shares.get(&index)) else { return };
        let rows = self.rows(index, share, &told);
        let mut columns = std::mem::take(&mut self.columns);
        envelope(&mut columns, id, token, (from, to));
        columns.more = false;
        self.figures.fill(&mut columns, &rows);
        let update = StatsUpdate(columns);
        effects.send(link, Head::request(number).job(id), &update);
        self.columns = update.0;
    }

    /// Tells everything that a worker recorded; the last message is acknowledged.
    pub(crate) fn send_totals(
        &mut self,
        (id, index): (JobId, usize),
        (number, link): (u32, LinkId),
        is_final: bool,
        effects: &mut SaturateEffects,
    ) {
        let now = self.now;
        let Some(share) = self.jobs.get_mut(&id).and_then(|job| job.shares.get_mut(&index)) else { return };
        let windows = share.tell_all(now);
        let token = share.dc_token;
        let Some(share) = self.jobs.get(&id).and_then(|job| job.shares.get(&index)) else { return };
        let rows = self.rows(index, share, &share.recorded);
        self.tell_all_of((id, token, windows), &rows, (number, link), is_final, effects);
    }

    /// A receipt for a worker.
    pub(crate) fn on_share_ack(
        &mut self,
        link: LinkId,
        number: u32,
        ack: &ArchivedStatsAck,
        effects: &mut SaturateEffects,
    ) {
        let (id, now) = (JobId::from_bytes(ack.job), self.now);
        let level = ack.level.min(REJECT);
        self.count_level(level);
        let index = self.player_of(link).map_or(usize::MAX, |(index, _)| index);
        let obeys = self.config.obeys;
        if let Some(share) = self.jobs.get_mut(&id).and_then(|job| job.shares.get_mut(&index)) {
            share.level = level;
            share.not_before = now + Duration::from_millis(ack.delay_ms.to_native().into());
            if ack.want_snapshot && obeys && share.is_running() && share.asked_again <= now {
                share.asked_again = now + ASKED_AGAIN;
                self.send_totals((id, index), (NOBODY, link), false, effects);
            }
        }
        self.answered(number, effects);
    }
}
