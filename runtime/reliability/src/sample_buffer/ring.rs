//! A ring of numbers between one writer that never waits and one reader that may be slow.
//!
//! Number `i` lies in place `i % N`; `head` counts those written. The writer writes over what the reader has not read
//! yet, so the reader looks twice: it copies, then reads `head` again and keeps only what cannot have been written over
//! meanwhile. Why that is right:
//!
//! 1. *What it keeps was written.* The writer stores a number, then `head` with `Release`; the reader loads `head` with
//!    `Acquire`. So of all numbers below that `head` it sees a store that is not older than theirs.
//! 2. *What it keeps was not written over.* Number `j = i + N` comes into the place of `i` after `head = j` was stored.
//!    Its store is `Release`: a copy that took `j` for `i`, the `Acquire` fence and the second load of `head` give a
//!    `head` of at least `j = i + N`, and then `i` is not kept. (With a relaxed store the hardware may show `j` before
//!    `head = j`, and the check means nothing. On x86 both are the same plain store.)
//!
//! What is not kept, and what a reader finds lapped, is counted. The model check drives this very file.

use std::cell::Cell;

use super::sync::{Arc, AtomicU32, AtomicU64, Ordering, fence};

#[derive(Debug)]
struct Ring<const N: usize> {
    /// Numbers written so far. At ten million a second it lasts for 58,000 years.
    head: AtomicU64,
    places: [AtomicU32; N],
}

impl<const N: usize> Ring<N> {
    fn place(&self, number: u64) -> Option<&AtomicU32> {
        // N is a power of two: the lowest bits are the rest, and always there.
        #[expect(clippy::cast_possible_truncation, reason = "only bits below N count")]
        self.places.get((number as usize) & N.wrapping_sub(1))
    }
}

/// A ring of N places, a power of two.
pub(super) fn ring<const N: usize>() -> (Writer<N>, Reader<N>) {
    const { assert!(N.is_power_of_two(), "places are found by the lowest bits") };
    let places = std::array::from_fn(|_| AtomicU32::new(0));
    let ring = Arc::new(Ring { head: AtomicU64::new(0), places });
    let writer = Writer { ring: Arc::clone(&ring), head: Cell::new(0) };
    (writer, Reader { ring, tail: 0, copy: Box::new([0; N]) })
}

/// Not to be cloned or shared: there is one.
#[derive(Debug)]
pub(super) struct Writer<const N: usize> {
    ring: Arc<Ring<N>>,
    /// As in the ring, where nobody else writes it.
    head: Cell<u64>,
}

impl<const N: usize> Writer<N> {
    /// Two stores.
    pub(super) fn push(&self, number: u32) {
        let head = self.head.get();
        if let Some(place) = self.ring.place(head) {
            place.store(number, Ordering::Release);
        }
        let head = head.wrapping_add(1);
        self.head.set(head);
        self.ring.head.store(head, Ordering::Release);
    }
}

#[derive(Debug)]
pub(super) struct Reader<const N: usize> {
    ring: Arc<Ring<N>>,
    /// The next number to read.
    tail: u64,
    copy: Box<[u32; N]>,
}

impl<const N: usize> Reader<N> {
    /// Gives what was written since the last time to `take`, oldest first; how many were written over unread.
    pub(super) fn drain(&mut self, mut take: impl FnMut(u32)) -> u64 {
        let (from, all) = (self.tail, N as u64);
        let head = self.ring.head.load(Ordering::Acquire);
        // Lapped: far enough ahead of the writer not to be lapped again while reading.
        let lapped = head.saturating_sub(from) > all;
        let start = if lapped { head.saturating_sub(all / 2) } else { from };
        for (number, copy) in (start..head).zip(self.copy.iter_mut()) {
            *copy = self.ring.place(number).map_or(0, |place| place.load(Ordering::Relaxed));
        }
        fence(Ordering::Acquire);
        let newer = self.ring.head.load(Ordering::Relaxed);
        // At `newer` the writer may be at work in the place of `newer - N`.
        let intact = start.max(newer.saturating_add(1).saturating_sub(all)).min(head);
        for (_, copy) in (start..head).zip(self.copy.iter()).filter(|(number, _)| *number >= intact) {
            take(*copy);
        }
        self.tail = head;
        intact.saturating_sub(from)
    }
}
