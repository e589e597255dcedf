//! This worker's own calls: registrations at managers, and what its shares came to.

use hyperscale_codec::messages::{ArchivedErrorReply, ArchivedRateLimitResponse};
use hyperscale_codec::{ErrorCode, JobId, RawFrame};
use hyperscale_core::LinkId;
use hyperscale_engine::orders::ShareKey;
use hyperscale_fleet::{Asking, CallError, CallKey, Due, Fate, Policy};

use crate::core::{WorkerCore, WorkerEffects};
use crate::share::STATISTICS;

/// A call of a worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// This worker at a manager.
    Register(LinkId),
    /// What became of a share, and its last figures, at the manager that gave it.
    Result(ShareKey),
}

impl CallKey for Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "WorkerRegistration",
            Self::Result(_) => "WorkflowFinalResult",
        }
    }
}

impl WorkerCore {
    /// Registers with the manager at the other end.
    pub(crate) fn register(&mut self, link: LinkId, effects: &mut WorkerEffects) {
        let Some(peer) = self.links.get(&link).map(|link| link.node) else { return };
        let call = Call::Register(link);
        if let Some(asking) = self.calls.begin(self.now, call, (peer, link), Policy::registration()) {
            self.say(call, link, &asking, effects);
        }
    }

    /// Tells a share's manager what became of it, until it has taken both its figures and its result.
    pub(crate) fn tell_end(&mut self, key: ShareKey, effects: &mut WorkerEffects) {
        let Some(share) = self.shares.get(&key) else { return };
        let (to, call) = ((share.manager.0, share.link), Call::Result(key));
        if let Some(asking) = self.calls.begin(self.now, call, to, Policy::must_arrive()) {
            self.say(call, to.1, &asking, effects);
        }
    }

    /// A share's result or last figures have arrived: with both there is nothing to tell.
    pub(crate) fn settle_end(&mut self, key: ShareKey) {
        let told = |share: &crate::share::Share| share.result_received && share.result_acked;
        if self.shares.get(&key).is_none_or(told) {
            self.calls.answered(self.now, &Call::Result(key));
        }
    }

    fn say(&mut self, call: Call, link: LinkId, asking: &Asking, effects: &mut WorkerEffects) {
        match call {
            Call::Register(_) => {
                let registration = self.config.identity.worker_registration(self.config.capacity_vus);
                effects.send_with(link, asking.head(), &asking.extensions, &registration);
            }
            Call::Result(key) => match self.shares.get(&key) {
                Some(share) => share.send_final(self.config.identity.node, link, asking, effects),
                None => self.calls.forget(&call),
            },
        }
    }

    /// Calls whose time has come.
    pub(crate) fn make_due_calls(&mut self, effects: &mut WorkerEffects) {
        while let Some(due) = self.calls.due(self.now) {
            match due {
                Due::Say(call, link, asking) => self.say(call, link, &asking, effects),
                // Neither of a worker's calls is given up because time passes.
                Due::Over(..) => {}
            }
        }
    }

    /// A manager answered with an error.
    pub(crate) fn on_error_reply(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedErrorReply,
        effects: &mut WorkerEffects,
    ) {
        let (code, error) = (told.code.to_native(), told.message.as_str());
        let refused = CallError::refused(code, told.retry_after_ms.to_native());
        if self.on_call_refused(link, frame, refused, error, effects) {
            return;
        }
        tracing::warn!(link = link.0, code, error, "a manager refused a message");
        let for_good = ErrorCode::from_wire(code).is_some_and(|code| !code.retryable());
        if let Some(job) = frame.job().filter(|_| for_good && frame.header.correlation == STATISTICS) {
            self.on_figures_refused(link, job, effects);
        }
    }

    pub(crate) fn on_rate_limited(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedRateLimitResponse,
        effects: &mut WorkerEffects,
    ) {
        let limited = CallError::limited(told.retry_after_ms.to_native());
        self.on_call_refused(link, frame, limited, "beyond this worker's rate there", effects);
    }

    /// `false`: it was no call of this worker's.
    fn on_call_refused(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        error: CallError,
        message: &str,
        effects: &mut WorkerEffects,
    ) -> bool {
        let number = frame.header.correlation;
        let is_call = self.calls.asked(link, number).is_some();
        match self.calls.on_refused(self.now, link, number, error) {
            Some((Call::Register(_), Fate::Over(_))) => {
                tracing::error!(message, "a manager does not take this worker on; trying again");
                effects.close(link);
            }
            Some((Call::Result(key), Fate::Over(_))) => {
                // Nobody wants it there: kept, it would keep this worker from leaving.
                tracing::warn!(job = %key.job, message, "a manager does not want a share's result");
                if let Some(share) = self.shares.get_mut(&key) {
                    (share.result_acked, share.result_received) = (true, true);
                }
                self.tell_if_drained(effects);
            }
            Some((_, Fate::Again(_))) | None => {}
        }
        is_call
    }

    /// The figures of a job's ended shares will never be taken there; its report says that they are missing.
    fn on_figures_refused(&mut self, link: LinkId, job: JobId, effects: &mut WorkerEffects) {
        let own = self.shares.values_mut().filter(|share| share.key.job == job && share.link == link);
        let keys: Vec<ShareKey> = own
            .filter(|share| share.is_over())
            .map(|share| {
                share.result_received = true;
                share.key
            })
            .collect();
        keys.into_iter().for_each(|key| self.settle_end(key));
        self.tell_if_drained(effects);
    }
}
