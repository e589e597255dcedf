//! What a greeting may be, and what happens to one that is damaged, grown or too long.
#![allow(clippy::arithmetic_side_effects, reason = "lengths of the test's own greetings")]

use super::*;

fn hello() -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role: Role::Manager,
        version: ProtocolVersion::CURRENT,
        shards: 2,
        shard: ShardId(1),
        in_flight_max: 64,
        features: ProtocolVersion::CURRENT.features(),
        node: NodeId(7),
        boot: 3,
        core_max: 4 << 20,
        idle_timeout_ms: 30_000,
        retry_after_ms: 0,
        node_version: "0.1.0".into(),
        fleet: "default".into(),
        text: String::new(),
        name: "manager-1".into(),
        ports: vec![7001, 7002],
        swim_port: 0,
        oob_port: 0,
    }
}

fn bytes() -> Vec<u8> {
    let mut out = Vec::new();
    hello().encode(&mut out);
    out
}

#[test]
fn a_hello_comes_back_as_it_was() {
    assert_eq!(Hello::decode(&bytes()), Ok(hello()));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let whole = bytes();
    for len in 0..whole.len() {
        assert!(Hello::decode(&whole[..len]).is_err(), "{len} bytes");
    }
    for bit in 0..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Hello::decode(&bad).is_err(), "bit {bit}");
    }
}

#[test]
fn a_newer_tail_is_ignored() {
    let mut grown = bytes();
    grown.truncate(grown.len() - 4);
    grown.extend_from_slice(b"something newer");
    let total = u16::try_from(grown.len() + 4).unwrap();
    grown[8..10].copy_from_slice(&total.to_le_bytes());
    let crc = crc32fast::hash(&grown);
    grown.extend_from_slice(&crc.to_le_bytes());
    assert_eq!(Hello::decode(&grown), Ok(hello()));
}

#[test]
fn a_name_without_characters_or_with_control_characters_is_refused() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        let mut out = Vec::new();
        Hello { name: name.into(), ..hello() }.encode(&mut out);
        assert!(matches!(Hello::decode(&out), Err(HelloError::Field(_))), "{name:?}");
    }
}

#[test]
fn the_longest_hello_fits_and_its_texts_are_cut_between_characters() {
    let long = "ü".repeat(300);
    let mut out = Vec::new();
    let greeting = Hello {
        node_version: long.clone(),
        fleet: long.clone(),
        text: long.clone(),
        ports: vec![7; 5000],
        ..hello()
    };
    greeting.encode(&mut out);
    assert!(out.len() <= HELLO_LEN_MAX, "{} bytes", out.len());
    let read = Hello::decode(&out).unwrap();
    assert_eq!((read.fleet.len(), read.text.len(), read.ports.len()), (64, 254, PORTS_MAX));
    assert!(long.starts_with(&read.text));
}

#[test]
fn a_hello_is_82_bytes_and_its_texts() {
    let texts = hello().node_version.len() + hello().fleet.len() + hello().name.len();
    assert_eq!(bytes().len(), HELLO_LEN_MIN + texts + 2 * hello().ports.len());
}

#[test]
fn another_major_or_fleet_is_refused_with_both_sides_named() {
    let peer = Hello { name: "gate-3".into(), ..hello() };
    assert_eq!(hello().refusal(&peer), None);
    let newer = Hello { version: ProtocolVersion { major: 2, minor: 1 }, ..hello() };
    let text = format!("this node speaks 2.1, peer gate-3 speaks {}", ProtocolVersion::CURRENT);
    assert_eq!(newer.refusal(&peer), Some((Verdict::MajorMismatch, text)));
    let other = Hello { fleet: "staging".into(), ..hello() };
    let text = "this node is of fleet staging, peer gate-3 is of fleet default".to_owned();
    assert_eq!(other.refusal(&peer), Some((Verdict::OtherFleet, text)));
}

#[test]
fn an_unknown_verdict_of_a_newer_version_is_no_welcome() {
    assert!((1..=u8::MAX).all(|number| Verdict::from_wire(number) != Verdict::Welcome));
}
