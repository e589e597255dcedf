//! One match on what happens; each arm's room is a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResultAck, ErrorReply, GateHeartbeat, Goodbye, HealthcheckExtensionRequest, JobCancelRequest,
    JobDispatch, JobProgressAck, ManagerHeartbeat, ManagerPeerRegistration, ManagerPeerRegistrationResponse,
    NodeWhyRequest, NodesRequest, PushPull, RateLimitResponse, ShareRevisionAck, StatsAck, StatsFinal,
    StatsFinalAck, StatsSnapshot, StatsUpdate, WorkerHeartbeat, WorkerRegistration, WorkflowCancelResponse,
    WorkflowDispatchAck, WorkflowFinalResult, WorkflowStatus,
};
use hyperscale_codec::{DecodeError, ErrorCode, JobId, Kind, NodeId, RawFrame, ShardId};
use hyperscale_core::{Core, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_fleet::{
    BEAT, Calls, Card, Change, Departed, Dialer, Identity, Membership, MembershipConfig, PeerLink,
    nobody_waits,
};
use hyperscale_health::{NodeHealthTracker, WorkerHealthManager, WorkerHealthState};
use hyperscale_ledger::{Committed, ManagerEntry};
use hyperscale_reliability::{Backpressure, OverloadState, StatsSent};

use crate::calls::Call;
use crate::health::Dispatches;
use crate::job::DcJob;
use crate::owed::Debts;
use crate::silence::Silence;

/// So that calls do not draw what the dials draw.
const CALLS: u64 = 0x6361_6c6c_7300;
/// A finished job is remembered so long, to answer repeats.
pub(crate) const REMEMBER: Duration = Duration::from_secs(600);

/// A worker whose registration is on its way, or was refused for now, is told so.
pub(crate) const NOT_REGISTERED: &str = "this worker is not registered on this connection yet";

/// What a manager is told at its start.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    pub identity: Identity,
    /// Seeds what is random, the workers' draws too.
    pub seed: u64,
    pub wall: WallClock,
    /// Wait for a gate that lost its connection; then the load of its jobs stops.
    pub gate_wait: Duration,
    /// How it is a member of its datacenter and of the fleet.
    pub membership: MembershipConfig,
}

/// What the manager's driver tells it.
#[derive(Debug)]
pub enum Local {
    /// Gates, or other managers of this datacenter, are at these addresses.
    Join(Vec<SocketAddr>),
    /// An entry it proposed is decided.
    Committed(Committed<ManagerEntry>),
    /// Take no more jobs; [`Command::Drained`] follows when those here have ended.
    Drain,
    /// How loaded this node is: 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    Overload(u8),
}

/// What the manager asks of its driver.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Comes back as [`Local::Committed`].
    Propose(ManagerEntry),
    /// No job is left, and none will come.
    Drained,
    /// The fleet does not take this node, and will not: its name is in use, its version too old.
    Refused(String),
}

pub(crate) type ManagerEffects = Effects<Command>;

/// A worker that registered here.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) shards: u32,
    pub(crate) card: Card,
}

/// Another manager of this datacenter.
#[derive(Debug, Clone)]
pub(crate) struct ManagerPeer {
    pub(crate) card: Card,
    pub(crate) links: BTreeSet<LinkId>,
}

/// Which start of which gate's shard owns a job.
pub(crate) type Owner = (NodeId, ShardId, u64);

/// One manager.
#[derive(Debug)]
pub struct ManagerCore {
    pub(crate) config: ManagerConfig,
    pub(crate) dialer: Dialer,
    pub(crate) links: BTreeMap<LinkId, PeerLink>,
    /// Links to gates.
    pub(crate) gates: BTreeMap<LinkId, Owner>,
    pub(crate) managers: BTreeMap<NodeId, ManagerPeer>,
    pub(crate) workers: BTreeMap<LinkId, Worker>,
    pub(crate) membership: Membership,
    /// Workers and managers that are not linked any more.
    pub(crate) departed: Departed,
    pub(crate) changes: Vec<Change>,
    /// Workers that missed heartbeats.
    pub(crate) silent: BTreeMap<NodeId, Silence>,
    /// When heartbeats were last looked at; since when this node runs without standing still.
    pub(crate) looked_at: Instant,
    pub(crate) awake_since: Instant,
    pub(crate) health: NodeHealthTracker<WorkerHealthState>,
    /// Until when workers with work must get on.
    pub(crate) times: WorkerHealthManager,
    pub(crate) jobs: BTreeMap<JobId, DcJob>,
    pub(crate) calls: Calls<Call>,
    pub(crate) now: Instant,
    /// How loaded it is, as its driver told last: 0 healthy to 3 overloaded.
    pub(crate) overload: u8,
    /// How fast it wants statistics.
    pub(crate) pressure: Backpressure,
    /// Last figures that are to be told when there is room.
    pub(crate) debts: Debts,
    /// Messages of statistics, for metrics.
    pub(crate) sent: StatsSent,
    pub(crate) draining: bool,
    /// All is done, and goodbye said to the members.
    drained: bool,
    /// A gate or manager took this one on.
    pub(crate) joined: bool,
    pub(crate) dispatches: Dispatches,
    next_beat: Instant,
    scratch: Vec<u8>,
    /// The receipt that is sent next; kept, so that a warm manager acknowledges without allocating.
    pub(crate) ack: StatsAck,
}

