//! Bytes that no honest member would send (`reliability.md` 5, 34 to 44).

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{NodeId, Role};
use hyperscale_core::Instant;
use hyperscale_swim::{
    Input, MemberCard, MemberState, Outbox, Output, Seal, SharedMembers, Swim, SwimConfig, SwimCounters,
};
use proptest::prelude::*;

use crate::network::{card, id};

const NOW: Instant = Instant(10_000_000_000);

fn swim(config: SwimConfig) -> Swim {
    let shared = SharedMembers::new((0..8).map(|at| card(at, 1)), Instant(0));
    Swim::with_members(config, card(0, 1), 1, NOW, &shared)
}

/// A datagram made by hand, as `wire.rs` lays it out.
struct Forged(Vec<u8>);

impl Forged {
    fn new(kind: u8, sender: NodeId, counter: u64) -> Self {
        let mut bytes = vec![0x48, 0x53, 1, 0, kind, 1, 0, 0];
        bytes.extend_from_slice(&sender.to_bytes());
        bytes.extend_from_slice(&1_u64.to_le_bytes());
        bytes.extend_from_slice(&counter.to_le_bytes());
        bytes.extend_from_slice(&[0; 24]);
        Self(bytes)
    }

    fn head(mut self, seq: u32, target: NodeId, wait_ms: u16) -> Self {
        self.0.extend_from_slice(&[1, 34, 0]);
        self.0.extend_from_slice(&seq.to_le_bytes());
        self.0.extend_from_slice(&target.to_bytes());
        self.0.extend_from_slice(&1_u32.to_le_bytes());
        self.0.extend_from_slice(&0_u64.to_le_bytes());
        self.0.extend_from_slice(&wait_ms.to_le_bytes());
        self
    }

    /// Claims without accusers.
    fn claims(mut self, claims: &[(MemberCard, u64, MemberState)]) -> Self {
        let mut section = Vec::new();
        for (card, incarnation, state) in claims {
            section.push(*state as u8 | ((card.role as u8) << 4));
            section.extend_from_slice(&card.node.to_bytes());
            section.extend_from_slice(&(card.boot as u32).to_le_bytes());
            section.extend_from_slice(&incarnation.to_le_bytes());
            section.extend_from_slice(&card.oob_port.to_le_bytes());
            let SocketAddr::V4(addr) = card.addr else { panic!() };
            section.extend_from_slice(&addr.ip().octets());
            section.extend_from_slice(&addr.port().to_le_bytes());
        }
        self.0.push(2);
        self.0.extend_from_slice(&(section.len() as u16).to_le_bytes());
        self.0.extend_from_slice(&section);
        self
    }

    fn sealed(mut self) -> Vec<u8> {
        hyperscale_swim::GroupChecksum::new(0).seal(&mut self.0);
        self.0
    }
}

fn ping(counter: u64) -> Vec<u8> {
    Forged::new(1, id(1), counter).head(7, id(0), 0).sealed()
}

/// Gives it to a fresh node; what was counted, and what came out.
fn outcome(bytes: &[u8]) -> (SwimCounters, Vec<Output>) {
    let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    swim.handle(NOW, Input::Datagram { from: card(1, 1).addr, bytes }, &mut out);
    let counters = swim.counters();
    assert_eq!((counters.datagrams_in, counters.in_bytes), (1, bytes.len() as u64));
    (counters, out.list().to_vec())
}

