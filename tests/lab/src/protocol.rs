//! What the lab asks of a membership protocol, and what the protocol asks of its node.

use crate::Nanos;
use crate::parcels::{Parcels, What};

/// What one node holds another for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    Alive,
    Suspect,
    Dead,
    Left,
}

/// What happens to a node.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    Timer,
    Datagram {
        from: u32,
        port: u8,
        bytes: &'a [u8],
    },
    List {
        bytes: &'a [u8],
    },
    DialDone {
        node: u32,
        answered: bool,
    },
    /// From now on it says this of itself: 0 healthy, 1 busy, 2 stressed, 3 overloaded.
    Load {
        level: u8,
    },
    /// A link to this node was reset.
    LinkReset {
        node: u32,
    },
}

/// A membership protocol on one node. Nodes are numbers; an adapter makes ids and addresses of them.
pub trait Protocol {
    /// Handles one input.
    fn handle(&mut self, now: Nanos, input: Input<'_>, out: &mut Outbox);
    /// When it wants [`Input::Timer`]; `Nanos::MAX` for never.
    fn next_deadline(&self) -> Nanos;
    /// Writes its member list, for an exchange over TCP.
    fn list(&mut self, _now: Nanos, _bytes: &mut Vec<u8>) {}
    /// What it holds `node` for; `None` if it does not know it.
    fn state_of(&self, node: u32) -> Option<State>;
}

/// What a node wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    pub(crate) parcels: Parcels,
    pub(crate) from: u32,
    /// Receiver and parcel.
    pub(crate) datagrams: Vec<(u32, u32)>,
    pub(crate) dials: Vec<u32>,
    pub(crate) exchanges: Vec<u32>,
    /// Node, its state from now on, its incarnation.
    pub(crate) changes: Vec<(u32, State, u64)>,
}

impl Outbox {
    /// Sends a datagram to the membership port (0) or the out-of-band port (1) of a node.
    pub fn datagram(&mut self, to: u32, port: u8, bytes: &[u8]) {
        let parcel = self.parcels.put(self.from, What::Datagram { port }, bytes);
        self.datagrams.push((to, parcel));
    }

    /// Dials a node over TCP; ends in [`Input::DialDone`].
    pub fn dial(&mut self, to: u32) {
        self.dials.push(to);
    }

    /// Exchanges member lists with a node over TCP.
    pub fn exchange(&mut self, with: u32) {
        self.exchanges.push(with);
    }

    /// Tells that a node's state changed in one's view.
    pub fn changed(&mut self, node: u32, to: State, incarnation: u64) {
        self.changes.push((node, to, incarnation));
    }
}
