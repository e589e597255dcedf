//! How a shard tells its node's overload detector what requests took, without ever waiting for it (18-3, C-3).
//!
//! One writer, one reader, a fixed ring. What a slow reader misses is counted as skipped; what is right about the ring
//! is argued in `ring.rs` and checked there over the orders that two threads can come in.

use std::time::Duration;

/// The atomics of the ring. Its model check has others in their place.
mod sync {
    pub(super) use std::sync::Arc;
    pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}
mod ring;

/// Samples that wait for the reader; older ones are written over.
pub const SAMPLES_MAX: usize = 4096;

/// A buffer's two ends. Nothing is allocated after this.
#[must_use]
pub fn sample_buffer() -> (SampleWriter, SampleReader) {
    let (writer, reader) = ring::ring();
    (SampleWriter(writer), SampleReader(reader))
}

/// A shard's end. It can be moved to its thread, but neither cloned nor shared.
#[derive(Debug)]
pub struct SampleWriter(ring::Writer<SAMPLES_MAX>);

impl SampleWriter {
    /// Adds what one request took; over 71 minutes is taken for that.
    pub fn record(&self, took: Duration) {
        // In 64 bits: `Duration::as_micros` divides 128.
        let us = took.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(took.subsec_micros()));
        self.record_us(u32::try_from(us).unwrap_or(u32::MAX));
    }

    /// As [`Self::record`], in microseconds.
    pub fn record_us(&self, took_us: u32) {
        self.0.push(took_us);
    }
}

/// The detector's end.
#[derive(Debug)]
pub struct SampleReader(ring::Reader<SAMPLES_MAX>);

impl SampleReader {
    /// Takes out what came since the last time.
    pub fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        drained.skipped = self.0.drain(|took_us| {
            drained.count = drained.count.saturating_add(1);
            drained.sum_us = drained.sum_us.saturating_add(u64::from(took_us));
        });
        drained
    }
}

/// What was taken out of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Samples read.
    pub count: u64,
    /// Their sum.
    pub sum_us: u64,
    /// Samples that were written over before they could be read.
    pub skipped: u64,
}

impl Drained {
    /// With what another buffer held.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum_us: self.sum_us.saturating_add(other.sum_us),
            skipped: self.skipped.saturating_add(other.skipped),
        }
    }

    /// The mean of the samples read, if there were any: the detector's input for this tick.
    #[must_use]
    pub fn mean_ms(self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no last digits")]
        let mean = self.sum_us as f64 / self.count as f64 / 1_000.0;
        (self.count > 0).then_some(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_once() {
        let (writer, mut reader) = sample_buffer();
        assert_eq!((reader.drain(), reader.drain().mean_ms()), (Drained::default(), None));
        writer.record(Duration::from_millis(3));
        writer.record_us(1_000);
        let drained = reader.drain();
        assert_eq!(drained, Drained { count: 2, sum_us: 4_000, skipped: 0 });
        assert_eq!(drained.mean_ms(), Some(2.0));
        assert_eq!(reader.drain(), Drained::default());
        writer.record(Duration::MAX);
        assert_eq!(reader.drain().sum_us, u64::from(u32::MAX));
    }

    #[test]
    fn a_reader_that_was_lapped_takes_the_newer_half_and_counts_the_rest() {
        let (writer, mut reader) = sample_buffer();
        for sample in 0..10_000 {
            writer.record_us(sample);
        }
        let sum_us = (7_952..10_000).sum();
        assert_eq!(reader.drain(), Drained { count: 2_048, sum_us, skipped: 7_952 });
    }

    #[test]
    fn of_a_ring_that_is_just_full_only_the_sample_in_the_writers_way_is_skipped() {
        let (writer, mut reader) = sample_buffer();
        for sample in 0..4_096 {
            writer.record_us(sample);
        }
        assert_eq!(reader.drain(), Drained { count: 4_095, sum_us: (1..4_096).sum(), skipped: 1 });
    }

    #[test]
    fn two_threads_lose_nothing_uncounted() {
        let (writer, mut reader) = sample_buffer();
        let samples = 300_000_u32;
        let writing = std::thread::scope(|scope| {
            let writing = scope.spawn(move || (0..samples).for_each(|sample| writer.record_us(sample)));
            let mut all = Drained::default();
            while !writing.is_finished() {
                all = all.and(reader.drain());
            }
            all.and(reader.drain())
        });
        assert_eq!(writing.count + writing.skipped, u64::from(samples));
    }

    #[test]
    fn a_writer_can_move_to_its_thread() {
        fn is_send<T: Send>(_: &T) {}
        let (writer, reader) = sample_buffer();
        is_send(&writer);
        is_send(&reader);
    }
}
