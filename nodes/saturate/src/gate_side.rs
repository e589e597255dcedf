//! The one gate that is played to a manager: how the manager comes to it, the jobs that it gives, and what it is told.
//!
//! Managers make the links to gates. So this one looks who is there, tells it where a gate listens, as gates do when
//! another one joins, and waits for it.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedDcFinalResult, ArchivedJobDispatchAck, ArchivedManagerPeerRegistration, ArchivedNodesResponse,
    ArchivedStatsColumns, DcFinalResultAck, GateHeartbeat, JobDispatch, ManagerPeerRegistrationResponse,
    NodeState, StatsAck,
};
use hyperscale_codec::{Flags, Head, JobId, RawFrame, Role};
use hyperscale_core::{LinkId, Peer};
use rand::Rng as _;

use crate::Target;
use crate::core::{Later, SaturateCore, SaturateEffects};
use crate::figures::{Counts, VARIANTS, Weights, of_all};
use crate::heard::Told;
use crate::job::{Job, submit};
use crate::open::For;
use crate::share::{Share, of_worker};

/// Who asks what a gate asks.
pub(crate) const GATE: usize = 0;
/// Names of workers in an error.
const NAMES_MAX: usize = 5;
/// As long as a manager waits for a gate.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// Requests to a manager that is gone.
const LINK_LOST: &str = "link_lost";
/// A job that the manager does not take.
const NOT_TAKEN: &str = "not_taken";

impl SaturateCore {
    /// Tells the manager at the other end where a gate is.
    pub(crate) fn call(&mut self, link: LinkId, effects: &mut SaturateEffects) {
        self.visit = Some(link);
        effects.send(link, Head::default(), &self.gate_answer());
    }

    fn gate_answer(&self) -> ManagerPeerRegistrationResponse {
        let identity = self.players.get(GATE).map(|player| &player.identity);
        ManagerPeerRegistrationResponse {
            accepted: true,
            error: String::new(),
            protocol_version: identity.map_or(0, |it| it.version.to_wire()),
            features: identity.map_or(0, |it| it.features.0),
            peers: self.listening.iter().map(ToString::to_string).collect(),
        }
    }

    /// Somebody dialled: the manager, or it is sent away.
    pub(crate) fn on_manager_came(&mut self, link: LinkId, peer: &Peer, effects: &mut SaturateEffects) {
        let is_known = self.players.get(GATE).is_none_or(|gate| gate.link.is_some());
        if peer.hello.role != Role::Manager || peer.hello.node != self.node || is_known {
            return effects.close(link);
        }
        self.enter(GATE, link, peer.hello.shard);
        if let Some(visit) = self.visit.take() {
            effects.close(visit);
        }
    }

    /// The manager is gone from its gate, as it is when it cannot send as much as it wants. It dials anew, and goes on
    /// where it was, unless it takes too long. The reason is told then.
    pub(crate) fn await_manager(&mut self, link: LinkId, error: String, effects: &mut SaturateEffects) {
        tracing::warn!(error, "waiting for the manager");
        self.relinks += 1;
        self.error_if_away = error;
        if let Some(step) = &mut self.step {
            step.is_cut = true;
        }
        self.after(AWAY_MAX, Later::Away(self.relinks));
        for open in self.open.take_where(|open| open.link == link) {
            self.let_go(&open);
            self.on_refused(&open, LINK_LOST, Duration::ZERO, effects);
        }
    }

    /// It had its time.
    pub(crate) fn give_up_manager(&mut self, relinks: u32, effects: &mut SaturateEffects) {
        let is_away = self.players.get(GATE).is_some_and(|gate| gate.link.is_none());
        if is_away && self.relinks == relinks {
            let error = std::mem::take(&mut self.error_if_away);
            self.fail(error, effects);
        }
    }

    /// The manager registers: at first, and whenever its workers are others.
    pub(crate) fn on_manager(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedManagerPeerRegistration,
        effects: &mut SaturateEffects,
    ) {
        if self.player_of(link).is_none_or(|(index, _)| index != GATE) {
            return;
        }
        told.datacenter.as_str().clone_into(&mut self.datacenter);
        effects.send(link, Head::reply(number), &self.gate_answer());
        let gate = self.players.get_mut(GATE).filter(|gate| !gate.ready);
        if let Some(gate) = gate {
            gate.ready = true;
            self.gate_beat(effects);
            if !self.is_fleet_known {
                self.ask(For::Fleet, effects);
            }
        }
    }

    /// The manager's workers. They would make the load that these jobs tell of, so there must be none; then those come that
    /// are played.
    pub(crate) fn on_workers(&mut self, page: &ArchivedNodesResponse, effects: &mut SaturateEffects) {
        let is_there = |state| !matches!(NodeState::from_wire(state), NodeState::Dead | NodeState::Left);
        let own = page.nodes.iter().filter(|node| node.role == Role::Worker as u8 && is_there(node.state));
        let names: Vec<&str> = own.map(|node| node.name.as_str()).take(NAMES_MAX).collect();
        if names.is_empty() {
            return self.dial_others(&[], effects);
        }
        let (addr, names) = (self.config.addr, names.join(", "));
        let error = format!(
            "manager {addr} has workers ({names}), which would make the load that is only played here; load a manager \
             without workers"
        );
        self.fail(error, effects);
    }

    /// Says that the gate lives.
    pub(crate) fn gate_beat(&mut self, effects: &mut SaturateEffects) {
        let jobs = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        let Some(gate) = self.players.get_mut(GATE) else { return };
        let Some(link) = gate.link else { return };
        gate.beats = gate.beats.wrapping_add(1);
        let health = gate.identity.health(gate.beats, true, 0);
        effects.send(link, Head::default(), &GateHeartbeat { health, jobs, ..GateHeartbeat::default() });
    }

