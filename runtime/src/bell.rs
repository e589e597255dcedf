//! A wake-up from another thread.
//!
//! A foreign wake costs an entry in an unbounded queue of the executor, so a bell is rung at most once per wait: the
//! waiter arms it, the first ring disarms it. The waiter must look at its condition again after arming.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::Waker;

use crossbeam_queue::ArrayQueue;

/// One waiter, any number of ringers.
#[derive(Debug)]
pub(crate) struct Bell {
    armed: AtomicBool,
    /// The waiter's newest waker: a lock-free cell of one.
    waker: ArrayQueue<Waker>,
}

impl Default for Bell {
    fn default() -> Self {
        Self { armed: AtomicBool::new(false), waker: ArrayQueue::new(1) }
    }
}

impl Bell {
    /// Asks for a wake. The caller looks at its condition once more after this and before it waits.
    pub(crate) fn arm(&self, waker: &Waker) {
        let _old = self.waker.force_push(waker.clone());
        self.armed.store(true, Ordering::Release);
        // Pairs with the fence in `ring`: either the ringer sees `armed`, or the waiter's second look sees what the
        // ringer did before it rang.
        fence(Ordering::SeqCst);
    }

    /// Wakes the waiter if it waits. Call it after the change that it waits for.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed)
            && self.armed.swap(false, Ordering::AcqRel)
            && let Some(waker) = self.waker.pop()
        {
            waker.wake();
        }
    }
}
