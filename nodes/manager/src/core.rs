//! One match on what happens; each arm's room is a file of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedWorkerRegistration, DcFinalResultAck, ErrorReply, JobCancelRequest, JobDispatch,
    ManagerPeerRegistration, RegistrationResponse, ShareRevisionAck, StatsFinal, StatsFinalAck,
    StatsSnapshot, StatsUpdate, WorkerRegistration, WorkflowCancelResponse, WorkflowDispatchAck,
    WorkflowFinalResult,
};
use hyperscale_codec::{
    DecodeError, ErrorCode, Flags, Head, JobId, Kind, NodeId, ProtocolVersion, RawFrame, Role,
};
use hyperscale_core::{Core, DialId, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_ledger::{Committed, ManagerEntry};

use crate::job::DcJob;

/// Workers of one manager at most; one more is refused.
const WORKERS_MAX: usize = 16_384;
/// A gate that cannot be reached is tried again after so long.
const REDIAL: Duration = Duration::from_millis(500);
/// A finished job is remembered so long, to answer repeats.
pub(crate) const REMEMBER: Duration = Duration::from_secs(600);

/// What a manager is told at its start.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    pub node: NodeId,
    pub name: String,
    pub datacenter: String,
    pub boot: u64,
    pub shards: u16,
    pub gates: Vec<SocketAddr>,
    /// Seeds the workers' random draws.
    pub seed: u64,
    pub wall: WallClock,
}

/// What the manager's driver tells it.
#[derive(Debug)]
pub enum Local {
    /// The node is up; dial the gates.
    Start,
    /// An entry it proposed is decided.
    Committed(Committed<ManagerEntry>),
}

/// What the manager asks of its driver.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Comes back as [`Local::Committed`].
    Propose(ManagerEntry),
}

pub(crate) type ManagerEffects = Effects<Command>;

/// A worker that registered here.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) shards: u32,
    /// Whether it takes more shares.
    pub(crate) accepting: bool,
}

/// One manager.
#[derive(Debug)]
pub struct ManagerCore {
    pub(crate) config: ManagerConfig,
    /// Links to gates, once up.
    pub(crate) gates: BTreeMap<LinkId, NodeId>,
    pub(crate) workers: BTreeMap<LinkId, Worker>,
    pub(crate) jobs: BTreeMap<JobId, DcJob>,
    pub(crate) now: Instant,
    redial_at: BTreeMap<usize, Instant>,
    dialled: BTreeMap<LinkId, usize>,
    scratch: Vec<u8>,
}