impl ManagerCore {
    /// A manager without workers.
    #[must_use]
    pub fn new(config: ManagerConfig) -> Self {
        Self {
            dialer: Dialer::new(config.identity.addr, config.seed),
            links: BTreeMap::new(),
            gates: BTreeMap::new(),
            managers: BTreeMap::new(),
            workers: BTreeMap::new(),
            membership: Membership::new(&config.identity, config.membership.clone(), config.wall.at),
            departed: Departed::default(),
            changes: Vec::new(),
            silent: BTreeMap::new(),
            looked_at: Instant::ZERO,
            awake_since: Instant::ZERO,
            health: NodeHealthTracker::default(),
            times: WorkerHealthManager::default(),
            jobs: BTreeMap::new(),
            calls: Calls::new(config.seed ^ CALLS),
            now: Instant::ZERO,
            overload: 0,
            pressure: Backpressure::default(),
            debts: Debts::default(),
            sent: StatsSent::default(),
            draining: false,
            drained: false,
            joined: false,
            dispatches: Dispatches::default(),
            next_beat: Instant::ZERO,
            scratch: Vec::new(),
            ack: StatsAck::default(),
            config,
        }
    }

    /// Who it is a member with.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Jobs whose result the gate has not yet.
    #[must_use]
    pub fn live_jobs(&self) -> usize {
        self.jobs.values().filter(|job| !job.acknowledged && !job.is_abandoned()).count()
    }

    fn on_drain(&mut self, effects: &mut ManagerEffects) {
        self.draining = true;
        self.beat(effects);
        self.tell_if_drained(effects);
    }

    /// A draining manager is done when the gates have the result of its last job.
    pub(crate) fn tell_if_drained(&mut self, effects: &mut ManagerEffects) {
        if !self.draining || self.drained || self.live_jobs() > 0 {
            return;
        }
        if self.membership.say_goodbye(self.now, &self.links, effects) {
            self.drained = true;
            effects.command(Command::Drained);
        }
    }

