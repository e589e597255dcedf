use super::*;
use crate::OverloadState;

fn ms(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn s(seconds: u64) -> Instant {
    ms(seconds * 1_000)
}

fn host(number: u32) -> ClientKey {
    ClientKey::new(IpAddr::from(number.to_be_bytes()), NodeId(0))
}

fn at_most(clients_max: usize) -> RateLimitConfig {
    let mut config = RateLimitConfig::default();
    config.clients_max = clients_max;
    config
}

fn limiter(config: RateLimitConfig) -> ServerRateLimiter {
    ServerRateLimiter::new(config, LoadGauge::default(), 7)
}

/// Requests taken of so many at once.
fn taken(limiter: &mut ServerRateLimiter, client: ClientKey, operation: Operation, now: Instant) -> usize {
    (0..1_000).filter(|_| limiter.check_rate_limit(client, operation, now).0).count()
}

const OK: (bool, Duration) = (true, Duration::ZERO);

const fn refused(ms: u64) -> (bool, Duration) {
    (false, Duration::from_millis(ms))
}

#[test]
fn a_client_s_operations_and_an_operation_s_clients_do_not_take_from_each_other() {
    let mut limiter = limiter(RateLimitConfig::default());
    let (one, other) = (host(0x0a00_0001), host(0x0a00_0002));
    assert_eq!(taken(&mut limiter, one, Operation::JobSubmit, s(1)), 50);
    assert_eq!(limiter.check_rate_limit(one, Operation::JobSubmit, s(1)), refused(200));
    assert_eq!(taken(&mut limiter, other, Operation::JobSubmit, s(1)), 50);
    assert_eq!(taken(&mut limiter, one, Operation::Cancel, s(1)), 200);
    assert_eq!(taken(&mut limiter, one, Operation::Reconnect, s(1)), 10);
    assert_eq!(taken(&mut limiter, one, Operation::JobSubmit, s(3)), 10);
    assert_eq!(limiter.clients(), 2);
}

#[test]
fn a_loaded_node_refills_slower_and_says_so_but_keeps_the_sizes() {
    let gauge = LoadGauge::default();
    let mut limiter = ServerRateLimiter::new(RateLimitConfig::default(), gauge.clone(), 7);
    let client = host(0x0a00_0001);
    assert_eq!(taken(&mut limiter, client, Operation::Nodes, s(1)), 100);
    for (state, from, wait_ms) in [
        (OverloadState::Busy, 1, 100),
        (OverloadState::Stressed, 2, 200),
        (OverloadState::Overloaded, 4, 1_000),
    ] {
        let now = s(from);
        taken(&mut limiter, client, Operation::Nodes, now);
        gauge.set(state);
        assert_eq!(limiter.check_rate_limit(client, Operation::Nodes, now), refused(wait_ms), "{state:?}");
        assert_eq!(
            limiter.check_rate_limit(client, Operation::Nodes, now + Duration::from_millis(wait_ms)),
            OK
        );
    }
    // Other clients still find a whole bucket.
    assert_eq!(taken(&mut limiter, host(9), Operation::Nodes, s(6)), 100);
    assert_eq!(taken(&mut limiter, host(9), Operation::Nodes, s(16)), 10);
    gauge.set(OverloadState::Healthy);
    assert_eq!(taken(&mut limiter, host(9), Operation::Nodes, s(16)), 0);
    assert_eq!(taken(&mut limiter, host(9), Operation::Nodes, s(17)), 10);
}

#[test]
fn an_operation_without_a_limit_is_always_taken() {
    let mut config = RateLimitConfig::default();
    config.set(Operation::JobStatus, None);
    let mut limiter = limiter(config);
    assert_eq!(taken(&mut limiter, host(1), Operation::JobStatus, s(1)), 1_000);
    assert_eq!(taken(&mut limiter, host(1), Operation::JobSubmit, s(1)), 50);
}

#[test]
fn at_the_bound_full_buckets_make_room_and_else_newcomers_share() {
    let mut limiter = limiter(at_most(3));
    for client in 1..=3 {
        assert_eq!(taken(&mut limiter, host(client), Operation::Nodes, s(10)), 100);
    }
    // Nobody's bucket is full: the two that come share one, and the three keep theirs.
    assert_eq!(taken(&mut limiter, host(4), Operation::Nodes, s(10)), 100);
    assert_eq!(taken(&mut limiter, host(5), Operation::Nodes, s(10)), 0);
    assert_eq!(taken(&mut limiter, host(5), Operation::JobSubmit, s(10)), 50);
    assert_eq!(taken(&mut limiter, host(1), Operation::Nodes, s(10)), 0);
    assert!(limiter.bound_hits() >= 2_000);
    // The first comes again; the other two were idle until their buckets were full.
    assert_eq!(taken(&mut limiter, host(1), Operation::Nodes, s(20)), 100);
    assert_eq!(taken(&mut limiter, host(6), Operation::Nodes, s(20)), 100);
    assert_eq!(limiter.clients(), 2);
    assert_eq!(taken(&mut limiter, host(1), Operation::Nodes, s(20)), 0, "it was not forgotten");
}

#[test]
fn who_was_idle_for_long_is_forgotten() {
    let mut limiter = limiter(RateLimitConfig::default());
    for client in 0..1_000 {
        let _taken = limiter.check_rate_limit(host(client), Operation::Cancel, s(1));
    }
    assert_eq!(limiter.clients(), 1_000);
    let _taken = limiter.check_rate_limit(host(5_000), Operation::Cancel, s(301));
    assert_eq!(limiter.clients(), 1);
}

#[test]
fn a_million_clients_take_no_more_room_than_twenty_thousand() {
    let mut limiter = limiter(RateLimitConfig::default());
    let mut now = s(1);
    for client in 0..1_000_000 {
        now = now + Duration::from_micros(20);
        let _taken = limiter.check_rate_limit(host(client), Operation::JobStatus, now);
        // Above the bound by what a table that is written over and over needs to stay quick.
        assert!(limiter.clients() <= 10_000 && limiter.table.capacity() < 30_000);
    }
}

fn node(config: RateLimitConfig) -> NodeRateLimiter {
    NodeRateLimiter::new(config, LoadGauge::default(), 7)
}

#[test]
fn two_links_of_one_client_have_one_bucket_on_whatever_shard() {
    let one = node(RateLimitConfig::default());
    let other = one.clone();
    let addr = IpAddr::from([10, 0, 0, 1]);
    let link = |shard: &NodeRateLimiter, id| shard.link(addr, NodeId(id), s(1)).unwrap();
    let (first, second) = (link(&one, 1), link(&other, 2));
    let ask = |shard: &NodeRateLimiter, client: &LinkedClient| {
        (0..1_000).filter(|_| shard.check(client, Operation::JobStatus, s(1)).is_ok()).count()
    };
    assert_eq!((ask(&one, &first), ask(&other, &second)), (100, 0));
    assert_eq!(
        other.check(&second, Operation::JobStatus, s(1)),
        Err(RateLimited {
            operation: Operation::JobStatus,
            retry_after: Duration::from_millis(100),
            limit: 100,
            remaining: 0
        })
    );
    // Reconnecting does not help.
    drop((first, second));
    assert_eq!(ask(&one, &link(&one, 3)), 0);
    assert_eq!((one.clients(), one.bound_hits()), (1, 0));
}

#[test]
fn a_client_with_a_link_keeps_its_place_however_full_its_buckets_are() {
    let node = node(at_most(1));
    let link = |host: u8, now| node.link(IpAddr::from([10, 0, 0, host]), NodeId(0), now).unwrap();
    let linked = link(1, s(1));
    let (shares, too) = (link(2, s(400)), link(3, s(400)));
    assert_eq!(node.bound_hits(), 2);
    assert_eq!((0..500).filter(|_| node.check(&shares, Operation::Nodes, s(400)).is_ok()).count(), 100);
    assert!(node.check(&too, Operation::Nodes, s(400)).is_err());
    assert!(node.check(&linked, Operation::Nodes, s(400)).is_ok());
    drop(linked);
    let _has_room = link(4, s(500));
    assert_eq!((node.bound_hits(), node.clients()), (2, 1));
}

#[test]
fn whoever_is_exempt_has_no_limit() {
    let mut config = RateLimitConfig::default();
    config.exempt.push("10.0.0.0/24".parse().unwrap());
    let node = node(config);
    assert!(node.link(IpAddr::from([10, 0, 0, 9]), NodeId(1), s(1)).is_none());
    assert!(node.link(IpAddr::from([10, 0, 1, 9]), NodeId(1), s(1)).is_some());
    assert_eq!(node.clients(), 1);
}
