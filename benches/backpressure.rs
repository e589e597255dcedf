//! What statistics under backpressure cost at each level: the sender that merges and encodes, the receiver that validates and
//! merges, the windows that are kept. Times are for one second of one job on one source: at a coarser level a message stands for
//! more seconds, so divide by them.
//!
//! Baselines: `cargo bench -p hyperscale-benches --bench backpressure -- --save-baseline NAME`, later `-- --baseline NAME`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hyperscale_codec::messages::StatsUpdate;
use hyperscale_codec::{
    Encoder, Epoch, Head, JobId, Limits, NodeId, RawFrame, Sequence, ShardId, WorkflowId,
};
use hyperscale_core::Instant;
use hyperscale_reliability::{BackpressureLevel, StatsPace};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source, Span, StatsBuffer, WindowMerge};

/// Buckets of a window's histogram, as a service with one step at some hundred requests a second has them.
const BUCKETS: u64 = 120;
const WINDOW: Duration = Duration::from_secs(1);

/// Level, and how many windows one message holds there.
const LEVELS: [(&str, u32); 3] = [("none", 1), ("throttle", 2), ("batch", 5)];

fn window(salt: u64) -> CellSet {
    let mut cells = CellSet::new(1);
    for i in 0..BUCKETS {
        let cell = cells.step_mut(0);
        cell.count += 1;
        cell.latency.record(50_000 + ((i + salt) * 7_919) % 3_000_000);
        cell.record_status(200);
    }
    cells
}

fn encoded(cells: &CellSet, from: u32, to: u32, encoder: &mut Encoder, bytes: &mut Vec<u8>) {
    let mut columns = ColumnsBuilder::new(JobId(1), 1, from, to, 1000);
    let source = Source { worker: NodeId(1), shard: ShardId(0), epoch: Epoch(1) };
    columns.push(source, Sequence(u64::from(to) + 1), WorkflowId(0), cells);
    bytes.clear();
    for columns in columns.build() {
        encoder.append(bytes, Head::default(), &StatsUpdate(columns)).unwrap();
    }
}

/// A sender's work for one message: the windows merged, then encoded.
fn sender(c: &mut Criterion) {
    let mut group = c.benchmark_group("backpressure/sender, a message");
    for (level, windows) in LEVELS {
        group.throughput(Throughput::Elements(u64::from(windows)));
        let recorded: Vec<CellSet> = (0..u64::from(windows)).map(window).collect();
        let (mut pending, mut encoder, mut bytes) = (CellSet::new(1), Encoder::default(), Vec::new());
        group.bench_function(BenchmarkId::from_parameter(level), |b| {
            b.iter(|| {
                pending.clear();
                recorded.iter().for_each(|window| pending.advance(black_box(window)));
                encoded(&pending, 0, windows - 1, &mut encoder, &mut bytes);
                bytes.len()
            });
        });
    }
    group.finish();
}

/// A receiver's work for one message: validated in place, merged into the view.
fn receiver(c: &mut Criterion) {
    let mut group = c.benchmark_group("backpressure/receiver, a message");
    for (level, windows) in LEVELS {
        group.throughput(Throughput::Elements(u64::from(windows)));
        let mut merged = CellSet::new(1);
        (0..u64::from(windows)).for_each(|at| merged.advance(&window(at)));
        let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
        encoded(&merged, 0, windows - 1, &mut encoder, &mut bytes);
        let mut view = WindowMerge::new(&[1]);
        view.expect(1_u8);
        group.bench_function(BenchmarkId::from_parameter(level), |b| {
            let mut scratch = Vec::new();
            b.iter(|| {
                let frame = RawFrame::read(black_box(&bytes), &Limits::default()).unwrap();
                let update = frame.decode::<StatsUpdate>(&mut scratch).unwrap();
                update.0.check().unwrap();
                view.take(1, &update.0).unwrap();
                view.flush(|windows| windows.to)
            });
        });
    }
    group.finish();
}

/// A sender's question whether it is time, each window; and a receipt that is taken in.
fn pace(c: &mut Criterion) {
    let mut pace = StatsPace::new(WINDOW, Instant(1), 1);
    let mut at = 0_u32;
    c.bench_function("backpressure/is it time, and a receipt", |b| {
        b.iter(|| {
            at = at.wrapping_add(1);
            let now = Instant(u64::from(at) * 1_000_000_000);
            let wanted = pace.poll(now, at, true);
            pace.on_ack(now, BackpressureLevel::None, Duration::ZERO, true);
            black_box(wanted)
        });
    });
}

/// A window kept, and what has grown old moved on: two hours of one job, over and over.
fn promotion(c: &mut Criterion) {
    let recorded = [window(1)];
    let mut buffer = StatsBuffer::new(&[1], WINDOW);
    let mut at = 0_u32;
    c.bench_function("backpressure/a window kept and promoted", |b| {
        b.iter(|| {
            let now = Instant(u64::from(at + 1) * 1_000_000_000);
            buffer.insert(now, Span { from: at, to: at }, black_box(&recorded));
            buffer.promote(now);
            at += 1;
        });
    });
}

criterion_group!(benches, sender, receiver, pace, promotion);
criterion_main!(benches);
