//! One match on what happens; each arm's room is a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResult, ErrorReply, GateHeartbeat, GatePeerRegistration, GatePeerRegistrationResponse, Goodbye,
    JobCancelRequest, JobCancelResponse, JobDispatchAck, JobFinalResultAck, JobListRequest, JobListResponse,
    JobProgress, JobStatusRequest, JobSubmit, ManagerHeartbeat, ManagerPeerRegistration, NodeWhyRequest,
    NodeWhyResponse, NodesRequest, NodesResponse, PushPull, RateLimitResponse, RegisterCallback, StatsAck,
    StatsFinal, StatsQuery, StatsSnapshot, StatsUpdate,
};
use hyperscale_codec::{DecodeError, ErrorCode, Flags, Head, JobId, Kind, NodeId, RawFrame, ShardId};
use hyperscale_core::{Core, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_fleet::{
    BEAT, Calls, Change, Departed, Dialer, Identity, MemberView, Membership, MembershipConfig, PeerLink,
    nobody_waits,
};
use hyperscale_health::{DatacenterHealthManager, GateHealthState, NodeHealthTracker};
use hyperscale_jobs::{ConsistentHashRing, Member};
use hyperscale_ledger::{Committed, GateEntry};
use hyperscale_reliability::{Backpressure, OverloadState};

use crate::archive::{Archive, ArchiveConfig, ArchiveOrder, ArchiveTold};
use crate::bounds::Bounds;
use crate::calls::Call;
use crate::forward::Forwards;
use crate::job::GateJob;
use crate::job_list::JobLists;
use crate::peers::{GatePeer, Manager};
use crate::roster::Rosters;
use crate::turns::Turns;

/// So that calls do not draw what the dials draw.
const CALLS: u64 = 0x6361_6c6c_7300;
/// A finished job is remembered so long, to answer repeats.
pub(crate) const REMEMBER: Duration = Duration::from_secs(600);
/// Of those that ended, so many over all shards of a gate.
const ENDED_MAX: usize = 10_000;

/// What one shard of a gate is told at its start.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// The node; all of its shards are members of the ring.
    pub identity: Identity,
    pub shard: ShardId,
    /// `host:port` of this very shard, that clients may come back to.
    pub addr: String,
    /// Seeds what is random.
    pub seed: u64,
    /// The wall clock at the start, to date jobs.
    pub wall: WallClock,
    /// Wait for a datacenter that can take a job; then the job fails.
    pub dispatch_wait: Duration,
    /// Wait for a manager that lost its connection; then its part of a job ends.
    pub manager_wait: Duration,
    /// Bytes of the newest snapshots of all live jobs of this shard; over them, new jobs are refused `capacity`.
    pub snapshots_max: usize,
    /// Where finished jobs are kept for longer than ten minutes, if they are.
    pub archive: Option<ArchiveConfig>,
    /// How it is a member of the fleet; only shard 0 has the ports for it.
    pub membership: MembershipConfig,
}

/// What the gate's driver tells it.
#[derive(Debug)]
pub enum Local {
    /// An entry it proposed, or another gate did, is decided.
    Committed(Committed<GateEntry>),
    /// Other gates are at these addresses.
    Join(Vec<SocketAddr>),
    /// Take no more jobs; [`Command::Drained`] follows when those here have ended.
    Drain,
    /// How loaded this node is: 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    Overload(u8),
    /// What the shard with the datagram ports knows of members.
    Members(Vec<MemberView>),
    /// What the disk with the finished jobs did.
    Archive(ArchiveTold),
}

/// What the gate asks of its driver.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Comes back as [`Local::Committed`].
    Propose(GateEntry),
    /// No job of this shard is left, and none will come.
    Drained,
    /// The fleet does not take this node, and will not: its name is in use, its version too old.
    Refused(String),
    /// What the node's other shards should know of the members.
    Members(Vec<MemberView>),
    /// For the disk with the finished jobs; comes only where there is one.
    Archive(ArchiveOrder),
}

/// Effects of a gate.
pub(crate) type GateEffects = Effects<Command>;

