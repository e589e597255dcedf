//! `ManagerDispatcher` (27-2): the choice of datacenters and managers.

use std::cmp::Reverse;
use std::time::Duration;

use hyperscale_codec::{JobId, NodeId};
use hyperscale_health::DatacenterClass;
use hyperscale_jobs::{Units, split};
use hyperscale_plan::{Datacenters, NamedShare, Plan};

use crate::shares::shares;
use crate::site::{ManagerState, Site};

/// Whether a job may wait for a datacenter that lacks workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It may.
    Left,
    /// It has waited long enough: others take that part, if the plan allows.
    Over,
}

/// One datacenter's part of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub datacenter: String,
    pub manager: NodeId,
    pub units: Units,
}

/// A job's parts: together its whole load, none of them empty, no datacenter twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub parts: Vec<Assignment>,
    /// Where the load comes from elsewhere than the plan wants, in a sentence each.
    pub instead: Vec<String>,
    /// Datacenters among them that are degraded.
    pub degraded: Vec<String>,
}

/// Why a job cannot be placed (yet): `dc-3 has no worker (known: dc-1, dc-2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

/// Chooses for one job, from what is known now.
#[derive(Debug)]
pub struct ManagerDispatcher<'a> {
    job: JobId,
    plan: &'a Plan,
    /// Those that can drive load: by name, with their managers ranked.
    able: Vec<Able<'a>>,
}

/// A datacenter with workers.
#[derive(Debug, Clone)]
struct Able<'a> {
    name: &'a str,
    class: DatacenterClass,
    managers: Vec<&'a ManagerState>,
}

impl Able<'_> {
    /// The one that is asked first.
    fn first(&self) -> Option<&ManagerState> {
        self.managers.first().copied()
    }

    fn worker_shards(&self) -> u32 {
        self.first().map_or(0, |manager| manager.worker_shards)
    }
}

impl<'a> ManagerDispatcher<'a> {
    /// `sites` by name, each once.
    #[must_use]
    pub fn new(job: JobId, plan: &'a Plan, sites: &'a [Site]) -> Self {
        let able =
            sites.iter().map(|site| Able { name: &site.name, class: site.class, managers: site.ranked(job) });
        let fit = |able: &Able<'_>| !able.managers.is_empty() && able.class < DatacenterClass::Unhealthy;
        Self { job, plan, able: able.filter(fit).collect() }
    }

    /// The job this chooses for.
    #[must_use]
    pub const fn job(&self) -> JobId {
        self.job
    }

    /// Each datacenter's part.
    ///
    /// # Errors
    /// [`Missing`]: some datacenter lacks workers, and may not or cannot be replaced.
    pub fn place(&self, patience: Patience) -> Result<Placed, Missing> {
        if self.able.is_empty() {
            return Err(Missing(match &self.plan.placement.datacenters {
                Datacenters::Named(wanted) => self.lack(wanted.iter().map(|share| share.name.as_str())),
                Datacenters::All | Datacenters::Best(_) => "none has a worker".to_owned(),
            }));
        }
        let replace = patience == Patience::Over && self.plan.placement.fallback;
        match &self.plan.placement.datacenters {
            Datacenters::All => {
                // Who is degraded takes part only where nobody else is.
                let well: Vec<Able<'_>> =
                    self.able.iter().filter(|able| able.class < DatacenterClass::Degraded).cloned().collect();
                Ok(by_workers(if well.is_empty() { &self.able } else { &well }, Vec::new()))
            }
            Datacenters::Best(count) => self.place_best(*count, replace),
            Datacenters::Named(wanted) => self.place_named(wanted, replace),
        }
    }

    fn place_best(&self, count: u32, replace: bool) -> Result<Placed, Missing> {
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        let found = self.able.len();
        let short = || format!("{found} of {count} datacenters have workers (known: {})", self.known());
        if found < wanted && !replace {
            return Err(Missing(short()));
        }
        let mut best: Vec<Able<'_>> = self.best_first().into_iter().take(wanted).cloned().collect();
        best.sort_by_key(|able| able.name);
        let instead = if found < wanted { vec![short()] } else { Vec::new() };
        Ok(by_workers(&best, instead))
    }

