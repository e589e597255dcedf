//! The format as a peer sees it: golden bytes, layouts of roots, round trips, and bytes that lie.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod forwarding;
mod golden;
mod layout;
mod lies;
mod round_trip;
mod samples;
mod stats;
