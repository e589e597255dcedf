//! Handshakes, and peers that break the rules.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use hyperscale_codec::{ErrorCode, Flags, Kind, ProtocolVersion, Role, Verdict};
use hyperscale_core::{DialError, LinkDown};
use hyperscale_runtime::NodeConfig;

use crate::raw::{Raw, counted, header, with_gate};
use crate::support::*;
use crate::{link, node};

/// What comes of a dial from `from` to a gate.
fn dial(from: NodeConfig, to: NodeConfig) -> Result<(), DialError> {
    run_one(move |shard| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            let gate = node(&shard, to, Scribe::default());
            let manager = node(&shard, from, Scribe::default());
            manager.local().send(Order::Dial(gate.addr().unwrap())).unwrap();
            let over = |core: &Scribe| core.up.len() + core.failed.len() > 0;
            until(&shard, || manager.with_core(over)).await;
            let failed = manager.with_core(|core| core.failed.first().cloned());
            assert_eq!(gate.with_core(|core| core.up.is_empty()), failed.is_some());
            assert_eq!(counted(&shard).len(), usize::from(failed.is_some()), "{:?}", counted(&shard));
            manager.stop().await;
            gate.stop().await;
            failed.map_or(Ok(()), Err)
        }
    })
}

fn refused(result: Result<(), DialError>) -> (u8, String) {
    let Err(DialError::Refused { verdict, text, .. }) = result else { panic!("{result:?}") };
    (verdict, text)
}

#[test]
fn nodes_of_two_fleets_or_majors_do_not_talk_and_say_why() {
    let _watch = watch("nodes_of_two_fleets_or_majors_do_not_talk_and_say_why");
    let manager = config(Role::Manager, 2);
    assert_eq!(dial(manager.clone(), listening(Role::Gate, 1)), Ok(()));

    let other = NodeConfig { fleet: "staging".to_owned(), ..manager.clone() };
    // Nothing changes there before somebody changes it.
    let wait = |result| match result {
        Err(DialError::Refused { retry_after_ms, .. }) => retry_after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(dial(other.clone(), listening(Role::Gate, 1))), 60_000);
    let text = r#"this node is of fleet "default", peer manager-2 of "staging""#.to_owned();
    assert_eq!(refused(dial(other, listening(Role::Gate, 1))), (Verdict::OtherFleet as u8, text));

    let newer = NodeConfig { version: ProtocolVersion { major: 2, minor: 1 }, ..manager.clone() };
    let text = "this node speaks 1.4, peer manager-2 speaks 2.1".to_owned();
    assert_eq!(refused(dial(newer, listening(Role::Gate, 1))), (Verdict::MajorMismatch as u8, text));

    let closed = NodeConfig { accepts: vec![Role::Client], ..listening(Role::Gate, 1) };
    let text = "a manager may not connect to this gate".to_owned();
    assert_eq!(refused(dial(manager.clone(), closed)), (Verdict::RoleNotAllowed as u8, text));

    let twin = config(Role::Manager, 1);
    assert_eq!(refused(dial(twin, listening(Role::Gate, 1))).0, Verdict::DuplicateNode as u8);

    let mut full = listening(Role::Gate, 1);
    full.limits.connections_max = 0;
    assert_eq!(refused(dial(manager, full)).0, Verdict::TooManyConnections as u8);
}

#[test]
fn a_later_start_of_a_node_replaces_the_earlier_and_not_the_reverse() {
    let _watch = watch("a_later_start_of_a_node_replaces_the_earlier_and_not_the_reverse");
    run_one(|shard| async move {
        let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
        let started = |boot| node(&shard, NodeConfig { boot, ..config(Role::Manager, 2) }, Scribe::default());
        let (first, second) = (started(5), started(6));
        link(&shard, &first, &gate).await;
        link(&shard, &second, &gate).await;
        until(&shard, || first.with_core(|core| !core.down.is_empty())).await;
        let why = gate.with_core(|core| core.down[0].1.clone());
        assert_eq!(why, LinkDown::Protocol("the node was started again".to_owned()));
        // The same start may have several links; an older one none.
        link(&shard, &second, &gate).await;
        first.local().send(Order::Dial(gate.addr().unwrap())).unwrap();
        until(&shard, || first.with_core(|core| !core.failed.is_empty())).await;
        let refused = first.with_core(|core| core.failed[0].clone());
        assert!(matches!(refused, DialError::Refused { verdict: 7, .. }), "{refused:?}");
        assert_eq!(counted(&shard), [("duplicate_node", 1)]);
        assert_eq!(gate.links(), 2);
        for node in [first, second, gate] {
            node.stop().await;
        }
    });
}

