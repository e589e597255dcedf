//! A played worker's share of a job: what it recorded, what of it was told, how far it is.
//!
//! A worker records a window of made-up figures for each message that is due; the manager is told by the windows of its
//! own clock, so that many messages are about one of them, as those of many shards are.

use std::time::Duration;

use hyperscale_codec::messages::ArchivedWorkflowDispatch;
use hyperscale_core::Instant;

use crate::figures::{VARIANTS, Weights, of_source};

/// Length of a window in the plans.
const WINDOW: Duration = Duration::from_secs(1);

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShareStage {
    /// Prepared.
    Ready,
    /// It has load, as far as its manager can see.
    Running,
    /// Its last figures are told.
    Ended,
}

/// One share.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    pub(crate) workflow: u32,
    pub(crate) attempt: u32,
    pub(crate) revision: u32,
    pub(crate) dc_token: u64,
    pub(crate) stage: ShareStage,
    /// The job's start.
    pub(crate) began: Instant,
    pub(crate) cancelled: bool,
    /// Of its first shard; the others' follow.
    pub(crate) epoch: u64,
    /// Of the last message, the same of all its shards.
    pub(crate) sequence: u64,
    /// All that it recorded, and what of it was told as windows.
    pub(crate) recorded: Weights,
    pub(crate) in_windows: Weights,
    /// Recorded and not told yet, and in which window that began.
    pending: Weights,
    pending_from: Option<u32>,
    /// The last window that was told as one.
    told_to: u32,
    /// What the manager asked for last.
    pub(crate) level: u8,
    pub(crate) not_before: Instant,
    /// Before this it sends no more snapshots that the manager wants.
    pub(crate) asked_again: Instant,
}

impl Share {
    pub(crate) fn new(told: &ArchivedWorkflowDispatch, epoch: u64) -> Self {
        Self {
            workflow: told.workflow.to_native(),
            attempt: told.attempt.to_native(),
            revision: told.revision.to_native(),
            dc_token: told.dc_token.to_native(),
            stage: ShareStage::Ready,
            began: Instant::ZERO,
            cancelled: false,
            epoch,
            sequence: 0,
            recorded: [0; VARIANTS],
            in_windows: [0; VARIANTS],
            pending: [0; VARIANTS],
            pending_from: None,
            told_to: 0,
            level: 0,
            not_before: Instant::ZERO,
            asked_again: Instant::ZERO,
        }
    }

    /// Whether an order is about it.
    pub(crate) const fn is(&self, workflow: u32, attempt: u32, revision: u32) -> bool {
        self.workflow == workflow && self.attempt == attempt && self.revision == revision
    }

    pub(crate) fn is_running(&self) -> bool {
        self.stage == ShareStage::Running
    }

    /// The job's window that it is in.
    pub(crate) fn window(&self, now: Instant) -> u32 {
        let window = now.since(self.began).as_nanos() / WINDOW.as_nanos();
        u32::try_from(window).unwrap_or(u32::MAX - 1)
    }

    /// Windows of figures that wait for a message.
    pub(crate) fn waiting(&self) -> u64 {
        self.pending.iter().sum()
    }

    /// One window more of figures.
    pub(crate) fn record(&mut self, now: Instant) {
        let nth: u64 = self.recorded.iter().sum();
        let variant = usize::try_from(nth).unwrap_or(0) % VARIANTS;
        for weights in [&mut self.recorded, &mut self.pending] {
            if let Some(weight) = weights.get_mut(variant) {
                *weight = weight.saturating_add(1);
            }
        }
        let window = self.window(now);
        self.pending_from.get_or_insert(window);
    }

    /// Takes what waits as told: its windows, and how often each variant is in it.
    pub(crate) fn tell(&mut self, now: Instant) -> (u32, u32, Weights) {
        let to = self.window(now);
        let from = self.pending_from.take().map_or(to, |from| from.min(to));
        let told = std::mem::take(&mut self.pending);
        for (sum, told) in self.in_windows.iter_mut().zip(told) {
            *sum = sum.saturating_add(told);
        }
        self.sequence = self.sequence.saturating_add(1);
        self.told_to = to;
        (from, to, told)
    }

    /// Takes everything as told; windows that wait are not told as such any more. The window after which none was.
    pub(crate) fn tell_all(&mut self, now: Instant) -> (u32, u32) {
        let to = self.window(now);
        let after = if self.pending_from.take().is_some() { self.told_to.min(to) } else { to };
        self.pending = [0; VARIANTS];
        self.sequence = self.sequence.saturating_add(1);
        (after, to)
    }

    /// What each shard of worker `worker` has of `weights`, of so many shards.
    pub(crate) fn by_shard(
        weights: &Weights,
        worker: usize,
        shards: u16,
    ) -> impl Iterator<Item = (u16, Weights)> + '_ {
        let first = worker.saturating_mul(usize::from(shards));
        (0..shards).map(move |shard| (shard, of_source(weights, first.saturating_add(usize::from(shard)))))
    }
}

/// The sum over the shards of a worker.
pub(crate) fn of_worker(weights: &Weights, worker: usize, shards: u16) -> Weights {
    let mut sum = [0; VARIANTS];
    for (_, weights) in Share::by_shard(weights, worker, shards) {
        sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
    }
    sum
}
