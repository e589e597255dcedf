//! What all roles share about their fleet: who a node is, whom it dials and when again, how it says that it lives,
//! and how far its peers' clocks are off. Pure.
#![forbid(unsafe_code)]

mod card;
mod clock;
mod dialer;
mod identity;
mod link;
mod pulse;
mod row;
mod verdict;

pub use card::{Card, ROWS_MAX, page};
pub use clock::{ClockOffset, OffsetFilter};
pub use dialer::{Dialer, Dialled};
pub use identity::Identity;
pub use link::PeerLink;
pub use pulse::{BEAT, Pulse, beat_ms};
pub use row::{node_row, verdict_row};
pub use verdict::{own_verdict, signal, verdict};
