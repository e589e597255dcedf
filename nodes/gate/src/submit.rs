//! Submissions: passed on to their owner, or checked, proposed, and acknowledged once committed.
//!
//! A job's id *is* the idempotency key that its client chose: a repeat through any gate meets the same owner.

use std::sync::Arc;

use hyperscale_codec::messages::{ArchivedJobSubmit, JobAck, JobState};
use hyperscale_codec::{ErrorCode, Head, HeadPatch, JobId, RawFrame};
use hyperscale_core::LinkId;
use hyperscale_jobs::Member;
use hyperscale_ledger::GateEntry;
use sha2::{Digest, Sha256};

use crate::core::{Command, GateCore, GateEffects, refuse};
use crate::forward::HOPS_MAX;
use crate::job::{GateJob, Waiting};

impl GateCore {
    pub(crate) fn on_submit(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        submit: &ArchivedJobSubmit,
        effects: &mut GateEffects,
    ) {
        let Some(job) = job_of(submit) else {
            let text = "the idempotency key is zero; choose a random one for each job".to_owned();
            refuse(effects, link, frame, ErrorCode::Invalid, text);
            return;
        };
        let waiting = Waiting { link, correlation: frame.header.correlation };
        if self.jobs.contains_key(&job) {
            self.on_resubmit(job, submit, waiting, frame, effects);
            return;
        }
        if self.resubmitted(job, submit, (link, frame), effects) {
            return;
        }
        match self.owner_of_new(job) {
            Some(member) if member == self.me() => {}
            Some(member) => {
                let patch = HeadPatch::new(member.shard, 0).job(job);
                if let Some(to) = self.link_to(member).filter(|_| frame.header.flags.hops() < HOPS_MAX) {
                    self.forward(link, frame, (to, member), patch, effects);
                } else {
                    let text = format!("the ring gives job {job} to another gate that cannot be reached now");
                    refuse(effects, link, frame, ErrorCode::Unavailable, text);
                }
                return;
            }
            None => {
                let text = "every gate is draining; submit again when one is back".to_owned();
                refuse(effects, link, frame, ErrorCode::Unavailable, text);
                return;
            }
        }
        if let Some(bound) = self.full() {
            let text = self.reach(bound);
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
        let mut entry = GateJob::new(job, plan, text.to_owned(), sha256, self.now);
        entry.submitters.push(waiting);
        // Pushes go where the client is, not where its submission came through.
        if submit.follow && frame.header.flags.hops() == 0 && self.has_room_to_follow(&entry) {
            entry.subscribe(link, submit.histograms);
        }
        self.jobs.insert(job, entry);
        self.live.insert(job);
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
        let room = self.jobs.get(&known).is_some_and(|job| self.has_room_to_follow(job));
        let Some(job) = self.jobs.get_mut(&known) else { return };
        if job.sha256 != submit.plan_sha256 {
            let text = format!("this idempotency key belongs to job {known} with another plan");
            refuse(effects, waiting.link, frame, ErrorCode::Conflict, text);
            return;
        }
        job.submitters.push(waiting);
        if submit.follow && frame.header.flags.hops() == 0 && room {
            job.subscribe(waiting.link, submit.histograms);
        }
        if job.token > 0 {
            self.acknowledge(known, effects);
        }
    }

    /// Who shall own a new job: its owner by the ring, or the next gate that takes jobs and can be reached.
    fn owner_of_new(&self, job: JobId) -> Option<Member> {
        let owner = self.ring.owner(job);
        let takes = |member: &Member| self.takes_jobs(member.node);
        owner.filter(takes).or_else(|| self.ring.successors(job, |_| true).find(takes))
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
        let mut ack = JobAck {
            job: id.to_bytes(),
            fence_token: job.token,
            owner: self.config.identity.node.to_bytes(),
            owner_addr: self.config.addr.clone(),
            state: job.state().to_wire(),
            following: false,
        };
        for waiting in std::mem::take(&mut job.submitters) {
            ack.following = job.subscribers.iter().any(|subscriber| subscriber.link == waiting.link);
            effects.send(waiting.link, Head::reply(waiting.correlation).job(id), &ack);
        }
        if let Some(result) = job.result.clone() {
            for subscriber in &job.subscribers {
                effects.send(subscriber.link, Head::default().job(id), result.as_ref());
            }
        }
    }
}

/// The id of the job that a submission makes.
fn job_of(submit: &ArchivedJobSubmit) -> Option<JobId> {
    Some(JobId::from_bytes(submit.idempotency)).filter(|job| *job != JobId(0))
}
