//! A gate whose connection takes little at a time is told all last figures, and the result after them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

mod driven;

use std::collections::BTreeSet;
use std::time::Duration;

use driven::{Driven, JOB, NODE, WORKER, running};
use hyperscale_codec::messages::{StatsFinal, WorkflowFinalResult, WorkflowState};
use hyperscale_codec::{Epoch, Kind, Limits, RawFrame, Sequence, ShardId, WorkflowId};
use hyperscale_core::{Core, Event};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source, Totals};

const EPOCHS: u64 = 300;

/// What one epoch recorded: some 8 KB.
fn cells(epoch: u64) -> CellSet {
    let mut cells = CellSet::new(1);
    let cell = cells.step_mut(0);
    for nth in 0..600 {
        cell.count += 1;
        cell.latency.record(200_000 + nth * 2_000 + epoch);
        cell.service.record(190_000 + nth * 2_000);
    }
    cells
}

fn ends(manager: &mut Driven) {
    for epoch in 1..=EPOCHS {
        let mut builder = ColumnsBuilder::new(JOB, 1, 0, 0, 1000);
        let source = Source { worker: NODE, shard: ShardId(0), epoch: Epoch(epoch) };
        builder.push(source, Sequence(1), WorkflowId(0), &cells(epoch));
        builder.build().into_iter().for_each(|columns| manager.tell(WORKER, &StatsFinal(columns)));
    }
    let result = WorkflowFinalResult {
        job: JOB.to_bytes(),
        workflow: 0,
        attempt: 1,
        revision: 1,
        dc_token: 1,
        outcome: WorkflowState::Completed.to_wire(),
        error: String::new(),
        shards: 1,
        epochs: (1..=EPOCHS).collect(),
        generator_ok: true,
        started_unix_ms: 0,
        duration_us: 1_000_000,
        iterations_left: 0,
    };
    manager.tell(WORKER, &result);
}

/// What the gate has after these frames: its totals, and whether the result came, which must be the last.
fn at_the_gate(frames: &[Vec<u8>]) -> (Totals, bool) {
    let (mut totals, mut ended, mut scratch) = (Totals::new(vec![1]), false, Vec::new());
    for bytes in frames {
        let frame = RawFrame::read(bytes, &Limits::default()).unwrap();
        match frame.kind() {
            Some(Kind::StatsFinal) => {
                assert!(!ended, "figures after the result");
                let body = &frame.decode::<StatsFinal>(&mut scratch).unwrap().0;
                totals.take_snapshot(body, true, |_, _, _| {}).unwrap();
            }
            Some(Kind::DcFinalResult) => ended = true,
            _ => {}
        }
    }
    (totals, ended)
}

fn assert_whole(totals: &Totals) {
    let mut all = CellSet::new(1);
    (1..=EPOCHS).for_each(|epoch| all.merge(&cells(epoch)));
    assert_eq!(totals.rows().count(), usize::try_from(EPOCHS).unwrap());
    assert_eq!(totals.sum(WorkflowId(0)), all);
}

/// Lets time pass to its next deadline, and gives the bytes that went up.
fn step(manager: &mut Driven) -> usize {
    let before = manager.up.len();
    manager.now = manager.core.next_deadline().unwrap().max(manager.now);
    manager.handle(Event::Timer);
    manager.up[before..].iter().map(Vec::len).sum()
}

#[test]
fn while_there_is_no_room_figures_are_owed_and_the_result_waits_for_them() {
    let mut manager = running();
    manager.unsent = 1 << 20;
    let before = manager.up.len();
    ends(&mut manager);
    let (none, ended) = at_the_gate(&manager.up[before..]);
    assert_eq!((none.rows().count(), ended), (0, false));
    let waited = manager.now + Duration::from_millis(200);
    while manager.now < waited {
        step(&mut manager);
    }
    assert!(!at_the_gate(&manager.up).1, "a result without its figures");
    manager.unsent = 0;
    let mut bytes = Vec::new();
    while !at_the_gate(&manager.up).1 {
        bytes.push(step(&mut manager));
        assert!(bytes.len() < 1_000, "the result never comes");
    }
    assert!(bytes.iter().all(|bytes| *bytes < 700 << 10), "too much at once: {bytes:?}");
    assert!(bytes.iter().filter(|bytes| **bytes > 0).count() >= 3, "{bytes:?}");
    assert_whole(&at_the_gate(&manager.up).0);
}

#[test]
fn a_gate_that_comes_back_is_told_all_piece_by_piece() {
    let mut manager = running();
    ends(&mut manager);
    assert!(at_the_gate(&manager.up).1);
    let before = manager.up.len();
    manager.comes_back();
    let mut most = manager.up[before..].iter().map(Vec::len).sum::<usize>();
    while !at_the_gate(&manager.up[before..]).1 {
        most = most.max(step(&mut manager));
        assert!(manager.up.len() - before < 1_000, "the result never comes");
    }
    assert!(most < 700 << 10, "{most} bytes at once");
    assert_whole(&at_the_gate(&manager.up[before..]).0);
    let epochs: BTreeSet<Epoch> =
        at_the_gate(&manager.up[before..]).0.rows().map(|held| held.source.epoch).collect();
    assert_eq!(epochs.len(), usize::try_from(EPOCHS).unwrap());
}
