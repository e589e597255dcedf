//! This gate's own calls: registrations at other gates, parts of jobs that it gives to managers, cancels.
//!
//! What a client asked and this gate passes on, or asks managers about, is not made again here: only the outermost caller
//! tries again, or three attempts at each of three hops would be twenty-seven.

use hyperscale_codec::messages::{
    ArchivedErrorReply, ArchivedJobCancelResponse, ArchivedRateLimitResponse, JobCancelRequest, JobState,
};
use hyperscale_codec::{ErrorCode, JobId, RawFrame};
use hyperscale_core::LinkId;
use hyperscale_fleet::{Asking, CallError, CallKey, Due, Fate, GiveUp, Policy};

use crate::core::{GateCore, GateEffects};

/// Refusals of one part after which another manager of its datacenter is asked.
const REFUSALS_OF_ONE: u32 = 3;
/// Times that a part is given in vain before the job fails.
const DISPATCHES_MAX: u32 = 20;

/// A call of a gate's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// This gate at another, on a link that it dialled.
    Register(LinkId),
    /// A job's part at a manager of this datacenter.
    Dispatch(JobId, String),
    /// The end of it.
    Cancel(JobId, String),
}

impl CallKey for Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "GatePeerRegistration",
            Self::Dispatch(..) => "JobDispatch",
            Self::Cancel(..) => "JobCancelRequest",
        }
    }
}

impl GateCore {
    /// Registers with the gate at the other end.
    pub(crate) fn register(&mut self, link: LinkId, effects: &mut GateEffects) {
        let Some(peer) = self.links.get(&link).map(|link| link.node) else { return };
        let call = Call::Register(link);
        if let Some(asking) = self.calls.begin(self.now, call.clone(), (peer, link), Policy::registration()) {
            self.say(&call, link, &asking, effects);
        }
    }

    /// Gives a datacenter's part to its manager.
    pub(crate) fn give_part(&mut self, id: JobId, datacenter: &str, effects: &mut GateEffects) {
        let Some(part) = self.jobs.get(&id).and_then(|job| job.datacenters.get(datacenter)) else { return };
        let (to, call) = ((part.manager, part.link), Call::Dispatch(id, datacenter.to_owned()));
        if let Some(asking) = self.calls.begin(self.now, call.clone(), to, Policy::patient()) {
            self.say(&call, to.1, &asking, effects);
        }
    }

    /// Has a datacenter end its part. What was not yet taken there is not given any more.
    pub(crate) fn cancel_part(&mut self, id: JobId, datacenter: &str, effects: &mut GateEffects) {
        let Some(part) = self.jobs.get(&id).and_then(|job| job.datacenters.get(datacenter)) else { return };
        let (to, call) = ((part.manager, part.link), Call::Cancel(id, datacenter.to_owned()));
        self.calls.forget(&Call::Dispatch(id, datacenter.to_owned()));
        if let Some(asking) = self.calls.begin(self.now, call.clone(), to, Policy::must_arrive()) {
            self.say(&call, to.1, &asking, effects);
        }
    }

    /// A part has ended here: nobody need take or end it.
    pub(crate) fn forget_part(&mut self, id: JobId, datacenter: &str) {
        self.calls.forget(&Call::Dispatch(id, datacenter.to_owned()));
        self.calls.forget(&Call::Cancel(id, datacenter.to_owned()));
    }

    fn say(&mut self, call: &Call, link: LinkId, asking: &Asking, effects: &mut GateEffects) {
        let (head, extensions) = (asking.head(), asking.extensions);
        match call {
            Call::Register(_) => {
                let registration = self.config.identity.gate_registration();
                effects.send_with(link, head, &extensions, &registration);
            }
            Call::Dispatch(id, datacenter) => match self.part_of(*id, datacenter) {
                Some(dispatch) => {
                    effects.send_with(link, head.job(*id), &extensions, &dispatch);
                    self.part_mut(*id, datacenter).into_iter().for_each(|part| part.asked += 1);
                }
                None => self.calls.forget(call),
            },
            Call::Cancel(id, _) => match self.jobs.get(id) {
                Some(job) => {
                    let order = JobCancelRequest {
                        job_id: id.to_bytes(),
                        requester_id: self.config.identity.node.to_bytes(),
                        timestamp: self.config.wall.unix_ms(self.now),
                        fence_token: job.token,
                        reason: "cancelled by its client".to_owned(),
                        ..JobCancelRequest::default()
                    };
                    effects.send_with(link, head.job(*id), &extensions, &order);
                }
                None => self.calls.forget(call),
            },
        }
    }

