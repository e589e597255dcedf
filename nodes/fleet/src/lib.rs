//! What all roles share about their fleet: who a node is, whom it dials and when again, how it says that it lives,
//! and how far its peers' clocks are off. Pure.
#![forbid(unsafe_code)]

mod backoff;
mod calls;
mod card;
mod clock;
mod departed;
mod dialer;
mod identity;
mod link;
mod membership;
mod pulse;
mod row;
mod statistics;
mod time_left;
mod verdict;
mod window_row;

pub use backoff::Backoff;
pub use calls::{Asking, CallKey, Calls, Due, Fate, Insists, Policy};
pub use card::{Card, ROWS_MAX, page};
pub use clock::{ClockOffset, OffsetFilter};
pub use departed::Departed;
pub use dialer::{Dialer, Dialled};
pub use hyperscale_reliability::{CallError, Deadline, GiveUp, retryable};
pub use hyperscale_swim::{MemberState, MemberView, SwimConfig};
pub use identity::Identity;
pub use link::PeerLink;
pub use membership::{Change, GroupKind, Membership, MembershipConfig, follow_member, node_state};
pub use pulse::{BEAT, Pulse, beat_ms};
pub use row::{job_row, load_reason, node_row, progress, verdict_row};
pub use statistics::{receiver_gauges, sender_gauges};
pub use time_left::{nobody_waits, time_left};
pub use verdict::{own_verdict, signal, verdict};
pub use window_row::windows;
