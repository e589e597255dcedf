//! A datacenter's class, from what a gate knows of its managers (19-5, 27-2).

use std::collections::{BTreeMap, BTreeSet};

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use crate::{HealthSignals, ManagerHealthState, NodeHealthTracker, ProgressState, SignalRow, TooLarge};

/// How fit a datacenter is for more work; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatacenterClass {
    /// The first choice.
    Healthy,
    /// It has nothing free: work may queue there if no healthy one has room.
    Busy,
    /// The last choice, with an event.
    Degraded,
    /// It gets nothing.
    Unhealthy,
}

impl DatacenterClass {
    /// The word that tables use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Busy => "busy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What a class is made of. Of managers with a fresh word, but for `managers`, which counts all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatacenterSummary {
    pub managers: u32,
    pub managers_live: u32,
    pub managers_ready: u32,
    pub any_stuck: bool,
    /// Every worker registers with every manager, so these are the most that one of them tells.
    pub workers: u32,
    pub workers_live: u32,
    /// Free worker shards.
    pub free: u32,
}

impl DatacenterSummary {
    /// The first condition that fits.
    #[must_use]
    pub const fn class(&self) -> DatacenterClass {
        if self.managers_live == 0 || self.workers == 0 {
            return DatacenterClass::Unhealthy;
        }
        let unready = self.managers.saturating_sub(self.managers_ready);
        let most_unready = unready.saturating_mul(2) > self.managers;
        let few_workers = self.workers_live < majority(self.workers);
        let few_managers = self.managers_live < majority(self.managers);
        if most_unready || self.any_stuck || few_workers || few_managers {
            return DatacenterClass::Degraded;
        }
        if self.free == 0 { DatacenterClass::Busy } else { DatacenterClass::Healthy }
    }

    fn add(&mut self, now: Instant, state: &ManagerHealthState) {
        self.managers = self.managers.saturating_add(1);
        if !state.is_fresh(now) || !state.liveness(now) {
            return;
        }
        self.managers_live = self.managers_live.saturating_add(1);
        self.managers_ready = self.managers_ready.saturating_add(u32::from(state.readiness(now)));
        self.any_stuck |= state.progress_state(now) == ProgressState::Stuck;
        self.workers = self.workers.max(state.known_worker_count);
        self.workers_live = self.workers_live.max(state.active_worker_count);
        self.free = self.free.max(state.free_capacity);
    }
}

const fn majority(of: u32) -> u32 {
    (of / 2).saturating_add(1)
}

/// The managers that a gate knows, and the datacenters they make.
#[derive(Debug, Clone, Default)]
pub struct DatacenterHealthManager {
    managers: NodeHealthTracker<ManagerHealthState>,
    datacenters: BTreeMap<String, BTreeSet<NodeId>>,
}

impl DatacenterHealthManager {
    /// A manager of a datacenter, as it is now.
    ///
    /// # Errors
    /// [`TooLarge`], as the tracker of managers.
    pub fn update(
        &mut self,
        now: Instant,
        datacenter: &str,
        node: NodeId,
        state: ManagerHealthState,
    ) -> Result<(), TooLarge> {
        self.managers.update_state(now, node, state)?;
        match self.datacenters.get_mut(datacenter) {
            Some(nodes) => _ = nodes.insert(node),
            None => _ = self.datacenters.insert(datacenter.to_owned(), BTreeSet::from([node])),
        }
        Ok(())
    }

    /// A manager left for good.
    pub fn remove(&mut self, node: NodeId) {
        self.managers.remove(node);
        self.datacenters.retain(|_, nodes| {
            nodes.remove(&node);
            !nodes.is_empty()
        });
    }

    /// Its managers' tracker.
    #[must_use]
    pub const fn managers(&self) -> &NodeHealthTracker<ManagerHealthState> {
        &self.managers
    }

    /// Its managers' tracker, to change a state or to decide on an eviction.
    pub const fn managers_mut(&mut self) -> &mut NodeHealthTracker<ManagerHealthState> {
        &mut self.managers
    }

    /// The datacenters that are known.
    pub fn datacenters(&self) -> impl Iterator<Item = &str> {
        self.datacenters.keys().map(String::as_str)
    }

    /// Where a manager is.
    #[must_use]
    pub fn datacenter_of(&self, node: NodeId) -> Option<&str> {
        let found = self.datacenters.iter().find(|(_, nodes)| nodes.contains(&node));
        found.map(|(datacenter, _)| datacenter.as_str())
    }

