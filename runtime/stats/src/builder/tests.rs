use hyperscale_codec::messages::{ErrorKind, StatsFinal};
use hyperscale_codec::{Encoder, Epoch, Head, Limits, NodeId, RawFrame, ShardId, bucket_low};

use super::*;
use crate::{Taken, Totals};

fn source(shard: u16) -> Source {
    Source { worker: NodeId(9), shard: ShardId(shard), epoch: Epoch(1) }
}

/// A set whose steps have so many buckets in three of their histograms.
fn cells(steps: usize, buckets: usize) -> CellSet {
    let mut cells = CellSet::new(steps);
    for step in 0..steps {
        let cell = cells.step_mut(step);
        for ns in (0..buckets).map(bucket_low) {
            cell.count += 1;
            cell.latency.record(ns);
            cell.service.record(ns);
            cell.lateness.record(ns);
            cell.record_status(u16::try_from(100 + ns % 900).unwrap());
        }
        cell.record_error(ErrorKind::Timeout);
    }
    cells
}

fn builder() -> ColumnsBuilder {
    ColumnsBuilder::new(JobId(1), 1, 4, 4, 1000)
}

fn encoded(columns: &StatsColumns) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::default().append(&mut bytes, Head::default(), &StatsFinal(columns.clone())).unwrap();
    bytes
}

/// What a receiver holds after all messages, which must pass its checks.
fn received(messages: &[StatsColumns], steps: usize) -> Totals {
    let mut totals = Totals::new(vec![steps]);
    for columns in messages {
        let (bytes, mut scratch) = (encoded(columns), Vec::new());
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        let body = &frame.decode::<StatsFinal>(&mut scratch).unwrap().0;
        body.check().unwrap();
        totals.take_snapshot(body, true, |_, _, taken| assert_ne!(taken, Taken::Known)).unwrap();
    }
    totals
}

#[test]
fn the_bytes_of_a_message_are_known_before_it_is_encoded() {
    for (steps, buckets) in [(0, 0), (1, 0), (1, 1), (3, 700)] {
        let mut builder = builder();
        let mut set = cells(steps, buckets);
        set.workflow_mut().count += 1;
        builder.push(source(0), Sequence(1), WorkflowId(0), &set);
        builder.push(source(1), Sequence(1), WorkflowId(0), &set);
        let told = builder.bytes;
        let columns = builder.build().pop().unwrap();
        let bytes = encoded(&columns);
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        assert_eq!(frame.core().len(), told, "{steps} steps of {buckets} buckets");
    }
}

#[test]
fn sources_that_fit_a_message_are_not_cut() {
    // 1.4 MB each: two fit.
    let set = cells(20, 4_000);
    let mut builder = builder();
    (0..5).for_each(|shard| builder.push(source(shard), Sequence(3), WorkflowId(0), &set));
    let messages = builder.build();
    let shards: Vec<&[u16]> = messages.iter().map(|columns| columns.source_shard.as_slice()).collect();
    assert_eq!(shards, [&[0, 1][..], &[2, 3], &[4]]);
    assert_eq!(messages.iter().map(|columns| columns.more).collect::<Vec<_>>(), [true, true, false]);
    let totals = received(&messages, 20);
    assert!(totals.rows().all(|held| held.is_final && held.sequence == Sequence(3)));
    for shard in 0..5 {
        assert_eq!(totals.sum_where(WorkflowId(0), |of| of == source(shard)), set);
    }
    assert_eq!(totals.rows().count(), 5);
}

#[test]
fn a_source_longer_than_a_message_is_cut_between_cells_and_arrives_whole() {
    // A plan of so many steps with full histograms: 7 MB.
    let set = cells(100, 4_000);
    let mut builder = builder();
    builder.push(source(0), Sequence(3), WorkflowId(0), &cells(1, 10));
    builder.push(source(1), Sequence(3), WorkflowId(0), &set);
    builder.push(source(2), Sequence(3), WorkflowId(0), &cells(1, 10));
    let messages = builder.build();
    let shards: Vec<&[u16]> = messages.iter().map(|columns| columns.source_shard.as_slice()).collect();
    assert_eq!(shards, [&[0][..], &[1], &[1, 2]]);
    let mut totals = Totals::new(vec![100]);
    for (columns, want) in messages.iter().skip(1).zip([Taken::Part, Taken::Fresh]) {
        let (bytes, mut scratch) = (encoded(columns), Vec::new());
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        let body = &frame.decode::<StatsFinal>(&mut scratch).unwrap().0;
        body.check().unwrap();
        let mut became = Vec::new();
        totals.take_snapshot(body, true, |source, _, taken| became.push((source.shard.0, taken))).unwrap();
        assert_eq!(became.first(), Some(&(1, want)));
    }
    assert_eq!(totals.sum_where(WorkflowId(0), |source| source.shard == ShardId(1)), set);
}

#[test]
fn a_message_is_full_at_its_rows_too() {
    // Small cells: 1,024 steps are the most a plan may have.
    let mut set = CellSet::new(1_024);
    (0..1_024).for_each(|step| set.step_mut(step).count = 1);
    let mut builder = builder();
    (0..9).for_each(|shard| builder.push(source(shard), Sequence(1), WorkflowId(0), &set));
    let rows: Vec<usize> = builder.build().iter().map(|columns| columns.cell_source.len()).collect();
    assert_eq!(rows, [ROWS_MAX, ROWS_MAX, 1_024]);

    let mut builder = ColumnsBuilder::new(JobId(1), 1, 0, 0, 1000);
    let (idle, sources) = (CellSet::new(1), u16::try_from(ROWS_MAX + 1).unwrap());
    (0..sources).for_each(|shard| builder.push(source(shard), Sequence(1), WorkflowId(0), &idle));
    let rows: Vec<usize> = builder.build().iter().map(|columns| columns.source_shard.len()).collect();
    assert_eq!(rows, [ROWS_MAX, 1]);
}

#[test]
fn a_source_that_recorded_nothing_says_of_which_workflow() {
    let mut builder = builder();
    builder.push(source(0), Sequence(1), WorkflowId(3), &CellSet::new(2));
    let columns = builder.build().pop().unwrap();
    assert_eq!((columns.source_cells, columns.cell_workflow), (vec![1], vec![3]));
    assert_eq!(columns.cell_step, [StepId::WORKFLOW.0]);
}

#[test]
fn without_a_source_there_is_no_message() {
    assert!(builder().is_empty());
    assert_eq!(builder().build(), []);
}
