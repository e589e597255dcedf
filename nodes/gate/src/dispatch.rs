//! From a queued job to its datacenters: assigned in the ledger first, sent when committed.

use std::collections::{BTreeMap, BTreeSet};

use hyperscale_codec::messages::{ArchivedJobDispatchAck, JobDispatch, JobState};
use hyperscale_codec::{Attempt, Head, JobId, NodeId};
use hyperscale_core::LinkId;
use hyperscale_jobs::{Units, split};
use hyperscale_ledger::GateEntry;

use crate::core::{Command, GateCore, GateEffects};
use crate::job::{Datacenter, DcOutcome};
use crate::peers::Manager;

/// Managers of one datacenter that are asked to take a job, one after the other.
const MANAGERS_TRIED: usize = 2;

impl GateCore {
    /// Dispatches every queued job for which a datacenter has workers.
    pub(crate) fn dispatch_waiting(&mut self, effects: &mut GateEffects) {
        // Of a datacenter's managers that take jobs the one with the most workers speaks for it.
        let mut able: BTreeMap<String, (LinkId, Manager)> = BTreeMap::new();
        let takes = |manager: &Manager| manager.card.accepting && manager.worker_shards > 0;
        for (link, manager) in self.managers.iter().filter(|(_, manager)| takes(manager)) {
            let best = able.get(&manager.card.datacenter).map_or(0, |(_, best)| best.worker_shards);
            if manager.worker_shards > best {
                able.insert(manager.card.datacenter.clone(), (*link, manager.clone()));
            }
        }
        if able.is_empty() {
            return;
        }
        let weights: Vec<u32> = able.values().map(|(_, manager)| manager.worker_shards).collect();
        let whole = Units::whole(weights.iter().fold(0, |sum: u32, &weight| sum.saturating_add(weight)));
        let Ok(parts) = split(whole, &weights) else { return };
        for job in self.jobs.values_mut().filter(|job| job.state() == JobState::Queued && job.token > 0) {
            job.go(JobState::Dispatching);
            for ((datacenter, (link, manager)), &units) in able.iter().zip(&parts) {
                let part = Datacenter {
                    manager: manager.card.node,
                    link: *link,
                    attempt: Attempt(1),
                    units,
                    refused_by: Vec::new(),
                    lost_since: None,
                    outcome: None,
                    finished: false,
                    cancelled: None,
                    finals: BTreeSet::new(),
                };
                job.datacenters.insert(datacenter.clone(), part);
                effects.command(Command::Propose(GateEntry::DcAssigned {
                    job: job.id,
                    token: job.token,
                    datacenter: datacenter.clone(),
                    attempt: Attempt(1),
                }));
            }
        }
    }

    pub(crate) fn on_assigned(&mut self, id: JobId, datacenter: &str, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.cancel_since.is_some() {
            return;
        }
        let Some(part) = job.datacenters.get(datacenter) else { return };
        let dispatch = JobDispatch {
            job: id.to_bytes(),
            fence_token: job.token,
            attempt: part.attempt.0,
            datacenter: datacenter.to_owned(),
            plan: job.text.clone(),
            plan_sha256: job.sha256,
            unit_from: part.units.from,
            unit_count: part.units.count,
            units: part.units.of,
        };
        effects.send(part.link, Head::request(1).job(id), &dispatch);
        job.view.expect(part.link);
    }

    pub(crate) fn on_dispatch_ack(
        &mut self,
        link: LinkId,
        ack: &ArchivedJobDispatchAck,
        effects: &mut GateEffects,
    ) {
        let id = JobId::from_bytes(ack.job);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if ack.accepted {
            if job.state() == JobState::Dispatching {
                job.go(JobState::Running);
            }
            return;
        }
        let refused =
            job.datacenters.iter_mut().find(|(_, part)| part.link == link && part.outcome.is_none());
        let Some((name, part)) = refused else { return };
        let name = name.clone();
        part.refused_by.push(part.manager);
        let others = self.managers.iter().filter(|(_, manager)| {
            let card = &manager.card;
            card.datacenter == name && card.accepting && !part.refused_by.contains(&card.node)
        });
        let next = others.max_by_key(|(_, manager)| manager.worker_shards);
        if let Some((next, manager)) = next.filter(|_| part.refused_by.len() < MANAGERS_TRIED) {
            job.view.forget(part.link);
            (part.manager, part.link) = (manager.card.node, *next);
            self.on_assigned(id, &name, effects);
            return;
        }
        let error = format!("datacenter {name} refused the job: {}", ack.error.as_str());
        self.end_part(id, &name, JobState::Failed, error, effects);
    }

