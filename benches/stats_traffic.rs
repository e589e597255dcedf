//! Bytes of statistics that a worker sends, by the level it is asked for, and what compression would save: real messages
//! of ten minutes of load, as a manager would get them.
//!
//! `cargo run --release -p hyperscale-benches --example stats-traffic`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a measurement that is read by people"
)]

use std::time::Duration;

use hyperscale_codec::messages::{StatsColumns, StatsSnapshot, StatsUpdate};
use hyperscale_codec::{Encode, Encoder, Epoch, Head, JobId, NodeId, Sequence, ShardId, WorkflowId};
use hyperscale_core::Instant;
use hyperscale_reliability::{BackpressureLevel, StatsPace};
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

const SECONDS: u32 = 600;
const STEPS: usize = 3;

/// How a worker is loaded.
struct Load {
    name: &'static str,
    shards: u16,
    /// Requests a second, of each step on each shard.
    rate: u32,
}

const LOADS: [Load; 3] = [
    Load { name: "1 shard, 300/s", shards: 1, rate: 100 },
    Load { name: "4 shards, 12,000/s", shards: 4, rate: 1_000 },
    Load { name: "16 shards, 480,000/s", shards: 16, rate: 10_000 },
];

/// A small generator: the same figures on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64 + 0.5) / (1_u64 << 31) as f64
    }

    /// Log-normal about a median, with a tail as services have it.
    fn latency_ns(&mut self, median_ms: f64) -> u64 {
        let normal = (-2.0 * self.next().ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos();
        let tail = if self.next() < 0.002 { 20.0 } else { 1.0 };
        (median_ms * 1e6 * (0.45 * normal).exp() * tail) as u64
    }
}

fn window(noise: &mut Noise, rate: u32) -> CellSet {
    let mut cells = CellSet::new(STEPS);
    for step in 0..STEPS {
        // Above some thousands a second more of the same adds counts and hardly a bucket: a part stands for all.
        for _ in 0..rate {
            let ns = noise.latency_ns(2.0 * (step + 1) as f64);
            let cell = cells.step_mut(step);
            cell.count += 1;
            cell.latency.record(ns);
            cell.service.record(ns - ns / 50);
            cell.lateness.record(ns / 50);
            cell.bytes_in += 1_200;
            cell.bytes_out += 180;
            cell.record_status(if ns.is_multiple_of(997) { 503 } else { 200 });
        }
    }
    let workflow = cells.workflow_mut();
    workflow.count += u64::from(rate);
    workflow.started += u64::from(rate);
    cells
}

#[derive(Default)]
struct Sent {
    messages: u64,
    bytes: u64,
    lz4: u64,
    zstd: u64,
    lz4_time: Duration,
    zstd_time: Duration,
}

impl Sent {
    fn add<M: Encode>(&mut self, encoder: &mut Encoder, message: &M) {
        let mut frame = Vec::new();
        encoder.append(&mut frame, Head::request(1).job(JobId(1)), message).unwrap();
        self.messages += 1;
        self.bytes += frame.len() as u64;
        let begun = std::time::Instant::now();
        self.lz4 += lz4_flex::compress(&frame).len() as u64;
        let between = std::time::Instant::now();
        self.zstd += zstd::bulk::compress(&frame, 1).unwrap().len() as u64;
        self.lz4_time += between - begun;
        self.zstd_time += std::time::Instant::now() - between;
    }
}

fn columns(load: &Load, sets: &[CellSet], (from, to): (u32, u32), sequence: u64) -> Vec<StatsColumns> {
    let mut builder = ColumnsBuilder::new(JobId(1), 1, from, to, 1_000);
    for (shard, cells) in (0..load.shards).zip(sets) {
        let source = Source { worker: NodeId(7), shard: ShardId(shard), epoch: Epoch(u64::from(shard) + 1) };
        builder.push(source, Sequence(sequence), WorkflowId(0), cells);
    }
    builder.build()
}

fn run(load: &Load, level: BackpressureLevel) -> Sent {
    let (mut noise, mut encoder, mut sent) = (Noise(9), Encoder::default(), Sent::default());
    let mut pace = StatsPace::new(Duration::from_secs(1), Instant::ZERO, 5);
    let empty = || (0..load.shards).map(|_| CellSet::new(STEPS)).collect::<Vec<_>>();
    let (mut pending, mut total, mut from, mut sequence) = (empty(), empty(), 0, 0);
    // A few windows that differ; which of them a shard has when does not matter to its size.
    let windows: Vec<CellSet> = (0..40).map(|_| window(&mut noise, load.rate)).collect();
    for k in 0..SECONDS {
        for (shard, (pending, total)) in pending.iter_mut().zip(&mut total).enumerate() {
            let delta = &windows[(k as usize * 7 + shard * 3) % windows.len()];
            pending.advance(delta);
            total.advance(delta);
        }
        let mut now = Instant::ZERO + Duration::from_secs(u64::from(k) + 1);
        let mut wanted = pace.poll(now, k, true);
        if !wanted.any()
            && let Some(due) = pace.next_deadline().filter(|due| *due < now + Duration::from_secs(1))
        {
            now = due;
            wanted = pace.poll(now, k, true);
        }
        if wanted.windows {
            sequence += 1;
            for columns in columns(load, &pending, (from, k), sequence) {
                sent.add(&mut encoder, &StatsUpdate(columns));
            }
        }
        if wanted.snapshot {
            sequence += 1;
            for columns in columns(load, &total, (from, k), sequence) {
                sent.add(&mut encoder, &StatsSnapshot(columns));
            }
        }
        if wanted.any() {
            pending.iter_mut().for_each(CellSet::clear);
            from = k + 1;
            pace.on_ack(now, level, Duration::from_millis(level.delay_ms().into()), true);
        }
    }
    sent
}

fn main() {
    println!(
        "| load of a worker | level | messages/s | KB/s | lz4 | zstd -1 | time of lz4, zstd per message |"
    );
    println!("|---|---|---|---|---|---|---|");
    for load in &LOADS {
        for level in BackpressureLevel::ALL {
            let sent = run(load, level);
            let per_s = |n: u64| n as f64 / f64::from(SECONDS);
            let part = |n: u64| 100.0 * n as f64 / sent.bytes as f64;
            let us = |time: Duration| time.as_micros() as f64 / sent.messages as f64;
            println!(
                "| {} | {} | {:.2} | {:.1} | {:.0} % | {:.0} % | {:.0} us, {:.0} us |",
                load.name,
                level.as_str(),
                per_s(sent.messages),
                per_s(sent.bytes) / 1e3,
                part(sent.lz4),
                part(sent.zstd),
                us(sent.lz4_time),
                us(sent.zstd_time),
            );
        }
    }
}
