use hyperscale_codec::{Features, Hello, ProtocolVersion, Role};
use hyperscale_core::Effect;

use super::*;

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn peer(node: u128, shard: u16, ports: &[u16]) -> Peer {
    let hello = Hello {
        verdict: Verdict::Welcome,
        role: Role::Gate,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(shard),
        in_flight_max: 1,
        features: Features::default(),
        node: NodeId(node),
        boot: 1,
        core_max: 1,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: String::new(),
        text: String::new(),
        name: "g".to_owned(),
        ports: ports.to_vec(),
        swim_port: 0,
        oob_port: 0,
    };
    Peer { addr: addr(1), hello }
}

/// The dials that are due.
fn go(dialer: &mut Dialer, now: Instant) -> Vec<(DialId, u16)> {
    let mut effects = Effects::<()>::default();
    dialer.go(now, &mut effects);
    let dials = effects.list().iter().map(|effect| match effect {
        Effect::Dial { dial, addr } => (*dial, addr.port()),
        other @ (Effect::Send { .. }
        | Effect::Datagram { .. }
        | Effect::Close { .. }
        | Effect::Refused { .. }
        | Effect::Command(())) => panic!("{other:?}"),
    });
    dials.collect()
}

fn failed() -> DialError {
    DialError::Connect { addr: addr(1), reason: "refused".to_owned() }
}

#[test]
fn a_target_is_dialled_once_and_again_after_a_growing_wait() {
    let mut dialer = Dialer::new(Some(addr(9)), 1);
    let mut now = Instant(5);
    dialer.join(now, addr(1));
    dialer.join(now, addr(1));
    dialer.join(now, addr(9));
    let mut waits = Vec::new();
    for _ in 0..12 {
        let dials = go(&mut dialer, now);
        assert_eq!(dials.len(), 1, "one target, and never this node itself");
        assert_eq!(go(&mut dialer, now), []);
        dialer.on_failed(now, dials[0].0, &failed());
        let next = dialer.next_deadline().unwrap();
        waits.push(next.since(now).as_millis());
        now = next;
    }
    assert!((50..=100).contains(&waits[0]), "{waits:?}");
    assert!(waits[6..].iter().all(|wait| (2_500..=5_000).contains(wait)), "{waits:?}");
}

#[test]
fn an_address_that_a_peer_told_is_forgotten_when_nobody_is_there() {
    let mut dialer = Dialer::new(None, 1);
    let mut now = Instant(5);
    dialer.learn(now, "10.0.0.1:1");
    dialer.learn(now, "no address");
    for _ in 0..LEARNED_FAILURES_MAX {
        let dials = go(&mut dialer, now);
        dialer.on_failed(now, dials[0].0, &failed());
        now = dialer.next_deadline().unwrap_or(now);
    }
    assert_eq!(dialer.next_deadline(), None);
}

#[test]
fn a_peer_of_another_version_is_left_alone_for_a_minute_and_a_full_one_as_long_as_it_says() {
    for (verdict, told, want) in [
        (Verdict::MajorMismatch, 1_000, 60_000),
        (Verdict::Draining, 1_500, 1_500),
        (Verdict::Overloaded, 0, 100),
    ] {
        let mut dialer = Dialer::new(None, 1);
        dialer.join(Instant(5), addr(1));
        let dials = go(&mut dialer, Instant(5));
        let refused = DialError::Refused {
            addr: addr(1),
            verdict: verdict as u8,
            text: String::new(),
            retry_after_ms: told,
        };
        dialer.on_failed(Instant(5), dials[0].0, &refused);
        assert_eq!(dialer.next_deadline().unwrap().since(Instant(5)).as_millis(), want);
    }
}

#[test]
fn every_shard_of_a_node_is_dialled_on_its_own_port_and_the_shared_address_rests() {
    let mut dialer = Dialer::new(None, 1);
    let now = Instant(5);
    dialer.join(now, addr(1));
    let dials = go(&mut dialer, now);
    assert_eq!(dialer.on_up(now, dials[0].0, LinkId(1), &peer(7, 1, &[21, 22])), Dialled::Close);
    dialer.on_down(now, LinkId(1));
    let dials = go(&mut dialer, now);
    assert_eq!(dials.iter().map(|(_, port)| *port).collect::<Vec<_>>(), [21, 22]);
    for (shard, (dial, _)) in dials.iter().enumerate() {
        let shard = u16::try_from(shard).unwrap();
        let up = dialer.on_up(now, *dial, LinkId(2 + u64::from(shard)), &peer(7, shard, &[21, 22]));
        assert_eq!(up, Dialled::Keep);
        dialer.settled(LinkId(2 + u64::from(shard)));
    }
    assert_eq!(dialer.next_deadline(), None);
    // The node dies for good: its own ports are given up, and the configured address is dialled again.
    let mut now = now;
    for link in [2, 3] {
        dialer.on_down(now, LinkId(link));
    }
    let mut ports = Vec::new();
    for _ in 0..200 {
        for (dial, port) in go(&mut dialer, now) {
            ports.push(port);
            dialer.on_failed(now, dial, &failed());
        }
        now = now + Duration::from_secs(5);
    }
    assert!(ports.ends_with(&[1, 1, 1]), "{ports:?}");
}

#[test]
fn two_addresses_of_one_shard_make_one_link() {
    let mut dialer = Dialer::new(None, 1);
    let now = Instant(5);
    dialer.join(now, addr(1));
    dialer.join(now, addr(2));
    let dials = go(&mut dialer, now);
    assert_eq!(dialer.on_up(now, dials[0].0, LinkId(1), &peer(7, 0, &[1])), Dialled::Keep);
    assert_eq!(dialer.on_up(now, dials[1].0, LinkId(2), &peer(7, 0, &[1])), Dialled::Close);
    assert_eq!(dialer.on_up(now, DialId(77), LinkId(3), &peer(8, 0, &[])), Dialled::Close);
}