    fn on_frame(&mut self, link: LinkId, frame: RawFrame<'_>, effects: &mut ManagerEffects) {
        self.hear_worker(link);
        if !self.silent.is_empty()
            && let Some(node) = self.workers.get(&link).map(|worker| worker.node)
        {
            self.end_silence(node, effects);
        }
        if nobody_waits(&frame) {
            let text = "the caller's time was over when the request came".to_owned();
            return refuse(effects, link, &frame, ErrorCode::DeadlineExceeded, text);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let done = match frame.kind() {
            Some(kind) => self.on_message(kind, link, frame, &mut scratch, effects),
            None => {
                effects.refuse_unknown(link, &frame);
                Ok(())
            }
        };
        if let Err(error) = done {
            refuse(effects, link, &frame, error.code(), error.to_string());
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
            Kind::WorkerHeartbeat => {
                self.on_worker_beat(link, frame.decode::<WorkerHeartbeat>(scratch)?, effects);
            }
            Kind::GateHeartbeat => self.on_gate_beat(link, frame.decode::<GateHeartbeat>(scratch)?),
            Kind::ManagerHeartbeat => self.on_manager_beat(link, frame.decode::<ManagerHeartbeat>(scratch)?),
            Kind::ManagerPeerRegistration => {
                self.on_manager(link, &frame, frame.decode::<ManagerPeerRegistration>(scratch)?, effects);
            }
            Kind::ManagerPeerRegistrationResponse => {
                let answer = frame.decode::<ManagerPeerRegistrationResponse>(scratch)?;
                self.on_registered(link, &frame, answer, effects);
            }
            Kind::PushPull => {
                let told = frame.decode::<PushPull>(scratch)?;
                self.membership.on_push_pull(self.now, (link, &frame), told, &self.links, effects);
            }
            Kind::NodeWhyRequest => {
                self.on_why(link, &frame, frame.decode::<NodeWhyRequest>(scratch)?, effects);
            }
            Kind::NodesRequest => {
                self.on_nodes(link, &frame, frame.decode::<NodesRequest>(scratch)?, effects);
            }
            Kind::HealthcheckExtensionRequest => {
                let request = frame.decode::<HealthcheckExtensionRequest>(scratch)?;
                self.on_extension_request(link, &frame, request, effects);
            }
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
            Kind::Goodbye => {
                let goodbye = frame.decode::<Goodbye>(scratch)?;
                self.links.entry(link).and_modify(|link| link.part(goodbye));
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
            Kind::JobCancelRequest => {
                self.on_cancel(link, &frame, frame.decode::<JobCancelRequest>(scratch)?, effects);
            }
            Kind::WorkflowCancelResponse => {
                let told = frame.decode::<WorkflowCancelResponse>(scratch)?;
                self.on_workflow_cancelled(link, told, effects);
            }
            Kind::WorkflowStatus => {
                self.on_started(link, frame.decode::<WorkflowStatus>(scratch)?, effects);
            }
            Kind::DcFinalResultAck => {
                let ack = frame.decode::<DcFinalResultAck>(scratch)?;
                self.on_result_acked(JobId::from_bytes(ack.job));
                self.tell_if_drained(effects);
            }
            Kind::StatsFinalAck => self.on_finals_kept(frame.decode::<StatsFinalAck>(scratch)?, effects),
            Kind::ErrorReply => {
                self.on_error_reply(link, &frame, frame.decode::<ErrorReply>(scratch)?, effects);
            }
            Kind::RateLimitResponse => {
                self.on_rate_limited(link, &frame, frame.decode::<RateLimitResponse>(scratch)?, effects);
            }
            Kind::StatsAck => self.on_stats_acked(link, frame.decode::<StatsAck>(scratch)?),
            Kind::JobProgressAck => {
                let ack = frame.decode::<JobProgressAck>(scratch)?;
                self.on_level(link, JobId::from_bytes(ack.job), ack.level, ack.delay_ms.to_native());
            }
            Kind::JobSubmit
            | Kind::JobAck
            | Kind::JobListRequest
            | Kind::JobListResponse
            | Kind::JobDispatchAck
            | Kind::WorkflowDispatch
            | Kind::WorkflowStart
            | Kind::ShareRevision
            | Kind::RegistrationResponse
            | Kind::GatePeerRegistration
            | Kind::GatePeerRegistrationResponse
            | Kind::NodesResponse
            | Kind::NodeWhyResponse
            | Kind::StatsQuery
            | Kind::StatsResponse
            | Kind::JobStatusRequest
            | Kind::JobStatusResponse
            | Kind::RegisterCallback
            | Kind::RegisterCallbackResponse
            | Kind::JobCancelResponse
            | Kind::WorkflowCancelRequest
            | Kind::WorkflowFinalResultAck
            | Kind::DcFinalResult
            | Kind::JobFinalResult
            | Kind::JobFinalResultAck
            | Kind::JobProgress
            | Kind::HealthcheckExtensionResponse
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
        if self.next_beat <= now {
            self.next_beat = now + BEAT;
            self.judge_workers(effects);
            self.tend_statistics(effects);
            self.beat(effects);
        }
        self.make_due_calls(effects);
        self.pay(effects);
        self.dialer.go(now, effects);
        self.membership.on_timer(now, &self.links, effects);
        self.tell_if_drained(effects);
        self.ask_silent_workers(effects);
        self.stop_orphans(effects);
        self.flush_late_views(effects);
        self.start_without_late_workers(effects);
        self.jobs.retain(|_, job| job.ended_at.is_none_or(|ended| now.since(ended) < REMEMBER));
    }
}

/// Refuses a frame; one-way frames get no answer.
pub(crate) fn refuse(
    effects: &mut ManagerEffects,
    link: LinkId,
    frame: &RawFrame<'_>,
    code: ErrorCode,
    message: String,
) {
    effects.refuse(link, frame, code, message);
}

impl Core for ManagerCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut ManagerEffects) {
        self.now = now;
        match event {
            Event::Frame { link, frame } => self.on_frame(link, frame, effects),
            Event::Local(Local::Committed(committed)) => self.on_committed(committed, effects),
            Event::Local(Local::Join(addrs)) => {
                addrs.into_iter().for_each(|addr| self.dialer.join(now, addr));
                self.dialer.go(now, effects);
            }
            Event::Local(Local::Drain) => self.on_drain(effects),
            Event::Local(Local::Overload(state)) => {
                self.overload = state.min(3);
                self.pressure.set_state(now, OverloadState::from_wire(self.overload));
                self.beat(effects);
            }
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
            Event::Timer => self.on_timer(effects),
        }
        self.follow_members(effects);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let jobs = self.jobs.values().filter_map(|job| job.next_deadline(self.config.gate_wait)).min();
        let beat = (!self.links.is_empty()).then_some(self.next_beat);
        let own = [
            self.membership.next_deadline(),
            self.dialer.next_deadline(),
            self.silence_deadline(),
            self.debts.next_deadline(),
        ];
        own.into_iter().chain([beat, jobs, self.calls.next_deadline()]).flatten().min()
    }
}
