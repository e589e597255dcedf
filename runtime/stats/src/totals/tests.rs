use hdrhistogram::Histogram;
use hyperscale_codec::messages::{ErrorKind, StatsColumns, StatsSnapshot};
use hyperscale_codec::{Encoder, Epoch, FrameReader, Head, JobId, Limits, ShardId, VALUE_MAX};
use proptest::prelude::*;

use super::*;
use crate::ColumnsBuilder;

fn source(shard: u16) -> Source {
    Source { worker: NodeId(9), shard: ShardId(shard), epoch: Epoch(1) }
}

fn cells(latencies: &[u64]) -> CellSet {
    let mut cells = CellSet::new(2);
    for &ns in latencies {
        let cell = cells.step_mut(usize::try_from(ns % 2).unwrap());
        cell.count += 1;
        cell.latency.record(ns);
        cell.record_status(if ns % 3 == 0 { 500 } else { 200 });
        if ns % 3 == 0 {
            cell.record_error(ErrorKind::Http5xx);
        }
    }
    cells.workflow_mut().count += 1;
    cells
}

fn columns(shard: u16, sequence: u64, cells: &CellSet) -> StatsColumns {
    let mut builder = ColumnsBuilder::new(JobId(1), 1, 0, 0, 1000);
    builder.push(source(shard), Sequence(sequence), WorkflowId(0), cells);
    builder.build().pop().unwrap()
}

/// Through the wire, as a receiver meets it.
fn arrived(columns: StatsColumns, see: impl FnOnce(&ArchivedStatsColumns)) {
    let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
    encoder.append(&mut bytes, Head::default(), &StatsSnapshot(columns)).unwrap();
    let mut reader = FrameReader::default();
    reader.feed(&bytes);
    let mut scratch = Vec::new();
    let frame = reader.next(&Limits::default()).unwrap().unwrap();
    let body = &frame.decode::<StatsSnapshot>(&mut scratch).unwrap().0;
    body.check().unwrap();
    see(body);
}

fn snapshot(totals: &mut Totals, shard: u16, sequence: u64, cells: &CellSet) -> Taken {
    let mut became = Taken::Gap;
    arrived(columns(shard, sequence, cells), |body| {
        totals.take_snapshot(body, false, |_, _, taken| became = taken).unwrap();
    });
    became
}

fn delta(totals: &mut Totals, shard: u16, sequence: u64, cells: &CellSet) -> Taken {
    let mut became = Taken::Gap;
    arrived(columns(shard, sequence, cells), |body| {
        totals.take_delta(body, |_, _, taken| became = taken).unwrap();
    });
    became
}

#[test]
fn a_repeated_or_older_snapshot_changes_nothing() {
    let mut totals = Totals::new(vec![2]);
    assert_eq!(snapshot(&mut totals, 0, 2, &cells(&[10, 20, 30])), Taken::Fresh);
    assert_eq!(snapshot(&mut totals, 0, 2, &cells(&[10, 20, 30])), Taken::Known);
    assert_eq!(snapshot(&mut totals, 0, 1, &cells(&[10])), Taken::Known);
    assert_eq!(totals.sum(WorkflowId(0)), cells(&[10, 20, 30]));
}

#[test]
fn a_closed_total_holds_nothing_and_takes_nothing() {
    let mut totals = Totals::new(vec![2]);
    assert_eq!(snapshot(&mut totals, 0, 2, &cells(&[10, 20, 30])), Taken::Fresh);
    totals.close();
    assert_eq!(totals.rows().count(), 0);
    // Of who told before, of somebody new, and of nothing at all.
    assert_eq!(snapshot(&mut totals, 0, 3, &cells(&[10, 20, 30, 40])), Taken::Known);
    assert_eq!(snapshot(&mut totals, 1, 1, &cells(&[10])), Taken::Known);
    assert_eq!(delta(&mut totals, 2, 1, &cells(&[10])), Taken::Known);
    assert_eq!(totals.rows().count(), 0);
}