fn dial_addr(addr: SocketAddr) -> String {
    run_one(move |shard| async move {
        let mut config = config(Role::Manager, 2);
        config.limits.answer_timeout = Duration::from_millis(50);
        let manager = node(&shard, config, Scribe::default());
        manager.local().send(Order::Dial(addr)).unwrap();
        until(&shard, || manager.with_core(|core| !core.failed.is_empty())).await;
        let failed = manager.with_core(|core| core.failed[0].to_string());
        manager.stop().await;
        failed
    })
}

#[test]
fn dials_that_come_to_nothing_say_what_was_there() {
    let _watch = watch("dials_that_come_to_nothing_say_what_was_there");
    let web = TcpListener::bind(loopback()).unwrap();
    let addr = web.local_addr().unwrap();
    let serving = std::thread::Builder::new().spawn(move || {
        let (mut caller, _) = web.accept().unwrap();
        caller.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _until_it_hangs_up = caller.read(&mut [0; 2048]);
    });
    let failed = dial_addr(addr);
    assert!(failed.contains("is no Hyperscale node") && failed.contains("right port"), "{failed}");
    serving.unwrap().join().unwrap();
    // Nobody listens there any more.
    let failed = dial_addr(addr);
    assert!(failed.starts_with(&format!("connecting to {addr}: ")) && failed.contains("refused"), "{failed}");
    // Accepted by the kernel, answered by nobody.
    let mute = TcpListener::bind(loopback()).unwrap();
    let failed = dial_addr(mute.local_addr().unwrap());
    assert!(failed.contains("not done within 50ms"), "{failed}");
}

#[test]
fn an_unknown_kind_is_skipped_or_answered_and_the_link_goes_on() {
    let _watch = watch("an_unknown_kind_is_skipped_or_answered_and_the_link_goes_on");
    let replies = with_gate(
        |_limits| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            let body = [0; 16];
            raw.send(header(0x3fff, Flags::default(), 0, &body), &body);
            raw.send(header(0x3fff, Flags::WANTS_REPLY, 7, &body), &body);
            // A reply is not answered, whatever it says it wants.
            raw.send(header(0x3fff, Flags::REPLY.with(Flags::WANTS_REPLY), 8, &body), &body);
            let gates_own = Kind::JobAck.to_wire();
            raw.send(header(gates_own, Flags::WANTS_REPLY, 9, &body), &body);
            [raw.reply(), raw.reply()]
        },
        |shard, gate| {
            assert_eq!(counted(shard), [("kind_unknown_critical", 3), ("kind_forbidden", 1)]);
            gate.with_core(|core| assert!(core.heard.is_empty() && core.codes.is_empty()));
        },
    );
    assert_eq!(replies, [(7, ErrorCode::Unsupported.to_wire()), (9, ErrorCode::Forbidden.to_wire())]);
}

#[test]
fn a_frame_too_long_for_its_kind_is_skipped_and_the_link_goes_on() {
    let _watch = watch("a_frame_too_long_for_its_kind_is_skipped_and_the_link_goes_on");
    let replies = with_gate(
        |_limits| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            let (long, short) = (vec![0; 100_000], [0; 16]);
            raw.send(header(Kind::Goodbye.to_wire(), Flags::WANTS_REPLY, 5, &long), &long);
            raw.send(header(0x3fff, Flags::WANTS_REPLY, 6, &short), &short);
            [raw.reply(), raw.reply()]
        },
        |shard, _gate| {
            assert_eq!(counted(shard), [("frame_too_long_for_kind", 1), ("kind_unknown_critical", 1)]);
        },
    );
    assert_eq!(replies, [(5, ErrorCode::TooLarge.to_wire()), (6, ErrorCode::Unsupported.to_wire())]);
}

#[test]
fn bytes_that_make_no_sense_end_the_link_with_a_goodbye() {
    let _watch = watch("bytes_that_make_no_sense_end_the_link_with_a_goodbye");
    let (goodbye, ended) = with_gate(
        |_limits| {},
        |addr| {
            let mut raw = Raw::connect(addr);
            raw.stream.write_all(&[0x55; 4096]).unwrap();
            let goodbye = raw.reply();
            raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
            (goodbye, raw.ended())
        },
        |_shard, gate| {
            let down = gate.with_core(|core| core.down[0].1.clone());
            assert!(matches!(&down, LinkDown::Protocol(why) if why.contains("Hyperscale port")), "{down:?}");
        },
    );
    assert_eq!(goodbye, (0, ErrorCode::Malformed.to_wire()));
    assert!(ended);
}

