//! From a queued job to its datacenters: assigned in the ledger first, sent when committed.

use std::collections::{BTreeMap, BTreeSet};

use hyperscale_codec::messages::{ArchivedJobDispatchAck, JobDispatch, JobState};
use hyperscale_codec::{Attempt, Head, JobId};
use hyperscale_core::LinkId;
use hyperscale_jobs::{Units, split};
use hyperscale_ledger::GateEntry;

use crate::core::{Command, GateCore, GateEffects, Manager};
use crate::job::{Datacenter, DcOutcome};

impl GateCore {
    /// Dispatches every queued job for which a datacenter has workers.
    pub(crate) fn dispatch_waiting(&mut self, effects: &mut GateEffects) {
        // The manager with the most workers speaks for its datacenter.
        let mut able: BTreeMap<String, (LinkId, Manager)> = BTreeMap::new();
        for (link, manager) in self.managers.iter().filter(|(_, manager)| manager.worker_shards > 0) {
            let best = able.get(&manager.datacenter).map_or(0, |(_, best)| best.worker_shards);
            if manager.worker_shards > best {
                able.insert(manager.datacenter.clone(), (*link, manager.clone()));
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
                    manager: manager.node,
                    link: *link,
                    attempt: Attempt(1),
                    units,
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

    pub(crate) fn on_dispatch_ack(&mut self, ack: &ArchivedJobDispatchAck, effects: &mut GateEffects) {
        let id = JobId::from_bytes(ack.job);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if ack.accepted {
            if job.state() == JobState::Dispatching {
                job.go(JobState::Running);
            }
            return;
        }
        let refused =
            job.datacenters.iter().find(|(_, part)| part.attempt.0 == ack.attempt && part.outcome.is_none());
        let Some(name) = refused.map(|(name, _)| name.clone()) else { return };
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

    /// A manager is gone: its datacenter's part of every job ends with what it told so far.
    pub(crate) fn on_manager_lost(&mut self, manager: &Manager, effects: &mut GateEffects) {
        let lost: Vec<(JobId, String)> = self
            .jobs
            .values()
            .flat_map(|job| job.datacenters.iter().map(move |(name, part)| (job.id, name, part)))
            .filter(|(_, _, part)| part.manager == manager.node && part.outcome.is_none())
            .map(|(job, name, _)| (job, name.clone()))
            .collect();
        let now = self.now;
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
