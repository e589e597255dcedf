//! What it costs to decide on a frame by its header, and to answer one that is refused.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hyperscale_codec::messages::JobStatusRequest;
use hyperscale_codec::{
    Encoder, Features, HEADER_LEN, Head, Header, Hello, JobId, Kind, NodeId, ProtocolVersion, Role, ShardId,
    Verdict,
};
use hyperscale_core::Instant;
use hyperscale_reliability::{
    Admission, AnswerWriter, Intake, LoadGauge, LoadShedder, OverloadState, classify_request,
};

fn manager() -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role: Role::Manager,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 1,
        features: Features::default(),
        node: NodeId(1),
        boot: 1,
        core_max: 1,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: String::new(),
        text: String::new(),
        name: String::new(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
}

fn header() -> Header {
    let mut bytes = Vec::new();
    let head = Head::request(7).job(JobId(9));
    Encoder::default().append(&mut bytes, head, &JobStatusRequest { job: [1; 16] }).unwrap();
    Header::decode(bytes.first_chunk::<HEADER_LEN>().unwrap()).unwrap()
}

fn shedding(c: &mut Criterion) {
    let mut group = c.benchmark_group("shedding");
    group.throughput(Throughput::Elements(1));
    let kinds = Kind::ALL.iter().map(|kind| kind.to_wire()).collect::<Vec<_>>();
    let mut at = 0;
    group.bench_function("classify and decide", |b| {
        b.iter(|| {
            at = (at + 1) % kinds.len();
            LoadShedder.should_shed(classify_request(black_box(kinds[at])), black_box(OverloadState::Busy))
        });
    });
    let gauge = LoadGauge::default();
    let mut intake = Intake::new(Role::Gate, gauge.clone(), 1);
    let addr = SocketAddr::from(([127, 0, 0, 1], 7000));
    let mut caller = intake.caller(Instant(1), addr, &manager(), Features::default());
    let header = header();
    group.bench_function("the whole decision, taken", |b| {
        b.iter(|| intake.admit(Instant(1), black_box(&header), &mut caller));
    });
    gauge.set(OverloadState::Overloaded);
    let (mut answers, mut out) = (AnswerWriter::default(), Vec::new());
    group.bench_function("the whole decision, refused and answered", |b| {
        b.iter(|| {
            out.clear();
            let Admission::Refuse(Some(answer)) = intake.admit(Instant(1), black_box(&header), &mut caller)
            else {
                return 0;
            };
            answers.append(&mut out, &header, &answer).unwrap();
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, shedding);
criterion_main!(benches);