#[test]
fn a_delta_counts_only_when_it_comes_next() {
    let mut totals = Totals::new(vec![2]);
    assert_eq!(delta(&mut totals, 0, 1, &cells(&[10])), Taken::Fresh);
    assert_eq!(delta(&mut totals, 0, 3, &cells(&[30])), Taken::Gap);
    assert_eq!(delta(&mut totals, 0, 1, &cells(&[10])), Taken::Known);
    assert_eq!(totals.sum(WorkflowId(0)), cells(&[10]));
}

#[test]
fn after_a_final_nothing_of_its_epoch_counts() {
    let mut totals = Totals::new(vec![2]);
    arrived(columns(0, 5, &cells(&[1, 2])), |body| {
        totals.take_snapshot(body, true, |_, _, taken| assert_eq!(taken, Taken::Fresh)).unwrap();
    });
    assert!(totals.has_final(source(0).worker, source(0).epoch));
    assert_eq!(snapshot(&mut totals, 0, 9, &cells(&[1, 2, 3])), Taken::Known);
    assert_eq!(delta(&mut totals, 0, 6, &cells(&[3])), Taken::Known);
}

#[test]
fn a_source_that_has_recorded_nothing_yet_counts_for_its_own_workflow_from_then_on() {
    let mut totals = Totals::new(vec![2, 2]);
    let mut told = |sequence, is_final: Option<bool>, cells: &CellSet| {
        let mut builder = ColumnsBuilder::new(JobId(1), 1, 0, 0, 1000);
        builder.push(source(0), Sequence(sequence), WorkflowId(1), cells);
        arrived(builder.build().pop().unwrap(), |body| {
            let each = |_, _, taken| assert_eq!(taken, Taken::Fresh);
            match is_final {
                Some(is_final) => totals.take_snapshot(body, is_final, each).unwrap(),
                None => totals.take_delta(body, each).unwrap(),
            }
        });
    };
    told(1, None, &CellSet::new(2));
    told(2, None, &cells(&[10]));
    told(3, Some(false), &cells(&[10]));
    told(4, Some(true), &cells(&[10, 21]));
    assert_eq!(totals.sum(WorkflowId(1)), cells(&[10, 21]));
    assert!(totals.sum(WorkflowId(0)).is_empty());
}

#[test]
fn a_source_without_any_cell_is_not_taken_for_one_of_the_first_workflow() {
    let mut totals = Totals::new(vec![2, 2]);
    let nothing = columns(0, 1, &CellSet::new(2));
    let mut bare = StatsColumns { job: nothing.job, window_ms: 1000, ..StatsColumns::default() };
    (bare.source_worker, bare.source_shard) = (nothing.source_worker, nothing.source_shard);
    (bare.source_epoch, bare.source_sequence) = (nothing.source_epoch, nothing.source_sequence);
    bare.source_cells = vec![0];
    assert_eq!(take(&mut totals, &bare, true), Taken::Part);
    assert_eq!((totals.rows().count(), totals.finals_of(source(0).worker)), (0, 0));
}

