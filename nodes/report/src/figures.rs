//! Cells to figures: totals, times, the distribution to be drawn.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::{Hist, bucket_high};
use hyperscale_stats::{Cell, CellSet};

use crate::numbers::ms;
use crate::summary::{DistributionBar, Iterations, Times, Totals};

/// Rounded to the nanosecond, so that JSON shows no noise.
pub(crate) fn rounded_ms(ns: f64) -> f64 {
    ns.round() / 1e6
}

#[allow(clippy::cast_precision_loss, reason = "a rate is shown with fewer digits than f64 has")]
pub(crate) fn rate(count: u64, duration: Duration) -> f64 {
    let seconds = duration.as_secs_f64();
    if seconds > 0.0 { (count as f64 / seconds * 1000.0).round() / 1000.0 } else { 0.0 }
}

pub(crate) fn totals(steps: &Cell, dropped: u64, duration: Duration) -> Totals {
    Totals {
        requests: steps.count,
        errors: steps.errors,
        dropped,
        cancelled: steps.cancelled,
        bytes_in: steps.bytes_in,
        bytes_out: steps.bytes_out,
        rate_per_s: rate(steps.count, duration),
        good_rate_per_s: rate(steps.count.saturating_sub(steps.errors), duration),
        late: steps.late,
    }
}

pub(crate) fn iterations(workflow: &Cell) -> Iterations {
    Iterations {
        due: workflow.due,
        started: workflow.started,
        completed: workflow.count,
        interrupted: workflow.cancelled,
        dropped: workflow.dropped,
    }
}

pub(crate) fn times(hist: &Hist) -> Times {
    let quantile = |ppm| hist.quantile_ppm(ppm).map(ms);
    Times {
        count: hist.count(),
        min: hist.min().map(ms),
        mean: hist.mean_ns().map(rounded_ms),
        stdev: hist.stdev_ns().map(rounded_ms),
        p50: quantile(500_000),
        p75: quantile(750_000),
        p90: quantile(900_000),
        p95: quantile(950_000),
        p99: quantile(990_000),
        p99_9: quantile(999_000),
        p99_99: quantile(999_900),
        max: hist.max().map(ms),
    }
}

/// Bounds of the bars within a decade, as preferred numbers (ISO 3, R10): 1-2-5 and decades are among them.
const BOUNDS: [u64; 10] = [1_000, 1_250, 1_600, 2_000, 2_500, 3_150, 4_000, 5_000, 6_300, 8_000];

/// Counts by ten bars a decade from 1 us up, from the first to the last that is not empty.
///
/// A bucket that a bound cuts counts above it, as its upper end is what percentiles show.
pub(crate) fn distribution(hist: &Hist) -> Vec<DistributionBar> {
    let mut bars: Vec<DistributionBar> = Vec::new();
    let decades = (0..12).map(|power| 10_u64.pow(power));
    let mut bounds = decades.flat_map(|decade| BOUNDS.map(|bound| bound * decade));
    let mut bound = bounds.next().unwrap_or(u64::MAX);
    let mut count = 0;
    for (index, &in_bucket) in hist.counts().iter().enumerate() {
        while bucket_high(index) > bound {
            bars.push(DistributionBar { le_ms: ms(bound), count });
            count = 0;
            bound = bounds.next().unwrap_or(u64::MAX);
        }
        count = u64::saturating_add(count, in_bucket);
    }
    // Values beyond the histogram's range lie in its last bucket.
    bars.push(DistributionBar { le_ms: ms(bound.max(hist.max().unwrap_or_default())), count });
    let last = bars.iter().rposition(|bar| bar.count > 0);
    bars.truncate(last.map_or(0, |last| last + 1));
    bars.drain(..bars.iter().take_while(|bar| bar.count == 0).count());
    bars
}

pub(crate) fn status_codes(cell: &Cell) -> BTreeMap<String, u64> {
    cell.statuses().map(|(code, count)| (code.to_string(), count)).collect()
}

pub(crate) fn errors(cell: &Cell) -> BTreeMap<String, u64> {
    cell.error_kinds().map(|(kind, count)| (kind.as_str().to_owned(), count)).collect()
}

/// Sum over the steps of several workflows.
pub(crate) fn sum_of<'a>(sets: impl IntoIterator<Item = &'a CellSet>) -> Cell {
    let mut sum = Cell::default();
    sets.into_iter().flat_map(CellSet::steps).for_each(|cell| sum.merge(cell));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_holds_every_value_once() {
        let mut hist = Hist::new();
        for ns in [900, 1_500, 70_000, 70_000, 3_000_000, 990_000_000] {
            hist.record(ns);
        }
        let bars = distribution(&hist);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), hist.count());
        assert!(bars.first().unwrap().count > 0 && bars.last().unwrap().count > 0);
        assert_eq!(bars.first().unwrap(), &DistributionBar { le_ms: 0.001, count: 1 });
        assert_eq!(bars.last().unwrap(), &DistributionBar { le_ms: 1000.0, count: 1 });
        assert!(bars.windows(2).all(|pair| pair[0].le_ms < pair[1].le_ms));
    }

    #[test]
    fn without_samples_there_is_nothing_to_show() {
        assert_eq!(times(&Hist::new()), Times::default());
        assert!(distribution(&Hist::new()).is_empty());
    }
}
