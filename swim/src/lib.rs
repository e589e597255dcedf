//! Who is there: SWIM with Lifeguard, and gossip of how nodes are (`spec.md` 12).
//!
//! Pure: time and bytes come in as [`Input`]s, what shall be done goes out as [`Output`]s. See `README.md` beside this.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod card;
mod config;
mod counters;
mod io;
mod outbox;
mod swim;

pub use card::{MemberCard, MemberState, MemberView};
pub use config::{Lifeguard, SwimConfig};
pub use counters::SwimCounters;
pub use hyperscale_core::DatagramPort;
pub use io::{Input, OobAnswer, Output};
pub use outbox::Outbox;
pub use swim::{SharedMembers, Swim};