#[test]
fn bad_34_to_39_are_dropped_and_counted_by_class() {
    let good = ping(1);
    assert_eq!(outcome(&good).1.len(), 1);
    for (bad, class) in [
        (Vec::new(), 0),
        (vec![0; 9_000], 0),
        (vec![7; 200], 0),
        (good.iter().enumerate().map(|(at, b)| if at == 90 { b ^ 1 } else { *b }).collect(), 1),
        (good.iter().enumerate().map(|(at, b)| if at == 5 { 9 } else { *b }).collect(), 2),
        (good.iter().enumerate().map(|(at, b)| if at == 5 { 0 } else { *b }).collect(), 2),
        (good.iter().enumerate().map(|(at, b)| if at == 2 { 2 } else { *b }).collect(), 3),
        (Forged::new(1, id(0), 1).head(7, id(0), 0).sealed(), 4),
        (Forged::new(99, id(1), 1).head(7, id(0), 0).sealed(), 0),
        (Forged::new(1, id(1), 1).sealed(), 0),
        (Forged::new(6, id(1), 1).head(7, id(0), 0).sealed(), 0),
    ] {
        let (counters, outputs) = outcome(&bad);
        let all = [
            counters.rejected_malformed,
            counters.rejected_seal,
            counters.rejected_key,
            counters.rejected_version,
            counters.rejected_own,
        ];
        let mut want = [0; 5];
        want[class] = 1;
        assert_eq!((all, outputs), (want, vec![]), "{} bytes", bad.len());
    }
}

#[test]
fn bad_37_a_replay_changes_nothing_and_is_counted() {
    let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    let from = card(1, 1).addr;
    let dead = [(card(2, 1), 0, MemberState::Dead)];
    let bytes = Forged::new(1, id(1), 5).head(7, id(0), 0).claims(&dead).sealed();
    swim.handle(NOW, Input::Datagram { from, bytes: &bytes }, &mut out);
    assert_eq!(swim.member(id(2)).unwrap().state, MemberState::Dead);
    out.clear();
    for _ in 0..1_000 {
        swim.handle(NOW, Input::Datagram { from, bytes: &bytes }, &mut out);
    }
    assert!(out.is_empty());
    assert_eq!(swim.counters().rejected_replay, 1_000);
    // The same word in a new datagram: known, so nothing changes either.
    let again = Forged::new(5, id(1), 6).head(0, id(0), 0).claims(&dead).sealed();
    swim.handle(NOW, Input::Datagram { from, bytes: &again }, &mut out);
    assert!(out.is_empty());
}

#[test]
fn who_names_no_address_stays_where_it_was_seen_and_a_newcomer_without_one_is_refused() {
    let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    let nowhere = |n| MemberCard { addr: SocketAddr::from(([0, 0, 0, 0], 7_777)), ..card(n, 1) };
    let alive = [(nowhere(2), 1, MemberState::Alive), (nowhere(77), 0, MemberState::Alive)];
    let bytes = Forged::new(5, id(1), 5).head(0, id(0), 0).claims(&alive).sealed();
    swim.handle(NOW, Input::Datagram { from: card(1, 1).addr, bytes: &bytes }, &mut out);
    let known = swim.member(id(2)).unwrap();
    assert_eq!((known.incarnation, known.card.addr.ip()), (1, card(2, 1).addr.ip()));
    assert_eq!(known.card.addr.port(), 7_777);
    assert!(swim.member(id(77)).is_none());
    assert_eq!(swim.counters().claims_refused, 1);
}

#[test]
fn bad_40_own_death_is_refuted_five_times_in_ten_seconds() {
    let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    let mut now = NOW;
    for round in 0..200_u64 {
        let claims = [(card(0, 1), swim.incarnation(), MemberState::Dead)];
        let bytes = Forged::new(5, id(1), round + 1).head(0, id(0), 0).claims(&claims).sealed();
        swim.handle(now, Input::Datagram { from: card(1, 1).addr, bytes: &bytes }, &mut out);
        now = now + Duration::from_millis(49);
    }
    assert_eq!((swim.incarnation(), swim.counters().refutations), (5, 5));
    assert!(swim.counters().refutations_merged > 100);
    swim.handle(NOW + Duration::from_secs(10), Input::Timer, &mut out);
    assert_eq!((swim.incarnation(), swim.counters().refutations), (6, 6));
}

