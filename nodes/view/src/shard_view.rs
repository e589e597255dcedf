//! What one shard tells of itself, and what a node makes of its shards.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Gauge, JobRow, NodeRow};

/// One thing that a probe looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What: `ledger`, `managers`.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it is, for people: `leads term 3`, `no manager has registered; start one with --gate 10.0.0.1:7000`.
    pub detail: String,
}

impl Reason {
    /// How `name` is.
    #[must_use]
    pub fn new(name: &'static str, ok: bool, detail: impl Into<String>) -> Self {
        Self { name, ok, detail: detail.into() }
    }
}

/// What one shard tells, between two events of its core.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShardView {
    /// Which shard.
    pub shard: u16,
    /// What must have happened once before the node counts as started.
    pub startup: Vec<Reason>,
    /// What must hold for the node to be sent new work.
    pub ready: Vec<Reason>,
    /// The nodes it knows, itself among them.
    pub nodes: Vec<NodeRow>,
    /// The jobs it owns or has part in.
    pub jobs: Vec<JobRow>,
    /// Numbers for monitors.
    pub gauges: Vec<Gauge>,
}

impl ShardView {
    /// Of a shard that has nothing to tell yet.
    #[must_use]
    pub fn new(shard: u16) -> Self {
        Self { shard, ..Self::default() }
    }
}

/// A reason, and the shard that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The shard.
    pub shard: u16,
    /// What it said.
    #[serde(flatten)]
    pub reason: Reason,
}

/// What the shards of a node tell together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeView {
    /// All shards' reasons, in the order of the shards.
    pub startup: Vec<Checked>,
    /// All shards' reasons, in the order of the shards.
    pub ready: Vec<Checked>,
    /// Each node once, by role, datacenter and name.
    pub nodes: Vec<NodeRow>,
    /// Each job once, the oldest first.
    pub jobs: Vec<JobRow>,
    /// All shards' numbers, each labelled with its `shard`.
    pub gauges: Vec<Gauge>,
}

impl NodeView {
    /// Merges the views of a node's shards. Of a node that several shards know, the lowest shard's row stands: that is
    /// where membership lives. Of a job that two shards claim, the row with the higher fence token stands.
    #[must_use]
    pub fn merge(mut shards: Vec<ShardView>) -> Self {
        shards.sort_by_key(|view| view.shard);
        let mut merged = Self::default();
        let mut nodes = BTreeMap::new();
        let mut jobs: BTreeMap<String, JobRow> = BTreeMap::new();
        for ShardView { shard, startup, ready, nodes: known, jobs: owned, gauges } in shards {
            let checked = |reason| Checked { shard, reason };
            merged.startup.extend(startup.into_iter().map(checked));
            merged.ready.extend(ready.into_iter().map(checked));
            for node in known {
                nodes.entry(node.node_id.clone()).or_insert(node);
            }
            for job in owned {
                let newer = jobs.get(&job.job_id).is_none_or(|other| other.fence_token < job.fence_token);
                if newer {
                    jobs.insert(job.job_id.clone(), job);
                }
            }
            let labelled = gauges.into_iter().map(|gauge| gauge.label("shard", shard.to_string()));
            merged.gauges.extend(labelled);
        }
        merged.nodes = nodes.into_values().collect();
        let place = |node: &NodeRow| (node.role.clone(), node.datacenter.clone(), node.name.clone());
        merged.nodes.sort_by_cached_key(place);
        merged.jobs = jobs.into_values().collect();
        // Stable: jobs of the same millisecond stay in the order of their ids.
        merged.jobs.sort_by_key(|job| job.accepted_unix_ms);
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeState, job_row, node_row};

    #[test]
    fn a_node_that_two_shards_know_stands_once_as_the_lowest_shard_sees_it() {
        let node = node_row::tests::row("worker-1");
        let dead = NodeRow { state: NodeState::Dead, ..node.clone() };
        let other = NodeRow { role: "gate".to_owned(), ..node_row::tests::row("gate-1") };
        let second = ShardView { nodes: vec![dead, other.clone()], ..ShardView::new(1) };
        let first = ShardView { nodes: vec![node.clone()], ..ShardView::new(0) };
        assert_eq!(NodeView::merge(vec![second, first]).nodes, [other, node]);
    }

    #[test]
    fn of_a_job_that_two_shards_claim_the_higher_fence_token_stands() {
        let old = JobRow { fence_token: 4, ..job_row::tests::row("7") };
        let new = JobRow { fence_token: 5, owner: "gate-2".to_owned(), ..old.clone() };
        let before = JobRow { accepted_unix_ms: 1, ..job_row::tests::row("9") };
        let first = ShardView { jobs: vec![new.clone()], ..ShardView::new(0) };
        let second = ShardView { jobs: vec![old, before.clone()], ..ShardView::new(1) };
        assert_eq!(NodeView::merge(vec![first, second]).jobs, [before, new]);
    }

    #[test]
    fn reasons_and_gauges_tell_their_shard() {
        let view = |shard| ShardView {
            ready: vec![Reason::new("ledger", shard == 0, "")],
            gauges: vec![Gauge::level("hyperscale_jobs_running", "Jobs running.", 1.0)],
            ..ShardView::new(shard)
        };
        let node = NodeView::merge(vec![view(1), view(0)]);
        let ok: Vec<(u16, bool)> = node.ready.iter().map(|check| (check.shard, check.reason.ok)).collect();
        assert_eq!(ok, [(0, true), (1, false)]);
        let label = |gauge: &Gauge| gauge.labels.clone();
        let labels: Vec<_> = node.gauges.iter().flat_map(label).collect();
        assert_eq!(labels, [("shard", "0".to_owned()), ("shard", "1".to_owned())]);
    }
}
