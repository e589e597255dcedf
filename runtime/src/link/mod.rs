//! A framed connection: handshake, batched reads, coalesced writes, an orderly end.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

pub(crate) mod handshake;
mod queue;
pub(crate) mod strangers;
mod wire;
mod woken;

pub(crate) use queue::SendQueue;
pub(crate) use wire::{Incoming, Wire};

use std::time::Duration;

use hyperscale_codec::Limits;

/// What one node allows on its links.
#[derive(Debug, Clone)]
pub struct LinkLimits {
    /// Longest frames.
    pub frame: Limits,
    /// Most bytes waiting for one peer; a peer that reads slower is cut off. One frame always fits.
    pub send_queue_bytes_max: usize,
    /// Most links at once, dialled ones included.
    pub connections_max: usize,
    /// Most accepted connections in handshake at once.
    pub handshakes_max: usize,
    /// For a TCP connection to be made.
    pub connect_timeout: Duration,
    /// From accept to a complete greeting.
    pub greeting_timeout: Duration,
    /// From our greeting to the acceptor's answer.
    pub answer_timeout: Duration,
    /// For a frame that was begun, each 64 KiB of it.
    pub frame_timeout: Duration,
    /// A link that is silent for so long is closed; `None` leaves it to TCP to notice a dead peer.
    pub idle_timeout: Option<Duration>,
    /// For queued bytes to go when a link or the node is closed.
    pub flush_timeout: Duration,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            frame: Limits::default(),
            send_queue_bytes_max: 4 << 20,
            connections_max: 10_000,
            handshakes_max: 256,
            connect_timeout: Duration::from_secs(5),
            greeting_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(5),
            idle_timeout: None,
            flush_timeout: Duration::from_secs(2),
        }
    }
}