    /// What is known of a datacenter. Managers that the tracker forgot do not count.
    #[must_use]
    pub fn summary(&self, now: Instant, datacenter: &str) -> DatacenterSummary {
        let mut summary = DatacenterSummary::default();
        let nodes = self.datacenters.get(datacenter).into_iter().flatten();
        nodes.filter_map(|node| self.managers.state(*node)).for_each(|state| summary.add(now, state));
        summary
    }

    /// Its class; one that nobody told of is unhealthy.
    #[must_use]
    pub fn class(&self, now: Instant, datacenter: &str) -> DatacenterClass {
        self.summary(now, datacenter).class()
    }

    /// Why a datacenter is of its class.
    #[must_use]
    pub fn explain(&self, now: Instant, datacenter: &str) -> Vec<SignalRow> {
        let summary = self.summary(now, datacenter);
        let class = summary.class();
        let of = |part: u32, all: u32| format!("{part} of {all}");
        let half_ready =
            summary.managers.saturating_sub(summary.managers_ready).saturating_mul(2) <= summary.managers;
        vec![
            SignalRow::new(
                "managers_live",
                of(summary.managers_live, summary.managers),
                summary.managers_live >= majority(summary.managers),
            ),
            SignalRow::new("managers_ready", of(summary.managers_ready, summary.managers), half_ready),
            SignalRow::new(
                "managers_stuck",
                if summary.any_stuck { "some" } else { "none" },
                !summary.any_stuck,
            ),
            SignalRow::new(
                "workers_live",
                of(summary.workers_live, summary.workers),
                summary.workers > 0 && summary.workers_live >= majority(summary.workers),
            ),
            SignalRow::new("free", format!("{} worker shards", summary.free), summary.free > 0),
            SignalRow::new("class", class.word(), class == DatacenterClass::Healthy),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LIVE_FOR;

    const NOW: Instant = Instant(1_000_000_000_000);

    /// Of three managers so many live and ready, of four workers so many live, so many shards free.
    fn datacenter(live: usize, ready: usize, workers_live: u32, free: u32) -> DatacenterHealthManager {
        let mut health = DatacenterHealthManager::default();
        for n in 0..3 {
            let told = if n < live { NOW } else { NOW - LIVE_FOR };
            let state = ManagerHealthState {
                has_quorum: n < ready,
                active_worker_count: workers_live,
                known_worker_count: 4,
                free_capacity: free,
                ..ManagerHealthState::new(told, 4)
            };
            health.update(NOW, "dc-1", NodeId(n as u128), state).unwrap();
        }
        health
    }

    #[test]
    fn the_first_condition_that_fits_is_the_class() {
        // Managers live and ready of 3, workers live of 4, free.
        let cases = [
            ((0, 0, 4, 9), "unhealthy"),
            ((3, 1, 4, 9), "degraded"),
            ((3, 2, 4, 9), "healthy"),
            ((1, 1, 4, 9), "degraded"),
            ((3, 3, 2, 9), "degraded"),
            ((3, 3, 4, 0), "busy"),
        ];
        for ((live, ready, workers, free), class) in cases {
            let health = datacenter(live, ready, workers, free);
            assert_eq!(health.class(NOW, "dc-1").word(), class, "{live}/{ready}, {workers}, {free}");
        }
    }

    #[test]
    fn no_worker_or_no_word_is_unhealthy_and_a_stuck_manager_degrades() {
        let mut health = datacenter(3, 3, 4, 9);
        assert_eq!(health.class(NOW, "dc-2"), DatacenterClass::Unhealthy);
        health.managers_mut().update(NOW, NodeId(1), |state| state.expected_throughput = 4.0);
        assert_eq!(health.class(NOW, "dc-1"), DatacenterClass::Degraded);
        let why: Vec<_> = health.explain(NOW, "dc-1").into_iter().filter(|row| !row.ok).collect();
        assert_eq!(why.iter().map(|row| row.name).collect::<Vec<_>>(), ["managers_stuck", "class"]);
        health.remove(NodeId(1));
        assert_eq!(health.class(NOW, "dc-1"), DatacenterClass::Healthy);
        for n in [0, 2] {
            health.managers_mut().update(NOW, NodeId(n), |state| state.known_worker_count = 0);
        }
        assert_eq!(health.class(NOW, "dc-1"), DatacenterClass::Unhealthy);
    }
}
