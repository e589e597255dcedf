//! What drives load: arrivals, virtual users, HTTP/1.1, recording.
#![forbid(unsafe_code)]

pub mod orders;
