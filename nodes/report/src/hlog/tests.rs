//! Written, then read back with hdrhistogram's own parser.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use proptest::prelude::*;

use super::*;

struct Read {
    starts: Vec<Duration>,
    intervals: Vec<(u64, u64, Histogram<u64>)>,
    maxima_ms: Vec<f64>,
}

fn read(log: &[u8]) -> Read {
    let mut read = Read { starts: Vec::new(), intervals: Vec::new(), maxima_ms: Vec::new() };
    for entry in IntervalLogIterator::new(log) {
        match entry.expect("the log parses") {
            LogEntry::StartTime(at) | LogEntry::BaseTime(at) => read.starts.push(at),
            LogEntry::Interval(interval) => {
                let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
                let histogram = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                let from = u64::try_from(interval.start_timestamp().as_millis()).unwrap();
                let length = u64::try_from(interval.duration().as_millis()).unwrap();
                read.intervals.push((from, length, histogram));
                read.maxima_ms.push(interval.max());
            }
        }
    }
    read
}

fn hist(values: &[u64]) -> Hist {
    let mut hist = Hist::new();
    values.iter().for_each(|&ns| hist.record(ns));
    hist
}

fn written(windows: &[Vec<u64>], whole: &[u64]) -> (Vec<u8>, HlogGap) {
    let mut writer = HlogWriter::new(Vec::new(), 1_764_000_000_250, "a\nname").unwrap();
    for (window, from_ms) in windows.iter().zip((0..).step_by(1_000)) {
        writer.window(from_ms, from_ms + 1_000, &hist(window).to_sparse()).unwrap();
    }
    writer.finish(9_500, &hist(whole).to_sparse()).unwrap()
}

#[test]
fn each_window_is_an_interval_with_its_time_and_maximum() {
    let (log, gap) =
        written(&[vec![1_000_000, 5_000_000], vec![7_000_000]], &[1_000_000, 5_000_000, 7_000_000]);
    assert_eq!(gap, HlogGap::default());
    let read = read(&log);
    assert_eq!(read.starts, [Duration::from_millis(1_764_000_000_250); 2]);
    let spans: Vec<(u64, u64, u64)> =
        read.intervals.iter().map(|(at, len, h)| (*at, *len, h.len())).collect();
    assert_eq!(spans, [(0, 1_000, 2), (1_000, 1_000, 1)]);
    assert!((read.maxima_ms[0] - 5.0).abs() < 0.04 && (read.maxima_ms[1] - 7.0).abs() < 0.06);
}

#[test]
fn what_the_windows_lost_is_the_last_interval() {
    let (log, gap) = written(&[vec![1_000]], &[1_000, 2_000, 2_000, 3_000]);
    assert_eq!(gap, HlogGap { added: 3, surplus: 0 });
    let read = read(&log);
    let (from, length, last) = &read.intervals[1];
    assert_eq!((*from, *length, last.len()), (1_000, 8_500, 3));
}

#[test]
fn values_that_the_final_result_lacks_are_told_in_a_comment() {
    let (log, gap) = written(&[vec![1_000, 1_000]], &[1_000]);
    assert_eq!(gap, HlogGap { added: 0, surplus: 1 });
    assert!(String::from_utf8(log).unwrap().contains("#[1 values above are not in the final result"));
}

#[test]
fn a_run_without_samples_is_a_log_without_intervals() {
    let (log, _) = written(&[], &[]);
    assert!(read(&log).intervals.is_empty());
    assert!(String::from_utf8(log).unwrap().contains("#[StartTime: 1764000000.250 (seconds since epoch)]"));
}

#[test]
fn a_broken_window_is_refused_and_writes_nothing() {
    let mut writer = HlogWriter::new(Vec::new(), 0, "x").unwrap();
    let broken = SparseHist { count: 3, ..hist(&[5]).to_sparse() };
    assert!(matches!(writer.window(0, 1_000, &broken), Err(HlogError::Window(_))));
    let (log, _) = writer.finish(1_000, &hist(&[]).to_sparse()).unwrap();
    assert!(read(&log).intervals.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the windows carried of the final values, the sum of all intervals is the final histogram.
    #[test]
    fn the_sum_of_all_intervals_is_the_final_histogram(
        values in proptest::collection::vec((0_u64..=VALUE_MAX + 10, 0_u32..45, 0_usize..4), 0..200),
    ) {
        // Shifted, so that all magnitudes occur; the fourth window is lost.
        let values: Vec<(u64, usize)> =
            values.into_iter().map(|(ns, shift, window)| (ns >> shift, window)).collect();
        let whole: Vec<u64> = values.iter().map(|(ns, _)| *ns).collect();
        let windows: Vec<Vec<u64>> = (0..3)
            .map(|at| values.iter().filter(|(_, window)| *window == at).map(|(ns, _)| *ns).collect())
            .collect();
        let (log, _) = written(&windows, &whole);
        let mut sum = empty_hdr().unwrap();
        for (_, _, interval) in read(&log).intervals {
            sum.add(interval).unwrap();
        }
        let ours = hist(&whole);
        prop_assert_eq!(sum.len(), ours.count());
        for ppm in [500_000, 900_000, 990_000, 999_000, 999_900, 1_000_000] {
            let Some(expected) = ours.quantile_ppm(ppm) else { continue };
            let theirs = sum.value_at_quantile(f64::from(ppm) / 1e6);
            let (low, high) = (ours.min().unwrap(), ours.max().unwrap());
            prop_assert_eq!(theirs.clamp(low, high), if expected > VALUE_MAX { theirs.max(high) } else { expected });
        }
    }
}
