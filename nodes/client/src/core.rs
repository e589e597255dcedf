//! One match on what happens; each arm's room is a file of its own.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{
    ErrorReply, Goodbye, JobAck, JobCancelResponse, JobEntry, JobFinalResult, JobFinalResultAck,
    JobListResponse, JobStatusPush, JobStatusResponse, JobSubmit, NodeEntry, NodeVerdict, NodeWhyResponse,
    NodesResponse, RateLimitResponse, RegisterCallbackResponse, StatsResponse,
};
use hyperscale_codec::{DecodeError, Features, Head, JobId, Kind, NodeId, RawFrame, to_owned};
use hyperscale_core::{Core, DialId, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_fleet::Identity;

use crate::ask::Question;
use crate::calls::Asked;
use crate::follow::Following;
use crate::limited::Limited;

/// What a client is told at its start.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub identity: Identity,
    /// Tried in this order, over and over.
    pub gates: Vec<SocketAddr>,
    pub wall: WallClock,
    /// Without any answer for so long it gives up.
    pub patience: Duration,
}

/// What the user wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Local {
    /// Submit this plan, and follow its job if it says so.
    Submit(Box<JobSubmit>),
    /// Follow a job that runs.
    Watch { job: JobId, histograms: bool },
    /// Ask this.
    Ask(Question),
    /// Stop the job that was submitted or is watched.
    Cancel { reason: String },
}

/// What the user is to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The job is accepted.
    Accepted { job: JobId, owner_addr: String },
    /// One window of the running job.
    Window(Box<JobStatusPush>),
    /// The job's end.
    Finished(Box<JobFinalResult>),
    /// The gate's answer to a cancel.
    Cancelled { success: bool, error: String },
    /// How a job stands.
    Status(Box<JobStatusResponse>),
    /// Who is in the fleet; workers of the managers in `missing` are not listed.
    Nodes { nodes: Vec<NodeEntry>, missing: Vec<String> },
    /// The jobs that the fleet knows; those of the gates in `missing` are not listed.
    Jobs { jobs: Vec<JobEntry>, missing: Vec<String> },
    /// What was recorded in a job's windows.
    Stats(Box<StatsResponse>),
    /// How a node is judged, and by which signals; managers in `missing` did not answer.
    Why { verdicts: Vec<NodeVerdict>, missing: Vec<String> },
    /// The connection is lost; others are tried.
    Reconnecting { why: String },
    /// It could not be done, or the job was lost sight of.
    Failed { error: String },
}

/// What the client asks of its driver.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Show this.
    Notify(Notice),
}

pub(crate) type ClientEffects = Effects<Command>;

/// Correlations of a client's requests.
pub(crate) const SUBMIT: u32 = 1;
pub(crate) const CANCEL: u32 = 2;
pub(crate) const CALLBACK: u32 = 3;
pub(crate) const QUESTION: u32 = 4;

/// The envelope of a request. Its number says what is asked, for there is one of each at a time.
pub(crate) fn head(number: u32) -> Head {
    Head::request(number)
}

/// What is to be reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Goal {
    Nothing,
    Submit(Box<JobSubmit>),
    Follow(Following),
    Answer(Question),
    /// All is told.
    Done,
}

/// One client with one wish.
#[derive(Debug)]
pub struct ClientCore {
    pub(crate) config: ClientConfig,
    pub(crate) goal: Goal,
    pub(crate) link: Option<(LinkId, SocketAddr)>,
    /// What the gate at the other end and we have.
    pub(crate) common: Features,
    /// Dialled before the others.
    pub(crate) owner: Option<SocketAddr>,
    pub(crate) cancel: Option<String>,
    pub(crate) now: Instant,
    pub(crate) again_at: Option<Instant>,
    /// Nothing answered since then.
    pub(crate) silent_since: Option<Instant>,
    pub(crate) limited: Limited,
    pub(crate) asked: Asked,
    /// Who is at the other end.
    pub(crate) peer: NodeId,
    gate: usize,
    dial: u64,
    scratch: Vec<u8>,
}

