//! One match on what happens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedWorkflowCancelRequest, ArchivedWorkflowDispatch, ArchivedWorkflowStart, CancelOutcome,
    ErrorReply, HealthcheckExtensionResponse, ManagerHeartbeat, PushPull, RateLimitResponse,
    RegistrationResponse, ShareRevision, StatsAck, StatsFinalAck, WorkflowCancelRequest,
    WorkflowCancelResponse, WorkflowDispatch, WorkflowDispatchAck, WorkflowFinalResultAck, WorkflowStart,
    WorkflowState, WorkflowStatus,
};
use hyperscale_codec::{
    Archived, Attempt, DecodeError, Flags, Head, JobId, Kind, RawFrame, ShardId, WorkflowId,
};
use hyperscale_core::{Core, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_engine::orders::{Order, Origin, Report, ShareKey};
use hyperscale_fleet::{BEAT, Calls, Dialer, Identity, Membership, MembershipConfig, PeerLink};
use hyperscale_reliability::StatsSent;

use crate::calls::Call;
use crate::peers::OVERLOADED;
use crate::progress::Standing;
use crate::share::{HostPort, Share};

/// So that calls do not draw what the dials draw.
const CALLS: u64 = 0x6361_6c6c_7300;
/// Shares at once, over all jobs; one more is refused.
const SHARES_MAX: usize = 1_024;

/// What a worker is told at its start.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The node; its shards are those that drive load.
    pub identity: Identity,
    pub capacity_vus: u32,
    /// Seeds what is random.
    pub seed: u64,
    pub wall: WallClock,
    /// How it is a member of its datacenter.
    pub membership: MembershipConfig,
}

/// What the worker's driver tells it.
#[derive(Debug)]
pub enum Local {
    /// Managers are at these addresses.
    Join(Vec<SocketAddr>),
    /// Take no more load; [`Command::Drained`] follows when that here has moved or ended.
    Drain,
    /// How loaded this node is: 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    Overload(u8),
    /// The answer to [`Command::Resolve`].
    Resolved { key: ShareKey, result: Result<Vec<Origin>, String> },
    /// A load shard says something.
    Report(Report),
}

/// What the worker asks of its driver.
#[derive(Debug)]
pub enum Command {
    /// To one load shard.
    Order { shard: ShardId, order: Order },
    /// Look these names up, off the shard. Comes back as [`Local::Resolved`].
    Resolve { key: ShareKey, hosts: Vec<HostPort> },
    /// No share is left, and none will come.
    Drained,
    /// The managers do not take this node, and will not: its name is in use, its version too old.
    Refused(String),
}

pub(crate) type WorkerEffects = Effects<Command>;

/// One worker.
#[derive(Debug)]
pub struct WorkerCore {
    pub(crate) config: WorkerConfig,
    pub(crate) dialer: Dialer,
    /// Links to managers.
    pub(crate) links: BTreeMap<LinkId, PeerLink>,
    pub(crate) membership: Membership,
    pub(crate) shares: BTreeMap<ShareKey, Share>,
    pub(crate) calls: Calls<Call>,
    pub(crate) now: Instant,
    /// How loaded it is, as its driver told last: 0 healthy to 3 overloaded.
    pub(crate) overload: u8,
    pub(crate) draining: bool,
    /// All is done, and goodbye said to the members.
    pub(crate) drained: bool,
    /// A manager took this one on.
    pub(crate) joined: bool,
    pub(crate) standings: BTreeMap<LinkId, Standing>,
    /// Messages of statistics, for metrics.
    pub(crate) sent: StatsSent,
    next_beat: Instant,
    epochs: u32,
    scratch: Vec<u8>,
}

impl WorkerCore {
    /// A worker without a manager.
    #[must_use]
    pub fn new(config: WorkerConfig) -> Self {
        Self {
            dialer: Dialer::new(config.identity.addr, config.seed),
            links: BTreeMap::new(),
            membership: Membership::new(&config.identity, config.membership.clone(), config.wall.at),
            shares: BTreeMap::new(),
            calls: Calls::new(config.seed ^ CALLS),
            now: Instant::ZERO,
            overload: 0,
            draining: false,
            drained: false,
            joined: false,
            standings: BTreeMap::new(),
            sent: StatsSent::default(),
            next_beat: Instant::ZERO,
            epochs: 0,
            scratch: Vec::new(),
            config,
        }
    }

