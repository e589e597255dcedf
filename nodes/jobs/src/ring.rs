//! `ConsistentHashRing` (27-1): which shard of which gate owns a job.
//!
//! Members are (node, shard) pairs with a hundred points each, so a gate with more cores owns more jobs, and a change
//! of membership moves only the share that must move. The hash is fixed (`spec.md` 11), so every gate with the same
//! members computes the same owner. In: members, ids. Out: owners. Points lie evenly, so the top bits of a hash lead to within
//! a point or two of its owner; where somebody chose ids that do not, the search among them is binary. No allocation.

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
    /// The points alone, closer together: what a look-up reads.
    hashes: Vec<u64>,
    /// Of each value of the top bits, the first point that is not before it; one more at the end. As many bits as make at
    /// least a value a point.
    starts: Vec<u32>,
    bits: u32,
}

impl ConsistentHashRing {
    /// A ring of these members; repeated ones count once.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let points = members.into_iter().flat_map(|member| {
            (0..POINTS_A_MEMBER).map(move |i| (point(member.node, member.shard, i), member))
        });
        let mut ring = Self { points: points.collect(), ..Self::default() };
        ring.index();
        ring
    }

    /// Brings the points in order, and the ways to them.
    fn index(&mut self) {
        self.points.sort_unstable();
        self.points.dedup();
        self.hashes = self.points.iter().map(|(point, _)| *point).collect();
        // 2^31 points are more than any memory holds.
        self.bits = self.points.len().max(1).next_power_of_two().trailing_zeros().clamp(1, 31);
        self.starts.clear();
        let mut at = 0_u32;
        let mut rest = self.hashes.iter().peekable();
        for value in 0..1_u64 << self.bits {
            while rest.next_if(|point| *point >> (64 - self.bits) < value).is_some() {
                at = at.saturating_add(1);
            }
            self.starts.push(at);
        }
        self.starts.push(u32::try_from(self.hashes.len()).unwrap_or(u32::MAX));
    }

    /// The first point at or after a hash, as its place.
    fn place(&self, hash: u64) -> usize {
        let Some(value) = usize::try_from(hash.checked_shr(64 - self.bits).unwrap_or(0)).ok() else {
            return 0;
        };
        let start =
            |at: usize| self.starts.get(at).and_then(|start| usize::try_from(*start).ok()).unwrap_or(0);
        let (from, to) = (start(value), start(value + 1));
        let near = self.hashes.get(from..to).unwrap_or_default();
        from + near.partition_point(|point| *point < hash)
    }

    /// Adds all shards of a node.
    pub fn add_node(&mut self, node: NodeId, shards: u16) {
        let members = (0..shards).map(|shard| Member { node, shard: ShardId(shard) });
        self.points.append(&mut Self::new(members).points);
        self.index();
    }

    /// Removes all shards of a node; only its jobs move.
    pub fn remove_node(&mut self, node: NodeId) {
        self.points.retain(|(_, member)| member.node != node);
        self.index();
    }

    /// The owner of a job: the member of the first point at or after its hash, else of the first point.
    /// `None` on an empty ring.
    #[must_use]
    pub fn owner(&self, job: JobId) -> Option<Member> {
        let at = self.place(hash_id(job.0));
        self.points.get(at).or_else(|| self.points.first()).map(|(_, member)| *member)
    }

    /// The next distinct nodes after the owner's point, for which `live` holds, in point order.
    pub fn successors<'a>(
        &'a self,
        job: JobId,
        live: impl Fn(NodeId) -> bool + 'a,
    ) -> impl Iterator<Item = Member> + 'a {
        let at = self.place(hash_id(job.0));
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
    fn a_look_up_finds_what_a_plain_search_finds() {
        let plain = |ring: &ConsistentHashRing, job: JobId| {
            let at = ring.points.partition_point(|(point, _)| *point < hash_id(job.0));
            ring.points.get(at).or(ring.points.first()).map(|(_, member)| *member)
        };
        let mut ring = ConsistentHashRing::default();
        for node in 1..=40 {
            ring.add_node(NodeId(node), u16::try_from(node % 3).unwrap() + 1);
            if node % 5 == 0 {
                ring.remove_node(NodeId(node / 2));
            }
            assert!(ids().take(3_000).all(|job| ring.owner(job) == plain(&ring, job)), "{node} nodes");
        }
        for bit in 0..64 {
            let edges = [(1_u64 << bit) - 1, 1 << bit, u64::MAX << bit];
            for hash in edges {
                assert_eq!(ring.place(hash), ring.hashes.partition_point(|point| *point < hash));
            }
        }
    }

    #[test]
    fn an_empty_ring_has_no_owner() {
        assert_eq!(ConsistentHashRing::default().owner(JobId(5)), None);
    }
}