    /// Calls whose time has come.
    pub(crate) fn make_due_calls(&mut self, effects: &mut GateEffects) {
        while let Some(due) = self.calls.due(self.now) {
            match due {
                Due::Say(call, link, asking) => self.say(&call, link, &asking, effects),
                Due::Over(call, link, why) => self.on_given_up(&call, link, why, why.as_str(), effects),
            }
        }
    }

    /// A gate or manager answered with an error: to a call, or to a question passed on for somebody else.
    pub(crate) fn on_error_reply(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedErrorReply,
        effects: &mut GateEffects,
    ) {
        let error = CallError::refused(told.code.to_native(), told.retry_after_ms.to_native());
        self.on_call_refused(link, frame, error, told.message.as_str(), effects);
    }

    pub(crate) fn on_rate_limited(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedRateLimitResponse,
        effects: &mut GateEffects,
    ) {
        let error = CallError::limited(told.retry_after_ms.to_native());
        self.on_call_refused(link, frame, error, "beyond this gate's rate there", effects);
    }

    fn on_call_refused(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        error: CallError,
        message: &str,
        effects: &mut GateEffects,
    ) {
        let number = frame.header.correlation;
        if self.calls.asked(link, number).is_none() {
            self.on_job_list_refused(link, number, effects);
            return self.on_question_refused(link, number, effects);
        }
        match self.calls.on_refused(self.now, link, number, error) {
            Some((Call::Dispatch(id, datacenter), Fate::Again(_))) => {
                self.on_part_not_now(id, &datacenter, message, effects);
            }
            Some((call, Fate::Over(why))) => self.on_given_up(&call, link, why, message, effects),
            // It is made again when it is due.
            Some((_, Fate::Again(_))) | None => {}
        }
    }

    fn on_given_up(
        &mut self,
        call: &Call,
        link: LinkId,
        why: GiveUp,
        message: &str,
        effects: &mut GateEffects,
    ) {
        match call {
            Call::Register(_) => {
                tracing::error!(
                    message,
                    why = why.as_str(),
                    "a gate does not take this one on; trying again"
                );
                effects.close(link);
            }
            Call::Dispatch(id, _) => self.on_dispatch_refused(link, *id, message, effects),
            Call::Cancel(id, datacenter) => {
                tracing::warn!(job = %id, datacenter, message, "a cancel is refused");
            }
        }
    }

    /// A manager is loaded: it is asked again after a while, or another one that certainly runs nothing twice.
    fn on_part_not_now(&mut self, id: JobId, datacenter: &str, message: &str, effects: &mut GateEffects) {
        let Some(part) = self.part_mut(id, datacenter) else { return };
        part.refused += 1;
        part.in_vain += 1;
        let (refused, sure, in_vain) = (part.refused, part.refused == part.asked, part.in_vain);
        if in_vain >= DISPATCHES_MAX && sure {
            self.forget_part(id, datacenter);
            let error = format!(
                "dispatch_retries_exhausted: datacenter {datacenter} did not take the job in {in_vain} attempts: {message}"
            );
            self.end_part(id, datacenter, (JobState::Failed, error), false, effects);
        } else if refused >= REFUSALS_OF_ONE && sure {
            self.ask_less_loaded(id, datacenter, effects);
        }
    }

    /// A manager's answer to a cancel: it delivers its part's end by itself, or has none.
    pub(crate) fn on_cancel_answer(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedJobCancelResponse,
        effects: &mut GateEffects,
    ) {
        let answered = self.calls.on_answer(self.now, link, frame.header.correlation);
        let Some(Call::Cancel(id, datacenter)) = answered else { return };
        if !told.success && told.error.as_str() == ErrorCode::UnknownJob.as_str() {
            // It never took its part, and is not given it any more.
            self.end_part(id, &datacenter, (JobState::Cancelled, String::new()), false, effects);
        }
    }
}