#[test]
fn bad_41_incarnations_that_leap_are_refused() {
    let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    let leap = (1 << 20) + 1;
    let claims = [
        (card(2, 1), leap, MemberState::Dead),
        (card(0, 1), u64::MAX, MemberState::Dead),
        (card(900, 1), leap, MemberState::Alive),
        (card(0, 9), 0, MemberState::Dead),
    ];
    let bytes = Forged::new(5, id(1), 1).head(0, id(0), 0).claims(&claims).sealed();
    swim.handle(NOW, Input::Datagram { from: card(1, 1).addr, bytes: &bytes }, &mut out);
    assert_eq!((swim.counters().claims_refused, swim.incarnation()), (4, 0));
    assert_eq!(swim.member(id(2)).unwrap().state, MemberState::Alive);
    assert!(swim.member(id(900)).is_none());
}

#[test]
fn bad_42_a_million_forged_members_grow_nothing() {
    let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    let from = card(1, 1).addr;
    for batch in 0..40_000_u64 {
        let forged: Vec<_> = (0..25_u64)
            .map(|at| {
                let node = NodeId(0xffff_0000 + u128::from(batch * 25 + at) * 0x1_0001);
                let addr = SocketAddr::from(([172, 16, batch as u8, at as u8], 1));
                (MemberCard { node, boot: 1, addr, oob_port: 0, role: Role::Worker }, 0, MemberState::Alive)
            })
            .collect();
        let bytes = Forged::new(5, id(1), batch + 1).head(0, id(0), 0).claims(&forged).sealed();
        swim.handle(NOW, Input::Datagram { from, bytes: &bytes }, &mut out);
        out.clear();
    }
    let unverified = swim.members().filter(|view| !view.verified).count();
    assert_eq!((swim.members().count(), unverified), (7 + 1_024, 1_024));
    assert_eq!(swim.counters().members_dropped, 1_000_000 - 1_024);
    // Those who were proven are all there.
    assert!((1..8).all(|at| swim.member(id(at)).is_some_and(|view| view.verified)));
}

#[test]
fn bad_43_an_answer_to_a_forged_source_is_no_bigger_than_the_question() {
    let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    // Plenty to tell.
    let dead: Vec<_> = (2..8).map(|at| (card(at, 1), 0, MemberState::Dead)).collect();
    let news = Forged::new(5, id(1), 1).head(0, id(0), 0).claims(&dead).sealed();
    swim.handle(NOW, Input::Datagram { from: card(1, 1).addr, bytes: &news }, &mut out);
    swim.handle(NOW, Input::OwnHealth(Default::default()), &mut out);
    out.clear();
    let victim: SocketAddr = "192.0.2.9:53".parse().unwrap();
    for (sender, counter) in [(id(1), 2), (NodeId(0xdead), 1), (id(3), 1)] {
        let question = Forged::new(1, sender, counter).head(7, id(0), 0).sealed();
        out.clear();
        swim.handle(NOW, Input::Datagram { from: victim, bytes: &question }, &mut out);
        let [Output::Datagram { to, range, .. }] = out.list() else { panic!("{:?}", out.list()) };
        assert!(*to == victim && range.len() <= question.len());
    }
    out.clear();
    let question = Forged::new(1, id(1), 3).head(7, id(0), 0).sealed();
    swim.handle(NOW, Input::Datagram { from: card(1, 1).addr, bytes: &question }, &mut out);
    let [Output::Datagram { range, .. }] = out.list() else { panic!() };
    assert!(range.len() > question.len(), "a known source gets all the news");
}

#[test]
fn bad_44_a_request_to_probe_a_stranger_is_refused() {
    for (sender, target) in [(id(1), NodeId(0xdead)), (NodeId(0xdead), id(1))] {
        let (counters, outputs) = outcome(&Forged::new(2, sender, 1).head(7, target, 250).sealed());
        assert_eq!((counters.rejected_stranger, outputs), (1, vec![]));
    }
    let (counters, outputs) = outcome(&Forged::new(2, id(1), 1).head(7, id(2), 250).sealed());
    assert_eq!((counters.rejected_stranger, outputs.len()), (0, 1));
}

