//! Whatever order, grouping and way figures come in, what is told on of them is the same to the last byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

use hyperscale_codec::messages::{ArchivedStatsColumns, ErrorKind, StatsSnapshot};
use hyperscale_codec::{
    Encoder, Epoch, FrameReader, Head, JobId, Limits, NodeId, Sequence, ShardId, WorkflowId,
};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source, Totals, WindowMerge};
use proptest::prelude::*;

const STEPS: [usize; 2] = [1, 3];

/// What one source told at once.
#[derive(Debug, Clone)]
struct Message {
    source: Source,
    workflow: WorkflowId,
    sequence: u64,
    cells: CellSet,
}

/// The figures of a source after so many of its messages: each has all that the one before had.
fn told(source: usize, messages: u64) -> Message {
    let number = u64::try_from(source).unwrap();
    let at = source % STEPS.len();
    let steps = STEPS.into_iter().nth(at).unwrap();
    let mut cells = CellSet::new(steps);
    for step in 0..steps {
        let cell = cells.step_mut(step);
        for request in 0..messages * (5 + number) {
            let ns = (request + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % (1 << (20 + 3 * number));
            (cell.count, cell.bytes_in) = (cell.count + 1, cell.bytes_in + ns % 1_000);
            cell.latency.record(ns);
            cell.service.record(ns / 2);
            cell.record_status(if ns % 5 == 0 { 503 } else { 200 });
            if ns % 5 == 0 {
                cell.errors += 1;
                cell.record_error(ErrorKind::Http5xx);
            }
        }
    }
    let rounds = cells.workflow_mut();
    (rounds.due, rounds.started, rounds.count) = (messages * 9, messages * 8, messages * 7);
    let source = Source {
        worker: NodeId(u128::from(number / 2)),
        shard: ShardId(u16::try_from(source).unwrap()),
        epoch: Epoch(1),
    };
    let workflow = WorkflowId(u32::try_from(at).unwrap());
    Message { source, workflow, sequence: messages, cells }
}

/// Through the wire, in as many messages as it takes.
fn arrive<'a>(told: impl IntoIterator<Item = &'a Message>, mut see: impl FnMut(&ArchivedStatsColumns)) {
    let mut builder = ColumnsBuilder::new(JobId(1), 1, 0, 3, 1000);
    for Message { source, workflow, sequence, cells } in told {
        builder.push(*source, Sequence(*sequence), *workflow, cells);
    }
    for columns in builder.build() {
        let bytes = encoded(&StatsSnapshot(columns));
        let (mut reader, mut scratch) = (FrameReader::default(), Vec::new());
        reader.feed(&bytes);
        let frame = reader.next(&Limits::default()).unwrap().unwrap();
        let body = &frame.decode::<StatsSnapshot>(&mut scratch).unwrap().0;
        body.check().unwrap();
        see(body);
    }
}

fn encoded(snapshot: &StatsSnapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::default().append(&mut bytes, Head::default(), snapshot).unwrap();
    bytes
}

/// What is told on of these sums, a workflow each.
fn bytes_of<'a>(sums: impl IntoIterator<Item = &'a CellSet>) -> Vec<Vec<u8>> {
    let mut builder = ColumnsBuilder::new(JobId(1), 1, 0, 3, 1000);
    let source = Source { worker: NodeId(99), shard: ShardId::ANY, epoch: Epoch(0) };
    (0..).zip(sums).for_each(|(at, cells)| builder.push(source, Sequence(1), WorkflowId(at), cells));
    builder.build().into_iter().map(|columns| encoded(&StatsSnapshot(columns))).collect()
}

fn snapshot<'a>(totals: &mut Totals, told: impl IntoIterator<Item = &'a Message>) {
    arrive(told, |body| totals.take_snapshot(body, false, |_, _, _| {}).unwrap());
}

fn sums(totals: &Totals) -> Vec<Vec<u8>> {
    bytes_of(&[0, 1].map(|workflow| totals.sum(WorkflowId(workflow))))
}

/// All messages of these sources, in order, and the totals' bytes of their last ones.
fn plain(sources: usize) -> (Vec<Message>, Vec<Vec<u8>>) {
    let all = (0..sources).flat_map(|source| (1..=3).map(move |messages| told(source, messages))).collect();
    let mut totals = Totals::new(STEPS.to_vec());
    (0..sources).for_each(|source| snapshot(&mut totals, [&told(source, 3)]));
    (all, sums(&totals))
}

/// Splits into groups of these sizes, and the rest.
fn groups<T>(mut all: Vec<T>, sizes: &[usize]) -> Vec<Vec<T>> {
    let mut groups = Vec::new();
    for &size in sizes {
        let rest = all.split_off(size.min(all.len()));
        groups.push(std::mem::replace(&mut all, rest));
    }
    groups.push(all);
    groups
}

/// A permutation of so many, with some of them twice.
fn shuffled(len: usize) -> impl Strategy<Value = Vec<usize>> {
    let again = prop::collection::vec(0..len, 0..len);
    again.prop_flat_map(move |again| Just((0..len).chain(again).collect::<Vec<_>>()).prop_shuffle())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn totals_of_any_order_grouping_and_repeats_are_the_same_bytes(
        order in shuffled(12),
        sizes in prop::collection::vec(0_usize..5, 0..8),
    ) {
        let (all, expected) = plain(4);
        let in_order: Vec<&Message> = order.iter().filter_map(|at| all.get(*at)).collect();
        let mut totals = Totals::new(STEPS.to_vec());
        groups(in_order, &sizes).into_iter().for_each(|group| snapshot(&mut totals, group));
        prop_assert_eq!(sums(&totals), expected);
    }

    #[test]
    fn totals_that_came_through_any_managers_are_the_same_bytes(
        managers in prop::collection::vec(0_usize..3, 6),
        order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let (_, expected) = plain(6);
        let mut gate = Totals::new(STEPS.to_vec());
        // A manager holds what its workers told, and tells it on.
        for manager in 0..3 {
            let mut held = Totals::new(STEPS.to_vec());
            let own = || order.iter().copied().filter(|at| managers.get(*at) == Some(&manager));
            own().for_each(|source| snapshot(&mut held, [&told(source, 3)]));
            let on = own().map(|source| {
                let last = told(source, 3);
                let cells = held.sum_where(last.workflow, |source| source == last.source);
                Message { cells, ..last }
            });
            let on: Vec<Message> = on.collect();
            snapshot(&mut gate, &on);
        }
        prop_assert_eq!(sums(&gate), expected);
    }

    #[test]
    fn windows_of_any_order_grouping_and_senders_are_the_same_bytes(
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        sizes in prop::collection::vec(0_usize..4, 0..6),
        senders in prop::collection::vec(0_u8..3, 8),
    ) {
        let merged = |groups: Vec<Vec<usize>>| {
            let mut merge = WindowMerge::new(&STEPS);
            for group in groups {
                let told: Vec<Message> = group.iter().map(|source| told(*source, 1)).collect();
                let sender = group.first().and_then(|first| senders.get(*first)).copied().unwrap_or(0);
                arrive(&told, |body| merge.take(sender, body).unwrap());
            }
            merge.flush(|windows| (windows.span(), bytes_of(windows.workflows))).unwrap()
        };
        let plain = merged((0..8).map(|source| vec![source]).collect());
        prop_assert_eq!(merged(groups(order, &sizes)), plain);
    }
}