#[test]
fn a_caller_that_does_not_greet_is_cut_off() {
    let _watch = watch("a_caller_that_does_not_greet_is_cut_off");
    let ended = with_gate(
        |config| {
            config.limits.greeting_timeout = Duration::from_millis(30);
            config.limits.handshakes_max = 1;
        },
        |addr| {
            let mut mute = TcpStream::connect(addr).unwrap();
            mute.write_all(&[0x89, 0x48]).unwrap();
            // While it holds the only place, others are turned away unheard.
            let mut other = TcpStream::connect(addr).unwrap();
            let turned_away = matches!(other.read(&mut [0]), Ok(0));
            let cut_off = !matches!(mute.read(&mut [0]), Ok(1..));
            // The place is free again.
            let _third = Raw::connect(addr);
            (turned_away, cut_off)
        },
        |shard, _gate| assert_eq!(counted(shard), [("hello_timeout", 1), ("handshakes_full", 1)]),
    );
    assert_eq!(ended, (true, true));
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let _watch = watch("a_peer_that_does_not_read_is_cut_off");
    run_one(|shard| async move {
        let mut config = listening(Role::Gate, 1);
        config.limits.send_queue_bytes_max = 64 << 10;
        config.limits.flush_timeout = Duration::from_millis(20);
        let gate = node(&shard, config, Scribe::default());
        let addr = gate.addr().unwrap();
        let raw = shard.blocking(move || Raw::connect(addr)).await.unwrap();
        until(&shard, || gate.with_core(|core| !core.up.is_empty())).await;
        let to = gate.with_core(|core| core.up[0]);
        let mut said = 0_u32;
        while gate.with_core(|core| core.down.is_empty()) {
            gate.local().send(Order::Say(to, "x".repeat(1000))).unwrap();
            said += 1;
            if said.is_multiple_of(100) {
                shard.sleep(Duration::ZERO).await;
            }
        }
        let why = gate.with_core(|core| core.down[0].1.to_string());
        assert_eq!(why, "raw does not read as fast as this node sends; its queue is full");
        assert_eq!(counted(&shard), [("queue_full", 1)]);
        gate.stop().await;
        drop(raw);
    });
}

#[test]
fn a_core_knows_what_a_peer_that_does_not_read_has_yet_to_take() {
    let _watch = watch("a_core_knows_what_a_peer_that_does_not_read_has_yet_to_take");
    run_one(|shard| async move {
        let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
        let addr = gate.addr().unwrap();
        let raw = shard.blocking(move || Raw::connect(addr)).await.unwrap();
        until(&shard, || gate.with_core(|core| !core.up.is_empty())).await;
        let to = gate.with_core(|core| core.up[0]);
        while gate.with_core(|core| core.unsent < 64 << 10) {
            (0..100).for_each(|_| gate.local().send(Order::Say(to, "x".repeat(1000))).unwrap());
            shard.sleep(Duration::ZERO).await;
        }
        assert!(gate.with_core(|core| core.down.is_empty()));
        drop(raw);
        until(&shard, || gate.with_core(|core| !core.down.is_empty())).await;
        gate.local().send(Order::Word(String::new())).unwrap();
        until(&shard, || gate.with_core(|core| core.unsent == 0)).await;
        gate.stop().await;
    });
}

#[test]
fn a_dead_connection_in_the_middle_of_a_frame_is_told() {
    let _watch = watch("a_dead_connection_in_the_middle_of_a_frame_is_told");
    run_one(|shard| async move {
        let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
        let addr = gate.addr().unwrap();
        shard
            .blocking(move || {
                let body = [0; 16];
                let mut raw = Raw::connect(addr);
                raw.send(header(0x0001, Flags::default(), 0, &body), &body[..9]);
            })
            .await
            .unwrap();
        until(&shard, || gate.with_core(|core| !core.down.is_empty())).await;
        let why = gate.with_core(|core| core.down[0].1.to_string());
        assert_eq!(why, "the peer closed the connection in the middle of a frame");
        assert_eq!(counted(&shard), [("frame_cut", 1)]);
        gate.stop().await;
    });
}