#[test]
fn another_groups_datagrams_and_lists_are_refused() {
    let mut theirs = swim(SwimConfig { group: 2, ..SwimConfig::lan() });
    let mut list = Vec::new();
    theirs.push_pull(NOW, &mut list);
    let (mut ours, mut out) = (swim(SwimConfig::lan()), Outbox::new());
    ours.handle(NOW, Input::PushPull { bytes: &list }, &mut out);
    ours.handle(NOW, Input::PushPull { bytes: &[] }, &mut out);
    ours.handle(NOW, Input::PushPull { bytes: &ping(1) }, &mut out);
    assert_eq!((ours.counters().rejected_seal, ours.counters().rejected_malformed), (1, 2));
    assert!(out.is_empty());
}

#[test]
fn a_list_of_all_members_travels_whole() {
    let shared = SharedMembers::new((0..16_000).map(|at| card(at, 1)), Instant(0));
    let mut big = Swim::with_members(SwimConfig::lan(), card(16_000, 1), 1, NOW, &shared);
    let mut list = Vec::new();
    big.push_pull(NOW, &mut list);
    assert!(list.len() < hyperscale_swim::LIST_BYTES_MAX);
    let mut other = Swim::new(SwimConfig::lan(), card(16_001, 1), 2, NOW);
    let mut out = Outbox::new();
    other.handle(NOW, Input::PushPull { bytes: &list }, &mut out);
    assert_eq!(other.live(), 16_001);
}

proptest! {
    #[test]
    fn random_datagrams_never_panic(body in proptest::collection::vec(any::<u8>(), 0..1_300), kind in 0..20_u8, target in 0..9_usize) {
        let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
        let mut forged = Forged::new(kind, id(1), 1).head(1, id(target), 9);
        forged.0.extend_from_slice(&body);
        let bytes = forged.sealed();
        swim.handle(NOW, Input::Datagram { from: card(1, 1).addr, bytes: &bytes }, &mut out);
        swim.handle(NOW, Input::OutOfBand { from: card(1, 1).addr, bytes: &bytes }, &mut out);
        swim.handle(NOW, Input::PushPull { bytes: &bytes }, &mut out);
        swim.handle(NOW, Input::Datagram { from: card(1, 1).addr, bytes: &body }, &mut out);
    }

    #[test]
    fn random_claims_keep_the_table_whole(claims in proptest::collection::vec((0..12_usize, 0..3_u64, 0..4_u64, 0..4_u8, 0..3_u64), 0..120)) {
        let (mut swim, mut out) = (swim(SwimConfig::lan()), Outbox::new());
        let mut now = NOW;
        for (counter, (node, boot, incarnation, state, pause)) in claims.into_iter().enumerate() {
            let state = MemberState::from_wire(state).unwrap();
            let before = swim.member(id(node));
            let bytes = Forged::new(5, id(1), counter as u64 + 1)
                .head(0, id(0), 0)
                .claims(&[(card(node, boot), incarnation, state)])
                .sealed();
            swim.handle(now, Input::Datagram { from: card(1, 1).addr, bytes: &bytes }, &mut out);
            if let (Some(before), Some(after)) = (before, swim.member(id(node))) {
                prop_assert!((after.card.boot, after.incarnation, after.state) >= (before.card.boot, before.incarnation, before.state));
            }
            now = now + Duration::from_millis(pause * 700);
            if swim.next_deadline().is_some_and(|due| due <= now) {
                swim.handle(now, Input::Timer, &mut out);
            }
            prop_assert_eq!(swim.live() as usize, swim.members().filter(|view| view.state.is_live()).count());
        }
    }
}
