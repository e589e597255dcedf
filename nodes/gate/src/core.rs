//! One match on what happens; each arm's room is a file of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedManagerPeerRegistration, DcFinalResult, ErrorReply, JobCancelRequest, JobDispatchAck,
    JobFinalResultAck, JobProgress, JobSubmit, ManagerPeerRegistration, ManagerPeerRegistrationResponse,
    StatsFinal, StatsSnapshot, StatsUpdate,
};
use hyperscale_codec::{
    DecodeError, ErrorCode, Flags, Head, JobId, Kind, NodeId, ProtocolVersion, RawFrame, Role, ShardId,
};
use hyperscale_core::{Core, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_jobs::{ConsistentHashRing, Member};
use hyperscale_ledger::{Committed, GateEntry};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::job::GateJob;

/// Live jobs of one gate at most; one more is refused `capacity`.
const JOBS_MAX: usize = 10_000;
/// A finished job is remembered so long, to answer repeats.
pub(crate) const REMEMBER: Duration = Duration::from_secs(600);

/// What a gate is told at its start.
#[derive(Debug, Clone)]
pub struct GateConfig {
    pub node: NodeId,
    pub shard: ShardId,
    /// Shards of this gate; all are members of its ring.
    pub shards: u16,
    /// `host:port` that clients may come back to.
    pub addr: String,
    /// Seeds job ids.
    pub seed: u64,
    /// The wall clock at the start, to date jobs.
    pub wall: WallClock,
    /// Wait for a datacenter that can take a job; then the job fails.
    pub dispatch_wait: Duration,
}

/// What the gate's driver tells it.
#[derive(Debug)]
pub enum Local {
    /// An entry it proposed, or another gate did, is decided.
    Committed(Committed<GateEntry>),
}

/// What the gate asks of its driver.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Comes back as [`Local::Committed`].
    Propose(GateEntry),
}

/// Effects of a gate.
pub(crate) type GateEffects = Effects<Command>;

/// A manager that registered here.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) node: NodeId,
    pub(crate) datacenter: String,
    pub(crate) worker_shards: u32,
}

/// One shard of a gate.
#[derive(Debug)]
pub struct GateCore {
    pub(crate) config: GateConfig,
    pub(crate) ring: ConsistentHashRing,
    pub(crate) rng: StdRng,
    pub(crate) managers: BTreeMap<LinkId, Manager>,
    pub(crate) jobs: BTreeMap<JobId, GateJob>,
    /// Idempotency keys of the jobs we know.
    pub(crate) keys: BTreeMap<[u8; 16], JobId>,
    pub(crate) now: Instant,
    scratch: Vec<u8>,
}

