//! `ConsistentHashRing` (27-1): which shard of which gate owns a job.
//!
//! Members are (node, shard) pairs with a hundred points each, so a gate with more cores owns more jobs, and a change
//! of membership moves only the share that must move. The hash is fixed (`spec.md` 11), so every gate with the same
//! members computes the same owner. In: members, ids. Out: owners. A look-up reads one cache line and the member; see
//! [`lines`].

mod lines;

use hyperscale_codec::{JobId, NodeId, ShardId};

use self::lines::Lines;

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

/// The members, and their points in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsistentHashRing {
    /// Ascending.
    members: Vec<Member>,
    /// Where each point lies, and the place of its member; ascending, so that equal points have the order of members.
    points: Vec<(u64, u32)>,
    lines: Lines,
}

impl ConsistentHashRing {
    /// A ring of these members; repeated ones count once.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut ring = Self::default();
        ring.become_of(members.into_iter().collect());
        ring
    }

    /// Takes these members in place of those it has, whose points stay where they are.
    fn become_of(&mut self, mut members: Vec<Member>) {
        members.sort_unstable();
        members.dedup();
        let place =
            |member: &Member| members.binary_search(member).ok().and_then(|at| u32::try_from(at).ok());
        let places: Vec<Option<u32>> = self.members.iter().map(place).collect();
        self.points.retain_mut(|(_, at)| {
            let kept = usize::try_from(*at).ok().and_then(|at| places.get(at).copied()).flatten();
            kept.inspect(|kept| *at = *kept).is_some()
        });
        for (at, member) in (0..).zip(&members) {
            if self.members.binary_search(member).is_err() {
                let points = (0..POINTS_A_MEMBER).map(|i| (point(member.node, member.shard, i), at));
                self.points.extend(points);
            }
        }
        // Stable sorts are quick where most is in order already.
        self.points.sort();
        self.members = members;
        self.lines = Lines::of(&self.points);
    }

    fn member(&self, at: u32) -> Option<Member> {
        self.members.get(usize::try_from(at).ok()?).copied()
    }

    /// The first point at or after a hash, as its place.
    fn place(&self, hash: u64) -> usize {
        self.points.partition_point(|(point, _)| *point < hash)
    }

    /// Adds all shards of a node.
    pub fn add_node(&mut self, node: NodeId, shards: u16) {
        let mut members = self.members.clone();
        members.extend((0..shards).map(|shard| Member { node, shard: ShardId(shard) }));
        self.become_of(members);
    }

    /// Removes all shards of a node; only its jobs move.
    pub fn remove_node(&mut self, node: NodeId) {
        let mut members = self.members.clone();
        members.retain(|member| member.node != node);
        self.become_of(members);
    }

    /// The owner of a job: the member of the first point at or after its hash, else of the first point.
    /// `None` on an empty ring.
    #[must_use]
    pub fn owner(&self, job: JobId) -> Option<Member> {
        let hash = hash_id(job.0);
        match self.lines.slot(hash) {
            Some(slot) => self.member(slot.into()),
            None => self.owner_by_search(hash),
        }
    }

    #[cold]
    fn owner_by_search(&self, hash: u64) -> Option<Member> {
        let point = self.points.get(self.place(hash)).or_else(|| self.points.first());
        point.and_then(|(_, at)| self.member(*at))
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
        after.iter().chain(before).filter_map(|(_, at)| self.member(*at)).filter(move |member| {
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

    /// The same without lines, from the definition.
    fn plain(members: &[Member], hash: u64) -> Member {
        let mut points: Vec<(u64, Member)> = members
            .iter()
            .flat_map(|m| (0..POINTS_A_MEMBER).map(|i| (point(m.node, m.shard, i), *m)))
            .collect();
        points.sort_unstable();
        let at = points.partition_point(|(point, _)| *point < hash);
        points.get(at).unwrap_or(&points[0]).1
    }

    fn owner_of_hash(ring: &ConsistentHashRing, hash: u64) -> Option<Member> {
        let by_line = ring.lines.slot(hash).and_then(|slot| ring.member(slot.into()));
        by_line.or_else(|| ring.owner_by_search(hash))
    }

    #[test]
    fn a_look_up_finds_what_a_plain_search_finds_at_and_beside_every_point() {
        let mut ring = ConsistentHashRing::default();
        for node in 1..=40 {
            ring.add_node(NodeId(node), u16::try_from(node % 3).unwrap() + 1);
            if node % 5 == 0 {
                ring.remove_node(NodeId(node / 2));
            }
            let points: Vec<u64> = ring.points.iter().map(|(point, _)| *point).collect();
            let beside =
                points.iter().flat_map(|point| [point.wrapping_sub(1), *point, point.wrapping_add(1)]);
            let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, u64::MAX << bit]);
            for hash in beside.chain(edges).chain([0, u64::MAX]).step_by(if node % 10 == 1 { 1 } else { 97 })
            {
                let at = ring.points.partition_point(|(point, _)| *point < hash);
                let slot = ring.points.get(at).unwrap_or(&ring.points[0]).1;
                assert_eq!(owner_of_hash(&ring, hash), ring.member(slot), "{hash:x}, {node} nodes");
            }
            let hash = hash_id(node);
            assert_eq!(owner_of_hash(&ring, hash), Some(plain(&ring.members, hash)), "{node} nodes");
            assert_eq!(ring, ConsistentHashRing::new(ring.members.iter().rev().copied()), "{node} nodes");
        }
    }

    #[test]
    fn most_look_ups_are_answered_by_one_line() {
        for members in [1_u128, 6, 81, 82, 164, 1_000] {
            let ring =
                ConsistentHashRing::new((0..members).map(|n| Member { node: NodeId(n), shard: ShardId(0) }));
            let searched = ids().take(20_000).filter(|job| ring.lines.slot(hash_id(job.0)).is_none()).count();
            assert!(searched < 600, "{members} members: {searched} of 20,000 searched");
        }
    }

    #[test]
    fn members_beyond_the_numbers_of_a_line_are_found_by_search() {
        let points: Vec<(u64, u32)> = (0..70_000).map(|at| (u64::from(at) << 40, at)).collect();
        assert_eq!(Lines::of(&points), Lines::default());
        assert_eq!(Lines::default().slot(5), None);
    }

    #[test]
    fn points_that_crowd_are_found_by_search() {
        let crowd: Vec<(u64, u32)> = (0..16).map(|at| (1 << 63 | u64::from(at), at)).collect();
        let lines = Lines::of(&crowd);
        assert_eq!((lines.slot(5), lines.slot(3 << 62), lines.slot(1 << 63)), (Some(0), None, None));
        let few = Lines::of(&crowd[1..]);
        assert_eq!((few.slot(5), few.slot(3 << 62), few.slot(1 << 63)), (Some(1), Some(1), None));
    }

    #[test]
    fn an_empty_ring_has_no_owner() {
        assert_eq!(ConsistentHashRing::default().owner(JobId(5)), None);
    }
}
