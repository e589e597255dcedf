//! The HdrHistogram interval log (`--hlog`): one interval a window, readable by the standard tools.
//!
//! In: the job's windows as they come, then its final histogram. Windows are for views and may be lost on the way;
//! so the last interval is the difference between the final histogram and the sum of the windows, and the sum of all
//! intervals is exact. Values are ns, in the same buckets as ours. Bounds: one histogram, whatever the run's length.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError};
use hdrhistogram::serialization::{V2DeflateSerializeError, V2DeflateSerializer};
use hdrhistogram::{CreationError, Histogram, RecordError};
use hyperscale_codec::{Hist, HistError, SparseHist, VALUE_MAX, bucket_high};

/// The column of maxima is in ms, as Java's writer has it by default.
const NS_PER_MS: f64 = 1e6;
/// Two digits give exactly our buckets.
const DIGITS: u8 = 2;

/// Why the log could not be written.
#[derive(Debug, thiserror::Error)]
pub enum HlogError {
    #[error("a window's histogram does not hold together")]
    Window(#[from] HistError),
    #[error("making a histogram of 1 ns to 2^44 - 1 ns")]
    Create(#[from] CreationError),
    #[error("a bucket lies outside the histogram")]
    Record(#[from] RecordError),
    #[error("encoding an interval")]
    Encode(V2DeflateSerializeError),
    #[error("writing the histogram log")]
    Write(#[from] std::io::Error),
}

impl From<IntervalLogWriterError<V2DeflateSerializeError>> for HlogError {
    fn from(error: IntervalLogWriterError<V2DeflateSerializeError>) -> Self {
        match error {
            IntervalLogWriterError::SerializeError(source) => Self::Encode(source),
            IntervalLogWriterError::IoError(source) => Self::Write(source),
        }
    }
}

/// How far the windows were from the final histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HlogGap {
    /// Values that no window carried; they are in the last interval.
    pub added: u64,
    /// Values in windows that the final result lacks, as after the loss of a worker; a log cannot take them back.
    pub surplus: u64,
}

/// Writes the log, interval by interval.
pub struct HlogWriter<W> {
    out: W,
    serializer: V2DeflateSerializer,
    seen: Hist,
    ended_at_ms: u64,
}

impl<W: Write> HlogWriter<W> {
    /// Writes the head. `started_unix_ms` is the job's start; intervals count from it.
    ///
    /// # Errors
    /// [`HlogError::Write`].
    pub fn new(mut out: W, started_unix_ms: u64, name: &str) -> Result<Self, HlogError> {
        let start = UNIX_EPOCH + Duration::from_millis(started_unix_ms);
        let mut serializer = V2DeflateSerializer::new();
        // A name with line ends would become lines of its own, and the reader would take them for intervals.
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        IntervalLogWriterBuilder::new()
            .add_comment(&format!("[Latency of {name} in ns, from due to the end of the answer]"))
            .add_comment("[Histogram log format version 1.3]")
            .with_start_time(start)
            .with_base_time(start)
            .with_max_value_divisor(NS_PER_MS)
            .begin_log_with(&mut out, &mut serializer)?;
        out.write_all(
            b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        )?;
        Ok(Self { out, serializer, seen: Hist::new(), ended_at_ms: 0 })
    }

    /// Writes a window, from and to in ms since the job's start.
    ///
    /// # Errors
    /// [`HlogError`]; of a window that does not hold together nothing was written.
    pub fn window(&mut self, from_ms: u64, to_ms: u64, latency: &SparseHist) -> Result<(), HlogError> {
        let mut window = Hist::new();
        window.merge_sparse(latency)?;
        self.seen.merge_sparse(latency)?;
        self.ended_at_ms = self.ended_at_ms.max(to_ms);
        self.interval(from_ms, to_ms, &to_hdr(&window)?)
    }

    /// Writes what the windows lacked, and gives back the sink.
    ///
    /// # Errors
    /// [`HlogError`].
    pub fn finish(mut self, duration_ms: u64, latency: &SparseHist) -> Result<(W, HlogGap), HlogError> {
        let mut whole = Hist::new();
        whole.merge_sparse(latency)?;
        let mut gap = HlogGap::default();
        let mut rest = empty_hdr()?;
        for (index, (&all, &seen)) in whole.counts().iter().zip(self.seen.counts()).enumerate() {
            gap.surplus += seen.saturating_sub(all);
            let lacking = all.saturating_sub(seen);
            if lacking > 0 {
                gap.added += lacking;
                rest.record_n(bucket_high(index), lacking)?;
            }
        }
        if gap.added > 0 {
            let text = format!("#[The next interval holds {} values that no window carried]", gap.added);
            writeln!(self.out, "{text}")?;
            self.interval(self.ended_at_ms, duration_ms.max(self.ended_at_ms), &rest)?;
        }
        if gap.surplus > 0 {
            let text =
                format!("#[{} values above are not in the final result: their worker was lost]", gap.surplus);
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()?;
        Ok((self.out, gap))
    }

    fn interval(&mut self, from_ms: u64, to_ms: u64, histogram: &Histogram<u64>) -> Result<(), HlogError> {
        let from = Duration::from_millis(from_ms);
        let length = Duration::from_millis(to_ms.saturating_sub(from_ms));
        // A writer without headers writes nothing at its beginning, except for the divisor's comment.
        let mut line = Vec::new();
        IntervalLogWriterBuilder::new()
            .with_max_value_divisor(NS_PER_MS)
            .begin_log_with(&mut line, &mut self.serializer)?
            .write_histogram(histogram, from, length, None)?;
        let interval = line.split_inclusive(|&byte| byte == b'\n').filter(|text| !text.starts_with(b"#"));
        for text in interval {
            self.out.write_all(text)?;
        }
        Ok(())
    }
}

impl<W> std::fmt::Debug for HlogWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HlogWriter").field("ended_at_ms", &self.ended_at_ms).finish_non_exhaustive()
    }
}

fn empty_hdr() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, VALUE_MAX, DIGITS)
}

/// The same counts in hdrhistogram's form: every bucket of ours is one of its.
pub(crate) fn to_hdr(hist: &Hist) -> Result<Histogram<u64>, HlogError> {
    let mut hdr = empty_hdr()?;
    for (index, &count) in hist.counts().iter().enumerate().filter(|&(_, &count)| count > 0) {
        hdr.record_n(bucket_high(index), count)?;
    }
    Ok(hdr)
}

#[cfg(test)]
mod tests;
