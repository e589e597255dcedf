//! One match on what happens; each part's room is a file of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResultAck, ErrorReply, GateHeartbeat, Goodbye, JobAck, JobCancelRequest, JobCancelResponse,
    JobDispatch, JobFinalResult, JobStatusPush, ManagerPeerRegistrationResponse, NodeWhyResponse,
    NodesResponse, RateLimitResponse, RegisterCallbackResponse, StatsAck, StatsColumns,
};
use hyperscale_codec::{DecodeError, ErrorCode, Head, JobId, Kind, NodeId, RawFrame, Role, ShardId};
use hyperscale_core::{Core, DialId, Effects, Event, Instant, LinkId, Peer};
use hyperscale_fleet::{BEAT, Identity};
use hyperscale_jobs::ConsistentHashRing;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::SaturateConfig;
use crate::figures::Figures;
use crate::job::Job;
use crate::knee::KneeSearch;
use crate::open::{For, OpenRequests};
use crate::report::{Exactness, Report, SecondRow, StepRow};
use crate::steps::Step;
use crate::tally::Tally;

/// To connect, and to have the jobs running.
const PREPARE: Duration = Duration::from_secs(60);

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// Begin.
    Start,
    /// End in order, with what there is.
    Stop,
}

/// What the user is to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Everybody is connected and the jobs run.
    Ready,
    /// A second is over.
    Second(Box<SecondRow>),
    /// A step is over.
    Step(Box<StepRow>),
    /// The load is over; last figures and results are on their way.
    Ending,
    /// All is over.
    Done(Box<Report>),
}

pub(crate) type SaturateEffects = Effects<Command>;

/// One node that is played.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) identity: Identity,
    pub(crate) link: Option<LinkId>,
    /// The gate's shard at the other end.
    pub(crate) shard: ShardId,
    /// Registered, if it has to be.
    pub(crate) ready: bool,
    /// Requests that wait for an answer.
    pub(crate) open: u32,
    pub(crate) beats: u32,
}

/// What is to be done at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    Beat,
    Second,
    Ask(For),
    EndShort(JobId),
    /// One more request of a closed load.
    Fire,
    /// Whether the gate has recovered from the last step.
    Rested,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Preparing {
        until: Instant,
    },
    Running,
    /// Between two steps.
    Resting {
        from: Instant,
    },
    Ending {
        until: Instant,
    },
    Done,
}

/// Many nodes in one core.
#[derive(Debug)]
pub struct SaturateCore {
    pub(crate) config: SaturateConfig,
    pub(crate) rng: SmallRng,
    pub(crate) players: Vec<Player>,
    pub(crate) of_link: BTreeMap<LinkId, usize>,
    pub(crate) gate: NodeId,
    pub(crate) gate_version: String,
    pub(crate) gate_shards: u16,
    pub(crate) gate_overload: u8,
    pub(crate) ring: ConsistentHashRing,
    pub(crate) is_fleet_known: bool,
    pub(crate) open: OpenRequests,
    /// Of these, measured load.
    pub(crate) load_open: usize,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) long: Vec<JobId>,
    /// Short jobs that run, oldest first.
    pub(crate) short: VecDeque<JobId>,
    pub(crate) last_ended: Option<JobId>,
    pub(crate) figures: Figures,
    pub(crate) columns: StatsColumns,
    pub(crate) later: BTreeMap<(Instant, u64), Later>,
    pub(crate) last_later: u64,
    pub(crate) turn: [usize; 3],
    pub(crate) phase: Phase,
    pub(crate) knee: Option<KneeSearch>,
    pub(crate) step: Option<Step>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) seconds: Vec<SecondRow>,
    pub(crate) total: Tally,
    pub(crate) second: Tally,
    pub(crate) exactness: Exactness,
    pub(crate) stopping: bool,
    pub(crate) error: String,
    pub(crate) now: Instant,
    scratch: Vec<u8>,
}

