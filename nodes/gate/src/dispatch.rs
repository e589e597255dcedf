//! From a queued job to its datacenters: assigned in the ledger first, sent when committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperscale_codec::messages::{ArchivedJobDispatchAck, JobDispatch, JobState};
use hyperscale_codec::{Attempt, JobId, NodeId};
use hyperscale_core::LinkId;
use hyperscale_datacenters::{Assignment, ManagerDispatcher, ManagerState, Missing, Patience, Placed, Site};
use hyperscale_fleet::Pulse;
use hyperscale_health::RoutingDecision;
use hyperscale_ledger::GateEntry;

use crate::calls::Call;
use crate::core::{Command, GateCore, GateEffects};
use crate::finish::acknowledge_finals;
use crate::job::{Datacenter, DcOutcome, GateJob};

/// Managers of one datacenter that are asked to take a job, one after the other.
const MANAGERS_TRIED: usize = 2;

/// The event that tells of load from elsewhere than planned.
const FALLBACK: &str = "datacenter_fallback";
/// Datacenters that are asked to take one part of a job, one after the other.
const DATACENTERS_TRIED: u32 = 3;

impl GateCore {
    /// Dispatches every queued job whose datacenters have workers.
    pub(crate) fn dispatch_waiting(&mut self, effects: &mut GateEffects) {
        let queued = self.live().filter(|job| job.state() == JobState::Queued && job.token > 0);
        let queued: Vec<JobId> = queued.map(|job| job.id).collect();
        if queued.is_empty() {
            return;
        }
        let sites = self.sites();
        for id in queued {
            if let Some(Ok(placed)) = self.place(id, &sites, Patience::Left) {
                self.dispatch(id, placed, effects);
            }
        }
    }

    /// Datacenters, with their managers that take jobs.
    fn sites(&self) -> Vec<Site> {
        let mut sites: BTreeMap<&str, Vec<ManagerState>> = BTreeMap::new();
        for (link, manager) in self.managers.iter().filter(|(_, manager)| manager.card.accepting) {
            let pulse = self.links.get(link).map(|link| &link.pulse);
            let state = ManagerState {
                node: manager.card.node,
                decision: self.fitness(manager.card.node).max(self.doubt(manager.card.node)),
                worker_shards: manager.worker_shards,
                overload: pulse.map_or(0, Pulse::overload),
                // Half of what the quickest exchange of heartbeats took.
                latency: pulse.and_then(Pulse::clock).map(|clock| clock.error()),
            };
            sites.entry(&manager.card.datacenter).or_default().push(state);
        }
        let class = |name: &str| self.health.class(self.now, name);
        let site = |(name, managers): (&str, _)| Site { name: name.to_owned(), class: class(name), managers };
        sites.into_iter().map(site).collect()
    }

    /// Who does not answer calls is asked when nobody else is there.
    fn doubt(&self, manager: NodeId) -> RoutingDecision {
        match self.calls.is_left_alone(manager) {
            true => RoutingDecision::Investigate,
            false => RoutingDecision::Route,
        }
    }

    fn place(&self, id: JobId, sites: &[Site], patience: Patience) -> Option<Result<Placed, Missing>> {
        let job = self.jobs.get(&id)?;
        Some(ManagerDispatcher::new(id, &job.plan, sites).place(patience))
    }

    fn link_of_manager(&self, node: NodeId) -> Option<LinkId> {
        self.managers.iter().find(|(_, manager)| manager.card.node == node).map(|(link, _)| *link)
    }

    /// Proposes each datacenter's part.
    fn dispatch(&mut self, id: JobId, placed: Placed, effects: &mut GateEffects) {
        let now = self.now;
        let links = placed.parts.iter().map(|part| self.link_of_manager(part.manager));
        let Some(links) = links.collect::<Option<Vec<LinkId>>>() else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.go(JobState::Dispatching);
        placed.instead.into_iter().for_each(|text| job.event(now, FALLBACK, text));
        for name in placed.degraded {
            job.event(
                now,
                "datacenter_degraded",
                format!("{name} lacks managers or workers, and takes part"),
            );
        }
        for (assignment, link) in placed.parts.into_iter().zip(links) {
            let Assignment { datacenter, manager, units } = assignment;
            let attempt = Attempt(1);
            job.datacenters.insert(datacenter.clone(), Datacenter::new(manager, link, attempt, units));
            let (job, token) = (job.id, job.token);
            effects.command(Command::Propose(GateEntry::DcAssigned { job, token, datacenter, attempt }));
        }
    }

