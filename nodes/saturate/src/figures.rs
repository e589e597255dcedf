//! Made-up statistics: histograms with real values, made once, and summed by weights ever after.
//!
//! A window is one of a few variants. Source `s` records variant `(k + s) mod 4` in window `k`, so that no two sources
//! are alike; anything sent is a sum of variants, each so many times, and what the gate must hold is known exactly.

use hyperscale_codec::messages::StatsColumns;
use hyperscale_codec::{Hist, NodeId, ShardId, SparseHist, StepId, bucket_high, bucket_index};

/// Windows differ in so many ways.
pub(crate) const VARIANTS: usize = 4;
/// How often each variant is in a sum.
pub(crate) type Weights = [u64; VARIANTS];

/// Bytes that one message may have, with room for what is rounded up.
const BYTES_MAX: usize = 3 << 20;
/// Sources and cells of one message.
const ROWS_MAX: usize = 4096;
/// The error kind of those that failed: `timeout`.
const TIMEOUT: u8 = 10;

/// One variant of one cell.
#[derive(Debug, Clone)]
struct Variant {
    count: u64,
    errors: u64,
    dropped: u64,
    latency: SparseHist,
}

/// What one source records.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    variants: [Variant; VARIANTS],
    steps: u16,
}

/// Whose figures, and which message of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sender {
    /// The worker, or the manager for sums of its own.
    pub(crate) node: NodeId,
    /// Its shard.
    pub(crate) shard: ShardId,
    /// Which share.
    pub(crate) epoch: u64,
    /// Which message of it.
    pub(crate) sequence: u64,
}

/// Counts that a job must end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Requests of all steps.
    pub(crate) requests: u64,
    /// Failed ones among them.
    pub(crate) errors: u64,
    /// Iterations that never started.
    pub(crate) dropped: u64,
    /// Iterations completed.
    pub(crate) iterations: u64,
    /// Bytes received.
    pub(crate) bytes_in: u64,
    /// Bytes sent.
    pub(crate) bytes_out: u64,
}

impl Figures {
    /// Cells of `steps` steps, whose latency fills so many buckets.
    #[must_use]
    pub(crate) fn new(steps: u16, buckets: u16) -> Self {
        let variant = |nth: u64| {
            let mut latency = Hist::new();
            // From 200 us up, a bucket after the other.
            let mut value = 200_000_u64;
            for bucket in 0..u64::from(buckets.max(1)) {
                for _ in 0..=(bucket * 7 + nth * 3) % 5 {
                    latency.record(value);
                }
                value = bucket_high(bucket_index(value)).saturating_add(1);
            }
            Variant {
                count: latency.count(),
                errors: nth,
                dropped: u64::from(nth == 3),
                latency: latency.to_sparse(),
            }
        };
        Self { variants: [variant(0), variant(1), variant(2), variant(3)], steps }
    }

    /// Sources of one message at most.
    #[must_use]
    pub(crate) fn sources_max(&self) -> usize {
        let cells = usize::from(self.steps) + 1;
        let buckets = self.variants.first().map_or(1, |variant| variant.latency.index.len());
        let bytes = cells * (400 + buckets * 20) + 40;
        (BYTES_MAX / bytes).clamp(1, (ROWS_MAX / cells).max(1))
    }

    /// The sum of one job's cells, for the whole of it or one source.
    #[must_use]
    pub(crate) fn counts(&self, weights: &Weights) -> Counts {
        let sum = |of: fn(&Variant) -> u64| self.sum(weights, of);
        let (count, errors, steps) = (sum(|v| v.count), sum(|v| v.errors), u64::from(self.steps));
        Counts {
            requests: count * steps,
            errors: errors * steps,
            dropped: sum(|v| v.dropped),
            iterations: count,
            bytes_in: count * steps * 256,
            bytes_out: count * steps * 64,
        }
    }

    /// Latency of all requests, as a gate must hold it.
    #[must_use]
    pub(crate) fn latency(&self, weights: &Weights) -> SparseHist {
        let steps = u64::from(self.steps);
        let mut all = SparseHist::default();
        self.hist_into(&weights.map(|weight| weight * steps), &mut all);
        all
    }

    /// The same of one step, or of all iterations.
    #[must_use]
    pub(crate) fn cell_latency(&self, weights: &Weights) -> SparseHist {
        let mut all = SparseHist::default();
        self.hist_into(weights, &mut all);
        all
    }