#[test]
fn a_sender_cannot_name_ever_new_sources() {
    let mut totals = Totals::new(vec![2]);
    let mut told = columns(0, 1, &CellSet::new(2));
    let at_once = 4096_usize;
    for column in [&mut told.source_epoch, &mut told.source_sequence] {
        column.resize(at_once, 1);
    }
    told.source_worker.resize(at_once, told.source_worker[0]);
    told.source_shard.resize(at_once, 0);
    // Each waits for a second cell, which never comes.
    told.source_cells = vec![2; at_once];
    let one = told.clone();
    for column in [&mut told.cell_workflow, &mut told.cell_step] {
        column.resize(at_once, column[0]);
    }
    told.cell_source = (0..at_once).map(|at| u16::try_from(at).unwrap()).collect();
    for column in [
        &mut told.count,
        &mut told.errors,
        &mut told.cancelled,
        &mut told.dropped,
        &mut told.due,
        &mut told.started,
        &mut told.late,
        &mut told.bytes_in,
        &mut told.bytes_out,
        &mut told.in_flight,
    ] {
        column.resize(at_once, 0);
    }
    for column in [&mut told.latency, &mut told.service, &mut told.lateness, &mut told.connect] {
        column.resize(at_once, column[0].clone());
    }
    let mut epoch = 0;
    let mut next = || {
        let mut told = told.clone();
        told.source_epoch.iter_mut().for_each(|of| (epoch, *of) = (epoch + 1, epoch));
        told
    };
    for _ in 0..SOURCES_MAX / at_once {
        take(&mut totals, &next(), false);
    }
    arrived(next(), |body| {
        let refused = totals.take_snapshot(body, false, |_, _, _| {});
        assert_eq!(refused, Err(MergeError::TooManySources(SOURCES_MAX)));
    });
    // One that is known goes on.
    let mut known = one;
    known.source_epoch[0] = 7;
    take(&mut totals, &known, false);
}

#[test]
fn a_row_that_the_plan_does_not_have_is_refused() {
    let mut totals = Totals::new(vec![1]);
    arrived(columns(0, 1, &cells(&[1])), |body| {
        let refused = totals.take_snapshot(body, false, |_, _, _| {});
        assert_eq!(refused, Err(MergeError::NoSuchRow { workflow: 0, step: 1 }));
    });
    assert_eq!(totals.rows().count(), 0);
}

/// The messages of a snapshot that is cut wherever `cuts` says so: each cell goes into the message of its cut.
fn pieces(shard: u16, sequence: u64, cells: &CellSet, cuts: &[usize; 3]) -> Vec<StatsColumns> {
    let filled = u16::try_from(cells.cells().filter(|(_, cell)| !cell.is_empty()).count()).unwrap();
    let mut messages = Vec::new();
    for message in 0..3 {
        let mut some = CellSet::new(2);
        for ((step, cell), _) in cells.cells().zip(cuts).filter(|(_, cut)| **cut == message) {
            some.cell_mut(step).unwrap().merge(cell);
        }
        if !some.is_empty() {
            let mut columns = columns(shard, sequence, &some);
            columns.source_cells = vec![filled];
            messages.push(columns);
        }
    }
    messages
}

fn take(totals: &mut Totals, message: &StatsColumns, is_final: bool) -> Taken {
    let mut became = Taken::Gap;
    arrived(message.clone(), |body| {
        totals.take_snapshot(body, is_final, |_, _, taken| became = taken).unwrap();
    });
    became
}

#[test]
fn half_a_snapshot_changes_nothing_until_the_rest_comes() {
    let mut totals = Totals::new(vec![2]);
    let (first, second) = (cells(&[10, 21]), cells(&[10, 21, 33, 44]));
    snapshot(&mut totals, 0, 1, &first);
    let parts = pieces(0, 2, &second, &[0, 1, 2]);
    assert_eq!(take(&mut totals, &parts[0], false), Taken::Part);
    assert_eq!(take(&mut totals, &parts[2], false), Taken::Part);
    assert_eq!(take(&mut totals, &parts[2], false), Taken::Part);
    assert_eq!(totals.sum(WorkflowId(0)), first);
    assert_eq!(take(&mut totals, &parts[1], false), Taken::Fresh);
    assert_eq!(totals.sum(WorkflowId(0)), second);
    assert_eq!(take(&mut totals, &parts[0], false), Taken::Known);
}

#[test]
fn a_final_is_held_only_when_all_of_it_has_come() {
    let mut totals = Totals::new(vec![2]);
    let all = cells(&[10, 21, 33]);
    let parts = pieces(0, 7, &all, &[0, 0, 1]);
    assert_eq!(take(&mut totals, &parts[0], true), Taken::Part);
    assert!(!totals.has_final(NodeId(9), Epoch(1)));
    // A later snapshot cannot take the place of a final that waits.
    assert_eq!(snapshot(&mut totals, 0, 8, &cells(&[10])), Taken::Fresh);
    assert_eq!(take(&mut totals, &parts[1], true), Taken::Fresh);
    assert!(totals.has_final(NodeId(9), Epoch(1)));
    assert_eq!(totals.sum(WorkflowId(0)), all);
}

