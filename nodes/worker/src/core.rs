//! One match on what happens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedWorkflowCancelRequest, ArchivedWorkflowDispatch, ArchivedWorkflowStart, CancelOutcome,
    RegistrationResponse, ShareRevision, StatsFinalAck, WorkerRegistration, WorkflowCancelRequest,
    WorkflowCancelResponse, WorkflowDispatch, WorkflowDispatchAck, WorkflowFinalResultAck, WorkflowStart,
};
use hyperscale_codec::{
    Archived, Attempt, DecodeError, Head, JobId, Kind, NodeId, ProtocolVersion, RawFrame, Role, ShardId,
    WorkflowId,
};
use hyperscale_core::{Core, DialId, Effects, Event, Instant, LinkId};
use hyperscale_engine::orders::{Order, Origin, Report, ShareKey};

use crate::share::{HostPort, Share};

/// A manager that cannot be reached is tried again after so long.
const REDIAL: Duration = Duration::from_millis(500);
/// Shares at once, over all jobs; one more is refused.
const SHARES_MAX: usize = 1_024;

/// What a worker is told at its start.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    pub node: NodeId,
    pub name: String,
    pub boot: u64,
    /// Load shards of this node.
    pub shards: u16,
    pub capacity_vus: u32,
    pub managers: Vec<SocketAddr>,
}

/// What the worker's driver tells it.
#[derive(Debug)]
pub enum Local {
    /// The node is up; dial the managers.
    Start,
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
}

pub(crate) type WorkerEffects = Effects<Command>;

/// One worker.
#[derive(Debug)]
pub struct WorkerCore {
    pub(crate) config: WorkerConfig,
    pub(crate) manager: Option<LinkId>,
    pub(crate) shares: BTreeMap<ShareKey, Share>,
    pub(crate) now: Instant,
    epochs: u32,
    redial_at: BTreeMap<usize, Instant>,
    dialled: BTreeMap<LinkId, usize>,
    scratch: Vec<u8>,
}

