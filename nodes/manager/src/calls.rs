//! This manager's own calls: registrations at gates and other managers, results of jobs, orders to workers.
//!
//! What is said is made anew for each attempt: a start that comes late begins where the workflow is by then. An order
//! whose share has ended is not said any more.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedErrorReply, ArchivedRateLimitResponse, ShareRevision, WorkflowCancelRequest, WorkflowStart,
};
use hyperscale_codec::{JobId, NodeId, RawFrame};
use hyperscale_core::{Instant, LinkId};
use hyperscale_fleet::{Asking, CallError, CallKey, Due, Fate, Policy};

use crate::cancel::CUT_AFTER_MS;
use crate::core::{ManagerCore, ManagerEffects};
use crate::job::{DcJob, READY_PATIENCE, ShareId, WorkerShare};
use crate::joiners::order_of;
use crate::revise::LEAD;
use crate::takeover::taken_over_at;
use crate::workflows::{micros, wire};

/// A worker looks names up before it is ready.
const READY: Duration = Duration::from_secs(4);
/// A start that is lost costs load with each moment.
const STARTED: Duration = Duration::from_secs(1);
/// Requests in flight end before a cancel is answered.
const ENDED: Duration = Duration::from_secs(4);

/// One worker's share of a workflow: of which job, which workflow, whose.
pub(crate) type ShareOf = (JobId, usize, ShareId);

/// A call of a manager's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// This manager at a gate or another manager, on a link that it dialled.
    Register(LinkId),
    /// What became of a job's part here, at its gate.
    Result(JobId),
    /// A share to its worker: to prepare, to start, to end for others that take it over, to end at once.
    Give(ShareOf),
    Start(ShareOf),
    Revise(ShareOf),
    End(ShareOf),
}

impl CallKey for Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "ManagerPeerRegistration",
            Self::Result(_) => "DcFinalResult",
            Self::Give(_) => "WorkflowDispatch",
            Self::Start(_) => "WorkflowStart",
            Self::Revise(_) => "ShareRevision",
            Self::End(_) => "WorkflowCancelRequest",
        }
    }
}

impl Call {
    fn policy(self) -> Policy {
        match self {
            Self::Register(_) => Policy::registration(),
            Self::Result(_) | Self::Revise(_) => Policy::must_arrive(),
            Self::Give(_) => Policy::within(READY_PATIENCE).attempts(5).time_out(READY),
            Self::Start(_) => Policy::must_arrive().time_out(STARTED),
            Self::End(_) => Policy::must_arrive().time_out(ENDED),
        }
    }
}

impl ManagerCore {
    /// Registers with whoever is at the other end.
    pub(crate) fn register(&mut self, link: LinkId, effects: &mut ManagerEffects) {
        if let Some(peer) = self.links.get(&link).map(|link| link.node) {
            self.begin(Call::Register(link), (peer, link), effects);
        }
    }

    /// Tells a job's gate what became of its part here, until it has it.
    pub(crate) fn send_result(&mut self, id: JobId, effects: &mut ManagerEffects) {
        if let Some(job) = self.jobs.get(&id).filter(|job| job.outcome.is_some()) {
            let to = (job.owner.0, job.gate_link);
            self.begin(Call::Result(id), to, effects);
        }
    }

    /// Gives a worker an order about its share.
    pub(crate) fn order(&mut self, call: Call, effects: &mut ManagerEffects) {
        let (Call::Give(of) | Call::Start(of) | Call::Revise(of) | Call::End(of)) = call else { return };
        if let Some((_, share)) = self.share(of) {
            let to = (of.2.0, share.link);
            self.begin(call, to, effects);
        }
    }

    fn begin(&mut self, call: Call, to: (NodeId, LinkId), effects: &mut ManagerEffects) {
        if let Some(asking) = self.calls.begin(self.now, call, to, call.policy()) {
            self.say(call, to.1, &asking, effects);
        }
    }

    fn share(&self, (id, at, share_id): ShareOf) -> Option<(&DcJob, &WorkerShare)> {
        let job = self.jobs.get(&id)?;
        Some((job, job.workflows.get(at)?.shares.get(&share_id)?))
    }

    fn say(&mut self, call: Call, link: LinkId, asking: &Asking, effects: &mut ManagerEffects) {
        if let Call::Result(id) = call {
            if asking.extensions.attempt != Some(1) && !self.debts.has(id) {
                // What came before it may be lost as well.
                self.owe(id, DcJob::sources);
            }
            if self.debts.has(id) {
                self.debts.hold_result(id, link, *asking);
                return self.pay(effects);
            }
        }
        self.say_now(call, link, asking, effects);
    }

    /// Tells a job's result, whose figures are told.
    pub(crate) fn say_result(
        &mut self,
        id: JobId,
        link: LinkId,
        asking: &Asking,
        effects: &mut ManagerEffects,
    ) {
        self.say_now(Call::Result(id), link, asking, effects);
    }

    fn say_now(&mut self, call: Call, link: LinkId, asking: &Asking, effects: &mut ManagerEffects) {
        if self.try_say(call, link, asking, effects).is_none() {
            self.calls.forget(&call);
        }
    }

