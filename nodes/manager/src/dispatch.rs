//! Taking a job on: checked, committed, acknowledged; then its first workflows are assigned.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperscale_codec::messages::{ArchivedJobDispatch, JobDispatchAck};
use hyperscale_codec::{Attempt, ErrorCode, Head, JobId, RawFrame, Sequence};
use hyperscale_core::LinkId;
use hyperscale_jobs::{Dag, Units};
use hyperscale_ledger::ManagerEntry;
use hyperscale_reliability::StatsPace;
use hyperscale_stats::{StatsBuffer, Totals, WindowMerge};

use crate::core::{Command, ManagerCore, ManagerEffects, refuse};
use crate::job::{DcJob, DcWorkflow};

impl ManagerCore {
    pub(crate) fn on_dispatch(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        dispatch: &ArchivedJobDispatch,
        effects: &mut ManagerEffects,
    ) {
        let id = JobId::from_bytes(dispatch.job);
        let token = dispatch.fence_token.to_native();
        let correlation = frame.header.correlation;
        let owner = self.gates.get(&link).copied();
        if let Some(job) = self.jobs.get_mut(&id) {
            if token < job.fence_token {
                let text = format!("token {token} is older than {}", job.fence_token);
                refuse(effects, link, frame, ErrorCode::StaleToken, text);
                return;
            }
            // Known: the same answer, nothing starts twice.
            (job.correlation, job.fence_token) = (correlation, token);
            job.owned_over(link);
            if job.dc_token > 0 {
                acknowledge(job, effects);
            }
            // Another start of its gate, or another gate: it has heard nothing of what has been told.
            if let Some(owner) = owner.filter(|owner| *owner != job.owner) {
                (job.owner, job.acknowledged, job.finals_kept) = (owner, false, false);
                if job.outcome.is_some() {
                    self.owe(id, DcJob::sources);
                    self.send_result(id, effects);
                }
            }
            return;
        }
        let plan = match hyperscale_plan::parse("plan", dispatch.plan.as_str()) {
            Ok(_) if self.draining => {
                let error = format!("manager {} is draining", self.config.identity.name);
                refuse_job(link, correlation, dispatch, error, effects);
                return;
            }
            Ok(plan) => Arc::new(plan),
            Err(errors) => {
                refuse_job(link, correlation, dispatch, errors.to_string(), effects);
                return;
            }
        };
        let Some(owner) = owner else { return };
        let attempt = Attempt(dispatch.attempt.to_native());
        let units = Units {
            from: dispatch.unit_from.to_native(),
            count: dispatch.unit_count.to_native(),
            of: dispatch.units.to_native(),
        };
        let steps = DcJob::steps(&plan);
        let windows = StatsBuffer::new(&steps, plan.window);
        let job = DcJob {
            id,
            owner,
            gate_link: link,
            orphaned_since: None,
            given_up: false,
            correlation,
            fence_token: token,
            dc_token: 0,
            attempt,
            units,
            dag: Dag::new(plan.workflows.iter().map(|workflow| workflow.after.clone()).collect()),
            workflows: plan.workflows.iter().map(|_| DcWorkflow::default()).collect(),
            workers: BTreeMap::new(),
            view: WindowMerge::new(&steps),
            totals: Totals::new(steps),
            view_since: None,
            offered_to: None,
            windows,
            pace: StatsPace::new(plan.window, self.now, self.config.seed ^ token).of_windows(),
            sequence: Sequence(0),
            accepted_at: self.now,
            started_at: None,
            started_unix_ms: 0,
            last_end: None,
            cancelled: false,
            refused: 0,
            events: Vec::new(),
            outcome: None,
            acknowledged: false,
            finals_kept: false,
            ended_at: None,
            text: dispatch.plan.as_str().to_owned(),
            sha256: dispatch.plan_sha256,
            plan,
        };
        self.jobs.insert(id, job);
        effects.command(Command::Propose(ManagerEntry::DcJobAccepted {
            job: id,
            fence_token: token,
            attempt,
        }));
    }

    pub(crate) fn on_accepted(&mut self, id: JobId, index: u64, effects: &mut ManagerEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.dc_token = index;
        acknowledge(job, effects);
        self.advance(id, effects);
    }
}

fn refuse_job(
    link: LinkId,
    correlation: u32,
    dispatch: &ArchivedJobDispatch,
    error: String,
    effects: &mut ManagerEffects,
) {
    let (job, attempt) = (dispatch.job, dispatch.attempt.to_native());
    let ack = JobDispatchAck { job, attempt, accepted: false, dc_token: 0, error };
    effects.send(link, Head::reply(correlation).job(JobId::from_bytes(job)), &ack);
}

fn acknowledge(job: &DcJob, effects: &mut ManagerEffects) {
    let ack = JobDispatchAck {
        job: job.id.to_bytes(),
        attempt: job.attempt.0,
        accepted: true,
        dc_token: job.dc_token,
        error: String::new(),
    };
    effects.send(job.gate_link, Head::reply(job.correlation).job(job.id), &ack);
}
