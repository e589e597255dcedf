//! Costs that every request or every statistic pays, beside the nearest library's.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use hyperscale_codec::messages::StatsUpdate;
use hyperscale_codec::{
    Encoder, Epoch, FrameReader, Head, HeadPatch, Hist, JobId, Limits, NodeId, RawFrame, Sequence, ShardId,
    VALUE_MAX, WorkflowId,
};
use hyperscale_jobs::ConsistentHashRing;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source, Totals};

fn values() -> Vec<u64> {
    (0..1024_u64).map(|i| 50_000 + (i * 7_919) % 3_000_000).collect()
}

fn record(c: &mut Criterion) {
    let values = values();
    let mut group = c.benchmark_group("record 1024 values");
    let mut ours = Hist::new();
    group.bench_function("ours", |b| b.iter(|| values.iter().for_each(|&v| ours.record(black_box(v)))));
    let mut theirs = Histogram::<u64>::new_with_bounds(1, VALUE_MAX, 2).unwrap();
    group.bench_function("hdrhistogram", |b| {
        b.iter(|| values.iter().for_each(|&v| theirs.record(black_box(v)).unwrap()));
    });
    group.finish();
}

fn update() -> StatsUpdate {
    let mut cells = CellSet::new(1);
    for v in values().into_iter().take(120) {
        let cell = cells.step_mut(0);
        cell.count += 1;
        cell.latency.record(v);
        cell.record_status(200);
    }
    let mut columns = ColumnsBuilder::new(JobId(1), 1, 0, 0, 1000);
    let source = Source { worker: NodeId(1), shard: ShardId(0), epoch: Epoch(1) };
    columns.push(source, Sequence(1), WorkflowId(0), &cells);
    StatsUpdate(columns.build().pop().unwrap())
}

fn statistics(c: &mut Criterion) {
    let update = update();
    let mut encoder = Encoder::default();
    let mut bytes = Vec::new();
    c.bench_function("encode an update", |b| {
        b.iter(|| {
            bytes.clear();
            encoder.append(&mut bytes, Head::default(), black_box(&update)).unwrap();
        });
    });
    let mut reader = FrameReader::new();
    let mut onward = Vec::new();
    let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
    c.bench_function("forward an update by its header", |b| {
        b.iter(|| {
            onward.clear();
            black_box(frame).forward(&mut onward, HeadPatch::new(ShardId(1), 7)).unwrap();
        });
    });
    let mut scratch = Vec::new();
    let mut totals = Totals::new(vec![1]);
    c.bench_function("read, validate and merge an update", |b| {
        b.iter(|| {
            reader.feed(black_box(&bytes));
            let frame = reader.next(&Limits::default()).unwrap().unwrap();
            let columns = &frame.decode::<StatsUpdate>(&mut scratch).unwrap().0;
            columns.check().unwrap();
            totals.take_snapshot(columns, false, |_, _, taken| {
                black_box(taken);
            })
        });
    });
}

fn ring(c: &mut Criterion) {
    let mut ring = ConsistentHashRing::default();
    (0..1000).for_each(|node| ring.add_node(NodeId(node), 1));
    let mut job = 0;
    c.bench_function("owner of a job among 1000 members", |b| {
        b.iter(|| {
            job += 1;
            ring.owner(JobId(black_box(job)))
        });
    });
}

criterion_group!(benches, record, statistics, ring);
criterion_main!(benches);