/// One shard of a gate.
#[derive(Debug)]
pub struct GateCore {
    pub(crate) config: GateConfig,
    pub(crate) ring: ConsistentHashRing,
    pub(crate) dialer: Dialer,
    pub(crate) links: BTreeMap<LinkId, PeerLink>,
    /// Gates that registered here.
    pub(crate) gates: BTreeMap<NodeId, GatePeer>,
    pub(crate) managers: BTreeMap<LinkId, Manager>,
    /// How managers and their datacenters are, and the other gates.
    pub(crate) health: DatacenterHealthManager,
    pub(crate) gates_health: NodeHealthTracker<GateHealthState>,
    pub(crate) calls: Calls<Call>,
    pub(crate) forwards: Forwards,
    pub(crate) rosters: Rosters,
    pub(crate) job_lists: JobLists,
    pub(crate) membership: Membership,
    /// Gates and managers that are not linked any more.
    pub(crate) departed: Departed,
    pub(crate) changes: Vec<Change>,
    pub(crate) jobs: BTreeMap<JobId, GateJob>,
    /// Those that have not ended: what is looked through at each event must not grow with what was.
    pub(crate) live: BTreeSet<JobId>,
    pub(crate) turns: Turns,
    pub(crate) now: Instant,
    pub(crate) started: Instant,
    pub(crate) next_beat: Instant,
    /// How loaded it is, as its driver told last: 0 healthy to 3 overloaded.
    pub(crate) overload: u8,
    /// How fast it wants statistics.
    pub(crate) pressure: Backpressure,
    pub(crate) bounds: Bounds,
    pub(crate) archive: Archive,
    pub(crate) draining: bool,
    /// All is done, and goodbye said to the members.
    drained: bool,
    /// A gate took this one on.
    pub(crate) joined: bool,
    scratch: Vec<u8>,
    /// The receipt that is sent next; kept, so that a warm gate acknowledges without allocating.
    pub(crate) ack: StatsAck,
}

impl GateCore {
    /// A gate without jobs, alone on its ring.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        let mut ring = ConsistentHashRing::default();
        ring.add_node(config.identity.node, config.identity.shards);
        Self {
            ring,
            dialer: Dialer::new(config.identity.addr, config.seed),
            links: BTreeMap::new(),
            gates: BTreeMap::new(),
            managers: BTreeMap::new(),
            health: DatacenterHealthManager::default(),
            gates_health: NodeHealthTracker::default(),
            calls: Calls::new(config.seed ^ CALLS),
            forwards: Forwards::default(),
            rosters: Rosters::default(),
            job_lists: JobLists::default(),
            membership: Membership::new(
                &crate::membership::member(&config),
                config.membership.clone(),
                config.wall.at,
            ),
            departed: Departed::default(),
            changes: Vec::new(),
            jobs: BTreeMap::new(),
            live: BTreeSet::new(),
            turns: Turns::default(),
            now: Instant::ZERO,
            started: config.wall.at,
            next_beat: Instant::ZERO,
            overload: 0,
            pressure: Backpressure::default(),
            bounds: Bounds::default(),
            archive: Archive::new(config.archive.as_ref(), &config.identity),
            draining: false,
            drained: false,
            joined: false,
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

    /// Jobs that have not ended.
    #[must_use]
    pub fn live_jobs(&self) -> usize {
        self.live.len()
    }

    /// The same jobs.
    pub(crate) fn live(&self) -> impl Iterator<Item = &GateJob> {
        self.live.iter().filter_map(|id| self.jobs.get(id))
    }

    /// Jobs that are known here, ended ones too.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.keys().copied()
    }

    pub(crate) fn me(&self) -> Member {
        Member { node: self.config.identity.node, shard: self.config.shard }
    }

