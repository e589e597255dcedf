//! A wake-up inside one shard: one waiter, remembered until it is waited for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Set by anyone on the shard; waited for by one task.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    set: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Notify {
    /// Ends the present or the next wait.
    pub(crate) fn notify(&self) {
        if !self.set.replace(true) {
            let waker = self.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits for a notification, and takes it. Dropping the wait loses none.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            if self.set.replace(false) {
                return Poll::Ready(());
            }
            keep(&self.waker, cx.waker());
            Poll::Pending
        })
        .await;
    }
}

/// Keeps the newest waker of one task; the same task is polled far more often than it changes.
pub(crate) fn keep(slot: &RefCell<Option<Waker>>, waker: &Waker) {
    match &mut *slot.borrow_mut() {
        Some(kept) => kept.clone_from(waker),
        empty => *empty = Some(waker.clone()),
    }
}

/// Opened once; waited for by any number of tasks of the shard.
///
/// A waiter keeps one place in the list and gives it back when dropped, so a loop that races the latch against
/// something else does not grow it.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    open: Cell<bool>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Latch {
    /// Ends every present and later wait.
    pub(crate) fn open(&self) {
        self.open.set(true);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }

    /// Whether it was opened.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Waits until it is open. Dropping the wait is safe.
    pub(crate) async fn opened(&self) {
        let place = Place { latch: self, id: self.next.get() };
        self.next.set(place.id.saturating_add(1));
        poll_fn(|cx| {
            if self.open.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().insert(place.id, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

struct Place<'a> {
    latch: &'a Latch,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.latch.waiting.borrow_mut().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, or, ready};

    #[test]
    fn a_notification_before_the_wait_is_not_lost() {
        let notify = Notify::default();
        notify.notify();
        notify.notify();
        block_on(notify.wait());
        let waited = block_on(or(
            async {
                notify.wait().await;
                true
            },
            ready(false),
        ));
        assert!(!waited, "one notification ended two waits");
    }

    #[test]
    fn a_dropped_wait_for_a_latch_leaves_no_place_behind() {
        let latch = Latch::default();
        for _ in 0..100 {
            block_on(or(latch.opened(), ready(())));
        }
        assert!(latch.waiting.borrow().is_empty());
        latch.open();
        block_on(latch.opened());
        assert!(latch.is_open());
    }
}
