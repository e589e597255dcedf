//! Links to peers, as a core sees them.

use std::net::SocketAddr;

use hyperscale_codec::{Hello, RawFrame};

/// One connection that finished its handshake; never reused while its node runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// One wish for a connection, chosen by the core that asks with [`crate::Effects::dial`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DialId(pub u64);

/// The other end of a link.
#[derive(Clone, PartialEq, Debug)]
pub struct Peer {
    pub addr: SocketAddr,
    /// What it said of itself; validated and accepted.
    pub hello: Hello,
}

/// Why a link is gone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkDown {
    /// The peer closed it, with or without a goodbye.
    #[error("the peer closed the connection")]
    Closed,
    /// Our side closed it.
    #[error("closed by this node")]
    Local,
    /// The bytes made no sense, or the peer broke a limit.
    #[error("{0}")]
    Protocol(String),
    /// The network failed.
    #[error("{0}")]
    Io(String),
}

/// Why a connection could not be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DialError {
    /// Refused, unreachable, timed out.
    #[error("connecting to {addr}: {reason}")]
    Connect { addr: SocketAddr, reason: String },
    /// The peer answered the handshake with a refusal.
    #[error("{addr} refused: {text}")]
    Refused { addr: SocketAddr, verdict: u8, text: String, retry_after_ms: u32 },
    /// What answered is no Hyperscale node.
    #[error("{addr} is no Hyperscale node: {reason}")]
    Handshake { addr: SocketAddr, reason: String },
}

/// Which of a node's ports for datagrams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DatagramPort {
    /// Membership: probes and gossip.
    Membership,
    /// Health probes that pass by everything else; read before it.
    Health,
}

/// What happens to a core.
#[derive(Debug)]
pub enum Event<'a, L> {
    /// A link is up: dialled by us (`dial`) or accepted.
    LinkUp { link: LinkId, peer: &'a Peer, dial: Option<DialId> },
    /// A frame arrived: header and body checksums hold, its kind is one this peer's role may send, or one of a newer
    /// minor about a job, to be passed on unread or refused. It borrows the receive buffer.
    Frame { link: LinkId, frame: RawFrame<'a> },
    /// A link is gone; nothing more comes from it.
    LinkDown { link: LinkId, why: LinkDown },
    /// A dial came to nothing.
    DialFailed { dial: DialId, error: DialError },
    /// A datagram arrived; nothing of it is checked, its sender's address neither.
    Datagram { port: DatagramPort, from: SocketAddr, bytes: &'a [u8] },
    /// The deadline passed.
    Timer,
    /// The driver or another shard says something.
    Local(L),
}
