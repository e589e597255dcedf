//! What it costs to hold a known client to its rate, beside `governor`, which keeps the same kind of bucket.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use hyperscale_codec::{
    Features, Flags, Header, Hello, Kind, NodeId, ProtocolVersion, Role, ShardId, Verdict,
};
use hyperscale_core::Instant;
use hyperscale_reliability::{
    ClientKey, Intake, LoadGauge, Operation, RateLimit, RateLimitConfig, ServerRateLimiter, TokenBucket,
};

/// Clients in the table: as many as a gate keeps.
const CLIENTS: u32 = 10_000;
/// So high that none is refused: the taken request is what must be cheap.
const LIMIT: RateLimit = RateLimit { size: 1_000_000, per_second: 1_000_000.0 };

fn addr(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 | number).to_be_bytes())
}

/// Keys in an order that no cache foresees.
fn order() -> Vec<u32> {
    (0..CLIENTS).map(|i| (i * 7_919) % CLIENTS).collect()
}

fn config() -> RateLimitConfig {
    let mut config = RateLimitConfig::default();
    config.set(Operation::JobStatus, Some(LIMIT));
    config
}

fn hello() -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role: Role::Client,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 8,
        features: Features::default(),
        node: NodeId(1),
        boot: 1,
        core_max: 1,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: "client".to_owned(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
}

fn header(kind: Kind) -> Header {
    Header {
        major: 1,
        minor: 0,
        kind: kind.to_wire(),
        flags: Flags::WANTS_REPLY,
        root_len: 0,
        core_len: 0,
        ext_len: 0,
        shard: ShardId::ANY,
        correlation: 9,
        route: 7,
        body_crc: 0,
    }
}

/// One client asks on and on.
fn one_client(c: &mut Criterion) {
    let mut group = c.benchmark_group("check one client");
    let mut now = Instant(1_000_000_000);
    let mut tick = move || {
        now = now + Duration::from_micros(10);
        now
    };

    let mut bucket = TokenBucket::new(LIMIT.size, LIMIT.per_second);
    group.bench_function("bucket alone", |b| b.iter(|| bucket.acquire(1, black_box(tick()))));

    let mut intake = Intake::new(Role::Gate, LoadGauge::default(), 1)
        .limited_by(hyperscale_reliability::NodeRateLimiter::new(config(), LoadGauge::default(), 1));
    let mut worker = intake.caller(
        tick(),
        SocketAddr::new(addr(1), 1),
        &Hello { role: Role::Worker, ..hello() },
        Features::default(),
    );
    let status = header(Kind::JobStatusRequest);
    group.bench_function("intake, caller without limits", |b| {
        b.iter(|| intake.admit(tick(), black_box(&status), &mut worker));
    });
    let mut client = intake.caller(tick(), SocketAddr::new(addr(1), 1), &hello(), Features::default());
    group.bench_function("intake, client of a link", |b| {
        b.iter(|| intake.admit(tick(), black_box(&status), &mut client));
    });

    let mut limiter = ServerRateLimiter::new(config(), LoadGauge::default(), 1);
    let key = ClientKey::new(addr(1), NodeId(1));
    group.bench_function("check_rate_limit", |b| {
        b.iter(|| limiter.check_rate_limit(black_box(key), Operation::JobStatus, tick()));
    });

    let (clock, quota) = theirs();
    let direct = RateLimiter::direct_with_clock(quota, clock.clone());
    group.bench_function("governor, direct", |b| {
        b.iter(|| {
            clock.advance(10_000);
            black_box(&direct).check()
        });
    });
    let keyed = RateLimiter::dashmap_with_clock(quota, clock.clone());
    group.bench_function("governor, keyed", |b| {
        b.iter(|| {
            clock.advance(10_000);
            keyed.check_key(black_box(&addr(1)))
        });
    });
    group.finish();
}

/// Told the time as ours is, which costs neither of them anything.
#[derive(Debug, Clone, Default)]
struct Told(Rc<Cell<u64>>);