impl ClientCore {
    /// A client without a wish.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            limited: Limited::new(config.identity.node.0),
            asked: Asked::new(config.identity.node.0),
            peer: NodeId(0),
            config,
            goal: Goal::Nothing,
            link: None,
            common: Features::default(),
            owner: None,
            cancel: None,
            now: Instant::ZERO,
            again_at: None,
            silent_since: None,
            gate: 0,
            dial: 0,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn notify(&self, effects: &mut ClientEffects, notice: Notice) {
        effects.command(Command::Notify(notice));
    }

    pub(crate) fn fail(&mut self, effects: &mut ClientEffects, error: String) {
        self.asked.forget();
        if !std::mem::replace(&mut self.goal, Goal::Done).is_done() {
            self.notify(effects, Notice::Failed { error });
        }
    }

    /// Connects to the owner if it is known, else to the next gate.
    fn dial(&mut self, effects: &mut ClientEffects) {
        self.again_at = None;
        let next = self.owner.take().or_else(|| {
            let gate = self.config.gates.get(self.gate % self.config.gates.len().max(1)).copied();
            self.gate = self.gate.wrapping_add(1);
            gate
        });
        if let Some(addr) = next {
            self.dial = self.dial.wrapping_add(1);
            effects.dial(DialId(self.dial), addr);
        }
    }

    /// Goes to another gate.
    pub(crate) fn go_to(&mut self, addr: SocketAddr, effects: &mut ClientEffects) {
        if let Some((link, _)) = self.link.take() {
            effects.close(link);
        }
        self.asked.forget();
        self.owner = Some(addr);
        self.dial(effects);
    }

    fn on_message(
        &mut self,
        kind: Kind,
        link: LinkId,
        frame: RawFrame<'_>,
        scratch: &mut Vec<u8>,
        effects: &mut ClientEffects,
    ) -> Result<(), DecodeError> {
        self.hear(kind, frame.header.correlation);
        if !matches!(kind, Kind::ErrorReply | Kind::RateLimitResponse) {
            self.not_limited(frame.header.correlation);
        }
        match kind {
            Kind::JobAck => self.on_accepted(frame.decode::<JobAck>(scratch)?, effects),
            Kind::RegisterCallbackResponse => {
                self.on_called_back(frame.decode::<RegisterCallbackResponse>(scratch)?, effects);
            }
            Kind::JobStatusPush => {
                let push = to_owned::<JobStatusPush>(frame.decode::<JobStatusPush>(scratch)?)?;
                self.on_push(push, effects);
            }
            Kind::JobFinalResult => {
                let result = to_owned::<JobFinalResult>(frame.decode::<JobFinalResult>(scratch)?)?;
                let job = JobId::from_bytes(result.job);
                effects.send(link, Head::default().job(job), &JobFinalResultAck { job: result.job });
                self.on_finished(result, effects);
            }
            Kind::JobCancelResponse => {
                let answer = frame.decode::<JobCancelResponse>(scratch)?;
                let (success, error) = (answer.success, answer.error.as_str().to_owned());
                let mut is_awaited = self.cancel.take().is_some();
                if matches!(self.goal, Goal::Answer(Question::Cancel { .. })) {
                    (self.goal, is_awaited) = (Goal::Done, true);
                }
                // Each time it was said is answered; the user is told once.
                if is_awaited {
                    self.notify(effects, Notice::Cancelled { success, error });
                }
            }
            Kind::JobStatusResponse => {
                let status = to_owned::<JobStatusResponse>(frame.decode::<JobStatusResponse>(scratch)?)?;
                self.on_status(status, effects);
            }
            Kind::NodesResponse => {
                let page = to_owned::<NodesResponse>(frame.decode::<NodesResponse>(scratch)?)?;
                self.on_nodes(link, page, effects);
            }
            Kind::JobListResponse => {
                let page = to_owned::<JobListResponse>(frame.decode::<JobListResponse>(scratch)?)?;
                self.on_jobs(link, page, effects);
            }
            Kind::StatsResponse => {
                let page = to_owned::<StatsResponse>(frame.decode::<StatsResponse>(scratch)?)?;
                self.on_stats(link, page, effects);
            }
            Kind::NodeWhyResponse => {
                let answer = frame.decode::<NodeWhyResponse>(scratch)?;
                self.on_verdicts(to_owned::<NodeWhyResponse>(answer)?, effects);
            }
            Kind::ErrorReply => {
                let reply = to_owned::<ErrorReply>(frame.decode::<ErrorReply>(scratch)?)?;
                self.on_refused(frame.header.correlation, &reply, effects);
            }
            Kind::RateLimitResponse => {
                let told = frame.decode::<RateLimitResponse>(scratch)?;
                self.on_rate_limit(frame.header.correlation, told, effects);
            }
            Kind::Goodbye => {
                let text = frame.decode::<Goodbye>(scratch)?.text.as_str().to_owned();
                tracing::info!(text, "the gate said goodbye");
            }
            // A gate sends a client nothing else.
            Kind::WorkerHeartbeat
            | Kind::ManagerHeartbeat
            | Kind::GateHeartbeat
            | Kind::JobCancelRequest
            | Kind::WorkflowCancelRequest
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResult
            | Kind::WorkflowFinalResultAck
            | Kind::DcFinalResult
            | Kind::DcFinalResultAck
            | Kind::JobFinalResultAck
            | Kind::StatsFinal
            | Kind::StatsFinalAck
            | Kind::HealthcheckExtensionRequest
            | Kind::HealthcheckExtensionResponse
            | Kind::JobSubmit
            | Kind::JobDispatch
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
            | Kind::ManagerPeerRegistrationResponse
            | Kind::GatePeerRegistration
            | Kind::GatePeerRegistrationResponse
            | Kind::JobProgress
            | Kind::JobProgressAck
            | Kind::JobStatusRequest
            | Kind::RegisterCallback
            | Kind::NodesRequest
            | Kind::NodeWhyRequest
            | Kind::StatsQuery
            | Kind::PushPull
            | Kind::StatsUpdate
            | Kind::StatsAck
            | Kind::StatsSnapshot
            | Kind::JobListRequest => {}
        }
        Ok(())
    }