    fn on_frame(&mut self, link: LinkId, frame: RawFrame<'_>, effects: &mut GateEffects) {
        self.hear(link);
        if frame.header.flags.contains(Flags::REPLY) && self.on_forwarded_reply(link, &frame, effects) {
            return;
        }
        if nobody_waits(&frame) {
            let text = "the caller's time was over when the request came".to_owned();
            return refuse(effects, link, &frame, ErrorCode::DeadlineExceeded, text);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let done = match frame.kind() {
            Some(kind) => self.on_message(kind, link, frame, &mut scratch, effects),
            // Of a newer minor, about a job: its owner may know it.
            None => {
                if !self.pass_on(link, &frame, effects) {
                    effects.refuse_unknown(link, &frame);
                }
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
        effects: &mut GateEffects,
    ) -> Result<(), DecodeError> {
        match kind {
            Kind::JobSubmit => self.on_submit(link, &frame, frame.decode::<JobSubmit>(scratch)?, effects),
            // About a job that is not here: whoever has it answers.
            Kind::JobCancelRequest | Kind::JobStatusRequest | Kind::RegisterCallback | Kind::StatsQuery
                if self.pass_on(link, &frame, effects) => {}
            Kind::JobStatusRequest => {
                self.on_status(link, &frame, frame.decode::<JobStatusRequest>(scratch)?, effects);
            }
            Kind::StatsQuery => {
                self.on_stats_query(link, &frame, frame.decode::<StatsQuery>(scratch)?, effects);
            }
            Kind::RegisterCallback => {
                self.on_callback(link, &frame, frame.decode::<RegisterCallback>(scratch)?, effects);
            }
            Kind::NodesRequest => {
                self.on_nodes(link, &frame, frame.decode::<NodesRequest>(scratch)?, effects);
            }
            Kind::NodesResponse => {
                let number = frame.header.correlation;
                self.on_workers(link, number, frame.decode::<NodesResponse>(scratch)?, effects);
            }
            Kind::NodeWhyRequest => {
                self.on_why(link, &frame, frame.decode::<NodeWhyRequest>(scratch)?, effects);
            }
            Kind::NodeWhyResponse => {
                let number = frame.header.correlation;
                self.on_verdicts(link, number, frame.decode::<NodeWhyResponse>(scratch)?, effects);
            }
            Kind::JobListRequest => {
                self.on_job_list(link, &frame, frame.decode::<JobListRequest>(scratch)?, effects);
            }
            Kind::JobListResponse => {
                let number = frame.header.correlation;
                self.on_jobs_told(link, number, frame.decode::<JobListResponse>(scratch)?, effects);
            }
            Kind::GatePeerRegistration => {
                self.on_gate(link, &frame, frame.decode::<GatePeerRegistration>(scratch)?, effects);
            }
            Kind::GatePeerRegistrationResponse => {
                let answer = frame.decode::<GatePeerRegistrationResponse>(scratch)?;
                self.on_registered(link, &frame, answer, effects);
            }
            Kind::GateHeartbeat => self.on_gate_beat(link, frame.decode::<GateHeartbeat>(scratch)?),
            Kind::ManagerHeartbeat => {
                self.on_manager_beat(link, frame.decode::<ManagerHeartbeat>(scratch)?, effects);
            }
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
            Kind::JobDispatchAck => {
                self.on_dispatch_ack(link, frame.decode::<JobDispatchAck>(scratch)?, effects);
            }
            Kind::JobProgress => {
                self.on_progress(link, &frame, frame.decode::<JobProgress>(scratch)?, effects)
            }
            Kind::Goodbye => {
                let goodbye = frame.decode::<Goodbye>(scratch)?;
                self.links.entry(link).and_modify(|link| link.part(goodbye));
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
            Kind::PushPull => self.on_push_pull(link, &frame, frame.decode::<PushPull>(scratch)?, effects),
            Kind::ErrorReply => {
                self.on_error_reply(link, &frame, frame.decode::<ErrorReply>(scratch)?, effects);
            }
            Kind::RateLimitResponse => {
                self.on_rate_limited(link, &frame, frame.decode::<RateLimitResponse>(scratch)?, effects);
            }
            Kind::JobCancelResponse => {
                self.on_cancel_answer(link, &frame, frame.decode::<JobCancelResponse>(scratch)?, effects);
            }
            // Kinds whose senders never talk to a gate about anything it does.
            Kind::WorkflowCancelRequest
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
            | Kind::StatsAck
            | Kind::WorkerHeartbeat
            | Kind::HealthcheckExtensionRequest
            | Kind::HealthcheckExtensionResponse
            | Kind::JobStatusResponse
            | Kind::StatsResponse
            | Kind::RegisterCallbackResponse => {
                let text = format!("{} is nothing a gate takes", kind.name());
                refuse(effects, link, &frame, ErrorCode::Unsupported, text);
            }
        }
        Ok(())
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

    fn on_timer(&mut self, effects: &mut GateEffects) {
        self.flush_views(effects);
        self.fail_undispatched(effects);
        self.give_up_managers(effects);
        self.expire_cancels(effects);
        self.expire_forwards(effects);
        self.expire_rosters(effects);
        self.expire_job_lists(effects);
        self.expire_archive(effects);
        let now = self.now;
        if self.next_beat <= now {
            self.next_beat = now + BEAT;
            self.judge_nodes();
            self.tend_statistics(effects);
            self.drop_overdue(effects);
            self.part_from_slow(effects);
            self.beat(effects);
            self.forget_ended();
        }
        self.make_due_calls(effects);
        self.dialer.go(now, effects);
        self.membership.on_timer(now, &self.links, effects);
        self.tell_if_drained(effects);
    }

    /// Jobs that ended long ago, and the oldest where they are too many.
    fn forget_ended(&mut self) {
        let now = self.now;
        let most = ENDED_MAX / usize::from(self.config.identity.shards).max(1);
        let mut since = None;
        if self.jobs.len() > most {
            let mut ended: Vec<Instant> = self.jobs.values().filter_map(|job| job.ended_at).collect();
            if let Some(too_many) = ended.len().checked_sub(most).filter(|too_many| *too_many > 0) {
                let (_, last, _) = ended.select_nth_unstable(too_many - 1);
                since = Some(*last);
            }
        }
        let is_old =
            |ended: Instant| now.since(ended) >= REMEMBER || since.is_some_and(|since| ended <= since);
        self.jobs.retain(|_, job| !job.ended_at.is_some_and(is_old));
    }

    fn on_drain(&mut self, effects: &mut GateEffects) {
        self.draining = true;
        self.beat(effects);
        self.tell_if_drained(effects);
    }

    /// A draining gate is done when its last job is, and somebody was told of each end that wanted to be.
    pub(crate) fn tell_if_drained(&mut self, effects: &mut GateEffects) {
        if !self.draining || self.drained || self.live_jobs() > 0 {
            return;
        }
        if self.membership.say_goodbye(self.now, &self.links, effects) {
            self.drained = true;
            effects.command(Command::Drained);
        }
    }
}

/// Answers a request that this node took and cannot meet after all.
pub(crate) fn refuse_late(
    effects: &mut GateEffects,
    link: LinkId,
    correlation: u32,
    code: ErrorCode,
    message: &str,
) {
    let reply = ErrorReply {
        code: code.to_wire(),
        message: message.to_owned(),
        retry_after_ms: 0,
        holder: [0; 16],
        holder_addr: String::new(),
        seen: 0,
    };
    effects.send(link, Head::reply(correlation), &reply);
}

/// Refuses a frame; one-way frames get no answer.
pub(crate) fn refuse(
    effects: &mut GateEffects,
    link: LinkId,
    frame: &RawFrame<'_>,
    code: ErrorCode,
    message: String,
) {
    effects.refuse(link, frame, code, message);
}

impl Core for GateCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut GateEffects) {
        self.now = now;
        self.turns.begin();
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
            Event::Local(Local::Archive(told)) => self.on_archive(told, effects),
            Event::Local(Local::Members(members)) => self.membership.reflect(members),
            Event::Datagram { port, from, bytes } => {
                self.membership.on_datagram(now, (port, from, bytes), &self.links, effects);
            }
            Event::Timer => self.on_timer(effects),
        }
        self.follow_members(effects);
        let (live, jobs, config) = (&self.live, &self.jobs, &self.config);
        self.turns.end(|id| {
            let job = jobs.get(&id).filter(|_| live.contains(&id));
            job.and_then(|job| job.next_deadline(config))
        });
    }

    fn next_deadline(&self) -> Option<Instant> {
        let look = || {
            let turns = self.live().filter_map(|job| Some((job.next_deadline(&self.config)?, job.id)));
            turns.min()
        };
        let jobs = self.turns.first(look);
        debug_assert_eq!(jobs, look().map(|(at, _)| at), "a job's turn was not noticed");
        let own = [
            self.membership.next_deadline(),
            self.dialer.next_deadline(),
            self.calls.next_deadline(),
            self.forwards.next_deadline(),
            self.rosters.next_deadline(),
            self.job_lists.next_deadline(),
            self.archive.next_deadline(),
            (!self.links.is_empty() || !self.jobs.is_empty()).then_some(self.next_beat),
        ];
        own.into_iter().flatten().chain(jobs).min()
    }
}
