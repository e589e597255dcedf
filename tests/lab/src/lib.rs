//! A network in virtual time for membership protocols alone: thousands of nodes on one thread, the same run for the
//! same seed.
//!
//! A protocol is anything behind [`Protocol`]; what it tells its node goes into a [`Watch`], which experiments read.
//! The network loses, delays, repeats and cuts; nodes stop, pause and work slowly. The simulator of whole fleets
//! (`tests/sim`) runs the roles' cores; this one runs nothing else than membership, and so some hundred times faster.

mod network;
mod parcels;
mod protocol;
mod queue;
mod watch;
mod world;

pub use network::{Faults, Network};
pub use parcels::{Parcel, Parcels, What};
pub use protocol::{Input, Outbox, Protocol, State};
pub use queue::{Entry, Kind, Wheel};
pub use watch::{Declaration, Watch};
pub use world::{DATAGRAMS_MAX, Traffic, Wake, World};

/// Nanoseconds of virtual time since the start.
pub type Nanos = u64;

/// One millisecond.
pub const MS: Nanos = 1_000_000;
/// One second.
pub const SECOND: Nanos = 1_000 * MS;
