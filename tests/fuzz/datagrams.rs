//! Datagrams of members: both ports and lists over TCP, damaged and sealed anew, at a member that knows their sender.

use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{NodeId, Role};
use hyperscale_core::{DatagramPort, Instant};
use hyperscale_swim::{
    GroupChecksum, Input, MemberCard, MemberState, Outbox, Output, Seal as _, Swim, SwimConfig,
};

use crate::{Rng, Shown, Tally, rounds};

fn card(node: u16) -> MemberCard {
    let addr = SocketAddr::from(([127, 0, 0, 1], 7_000 + node));
    MemberCard { node: NodeId(u128::from(node)), boot: 1, addr, oob_port: 9_000 + node, role: Role::Worker }
}

fn member(node: u16, peers: &[u16], now: Instant) -> Swim {
    let mut swim = Swim::new(SwimConfig::lan(), card(node), u64::from(node), now);
    let mut out = Outbox::new();
    for peer in peers {
        swim.handle(now, Input::Seen { card: card(*peer) }, &mut out);
    }
    swim
}

/// What two members of a group say to each other in ten seconds, one of them asked out of band too.
fn honest() -> Vec<(DatagramPort, Vec<u8>)> {
    let mut said = Vec::new();
    let start = Instant(1);
    let mut swims = [member(1, &[2, 3], start), member(2, &[1, 3], start)];
    let mut out = Outbox::new();
    for tick in 0..1_000_u64 {
        let now = start + Duration::from_millis(tick * 10);
        for at in 0..2 {
            if tick == 500 {
                let ask = Input::ProbeOutOfBand {
                    node: NodeId(2 - at as u128),
                    timeout: Duration::from_millis(300),
                };
                swims[at].handle(now, ask, &mut out);
            }
            if swims[at].next_deadline().is_some_and(|due| due <= now) {
                swims[at].handle(now, Input::Timer, &mut out);
            }
            let mut sent = Vec::new();
            for output in out.list() {
                if let Output::Datagram { port, range, .. } = output {
                    sent.push((*port, out.bytes(range.clone()).to_vec()));
                }
            }
            out.clear();
            for (port, bytes) in sent {
                let from = card(u16::try_from(at).unwrap() + 1).addr;
                let input = match port {
                    DatagramPort::Membership => Input::Datagram { from, bytes: &bytes },
                    DatagramPort::Health => Input::OutOfBand { from, bytes: &bytes },
                };
                swims[1 - at].handle(now, input, &mut out);
                said.push((port, bytes));
            }
        }
    }
    said
}

#[test]
fn no_datagram_panics_a_member_or_makes_it_grow() {
    let (said, mut rng, mut tally) = (honest(), Rng(0xda7a), Tally::default());
    assert!(said.iter().any(|(port, _)| *port == DatagramPort::Health));
    let mut now = Instant(1) + Duration::from_secs(1);
    let mut swim = member(3, &[1, 2], now);
    let mut out = Outbox::new();
    rounds(20_000, |round| {
        let (port, good) = rng.pick(&said);
        let (_, other) = rng.pick(&said);
        let mut bad = rng.mutate(good, other);
        // Sealed, as whoever knows the group can: else the checksum alone would be tried.
        if rng.below(8) > 0 {
            GroupChecksum::new(0).seal(&mut bad);
        }
        let _shown = Shown(round, &bad);
        now = now + Duration::from_millis(u64::try_from(rng.below(40)).unwrap());
        let before = swim.counters();
        let from = card(u16::try_from(rng.below(4)).unwrap()).addr;
        let input = match (rng.below(16), port) {
            (0, _) => Input::PushPull { bytes: &bad },
            (_, DatagramPort::Membership) => Input::Datagram { from, bytes: &bad },
            (_, DatagramPort::Health) => Input::OutOfBand { from, bytes: &bad },
        };
        swim.handle(now, input, &mut out);
        if swim.next_deadline().is_some_and(|due| due <= now) {
            swim.handle(now, Input::Timer, &mut out);
        }
        for output in out.list() {
            if let Output::Datagram { range, .. } = output {
                assert!(range.len() <= 1_400, "{} bytes", range.len());
            }
        }
        out.clear();
        let after = swim.counters();
        let refused = |c: &hyperscale_swim::SwimCounters| {
            c.rejected_malformed + c.rejected_seal + c.rejected_key + c.rejected_version + c.rejected_own
        };
        tally.note(refused(&before) == refused(&after));
        assert!(swim.members().count() <= 1_024 + 3, "strangers fill the table");
        assert!(swim.members().all(|member| member.state <= MemberState::Left));
    });
}
