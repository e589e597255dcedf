//! Virtual users and their connections, as rows of two tables of the shard.

use std::net::SocketAddr;

use hyperscale_core::{ConnId, Instant};

use crate::http1::ResponseReader;

/// No connection.
pub(super) const NONE: u32 = u32::MAX;
/// No connection, and on the last one something came that nobody had asked for.
pub(super) const EARLY: u32 = u32::MAX - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VuState {
    /// Between two iterations, or unused.
    Idle,
    /// Its request waits for a handshake to become free.
    Queued,
    Connecting,
    /// Its request is sent.
    Waiting,
    Thinking,
    /// Between two iterations, kept from the next one because this host is out of ports or files.
    Pausing,
}

/// One virtual user.
#[derive(Debug, Clone)]
pub(super) struct Vu {
    pub(super) share: u32,
    /// Index among the VUs of its share.
    pub(super) local: u32,
    pub(super) state: VuState,
    /// Whether it may start iterations.
    pub(super) active: bool,
    pub(super) parked: bool,
    /// Its request was sent again on a new connection.
    pub(super) retried: bool,
    pub(super) pause: bool,
    pub(super) step: u16,
    /// Addresses tried for this connection.
    pub(super) tried: u16,
    /// Slot of the connection in use.
    pub(super) conn: u32,
    /// Index of the address tried first.
    pub(super) addr: u32,
    /// When the iteration was due.
    pub(super) iteration: Instant,
    /// When the request was due.
    pub(super) due: Instant,
    /// When its first byte was sent; `MAX` before.
    pub(super) sent: Instant,
    /// When the connect began.
    pub(super) connect: Instant,
    /// When its present state ends whatever happens.
    pub(super) deadline: Instant,
    /// When its request times out.
    pub(super) request_deadline: Instant,
    /// When its iteration is cut after a ramp down.
    pub(super) cut_at: Instant,
    /// Iterations left, where each VU has its own count.
    pub(super) left: u64,
    /// Bytes sent in vain before the request was sent again.
    pub(super) out_before: u64,
}

impl Vu {
    pub(super) fn new(share: u32, local: u32, left: u64) -> Self {
        Self {
            share,
            local,
            state: VuState::Idle,
            active: false,
            parked: false,
            retried: false,
            pause: false,
            step: 0,
            tried: 0,
            conn: NONE,
            addr: 0,
            iteration: Instant::ZERO,
            due: Instant::ZERO,
            sent: Instant::MAX,
            connect: Instant::ZERO,
            deadline: Instant::MAX,
            request_deadline: Instant::MAX,
            cut_at: Instant::MAX,
            left,
            out_before: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnState {
    Free,
    Connecting,
    Idle,
    /// A request was sent on it.
    Busy,
}

/// One connection; the row of its slot.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) state: ConnState,
    /// It has carried an answer.
    pub(super) reused: bool,
    /// Index of its origin within the share.
    pub(super) origin: u16,
    pub(super) vu: u32,
    /// Bytes that came since the request was sent.
    pub(super) bytes_in: u64,
    pub(super) reader: ResponseReader,
}

impl Default for Conn {
    fn default() -> Self {
        Self {
            id: ConnId { slot: NONE, generation: 0 },
            state: ConnState::Free,
            reused: false,
            origin: 0,
            vu: NONE,
            bytes_in: 0,
            reader: ResponseReader::default(),
        }
    }
}

/// Where requests of one host and port go.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) all: Vec<SocketAddr>,
    /// The address of the next connection.
    pub(super) next: u32,
}
