//! The only place that knows glommio and sockets: shards, mailboxes, links, datagrams, timers, signals.
//!
//! A node starts its [`Shard`]s with [`start`]; each runs one body. On a shard, [`NodeDriver`] carries a core's frames,
//! timers and effects. Nothing here decides anything about jobs or load.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use hyperscale_codec::{NodeId, Role};
//! use hyperscale_core::{Core, Effects, Event, Instant};
//! use hyperscale_runtime::{NodeConfig, NodeDriver, ShardOptions, StopReason, entropy, signals, start};
//!
//! /// A core that does nothing.
//! struct Idle;
//! enum Command {}
//!
//! impl Core for Idle {
//!     type Local = ();
//!     type Command = Command;
//!     fn handle(&mut self, _now: Instant, _event: Event<'_, ()>, _effects: &mut Effects<Command>) {}
//!     fn next_deadline(&self) -> Option<Instant> {
//!         None
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! signals::block()?;
//! let id = NodeId(entropy::unique()?);
//! let shards = start(&[ShardOptions::default()], move |shard| async move {
//!     let mut config = NodeConfig::new(Role::Gate, id, "gate-1");
//!     config.listen = Some(([127, 0, 0, 1], 7000).into());
//!     let node = match NodeDriver::start(&shard, config, Idle, |command, _cx| match command {}) {
//!         Ok(node) => node,
//!         Err(error) => return shard.stop().request(StopReason::Asked(error.to_string())),
//!     };
//!     shard.stopping().await;
//!     node.stop().await;
//! })?;
//! shards.join(Duration::from_secs(10))?;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod ask;
mod bell;
mod causes;
pub mod clock;
mod counters;
mod dns;
mod driver;
pub mod entropy;
pub mod join;
mod link;
pub mod load_socket;
mod mailbox;
mod monitor;
mod notify;
pub mod preflight;
pub mod responder;
mod shard;
pub mod signals;
mod stop;
mod task;
pub mod tcp;
mod timer;
pub mod udp;

pub use ask::{Answer, Ask, ask};
pub use causes::{Cause, Causes};
pub use counters::{Counter, CounterValues, Counters};
pub use dns::ResolveError;
pub use driver::{
    CommandCx, Guard, LOCALS_MAX, LocalSender, LocalsFull, NodeDriver, NodeHandle, Siblings, siblings,
};
pub use link::LinkLimits;
pub use link::handshake::{Face, NodeConfig};
pub use mailbox::{Inbox, Receiver, Sender, TrySendError, mailbox};
pub use monitor::{LoadBoard, Monitor, SignalState, TellState, Watched};
pub use shard::{
    BlockingPanicked, NodeError, Placement, Queue, Shard, ShardOptions, ShardWork, Shards, StartError, start,
};
pub use stop::{Stop, StopReason};
pub use task::{TaskGroup, TaskHandle, TaskKind};
pub use timer::TimedOut;