    /// Who it is a member with.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    fn on_message(
        &mut self,
        kind: Kind,
        link: LinkId,
        frame: RawFrame<'_>,
        scratch: &mut Vec<u8>,
        effects: &mut WorkerEffects,
    ) -> Result<(), DecodeError> {
        match kind {
            Kind::WorkflowDispatch => {
                self.on_dispatch(link, &frame, frame.decode::<WorkflowDispatch>(scratch)?, effects);
            }
            Kind::WorkflowStart => {
                self.on_start(link, &frame, frame.decode::<WorkflowStart>(scratch)?, effects);
            }
            Kind::WorkflowCancelRequest => {
                self.on_cancel(link, &frame, frame.decode::<WorkflowCancelRequest>(scratch)?, effects);
            }
            Kind::ShareRevision => {
                self.on_revision(link, &frame, frame.decode::<ShareRevision>(scratch)?, effects);
            }
            Kind::WorkflowFinalResultAck => {
                let ack = frame.decode::<WorkflowFinalResultAck>(scratch)?;
                let key = key(ack.job, [ack.workflow, ack.attempt, ack.revision]);
                self.shares.entry(key).and_modify(|share| share.result_acked = true);
                self.settle_end(key);
                self.release(key, effects);
                self.tell_if_drained(effects);
            }
            Kind::StatsAck => {
                let ack = frame.decode::<StatsAck>(scratch)?;
                self.on_stats_acked(JobId::from_bytes(ack.job), ack, effects);
            }
            Kind::StatsFinalAck => {
                let ack = frame.decode::<StatsFinalAck>(scratch)?;
                let job = JobId::from_bytes(ack.job);
                let epochs: Vec<u64> = ack.source_epoch.iter().map(|epoch| epoch.to_native()).collect();
                self.on_finals_kept(job, &epochs, effects);
            }
            Kind::RegistrationResponse => {
                let answer = frame.decode::<RegistrationResponse>(scratch)?;
                self.on_registered(link, &frame, answer, effects);
            }
            Kind::PushPull => {
                let told = frame.decode::<PushPull>(scratch)?;
                self.membership.on_push_pull(self.now, (link, &frame), told, &self.links, effects);
            }
            Kind::ManagerHeartbeat => self.on_manager_beat(link, frame.decode::<ManagerHeartbeat>(scratch)?),
            Kind::HealthcheckExtensionResponse => {
                self.on_extension(link, frame.decode::<HealthcheckExtensionResponse>(scratch)?);
            }
            Kind::ErrorReply => {
                self.on_error_reply(link, &frame, frame.decode::<ErrorReply>(scratch)?, effects);
            }
            Kind::RateLimitResponse => {
                self.on_rate_limited(link, &frame, frame.decode::<RateLimitResponse>(scratch)?, effects);
            }
            // Everything else is an answer that changes nothing here, or not for a worker.
            Kind::Goodbye
            | Kind::HealthcheckExtensionRequest
            | Kind::JobCancelRequest
            | Kind::JobCancelResponse
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResult
            | Kind::DcFinalResult
            | Kind::DcFinalResultAck
            | Kind::JobFinalResult
            | Kind::JobFinalResultAck
            | Kind::StatsFinal
            | Kind::JobSubmit
            | Kind::JobAck
            | Kind::JobListRequest
            | Kind::JobListResponse
            | Kind::JobDispatch
            | Kind::JobDispatchAck
            | Kind::WorkflowDispatchAck
            | Kind::WorkflowStatus
            | Kind::ShareRevisionAck
            | Kind::WorkerRegistration
            | Kind::WorkerHeartbeat
            | Kind::GateHeartbeat
            | Kind::GatePeerRegistration
            | Kind::GatePeerRegistrationResponse
            | Kind::NodesRequest
            | Kind::NodesResponse
            | Kind::NodeWhyRequest
            | Kind::NodeWhyResponse
            | Kind::StatsQuery
            | Kind::StatsResponse
            | Kind::JobStatusRequest
            | Kind::JobStatusResponse
            | Kind::RegisterCallback
            | Kind::RegisterCallbackResponse
            | Kind::ManagerPeerRegistration
            | Kind::ManagerPeerRegistrationResponse
            | Kind::JobProgress
            | Kind::JobProgressAck
            | Kind::JobStatusPush
            | Kind::StatsUpdate
            | Kind::StatsSnapshot => {}
        }
        Ok(())
    }

    fn on_dispatch(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        dispatch: &ArchivedWorkflowDispatch,
        effects: &mut WorkerEffects,
    ) {
        let key = key(dispatch.job, [dispatch.workflow, dispatch.attempt, dispatch.revision]);
        let correlation = frame.header.correlation;
        let refuse =
            |effects: &mut WorkerEffects, error: String| answer(effects, link, correlation, key, Err(error));
        if let Some(share) = self.shares.get_mut(&key) {
            // Known: nothing starts twice. Another manager, or another start of it, would wait for ever.
            let asks = self.links.get(&link).map(|link| (link.node, link.boot));
            if asks == Some(share.manager) {
                // The answer that is on its way may be lost.
                share.answer_again(link, correlation, effects);
            } else {
                refuse(
                    effects,
                    "this share was given by another manager, or an earlier start of it".to_owned(),
                );
            }
            return;
        }
        if self.draining {
            refuse(effects, format!("worker {} is draining", self.config.identity.name));
            return;
        }
        if self.shares.len() >= SHARES_MAX {
            refuse(effects, format!("this worker has {SHARES_MAX} shares already"));
            return;
        }
        let plan = match hyperscale_plan::parse("plan", dispatch.plan.as_str()) {
            Ok(plan) => Arc::new(plan),
            Err(errors) => {
                refuse(effects, errors.to_string());
                return;
            }
        };
        let Some(manager) = self.links.get(&link).map(|link| (link.node, link.boot)) else { return };
        let from = (manager, link, correlation);
        let share = Share::new(key, plan, dispatch, from, self.config.identity.shards);
        match share {
            Ok(share) => {
                effects.command(Command::Resolve { key, hosts: share.hosts() });
                self.shares.insert(key, share);
            }
            Err(error) => refuse(effects, error),
        }
    }

    fn on_resolved(
        &mut self,
        key: ShareKey,
        result: Result<Vec<Origin>, String>,
        effects: &mut WorkerEffects,
    ) {
        let boot = self.config.identity.boot;
        let Some(share) = self.shares.get_mut(&key) else { return };
        match result {
            Ok(origins) => {
                let mut epochs = self.epochs;
                share.prepare(Arc::new(origins), boot, &mut epochs, effects);
                self.epochs = epochs;
            }
            Err(error) => {
                answer(effects, share.link, share.correlation, key, Err(error));
                self.shares.remove(&key);
            }
        }
    }

    /// Answered each time, started once.
    fn on_start(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        start: &ArchivedWorkflowStart,
        effects: &mut WorkerEffects,
    ) {
        let key = key(start.job, [start.workflow, start.attempt, start.revision]);
        if frame.header.flags.contains(Flags::WANTS_REPLY) {
            let share = self.shares.get(&key);
            let state = match share.map(|share| share.cancelled) {
                Some(false) => WorkflowState::Running,
                Some(true) => WorkflowState::Cancelled,
                None => WorkflowState::Failed,
            };
            let status = WorkflowStatus {
                job: start.job,
                workflow: key.workflow.0,
                attempt: key.attempt.0,
                revision: key.revision,
                dc_token: start.dc_token.to_native(),
                state: state.to_wire(),
                reason: share.map_or_else(|| "this share is not known here".to_owned(), |_| String::new()),
            };
            effects.send(link, Head::reply(frame.header.correlation).job(key.job), &status);
        }
        let Some(share) = self.shares.get_mut(&key) else { return };
        // The workflow's start: ahead, or behind for a share that joins it.
        let at = self.now + Duration::from_micros(start.start_in_us.to_native())
            - Duration::from_micros(start.elapsed_us.to_native());
        let job_start = at - Duration::from_micros(start.job_elapsed_us.to_native());
        share.start(at, job_start, effects);
    }

    fn on_cancel(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedWorkflowCancelRequest,
        effects: &mut WorkerEffects,
    ) {
        let key = key(request.job_id, [request.workflow_id, request.attempt, request.revision]);
        let correlation = frame.header.correlation;
        let known = match self.shares.get_mut(&key) {
            Some(share) if !share.is_over() => {
                share.cancel(
                    link,
                    correlation,
                    Duration::from_millis(request.cut_after_ms.to_native().into()),
                    effects,
                );
                return;
            }
            Some(_) => CancelOutcome::AlreadyFinished,
            None => CancelOutcome::Unknown,
        };
        let answer = WorkflowCancelResponse {
            job_id: request.job_id,
            workflow_id: key.workflow.0,
            attempt: key.attempt.0,
            revision: key.revision,
            outcome: known.to_wire(),
            in_flight_ended: 0,
            in_flight_cut: 0,
            never_started: 0,
        };
        effects.send(link, Head::reply(correlation).job(key.job), &answer);
    }

    fn on_finals_kept(&mut self, job: JobId, epochs: &[u64], effects: &mut WorkerEffects) {
        let shares = self.shares.values_mut().filter(|share| share.key.job == job);
        let keys: Vec<ShareKey> = shares
            .filter_map(|share| {
                share.finals_kept |= share.keep_finals(epochs);
                share.finals_kept.then_some(share.key)
            })
            .collect();
        keys.into_iter().for_each(|key| self.release(key, effects));
    }

    /// Forgets a share once both its result and its finals are safe elsewhere.
    fn release(&mut self, key: ShareKey, effects: &mut WorkerEffects) {
        let done = self.shares.get(&key).is_some_and(|share| share.result_acked && share.finals_kept);
        if let Some(share) = done.then(|| self.shares.remove(&key)).flatten() {
            self.calls.forget(&Call::Result(key));
            share.order_all(effects, || Order::Release { key });
            self.tell_if_drained(effects);
        }
    }
}

