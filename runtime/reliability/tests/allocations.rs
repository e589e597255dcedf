//! What a detector costs each tick, and a shard each request: no allocation.
#![allow(clippy::unwrap_used, unsafe_code, reason = "a test: it counts what an allocator is asked for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use std::net::SocketAddr;

use hyperscale_codec::messages::JobStatusRequest;
use hyperscale_codec::{
    Encoder, Features, HEADER_LEN, Head, Header, Hello, JobId, NodeId, ProtocolVersion, Role, ShardId,
    Verdict,
};
use hyperscale_core::Instant;
use hyperscale_reliability::{
    Admission, AnswerWriter, HybridOverloadDetector, Intake, LoadGauge, OverloadConfig, OverloadState,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes every call on to the system's allocator, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ending = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn an_input_and_a_tick_allocate_nothing() {
    let mut detector = HybridOverloadDetector::new(OverloadConfig::default()).unwrap();
    let before = allocations();
    let mut worst = detector.state();
    for tick in 0..10_000_u32 {
        let now = Instant(u64::from(tick) * 100_000_000);
        detector.record_latency(now, f64::from(tick % 700));
        worst = worst.max(detector.get_state(now, f64::from(tick % 100), 50.0));
        let _for_metrics = detector.reading();
    }
    assert_eq!((allocations() - before, worst.to_wire()), (0, 3));
}

#[test]
fn to_refuse_a_request_and_to_answer_it_allocates_nothing() {
    let gauge = LoadGauge::default();
    gauge.set(OverloadState::Overloaded);
    assert_eq!(refused(&gauge, Role::Manager, Features::default()), (0, 1_000));
}

#[test]
fn to_hold_a_client_to_its_rate_allocates_nothing() {
    let gauge = LoadGauge::default();
    assert_eq!(refused(&gauge, Role::Client, Features::RATE_LIMITING), (0, 1_000));
    assert_eq!(refused(&gauge, Role::Client, Features::default()), (0, 1_000));
}

/// Allocations by, and refusals of, a thousand requests of one peer at once, after so many that its rate is used up.
fn refused(gauge: &LoadGauge, role: Role, both: Features) -> (u64, u32) {
    let (mut encoded, mut out) = (Vec::new(), Vec::new());
    let request = JobStatusRequest { job: [1; 16] };
    Encoder::default().append(&mut encoded, Head::request(7).job(JobId(9)), &request).unwrap();
    let header = Header::decode(encoded.first_chunk::<HEADER_LEN>().unwrap()).unwrap();
    let mut intake = Intake::new(Role::Gate, gauge.clone(), 1);
    let addr = SocketAddr::from(([127, 0, 0, 1], 7000));
    let mut caller = intake.caller(Instant(1), addr, &hello(role), both);
    let mut answers = AnswerWriter::default();
    let (mut before, mut refused) = (0, 0);
    for round in 0..1_110_u32 {
        // The first have buffers grow.
        if round == 110 {
            (before, refused) = (allocations(), 0);
        }
        out.clear();
        if let Admission::Refuse(Some(answer)) = intake.admit(Instant(1), &header, &mut caller) {
            answers.append(&mut out, &header, &answer).unwrap();
            refused += 1;
        }
    }
    (allocations() - before, refused)
}

fn hello(role: Role) -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role,
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
