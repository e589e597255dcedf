//! What membership costs a core: messages handled per second, and a node-second of a quiet group.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_codec::{NodeId, Role};
use hyperscale_core::Instant;
use hyperscale_swim::{DatagramPort, Input, MemberCard, Outbox, Output, SharedMembers, Swim, SwimConfig};

fn card(at: u64) -> MemberCard {
    let addr = SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 7_000));
    MemberCard { node: NodeId(u128::from(at) + 1), boot: 1, addr, oob_port: 0, role: Role::Worker }
}

/// Pings of node `at` at one that knows `size` members, as many as `count`.
fn pings(size: u64, word: bool, count: usize) -> (Swim, Vec<(SocketAddr, Vec<u8>)>) {
    let shared = SharedMembers::new((0..size).map(card), Instant(0));
    let target = Swim::with_members(SwimConfig::lan(), card(0), 7, Instant(0), &shared);
    // Askers that know but the target and themselves: every probe is for it.
    let pair = |at| SharedMembers::new([card(0), card(at)], Instant(0));
    let mut askers: Vec<Swim> = (1..size.min(100))
        .map(|at| {
            Swim::with_members(
                SwimConfig { tcp_probe: false, ..SwimConfig::lan() },
                card(at),
                at,
                Instant(0),
                &pair(at),
            )
        })
        .collect();
    let mut answerer = target_again(&target, size);
    let (mut made, mut out, mut back) = (Vec::new(), Outbox::new(), Outbox::new());
    let mut now = Instant(1);
    for _ in 0..count {
        now = now + Duration::from_millis(500);
        for asker in &mut askers {
            out.clear();
            if word {
                let word = HealthPiggyback { accepting_work: true, ..HealthPiggyback::default() };
                asker.handle(now, Input::OwnHealth(word), &mut out);
            }
            asker.handle(now, Input::Timer, &mut out);
            for output in out.list() {
                let Output::Datagram { range, .. } = output else { continue };
                let bytes = out.bytes(range.clone());
                let from = asker_addr(bytes);
                made.push((from, bytes.to_vec()));
                back.clear();
                answerer.handle(now, Input::Datagram { from, bytes }, &mut back);
            }
            for output in back.list() {
                let Output::Datagram { range, .. } = output else { continue };
                let bytes = back.bytes(range.clone());
                asker.handle(now, Input::Datagram { from: card(0).addr, bytes }, &mut Outbox::new());
            }
            back.clear();
        }
        if made.len() >= count {
            break;
        }
    }
    assert!(made.len() >= count / 2, "{} pings were made", made.len());
    (target, made)
}

/// Where the sender of a datagram lives: its id says so.
fn asker_addr(bytes: &[u8]) -> SocketAddr {
    let low = bytes.get(23).copied().unwrap_or_default();
    card(u64::from(low).saturating_sub(1)).addr
}

fn answer_pings(c: &mut Criterion) {
    let mut group = c.benchmark_group("answer a ping");
    for (name, size, word) in
        [("8 members", 8, false), ("1000 members", 1_000, false), ("with words", 1_000, true)]
    {
        let (target, made) = pings(size, word, 2_000);
        group.throughput(Throughput::Elements(made.len() as u64));
        group.bench_function(name, |b| {
            let mut out = Outbox::new();
            b.iter_batched_ref(
                || target_again(&target, size),
                |swim| {
                    for (from, bytes) in &made {
                        out.clear();
                        swim.handle(
                            Instant(2),
                            Input::Datagram { from: *from, bytes: black_box(bytes) },
                            &mut out,
                        );
                    }
                    assert_eq!(swim.counters().datagrams_out, made.len() as u64, "each was answered");
                },
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// A node that has not seen those pings yet, or they would be replays.
fn target_again(target: &Swim, size: u64) -> Swim {
    let shared = SharedMembers::new((0..size).map(card), Instant(0));
    Swim::with_members(target.config().clone(), card(0), 7, Instant(0), &shared)
}

/// A quiet group: every timer, ping and answer of a virtual second, in one thread.
fn quiet_group(c: &mut Criterion) {
    let size = 1_000_u64;
    let shared = SharedMembers::new((0..size).map(card), Instant(0));
    let mut nodes: Vec<Swim> = (0..size)
        .map(|at| {
            Swim::with_members(
                SwimConfig { push_pull_interval: Duration::from_secs(100_000), ..SwimConfig::lan() },
                card(at),
                at,
                Instant(0),
                &shared,
            )
        })
        .collect();
    let mut out = [Outbox::new(), Outbox::new()];
    let mut now = Instant(1);
    let mut group = c.benchmark_group("quiet group of 1000");
    group.throughput(Throughput::Elements(size));
    group.sample_size(20);
    group.bench_function("a virtual second, per node", |b| {
        b.iter(|| {
            // Two ticks of 500 ms; within each every node's probe is due.
            for _ in 0..2 {
                now = now + Duration::from_millis(500);
                for at in 0..nodes.len() {
                    let [first, second] = &mut out;
                    first.clear();
                    second.clear();
                    let Some(node) = nodes.get_mut(at) else { continue };
                    if node.next_deadline().is_some_and(|due| due <= now) {
                        node.handle(now, Input::Timer, first);
                    }
                    pass(&mut nodes, card(at as u64).addr, first, second, now);
                    first.clear();
                    pass(&mut nodes, card(at as u64).addr, second, first, now);
                }
            }
        });
    });
    let counters = nodes.iter().map(Swim::counters);
    let (handled, failed) = counters.fold((0, 0), |sum, c| (sum.0 + c.datagrams_in, sum.1 + c.probes_failed));
    assert!(failed == 0, "of {handled} datagrams' group {failed} probes failed: it was not quiet");
    group.finish();
}

fn pass(nodes: &mut [Swim], from: SocketAddr, given: &Outbox, made: &mut Outbox, now: Instant) {
    for output in given.list() {
        let Output::Datagram { to: SocketAddr::V4(to), range, port: DatagramPort::Membership } = output
        else {
            continue;
        };
        let [_, _, high, low] = to.ip().octets();
        if let Some(node) = nodes.get_mut(usize::from(high) << 8 | usize::from(low)) {
            node.handle(now, Input::Datagram { from, bytes: given.bytes(range.clone()) }, made);
        }
    }
}

criterion_group!(benches, answer_pings, quiet_group);
criterion_main!(benches);