    /// The first round through the gates that the user named is not over.
    pub(crate) fn has_untried_gate(&self) -> bool {
        self.gate < self.config.gates.len()
    }
}

impl Goal {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl Core for ClientCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut ClientEffects) {
        self.now = now;
        match event {
            Event::Local(Local::Submit(submit)) => self.want(Goal::Submit(submit), effects),
            Event::Local(Local::Watch { job, histograms }) => {
                self.want(Goal::Follow(Following::new(job, histograms)), effects);
            }
            Event::Local(Local::Ask(question)) => self.want(Goal::Answer(question), effects),
            Event::Local(Local::Cancel { reason }) => {
                self.cancel = Some(reason);
                self.send_cancel(effects);
            }
            Event::LinkUp { link, peer, .. } => {
                (self.link, self.peer) = (Some((link, peer.addr)), peer.hello.node);
                let own = self.config.identity.capabilities();
                let both = own.negotiate(&peer.hello.capabilities());
                self.common = both.map_or(Features::default(), |both| both.features);
                self.say(effects);
            }
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
                    self.fail(effects, error.to_string());
                }
                self.scratch = scratch;
            }
            Event::LinkDown { link, why } => {
                if self.link.is_some_and(|(current, _)| current == link) {
                    self.on_unreachable(&why.to_string(), effects);
                }
            }
            Event::DialFailed { dial, error } => {
                if dial == DialId(self.dial) {
                    self.on_unreachable(&error.to_string(), effects);
                }
            }
            Event::Datagram { .. } => {}
            Event::Timer => {
                self.make_due_calls(effects);
                let is_cancel_due = self.limited.cancel_at.is_some_and(|at| at <= now);
                if is_cancel_due {
                    self.limited.cancel_at = None;
                }
                if self.again_at.is_some_and(|at| at <= now) {
                    self.again_at = None;
                    match self.link {
                        Some(_) => self.say(effects),
                        None => self.dial(effects),
                    }
                } else if is_cancel_due {
                    self.send_cancel(effects);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.again_at, self.limited.cancel_at, self.asked.next_deadline()].into_iter().flatten().min()
    }
}

impl ClientCore {
    fn want(&mut self, goal: Goal, effects: &mut ClientEffects) {
        self.goal = goal;
        match self.link {
            Some(_) => self.say(effects),
            None => self.dial(effects),
        }
    }
}