/// Names a share as the wire does.
pub(crate) fn key(job: [u8; 16], told: [Archived<u32>; 3]) -> ShareKey {
    let [workflow, attempt, revision] = told.map(|number| number.to_native());
    ShareKey {
        job: JobId::from_bytes(job),
        workflow: WorkflowId(workflow),
        attempt: Attempt(attempt),
        revision,
    }
}

/// Tells the manager whether a share is ready.
pub(crate) fn answer(
    effects: &mut WorkerEffects,
    link: LinkId,
    correlation: u32,
    key: ShareKey,
    result: Result<(), String>,
) {
    let ack = WorkflowDispatchAck {
        job: key.job.to_bytes(),
        workflow: key.workflow.0,
        attempt: key.attempt.0,
        revision: key.revision,
        ready: result.is_ok(),
        error: result.err().unwrap_or_default(),
    };
    effects.send(link, Head::reply(correlation).job(key.job), &ack);
}

impl Core for WorkerCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut WorkerEffects) {
        self.now = now;
        match event {
            Event::Frame { link, frame } => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let done = match frame.kind() {
                    Some(kind) => self.on_message(kind, link, frame, &mut scratch, effects),
                    None => {
                        effects.refuse_unknown(link, &frame);
                        Ok(())
                    }
                };
                if let Err(error) = done {
                    tracing::warn!(%error, "a manager's message could not be read");
                    effects.refuse(link, &frame, error.code(), error.to_string());
                }
                self.scratch = scratch;
            }
            Event::Local(Local::Join(addrs)) => {
                addrs.into_iter().for_each(|addr| self.dialer.join(now, addr));
                self.dialer.go(now, effects);
            }
            Event::Local(Local::Drain) => self.on_drain(effects),
            Event::Local(Local::Overload(state)) => {
                self.overload = state.min(3);
                if self.overload >= OVERLOADED {
                    let loaded = |share: &&mut Share| share.begins.is_some_and(|begins| begins <= now);
                    let running = self.shares.values_mut().filter(loaded).filter(|share| !share.is_over());
                    running.for_each(Share::was_overloaded);
                }
                self.beat(effects);
            }
            Event::Local(Local::Resolved { key, result }) => self.on_resolved(key, result, effects),
            Event::Local(Local::Report(report)) => self.on_report(report, effects),
            Event::LinkUp { link, peer, dial } => self.on_link_up(link, peer, dial, effects),
            Event::LinkDown { link, .. } => self.on_link_down(link, effects),
            Event::DialFailed { dial, error } => {
                if !self.membership.on_dial_failed(now, dial, &self.links, effects) {
                    self.dialer.on_failed(now, dial, &error);
                }
            }
            Event::Datagram { port, from, bytes } => {
                self.membership.on_datagram(now, (port, from, bytes), &self.links, effects);
            }
            Event::Timer => {
                if self.next_beat <= now {
                    self.next_beat = now + BEAT;
                    self.beat(effects);
                    self.ask_for_time(effects);
                    self.stop_orphans(effects);
                }
                self.make_due_calls(effects);
                self.membership.on_timer(now, &self.links, effects);
                self.tell_if_drained(effects);
                self.dialer.go(now, effects);
                self.flush_late(effects);
            }
        }
        // Who dies is its managers' business.
        self.membership.forget_changes();
    }

    fn next_deadline(&self) -> Option<Instant> {
        // With shares but no manager, too: somebody must notice that their load is not wanted any more.
        let beat = (!self.links.is_empty() || !self.shares.is_empty()).then_some(self.next_beat);
        let flush = self.shares.values().filter_map(Share::flush_deadline).min();
        let own = [self.membership.next_deadline(), self.dialer.next_deadline()];
        own.into_iter().chain([beat, flush, self.calls.next_deadline()]).flatten().min()
    }
}
