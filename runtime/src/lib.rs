//! The only place that knows glommio and sockets: shards, mailboxes, links, timers, signals.
//!
//! A node starts its [`Shard`]s with [`start`]; each runs one body. On a shard, [`NodeDriver`] carries a core's frames,
//! timers and effects. Nothing here decides anything about jobs or load.
#![warn(missing_docs)]

mod bell;
pub mod clock;
mod counters;
mod dns;
mod driver;
pub mod entropy;
mod link;
pub mod load_socket;
mod mailbox;
mod notify;
pub mod preflight;
pub mod responder;
mod shard;
pub mod signals;
mod stop;
mod task;
pub mod tcp;
mod timer;

pub use counters::{Counter, CounterValues, Counters};
pub use dns::ResolveError;
pub use driver::{CommandCx, LOCALS_MAX, LocalSender, LocalsFull, NodeDriver, NodeHandle};
pub use link::LinkLimits;
pub use link::handshake::NodeConfig;
pub use mailbox::{Inbox, Receiver, Sender, TrySendError, mailbox};
pub use shard::{
    BlockingPanicked, NodeError, Placement, Queue, Shard, ShardOptions, Shards, StartError, start,
};
pub use stop::{Stop, StopReason};
pub use task::{TaskGroup, TaskHandle, TaskKind};
pub use timer::TimedOut;
