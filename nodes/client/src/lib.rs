//! The client's core: submits a plan to a gate, follows its job, cancels it.
//!
//! In: frames of gates, what the user wants. Out: frames, notices for whoever shows them. Pure.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{
    ErrorReply, Goodbye, JobAck, JobCancelRequest, JobCancelResponse, JobFinalResult, JobFinalResultAck,
    JobStatusPush, JobSubmit,
};
use hyperscale_codec::{DecodeError, Head, JobId, Kind, NodeId, RawFrame, to_owned};
use hyperscale_core::{Core, DialId, Effects, Event, Instant, LinkId, WallClock};

/// A gate that cannot be reached is tried again after so long.
const REDIAL: Duration = Duration::from_millis(100);
/// A gate that cannot be reached for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// What a client is told at its start.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub node: NodeId,
    pub gates: Vec<SocketAddr>,
    pub wall: WallClock,
}

/// What the user wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Local {
    /// Submit this plan and follow its job.
    Submit(Box<JobSubmit>),
    /// Stop the job.
    Cancel { reason: String },
}

/// What the user is to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The job is accepted.
    Accepted { job: JobId },
    /// One window of the running job.
    Window(Box<JobStatusPush>),
    /// The job's end.
    Finished(Box<JobFinalResult>),
    /// The gate's answer to a cancel.
    Cancelled { success: bool, error: String },
    /// The job could not be submitted, or was lost sight of.
    Failed { error: String },
}

/// What the client asks of its driver.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Show this.
    Notify(Notice),
}

type ClientEffects = Effects<Command>;

/// Correlations of the two requests a client makes.
const SUBMIT: u32 = 1;
const CANCEL: u32 = 2;

/// One client with one job.
#[derive(Debug)]
pub struct ClientCore {
    config: ClientConfig,
    link: Option<LinkId>,
    gate: usize,
    submit: Option<Box<JobSubmit>>,
    job: Option<JobId>,
    last_seq: u64,
    cancel: Option<String>,
    finished: bool,
    unreachable_since: Option<Instant>,
    redial_at: Option<Instant>,
    now: Instant,
    scratch: Vec<u8>,
}

