//! Questions about a job: how it stands, and tell me from now on (B-2).

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedJobStatusRequest, ArchivedRegisterCallback, JobState, JobStatusResponse, RegisterCallbackResponse,
};
use hyperscale_codec::{ErrorCode, Features, Head, JobId, RawFrame};
use hyperscale_core::LinkId;

use crate::bounds::Bound;
use crate::core::{GateCore, GateEffects, refuse};
use crate::job::GateJob;

impl GateCore {
    pub(crate) fn on_status(
        &self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedJobStatusRequest,
        effects: &mut GateEffects,
    ) {
        let id = JobId::from_bytes(request.job);
        let live = self.jobs.get(&id).map(|job| self.status_of(job, job.state()));
        let Some(answer) = live.or_else(|| self.kept_status(id)) else {
            self.unknown_job(id, link, frame, effects);
            return;
        };
        effects.send(link, Head::reply(frame.header.correlation).job(id), &answer);
    }

    /// How a job stands that is in this state.
    pub(crate) fn status_of(&self, job: &GateJob, state: JobState) -> JobStatusResponse {
        JobStatusResponse {
            job: job.id.to_bytes(),
            name: job.plan.name.clone(),
            state: state.to_wire(),
            error: job.error.clone(),
            owner: self.config.identity.node.to_bytes(),
            owner_name: self.config.identity.name.clone(),
            owner_addr: self.config.addr.clone(),
            fence_token: job.token,
            accepted_unix_ms: self.config.wall.unix_ms(job.accepted_at),
            elapsed_ms: millis(self.elapsed(job)),
            requests: job.running.requests,
            errors: job.running.errors,
            dropped: job.running.dropped,
            datacenters: job.datacenters.keys().cloned().collect(),
        }
    }

    /// Subscribes a client that came here; one whose question was passed on learns where to come.
    pub(crate) fn on_callback(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        request: &ArchivedRegisterCallback,
        effects: &mut GateEffects,
    ) {
        let id = JobId::from_bytes(request.job);
        let passed_on = frame.header.flags.hops() > 0;
        let may = self.common(link).contains(Features::CLIENT_RECONNECTION) || passed_on;
        let why_not = match (may, passed_on) {
            (true, false) => "",
            (true, true) => "the job is at owner_addr; ask there",
            (false, _) => "client_reconnection was not negotiated; poll the job's status",
        };
        if !self.jobs.contains_key(&id) && self.called_back(id, (link, frame), why_not, effects) {
            return;
        }
        let Some(elapsed) = self.jobs.get(&id).map(|job| self.elapsed(job)) else {
            self.unknown_job(id, link, frame, effects);
            return;
        };
        let known = self.jobs.get(&id).is_some_and(|job| job.is_followed_by(link));
        let room = known || self.jobs.get(&id).is_some_and(|job| self.has_room_to_follow(job));
        if may && !passed_on && request.follow && !room {
            let text = self.reach(Bound::Followers);
            refuse(effects, link, frame, ErrorCode::Capacity, text);
            return;
        }
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let here = may && !passed_on;
        if here && request.follow {
            job.subscribe(link, request.histograms);
        }
        let answer = RegisterCallbackResponse {
            job: request.job,
            success: here,
            owner_addr: self.config.addr.clone(),
            state: job.state().to_wire(),
            requests: job.running.requests,
            errors: job.running.errors,
            elapsed_ms: millis(elapsed),
            seq: job.seq,
            error: why_not.to_owned(),
        };
        effects.send(link, Head::reply(frame.header.correlation).job(id), &answer);
        if here && let Some(result) = job.result.clone().filter(|_| job.state().is_final()) {
            effects.send(link, Head::default().job(id), result.as_ref());
        }
    }

    pub(crate) fn unknown_job(
        &self,
        id: JobId,
        link: LinkId,
        frame: &RawFrame<'_>,
        effects: &mut GateEffects,
    ) {
        let gates = self.gates.len() + 1;
        let text = format!(
            "no job {id} is known to gate {} or those it could ask ({gates} gates are in its ring); a job is \
             forgotten 10 minutes after its end where its gate has no data folder, and when the gate that owns it dies \
             before its end",
            self.config.identity.name
        );
        refuse(effects, link, frame, ErrorCode::UnknownJob, text);
    }

    fn elapsed(&self, job: &GateJob) -> Duration {
        job.done_at.unwrap_or(self.now).since(job.accepted_at)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
