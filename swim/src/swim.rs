//! The protocol as one state machine.

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::Instant;

use crate::{Input, MemberCard, MemberView, Outbox, SwimConfig, SwimCounters};

/// A list of members that many nodes of a simulation start from without a copy each.
#[derive(Debug, Clone, Default)]
pub struct SharedMembers;

impl SharedMembers {
    /// All of these alive, verified, since `now`.
    #[must_use]
    pub fn new(_cards: impl IntoIterator<Item = MemberCard>, _now: Instant) -> Self {
        Self
    }
}

/// One node's part in one group.
#[derive(Debug)]
pub struct Swim {
    counters: SwimCounters,
}

impl Swim {
    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(_config: SwimConfig, _own: MemberCard, _seed: u64, _now: Instant) -> Self {
        Self { counters: SwimCounters::default() }
    }

    /// A node that knows all of `members` (itself among them or not), sharing their memory until they change.
    #[must_use]
    pub fn with_members(
        config: SwimConfig,
        own: MemberCard,
        seed: u64,
        now: Instant,
        _members: &SharedMembers,
    ) -> Self {
        Self::new(config, own, seed, now)
    }

    /// Takes one input and says what shall be done. `now` never goes back.
    pub fn handle(&mut self, _now: Instant, _input: Input<'_>, _out: &mut Outbox) {}

    /// When [`Input::Timer`] is due next, if at all.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// All members that are known, dead and left ones too, without this node.
    pub fn members(&self) -> impl Iterator<Item = MemberView> {
        std::iter::empty()
    }

    /// One member.
    #[must_use]
    pub fn member(&self, _node: NodeId) -> Option<MemberView> {
        None
    }

    /// Appends the list of members as it travels to a peer over TCP.
    pub fn push_pull(&mut self, _now: Instant, _out: &mut Vec<u8>) {}

    /// 0 (well) to 8: how far this node distrusts its own probes.
    #[must_use]
    pub fn local_health(&self) -> u8 {
        0
    }

    /// This node's own incarnation.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        0
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> SwimCounters {
        self.counters
    }

    /// The newest own word of a peer, if it came within 30 s of the last input.
    #[must_use]
    pub fn peer_health(&self, _node: NodeId) -> Option<HealthPiggyback> {
        None
    }

    /// Whether [`Input::Leave`] was given, all was said and the driver may end.
    #[must_use]
    pub fn left(&self) -> bool {
        false
    }
}
