//! `ConsistentHashRing` (27-1): which shard of which gate owns a job.
//!
//! Members are (node, shard) pairs with a hundred points each, so a gate with more cores owns more jobs, and a change
//! of membership moves only the share that must move. The hash is fixed (`spec.md` 11), so every gate with the same
//! members computes the same owner. In: members, ids. Out: owners. Look-ups are a binary search, no allocation.

use hyperscale_codec::{JobId, NodeId, ShardId};

/// Points of one member on the ring.
pub const POINTS_A_MEMBER: u32 = 100;

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of splitmix64.
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Where a 128-bit id lies on the ring.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "the two halves of the id")]
pub const fn hash_id(id: u128) -> u64 {
    let (hi, lo) = ((id >> 64) as u64, id as u64);
    mix(hi ^ mix(lo.wrapping_add(GAMMA)))
}

/// Where point `i` of a member lies.
#[must_use]
pub const fn point(node: NodeId, shard: ShardId, i: u32) -> u64 {
    let number = ((shard.0 as u64) << 32) | i as u64;
    mix(hash_id(node.0) ^ mix(number.wrapping_add(GAMMA)))
}

/// A shard of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    pub node: NodeId,
    pub shard: ShardId,
}

/// The members' points, sorted by (point, node, shard).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsistentHashRing {
    points: Vec<(u64, Member)>,
}

impl ConsistentHashRing {
    /// A ring of these members; repeated ones count once.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let points = members.into_iter().flat_map(|member| {
            (0..POINTS_A_MEMBER).map(move |i| (point(member.node, member.shard, i), member))
        });
        let mut ring = Self { points: points.collect() };
        ring.points.sort_unstable();
        ring.points.dedup();
        ring
    }

    /// Adds all shards of a node.
    pub fn add_node(&mut self, node: NodeId, shards: u16) {
        let members = (0..shards).map(|shard| Member { node, shard: ShardId(shard) });
        self.points.append(&mut Self::new(members).points);
        self.points.sort_unstable();
        self.points.dedup();
    }

    /// Removes all shards of a node; only its jobs move.
    pub fn remove_node(&mut self, node: NodeId) {
        self.points.retain(|(_, member)| member.node != node);
    }

    /// The owner of a job: the member of the first point at or after its hash, else of the first point.
    /// `None` on an empty ring.
    #[must_use]
    pub fn owner(&self, job: JobId) -> Option<Member> {
        let at = self.points.partition_point(|(point, _)| *point < hash_id(job.0));
        self.points.get(at).or_else(|| self.points.first()).map(|(_, member)| *member)
    }

    /// The next distinct nodes after the owner's point, for which `live` holds, in point order.
    pub fn successors<'a>(
        &'a self,
        job: JobId,
        live: impl Fn(NodeId) -> bool + 'a,
    ) -> impl Iterator<Item = Member> + 'a {
        let at = self.points.partition_point(|(point, _)| *point < hash_id(job.0));
        let (before, after) = self.points.split_at(at);
        let owner = self.owner(job).map(|member| member.node);
        let mut seen: Vec<NodeId> = owner.into_iter().collect();
        after.iter().chain(before).map(|(_, member)| *member).filter(move |member| {
            let new = !seen.contains(&member.node) && live(member.node);
            if new {
                seen.push(member.node);
            }
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const PATTERN: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

    fn three_nodes() -> ConsistentHashRing {
        let mut ring = ConsistentHashRing::default();
        (1..=3).for_each(|node| ring.add_node(NodeId(node), 2));
        ring
    }

    #[test]
    fn hashes_and_points_equal_their_published_vectors() {
        assert_eq!(hash_id(0), 0x4821_8226_ff3c_d4bf);
        assert_eq!(hash_id(1), 0xdce4_23fc_82c0_d5b8);
        assert_eq!(hash_id(PATTERN), 0x2263_eaf0_002b_cea9);
        assert_eq!(hash_id(u128::MAX), 0x4650_bc0e_b331_2e23);
        assert_eq!(point(NodeId(1), ShardId(0), 0), 0xc869_8130_41ca_ba5a);
        assert_eq!(point(NodeId(1), ShardId(0), 1), 0x46c7_144a_b038_643f);
        assert_eq!(point(NodeId(1), ShardId(1), 0), 0x3d69_b930_e795_0ef7);
        assert_eq!(point(NodeId(3), ShardId(0), 99), 0x3e58_ec15_2df9_cdaa);
    }

    #[test]
    fn owners_equal_their_published_vectors() {
        let ring = three_nodes();
        let vectors = [(0, 2, 0), (1, 3, 1), (2, 3, 1), (3, 2, 0), (PATTERN, 2, 0), (u128::MAX, 1, 0)];
        for (job, node, shard) in vectors {
            let owner = Member { node: NodeId(node), shard: ShardId(shard) };
            assert_eq!(ring.owner(JobId(job)), Some(owner), "job {job:x}");
        }
    }

    /// Ids spread like random ones, the same in every run.
    fn ids() -> impl Iterator<Item = JobId> {
        (0..100_000_u128).map(|i| JobId((u128::from(hash_id(i)) << 64) | u128::from(hash_id(i + (1 << 80)))))
    }

    #[test]
    fn a_removed_node_moves_only_its_own_jobs() {
        let whole = three_nodes();
        let mut without = whole.clone();
        without.remove_node(NodeId(2));
        for job in ids() {
            let (before, after) = (whole.owner(job).unwrap(), without.owner(job).unwrap());
            assert!(before == after || before.node == NodeId(2), "{job} moved from {before:?} to {after:?}");
        }
    }

    #[test]
    fn no_member_owns_more_than_a_quarter_above_its_share() {
        let ring = three_nodes();
        let mut owned: BTreeMap<Member, u32> = BTreeMap::new();
        ids().for_each(|job| *owned.entry(ring.owner(job).unwrap()).or_default() += 1);
        let largest = owned.values().max().unwrap();
        assert_eq!(owned.len(), 6);
        assert!(f64::from(*largest) <= 1.25 * 100_000.0 / 6.0, "{owned:?}");
    }

    #[test]
    fn successors_are_distinct_live_nodes_without_the_owner() {
        let ring = three_nodes();
        let next: Vec<NodeId> = ring.successors(JobId(0), |_| true).map(|member| member.node).collect();
        assert_eq!(next.len(), 2);
        assert!(!next.contains(&NodeId(2)), "the owner of job 0 is node 2");
        let only: Vec<NodeId> = ring.successors(JobId(0), |node| node != NodeId(1)).map(|m| m.node).collect();
        assert_eq!(only, [NodeId(3)]);
    }

    #[test]
    fn an_empty_ring_has_no_owner() {
        assert_eq!(ConsistentHashRing::default().owner(JobId(5)), None);
    }
}
