//! A built-in HTTP/1.1 server to aim at; it knows exactly what it served.
//!
//! [`Responder`] is the protocol, without I/O: requests in, answers out, each when it is due. It can delay, fail a
//! share of its answers and stall as a garbage collector would, so that a load generator's report can be checked
//! against a truth. [`Counts`] says what it did, also on `/_count`.
#![forbid(unsafe_code)]

mod answer;
mod config;
mod counts;
mod request;
mod responder;

pub use config::TargetConfig;
pub use counts::{Counts, Served};
pub use responder::Responder;
