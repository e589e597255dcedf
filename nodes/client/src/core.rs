//! One match on what happens; each arm's room is a file of its own.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{
    ErrorReply, Goodbye, JobAck, JobCancelRequest, JobCancelResponse, JobEntry, JobFinalResult,
    JobFinalResultAck, JobListResponse, JobStatusPush, JobStatusResponse, JobSubmit, NodeEntry, NodeVerdict,
    NodeWhyResponse, NodesResponse, RateLimitResponse, RegisterCallbackResponse,
};
use hyperscale_codec::{DecodeError, ErrorCode, Features, Head, JobId, Kind, RawFrame, to_owned};
use hyperscale_core::{Core, DialId, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_fleet::Identity;

use crate::ask::Question;
use crate::follow::Following;
use crate::limited::Limited;

/// A gate that cannot be reached, or cannot answer now, is tried again after so long.
const AGAIN: Duration = Duration::from_millis(200);

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
        self.owner = Some(addr);
        self.dial(effects);
    }

    /// Says what is wanted on the link that is up.
    pub(crate) fn say(&mut self, effects: &mut ClientEffects) {
        let Some((link, _)) = self.link else { return };
        match &mut self.goal {
            Goal::Answer(Question::Nodes { so_far }) => so_far.clear(),
            Goal::Answer(Question::Jobs { so_far, missing }) => {
                so_far.clear();
                missing.clear();
            }
            Goal::Nothing | Goal::Submit(_) | Goal::Follow(_) | Goal::Answer(_) | Goal::Done => {}
        }
        let held_back = self.is_held_back();
        match &self.goal {
            _ if held_back => {}
            Goal::Submit(submit) => {
                // The key is the job's id: gates pass the submission on by it, unread.
                let head = Head::request(SUBMIT).job(JobId::from_bytes(submit.idempotency));
                effects.send(link, head, submit.as_ref());
            }
            Goal::Follow(_) => self.call_back(link, effects),
            Goal::Answer(question) => question.send(link, effects),
            Goal::Nothing | Goal::Done => {}
        }
        self.send_cancel(effects);
    }

    pub(crate) fn send_cancel(&mut self, effects: &mut ClientEffects) {
        if self.cancel.is_none() || self.is_cancel_held_back() {
            return;
        }
        let (Some((link, _)), Some(reason), Goal::Follow(following)) = (self.link, &self.cancel, &self.goal)
        else {
            return;
        };
        let request = JobCancelRequest {
            job_id: following.job.to_bytes(),
            requester_id: self.config.identity.node.to_bytes(),
            timestamp: self.config.wall.unix_ms(self.now),
            fence_token: 0,
            reason: reason.clone(),
            ..JobCancelRequest::default()
        };
        effects.send(link, Head::request(CANCEL).job(following.job), &request);
    }

    fn on_message(
        &mut self,
        kind: Kind,
        link: LinkId,
        frame: RawFrame<'_>,
        scratch: &mut Vec<u8>,
        effects: &mut ClientEffects,
    ) -> Result<(), DecodeError> {
        // A refusal, and word that the job is elsewhere, bring nothing nearer.
        if !matches!(kind, Kind::ErrorReply | Kind::Goodbye | Kind::RegisterCallbackResponse) {
            self.silent_since = None;
        }
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
                self.cancel = None;
                if matches!(self.goal, Goal::Answer(Question::Cancel { .. })) {
                    self.goal = Goal::Done;
                }
                self.notify(effects, Notice::Cancelled { success, error });
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
            | Kind::PushPull
            | Kind::StatsUpdate
            | Kind::StatsAck
            | Kind::StatsSnapshot
            | Kind::JobListRequest => {}
        }
        Ok(())
    }

    /// A gate cannot, or will not, do it.
    fn on_refused(&mut self, correlation: u32, reply: &ErrorReply, effects: &mut ClientEffects) {
        let code = ErrorCode::from_wire(reply.code);
        if code == Some(ErrorCode::RateLimited) {
            return self.on_limited_error(correlation, reply, effects);
        }
        self.not_limited(correlation);
        if correlation == CANCEL {
            self.cancel = None;
            let error = reply.message.clone();
            self.notify(effects, Notice::Cancelled { success: false, error });
        } else if code.is_some_and(ErrorCode::retryable)
            || code == Some(ErrorCode::UnknownJob) && self.may_come_to_be_known()
        {
            self.try_again(&reply.message, Duration::from_millis(reply.retry_after_ms.into()), effects);
        } else {
            self.fail(effects, reply.message.clone());
        }
    }

    /// Says it again after a while, until it has been too long.
    pub(crate) fn try_again(&mut self, why: &str, least: Duration, effects: &mut ClientEffects) {
        if self.is_too_late(why, effects) {
            return;
        }
        self.again_at = Some(self.now + least.max(AGAIN));
    }

    /// Gives up when nothing has answered for too long.
    fn is_too_late(&mut self, why: &str, effects: &mut ClientEffects) -> bool {
        let since = *self.silent_since.get_or_insert(self.now);
        let late = self.now.since(since) >= self.config.patience;
        if late {
            let seconds = self.config.patience.as_secs();
            self.fail(effects, format!("no gate could do it for {seconds} s: {why}"));
        }
        late
    }

    /// The gate is out of reach: another one after a moment, until it has been too long.
    fn on_unreachable(&mut self, why: &str, effects: &mut ClientEffects) {
        let was_up = self.link.take().is_some();
        if matches!(self.goal, Goal::Nothing | Goal::Done) || self.is_too_late(why, effects) {
            return;
        }
        if was_up {
            self.notify(effects, Notice::Reconnecting { why: why.to_owned() });
        }
        // The first round goes through all gates at once; then they are given time.
        let wait = if self.gate < self.config.gates.len() { Duration::ZERO } else { AGAIN };
        self.again_at = Some(self.now + wait);
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
                self.link = Some((link, peer.addr));
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
        [self.again_at, self.limited.cancel_at].into_iter().flatten().min()
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