    /// Steps of each job.
    #[must_use]
    pub(crate) const fn steps(&self) -> u16 {
        self.steps
    }

    fn sum(&self, weights: &Weights, of: fn(&Variant) -> u64) -> u64 {
        self.variants.iter().zip(weights).map(|(variant, weight)| of(variant) * weight).sum()
    }

    fn hist_into(&self, weights: &Weights, into: &mut SparseHist) {
        let [first, ..] = &self.variants;
        into.index.clear();
        into.lo.clear();
        into.hi.clear();
        into.over = 0;
        into.count = self.sum(weights, |variant| variant.count);
        into.sum =
            self.variants.iter().zip(weights).map(|(v, weight)| v.latency.sum * u128::from(*weight)).sum();
        if into.count == 0 {
            (into.min, into.max) = (u64::MAX, 0);
            return;
        }
        (into.min, into.max) = (first.latency.min, first.latency.max);
        into.index.extend_from_slice(&first.latency.index);
        let buckets = first.latency.index.len();
        // The first is the smallest that any variant has, and a fifth of the largest: widths are equal but for that.
        let total = |bucket: usize| -> u64 {
            let of = |variant: &Variant| u64::from(variant.latency.lo.get(bucket).copied().unwrap_or(0));
            self.variants.iter().zip(weights).map(|(variant, weight)| of(variant) * weight).sum()
        };
        let wide = (0..buckets).any(|bucket| total(bucket) > u64::from(u32::MAX));
        for bucket in 0..buckets {
            let count = total(bucket);
            into.lo.push(u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0));
            if wide {
                into.hi.push(u32::try_from(count >> 32).unwrap_or(u32::MAX));
            }
        }
    }

    /// Writes the cells of these sources into `columns`, over what was there; envelope and windows stay.
    pub(crate) fn fill(&self, columns: &mut StatsColumns, sources: &[(Sender, Weights)]) {
        columns.source_worker.clear();
        columns.source_shard.clear();
        columns.source_epoch.clear();
        columns.source_sequence.clear();
        columns.source_cells.clear();
        clear_cells(columns);
        let rows = usize::from(self.steps) + 1;
        let cells = rows * sources.len();
        for hists in [&mut columns.latency, &mut columns.service] {
            hists.resize_with(cells, SparseHist::default);
        }
        for hists in [&mut columns.lateness, &mut columns.connect] {
            hists.resize_with(cells, nothing);
        }
        for (nth, (sender, weights)) in sources.iter().enumerate() {
            columns.source_worker.push(sender.node.to_bytes());
            columns.source_shard.push(sender.shard.0);
            columns.source_epoch.push(sender.epoch);
            columns.source_sequence.push(sender.sequence);
            columns.source_cells.push(self.steps + 1);
            let counts = self.counts(weights);
            let (count, errors) = (counts.iterations, self.sum(weights, |variant| variant.errors));
            for row in 0..rows {
                let cell = nth * rows + row;
                let is_workflow = row + 1 == rows;
                columns.cell_source.push(u16::try_from(nth).unwrap_or(u16::MAX));
                columns.cell_workflow.push(0);
                let step = u32::try_from(row).unwrap_or(0);
                columns.cell_step.push(if is_workflow { StepId::WORKFLOW.0 } else { step });
                columns.count.push(count);
                let of_workflow = |value: u64| if is_workflow { value } else { 0 };
                let of_step = |value: u64| if is_workflow { 0 } else { value };
                columns.errors.push(of_step(errors));
                columns.cancelled.push(0);
                columns.dropped.push(of_workflow(counts.dropped));
                columns.due.push(of_workflow(count + counts.dropped));
                columns.started.push(of_workflow(count));
                columns.late.push(0);
                columns.bytes_in.push(of_step(count * 256));
                columns.bytes_out.push(of_step(count * 64));
                columns.in_flight.push(0);
                if let Some(latency) = columns.latency.get_mut(cell) {
                    self.hist_into(weights, latency);
                }
                if let (Some(latency), Some(service)) =
                    (columns.latency.get(cell), columns.service.get_mut(cell))
                {
                    service.clone_from(latency);
                }
                let row = u16::try_from(cell).unwrap_or(u16::MAX);
                if !is_workflow && count > errors {
                    columns.status_cell.push(row);
                    columns.status_code.push(200);
                    columns.status_count.push(count - errors);
                }
                if !is_workflow && errors > 0 {
                    columns.error_cell.push(row);
                    columns.error_kind.push(TIMEOUT);
                    columns.error_count.push(errors);
                }
            }
        }
    }
}

