//! Many nodes of one kind, and who of them may be evicted (19-4).
//!
//! In: states, probe rounds, evictions carried out, proofs that the watcher itself is connected. Out: decisions.
//! When more than half of all (and at least three) became evictable within a minute, the watcher may be what is
//! broken: evictions are held for at most 60 s. At most 16,384 nodes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use crate::{HealthSignals, RoutingDecision, SignalRow};

/// Nodes of one tracker at most.
const NODES_MAX: usize = 16_384;
/// Failures within so long belong together, and a hold lasts at most so long.
const CORRELATED_FOR: Duration = Duration::from_secs(60);
/// So many at least, and more than half of all, are a correlation.
const CORRELATED_MIN: usize = 3;
/// The first backoff; each further eviction within an hour doubles it.
const BACKOFF: Duration = Duration::from_secs(30);
const BACKOFF_MAX: Duration = Duration::from_secs(600);
const BACKOFF_WINDOW: Duration = Duration::from_secs(3_600);
/// So many evictions in ten minutes are flapping.
const FLAPPING: usize = 3;
const FLAPPING_WINDOW: Duration = Duration::from_secs(600);
/// Evictions of one node that are remembered; the longest backoff needs no more.
const EVICTIONS_MAX: usize = 16;

/// Why a node may or may not be evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvictionReason {
    /// No node of that id is known.
    Unknown,
    /// Its decision is not evict.
    NotEvictable,
    /// It was evicted before, and not long enough ago.
    Backoff,
    /// Too many failed at once: perhaps it is the watcher.
    Correlated,
    /// It may go.
    Evictable,
}

impl EvictionReason {
    /// The word that tables use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotEvictable => "not_evictable",
            Self::Backoff => "backoff",
            Self::Correlated => "correlated",
            Self::Evictable => "evictable",
        }
    }
}

impl fmt::Display for EvictionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Whether a node is removed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvictionDecision {
    pub should_evict: bool,
    pub reason: EvictionReason,
    /// Nodes that became evictable within the last 60 s, this one among them.
    pub correlated_failures: usize,
}

/// The tracker is full of live nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{NODES_MAX} nodes are tracked and none of them is dead; node {0} is not")]
pub struct TooLarge(pub NodeId);

#[derive(Debug, Clone)]
struct Entry<T> {
    state: T,
    evictable_since: Option<Instant>,
    /// Removed, and not seen well since.
    evicted: bool,
    evictions: VecDeque<Instant>,
}

impl<T> Entry<T> {
    fn evictions_within(&self, now: Instant, window: Duration) -> usize {
        self.evictions.iter().filter(|at| now.since(**at) < window).count()
    }

    /// How long after its last eviction it is left alone.
    fn backoff(&self, now: Instant) -> Duration {
        let evictions = self.evictions_within(now, BACKOFF_WINDOW);
        let doublings = u32::try_from(evictions.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
        BACKOFF.saturating_mul(2_u32.saturating_pow(doublings)).min(BACKOFF_MAX)
    }

    fn backs_off(&self, now: Instant) -> bool {
        self.evictions.back().is_some_and(|last| now.since(*last) < self.backoff(now))
    }

    /// Gets no work although it may be here.
    fn flaps(&self, now: Instant) -> bool {
        self.evictions_within(now, FLAPPING_WINDOW) >= FLAPPING && self.backs_off(now)
    }

    fn failed_lately(&self, now: Instant) -> bool {
        self.evictable_since.is_some_and(|since| now.since(since) < CORRELATED_FOR)
    }
}

/// A majority failed at once.
#[derive(Debug, Clone, Copy)]
struct Hold {
    since: Instant,
    /// The watcher proved connected meanwhile.
    over: bool,
}

/// The nodes of one kind that one node watches.
#[derive(Debug, Clone)]
pub struct NodeHealthTracker<T> {
    nodes: BTreeMap<NodeId, Entry<T>>,
    hold: Option<Hold>,
}

impl<T> Default for NodeHealthTracker<T> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new(), hold: None }
    }
}

impl<T: HealthSignals> NodeHealthTracker<T> {
    /// Nodes that are known, evicted ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Puts a node's state in, or in place of the former one.
    ///
    /// # Errors
    /// [`TooLarge`]: there is no room, and none of those here is dead.
    pub fn update_state(&mut self, now: Instant, node: NodeId, state: T) -> Result<(), TooLarge> {
        if let Some(entry) = self.nodes.get_mut(&node) {
            entry.state = state;
        } else {
            if self.nodes.len() >= NODES_MAX && !self.forget_oldest_dead(now) {
                return Err(TooLarge(node));
            }
            let entry = Entry { state, evictable_since: None, evicted: false, evictions: VecDeque::new() };
            self.nodes.insert(node, entry);
        }
        self.judge(now, node);
        Ok(())
    }

    /// Changes a node's state in place; `false`: it is unknown.
    pub fn update(&mut self, now: Instant, node: NodeId, change: impl FnOnce(&mut T)) -> bool {
        let Some(entry) = self.nodes.get_mut(&node) else { return false };
        change(&mut entry.state);
        self.judge(now, node);
        true
    }

    /// A probe round about the node ended: with an answer, direct or indirect, or without any.
    pub fn on_probe_round(&mut self, now: Instant, node: NodeId, answered: bool) {
        self.update(now, node, |state| state.on_probe_round(now, answered));
    }

