//! Costs that every request or every statistic pays, beside the nearest library's.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use hyperscale_codec::messages::StatsUpdate;
use hyperscale_codec::{
    Encoder, Epoch, FrameReader, Head, HeadPatch, Hist, JobId, Limits, NodeId, RawFrame, Sequence, ShardId,
    VALUE_MAX, WorkflowId, bucket_low,
};
use hyperscale_jobs::{ConsistentHashRing, Member};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source, Taken, Totals};

const BUCKETS: usize = 120;

fn values() -> Vec<u64> {
    (0..1024_u64).map(|i| 50_000 + (i * 7_919) % 3_000_000).collect()
}

fn record(c: &mut Criterion) {
    let values = values();
    let mut group = c.benchmark_group("record 1024 values");
    let mut ours = Hist::new();
    group.bench_function("ours", |b| b.iter(|| values.iter().for_each(|&v| ours.record(black_box(v)))));
    // As a request does it: what the one before wrote lies in memory.
    group.bench_function("ours, each by itself", |b| {
        b.iter(|| values.iter().for_each(|&v| black_box(&mut ours).record(black_box(v))));
    });
    let mut theirs = theirs();
    group.bench_function("hdrhistogram", |b| {
        b.iter(|| values.iter().for_each(|&v| theirs.record(black_box(v)).unwrap()));
    });
    group.bench_function("hdrhistogram, each by itself", |b| {
        b.iter(|| values.iter().for_each(|&v| black_box(&mut theirs).record(black_box(v)).unwrap()));
    });
    group.finish();
}

/// The same resolution and range as ours.
fn theirs() -> Histogram<u64> {
    Histogram::new_with_bounds(1, VALUE_MAX, 2).unwrap()
}

/// Filled with 120 buckets.
fn cells() -> CellSet {
    let mut cells = CellSet::new(1);
    let cell = cells.step_mut(0);
    for v in (0..).map(|i| 50_000 + (i * 7_919) % 3_000_000) {
        if cell.latency.filled().count() == BUCKETS {
            break;
        }
        cell.count += 1;
        cell.latency.record(v);
        cell.record_status(200);
    }
    cells
}

fn update(sequence: u64) -> StatsUpdate {
    let mut columns = ColumnsBuilder::new(JobId(1), 1, 0, 0, 1000);
    let source = Source { worker: NodeId(1), shard: ShardId(0), epoch: Epoch(1) };
    columns.push(source, Sequence(sequence), WorkflowId(0), &cells());
    StatsUpdate(columns.build().pop().unwrap())
}

fn encoded(update: &StatsUpdate) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::default().append(&mut bytes, Head::default(), update).unwrap();
    bytes
}

fn encode(c: &mut Criterion) {
    let update = update(1);
    let mut encoder = Encoder::default();
    let mut bytes = Vec::new();
    c.bench_function("encode an update", |b| {
        b.iter(|| {
            bytes.clear();
            encoder.append(&mut bytes, Head::default(), black_box(&update)).unwrap();
        });
    });
    let bytes = encoded(&update);
    let mut onward = Vec::new();
    let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
    c.bench_function("forward an update by its header", |b| {
        b.iter(|| {
            onward.clear();
            black_box(frame).forward(&mut onward, HeadPatch::new(ShardId(1), 7)).unwrap();
        });
    });
}

/// 120 buckets from bytes nobody vouches for into a histogram.
fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate and merge 120 buckets");
    let bytes = encoded(&update(1));
    let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
    let (mut scratch, mut into) = (Vec::new(), Hist::new());
    group.bench_function("ours, all of the update they are in", |b| {
        b.iter(|| {
            let columns = &black_box(frame).decode::<StatsUpdate>(&mut scratch).unwrap().0;
            columns.check().unwrap();
            for column in [&columns.latency, &columns.service, &columns.lateness, &columns.connect] {
                column.iter().for_each(|sparse| into.merge_archived(sparse).unwrap());
            }
        });
    });
    let columns = &frame.decode::<StatsUpdate>(&mut scratch).unwrap().0;
    let sparse = columns.latency.iter().next().unwrap();
    group.bench_function("ours, the histogram alone", |b| {
        b.iter(|| into.merge_archived(black_box(sparse)).unwrap());
    });
    let mut sent = theirs();
    cells().step_mut(0).latency.filled().for_each(|(bucket, count)| {
        sent.record_n(bucket_low(bucket), count).unwrap();
    });
    let (mut bytes, mut into) = (Vec::new(), theirs());
    V2Serializer::new().serialize(&sent, &mut bytes).unwrap();
    let mut deserializer = Deserializer::new();
    group.bench_function("hdrhistogram V2, deserialized and added", |b| {
        b.iter(|| {
            let come: Histogram<u64> = deserializer.deserialize(&mut black_box(bytes.as_slice())).unwrap();
            into.add(&come).unwrap();
        });
    });
    group.finish();
}

/// An update from the bytes of its frame into all that a node keeps of it; each time the next of its source.
fn totals(c: &mut Criterion) {
    let mut group = c.benchmark_group("read, validate and merge into totals");
    for (name, is_snapshot) in [("an update of 120 buckets", false), ("a snapshot of 120 buckets", true)] {
        let (mut reader, mut scratch, mut totals) = (FrameReader::new(), Vec::new(), Totals::new(vec![1]));
        let mut next = update(0);
        let mut one_more = || {
            next.0.source_sequence[0] += 1;
            encoded(&next)
        };
        group.bench_function(name, |b| {
            let mut take = |bytes: Vec<u8>| {
                reader.feed(&bytes);
                let frame = reader.next(&Limits::default()).unwrap().unwrap();
                let columns = &frame.decode::<StatsUpdate>(&mut scratch).unwrap().0;
                columns.check().unwrap();
                let each = |_, _, taken| assert_eq!(taken, Taken::Fresh);
                if is_snapshot {
                    totals.take_snapshot(columns, false, each)
                } else {
                    totals.take_delta(columns, each)
                }
                .unwrap();
                bytes
            };
            b.iter_batched(&mut one_more, &mut take, BatchSize::NumIterations(64));
        });
    }
    group.finish();
}

fn ring(c: &mut Criterion) {
    let members = (0..1000).map(|node| Member { node: NodeId(node), shard: ShardId(0) });
    let ring = ConsistentHashRing::new(members);
    let mut group = c.benchmark_group("owner of a job among 1000 members");
    let mut job = 0;
    group.bench_function("one after another", |b| {
        b.iter(|| {
            job += 1;
            ring.owner(JobId(black_box(job)))
        });
    });
    // Each id needs the answer before, so that nothing is looked up ahead.
    group.bench_function("each waits for the one before", |b| {
        b.iter(|| {
            job += 1 + ring.owner(JobId(black_box(job))).unwrap().node.0 % 2;
            job
        });
    });
    group.finish();
}

criterion_group!(benches, record, encode, merge, totals, ring);
criterion_main!(benches);
