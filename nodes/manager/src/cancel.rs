//! Cancels (20-4): pending workflows never start, running shares are told to stop. Idempotent.

use hyperscale_codec::messages::{
    ArchivedJobCancelRequest, ArchivedWorkflowCancelResponse, CancelOutcome, JobCancelResponse, JobState,
    WorkflowState,
};
use hyperscale_codec::{ErrorCode, Flags, Head, JobId, RawFrame, WorkflowId};
use hyperscale_core::LinkId;
use hyperscale_ledger::ManagerEntry;

use crate::calls::{Call, ShareOf};
use crate::core::{Command, ManagerCore, ManagerEffects, refuse};
use crate::revise::share_mut;
use crate::workflows::index;

/// In-flight requests of a cancelled share are cut after so long.
pub(crate) const CUT_AFTER_MS: u32 = 2_000;

impl ManagerCore {
    /// Answered at once: what the cancel comes to is in the job's result, which is told until its gate has it.
    pub(crate) fn on_cancel(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedJobCancelRequest,
        effects: &mut ManagerEffects,
    ) {
        let id = JobId::from_bytes(request.job_id);
        let (job, token) = (self.jobs.get(&id), request.fence_token.to_native());
        if let Some(job) = job.filter(|job| token < job.fence_token) {
            let text = format!("token {token} is older than {} of the present owner", job.fence_token);
            return refuse(effects, link, frame, ErrorCode::StaleToken, text);
        }
        if frame.header.flags.contains(Flags::WANTS_REPLY) {
            let unknown = || ErrorCode::UnknownJob.as_str().to_owned();
            let answer = JobCancelResponse {
                job_id: request.job_id,
                success: job.is_some(),
                cancelled_workflow_count: 0,
                error: job.map_or_else(unknown, |_| String::new()),
                state: job.and_then(|job| job.outcome).unwrap_or(JobState::Cancelling).to_wire(),
                per_dc: Vec::new(),
            };
            effects.send(link, Head::reply(frame.header.correlation).job(id), &answer);
        }
        if job.is_some_and(|job| !job.cancelled && job.outcome.is_none()) {
            effects.command(Command::Propose(ManagerEntry::DcCancelRequested { job: id }));
        }
    }

    pub(crate) fn on_cancel_committed(&mut self, id: JobId, effects: &mut ManagerEffects) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.outcome.is_none()) else { return };
        job.cancelled = true;
        let mut stopped = Vec::new();
        for at in 0..job.workflows.len() {
            match job.dag.state(at) {
                WorkflowState::Pending => {
                    job.dag.set(at, WorkflowState::Cancelled);
                }
                WorkflowState::Assigned | WorkflowState::Running => stopped.push(at),
                WorkflowState::Completed
                | WorkflowState::Failed
                | WorkflowState::Cancelled
                | WorkflowState::Skipped => {}
            }
        }
        let mut shares: Vec<ShareOf> = Vec::new();
        for at in stopped {
            let Some(entry) = job.workflows.get(at) else { continue };
            let live = entry.shares.iter().filter(|(_, share)| share.ended.is_none());
            shares.extend(live.map(|(share_id, _)| (id, at, *share_id)));
        }
        for of in shares {
            // Not after the cancel what was to come before it.
            self.forget_orders(of);
            self.order(Call::End(of), effects);
        }
        self.advance(id, effects);
    }

    /// The share's final result follows and ends the workflow; here only what a report could not say otherwise. A share
    /// that its worker does not know never began.
    pub(crate) fn on_workflow_cancelled(
        &mut self,
        link: LinkId,
        told: &ArchivedWorkflowCancelResponse,
        effects: &mut ManagerEffects,
    ) {
        let (id, workflow) = (JobId::from_bytes(told.job_id), WorkflowId(told.workflow_id.to_native()));
        let (now, at) = (self.now, index(workflow));
        if let Some(node) = self.workers.get(&link).map(|worker| worker.node) {
            let share_id = (node, told.revision.to_native());
            self.calls.answered(now, &Call::End((id, at, share_id)));
            let never_began = CancelOutcome::from_wire(told.outcome) == CancelOutcome::Unknown;
            let share = self.jobs.get_mut(&id).and_then(|job| share_mut(job, at, share_id));
            if let Some(share) = share.filter(|share| never_began && share.ended.is_none()) {
                share.ended = Some(WorkflowState::Cancelled);
                self.end_if_done(id, workflow, effects);
            }
        }
        let cut = told.in_flight_cut.to_native();
        if let Some(job) = self.jobs.get_mut(&id).filter(|_| cut > 0) {
            let ended = told.in_flight_ended.to_native();
            job.event(
                now,
                "requests_cut",
                format!("{cut} requests in flight were cut, {ended} ended by themselves"),
            );
        }
    }
}
