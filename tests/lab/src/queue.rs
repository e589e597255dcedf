//! What happens next: a wheel of buckets for the near future, a heap for the rest.
//!
//! Events of one instant leave in the order they entered, so a run depends on its seed alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Nanos;

/// What an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A parcel arrives at its node.
    Arrival,
    /// A node's deadline may have come.
    Timer,
    /// A node that was busy or blocked may go on.
    Wake,
    /// A dial was given up.
    DialTimeout,
}

/// One event to come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    pub at: Nanos,
    /// Order of entering, which decides between entries of one instant.
    order: u64,
    pub node: u32,
    /// The parcel or dial it is about.
    pub slot: u32,
    pub kind: Kind,
}

/// A bucket holds 2^18 ns.
const BUCKET_BITS: u32 = 18;
/// 2^12 buckets: a turn is 1.07 s, longer than a probe interval.
const BUCKETS: usize = 1 << 12;

/// The queue.
#[derive(Debug)]
pub struct Wheel {
    buckets: Vec<Vec<Entry>>,
    /// One bit a bucket that holds something.
    occupied: Vec<u64>,
    /// The number (not index) of the bucket being emptied; `current` holds its entries, last one first.
    turn: u64,
    current: Vec<Entry>,
    far: BinaryHeap<Reverse<Entry>>,
    order: u64,
    waiting: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            buckets: vec![Vec::new(); BUCKETS],
            occupied: vec![0; BUCKETS / 64],
            turn: 0,
            current: Vec::new(),
            far: BinaryHeap::new(),
            order: 0,
            waiting: 0,
        }
    }
}

impl Wheel {
    /// Enters an event; one that lies in the past happens next.
    pub fn push(&mut self, at: Nanos, kind: Kind, node: u32, slot: u32) {
        self.order += 1;
        self.waiting += 1;
        self.place(Entry { at, order: self.order, node, slot, kind });
    }

    fn place(&mut self, entry: Entry) {
        let number = entry.at >> BUCKET_BITS;
        if number <= self.turn {
            let at = self.current.partition_point(|other| *other > entry);
            self.current.insert(at, entry);
        } else if number - self.turn < BUCKETS as u64 {
            let index = number as usize % BUCKETS;
            self.buckets[index].push(entry);
            self.occupied[index / 64] |= 1 << (index % 64);
        } else {
            self.far.push(Reverse(entry));
        }
    }

    /// When the next event is.
    pub fn next_at(&mut self) -> Option<Nanos> {
        if self.current.is_empty() {
            self.advance();
        }
        self.current.last().map(|entry| entry.at)
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<Entry> {
        if self.current.is_empty() {
            self.advance();
        }
        let entry = self.current.pop()?;
        self.waiting -= 1;
        Some(entry)
    }

    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Turns to the next bucket that holds something.
    fn advance(&mut self) {
        if self.waiting == 0 {
            return;
        }
        let near = self.next_occupied();
        let far = self.far.peek().map(|Reverse(entry)| entry.at >> BUCKET_BITS);
        let Some(turn) = near.into_iter().chain(far).min() else { return };
        self.turn = turn;
        let index = turn as usize % BUCKETS;
        if near == Some(turn) {
            self.occupied[index / 64] &= !(1 << (index % 64));
            std::mem::swap(&mut self.current, &mut self.buckets[index]);
        }
        // Everything of the heap that now lies within a turn moves over, so a bucket is whole before it is sorted.
        while let Some(Reverse(entry)) = self.far.peek() {
            if (entry.at >> BUCKET_BITS) - turn >= BUCKETS as u64 {
                break;
            }
            let Some(Reverse(entry)) = self.far.pop() else { break };
            if entry.at >> BUCKET_BITS == turn {
                self.current.push(entry);
            } else {
                self.place(entry);
            }
        }
        self.current.sort_unstable_by(|left, right| right.cmp(left));
    }

    /// The number of the next bucket after `turn` that holds something.
    fn next_occupied(&self) -> Option<u64> {
        let start = (self.turn as usize + 1) % BUCKETS;
        let words = self.occupied.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (index + BUCKETS - start) % BUCKETS;
                return Some(self.turn + 1 + ahead as u64);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn events_leave_in_the_order_of_time_and_then_of_entering() {
        let (mut wheel, mut rng) = (Wheel::default(), SmallRng::seed_from_u64(1));
        let mut waiting = std::collections::BTreeMap::new();
        let (mut now, mut slot) = (0, 0);
        for _ in 0..200_000 {
            if waiting.is_empty() || rng.random_bool(0.5) {
                let span = [0, 1_000, 300_000, 90_000_000, 40_000_000_000][rng.random_range(0..5)];
                let at = now + rng.random_range(0..=span);
                wheel.push(at, Kind::Timer, 0, slot);
                waiting.insert((at, slot), ());
                slot += 1;
            } else {
                let (&(at, first), ()) = waiting.iter().next().unwrap();
                waiting.remove(&(at, first));
                assert_eq!(wheel.next_at(), Some(at));
                let entry = wheel.pop().unwrap();
                assert_eq!((entry.at, entry.slot), (at, first));
                now = at;
            }
            assert_eq!(wheel.len(), waiting.len());
        }
    }
}
