use hyperscale_codec::messages::{ErrorKind, StatsColumns, StatsSnapshot};
use hyperscale_codec::{Encoder, Epoch, FrameReader, Head, JobId, Limits, ShardId};
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
fn a_row_that_the_plan_does_not_have_is_refused() {
    let mut totals = Totals::new(vec![1]);
    arrived(columns(0, 1, &cells(&[1])), |body| {
        let refused = totals.take_snapshot(body, false, |_, _, _| {});
        assert_eq!(refused, Err(MergeError::NoSuchRow { workflow: 0, step: 1 }));
    });
    assert_eq!(totals.rows().count(), 0);
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
