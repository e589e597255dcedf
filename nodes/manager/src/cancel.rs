//! Cancels (20-4): pending workflows never start, running shares are told to stop. Idempotent.

use hyperscale_codec::messages::{
    ArchivedJobCancelRequest, ArchivedWorkflowCancelResponse, WorkflowCancelRequest, WorkflowState,
};
use hyperscale_codec::{Head, JobId};
use hyperscale_ledger::ManagerEntry;

use crate::core::{Command, ManagerCore, ManagerEffects};
use crate::workflows::wire;

/// In-flight requests of a cancelled share are cut after so long.
pub(crate) const CUT_AFTER_MS: u32 = 2_000;

impl ManagerCore {
    pub(crate) fn on_cancel(&mut self, request: &ArchivedJobCancelRequest, effects: &mut ManagerEffects) {
        let id = JobId::from_bytes(request.job_id);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if request.fence_token.to_native() < job.fence_token || job.cancelled || job.outcome.is_some() {
            return;
        }
        effects.command(Command::Propose(ManagerEntry::DcCancelRequested { job: id }));
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
        for at in stopped {
            let Some(entry) = job.workflows.get(at) else { continue };
            for ((_, revision), share) in entry.shares.iter().filter(|(_, share)| share.ended.is_none()) {
                let order = WorkflowCancelRequest {
                    job_id: id.to_bytes(),
                    workflow_id: wire(at).0,
                    attempt: job.attempt.0,
                    revision: *revision,
                    dc_token: job.dc_token,
                    cut_after_ms: CUT_AFTER_MS,
                };
                effects.send(share.link, Head::request(1).job(id), &order);
            }
        }
        self.advance(id, effects);
    }

    /// The share's final result follows and ends the workflow; here only what a report could not say otherwise.
    pub(crate) fn on_workflow_cancelled(&mut self, told: &ArchivedWorkflowCancelResponse) {
        let id = JobId::from_bytes(told.job_id);
        let now = self.now;
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
