//! Following a job (B-2): pushes come on the connection to its owner; when that is lost, the job is asked for again.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedJobAck, ArchivedRegisterCallbackResponse, JobFinalResult, JobState, JobStatusPush,
    JobStatusRequest, JobStatusResponse, RegisterCallback,
};
use hyperscale_codec::{Features, JobId};
use hyperscale_core::LinkId;
use hyperscale_fleet::Asking;

use crate::ask::Question;
use crate::core::{CALLBACK, ClientCore, ClientEffects, Goal, Notice, QUESTION, head};

/// A gate without `client_reconnection` is asked so often how the job stands.
const POLL: Duration = Duration::from_secs(2);

/// A job that is followed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Following {
    pub(crate) job: JobId,
    histograms: bool,
    last_seq: u64,
    /// Some gate knew it.
    known: bool,
}

impl Following {
    pub(crate) fn new(job: JobId, histograms: bool) -> Self {
        Self { job, histograms, last_seq: 0, known: false }
    }
}

impl ClientCore {
    pub(crate) fn on_accepted(&mut self, ack: &ArchivedJobAck, effects: &mut ClientEffects) {
        let Goal::Submit(submit) = &self.goal else { return };
        let job = JobId::from_bytes(ack.job);
        let (follow, histograms) = (submit.follow, submit.histograms);
        let owner_addr = ack.owner_addr.as_str().to_owned();
        self.notify(effects, Notice::Accepted { job, owner_addr: owner_addr.clone() });
        if !follow {
            self.goal = Goal::Done;
            return;
        }
        self.goal = Goal::Follow(Following { known: true, ..Following::new(job, histograms) });
        if ack.following {
            self.send_cancel(effects);
        } else {
            self.go_to_owner(&owner_addr, effects);
        }
    }

    /// The job is elsewhere; without a usable address it is asked for here.
    fn go_to_owner(&mut self, owner_addr: &str, effects: &mut ClientEffects) {
        match owner_addr.parse() {
            Ok(addr) if self.link.is_none_or(|(_, here)| here != addr) => self.go_to(addr, effects),
            Ok(_) | Err(_) => self.say(effects),
        }
    }

    pub(crate) fn can_call_back(&self) -> bool {
        self.common.contains(Features::CLIENT_RECONNECTION)
    }

    /// Asks to be told from now on; of a gate that cannot, how the job stands.
    pub(crate) fn call_back(&self, link: LinkId, asking: &Asking, effects: &mut ClientEffects) {
        let Goal::Follow(following) = &self.goal else { return };
        let job = following.job;
        if self.can_call_back() {
            let (last_seq, histograms) = (following.last_seq, following.histograms);
            let request = RegisterCallback {
                job: job.to_bytes(),
                last_seq,
                follow: true,
                histograms,
                ..RegisterCallback::default()
            };
            effects.send_with(link, head(CALLBACK).job(job), &asking.extensions, &request);
        } else {
            let request = JobStatusRequest { job: job.to_bytes() };
            effects.send_with(link, head(QUESTION).job(job), &asking.extensions, &request);
        }
    }

    pub(crate) fn on_called_back(
        &mut self,
        answer: &ArchivedRegisterCallbackResponse,
        effects: &mut ClientEffects,
    ) {
        let Goal::Follow(following) = &mut self.goal else { return };
        following.known = true;
        if answer.success {
            self.silent_since = None;
        } else {
            let owner = answer.owner_addr.as_str().to_owned();
            match owner.parse() {
                Ok(addr) if self.link.is_none_or(|(_, here)| here != addr) => self.go_to(addr, effects),
                Ok(_) | Err(_) => {
                    let why = answer.error.as_str().to_owned();
                    self.try_again(&why, effects);
                }
            }
        }
    }

    /// Whether a gate that does not know the job may only not know it yet: gates find each other anew.
    pub(crate) fn may_come_to_be_known(&self) -> bool {
        matches!(&self.goal, Goal::Follow(following) if following.known)
    }

    pub(crate) fn on_push(&mut self, push: JobStatusPush, effects: &mut ClientEffects) {
        let Goal::Follow(following) = &mut self.goal else { return };
        if push.seq > following.last_seq && push.job == following.job.to_bytes() {
            (following.last_seq, following.known) = (push.seq, true);
            self.notify(effects, Notice::Window(Box::new(push)));
        }
    }

    pub(crate) fn on_finished(&mut self, result: JobFinalResult, effects: &mut ClientEffects) {
        let Goal::Follow(following) = &self.goal else { return };
        if following.job.to_bytes() == result.job {
            self.goal = Goal::Done;
            self.notify(effects, Notice::Finished(Box::new(result)));
        }
    }

    /// The answer to a question about a job, or to one of the polls of a gate that cannot push.
    pub(crate) fn on_status(&mut self, status: JobStatusResponse, effects: &mut ClientEffects) {
        match &mut self.goal {
            Goal::Answer(Question::Status { .. }) => {
                self.goal = Goal::Done;
                self.notify(effects, Notice::Status(Box::new(status)));
            }
            Goal::Follow(following) => {
                following.known = true;
                let state = JobState::from_wire(status.state);
                if state.is_final() {
                    self.goal = Goal::Done;
                    self.notify(effects, Notice::Status(Box::new(status)));
                } else {
                    self.again_at = Some(self.now + POLL);
                    self.notify(effects, Notice::Status(Box::new(status)));
                }
            }
            Goal::Nothing | Goal::Submit(_) | Goal::Answer(_) | Goal::Done => {}
        }
    }
}