impl ClientCore {
    /// A client without a job.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            config,
            link: None,
            gate: 0,
            submit: None,
            job: None,
            last_seq: 0,
            cancel: None,
            finished: false,
            unreachable_since: None,
            redial_at: None,
            now: Instant::ZERO,
            scratch: Vec::new(),
        }
    }

    fn dial(&mut self, effects: &mut ClientEffects) {
        self.redial_at = None;
        if let Some(addr) = self.config.gates.get(self.gate).or_else(|| self.config.gates.first()) {
            effects.dial(DialId(0), *addr);
        }
    }

    fn send_submit(&self, link: LinkId, effects: &mut ClientEffects) {
        if let Some(submit) = &self.submit {
            effects.send(link, Head::request(SUBMIT), submit.as_ref());
        }
    }

    fn send_cancel(&self, effects: &mut ClientEffects) {
        let (Some(link), Some(job), Some(reason)) = (self.link, self.job, &self.cancel) else { return };
        let request = JobCancelRequest {
            job_id: job.to_bytes(),
            requester_id: self.config.node.to_bytes(),
            timestamp: self.config.wall.unix_ms(self.now),
            fence_token: 0,
            reason: reason.clone(),
        };
        effects.send(link, Head::request(CANCEL).job(job), &request);
    }

    fn on_message(
        &mut self,
        kind: Kind,
        link: LinkId,
        frame: RawFrame<'_>,
        scratch: &mut Vec<u8>,
        effects: &mut ClientEffects,
    ) -> Result<(), DecodeError> {
        match kind {
            Kind::JobAck => {
                let job = JobId::from_bytes(frame.decode::<JobAck>(scratch)?.job);
                if self.job.replace(job).is_none() {
                    effects.command(Command::Notify(Notice::Accepted { job }));
                    self.send_cancel(effects);
                }
            }
            Kind::JobStatusPush => {
                let push = to_owned::<JobStatusPush>(frame.decode::<JobStatusPush>(scratch)?)?;
                if push.seq > self.last_seq {
                    self.last_seq = push.seq;
                    effects.command(Command::Notify(Notice::Window(Box::new(push))));
                }
            }
            Kind::JobFinalResult => {
                let result = to_owned::<JobFinalResult>(frame.decode::<JobFinalResult>(scratch)?)?;
                let job = JobId::from_bytes(result.job);
                effects.send(link, Head::default().job(job), &JobFinalResultAck { job: result.job });
                if !std::mem::replace(&mut self.finished, true) {
                    effects.command(Command::Notify(Notice::Finished(Box::new(result))));
                }
            }
            Kind::JobCancelResponse => {
                let answer = frame.decode::<JobCancelResponse>(scratch)?;
                let error = answer.error.as_str().to_owned();
                effects.command(Command::Notify(Notice::Cancelled { success: answer.success, error }));
            }
            Kind::ErrorReply => {
                let error = frame.decode::<ErrorReply>(scratch)?.message.as_str().to_owned();
                effects.command(Command::Notify(Notice::Failed { error }));
            }
            Kind::Goodbye => {
                let text = frame.decode::<Goodbye>(scratch)?.text.as_str().to_owned();
                tracing::info!(text, "the gate said goodbye");
            }
            // A gate sends a client nothing else.
            Kind::JobCancelRequest
            | Kind::WorkflowCancelRequest
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResult
            | Kind::WorkflowFinalResultAck
            | Kind::DcFinalResult
            | Kind::DcFinalResultAck
            | Kind::JobFinalResultAck
            | Kind::StatsFinal
            | Kind::StatsFinalAck
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
            | Kind::JobProgress
            | Kind::JobProgressAck
            | Kind::StatsUpdate
            | Kind::StatsAck
            | Kind::StatsSnapshot => {}
        }
        Ok(())
    }

    /// The gate is out of reach: the next one after a moment, until it has been too long.
    fn on_unreachable(&mut self, why: &str, effects: &mut ClientEffects) {
        self.link = None;
        if self.finished || self.submit.is_none() {
            return;
        }
        let since = *self.unreachable_since.get_or_insert(self.now);
        if self.now.since(since) >= GIVE_UP {
            self.finished = true;
            let error = format!("no gate could be reached for {} s: {why}", GIVE_UP.as_secs());
            effects.command(Command::Notify(Notice::Failed { error }));
            return;
        }
        self.gate = (self.gate + 1) % self.config.gates.len().max(1);
        self.redial_at = Some(self.now + REDIAL);
    }
}

impl Core for ClientCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut ClientEffects) {
        self.now = now;
        match event {
            Event::Local(Local::Submit(submit)) => {
                self.submit = Some(submit);
                self.dial(effects);
            }
            Event::Local(Local::Cancel { reason }) => {
                self.cancel = Some(reason);
                self.send_cancel(effects);
            }
            Event::LinkUp { link, .. } => {
                self.link = Some(link);
                self.unreachable_since = None;
                // The same key again is the same job: a gate that has it answers as before, and follows.
                self.send_submit(link, effects);
            }
            Event::Frame { link, frame } => {
                let mut scratch = std::mem::take(&mut self.scratch);
                if let Some(kind) = frame.kind()
                    && let Err(error) = self.on_message(kind, link, frame, &mut scratch, effects)
                {
                    effects.command(Command::Notify(Notice::Failed { error: error.to_string() }));
                }
                self.scratch = scratch;
            }
            Event::LinkDown { why, .. } => self.on_unreachable(&why.to_string(), effects),
            Event::DialFailed { error, .. } => self.on_unreachable(&error.to_string(), effects),
            Event::Timer => {
                if self.redial_at.is_some_and(|at| at <= now) {
                    self.dial(effects);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.redial_at
    }
}
