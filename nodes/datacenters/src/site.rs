//! A datacenter as a gate sees it, and which of its managers is to be asked first.

use std::cmp::Reverse;
use std::time::Duration;

use hyperscale_codec::{JobId, NodeId, ShardId};
use hyperscale_health::{DatacenterClass, RoutingDecision};
use hyperscale_jobs::{ConsistentHashRing, Member};

/// A manager that takes jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagerState {
    pub node: NodeId,
    /// Those that are to drain or to be evicted are not asked.
    pub decision: RoutingDecision,
    /// Worker shards that it can give work.
    pub worker_shards: u32,
    /// 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    pub overload: u8,
    /// How long it takes to answer, if that is known.
    pub latency: Option<Duration>,
}

impl ManagerState {
    fn may_be_asked(&self) -> bool {
        self.decision < RoutingDecision::Drain
    }
}

/// A datacenter, with its managers that take jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub name: String,
    /// An unhealthy one gets nothing, a degraded one is the last choice.
    pub class: DatacenterClass,
    pub managers: Vec<ManagerState>,
}

impl Site {
    /// Managers with workers, the one to ask first in front: those that are well, of these the least overloaded, of these those with the most
    /// workers, of these the one that the ring gives the job to. So equal managers share the jobs.
    pub(crate) fn ranked(&self, job: JobId) -> Vec<&ManagerState> {
        let mut able: Vec<&ManagerState> = self
            .managers
            .iter()
            .filter(|manager| manager.worker_shards > 0 && manager.may_be_asked())
            .collect();
        let order =
            |manager: &ManagerState| (manager.decision, manager.overload, Reverse(manager.worker_shards));
        let best = able.iter().map(|manager| order(manager)).min();
        let equals = able.iter().filter(|manager| Some(order(manager)) == best);
        let members = equals.map(|manager| Member { node: manager.node, shard: ShardId(0) });
        let owner = ConsistentHashRing::new(members).owner(job).map(|member| member.node);
        able.sort_by_key(|manager| (order(manager), Some(manager.node) != owner, manager.node));
        able
    }
}
