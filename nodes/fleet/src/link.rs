//! One connection to a peer, as every role keeps it.

use hyperscale_codec::messages::{
    ArchivedClockReading, ArchivedGoodbye, ArchivedHealthPiggyback, ClockReading, HealthPiggyback,
};
use std::net::SocketAddr;

use hyperscale_codec::{Features, NodeId, Role, ShardId};
use hyperscale_core::{Instant, Peer, WallClock};
use hyperscale_swim::MemberCard;

use crate::{Identity, Pulse};

/// Who is at the other end, what both ends have, and how it lives.
#[derive(Debug, Clone)]
pub struct PeerLink {
    pub node: NodeId,
    /// Which start of it: another one remembers nothing of what this one was told.
    pub boot: u64,
    pub role: Role,
    pub shard: ShardId,
    /// Features of both ends.
    pub common: Features,
    /// As a member of a group, if it is one.
    pub member: Option<MemberCard>,
    pub pulse: Pulse,
    /// The peer said goodbye in order: its end is no failure.
    pub left: bool,
}

impl PeerLink {
    /// A link that just came up.
    #[must_use]
    pub fn new(own: &Identity, peer: &Peer) -> Self {
        let hello = &peer.hello;
        // Ends that cannot talk have nothing in common; the handshake keeps them apart.
        let both = own.capabilities().negotiate(&hello.capabilities());
        Self {
            node: hello.node,
            boot: hello.boot,
            role: hello.role,
            shard: hello.shard,
            common: both.map_or(Features::default(), |both| both.features),
            member: Self::member_of(peer),
            pulse: Pulse::default(),
            left: false,
        }
    }

    /// A peer as a member of a group, if it has a port for datagrams.
    pub(crate) fn member_of(peer: &Peer) -> Option<MemberCard> {
        let hello = &peer.hello;
        (hello.swim_port != 0).then(|| MemberCard {
            node: hello.node,
            boot: hello.boot,
            addr: SocketAddr::new(peer.addr.ip(), hello.swim_port),
            oob_port: hello.oob_port,
            role: hello.role,
        })
    }

    /// Takes a goodbye in.
    pub fn part(&mut self, goodbye: &ArchivedGoodbye) {
        self.left = goodbye.code.to_native() == 0;
    }

    /// Takes a heartbeat in.
    pub fn hear(
        &mut self,
        now: Instant,
        wall: WallClock,
        health: &ArchivedHealthPiggyback,
        clock: &ArchivedClockReading,
    ) {
        let reading = ClockReading {
            sent_ns: clock.sent_ns.to_native(),
            echo_ns: clock.echo_ns.to_native(),
            held_ns: clock.held_ns.to_native(),
        };
        self.pulse.hear(now, wall, reading, health.accepting_work, health.overload_state);
    }

    /// What every heartbeat on this link begins with.
    pub fn beat(
        &mut self,
        own: &Identity,
        now: Instant,
        wall: WallClock,
        accepting: bool,
        capacity: u32,
    ) -> (HealthPiggyback, ClockReading) {
        let (seq, clock) = self.pulse.next(now, wall);
        (own.health(seq, accepting, capacity), clock)
    }
}
