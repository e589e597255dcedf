//! What the worker's core and its load shards say to each other. By mailbox, in order, never lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{Share, WorkflowState};
use hyperscale_codec::{Attempt, Epoch, JobId, ShardId, WorkflowId};
use hyperscale_core::Instant;
use hyperscale_plan::Plan;
use hyperscale_stats::CellSet;

/// One share of load: a workflow of a job, in one attempt. Load that moves is a share of the next revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareKey {
    pub job: JobId,
    pub workflow: WorkflowId,
    pub attempt: Attempt,
    pub revision: u32,
}

/// Where the requests of one host and port go; all addresses that its name resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub host: String,
    pub port: u16,
    /// Never empty.
    pub addrs: Vec<SocketAddr>,
}

/// The worker's core to one of its load shards.
#[derive(Debug)]
pub enum Order {
    /// Make ready: render requests, reserve memory. Answered by [`Report::Ready`].
    Prepare(Box<Prepare>),
    /// The workflow begins, or began, at `at`; the share with it, or when it has the load from. Windows are counted
    /// from `job_start`.
    Start { key: ShareKey, at: Instant, job_start: Instant },
    /// Stop arrivals now; requests in flight end or are cut after `cut_after`. Ends in [`Report::Ended`].
    Cancel { key: ShareKey, cut_after: Duration },
    /// What is due at `until` (since the workflow's start) or later is another share's; what is under way ends by
    /// itself. Answered by [`Report::Withdrawn`]. The share ends only once this came `settled`: until then `until` may
    /// still move on, to where another shard could keep it.
    Withdraw { key: ShareKey, until: Duration, settled: bool },
    /// Give half of the iterations not yet started to another shard. Answered by [`Report::Donated`].
    Donate { key: ShareKey, to: ShardId },
    /// Take these iterations as well (0: nothing is left anywhere, end when done).
    Grant { key: ShareKey, iterations: u64 },
    /// A cell set to be filled again.
    Recycle { key: ShareKey, cells: Box<CellSet> },
    /// Forget the share; it has ended.
    Release { key: ShareKey },
    /// The node stops: cut everything.
    Stop,
}

/// What a shard needs to make ready.
#[derive(Debug)]
pub struct Prepare {
    pub key: ShareKey,
    pub epoch: Epoch,
    pub plan: Arc<Plan>,
    /// This shard's part; `iterations` is its static share of a total, or of what is left of a count.
    pub share: Share,
    /// Since the workflow's start; what is due before it is another share's.
    pub from: Duration,
    /// Shards of this worker that run this share; another may have iterations to give.
    pub siblings: u16,
    pub seed: u64,
    pub origins: Arc<Vec<Origin>>,
}

/// A load shard to the worker's core.
#[derive(Debug)]
pub enum Report {
    /// The answer to [`Order::Prepare`].
    Ready { key: ShareKey, shard: ShardId, result: Result<(), String> },
    /// What was recorded in windows `k_from..=k_to` since the last of these. Sent once a window.
    Window { key: ShareKey, shard: ShardId, epoch: Epoch, k_from: u32, k_to: u32, delta: Box<CellSet> },
    /// Every iteration of a total was started; more are welcome. Answered by [`Order::Grant`].
    NeedIterations { key: ShareKey, shard: ShardId },
    /// The answer to [`Order::Donate`]; 0 when nothing is left to give.
    Donated { key: ShareKey, shard: ShardId, to: ShardId, iterations: u64 },
    /// The answer to [`Order::Withdraw`]: what is in force, in whole microseconds. Later than asked where the shard was
    /// already beyond it.
    Withdrawn { key: ShareKey, shard: ShardId, until: Duration },
    /// The share has ended on this shard. `delta` is the last one.
    Ended(Box<Ended>),
}

/// How a share ended on one shard.
#[derive(Debug)]
pub struct Ended {
    pub key: ShareKey,
    pub shard: ShardId,
    pub epoch: Epoch,
    pub k_from: u32,
    pub k_to: u32,
    pub delta: Box<CellSet>,
    /// Completed, failed or cancelled.
    pub outcome: WorkflowState,
    /// Why it failed; else empty.
    pub error: String,
    /// Requests in flight when a cancel came: those that ended by themselves, and those cut.
    pub in_flight_ended: u64,
    pub in_flight_cut: u64,
    /// Iterations that a cancel kept from starting, where they can be counted.
    pub never_started: u64,
    /// Of a count: iterations that were withdrawn before they started.
    pub iterations_left: u64,
    /// From its start to the end of its last request.
    pub duration: Duration,
    /// Whether the shard kept its schedule (share of requests late by over 1 ms at most 1 %, and no arrival dropped
    /// for want of time).
    pub generator_ok: bool,
}