    /// `None`: there is nothing to say any more.
    fn try_say(&self, call: Call, link: LinkId, asking: &Asking, effects: &mut ManagerEffects) -> Option<()> {
        let (now, head, extensions) = (self.now, asking.head(), &asking.extensions);
        match call {
            Call::Register(_) => {
                effects.send_with(link, head, extensions, &self.registration());
            }
            Call::Result(id) => {
                let result = self.result_of(id)?;
                effects.send_with(link, head.job(id), extensions, &result);
            }
            Call::Give(of) => {
                let (job, share) =
                    self.share(of).filter(|(_, share)| share.ended.is_none() && !share.ready)?;
                let order = order_of(job, of.1, of.2, share, self.config.seed);
                effects.send_with(link, head.job(of.0), extensions, &order);
            }
            Call::Start(of) => {
                let (job, _) = self.share(of).filter(|(_, share)| share.ended.is_none())?;
                let order = start_of(job, of, now, self.one_way(link))?;
                effects.send_with(link, head.job(of.0), extensions, &order);
            }
            Call::Revise(of) => {
                let (job, share) = self.share(of)?;
                let order = revision_of(job, of, share, now)?;
                effects.send_with(link, head.job(of.0), extensions, &order);
            }
            Call::End(of) => {
                let (job, share) = self.share(of)?;
                // What never ran has nothing in flight.
                let cut_after_ms = if share.started { CUT_AFTER_MS } else { 0 };
                let order = WorkflowCancelRequest {
                    job_id: of.0.to_bytes(),
                    workflow_id: wire(of.1).0,
                    attempt: job.attempt.0,
                    revision: of.2.1,
                    dc_token: job.dc_token,
                    cut_after_ms,
                };
                effects.send_with(link, head.job(of.0), extensions, &order);
            }
        }
        Some(())
    }

    /// Calls whose time has come.
    pub(crate) fn make_due_calls(&mut self, effects: &mut ManagerEffects) {
        while let Some(due) = self.calls.due(self.now) {
            match due {
                Due::Say(call, link, asking) => self.say(call, link, &asking, effects),
                Due::Over(call, link, _) => {
                    self.on_given_up(call, link, "the worker was not ready within 10 s", effects);
                }
            }
        }
    }

    /// A peer answered with an error.
    pub(crate) fn on_error_reply(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedErrorReply,
        effects: &mut ManagerEffects,
    ) {
        let (code, error) = (told.code.to_native(), told.message.as_str());
        let refused = CallError::refused(code, told.retry_after_ms.to_native());
        if !self.on_call_refused(link, frame, refused, error, effects) {
            tracing::warn!(link = link.0, code, error, "a peer refused a message");
        }
    }

    pub(crate) fn on_rate_limited(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        told: &ArchivedRateLimitResponse,
        effects: &mut ManagerEffects,
    ) {
        let limited = CallError::limited(told.retry_after_ms.to_native());
        self.on_call_refused(link, frame, limited, "beyond this manager's rate there", effects);
    }

    /// `false`: it was no call of this manager's.
    fn on_call_refused(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        error: CallError,
        message: &str,
        effects: &mut ManagerEffects,
    ) -> bool {
        let number = frame.header.correlation;
        let is_call = self.calls.asked(link, number).is_some();
        if let Some((call, Fate::Over(_))) = self.calls.on_refused(self.now, link, number, error) {
            self.on_given_up(call, link, message, effects);
        }
        is_call
    }

    fn on_given_up(&mut self, call: Call, link: LinkId, message: &str, effects: &mut ManagerEffects) {
        match call {
            Call::Register(_) => {
                tracing::error!(message, "this manager is not taken on; trying again");
                effects.close(link);
            }
            Call::Result(id) => {
                tracing::warn!(job = %id, message, "the gate does not want a job's result");
                self.jobs.entry(id).and_modify(|job| job.given_up = true);
                self.let_go_if_abandoned(id, effects);
                self.tell_if_drained(effects);
            }
            Call::Give((id, at, share_id)) => {
                self.on_share_refused(id, wire(at), share_id, message, effects);
            }
            Call::Start(of) => self.on_start_refused(of, message, effects),
            Call::Revise(_) | Call::End(_) => tracing::warn!(message, "a worker refused an order"),
        }
    }

    /// A share has ended: nothing more is to be said about it, but that one that was taken over shall end.
    pub(crate) fn forget_orders(&mut self, of: ShareOf) {
        for call in [Call::Give(of), Call::Start(of), Call::Revise(of), Call::End(of)] {
            self.calls.forget(&call);
        }
    }
}

/// The order to begin with a share, as it is by now; `None`: its workflow has not begun.
fn start_of(job: &DcJob, of: ShareOf, now: Instant, one_way: Duration) -> Option<WorkflowStart> {
    let (start, job_start) = (job.workflows.get(of.1)?.started_at?, job.started_at?);
    Some(WorkflowStart {
        job: of.0.to_bytes(),
        workflow: wire(of.1).0,
        attempt: job.attempt.0,
        revision: of.2.1,
        dc_token: job.dc_token,
        // What the order takes on its way is over when it arrives.
        start_in_us: micros(start.since(now).saturating_sub(one_way)),
        elapsed_us: micros(now.since(start)),
        job_elapsed_us: micros(start.since(job_start)),
    })
}

/// The order to end a share where others begin, or a little ahead of now; `None`: it does not move any more.
fn revision_of(job: &DcJob, of: ShareOf, share: &WorkerShare, now: Instant) -> Option<ShareRevision> {
    let until_us = match taken_over_at(share) {
        Some(until_us) => until_us,
        None => {
            share.moving.filter(|moving| share.ended.is_none() && !moving.handed_on)?;
            micros(now.since(job.workflows.get(of.1)?.started_at?) + LEAD)
        }
    };
    Some(ShareRevision {
        job: of.0.to_bytes(),
        workflow: wire(of.1).0,
        attempt: job.attempt.0,
        revision: of.2.1,
        dc_token: job.dc_token,
        until_us,
    })
}
