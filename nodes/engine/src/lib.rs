//! What drives load: arrivals, virtual users, HTTP/1.1, recording. No I/O, no clock.
//!
//! [`EngineShard`] hosts the shares of load of one shard: it takes [`orders::Order`]s, gives [`orders::Report`]s, and
//! is driven as a [`hyperscale_core::LoadHandler`] by a loop that owns the sockets.
#![forbid(unsafe_code)]

pub mod arrivals;
pub mod http1;
pub mod orders;
pub mod ramp;
mod shard;
mod timers;
mod units;

pub use shard::EngineShard;
pub use units::Owned;
