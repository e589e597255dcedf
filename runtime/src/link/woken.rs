//! When a link's wait for bytes ended: from that moment its frames wait for nobody but this shard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use hyperscale_core::Instant;

use crate::clock;

/// Stamps the time and wakes the task behind it.
#[derive(Debug, Default)]
struct Stamp {
    /// 0 until it is woken.
    at_ns: AtomicU64,
    task: OnceLock<Waker>,
}

impl Wake for Stamp {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The first wake of a wait: later ones tell of other things.
        if self.at_ns.load(Ordering::Relaxed) == 0 {
            self.at_ns.store(clock::now().0, Ordering::Relaxed);
        }
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

/// The waker of one link's reader.
#[derive(Debug)]
pub(super) struct Woken {
    stamp: Arc<Stamp>,
    waker: Waker,
}

impl Default for Woken {
    fn default() -> Self {
        let stamp = Arc::<Stamp>::default();
        Self { waker: Waker::from(Arc::clone(&stamp)), stamp }
    }
}

impl Woken {
    /// A waker that wakes this task and says when. A link is read by one task as long as it lives; another one gets
    /// its own waker back.
    pub(super) fn instead_of<'a>(&'a self, task: &'a Waker) -> &'a Waker {
        let known = self.stamp.task.get_or_init(|| task.clone());
        if known.will_wake(task) { &self.waker } else { task }
    }

    /// A wait begins.
    pub(super) fn begin(&self) {
        self.stamp.at_ns.store(0, Ordering::Relaxed);
    }

    /// When it ended, if it was one.
    pub(super) fn at(&self) -> Option<Instant> {
        Some(self.stamp.at_ns.load(Ordering::Relaxed)).filter(|at| *at != 0).map(Instant)
    }
}