impl SaturateCore {
    /// Nobody yet.
    #[must_use]
    pub fn new(config: SaturateConfig) -> Self {
        let player =
            |identity| Player { identity, link: None, shard: ShardId(0), ready: false, open: 0, beats: 0 };
        let knee = match config.load {
            crate::Load::Ramp(knee) => Some(KneeSearch::new(knee)),
            crate::Load::Closed { .. } | crate::Load::Open { .. } => None,
        };
        Self {
            rng: SmallRng::seed_from_u64(config.seed),
            players: config.identities().into_iter().map(player).collect(),
            of_link: BTreeMap::new(),
            gate: NodeId(0),
            gate_version: String::new(),
            gate_shards: 1,
            gate_overload: 0,
            ring: ConsistentHashRing::default(),
            is_fleet_known: false,
            open: OpenRequests::default(),
            load_open: 0,
            jobs: BTreeMap::new(),
            long: Vec::new(),
            short: VecDeque::new(),
            last_ended: None,
            figures: Figures::new(config.steps, config.buckets),
            columns: StatsColumns { window_ms: 1000, ..StatsColumns::default() },
            later: BTreeMap::new(),
            last_later: 0,
            turn: [0; 3],
            phase: Phase::Idle,
            knee,
            step: None,
            steps: Vec::new(),
            seconds: Vec::new(),
            total: Tally::default(),
            second: Tally::default(),
            exactness: Exactness::default(),
            stopping: false,
            error: String::new(),
            now: Instant::ZERO,
            scratch: Vec::new(),
            config,
        }
    }

