//! The seam between cores and drivers.
//!
//! A [`Core`] is a pure state machine: time, frames, timers and local reports come in as [`Event`]s, and what shall
//! be done goes out as [`Effects`]. It reads no clock, opens no socket, starts no thread and draws no randomness of
//! its own, so the production driver and a simulator run the very same code. A core lives on one shard and is
//! called by one caller at a time; per-job locks do not exist, because ownership is the lock.
#![forbid(unsafe_code)]

mod effects;
mod link;
mod load;
mod serve;
mod time;

pub use effects::{Effect, Effects};
pub use link::{DatagramPort, DialError, DialId, Event, LinkDown, LinkId, Peer};
pub use load::{Closed, ConnError, ConnId, LoadHandler, LoadIo};
pub use serve::{ServeHandler, ServeIo};
pub use time::{Instant, WallClock};

/// A protocol or role as a state machine without I/O.
pub trait Core {
    /// What its driver, or another shard of the node, tells it.
    type Local;
    /// What it asks of its driver beyond frames and links.
    type Command;

    /// Takes one event in and says what shall be done. `now` never goes back.
    fn handle(&mut self, now: Instant, event: Event<'_, Self::Local>, effects: &mut Effects<Self::Command>);

    /// When [`Event::Timer`] is due next, if at all.
    fn next_deadline(&self) -> Option<Instant>;
}