impl WorkerCore {
    /// A worker without a manager.
    #[must_use]
    pub fn new(config: WorkerConfig) -> Self {
        Self {
            config,
            manager: None,
            shares: BTreeMap::new(),
            now: Instant::ZERO,
            epochs: 0,
            redial_at: BTreeMap::new(),
            dialled: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    fn dial(&mut self, at: usize, effects: &mut WorkerEffects) {
        self.redial_at.remove(&at);
        if let (Some(addr), Ok(dial)) = (self.config.managers.get(at), u64::try_from(at)) {
            effects.dial(DialId(dial), *addr);
        }
    }

    fn on_link_up(&mut self, link: LinkId, role: Role, dial: Option<DialId>, effects: &mut WorkerEffects) {
        if role != Role::Manager {
            return;
        }
        self.manager = Some(link);
        if let Some(at) = dial.and_then(|dial| usize::try_from(dial.0).ok()) {
            self.dialled.insert(link, at);
        }
        let version = ProtocolVersion::CURRENT;
        let registration = WorkerRegistration {
            node: self.config.node.to_bytes(),
            name: self.config.name.clone(),
            node_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_version: version.to_wire(),
            features: version.features().0,
            boot: self.config.boot,
            incarnation: 0,
            shards: u32::from(self.config.shards),
            capacity_vus: self.config.capacity_vus,
        };
        effects.send(link, Head::request(1), &registration);
        // What ended meanwhile is told again; the manager ignores what it has.
        for share in self.shares.values().filter(|share| share.is_over()) {
            share.send_final(self.config.node, link, effects);
        }
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
            Kind::WorkflowStart => self.on_start(frame.decode::<WorkflowStart>(scratch)?, effects),
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
                self.release(key, effects);
            }
            Kind::StatsFinalAck => {
                let ack = frame.decode::<StatsFinalAck>(scratch)?;
                let job = JobId::from_bytes(ack.job);
                let epochs: Vec<u64> = ack.source_epoch.iter().map(|epoch| epoch.to_native()).collect();
                self.on_finals_kept(job, &epochs, effects);
            }
            Kind::RegistrationResponse => {
                let answer = frame.decode::<RegistrationResponse>(scratch)?;
                if !answer.accepted {
                    tracing::error!(error = answer.error.as_str(), "the manager refused this worker");
                    effects.close(link);
                }
            }
            // Everything else is an answer that changes nothing here, or not for a worker.
            Kind::Goodbye
            | Kind::JobCancelRequest
            | Kind::JobCancelResponse
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResult
            | Kind::DcFinalResult
            | Kind::DcFinalResultAck
            | Kind::JobFinalResult
            | Kind::JobFinalResultAck
            | Kind::StatsFinal
            | Kind::ErrorReply
            | Kind::JobSubmit
            | Kind::JobAck
            | Kind::JobDispatch
            | Kind::JobDispatchAck
            | Kind::WorkflowDispatchAck
            | Kind::WorkflowStatus
            | Kind::ShareRevisionAck
            | Kind::WorkerRegistration
            | Kind::ManagerPeerRegistration
            | Kind::ManagerPeerRegistrationResponse
            | Kind::JobProgress
            | Kind::JobProgressAck
            | Kind::JobStatusPush
            | Kind::StatsUpdate
            | Kind::StatsAck
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
        if self.shares.contains_key(&key) {
            // Known: nothing starts twice; the answer comes, or came, from the first.
            return;
        }
        let refuse =
            |effects: &mut WorkerEffects, error: String| answer(effects, link, correlation, key, Err(error));
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
        let share = Share::new(key, plan, dispatch, link, correlation, self.config.shards);
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
        let boot = self.config.boot;
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

    fn on_start(&mut self, start: &ArchivedWorkflowStart, effects: &mut WorkerEffects) {
        let key = key(start.job, [start.workflow, start.attempt, start.revision]);
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
        let kept = self.shares.values_mut().filter(|share| share.key.job == job && share.has_epochs(epochs));
        let keys: Vec<ShareKey> = kept
            .map(|share| {
                share.finals_kept = true;
                share.key
            })
            .collect();
        keys.into_iter().for_each(|key| self.release(key, effects));
    }

    /// Forgets a share once both its result and its finals are safe elsewhere.
    fn release(&mut self, key: ShareKey, effects: &mut WorkerEffects) {
        let done = self.shares.get(&key).is_some_and(|share| share.result_acked && share.finals_kept);
        if let Some(share) = done.then(|| self.shares.remove(&key)).flatten() {
            share.order_all(effects, || Order::Release { key });
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
                if let Some(kind) = frame.kind()
                    && let Err(error) = self.on_message(kind, link, frame, &mut scratch, effects)
                {
                    tracing::warn!(%error, "a manager's message could not be read");
                }
                self.scratch = scratch;
            }
            Event::Local(Local::Start) => {
                (0..self.config.managers.len()).for_each(|at| self.dial(at, effects))
            }
            Event::Local(Local::Resolved { key, result }) => self.on_resolved(key, result, effects),
            Event::Local(Local::Report(report)) => self.on_report(report, effects),
            Event::LinkUp { link, peer, dial } => self.on_link_up(link, peer.hello.role, dial, effects),
            Event::LinkDown { link, .. } => {
                self.manager = self.manager.filter(|manager| *manager != link);
                if let Some(at) = self.dialled.remove(&link) {
                    self.redial_at.insert(at, now + REDIAL);
                }
            }
            Event::DialFailed { dial, .. } => {
                if let Ok(at) = usize::try_from(dial.0) {
                    self.redial_at.insert(at, now + REDIAL);
                }
            }
            Event::Timer => {
                let due: Vec<usize> = self
                    .redial_at
                    .iter()
                    .filter(|(_, at)| **at <= now)
                    .map(|(manager, _)| *manager)
                    .collect();
                due.into_iter().for_each(|at| self.dial(at, effects));
                self.flush_late(effects);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let redials = self.redial_at.values().copied();
        redials.chain(self.shares.values().filter_map(Share::flush_deadline)).min()
    }
}
