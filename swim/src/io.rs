//! What happens to a [`crate::Swim`], and what it wants done.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_core::DatagramPort;

use crate::{MemberCard, MemberState};

/// What happens.
#[derive(Debug)]
pub enum Input<'a> {
    /// The deadline passed.
    Timer,
    /// A datagram came in on the membership port.
    Datagram {
        /// Its source, which may be forged.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A datagram came in on the out-of-band port.
    OutOfBand {
        /// Its source, which may be forged.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A peer's list of members came over a link.
    PushPull {
        /// As [`crate::Swim::push_pull`] made it.
        bytes: &'a [u8],
    },
    /// A handshake over TCP proved that this instance is there now.
    Seen {
        /// Of the handshake.
        card: MemberCard,
    },
    /// A connection to it broke: a hint to probe it next, no verdict.
    LinkReset {
        /// The peer.
        node: NodeId,
    },
    /// How an [`Output::TcpProbe`] ended.
    TcpProbe {
        /// Who was dialled.
        node: NodeId,
        /// Whether a handshake with it succeeded.
        answered: bool,
    },
    /// What this node says of itself from now on.
    OwnHealth(HealthPiggyback),
    /// A heartbeat over TCP told how a peer is. Says nothing of membership.
    PeerHealth(HealthPiggyback),
    /// Ask this node out of band now; ends in one [`Output::OutOfBand`].
    ProbeOutOfBand {
        /// Whom.
        node: NodeId,
        /// How long to wait; 500 ms, or 300 ms when a worker's loss is to be settled.
        timeout: Duration,
    },
    /// Say goodbye; [`crate::Swim::left`] tells when the driver may end.
    Leave,
}

/// An answer out of band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OobAnswer {
    /// The instance that answered.
    pub boot: u64,
    /// Its incarnation.
    pub incarnation: u64,
    /// 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    pub overload_state: u8,
    /// Its local health, 0 to 8.
    pub lhm: u8,
    /// It answered `Nack`: alive, but too loaded to be ready for anything.
    pub overloaded: bool,
}

/// What shall be done, or became known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send [`crate::Outbox::bytes`] of `range`; it may be lost.
    Datagram {
        /// Which port it leaves by.
        port: DatagramPort,
        /// Where to.
        to: SocketAddr,
        /// Where its bytes are.
        range: Range<usize>,
    },
    /// Dial it and tell with [`Input::TcpProbe`] whether a handshake succeeded.
    TcpProbe {
        /// Whom.
        node: NodeId,
        /// Where.
        addr: SocketAddr,
    },
    /// Exchange lists with it over TCP: send it [`crate::Swim::push_pull`], its own comes back as
    /// [`Input::PushPull`]. It may be one held dead, or a seed.
    PushPull {
        /// Whom.
        node: NodeId,
        /// Where.
        addr: SocketAddr,
    },
    /// A member's state changed, or a higher boot took its place.
    Changed {
        /// Who.
        node: NodeId,
        /// Its state before; `None`: it was unknown.
        from: Option<MemberState>,
        /// Its state now. A newcomer that nobody ever saw and that was dropped for want of room is told as left.
        to: MemberState,
        /// Of the claim.
        incarnation: u64,
        /// Of the instance.
        boot: u64,
    },
    /// A newer word of how a peer is came.
    Health {
        /// Whose.
        node: NodeId,
    },
    /// How an [`Input::ProbeOutOfBand`] ended.
    OutOfBand {
        /// Who was asked.
        node: NodeId,
        /// What it answered; `None`: nothing in time, or it has no such port, or too many were asked.
        answer: Option<OobAnswer>,
    },
    /// A round of probing a member ended.
    ProbeRound {
        /// Whom.
        node: NodeId,
        /// Whether any answer came, by whatever way.
        answered: bool,
    },
}