    /// The node left for good: nothing of it is remembered.
    pub fn remove(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// A node's state.
    #[must_use]
    pub fn state(&self, node: NodeId) -> Option<&T> {
        self.nodes.get(&node).map(|entry| &entry.state)
    }

    /// Every node that was not evicted.
    pub fn states(&self) -> impl Iterator<Item = (NodeId, &T)> {
        self.nodes.iter().filter(|(_, entry)| !entry.evicted).map(|(node, entry)| (*node, &entry.state))
    }

    /// Those that were not evicted, and should be as far as they alone are concerned.
    pub fn evictable(&self, now: Instant) -> impl Iterator<Item = NodeId> {
        let bad = self.states().filter(move |(_, state)| state.decision(now) == RoutingDecision::Evict);
        bad.map(|(node, _)| node)
    }

    /// What to do with the node. One that flaps gets nothing new until its backoff is over.
    #[must_use]
    pub fn get_routing_decision(&self, now: Instant, node: NodeId) -> Option<RoutingDecision> {
        let entry = self.nodes.get(&node)?;
        let decision = entry.state.decision(now);
        Some(if entry.flaps(now) { decision.max(RoutingDecision::Drain) } else { decision })
    }

    /// Those that take work.
    pub fn get_healthy_nodes(&self, now: Instant) -> impl Iterator<Item = NodeId> {
        self.nodes
            .keys()
            .copied()
            .filter(move |node| self.get_routing_decision(now, *node) == Some(RoutingDecision::Route))
    }

    /// Whether the node is to be removed now.
    pub fn should_evict(&mut self, now: Instant, node: NodeId) -> EvictionDecision {
        let no = |reason| EvictionDecision { should_evict: false, reason, correlated_failures: 0 };
        let Some(entry) = self.nodes.get(&node) else { return no(EvictionReason::Unknown) };
        if entry.evicted || entry.state.decision(now) != RoutingDecision::Evict {
            return no(EvictionReason::NotEvictable);
        }
        if entry.backs_off(now) {
            return no(EvictionReason::Backoff);
        }
        let (failed, held) = self.correlate(now);
        let reason = if held { EvictionReason::Correlated } else { EvictionReason::Evictable };
        EvictionDecision { should_evict: !held, reason, correlated_failures: failed }
    }

    /// The node was removed. Its history stays, and it may come back.
    pub fn mark_evicted(&mut self, now: Instant, node: NodeId) {
        let Some(entry) = self.nodes.get_mut(&node) else { return };
        entry.evicted = true;
        entry.evictions.push_back(now);
        if entry.evictions.len() > EVICTIONS_MAX {
            entry.evictions.pop_front();
        }
    }

    /// The watcher proved connected: it has a quorum, or hears a peer of another kind. What failed here did so there.
    pub fn on_watcher_connected(&mut self, now: Instant) {
        if let Some(hold) = self.hold.as_mut().filter(|hold| now > hold.since) {
            hold.over = true;
        }
    }

    /// Whether evictions are held now.
    #[must_use]
    pub fn is_held(&self, now: Instant) -> bool {
        self.hold.is_some_and(|hold| !hold.over && now.since(hold.since) < CORRELATED_FOR)
    }

    /// Why the node is judged as it is: its signals, the decision, whether it may be evicted.
    pub fn explain(&mut self, now: Instant, node: NodeId) -> Vec<SignalRow> {
        let eviction = self.should_evict(now, node);
        let (Some(entry), Some(decision)) = (self.nodes.get(&node), self.get_routing_decision(now, node))
        else {
            return vec![SignalRow::new("node", "unknown here", false)];
        };
        let mut rows = entry.state.signals(now);
        if entry.flaps(now) {
            let evictions = entry.evictions_within(now, FLAPPING_WINDOW);
            rows.push(SignalRow::new("flapping", format!("evicted {evictions} times in 10 min"), false));
        }
        rows.push(SignalRow::new("decision", decision.word(), decision == RoutingDecision::Route));
        if decision == RoutingDecision::Evict {
            let value = if eviction.reason == EvictionReason::Correlated {
                format!("correlated: {} failed within 60 s", eviction.correlated_failures)
            } else {
                eviction.reason.word().to_owned()
            };
            rows.push(SignalRow::new("eviction", value, false));
        }
        rows
    }

    /// Notes since when a node is evictable.
    fn judge(&mut self, now: Instant, node: NodeId) {
        let Some(entry) = self.nodes.get_mut(&node) else { return };
        if entry.state.decision(now) == RoutingDecision::Evict {
            entry.evictable_since.get_or_insert(now);
        } else {
            (entry.evictable_since, entry.evicted) = (None, false);
        }
    }

    /// How many failed within the last minute, and whether evictions are held for it.
    fn correlate(&mut self, now: Instant) -> (usize, bool) {
        let (mut failed, mut all) = (0_usize, 0_usize);
        for entry in self.nodes.values_mut() {
            if entry.state.decision(now) == RoutingDecision::Evict {
                entry.evictable_since.get_or_insert(now);
            }
            let lately = entry.failed_lately(now);
            // One that was evicted lately still belongs to the wave; one evicted before is no node of ours.
            failed += usize::from(lately);
            all += usize::from(lately || !entry.evicted);
        }
        if failed < CORRELATED_MIN || failed.saturating_mul(2) <= all {
            self.hold = None;
            return (failed, false);
        }
        self.hold.get_or_insert(Hold { since: now, over: false });
        (failed, self.is_held(now))
    }

    fn forget_oldest_dead(&mut self, now: Instant) -> bool {
        let dead = self.nodes.iter().filter(|(_, entry)| entry.evicted || !entry.state.liveness(now));
        let oldest = dead.min_by_key(|(node, entry)| (entry.state.last_heard(), **node));
        let oldest = oldest.map(|(node, _)| *node);
        oldest.is_some_and(|node| self.nodes.remove(&node).is_some())
    }
}

#[cfg(test)]
mod tests;
