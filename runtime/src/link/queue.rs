//! What waits to be sent on one link: one run of bytes, written whole, so that a thousand frames cost one call.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::notify::{Notify, keep};

/// The queue is full: the peer does not read as fast as we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Kept when the queue was written, to be filled again without allocating.
const KEEP: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct SendQueue {
    bytes: RefCell<Vec<u8>>,
    /// Bytes taken by the writer and not yet sent.
    in_flight: Cell<usize>,
    max: usize,
    /// A frame found no room. What follows it would be heard without it, and as if nothing were missing.
    overflowed: Cell<bool>,
    closed: Cell<bool>,
    closing: Notify,
    waker: RefCell<Option<Waker>>,
}

impl SendQueue {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            bytes: RefCell::default(),
            in_flight: Cell::new(0),
            max,
            overflowed: Cell::new(false),
            closed: Cell::new(false),
            closing: Notify::default(),
            waker: RefCell::default(),
        }
    }

    /// Bytes that were queued and are not sent.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.borrow().len().saturating_add(self.in_flight.get())
    }

    /// Whether a frame found no room: nothing is queued any more.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed.get()
    }

    /// Queues a frame. An empty queue takes any; after one that found no room none goes, however small.
    pub(crate) fn push(&self, frame: &[u8]) -> Result<(), Full> {
        let waiting = self.waiting();
        let mut bytes = self.bytes.borrow_mut();
        let full = waiting > 0 && waiting.saturating_add(frame.len()) > self.max;
        if full || self.overflowed.get() {
            self.overflowed.set(true);
            return Err(Full);
        }
        bytes.extend_from_slice(frame);
        drop(bytes);
        self.wake();
        Ok(())
    }

    /// No more is queued; the writer ends when the rest is sent.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.closing.notify();
        self.wake();
    }

    /// Waits for the close, once.
    pub(crate) async fn closing(&self) {
        self.closing.wait().await;
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Swaps what is queued into `out`, which was sent; `false` when the queue is closed and empty.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, out: &mut Vec<u8>) -> Poll<bool> {
        out.clear();
        out.shrink_to(KEEP);
        self.in_flight.set(0);
        let mut bytes = self.bytes.borrow_mut();
        if !bytes.is_empty() {
            std::mem::swap(&mut *bytes, out);
            self.in_flight.set(out.len());
            return Poll::Ready(true);
        }
        if self.closed.get() {
            return Poll::Ready(false);
        }
        keep(&self.waker, cx.waker());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &SendQueue, out: &mut Vec<u8>) -> Poll<bool> {
        queue.poll_take(&Context::from_waker(Waker::noop()), out)
    }

    #[test]
    fn frames_are_taken_as_one_run() {
        let (queue, mut out) = (SendQueue::new(8), Vec::new());
        assert_eq!(take(&queue, &mut out), Poll::Pending);
        assert_eq!((queue.push(b"abc"), queue.push(b"def")), (Ok(()), Ok(())));
        assert_eq!(take(&queue, &mut out), Poll::Ready(true));
        assert_eq!(out, b"abcdef");
    }

    #[test]
    fn nothing_goes_after_a_frame_that_found_no_room() {
        let (queue, mut out) = (SendQueue::new(8), Vec::new());
        assert_eq!((queue.push(b"abcdef"), queue.has_overflowed()), (Ok(()), false));
        assert_eq!((queue.push(b"ghi"), queue.has_overflowed()), (Err(Full), true));
        assert_eq!(queue.push(b"g"), Err(Full));
        assert_eq!((take(&queue, &mut out), out.as_slice()), (Poll::Ready(true), &b"abcdef"[..]));
        assert_eq!((take(&queue, &mut out), queue.push(b"g")), (Poll::Pending, Err(Full)));
    }

    #[test]
    fn what_is_in_flight_counts_against_the_bound() {
        let (queue, mut out) = (SendQueue::new(8), Vec::new());
        assert_eq!(queue.push(b"abcdef"), Ok(()));
        assert_eq!(take(&queue, &mut out), Poll::Ready(true));
        assert_eq!((queue.push(b"gh"), queue.waiting()), (Ok(()), 8));
        assert_eq!(queue.push(b"i"), Err(Full));
    }

    #[test]
    fn an_empty_queue_takes_a_frame_over_its_bound() {
        let queue = SendQueue::new(2);
        assert_eq!(queue.push(b"abcdef"), Ok(()));
        assert_eq!(queue.push(b"g"), Err(Full));
    }

    #[test]
    fn a_closed_queue_ends_after_its_rest() {
        let (queue, mut out) = (SendQueue::new(8), Vec::new());
        assert_eq!(queue.push(b"abc"), Ok(()));
        queue.close();
        assert_eq!(take(&queue, &mut out), Poll::Ready(true));
        assert_eq!(take(&queue, &mut out), Poll::Ready(false));
    }
}
