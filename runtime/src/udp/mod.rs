//! UDP as nodes use it: datagrams that may be lost, read in batches, sent without a wait.
//!
//! A node has up to two ports for datagrams: one for membership, with the number of its frame port, and one for health
//! probes, which is read before all else. Both are bound before the node's shards start, without SO_REUSEPORT and
//! SO_REUSEADDR: with either, a second node could take the first one's datagrams.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod bound;
mod socket;

pub use bound::{BoundUdp, DatagramPorts, bind_ports, bind_udp};
pub use socket::DATAGRAM_MAX;
pub(crate) use socket::{Received, Receiver, Sent, Udp};