fn nothing() -> SparseHist {
    SparseHist { min: u64::MAX, ..SparseHist::default() }
}

fn clear_cells(columns: &mut StatsColumns) {
    columns.cell_source.clear();
    columns.cell_workflow.clear();
    columns.cell_step.clear();
    for column in [
        &mut columns.count,
        &mut columns.errors,
        &mut columns.cancelled,
        &mut columns.dropped,
        &mut columns.due,
        &mut columns.started,
        &mut columns.late,
        &mut columns.bytes_in,
        &mut columns.bytes_out,
        &mut columns.in_flight,
        &mut columns.status_count,
        &mut columns.error_count,
    ] {
        column.clear();
    }
    columns.status_cell.clear();
    columns.status_code.clear();
    columns.error_cell.clear();
    columns.error_kind.clear();
}

/// What source `source` recorded, where `windows` counts the windows by their number mod [`VARIANTS`].
#[must_use]
pub(crate) fn of_source(windows: &Weights, source: usize) -> Weights {
    let mut weights = *windows;
    weights.rotate_right(source % VARIANTS);
    weights
}

/// What so many sources recorded together.
#[must_use]
pub(crate) fn of_all(windows: &Weights, sources: usize) -> Weights {
    let mut sum = [0; VARIANTS];
    for shift in 0..VARIANTS {
        // Sources with this shift.
        let alike = u64::try_from((sources + VARIANTS - 1 - shift) / VARIANTS).unwrap_or(0);
        for (total, windows) in sum.iter_mut().zip(of_source(windows, shift)) {
            *total += windows * alike;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_over_sources_is_the_sum_of_each() {
        let windows = [5, 3, 9, 2];
        for sources in 0..9 {
            let mut each = [0; VARIANTS];
            for source in 0..sources {
                for (total, weight) in each.iter_mut().zip(of_source(&windows, source)) {
                    *total += weight;
                }
            }
            assert_eq!(of_all(&windows, sources), each, "{sources}");
        }
    }

    #[test]
    fn what_is_filled_in_is_valid_and_merges_to_the_counts_told() {
        let figures = Figures::new(2, 30);
        let sender = |shard| Sender { node: NodeId(7), shard: ShardId(shard), epoch: 1, sequence: 1 };
        let windows = [3, 2, 2, 2];
        let sources: Vec<_> = (0..5).map(|at| (sender(at), of_source(&windows, usize::from(at)))).collect();
        let mut columns = StatsColumns { window_ms: 1000, ..StatsColumns::default() };
        // Twice: nothing of the first must be left.
        figures.fill(&mut columns, &sources[..2]);
        figures.fill(&mut columns, &sources);
        let (mut latency, mut requests) = (Hist::new(), 0);
        for (cell, step) in columns.cell_step.iter().enumerate() {
            for hist in [&columns.service, &columns.lateness, &columns.connect] {
                Hist::new().merge_sparse(&hist[cell]).unwrap();
            }
            if *step != StepId::WORKFLOW.0 {
                latency.merge_sparse(&columns.latency[cell]).unwrap();
                requests += columns.count[cell];
            }
        }
        let all = of_all(&windows, 5);
        assert_eq!(figures.counts(&all).requests, requests);
        assert_eq!(figures.latency(&all), latency.to_sparse());
        assert!(latency.to_sparse().index.len() == 30, "{:?}", latency.to_sparse().index);
        let checked = rkyv_check(&columns);
        assert_eq!(checked, Ok(()));
    }

    fn rkyv_check(columns: &StatsColumns) -> Result<(), String> {
        use hyperscale_codec::messages::StatsUpdate;
        use hyperscale_codec::{Encoder, Head, Limits, RawFrame};
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::request(1), &StatsUpdate(columns.clone())).unwrap();
        let (frame, mut scratch) = (RawFrame::read(&bytes, &Limits::default()).unwrap(), Vec::new());
        let update = frame.decode::<StatsUpdate>(&mut scratch).unwrap();
        update.0.check().map_err(|error| error.to_string())
    }
}
