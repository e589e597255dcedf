//! What overload detection costs: each request its sample, each tick its input, each frame its look at the state.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hyperscale_core::Instant;
use hyperscale_reliability::{
    HybridOverloadDetector, LoadGauge, OverloadConfig, OverloadState, sample_buffer,
};

fn samples(c: &mut Criterion) {
    let mut group = c.benchmark_group("overload");
    let (writer, mut reader) = sample_buffer();
    let mut took_us = 0_u32;
    group.bench_function("record a request", |b| {
        b.iter(|| {
            took_us = took_us.wrapping_add(7);
            writer.record_us(black_box(took_us));
        });
    });
    group.bench_function("drain 4095 samples", |b| {
        b.iter_batched(
            || (0..4095).for_each(|sample| writer.record_us(sample)),
            |()| black_box(reader.drain()),
            criterion::BatchSize::PerIteration,
        );
    });
    let mut detector = HybridOverloadDetector::new(OverloadConfig::default()).unwrap();
    let mut tick = 0_u64;
    group.bench_function("an input", |b| {
        b.iter(|| {
            tick += 1;
            let latency_ms = f64::from(u32::try_from(tick % 97).unwrap());
            detector.record_latency(Instant(tick * 100_000_000), black_box(latency_ms));
        });
    });
    group.bench_function("a tick", |b| {
        b.iter(|| {
            tick += 1;
            black_box(detector.get_state(Instant(tick * 100_000_000), black_box(40.0), black_box(50.0)))
        });
    });
    let gauge = LoadGauge::default();
    gauge.set(OverloadState::Busy);
    group.bench_function("a look at the state", |b| b.iter(|| black_box(gauge.state())));
    group.finish();
}

criterion_group!(benches, samples);
criterion_main!(benches);
