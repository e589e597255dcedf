//! Who a member is, and what is thought of it.

use std::net::SocketAddr;

use hyperscale_codec::{NodeId, Role};
use hyperscale_core::Instant;

/// One instance of a node and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberCard {
    /// The node.
    pub node: NodeId,
    /// Counts its starts; under 2^32. A higher one supersedes.
    pub boot: u64,
    /// Where its membership datagrams and its frames arrive (one port number, UDP and TCP).
    pub addr: SocketAddr,
    /// UDP port of out-of-band probes; 0: none.
    pub oob_port: u16,
    /// What it is.
    pub role: Role,
}

impl MemberCard {
    /// Where its out-of-band probes arrive.
    #[must_use]
    pub const fn oob_addr(&self) -> Option<SocketAddr> {
        if self.oob_port == 0 { None } else { Some(SocketAddr::new(self.addr.ip(), self.oob_port)) }
    }
}

/// What is claimed of a member. The order is that of claims of equal age: the later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MemberState {
    /// There.
    Alive = 0,
    /// Did not answer somebody; has some seconds to refute that.
    Suspect = 1,
    /// Did not refute. It still can, with a higher incarnation.
    Dead = 2,
    /// Said goodbye.
    Left = 3,
}

impl MemberState {
    /// Reads a state's number; an unknown one is no claim that could be acted upon.
    #[must_use]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Alive),
            1 => Some(Self::Suspect),
            2 => Some(Self::Dead),
            3 => Some(Self::Left),
            _ => None,
        }
    }

    /// Alive or suspect: it takes part.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }
}

impl std::fmt::Display for MemberState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of the list of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberView {
    /// Who it is.
    pub card: MemberCard,
    /// Grows with each refutation of this instance.
    pub incarnation: u64,
    /// What is thought of it.
    pub state: MemberState,
    /// Since when.
    pub since: Instant,
    /// Whether it answered this node, shook hands with it, or was on a list that came over TCP.
    pub verified: bool,
}
