//! A node's admin port: probes, metrics and listings over HTTP/1.1, read only, on one plain thread of its own.
//!
//! It asks each shard for its view and waits a second at most, so a shard that stands still costs its node the probe
//! and never a thread. In: questions answered by [`ShardView`]s. Out: HTTP. Bounds: 64 connections of one request each,
//! 8 KiB of header sent within 2 s, 10 s from accept to close. Nothing here is reached by a shard's executor.
//!
//! ```no_run
//! use hyperscale_admin::{AdminConfig, ShardLine};
//! use hyperscale_runtime::{ShardOptions, ask, start};
//! use hyperscale_view::{Gauge, ShardView};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Before the shards: one line to each, so that the port can say of a shard that it has not started yet.
//! let (line, answer) = ask::<ShardView>();
//! let answer = std::sync::Mutex::new(Some(answer));
//! let lines = vec![ShardLine::new(0, move |reply| line.ask(move |view| reply.send(view)))];
//!
//! // On each shard, once its core runs: `answer.open(&shard, move || node.with_core(|core| core.view(clock::now())))`.
//! let shards = start(&[ShardOptions::default()], move |shard| {
//!     let answer = answer.lock().ok().and_then(|mut answer| answer.take());
//!     async move {
//!         if let Some(answer) = answer {
//!             answer.open(&shard, || ShardView::new(0));
//!         }
//!         shard.stopping().await;
//!     }
//! })?;
//!
//! // On the thread that started the shards, not on a shard.
//! let config = AdminConfig::new(([127, 0, 0, 1], 0).into(), "gate-1", "gate");
//! let causes = || Gauge::counters_by("hyperscale_refusals_total", "Refused, by cause.", "cause", [("rate", 0)]);
//! let admin = hyperscale_admin::start(config, lines, causes)?;
//! println!("http://{}/", admin.addr());
//! // When the node is to stop: the port goes on until the shards have ended, then it ends in order.
//! shards.join(std::time::Duration::from_secs(10))?;
//! admin.stop();
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod endpoints;
mod lines;
mod probes;
mod process;
mod server;

use std::net::SocketAddr;

pub use lines::{Reply, ShardLine};
pub use server::{AdminServer, start};

#[cfg(doc)]
use hyperscale_view::ShardView;

/// Where the port listens, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Port 0 for a free one.
    pub listen: SocketAddr,
    /// The node's name.
    pub name: String,
    /// `gate`, `manager` or `worker`.
    pub role: String,
    /// Empty for a node that belongs to none.
    pub datacenter: String,
    /// Of the program; this crate's by default, which is the workspace's.
    pub build: String,
    /// Of the protocol: `1.4`. Empty if it does not matter.
    pub protocol: String,
    /// Whether a probe says no only after several failed checks, 10 s apart, as a node that serves does; else after
    /// one.
    pub patient: bool,
}

impl AdminConfig {
    /// The port of a node.
    #[must_use]
    pub fn new(listen: SocketAddr, name: impl Into<String>, role: impl Into<String>) -> Self {
        Self {
            listen,
            name: name.into(),
            role: role.into(),
            datacenter: String::new(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: String::new(),
            patient: false,
        }
    }
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address.
    #[error(
        "the admin port cannot listen on {addr}: {source}; name a free address of this host, or port 0 for any"
    )]
    Listen {
        /// As it was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread or what it waits with.
    #[error("the admin port's thread cannot be started: {source}; raise `ulimit -n` or `ulimit -u`")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}
