//! What a node tells of itself: to people as tables, to scripts as JSON, to monitors as Prometheus text.
//!
//! Each shard makes a [`ShardView`] between two events of its core; [`NodeView`] merges those of a node. Everything is
//! owned and plain, so that it may cross threads and outlive what it was read from. Pure: ages are given, not measured.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod gauge;
mod job_row;
mod node_row;
mod prometheus;
mod shard_view;
mod table;
mod verdict;
mod window_row;

pub use gauge::{Gauge, Kind};
pub use job_row::{JobRow, JobState, Jobs, jobs_table};
pub use node_row::{NodeRow, NodeState, Nodes, Overload, Progress, nodes_table};
pub use prometheus::{CONTENT_TYPE, exposition};
pub use shard_view::{Checked, NodeView, Reason, ShardView};
pub use verdict::{SignalRow, VerdictRow, Why, verdicts_text};
pub use window_row::{Times, WindowRow, Windows, windows_table};