impl ManagerCore {
    /// A manager without workers.
    #[must_use]
    pub fn new(config: ManagerConfig) -> Self {
        Self {
            config,
            gates: BTreeMap::new(),
            workers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            now: Instant::ZERO,
            redial_at: BTreeMap::new(),
            dialled: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    fn dial(&mut self, at: usize, effects: &mut ManagerEffects) {
        self.redial_at.remove(&at);
        if let (Some(addr), Ok(dial)) = (self.config.gates.get(at), u64::try_from(at)) {
            effects.dial(DialId(dial), *addr);
        }
    }

    fn on_link_up(
        &mut self,
        link: LinkId,
        role: Role,
        node: NodeId,
        dial: Option<DialId>,
        effects: &mut ManagerEffects,
    ) {
        if role != Role::Gate {
            return;
        }
        self.gates.insert(link, node);
        if let Some(at) = dial.and_then(|dial| usize::try_from(dial.0).ok()) {
            self.dialled.insert(link, at);
        }
        let registration = self.registration();
        effects.send(link, Head::request(1), &registration);
        self.resend_finals(link, node, effects);
    }

    fn registration(&self) -> ManagerPeerRegistration {
        let version = ProtocolVersion::CURRENT;
        ManagerPeerRegistration {
            node: self.config.node.to_bytes(),
            name: self.config.name.clone(),
            datacenter: self.config.datacenter.clone(),
            node_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_version: version.to_wire(),
            features: version.features().0,
            boot: self.config.boot,
            incarnation: 0,
            shards: u32::from(self.config.shards),
            worker_shards: self.workers.values().fold(0, |sum, worker| sum.saturating_add(worker.shards)),
        }
    }

    /// Tells the gates how many worker shards there are now.
    fn announce(&self, effects: &mut ManagerEffects) {
        let registration = self.registration();
        for link in self.gates.keys() {
            effects.send(*link, Head::request(1), &registration);
        }
    }

    fn on_worker(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedWorkerRegistration,
        effects: &mut ManagerEffects,
    ) {
        let worker = Worker {
            node: NodeId::from_bytes(told.node),
            name: told.name.as_str().to_owned(),
            shards: told.shards.to_native(),
            accepting: true,
        };
        let taken = self.workers.values().any(|other| other.name == worker.name && other.node != worker.node);
        let error = if taken {
            format!("a worker named {:?} is registered already; names are unique", worker.name)
        } else if self.workers.len() >= WORKERS_MAX || worker.shards == 0 {
            format!("{} workers are registered, or the worker has no shard", self.workers.len())
        } else {
            String::new()
        };
        let version = ProtocolVersion::CURRENT;
        let answer = RegistrationResponse {
            accepted: error.is_empty(),
            error,
            protocol_version: version.to_wire(),
            features: version.features().0,
            heartbeat_ms: 2_000,
            managers: Vec::new(),
        };
        if answer.accepted {
            self.workers.retain(|_, other| other.node != worker.node);
            self.on_worker_back(link, worker.node, effects);
            self.workers.insert(link, worker);
        }
        effects.send(link, Head::reply(frame.header.correlation), &answer);
        self.announce(effects);
    }

    fn on_link_down(&mut self, link: LinkId, effects: &mut ManagerEffects) {
        self.gates.remove(&link);
        if let Some(at) = self.dialled.remove(&link) {
            self.redial_at.insert(at, self.now + REDIAL);
        }
        if let Some(worker) = self.workers.remove(&link) {
            self.announce(effects);
            self.on_worker_lost(&worker, effects);
        }
    }

    fn on_frame(&mut self, link: LinkId, frame: RawFrame<'_>, effects: &mut ManagerEffects) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(kind) = frame.kind()
            && let Err(error) = self.on_message(kind, link, frame, &mut scratch, effects)
        {
            refuse(effects, link, &frame, ErrorCode::Malformed, error.to_string());
        }
        self.scratch = scratch;
    }

    fn on_message(
        &mut self,
        kind: Kind,
        link: LinkId,
        frame: RawFrame<'_>,
        scratch: &mut Vec<u8>,
        effects: &mut ManagerEffects,
    ) -> Result<(), DecodeError> {
        match kind {
            Kind::WorkerRegistration => {
                self.on_worker(link, &frame, frame.decode::<WorkerRegistration>(scratch)?, effects);
            }
            Kind::JobDispatch => {
                self.on_dispatch(link, &frame, frame.decode::<JobDispatch>(scratch)?, effects)
            }
            Kind::WorkflowDispatchAck => {
                self.on_workflow_ready(link, frame.decode::<WorkflowDispatchAck>(scratch)?, effects);
            }
            Kind::ShareRevisionAck => {
                self.on_revision_ack(link, frame.decode::<ShareRevisionAck>(scratch)?, effects);
            }
            Kind::StatsUpdate => {
                self.on_update(link, &frame, &frame.decode::<StatsUpdate>(scratch)?.0, effects)
            }
            Kind::StatsSnapshot => {
                self.on_snapshot(link, &frame, &frame.decode::<StatsSnapshot>(scratch)?.0, false, effects);
            }
            Kind::StatsFinal => {
                self.on_snapshot(link, &frame, &frame.decode::<StatsFinal>(scratch)?.0, true, effects);
            }
            Kind::WorkflowFinalResult => {
                self.on_workflow_final(link, &frame, frame.decode::<WorkflowFinalResult>(scratch)?, effects);
            }
            Kind::JobCancelRequest => self.on_cancel(frame.decode::<JobCancelRequest>(scratch)?, effects),
            Kind::WorkflowCancelResponse => {
                self.on_workflow_cancelled(frame.decode::<WorkflowCancelResponse>(scratch)?);
            }
            Kind::DcFinalResultAck => {
                let ack = frame.decode::<DcFinalResultAck>(scratch)?;
                self.on_result_acked(JobId::from_bytes(ack.job));
            }
            Kind::StatsFinalAck => self.on_finals_kept(frame.decode::<StatsFinalAck>(scratch)?, effects),
            // Answers that change nothing here, and a peer's last words.
            Kind::StatsAck
            | Kind::JobProgressAck
            | Kind::ManagerPeerRegistrationResponse
            | Kind::WorkflowStatus
            | Kind::ErrorReply
            | Kind::Goodbye => {}
            Kind::JobSubmit
            | Kind::JobAck
            | Kind::JobDispatchAck
            | Kind::WorkflowDispatch
            | Kind::WorkflowStart
            | Kind::ShareRevision
            | Kind::RegistrationResponse
            | Kind::ManagerPeerRegistration
            | Kind::JobCancelResponse
            | Kind::WorkflowCancelRequest
            | Kind::WorkflowFinalResultAck
            | Kind::DcFinalResult
            | Kind::JobFinalResult
            | Kind::JobFinalResultAck
            | Kind::JobProgress
            | Kind::JobStatusPush => {
                let text = format!("{} is nothing a manager takes", kind.name());
                refuse(effects, link, &frame, ErrorCode::Unsupported, text);
            }
        }
        Ok(())
    }

    fn on_committed(&mut self, committed: Committed<ManagerEntry>, effects: &mut ManagerEffects) {
        let index = committed.index;
        match committed.entry {
            ManagerEntry::DcJobAccepted { job, .. } => self.on_accepted(job, index, effects),
            ManagerEntry::WorkflowAssigned { job, workflow, moves: None, .. } => {
                self.on_assigned(job, workflow, effects);
            }
            ManagerEntry::WorkflowAssigned { job, workflow, revision, moves: Some(share), .. } => {
                self.on_move_committed(job, workflow, revision, share, effects);
            }
            ManagerEntry::WorkflowEnded { job, workflow } => self.on_workflow_ended(job, workflow, effects),
            ManagerEntry::DcCancelRequested { job } => self.on_cancel_committed(job, effects),
            ManagerEntry::DcJobEnded { job } => self.on_job_ended(job, effects),
        }
    }

    fn on_timer(&mut self, effects: &mut ManagerEffects) {
        let now = self.now;
        let due: Vec<usize> =
            self.redial_at.iter().filter(|(_, at)| **at <= now).map(|(gate, _)| *gate).collect();
        due.into_iter().for_each(|gate| self.dial(gate, effects));
        self.flush_late_views(effects);
        self.start_without_late_workers(effects);
        self.jobs.retain(|_, job| job.ended_at.is_none_or(|ended| now.since(ended) < REMEMBER));
    }
}

/// Answers a request that cannot be met; one-way frames get none.
pub(crate) fn refuse(
    effects: &mut ManagerEffects,
    link: LinkId,
    frame: &RawFrame<'_>,
    code: ErrorCode,
    message: String,
) {
    if !frame.header.flags.contains(Flags::WANTS_REPLY) {
        return;
    }
    let reply = ErrorReply {
        code: code.to_wire(),
        message,
        retry_after_ms: 0,
        holder: [0; 16],
        holder_addr: String::new(),
        seen: 0,
    };
    effects.send(link, Head::reply(frame.header.correlation), &reply);
}

impl Core for ManagerCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut ManagerEffects) {
        self.now = now;
        match event {
            Event::Frame { link, frame } => self.on_frame(link, frame, effects),
            Event::Local(Local::Committed(committed)) => self.on_committed(committed, effects),
            Event::Local(Local::Start) => {
                (0..self.config.gates.len()).for_each(|gate| self.dial(gate, effects))
            }
            Event::LinkUp { link, peer, dial } => {
                self.on_link_up(link, peer.hello.role, peer.hello.node, dial, effects);
            }
            Event::LinkDown { link, .. } => self.on_link_down(link, effects),
            Event::DialFailed { dial, .. } => {
                if let Ok(gate) = usize::try_from(dial.0) {
                    self.redial_at.insert(gate, now + REDIAL);
                }
            }
            Event::Timer => self.on_timer(effects),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let redials = self.redial_at.values().copied();
        redials.chain(self.jobs.values().filter_map(DcJob::next_deadline)).min()
    }
}