#[test]
fn a_delta_in_several_messages_is_added_once_and_whole() {
    let mut totals = Totals::new(vec![2]);
    let (first, second) = (cells(&[10, 21]), cells(&[33, 44]));
    delta(&mut totals, 0, 1, &first);
    let parts = pieces(0, 2, &second, &[0, 1, 1]);
    for (part, want) in [(0, Taken::Part), (0, Taken::Part), (1, Taken::Fresh), (1, Taken::Known)] {
        arrived(parts[part].clone(), |body| {
            totals.take_delta(body, |_, _, taken| assert_eq!(taken, want)).unwrap();
        });
    }
    let mut both = first;
    both.advance(&second);
    assert_eq!(totals.sum(WorkflowId(0)), both);
}

#[test]
fn a_cell_of_another_workflow_than_its_source_s_is_refused() {
    let mut totals = Totals::new(vec![2, 2]);
    let mut mixed = columns(0, 1, &cells(&[10, 21]));
    mixed.cell_workflow[1] = 1;
    arrived(mixed, |body| {
        let refused = totals.take_snapshot(body, false, |_, _, _| {});
        assert_eq!(refused, Err(MergeError::NoSuchRow { workflow: 1, step: 1 }));
    });
}

proptest! {
    // Each case carries dozens of messages over the wire.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Snapshots of two shards, each cut at will; pieces are lost, repeated and reordered, the last ones resent.
    #[test]
    fn any_split_loss_repeat_and_reorder_ends_in_the_same_total(
        recorded in prop::collection::vec((0..2_u16, 1..1_000_000_u64, [0..3_usize, 0..3, 0..3]), 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        resend in any::<prop::sample::Index>(),
        finals in any::<bool>(),
    ) {
        let (mut totals, mut so_far) = (Totals::new(vec![2]), [vec![], vec![]]);
        let (mut messages, mut last) = (Vec::new(), [vec![], vec![]]);
        let mut want = [CellSet::new(2), CellSet::new(2)];
        for (n, (shard, ns, cuts)) in recorded.iter().enumerate() {
            let at = usize::from(*shard);
            so_far[at].push(*ns);
            want[at] = cells(&so_far[at]);
            last[at] = pieces(*shard, n as u64 + 1, &want[at], cuts);
            messages.extend(last[at].iter().cloned());
        }
        for pick in &order {
            take(&mut totals, pick.get(&messages), false);
        }
        for mut resent in last {
            if !resent.is_empty() {
                let first = resend.index(resent.len());
                resent.rotate_left(first);
            }
            for message in &resent {
                take(&mut totals, message, finals);
            }
        }
        let [mut sum, other] = want;
        sum.merge(&other);
        prop_assert_eq!(totals.sum(WorkflowId(0)), sum);
        prop_assert!(totals.parts.is_empty(), "something waits for what will not come");
    }

    /// However many deltas follow each other, with snapshots between them or none, the total is what was recorded; what
    /// is in flight is what the last one told.
    #[test]
    fn deltas_and_snapshots_of_any_number_end_in_what_was_recorded(
        recorded in prop::collection::vec((prop::collection::vec(1..1_000_000_u64, 0..4), 0..100_u64, 0..20_u8), 1..70),
    ) {
        let (mut totals, mut whole) = (Totals::new(vec![2]), CellSet::new(2));
        for (n, (times, in_flight, kind)) in recorded.iter().enumerate() {
            let mut window = cells(times);
            window.step_mut(0).in_flight = *in_flight;
            whole.advance(&window);
            let sequence = n as u64 + 1;
            let taken = match kind {
                0 => snapshot(&mut totals, 0, sequence, &whole),
                _ => delta(&mut totals, 0, sequence, &window),
            };
            prop_assert_eq!(taken, Taken::Fresh);
        }
        prop_assert_eq!(totals.sum(WorkflowId(0)), whole.clone());
        let requests: u64 = whole.steps().iter().map(|cell| cell.count).sum();
        prop_assert_eq!(totals.requests_of(source(0).worker), requests);
        // And as a manager tells them to its gate.
        let mut builder = ColumnsBuilder::new(JobId(1), 1, 0, 0, 1000);
        totals.rows().for_each(|held| builder.push_sparse(held.source, held.sequence, held.workflow, held.cells));
        let mut above = Totals::new(vec![2]);
        for message in builder.build() {
            prop_assert_eq!(take(&mut above, &message, false), Taken::Fresh);
        }
        prop_assert_eq!(above.sum(WorkflowId(0)), whole);
    }

    /// What each shard recorded travels in its own message; the sum's percentiles are those of all samples together.
    #[test]
    fn percentiles_over_shards_equal_hdrhistogram_s_on_all_samples(
        shards in prop::collection::vec(prop::collection::vec(1..VALUE_MAX, 0..60), 1..6),
    ) {
        let mut totals = Totals::new(vec![2]);
        let mut oracle = Histogram::<u64>::new_with_bounds(1, VALUE_MAX, 2).unwrap();
        for (shard, samples) in (0..).zip(&shards) {
            let mut set = CellSet::new(2);
            for &ns in samples {
                set.step_mut(0).count += 1;
                set.step_mut(0).latency.record(ns);
                oracle.record(ns).unwrap();
            }
            snapshot(&mut totals, shard, 1, &set);
        }
        let mut samples = shards.concat();
        samples.sort_unstable();
        let sum = totals.sum(WorkflowId(0));
        let latency = &sum.steps()[0].latency;
        prop_assert_eq!(latency.count(), samples.len() as u64);
        let (Some(min), Some(max)) = (latency.min(), latency.max()) else { return Ok(()) };
        for ppm in [1_u32, 500_000, 900_000, 990_000, 999_000, 1_000_000] {
            let got = latency.quantile_ppm(ppm).unwrap();
            prop_assert_eq!(got, oracle.value_at_quantile(f64::from(ppm) / 1e6).clamp(min, max), "{} ppm", ppm);
            let rank = (samples.len() as u64 * u64::from(ppm)).div_ceil(1_000_000).max(1);
            let truth = samples[usize::try_from(rank - 1).unwrap()];
            prop_assert!(got >= truth && got - truth <= truth / 128, "{} for {}", got, truth);
        }
    }

}

proptest! {
    /// Snapshots of three shards, lost, repeated and reordered at will; the last ones arrive in the end.
    #[test]
    fn any_loss_repeat_and_reorder_ends_in_the_same_total(
        recorded in prop::collection::vec((0..3_u16, 1..1_000_000_u64), 1..60),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
    ) {
        let mut whole = Totals::new(vec![2]);
        let mut messages = Vec::new();
        let mut so_far = [vec![], vec![], vec![]];
        for (n, &(shard, ns)) in recorded.iter().enumerate() {
            so_far[usize::from(shard)].push(ns);
            messages.push((shard, n as u64 + 1, cells(&so_far[usize::from(shard)])));
        }
        for pick in &order {
            let (shard, sequence, cells) = pick.get(&messages);
            snapshot(&mut whole, *shard, *sequence, cells);
        }
        let mut want = CellSet::new(2);
        for shard in 0..3_u16 {
            if let Some((_, sequence, last)) = messages.iter().rev().find(|(of, _, _)| *of == shard) {
                snapshot(&mut whole, shard, *sequence, last);
                want.merge(last);
            }
        }
        prop_assert_eq!(whole.sum(WorkflowId(0)), want);
    }
}