impl GateCore {
    /// A gate without jobs, alone on its ring.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        let mut ring = ConsistentHashRing::default();
        ring.add_node(config.node, config.shards);
        Self {
            ring,
            rng: StdRng::seed_from_u64(config.seed),
            managers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            keys: BTreeMap::new(),
            now: Instant::ZERO,
            scratch: Vec::new(),
            config,
        }
    }

    /// Jobs that have not ended.
    #[must_use]
    pub fn live_jobs(&self) -> usize {
        self.jobs.values().filter(|job| !job.state().is_final()).count()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.live_jobs() < JOBS_MAX
    }

    pub(crate) fn me(&self) -> Member {
        Member { node: self.config.node, shard: self.config.shard }
    }

    fn on_frame(&mut self, link: LinkId, frame: RawFrame<'_>, effects: &mut GateEffects) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let Some(kind) = frame.kind() else { return };
        let done = self.on_message(kind, link, frame, &mut scratch, effects);
        if let Err(error) = done {
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
        effects: &mut GateEffects,
    ) -> Result<(), DecodeError> {
        match kind {
            Kind::JobSubmit => self.on_submit(link, &frame, frame.decode::<JobSubmit>(scratch)?, effects),
            Kind::JobCancelRequest => {
                self.on_cancel(link, &frame, frame.decode::<JobCancelRequest>(scratch)?, effects);
            }
            Kind::JobFinalResultAck => {
                let ack = frame.decode::<JobFinalResultAck>(scratch)?;
                self.on_result_acked(link, JobId::from_bytes(ack.job));
            }
            Kind::ManagerPeerRegistration => {
                self.on_manager(link, &frame, frame.decode::<ManagerPeerRegistration>(scratch)?, effects);
            }
            Kind::JobDispatchAck => self.on_dispatch_ack(frame.decode::<JobDispatchAck>(scratch)?, effects),
            Kind::JobProgress => {
                self.on_progress(link, &frame, frame.decode::<JobProgress>(scratch)?, effects)
            }
            Kind::StatsUpdate => {
                self.on_update(link, &frame, &frame.decode::<StatsUpdate>(scratch)?.0, effects);
            }
            Kind::StatsSnapshot => {
                self.on_snapshot(link, &frame, &frame.decode::<StatsSnapshot>(scratch)?.0, false, effects);
            }
            Kind::StatsFinal => {
                self.on_snapshot(link, &frame, &frame.decode::<StatsFinal>(scratch)?.0, true, effects);
            }
            Kind::DcFinalResult => {
                self.on_dc_final(link, &frame, frame.decode::<DcFinalResult>(scratch)?, effects);
            }
            Kind::Goodbye | Kind::ErrorReply => {}
            // Kinds whose senders never talk to a gate about anything it does.
            Kind::JobCancelResponse
            | Kind::WorkflowCancelRequest
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResult
            | Kind::WorkflowFinalResultAck
            | Kind::DcFinalResultAck
            | Kind::JobFinalResult
            | Kind::StatsFinalAck
            | Kind::JobAck
            | Kind::JobDispatch
            | Kind::WorkflowDispatch
            | Kind::WorkflowDispatchAck
            | Kind::WorkflowStart
            | Kind::WorkflowStatus
            | Kind::ShareRevision
            | Kind::ShareRevisionAck
            | Kind::WorkerRegistration
            | Kind::RegistrationResponse
            | Kind::ManagerPeerRegistrationResponse
            | Kind::JobProgressAck
            | Kind::JobStatusPush
            | Kind::StatsAck => {
                let text = format!("{} is nothing a gate takes", kind.name());
                refuse(effects, link, &frame, ErrorCode::Unsupported, text);
            }
        }
        Ok(())
    }

    fn on_manager(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedManagerPeerRegistration,
        effects: &mut GateEffects,
    ) {
        let manager = Manager {
            node: NodeId::from_bytes(told.node),
            datacenter: told.datacenter.as_str().to_owned(),
            worker_shards: told.worker_shards.to_native(),
        };
        self.managers.retain(|_, other| other.node != manager.node);
        self.managers.insert(link, manager);
        let version = ProtocolVersion::CURRENT;
        let answer = ManagerPeerRegistrationResponse {
            accepted: true,
            error: String::new(),
            protocol_version: version.to_wire(),
            features: version.features().0,
            peers: Vec::new(),
        };
        effects.send(link, Head::reply(frame.header.correlation), &answer);
        self.dispatch_waiting(effects);
    }

    fn on_committed(&mut self, committed: Committed<GateEntry>, effects: &mut GateEffects) {
        let index = committed.index;
        match committed.entry {
            GateEntry::JobAccepted { job, .. } => self.on_accepted(job, index, effects),
            GateEntry::DcAssigned { job, datacenter, .. } => self.on_assigned(job, &datacenter, effects),
            GateEntry::DcFinished { job, datacenter, .. } => self.on_dc_finished(job, &datacenter, effects),
            GateEntry::JobCancelRequested { job, .. } => self.on_cancel_committed(job, effects),
            GateEntry::JobFinished { job, .. } => self.on_finished(job, effects),
        }
    }

    fn on_link_down(&mut self, link: LinkId, effects: &mut GateEffects) {
        self.jobs.values_mut().for_each(|job| job.forget_link(link));
        if let Some(manager) = self.managers.remove(&link) {
            self.on_manager_lost(&manager, effects);
        }
    }

    fn on_timer(&mut self, effects: &mut GateEffects) {
        self.flush_views(effects);
        self.fail_undispatched(effects);
        self.expire_cancels(effects);
        let now = self.now;
        self.jobs.retain(|_, job| job.ended_at.is_none_or(|ended| now.since(ended) < REMEMBER));
        let jobs = &self.jobs;
        self.keys.retain(|_, job| jobs.contains_key(job));
    }
}

/// Answers a request that cannot be met; one-way frames get none.
pub(crate) fn refuse(
    effects: &mut GateEffects,
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

impl Core for GateCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut GateEffects) {
        self.now = now;
        match event {
            Event::Frame { link, frame } => self.on_frame(link, frame, effects),
            Event::Local(Local::Committed(committed)) => self.on_committed(committed, effects),
            Event::LinkDown { link, .. } => self.on_link_down(link, effects),
            Event::Timer => self.on_timer(effects),
            Event::LinkUp { link, peer, .. } => {
                debug_assert!(peer.hello.role != Role::Worker, "a worker was let in at a gate: {link:?}");
            }
            Event::DialFailed { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.jobs.values().filter_map(|job| job.next_deadline(&self.config)).min()
    }
}
