//! Who is there: SWIM with Lifeguard, and gossip of how nodes are (`spec.md` 12).
//!
//! Pure: time and bytes come in as [`Input`]s, what shall be done goes out as [`Output`]s. No clock, no socket, no
//! thread, no random order: the same seed and the same inputs give the same outputs. `README.md` beside this tells what
//! is where.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod awareness;
mod card;
mod claim;
mod config;
mod counters;
mod hash;
mod health_gossip;
mod index;
mod io;
mod lhm;
mod members;
mod oob;
mod outbox;
mod peers;
mod permutation;
mod queue;
mod refute;
mod relay;
mod replay;
mod seal;
mod suspicion;
mod swim;
mod wire;

pub use card::{MemberCard, MemberState, MemberView};
pub use claim::{Claim, Stamp};
pub use config::{Lifeguard, SwimConfig};
pub use counters::SwimCounters;
pub use health_gossip::HealthGossipBuffer;
pub use hyperscale_core::DatagramPort;
pub use io::{Input, OobAnswer, Output};
pub use members::SharedMembers;
pub use outbox::Outbox;
pub use seal::{GroupChecksum, Seal, SealError};
pub use swim::Swim;
pub use wire::{DatagramKind, LIST_BYTES_MAX, WireError};
