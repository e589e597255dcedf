//! What was written is read again; everything else is refused without a panic.

#![allow(clippy::arithmetic_side_effects, reason = "lengths of what the test itself made")]

use proptest::prelude::*;

use super::*;
use crate::seal::GroupChecksum;

const SEAL: GroupChecksum = GroupChecksum::new(3);

fn claim(v6: bool, state: MemberState) -> Claim {
    let addr = if v6 { "[2001:db8::7]:7001" } else { "10.1.2.3:7001" };
    let card = MemberCard {
        node: NodeId(0x1234_5678_9abc),
        boot: 7,
        addr: addr.parse().unwrap(),
        oob_port: 7002,
        role: Role::Worker,
    };
    let accuser = if state == MemberState::Suspect { NodeId(99) } else { NodeId(0) };
    Claim { card, incarnation: u64::MAX, state, accuser }
}

fn word() -> HealthPiggyback {
    HealthPiggyback {
        node_id: [7; 16],
        node_type: 3,
        boot: 1,
        incarnation: 2,
        seq: 3,
        accepting_work: true,
        capacity: 4,
        throughput: 0.5,
        expected_throughput: 1.5,
        overload_state: 3,
        lhm: 8,
    }
}

fn all_claims() -> Vec<Claim> {
    use MemberState::{Alive, Dead, Left, Suspect};
    let states = [Alive, Suspect, Dead, Left];
    states.into_iter().flat_map(|state| [claim(false, state), claim(true, state)]).collect()
}

const HEAD_SENT: Head = Head { seq: 5, target: NodeId(6), boot: 7, incarnation: 8, wait_ms: 9 };

fn full() -> Vec<u8> {
    let mut out = Vec::new();
    begin(&mut out, DatagramKind::PingReq, WANTS_NACK, NodeId(42), [1, 2, 3]);
    write_head(&mut out, HEAD_SENT);
    let at = begin_claims(&mut out);
    for claim in all_claims() {
        let before = out.len();
        write_claim(&mut out, &claim);
        assert_eq!(out.len() - before, claim_len(&claim));
        assert!(claim_len(&claim) <= CLAIM_LEN_MAX);
    }
    end_section(&mut out, at);
    // A section of a newer minor.
    out.extend_from_slice(&[200, 3, 0, 1, 2, 3]);
    let at = begin_words(&mut out);
    write_word(&mut out, &word());
    assert_eq!(out.len() - at, WORD_LEN);
    end_section(&mut out, at);
    let at = begin_words(&mut out);
    end_section(&mut out, at);
    finish(&mut out, 0, &SEAL);
    out
}

#[test]
fn what_is_written_is_read() {
    let (bytes, mut scratch) = (full(), Vec::new());
    let datagram = read(&bytes, 1_400, &SEAL, &mut scratch).unwrap();
    assert_eq!((datagram.kind, datagram.flags), (DatagramKind::PingReq, WANTS_NACK));
    assert_eq!((datagram.sender, datagram.instance, datagram.counter), (NodeId(42), 1, 2));
    assert_eq!(datagram.head, HEAD_SENT);
    assert_eq!(datagram.claims().collect::<Vec<_>>(), all_claims());
    assert_eq!(datagram.words().collect::<Vec<_>>(), [word()]);
}

#[test]
fn a_word_out_of_range_is_read_carefully() {
    let bad = HealthPiggyback {
        throughput: f32::NAN,
        expected_throughput: -1.0,
        overload_state: 9,
        lhm: 200,
        ..word()
    };
    let good = cleaned(bad);
    assert_eq!((good.throughput, good.expected_throughput, good.overload_state, good.lhm), (0.0, 0.0, 2, 8));
}

#[test]
fn truncated_and_sealed_again_is_malformed_or_shorter() {
    let whole = full();
    let mut scratch = Vec::new();
    for len in 0..whole.len() {
        let mut cut = whole[..len].to_vec();
        assert!(read(&cut, 1_400, &SEAL, &mut scratch).is_err());
        SEAL.seal(&mut cut);
        if let Ok(datagram) = read(&cut, 1_400, &SEAL, &mut scratch) {
            assert!(datagram.claims().count() <= 8 && datagram.words().count() <= 1);
        }
    }
}

proptest! {
    #[test]
    fn random_sealed_sections_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..20_u8) {
        let mut out = Vec::new();
        begin(&mut out, DatagramKind::Gossip, 0, NodeId(1), [1, 1, 1]);
        out[4] = kind;
        write_head(&mut out, Head::default());
        out.extend_from_slice(&body);
        finish(&mut out, 0, &SEAL);
        let mut scratch = Vec::new();
        if let Ok(datagram) = read(&out, 1_400, &SEAL, &mut scratch) {
            let _counted = datagram.claims().count() + datagram.words().count();
            let _body = datagram.oob();
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
        let mut scratch = Vec::new();
        prop_assert!(read(&bytes, 1_400, &SEAL, &mut scratch).is_err());
    }
}