impl Told {
    fn advance(&self, time: u64) {
        self.0.set(self.0.get() + time);
    }
}

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.get())
    }
}

fn theirs() -> (Told, Quota) {
    let quota = Quota::per_second(NonZeroU32::new(1_000_000).unwrap())
        .allow_burst(NonZeroU32::new(LIMIT.size).unwrap());
    (Told::default(), quota)
}

/// Ten thousand clients ask in turn: what the caches of the processor keep of each is gone when it asks again.
fn many_clients(c: &mut Criterion) {
    let mut group = c.benchmark_group("check one of 10000 clients");
    let order = order();
    let mut now = Instant(1_000_000_000);
    let mut tick = move || {
        now = now + Duration::from_micros(10);
        now
    };
    let next = |at: &mut usize| {
        *at = (*at + 1) % order.len();
        order[*at]
    };

    let mut intake = Intake::new(Role::Gate, LoadGauge::default(), 1)
        .limited_by(hyperscale_reliability::NodeRateLimiter::new(config(), LoadGauge::default(), 1));
    let mut callers: Vec<_> = (0..CLIENTS)
        .map(|i| intake.caller(tick(), SocketAddr::new(addr(i), 1), &hello(), Features::default()))
        .collect();
    let status = header(Kind::JobStatusRequest);
    let mut at = 0;
    group.bench_function("intake, client of a link", |b| {
        b.iter(|| intake.admit(tick(), black_box(&status), &mut callers[next(&mut at) as usize]));
    });

    let mut limiter = ServerRateLimiter::new(config(), LoadGauge::default(), 1);
    group.bench_function("check_rate_limit", |b| {
        b.iter(|| {
            let key = ClientKey::new(addr(next(&mut at)), NodeId(1));
            limiter.check_rate_limit(black_box(key), Operation::JobStatus, tick())
        });
    });

    let (clock, quota) = theirs();
    let keyed = RateLimiter::dashmap_with_clock(quota, clock.clone());
    group.bench_function("governor, keyed", |b| {
        b.iter(|| {
            clock.advance(10_000);
            keyed.check_key(black_box(&addr(next(&mut at))))
        });
    });
    group.finish();
}

/// Newcomers at a full table: each link-up of a flood.
fn newcomers(c: &mut Criterion) {
    let mut limiter = ServerRateLimiter::new(RateLimitConfig::default(), LoadGauge::default(), 1);
    let (mut client, mut now) = (0_u32, Instant(1_000_000_000));
    c.bench_function("a newcomer at a full table", |b| {
        b.iter(|| {
            client = client.wrapping_add(1);
            now = now + Duration::from_micros(20);
            limiter.check_rate_limit(
                ClientKey::new(addr(client & 0x00ff_ffff), NodeId(1)),
                Operation::JobStatus,
                now,
            )
        });
    });
}

/// Nobody's bucket ever fills: all ten thousand are looked at and none may go. At most once a second.
fn walk(c: &mut Criterion) {
    let mut slow = RateLimitConfig::default();
    slow.set(Operation::JobStatus, Some(RateLimit { size: 1_000, per_second: 1e-6 }));
    let mut limiter = ServerRateLimiter::new(slow, LoadGauge::default(), 1);
    let mut now = Instant(1_000_000_000);
    for client in 0..CLIENTS {
        let _taken =
            limiter.check_rate_limit(ClientKey::new(addr(client), NodeId(1)), Operation::JobStatus, now);
    }
    let stranger = ClientKey::new(addr(CLIENTS + 1), NodeId(1));
    c.bench_function("a walk through a full table", |b| {
        b.iter(|| {
            now = now + Duration::from_secs(1);
            limiter.check_rate_limit(stranger, Operation::JobStatus, now)
        });
    });
    assert_eq!(limiter.clients(), CLIENTS as usize);
}

criterion_group!(benches, one_client, many_clients, newcomers, walk);
criterion_main!(benches);
