//! Bounded mailboxes between shards: many senders, one receiver, taken in batches.
//!
//! A sender never waits: `Full` goes back to it, to keep in its own bounded overflow or to shed with a count. The
//! receiver is woken only when it sleeps, because each wake from another thread costs its executor memory. When the
//! receiver's shard has ended, by a panic too, senders get `Closed`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crossbeam_queue::ArrayQueue;

use crate::Shard;
use crate::bell::Bell;

#[derive(Debug)]
struct Inner<T> {
    queue: ArrayQueue<T>,
    bell: Bell,
    closed: AtomicBool,
    senders: AtomicUsize,
}

impl<T> Inner<T> {
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        while self.queue.pop().is_some() {}
    }
}

/// Why an item was not taken; it comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError<T> {
    /// The receiver is behind.
    #[error("the mailbox is full")]
    Full(T),
    /// The receiver is gone.
    #[error("the mailbox is closed")]
    Closed(T),
}

/// A mailbox for `capacity` items, at least one.
#[must_use]
pub fn mailbox<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let inner = Arc::new(Inner {
        queue: ArrayQueue::new(capacity.max(1)),
        bell: Bell::default(),
        closed: AtomicBool::new(false),
        senders: AtomicUsize::new(1),
    });
    (Sender(Arc::clone(&inner)), Receiver(inner))
}

/// The end that is given away; from any thread.
#[derive(Debug)]
pub struct Sender<T: Send>(Arc<Inner<T>>);

impl<T: Send> Sender<T> {
    /// Puts an item in, or gives it back.
    ///
    /// # Errors
    /// [`TrySendError`].
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(item));
        }
        self.0.queue.push(item).map_err(TrySendError::Full)?;
        self.0.bell.ring();
        Ok(())
    }

    /// Whether the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }
}

impl<T: Send> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.bell.ring();
        }
    }
}

/// The other end, on its way to the shard that will read it.
#[derive(Debug)]
pub struct Receiver<T: Send>(Arc<Inner<T>>);

impl<T: Send + 'static> Receiver<T> {
    /// Opens it on this shard: it closes when dropped, or when the shard ends.
    #[must_use]
    pub fn open(self, shard: &Shard) -> Inbox<T> {
        let inner = Arc::clone(&self.0);
        let weak = Arc::downgrade(&inner);
        shard.on_exit(move || {
            if let Some(inner) = weak.upgrade() {
                inner.close();
            }
        });
        Inbox { inner, _receiver: self }
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A mailbox opened on its shard.
#[derive(Debug)]
pub struct Inbox<T: Send> {
    inner: Arc<Inner<T>>,
    _receiver: Receiver<T>,
}

impl<T: Send> Inbox<T> {
    /// Waits for items and moves at most `max` of them to `out`; `false` when no sender is left and all are taken.
    /// Dropping the wait loses nothing.
    pub async fn drain(&mut self, out: &mut Vec<T>, max: usize) -> bool {
        poll_fn(|cx| self.poll_drain(cx, out, max)).await
    }

    fn poll_drain(&self, cx: &Context<'_>, out: &mut Vec<T>, max: usize) -> Poll<bool> {
        let mut armed = false;
        loop {
            // Before the queue: what the last sender sent lies in it by then.
            let last = self.inner.senders.load(Ordering::Acquire) == 0;
            let before = out.len();
            while out.len().saturating_sub(before) < max.max(1) {
                match self.inner.queue.pop() {
                    Some(item) => out.push(item),
                    None => break,
                }
            }
            if out.len() > before {
                return Poll::Ready(true);
            }
            if last {
                return Poll::Ready(false);
            }
            if armed {
                return Poll::Pending;
            }
            self.inner.bell.arm(cx.waker());
            armed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    const ITEMS: u64 = 20_000;

    fn inbox<T: Send>(receiver: Receiver<T>) -> Inbox<T> {
        Inbox { inner: Arc::clone(&receiver.0), _receiver: receiver }
    }

    #[test]
    fn single_items_from_two_threads_all_arrive_and_wake_their_reader() {
        let (sender, receiver) = mailbox::<u64>(4);
        let produce = |sender: Sender<u64>| {
            move || {
                for mut item in 0..ITEMS {
                    // The reader empties the queue and sleeps between items, so each wake is an edge.
                    while let Err(TrySendError::Full(back)) = sender.try_send(item) {
                        item = back;
                        std::thread::yield_now();
                    }
                    if item % 3 == 0 {
                        std::thread::yield_now();
                    }
                }
            }
        };
        let (first, second) = (produce(sender.clone()), produce(sender));
        let sum = std::thread::scope(|scope| {
            scope.spawn(first);
            scope.spawn(second);
            let mut inbox = inbox(receiver);
            let (mut sum, mut got, mut out) = (0, 0, Vec::new());
            while block_on(inbox.drain(&mut out, 8)) {
                got += out.len() as u64;
                sum += out.drain(..).sum::<u64>();
            }
            assert_eq!(got, 2 * ITEMS);
            sum
        });
        assert_eq!(sum, ITEMS * (ITEMS - 1));
    }

    #[test]
    fn a_full_mailbox_gives_the_item_back() {
        let (sender, receiver) = mailbox(2);
        let mut inbox = inbox(receiver);
        assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        let mut out = Vec::new();
        assert!(block_on(inbox.drain(&mut out, 1)));
        assert_eq!(out, [1]);
        assert_eq!(sender.try_send(3), Ok(()));
    }

    #[test]
    fn a_mailbox_without_a_reader_is_closed() {
        let (sender, receiver) = mailbox(2);
        drop(receiver);
        assert_eq!(sender.try_send(1), Err(TrySendError::Closed(1)));
    }

    #[test]
    fn the_last_item_comes_before_the_end() {
        let (sender, receiver) = mailbox(2);
        sender.try_send(1).unwrap();
        drop(sender);
        let (mut inbox, mut out) = (inbox(receiver), Vec::new());
        assert!(block_on(inbox.drain(&mut out, 8)));
        assert!(!block_on(inbox.drain(&mut out, 8)));
        assert_eq!(out, [1]);
    }
}