    pub(crate) fn on_assigned(&mut self, id: JobId, datacenter: &str, effects: &mut GateEffects) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.cancel_since.is_some() {
            return;
        }
        let Some(part) = job.datacenters.get_mut(datacenter) else { return };
        part.given_to = part.given_to.or(self.links.get(&part.link).map(|link| link.boot));
        job.view.expect(part.link);
        self.give_part(id, datacenter, effects);
    }

    pub(crate) fn part_mut(&mut self, id: JobId, datacenter: &str) -> Option<&mut Datacenter> {
        self.jobs.get_mut(&id)?.datacenters.get_mut(datacenter)
    }

    /// What the manager of a datacenter is told to run; `None`: nothing any more.
    pub(crate) fn part_of(&self, id: JobId, datacenter: &str) -> Option<JobDispatch> {
        let job = self.jobs.get(&id).filter(|job| job.cancel_since.is_none())?;
        let part = job.datacenters.get(datacenter).filter(|part| part.outcome.is_none())?;
        Some(JobDispatch {
            job: id.to_bytes(),
            fence_token: job.token,
            attempt: part.attempt.0,
            datacenter: datacenter.to_owned(),
            plan: job.text.clone(),
            plan_sha256: job.sha256,
            unit_from: part.units.from,
            unit_count: part.units.count,
            units: part.units.of,
            ..JobDispatch::default()
        })
    }

    pub(crate) fn on_dispatch_ack(
        &mut self,
        link: LinkId,
        ack: &ArchivedJobDispatchAck,
        effects: &mut GateEffects,
    ) {
        let id = JobId::from_bytes(ack.job);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let asked = job.datacenters.iter().find(|(_, part)| part.link == link);
        if let Some((name, _)) = asked {
            self.calls.answered(self.now, &Call::Dispatch(id, name.clone()));
        }
        if ack.accepted {
            if job.state() == JobState::Dispatching {
                job.go(JobState::Running);
            }
            return;
        }
        self.on_dispatch_refused(link, id, ack.error.as_str(), effects);
    }

    /// A manager does not take its part of a job, or answered with an error.
    pub(crate) fn on_dispatch_refused(
        &mut self,
        link: LinkId,
        id: JobId,
        error: &str,
        effects: &mut GateEffects,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let refused = job.datacenters.iter().find(|(_, part)| part.link == link && part.outcome.is_none());
        let Some(name) = refused.map(|(name, _)| name.clone()) else { return };
        let error = format!("datacenter {name} refused the job: {error}");
        if job.cancel_since.is_some() || !self.ask_another(id, &name, &error, effects) {
            self.end_part(id, &name, (JobState::Failed, error), false, effects);
        }
    }

    /// Asks the next manager of a datacenter that refused its part, or the next datacenter where the plan allows.
    fn ask_another(&mut self, id: JobId, name: &str, refusal: &str, effects: &mut GateEffects) -> bool {
        let (now, sites) = (self.now, self.sites());
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let plan = Arc::clone(&job.plan);
        let dispatcher = ManagerDispatcher::new(id, &plan, &sites);
        let Some(part) = job.datacenters.get_mut(name) else { return false };
        part.refused_by.push(part.manager);
        let next = dispatcher.next_manager(name, &part.refused_by);
        if let Some(manager) = next.filter(|_| part.refused_by.len() < MANAGERS_TRIED) {
            return self.hand_on(id, name, manager, effects);
        }
        let refused_in = part.refused_in.clone();
        let may = part.attempt.0 < DATACENTERS_TRIED;
        let next = dispatcher.next_datacenter(|other| {
            job.datacenters.contains_key(other) || refused_in.iter().any(|it| it == other)
        });
        let Some((datacenter, manager)) = next.filter(|_| may) else { return false };
        let Some(link) = self.link_of_manager(manager) else { return false };
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let Some(part) = job.datacenters.remove(name) else { return false };
        self.calls.forget(&Call::Dispatch(id, name.to_owned()));
        job.view.forget(part.link);
        job.event(now, FALLBACK, format!("{refusal}; {datacenter} takes its part"));
        let attempt = Attempt(part.attempt.0.saturating_add(1));
        let mut part = Datacenter::new(manager, link, attempt, part.units);
        part.refused_in = refused_in;
        part.refused_in.push(name.to_owned());
        job.datacenters.insert(datacenter.clone(), part);
        let token = job.token;
        effects.command(Command::Propose(GateEntry::DcAssigned { job: id, token, datacenter, attempt }));
        true
    }

    /// Asks another manager of a datacenter, for the one that was asked is loaded and has not taken the part.
    pub(crate) fn ask_less_loaded(&mut self, id: JobId, name: &str, effects: &mut GateEffects) {
        let sites = self.sites();
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(part) = job.datacenters.get(name) else { return };
        let mut asked = part.refused_by.clone();
        asked.push(part.manager);
        let next = ManagerDispatcher::new(id, &job.plan, &sites).next_manager(name, &asked);
        if let Some(manager) = next {
            self.hand_on(id, name, manager, effects);
        }
    }

    /// The same part, to another manager of its datacenter.
    fn hand_on(&mut self, id: JobId, name: &str, manager: NodeId, effects: &mut GateEffects) -> bool {
        let Some(link) = self.link_of_manager(manager) else { return false };
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let Some(part) = job.datacenters.get_mut(name) else { return false };
        job.view.forget(part.link);
        (part.manager, part.given_to, part.link) = (manager, None, link);
        (part.asked, part.refused) = (0, 0);
        self.on_assigned(id, name, effects);
        true
    }

    /// A part that will tell nothing more ends with what is known. `unheard`: it may have run.
    pub(crate) fn end_part(
        &mut self,
        id: JobId,
        name: &str,
        (state, error): (JobState, String),
        unheard: bool,
        effects: &mut GateEffects,
    ) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(part) = job.datacenters.get_mut(name).filter(|part| part.outcome.is_none()) else { return };
        part.outcome = Some(DcOutcome {
            state,
            unheard,
            error,
            workflows: Vec::new(),
            workers: Vec::new(),
            duration: now.since(job.accepted_at),
            started_unix_ms: 0,
        });
        let (link, attempt, token) = (part.link, part.attempt, job.token);
        job.view.forget(link);
        self.forget_part(id, name);
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
        let boot = self.links.get(&link).map(|link| link.boot);
        // One that started anew knows nothing of its parts: given again, their load would run twice.
        let forgot = |part: &Datacenter| part.given_to.is_some() && part.given_to != boot;
        for job in self.jobs.values_mut() {
            let (id, ended, view) = (job.id, job.ended_at.is_some(), &mut job.view);
            for (name, part) in &mut job.datacenters {
                if part.manager != node || part.link == link || forgot(part) {
                    continue;
                }
                view.forget(part.link);
                (part.link, part.lost_since) = (link, None);
                if part.outcome.is_none() {
                    again.push((id, name.clone()));
                } else if ended {
                    acknowledge_finals(id, link, part.finals.iter().copied(), effects);
                }
            }
        }
        // The same attempt: a manager that has it answers as before, and starts nothing.
        for (id, datacenter) in again {
            match self.jobs.get(&id).is_some_and(|job| job.cancel_since.is_some()) {
                true => self.cancel_part(id, &datacenter, effects),
                false => self.on_assigned(id, &datacenter, effects),
            }
        }
    }

    /// A manager that does not come back ends its parts with what it told so far.
    pub(crate) fn give_up_managers(&mut self, effects: &mut GateEffects) {
        let (now, wait) = (self.now, self.config.manager_wait);
        let links = &self.links;
        // It is there, and not taken on yet because this gate is loaded: its registration comes again.
        let is_linked = |part: &Datacenter| {
            links.values().any(|link| link.node == part.manager && Some(link.boot) == part.given_to)
        };
        for id in &self.live {
            let parts = self.jobs.get_mut(id).into_iter().flat_map(|job| job.datacenters.values_mut());
            for part in parts.filter(|part| part.lost_since.is_some_and(|since| now.since(since) >= wait)) {
                if part.outcome.is_none() && is_linked(part) {
                    part.lost_since = Some(now);
                }
            }
        }
        let lost: Vec<(JobId, String)> = self
            .live()
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
            self.end_part(id, &name, (JobState::Failed, error), true, effects);
        }
    }

    /// Jobs that waited long enough for their datacenters: they go elsewhere, or fail.
    pub(crate) fn fail_undispatched(&mut self, effects: &mut GateEffects) {
        let now = self.now;
        let wait = self.config.dispatch_wait;
        let late = |job: &&GateJob| job.state() == JobState::Queued && now.since(job.accepted_at) >= wait;
        let late: Vec<JobId> = self.live().filter(late).map(|job| job.id).collect();
        if late.is_empty() {
            return;
        }
        let sites = self.sites();
        for id in late {
            match self.place(id, &sites, Patience::Over) {
                Some(Ok(placed)) => self.dispatch(id, placed, effects),
                Some(Err(Missing(what))) => {
                    self.finish(id, JobState::Failed, format!("no_datacenter: {what}"), effects);
                }
                None => {}
            }
        }
    }
}
