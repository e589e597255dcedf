//! The worker's core: prepares shares of load on its shards, starts them together, reports what they recorded.
//!
//! In: frames of managers, reports of the load shards, resolved names. Out: frames, orders to the shards. It runs on
//! the node's first shard; the load itself never passes through it. Pure.
#![forbid(unsafe_code)]

mod calls;
mod core;
mod peers;
mod progress;
mod report;
mod revise;
mod share;
mod view;

pub use core::{Command, Local, WorkerConfig, WorkerCore};
pub use share::HostPort;
