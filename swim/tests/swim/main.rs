//! Groups in virtual time, hostile bytes, and Lifeguard's promises.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on shall fail where it stands"
)]

mod hostile;
mod network;
mod stories;
