//! Stopping a node in order: one request, from anywhere, that every shard hears and whose first reason is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crate::bell::Bell;

/// Why a node stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Somebody asked: a signal, the end of a run.
    #[error("{0}")]
    Asked(String),
    /// A service task panicked, so the state it kept is unknown.
    #[error("task `{task}` of shard {shard} panicked: {message}")]
    ServicePanicked {
        /// Its shard.
        shard: u16,
        /// Its name.
        task: String,
        /// What the panic said.
        message: String,
    },
    /// A service task ended that must not.
    #[error("task `{task}` of shard {shard} ended: {message}")]
    ServiceEnded {
        /// Its shard.
        shard: u16,
        /// Its name.
        task: String,
        /// Why.
        message: String,
    },
    /// A shard's executor ended by a panic.
    #[error("shard {shard} panicked: {message}")]
    ShardPanicked {
        /// The shard.
        shard: u16,
        /// What the panic said.
        message: String,
    },
    /// A shard's loop stood still and could not be woken.
    #[error("shard {shard} has not turned its loop for {seconds} s")]
    ShardStalled {
        /// The shard.
        shard: u16,
        /// How long.
        seconds: u64,
    },
}

impl StopReason {
    /// Whether the node did not end as it should.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::Asked(_))
    }
}

/// What the supervisor hears.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The thread of this shard is about to end.
    Ended(usize),
    /// A stop was requested.
    Stopping,
}

/// Asks a node to stop; cloneable, from any thread.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requested: AtomicBool,
    reason: OnceLock<StopReason>,
    bells: Vec<Bell>,
    supervisor: mpsc::Sender<Notice>,
}

impl Stop {
    pub(crate) fn new(shards: usize, supervisor: mpsc::Sender<Notice>) -> Self {
        let bells = (0..shards).map(|_| Bell::default()).collect();
        let requested = AtomicBool::new(false);
        Self(Arc::new(Inner { requested, reason: OnceLock::new(), bells, supervisor }))
    }

    /// Asks every shard to stop. The first reason is kept.
    pub fn request(&self, reason: StopReason) {
        if reason.is_failure() {
            tracing::error!(%reason, "the node stops");
        } else {
            tracing::info!(%reason, "the node stops");
        }
        let _kept = self.0.reason.set(reason);
        if !self.0.requested.swap(true, Ordering::AcqRel) {
            // No supervisor: the node has ended.
            let _ended = self.0.supervisor.send(Notice::Stopping);
        }
        for bell in &self.0.bells {
            bell.ring();
        }
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// The first reason given.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.get().cloned()
    }

    /// Arms this shard's bell; the caller looks at [`Stop::is_requested`] again afterwards.
    pub(crate) fn arm(&self, shard: usize, waker: &Waker) {
        if let Some(bell) = self.0.bells.get(shard) {
            bell.arm(waker);
        }
    }
}