    /// A job for the manager's datacenter.
    pub(crate) fn new_part(&mut self, is_long: bool) -> JobId {
        let id = JobId(self.rng.random());
        let submit = submit(id, &self.datacenter, self.config.steps, self.config.sources(), true);
        self.last_token += 1;
        let token = self.last_token;
        self.jobs.insert(id, Job { token, ..Job::new(id, GATE, GATE, is_long, submit) });
        id
    }

    pub(crate) fn send_dispatch(&self, id: JobId, number: u32, link: LinkId, effects: &mut SaturateEffects) {
        let Some(job) = self.jobs.get(&id) else { return };
        let units = u32::try_from(self.config.sources()).unwrap_or(u32::MAX);
        let dispatch = JobDispatch {
            job: id.to_bytes(),
            fence_token: job.token,
            attempt: job.attempt,
            datacenter: self.datacenter.clone(),
            plan: job.submit.plan.clone(),
            plan_sha256: job.submit.plan_sha256,
            unit_from: 0,
            unit_count: units,
            units,
            ..JobDispatch::default()
        };
        effects.send(link, Head::request(number).job(id), &dispatch);
    }

    pub(crate) fn on_taken_on(
        &mut self,
        number: u32,
        ack: &ArchivedJobDispatchAck,
        effects: &mut SaturateEffects,
    ) {
        if ack.accepted {
            self.answered(number, effects);
            return;
        }
        let Some(open) = self.take(number) else { return };
        match open.what {
            For::Job(_) => {
                let error = format!("the manager does not take a job on: {}", ack.error.as_str());
                self.fail(error, effects);
            }
            For::Load(_)
            | For::Fleet
            | For::Registration(_)
            | For::Result(_)
            | For::Figures(_)
            | For::End(_)
            | For::Share(..) => self.on_refused(&open, NOT_TAKEN, Duration::ZERO, effects),
        }
    }

    /// The manager's merged windows.
    pub(crate) fn on_windows(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        effects: &mut SaturateEffects,
    ) {
        if let Some(job) = self.jobs.get_mut(&JobId::from_bytes(columns.job)) {
            job.heard.add_windows(columns);
            job.viewed = Some(job.heard.viewed.requests);
        }
        receipt(link, frame, columns, effects);
    }

    /// What a worker told, as its manager passes it on.
    pub(crate) fn on_totals(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        columns: &ArchivedStatsColumns,
        is_final: bool,
        effects: &mut SaturateEffects,
    ) {
        if is_final && let Some(job) = self.jobs.get_mut(&JobId::from_bytes(columns.job)) {
            let mut heard = std::mem::take(&mut job.heard);
            if let Some(job) = self.jobs.get(&JobId::from_bytes(columns.job)) {
                heard.add_finals(columns, self.told_of(job));
            }
            self.jobs.entry(JobId::from_bytes(columns.job)).and_modify(|job| job.heard = heard);
        }
        receipt(link, frame, columns, effects);
    }

    /// The job has ended in the datacenter: compared, and its workers may forget it.
    pub(crate) fn on_part_ended(
        &mut self,
        link: LinkId,
        number: u32,
        told: &ArchivedDcFinalResult,
        effects: &mut SaturateEffects,
    ) {
        let id = JobId::from_bytes(told.job);
        let ack = DcFinalResultAck { job: told.job, attempt: told.attempt.to_native() };
        effects.send(link, Head::reply(number).job(id), &ack);
        let Some(job) = self.jobs.remove(&id) else { return };
        effects.send(link, Head::default().job(id), &job.heard.kept(id));
        let (sent, windows) = (self.sent_of(&job), self.weights_of(&job, |share| share.in_windows));
        let found = job.heard.difference(told, job.cancelled, &windows, self.told_of(&job));
        self.exactness.take(id, sent.requests, job.heard.reported, found);
        if job.is_long {
            self.exactness.requests_viewed += job.heard.viewed.requests;
            self.exactness.requests_in_windows += self.figures.counts(&windows).requests;
        } else {
            self.last_ended = Some(id);
        }
        self.short.retain(|short| *short != id);
        self.finish_if_ended(effects);
    }
}

impl SaturateCore {
    fn told_of<'a>(&'a self, job: &'a Job) -> Told<'a> {
        Told {
            shares: &job.shares,
            players: &self.players,
            figures: &self.figures,
            shards: self.config.worker_shards,
            steps: self.config.steps,
        }
    }

    /// What all of a job's workers recorded together, or told of it.
    fn weights_of(&self, job: &Job, of: fn(&Share) -> Weights) -> Weights {
        let mut sum = [0; VARIANTS];
        for (index, share) in &job.shares {
            let worker = of_worker(&of(share), index.saturating_sub(1), self.config.worker_shards);
            sum.iter_mut().zip(worker).for_each(|(sum, weight)| *sum += weight);
        }
        sum
    }

    /// All that a job must end with.
    pub(crate) fn sent_of(&self, job: &Job) -> Counts {
        match self.config.target {
            Target::Gate => self.figures.counts(&of_all(&job.windows, self.config.sources())),
            Target::Manager => self.figures.counts(&self.weights_of(job, |share| share.recorded)),
        }
    }
}

fn receipt(
    link: LinkId,
    frame: &RawFrame<'_>,
    columns: &ArchivedStatsColumns,
    effects: &mut SaturateEffects,
) {
    if frame.header.flags.contains(Flags::WANTS_REPLY) {
        let mut ack = StatsAck::default();
        ack.acknowledge(columns);
        effects.send(link, Head::reply(frame.header.correlation), &ack);
    }
}
