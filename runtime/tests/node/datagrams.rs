//! Datagrams: to the core and from it, lost where they must be, never cut, never in the way of health probes.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_core::DatagramPort::{Health, Membership};
use hyperscale_runtime::tcp::{ListenError, bind};
use hyperscale_runtime::udp::{DATAGRAM_MAX, DatagramPorts, bind_ports, bind_udp};
use hyperscale_runtime::{Guard, NodeDriver, NodeError, NodeHandle, Shard, StopReason, clock};

use crate::raw::{Raw, counted, greeting};
use crate::support::*;
use crate::tell;

/// A gate with both ports.
fn gate(shard: &Shard, core: Scribe) -> NodeHandle<Scribe> {
    let (listeners, ports) = bind_ports(loopback(), 1).unwrap();
    NodeDriver::start_on(shard, config(Role::Gate, 1), listeners, ports, Guard::new(Role::Gate), core, again)
}

/// Where a gate's ports are: membership, then health.
fn addrs(gate: &NodeHandle<Scribe>) -> [SocketAddr; 2] {
    [Membership, Health].map(|port| gate.datagram_addr(port).unwrap())
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// Sends a datagram, and gives the length of the answer and whom it is from.
fn ask(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) -> (usize, SocketAddr) {
    socket.send_to(bytes, to).unwrap();
    socket.recv_from(&mut [0; 65_535]).unwrap()
}

fn lengths(gate: &NodeHandle<Scribe>) -> Vec<usize> {
    gate.with_core(|core| core.datagrams.iter().map(|(_, len)| *len).collect())
}

#[test]
fn a_datagram_is_answered_from_the_port_it_came_to_and_a_greeting_tells_the_ports() {
    let _watch = watch("a_datagram_is_answered_from_the_port_it_came_to_and_a_greeting_tells_the_ports");
    run_one(|shard| async move {
        let gate = gate(&shard, echo());
        let ([membership, health], frames) = (addrs(&gate), gate.addr().unwrap());
        assert_eq!(membership, frames, "the same number, for TCP and UDP");
        let (answers, hello) = shard
            .blocking(move || {
                let peer = peer();
                let answers = [membership, health].map(|to| ask(&peer, to, b"hello"));
                (answers, Raw::greet(frames, &greeting()).1)
            })
            .await
            .unwrap();
        assert_eq!(answers, [(5, membership), (5, health)]);
        assert_eq!((hello.swim_port, hello.oob_port), (membership.port(), health.port()));
        assert_eq!(gate.with_core(|core| core.datagrams.clone()), [(Membership, 5), (Health, 5)]);
        let counters = shard.counters().values();
        let count = (counters.datagrams_in, counters.datagram_bytes_in);
        assert_eq!((count, (counters.datagrams_out, counters.datagram_bytes_out)), ((2, 10), (2, 10)));
        assert_eq!(counted(&shard), []);
        gate.stop().await;
    });
}

#[test]
fn a_datagram_comes_whole_or_is_counted_and_dropped() {
    let _watch = watch("a_datagram_comes_whole_or_is_counted_and_dropped");
    run_one(|shard| async move {
        let gate = gate(&shard, Scribe::default());
        let [to, _] = addrs(&gate);
        let peer = peer();
        for len in [DATAGRAM_MAX, DATAGRAM_MAX + 1, 9_000, 65_507, 0, 1] {
            peer.send_to(&vec![1; len], to).unwrap();
        }
        until(&shard, || lengths(&gate).len() == 3).await;
        assert_eq!(lengths(&gate), [DATAGRAM_MAX, 0, 1]);
        assert_eq!(counted(&shard), [("datagram_oversized", 3)]);
        gate.stop().await;
    });
}

#[test]
fn what_cannot_be_sent_is_counted_by_cause() {
    let _watch = watch("what_cannot_be_sent_is_counted_by_cause");
    run_one(|shard| async move {
        let (gate, peer) = (gate(&shard, Scribe::default()), peer());
        let to = peer.local_addr().unwrap();
        tell(&gate, Order::Datagram(Health, to, DATAGRAM_MAX + 1));
        // The address family of another socket.
        tell(&gate, Order::Datagram(Health, SocketAddr::from(([0_u16; 8], 9)), 10));
        tell(&gate, Order::Datagram(Health, to, DATAGRAM_MAX));
        until(&shard, || shard.counters().datagrams_out.get() == 1).await;
        assert_eq!(peer.recv_from(&mut [0; 9_000]).unwrap().0, DATAGRAM_MAX);
        assert_eq!(counted(&shard), [("datagram_oversized", 1), ("datagram_refused", 1)]);
        let deaf = crate::node(&shard, config(Role::Worker, 2), Scribe::default());
        assert_eq!(deaf.datagram_addr(Health), None);
        tell(&deaf, Order::Datagram(Health, to, 10));
        until(&shard, || counted(&shard).contains(&("datagram_refused", 2))).await;
        deaf.stop().await;
        gate.stop().await;
    });
}

#[test]
fn a_peer_that_is_gone_does_not_end_a_port() {
    let _watch = watch("a_peer_that_is_gone_does_not_end_a_port");
    run_one(|shard| async move {
        let gate = gate(&shard, echo());
        let [to, _] = addrs(&gate);
        let gone = peer().local_addr().unwrap();
        for _ in 0..100 {
            tell(&gate, Order::Datagram(Membership, gone, 10));
        }
        until(&shard, || shard.counters().datagrams_out.get() == 100).await;
        let answer = shard.blocking(move || ask(&peer(), to, b"still there")).await.unwrap();
        assert_eq!(answer, (11, to));
        gate.stop().await;
    });
}

#[test]
fn the_health_port_answers_while_the_membership_port_is_flooded() {
    let _watch = watch("the_health_port_answers_while_the_membership_port_is_flooded");
    const PROBES: usize = 200;
    const NODES: usize = 32;
    let (mut waits, flooded) = run_one(|shard| async move {
        let nodes: Vec<_> = (0..NODES).map(|_| gate(&shard, echo())).collect();
        let [_, health] = addrs(&nodes[0]);
        // Pairs of them send two batches to and fro without end: the shard is never idle, and has many tasks to run.
        for pair in nodes.chunks_exact(2) {
            let [to, _] = addrs(&pair[1]);
            for _ in 0..128 {
                tell(&pair[0], Order::Datagram(Membership, to, 200));
            }
        }
        until(&shard, || shard.counters().datagrams_in.get() > 1_000).await;
        let before = shard.counters().datagrams_in.get();
        let waits = shard
            .blocking(move || {
                let (socket, silent) = (peer(), peer());
                silent.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                let probe = |n: usize| {
                    // At any moment of the flood, not right behind the last answer.
                    let _pause = silent.recv(&mut [0]);
                    let before = clock::now();
                    assert_eq!(ask(&socket, health, &vec![1; n]), (n, health));
                    clock::now().since(before)
                };
                (1..=PROBES).map(probe).collect::<Vec<_>>()
            })
            .await
            .unwrap();
        let flooded = shard.counters().datagrams_in.get() - before;
        for node in nodes {
            node.stop().await;
        }
        (waits, flooded)
    });
    waits.sort_unstable();
    // None is lost. The middle is judged, since the host is busy.
    assert!(waits[PROBES / 2] < Duration::from_millis(20), "{waits:?}");
    assert!(flooded > 4 * PROBES as u64, "{flooded} datagrams are no flood");
}

#[test]
fn a_stopped_node_gives_its_ports_back_at_once() {
    let _watch = watch("a_stopped_node_gives_its_ports_back_at_once");
    let before = idle_descriptors();
    run_one(|shard| async move {
        let gate = gate(&shard, echo());
        let [mut to, mut health] = addrs(&gate);
        let mut running = gate;
        for _ in 0..20 {
            assert!(matches!(bind_udp(to), Err(ListenError::DatagramsInUse(addr)) if addr == to));
            let answer = shard.blocking(move || ask(&peer(), to, b"hello")).await.unwrap();
            assert_eq!(answer, (5, to));
            running.stop().await;
            let (listeners, mut ports) = bind_ports(to, 1).unwrap();
            ports.health = Some(bind_udp(health).unwrap());
            running = NodeDriver::start_on(
                &shard,
                config(Role::Gate, 1),
                listeners,
                ports,
                Guard::new(Role::Gate),
                echo(),
                again,
            );
            [to, health] = addrs(&running);
        }
        running.stop().await;
    });
    assert_eq!(idle_descriptors(), before);
}

#[test]
fn a_panic_over_a_datagram_stops_the_node() {
    let _watch = watch("a_panic_over_a_datagram_stops_the_node");
    let stopped = run(1, |shard| async move {
        let gate = gate(&shard, Scribe::default());
        let ([_, health], peer) = (addrs(&gate), peer());
        peer.send_to(b"panic", health).unwrap();
        peer.send_to(b"afterwards", health).unwrap();
        shard.stopping().await;
        shard.sleep(Duration::from_millis(5)).await;
        assert_eq!(lengths(&gate), []);
        gate.stop().await;
    });
    let (task, message) = ("core of gate gate-1".to_owned(), "told to panic".to_owned());
    assert_eq!(stopped, Err(NodeError::Failed(StopReason::ServicePanicked { shard: 0, task, message })));
}

#[test]
fn a_frame_port_whose_number_is_taken_for_datagrams_is_refused_by_its_address() {
    let _watch = watch("a_frame_port_whose_number_is_taken_for_datagrams_is_refused_by_its_address");
    let taken = bind_udp(loopback()).unwrap();
    let addr = taken.addr();
    let error = bind_ports(addr, 1).unwrap_err();
    assert!(matches!(error, ListenError::DatagramsInUse(_)));
    assert!(error.to_string().starts_with(&format!("UDP {addr} is in use")), "{error}");
    // Nothing is left of the attempt.
    assert_eq!(bind(addr, 1).unwrap()[0].addr(), addr);
    drop(taken);
    let (listeners, ports) = bind_ports(addr, 2).unwrap();
    assert_eq!((listeners.len(), ports.swim_port()), (2, addr.port()));
    assert!(![0, addr.port()].contains(&ports.oob_port()));
    let none = DatagramPorts::default();
    assert_eq!((none.swim_port(), none.oob_port()), (0, 0));
}

#[test]
fn one_node_after_another_finds_free_ports() {
    let _watch = watch("one_node_after_another_finds_free_ports");
    let mut held = Vec::new();
    for _ in 0..50 {
        let (listeners, ports) = bind_ports(loopback(), 1).unwrap();
        assert_eq!(listeners[0].addr().port(), ports.swim_port());
        held.push((listeners, ports));
    }
    assert!(matches!(
        bind_udp(SocketAddr::from(([192, 0, 2, 1], 7000))),
        Err(ListenError::Datagrams { addr, .. }) if addr.port() == 7000
    ));
}

/// How often the calling thread has gone to sleep.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn open_ports_do_not_wake_an_idle_node() {
    let _watch = watch("open_ports_do_not_wake_an_idle_node");
    const TIME: Duration = Duration::from_secs(3);
    let idle = |ports: bool| {
        run_one(move |shard| async move {
            let open = |shard: &Shard| match ports {
                true => gate(shard, Scribe::default()),
                false => crate::node(shard, listening(Role::Gate, 1), Scribe::default()),
            };
            let node = open(&shard);
            shard.sleep(Duration::from_millis(300)).await;
            let before = sleeps();
            shard.sleep(TIME).await;
            let slept = sleeps() - before;
            node.stop().await;
            slept
        })
    };
    let (without, with) = (idle(false), idle(true));
    assert!(with <= without + without / 4 + 2, "{with} wake-ups in {TIME:?} with ports, {without} without");
}
