//! Cancels (20-3): one decision in the ledger, told to every datacenter, answered with the sum. Idempotent.

use hyperscale_codec::messages::{
    ArchivedJobCancelRequest, DcCancel, JobCancelResponse, JobState, WorkflowState,
};
use hyperscale_codec::{ErrorCode, Head, JobId, RawFrame};
use hyperscale_core::LinkId;
use hyperscale_ledger::GateEntry;

use crate::core::{Command, GateCore, GateEffects, refuse};
use crate::job::Waiting;

/// Who waits for the end of one cancelled job, at most.
const CANCELLERS_MAX: usize = 1_024;

impl GateCore {
    pub(crate) fn on_cancel(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedJobCancelRequest,
        effects: &mut GateEffects,
    ) {
        let id = JobId::from_bytes(request.job_id);
        let correlation = frame.header.correlation;
        if !self.jobs.contains_key(&id) && self.cancelled_before(id, (link, frame), effects) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&id) else {
            let answer = JobCancelResponse {
                job_id: id.to_bytes(),
                success: false,
                cancelled_workflow_count: 0,
                error: ErrorCode::UnknownJob.as_str().to_owned(),
                state: 0,
                per_dc: Vec::new(),
            };
            effects.send(link, Head::reply(correlation).job(id), &answer);
            return;
        };
        let token = request.fence_token.to_native();
        if token != 0 && token < job.token {
            let text = format!("token {token} is older than {} of the present owner", job.token);
            refuse(effects, link, frame, ErrorCode::StaleToken, text);
            return;
        }
        if job.cancellers.len() >= CANCELLERS_MAX {
            // Whoever waited longest asks again.
            job.cancellers.remove(0);
        }
        job.cancellers.push(Waiting { link, correlation });
        if job.state().is_final() {
            self.answer_cancellers(id, effects);
        } else if job.cancel_since.is_none() {
            let reason = request.reason.as_str().to_owned();
            effects.command(Command::Propose(GateEntry::JobCancelRequested { job: id, reason }));
        }
    }

    pub(crate) fn on_cancel_committed(&mut self, id: JobId, effects: &mut GateEffects) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        // Where its result is made, its end is told in a moment.
        if job.state().is_final() || job.result.is_some() || job.cancel_since.is_some() {
            return;
        }
        job.cancel_since = Some(now);
        job.event(now, "cancelled", "cancelled by its client".to_owned());
        job.go(JobState::Cancelling);
        if job.datacenters.is_empty() {
            job.cancelled_workflows = u32::try_from(job.plan.workflows.len()).unwrap_or(u32::MAX);
            self.finish(id, JobState::Cancelled, String::new(), effects);
            return;
        }
        let running = job.datacenters.iter().filter(|(_, part)| part.outcome.is_none());
        let running: Vec<String> = running.map(|(name, _)| name.clone()).collect();
        running.iter().for_each(|name| self.cancel_part(id, name, effects));
    }

    /// Answers who waits for a cancel, once the job has ended.
    pub(crate) fn answer_cancellers(&mut self, id: JobId, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.cancel_since.is_some() && job.cancelled_workflows == 0 {
            let told = job.datacenters.values().filter_map(|part| part.outcome.as_ref());
            let cancelled = told.flat_map(|outcome| &outcome.workflows);
            let count = cancelled.filter(|told| told.state == WorkflowState::Cancelled.to_wire()).count();
            job.cancelled_workflows = u32::try_from(count).unwrap_or(u32::MAX);
        }
        let pending: Vec<&str> = job
            .datacenters
            .iter()
            .filter(|(_, part)| part.outcome.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        let answer = JobCancelResponse {
            job_id: id.to_bytes(),
            success: true,
            cancelled_workflow_count: job.cancelled_workflows,
            error: if pending.is_empty() {
                String::new()
            } else {
                format!("pending: {}", pending.join(", "))
            },
            state: job.state().to_wire(),
            per_dc: job
                .datacenters
                .iter()
                .map(|(name, part)| DcCancel {
                    datacenter: name.clone(),
                    success: part.outcome.is_some(),
                    count: part.cancelled.unwrap_or(0),
                    error: part.outcome.as_ref().map_or_else(String::new, |outcome| outcome.error.clone()),
                })
                .collect(),
        };
        for waiting in job.cancellers.drain(..) {
            effects.send(waiting.link, Head::reply(waiting.correlation).job(id), &answer);
        }
    }

    /// A cancel that a datacenter does not answer in time ends without it; the report names it.
    pub(crate) fn expire_cancels(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        let late: Vec<(JobId, String)> = self
            .live()
            .filter(|job| job.cancel_deadline().is_some_and(|due| due <= now))
            .flat_map(|job| job.datacenters.iter().map(move |(name, part)| (job.id, name, part)))
            .filter(|(_, _, part)| part.outcome.is_none())
            .map(|(id, name, _)| (id, name.clone()))
            .collect();
        for (id, name) in late {
            let error = format!("datacenter {name} did not answer the cancel");
            self.end_part(id, &name, (JobState::Cancelled, error), true, effects);
        }
    }
}