    /// The result, once all is over.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    pub(crate) fn after(&mut self, wait: Duration, what: Later) {
        self.last_later += 1;
        self.later.insert((self.now + wait, self.last_later), what);
    }

    fn start(&mut self, effects: &mut SaturateEffects) {
        if self.phase != Phase::Idle {
            return;
        }
        self.phase = Phase::Preparing { until: self.now + PREPARE };
        self.after(BEAT, Later::Beat);
        self.after(Duration::from_secs(1), Later::Second);
        // A client comes first: what it is told says where the others go.
        self.dial(self.first_client(), self.config.gate, effects);
    }

    pub(crate) fn first_client(&self) -> usize {
        usize::from(self.config.managers)
    }

    fn dial(&self, player: usize, addr: std::net::SocketAddr, effects: &mut SaturateEffects) {
        effects.dial(DialId(u64::try_from(player).unwrap_or(0)), addr);
    }

    fn on_link_up(&mut self, link: LinkId, peer: &Peer, dial: Option<DialId>, effects: &mut SaturateEffects) {
        let index = dial.and_then(|dial| usize::try_from(dial.0).ok()).unwrap_or(usize::MAX);
        let first = self.first_client();
        let Some(player) = self.players.get_mut(index) else { return effects.close(link) };
        let hello = &peer.hello;
        if hello.role != Role::Gate {
            let error = format!("{} is a {}; name a gate", self.config.gate, hello.role);
            return self.fail(error, effects);
        }
        (player.link, player.shard) = (Some(link), hello.shard);
        player.ready = player.identity.role == Role::Client;
        self.of_link.insert(link, index);
        if index == first && self.gate == NodeId(0) {
            (self.gate, self.gate_version) = (hello.node, hello.node_version.clone());
            self.gate_shards = hello.shards.max(1);
            let ip = peer.addr.ip();
            let others = (0..self.players.len()).filter(|other| *other != first);
            let addrs: Vec<_> = others
                .map(|other| {
                    let shards = hello.ports.len().max(1);
                    let port = hello.ports.get(other % shards).copied();
                    (other, port.map_or(self.config.gate, |port| (ip, port).into()))
                })
                .collect();
            addrs.into_iter().for_each(|(other, addr)| self.dial(other, addr, effects));
            self.ask(For::Fleet, effects);
        } else if self.players.get(index).is_some_and(|player| player.identity.role == Role::Manager) {
            self.ask(For::Registration(index), effects);
        }
        self.go_on(effects);
    }

    fn on_link_down(&mut self, link: LinkId, why: &str, effects: &mut SaturateEffects) {
        let Some(index) = self.of_link.remove(&link) else { return };
        if let Some(player) = self.players.get_mut(index) {
            player.link = None;
            let name = player.identity.name.clone();
            self.fail(format!("the connection of {name} is lost: {why}"), effects);
        }
    }

    fn on_message(
        &mut self,
        kind: Kind,
        link: LinkId,
        frame: RawFrame<'_>,
        scratch: &mut Vec<u8>,
        effects: &mut SaturateEffects,
    ) -> Result<(), DecodeError> {
        let number = frame.header.correlation;
        match kind {
            Kind::StatsAck => {
                let ack = frame.decode::<StatsAck>(scratch)?;
                self.on_stats_ack(number, ack, effects);
            }
            Kind::JobAck => self.on_job_ack(number, frame.decode::<JobAck>(scratch)?, effects),
            Kind::NodesResponse => {
                self.on_nodes(number, frame.decode::<NodesResponse>(scratch)?, effects);
            }
            Kind::JobStatusResponse | Kind::JobListResponse => {
                self.answered(number, effects);
            }
            Kind::RegisterCallbackResponse => {
                self.on_called_back(number, frame.decode::<RegisterCallbackResponse>(scratch)?, effects);
            }
            Kind::JobCancelResponse => {
                let answer = frame.decode::<JobCancelResponse>(scratch)?;
                if answer.success {
                    self.answered(number, effects);
                } else {
                    self.refused(number, ErrorCode::UnknownJob.as_str(), Duration::ZERO, effects);
                }
            }
            Kind::ErrorReply => {
                let reply = frame.decode::<ErrorReply>(scratch)?;
                let wait = Duration::from_millis(reply.retry_after_ms.to_native().into());
                let code = ErrorCode::from_wire(reply.code.to_native());
                let reason = code.map_or("unknown", ErrorCode::as_str);
                tracing::debug!(reason, message = reply.message.as_str(), "refused");
                self.refused(number, reason, wait, effects);
            }
            Kind::RateLimitResponse => {
                let told = frame.decode::<RateLimitResponse>(scratch)?;
                let wait = Duration::from_millis(told.retry_after_ms.to_native().into());
                self.refused(number, ErrorCode::RateLimited.as_str(), wait, effects);
            }
            Kind::ManagerPeerRegistrationResponse => {
                let answer = frame.decode::<ManagerPeerRegistrationResponse>(scratch)?;
                self.on_registered(number, answer, effects);
            }
            Kind::JobDispatch => {
                self.on_dispatch(link, number, frame.decode::<JobDispatch>(scratch)?, effects);
            }
            Kind::JobCancelRequest => {
                self.on_cancel(link, number, frame.decode::<JobCancelRequest>(scratch)?, effects);
            }
            // The gate asks its managers for their workers; these have none, and say so at once.
            Kind::NodesRequest => {
                let none = NodesResponse { nodes: Vec::new(), next: String::new(), missing: Vec::new() };
                effects.send(link, Head::reply(number), &none);
            }
            Kind::NodeWhyRequest => {
                let none = NodeWhyResponse { verdicts: Vec::new(), missing: Vec::new() };
                effects.send(link, Head::reply(number), &none);
            }
            Kind::DcFinalResultAck => {
                let _job = frame.decode::<DcFinalResultAck>(scratch)?;
                self.answered(number, effects);
            }
            Kind::JobStatusPush => {
                let push = frame.decode::<JobStatusPush>(scratch)?;
                self.on_push(push);
            }
            Kind::JobFinalResult => {
                let result = frame.decode::<JobFinalResult>(scratch)?;
                let result = hyperscale_codec::to_owned::<JobFinalResult>(result)?;
                self.on_result(link, &result, effects);
            }
            Kind::GateHeartbeat => {
                self.gate_overload = frame.decode::<GateHeartbeat>(scratch)?.health.overload_state;
            }
            Kind::Goodbye => {
                let text = frame.decode::<Goodbye>(scratch)?.text.as_str().to_owned();
                tracing::info!(text, "the gate said goodbye");
            }
            // What a gate sends others, or sends without need of an answer.
            Kind::WorkerHeartbeat
            | Kind::ManagerHeartbeat
            | Kind::PushPull
            | Kind::WorkflowCancelRequest
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResult
            | Kind::WorkflowFinalResultAck
            | Kind::DcFinalResult
            | Kind::JobFinalResultAck
            | Kind::StatsFinal
            | Kind::StatsFinalAck
            | Kind::HealthcheckExtensionRequest
            | Kind::HealthcheckExtensionResponse
            | Kind::JobSubmit
            | Kind::JobDispatchAck
            | Kind::WorkflowDispatch
            | Kind::WorkflowDispatchAck
            | Kind::WorkflowStart
            | Kind::WorkflowStatus
            | Kind::ShareRevision
            | Kind::ShareRevisionAck
            | Kind::WorkerRegistration
            | Kind::RegistrationResponse
            | Kind::ManagerPeerRegistration
            | Kind::GatePeerRegistration
            | Kind::GatePeerRegistrationResponse
            | Kind::JobProgress
            | Kind::JobProgressAck
            | Kind::JobStatusRequest
            | Kind::RegisterCallback
            | Kind::NodeWhyResponse
            | Kind::StatsQuery
            | Kind::StatsResponse
            | Kind::StatsUpdate
            | Kind::StatsSnapshot
            | Kind::JobListRequest => {}
        }
        Ok(())
    }

    /// Does what is due.
    fn on_time(&mut self, effects: &mut SaturateEffects) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Later::Beat => {
                    self.beat(effects);
                    self.after(BEAT, Later::Beat);
                }
                Later::Second => {
                    self.on_second(effects);
                    self.after(Duration::from_secs(1), Later::Second);
                }
                Later::Ask(what) => self.ask(what, effects),
                Later::EndShort(id) => self.end_job(id, effects),
                Later::Fire => self.fire_closed(effects),
                Later::Rested => self.rest(effects),
            }
            if self.is_done() {
                return;
            }
        }
        match self.phase {
            Phase::Preparing { until } if until <= self.now => {
                let error = self.what_lacks();
                self.fail(error, effects);
            }
            Phase::Running => self.run_step(effects),
            Phase::Ending { until } if until <= self.now => self.finish(effects),
            Phase::Idle
            | Phase::Preparing { .. }
            | Phase::Resting { .. }
            | Phase::Ending { .. }
            | Phase::Done => {}
        }
    }
}

impl Core for SaturateCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut SaturateEffects) {
        self.now = now;
        if self.is_done() {
            return;
        }
        match event {
            Event::Local(Local::Start) => self.start(effects),
            Event::Local(Local::Stop) => self.stop(effects),
            Event::LinkUp { link, peer, dial } => self.on_link_up(link, peer, dial, effects),
            Event::LinkDown { link, why } => self.on_link_down(link, &why.to_string(), effects),
            Event::DialFailed { error, .. } => self.fail(error.to_string(), effects),
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
                    effects.refuse(link, &frame, error.code(), error.to_string());
                }
                self.scratch = scratch;
                if self.step.as_ref().is_some_and(|step| step.is_drained(self.load_open)) {
                    self.run_step(effects);
                }
            }
            Event::Datagram { .. } => {}
            Event::Timer => self.on_time(effects),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Idle | Phase::Done => return None,
            Phase::Preparing { until } | Phase::Ending { until } => Some(until),
            Phase::Running => self.step.as_ref().map(|step| step.next_deadline()),
            Phase::Resting { .. } => None,
        };
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        [phase, later].into_iter().flatten().min()
    }
}
