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
            closed: Cell::new(false),
            closing: Notify::default(),
            waker: RefCell::default(),
        }
    }

    /// Bytes that were queued and are not sent.
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.borrow().len().saturating_add(self.in_flight.get())
    }

    /// Queues a frame. An empty queue takes any.
    pub(crate) fn push(&self, frame: &[u8]) -> Result<(), Full> {
        let waiting = self.waiting();
        let mut bytes = self.bytes.borrow_mut();
        if waiting > 0 && waiting.saturating_add(frame.len()) > self.max {
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
    fn what_is_in_flight_counts_against_the_bound() {
        let (queue, mut out) = (SendQueue::new(8), Vec::new());
        assert_eq!(queue.push(b"abcdef"), Ok(()));
        assert_eq!(take(&queue, &mut out), Poll::Ready(true));
        assert_eq!(queue.push(b"ghi"), Err(Full));
        assert_eq!(queue.push(b"gh"), Ok(()));
        assert_eq!(queue.waiting(), 8);
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
