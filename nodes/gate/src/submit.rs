//! Submissions: checked, proposed, acknowledged once committed.

use std::sync::Arc;

use hyperscale_codec::messages::{ArchivedJobSubmit, JobAck, JobState};
use hyperscale_codec::{ErrorCode, Head, JobId, RawFrame};
use hyperscale_core::LinkId;
use hyperscale_ledger::GateEntry;
use rand::Rng;
use sha2::{Digest, Sha256};

use crate::core::{Command, GateCore, GateEffects, refuse};
use crate::job::{GateJob, Waiting};

impl GateCore {
    pub(crate) fn on_submit(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        submit: &ArchivedJobSubmit,
        effects: &mut GateEffects,
    ) {
        let waiting = Waiting { link, correlation: frame.header.correlation };
        if let Some(&known) = self.keys.get(&submit.idempotency) {
            self.on_resubmit(known, submit, waiting, frame, effects);
            return;
        }
        if !self.has_room() {
            let text = "this gate has 10000 live jobs; try again when some have ended".to_owned();
            refuse(effects, link, frame, ErrorCode::Capacity, text);
            return;
        }
        let text = submit.plan.as_str();
        let sha256: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if sha256 != submit.plan_sha256 {
            refuse(
                effects,
                link,
                frame,
                ErrorCode::Invalid,
                "plan_sha256 is not the plan's SHA-256".to_owned(),
            );
            return;
        }
        let plan = match hyperscale_plan::parse("plan", text) {
            Ok(plan) => Arc::new(plan),
            Err(errors) => {
                refuse(effects, link, frame, ErrorCode::Invalid, errors.to_string());
                return;
            }
        };
        let job = self.new_job_id();
        let mut entry = GateJob::new(job, plan, text.to_owned(), sha256, self.now);
        entry.submitters.push(waiting);
        if submit.follow {
            entry.subscribe(link, submit.histograms);
        }
        self.jobs.insert(job, entry);
        self.keys.insert(submit.idempotency, job);
        let me = self.me();
        effects.command(Command::Propose(GateEntry::JobAccepted {
            job,
            key: submit.idempotency,
            plan_sha256: sha256,
            owner: (me.node, me.shard),
        }));
    }

    /// The same key again: the same answer for the same plan, `conflict` for another.
    fn on_resubmit(
        &mut self,
        known: JobId,
        submit: &ArchivedJobSubmit,
        waiting: Waiting,
        frame: &RawFrame<'_>,
        effects: &mut GateEffects,
    ) {
        let Some(job) = self.jobs.get_mut(&known) else { return };
        if job.sha256 != submit.plan_sha256 {
            let text = format!("this idempotency key belongs to job {known} with another plan");
            refuse(effects, waiting.link, frame, ErrorCode::Conflict, text);
            return;
        }
        job.submitters.push(waiting);
        if submit.follow {
            job.subscribe(waiting.link, submit.histograms);
        }
        if job.token > 0 {
            self.acknowledge(known, effects);
        }
    }

    /// A random id that the ring gives to this very shard, so that the owner is who accepted it. With one shard any
    /// id will do; with `n` members it takes about `n` draws.
    fn new_job_id(&mut self) -> JobId {
        loop {
            let job = JobId(self.rng.random());
            let mine = self.ring.owner(job).is_none_or(|owner| owner == self.me());
            if mine && job != JobId(0) && !self.jobs.contains_key(&job) {
                return job;
            }
        }
    }

    pub(crate) fn on_accepted(&mut self, id: JobId, index: u64, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.token = index;
        job.go(JobState::Queued);
        self.acknowledge(id, effects);
        self.dispatch_waiting(effects);
    }

    fn acknowledge(&mut self, id: JobId, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let ack = JobAck {
            job: id.to_bytes(),
            fence_token: job.token,
            owner: self.config.node.to_bytes(),
            owner_addr: self.config.addr.clone(),
            state: job.state().to_wire(),
        };
        for waiting in job.submitters.drain(..) {
            effects.send(waiting.link, Head::reply(waiting.correlation).job(id), &ack);
        }
        if let Some(result) = job.result.clone() {
            for subscriber in &job.subscribers {
                effects.send(subscriber.link, Head::default().job(id), result.as_ref());
            }
        }
    }
}