    fn place_named(&self, wanted: &[NamedShare], replace: bool) -> Result<Placed, Missing> {
        let find = |name: &str| self.able.iter().find(|able| able.name == name);
        let missing = || wanted.iter().filter(|share| find(&share.name).is_none());
        if missing().next().is_some() && !replace {
            return Err(Missing(self.lack(missing().map(|share| share.name.as_str()))));
        }
        let named = |able: &&Able<'_>| wanted.iter().any(|share| share.name == able.name);
        let mut spare = self.best_first().into_iter().filter(|able| !named(able));
        let (mut chosen, mut instead) = (Vec::new(), Vec::new());
        for share in wanted {
            let Some(able) = find(&share.name).or_else(|| {
                let other = spare.next();
                let who = other.map_or("the others", |other| other.name);
                instead.push(format!("{} has no worker; {who} took its part", share.name));
                other
            }) else {
                continue;
            };
            chosen.push((able, share.weight));
        }
        let weights: Vec<(u32, u32)> =
            chosen.iter().map(|(able, weight)| (*weight, able.worker_shards())).collect();
        let units = shares(self.plan, &weights);
        let degraded = degraded(chosen.iter().map(|(able, _)| *able));
        Ok(Placed { parts: assign(chosen.into_iter().map(|(able, _)| able), units), instead, degraded })
    }

    /// Who of a datacenter is asked after these have refused.
    #[must_use]
    pub fn next_manager(&self, datacenter: &str, refused_by: &[NodeId]) -> Option<NodeId> {
        let able = self.able.iter().find(|able| able.name == datacenter)?;
        able.managers.iter().map(|manager| manager.node).find(|node| !refused_by.contains(node))
    }

    /// Who takes the part of a datacenter that refused it: the best one that has no part in the job, if the plan
    /// allows others.
    #[must_use]
    pub fn next_datacenter(&self, has_part: impl Fn(&str) -> bool) -> Option<(String, NodeId)> {
        if !self.plan.placement.fallback {
            return None;
        }
        let next = self.best_first().into_iter().find(|able| !has_part(able.name))?;
        Some((next.name.to_owned(), next.first()?.node))
    }

    /// The fittest class first, then the least overloaded, then by worker shards, answer time and name. An unknown answer time comes last.
    fn best_first(&self) -> Vec<&Able<'a>> {
        let mut best: Vec<&Able<'a>> = self.able.iter().collect();
        best.sort_by_key(|able| {
            let overload = able.first().map(|manager| manager.overload);
            let latency = able.first().and_then(|manager| manager.latency).unwrap_or(Duration::MAX);
            (able.class, overload, Reverse(able.worker_shards()), latency, able.name)
        });
        best
    }

    /// `dc-3 and dc-4 have no worker (known: dc-1, dc-2)`.
    fn lack<'n>(&self, names: impl Iterator<Item = &'n str>) -> String {
        let names: Vec<&str> =
            names.filter(|name| !self.able.iter().any(|able| able.name == *name)).collect();
        let verb = if names.len() == 1 { "has" } else { "have" };
        format!("{} {verb} no worker (known: {})", names.join(" and "), self.known())
    }

    fn known(&self) -> String {
        let names: Vec<&str> = self.able.iter().map(|able| able.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// One unit for each worker shard.
fn by_workers(able: &[Able<'_>], instead: Vec<String>) -> Placed {
    let weights: Vec<u32> = able.iter().map(Able::worker_shards).collect();
    let whole = Units::whole(weights.iter().fold(0, |sum: u32, &weight| sum.saturating_add(weight)));
    let units = split(whole, &weights).unwrap_or_default();
    Placed { parts: assign(able.iter(), units), instead, degraded: degraded(able.iter()) }
}

fn degraded<'s>(able: impl Iterator<Item = &'s Able<'s>>) -> Vec<String> {
    let degraded = able.filter(|able| able.class == DatacenterClass::Degraded);
    degraded.map(|able| able.name.to_owned()).collect()
}

fn assign<'s>(able: impl Iterator<Item = &'s Able<'s>>, units: Vec<Units>) -> Vec<Assignment> {
    let given = able.zip(units).filter(|(_, units)| units.count > 0);
    given
        .filter_map(|(able, units)| {
            let manager = able.first()?.node;
            Some(Assignment { datacenter: able.name.to_owned(), manager, units })
        })
        .collect()
}

#[cfg(test)]
mod tests;