    /// A part that will tell nothing more ends with what is known.
    pub(crate) fn end_part(
        &mut self,
        id: JobId,
        name: &str,
        state: JobState,
        error: String,
        effects: &mut GateEffects,
    ) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(part) = job.datacenters.get_mut(name).filter(|part| part.outcome.is_none()) else { return };
        part.outcome = Some(DcOutcome {
            state,
            error,
            workflows: Vec::new(),
            workers: Vec::new(),
            duration: now.since(job.accepted_at),
            started_unix_ms: 0,
        });
        let (link, attempt, token) = (part.link, part.attempt, job.token);
        job.view.forget(link);
        let datacenter = name.to_owned();
        effects.command(Command::Propose(GateEntry::DcFinished { job: id, token, datacenter, attempt }));
    }

    /// A manager's connection is gone: its parts of jobs wait for it to come back.
    pub(crate) fn on_manager_lost(&mut self, node: NodeId) {
        let now = self.now;
        if self.managers.values().any(|manager| manager.card.node == node) {
            return;
        }
        for part in self.jobs.values_mut().flat_map(|job| job.datacenters.values_mut()) {
            if part.manager == node && part.outcome.is_none() {
                part.lost_since.get_or_insert(now);
            }
        }
    }

    /// A manager is linked, perhaps again: what it runs goes on over this link.
    pub(crate) fn on_manager_back(&mut self, node: NodeId, link: LinkId, effects: &mut GateEffects) {
        let mut again = Vec::new();
        for job in self.jobs.values_mut() {
            let (id, view) = (job.id, &mut job.view);
            for (name, part) in &mut job.datacenters {
                if part.manager != node || part.finished || part.link == link {
                    continue;
                }
                view.forget(part.link);
                (part.link, part.lost_since) = (link, None);
                if part.outcome.is_none() {
                    again.push((id, name.clone()));
                }
            }
        }
        // The same attempt: a manager that has it answers as before, and starts nothing.
        again.into_iter().for_each(|(id, datacenter)| self.on_assigned(id, &datacenter, effects));
    }

    /// A manager that does not come back ends its parts with what it told so far.
    pub(crate) fn give_up_managers(&mut self, effects: &mut GateEffects) {
        let (now, wait) = (self.now, self.config.manager_wait);
        let lost: Vec<(JobId, String)> = self
            .jobs
            .values()
            .flat_map(|job| job.datacenters.iter().map(move |(name, part)| (job.id, name, part)))
            .filter(|(_, _, part)| part.outcome.is_none())
            .filter(|(_, _, part)| part.lost_since.is_some_and(|since| now.since(since) >= wait))
            .map(|(job, name, _)| (job, name.clone()))
            .collect();
        for (id, name) in lost {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.event(now, "manager_lost", format!("the manager of {name} is gone"));
            }
            let error =
                format!("the manager of datacenter {name} is gone; what it last told is in the report");
            self.end_part(id, &name, JobState::Failed, error, effects);
        }
    }

    /// Jobs that no datacenter could take in time.
    pub(crate) fn fail_undispatched(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        let wait = self.config.dispatch_wait;
        let late: Vec<JobId> = self
            .jobs
            .values()
            .filter(|job| job.state() == JobState::Queued && now.since(job.accepted_at) >= wait)
            .map(|job| job.id)
            .collect();
        for id in late {
            let seconds = wait.as_secs();
            self.finish(
                id,
                JobState::Failed,
                format!("no_datacenter: none had a worker within {seconds} s"),
                effects,
            );
        }
    }
}
