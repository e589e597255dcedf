//! Callers at a frame port that are no nodes, or no nodes for this one: each is told, closed, and counted under one
//! cause, and the port goes on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use hyperscale_codec::{Hello, NodeId, ProtocolVersion, Role, Verdict};
use hyperscale_runtime::tcp::ListenError;
use hyperscale_runtime::{NodeConfig, NodeDriver};

use crate::node;
use crate::raw::{Raw, counted, greeting, with_gate};
use crate::support::*;

/// Sends `bytes` and gives all that comes back until the node closes; `None` if it closed by a reset.
fn call(addr: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).ok().map(|_| heard)
}

/// The refusal in bytes that came back.
fn refusal(heard: &[u8]) -> (Verdict, String) {
    let hello = Hello::decode(heard).unwrap();
    (hello.verdict, hello.text)
}

fn encoded(hello: &Hello) -> Vec<u8> {
    let mut bytes = Vec::new();
    hello.encode(&mut bytes);
    bytes
}

/// What a gate that lets clients in answers to `bytes`; sees that it counts `cause` alone and still takes a client afterwards.
fn answer(bytes: Vec<u8>, cause: &'static str) -> Vec<u8> {
    run_one(move |shard| {
        let bytes = bytes.clone();
        async move {
            let gate = NodeConfig { accepts: vec![Role::Client], ..listening(Role::Gate, 1) };
            let gate = node(&shard, gate, Scribe::default());
            let addr = gate.addr().unwrap();
            let calling = move || {
                let heard = call(addr, &bytes).unwrap();
                drop(Raw::connect(addr));
                heard
            };
            let heard = shard.blocking(calling).await.unwrap();
            assert_eq!(counted(&shard), [(cause, 1)]);
            gate.stop().await;
            heard
        }
    })
}

#[test]
fn an_http_request_is_answered_with_what_this_port_is() {
    let _watch = watch("an_http_request_is_answered_with_what_this_port_is");
    let requests = [
        b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"GET /\r\n".to_vec(),
        // A body that nobody reads must not reset the answer away.
        [b"POST /jobs HTTP/1.1\r\nContent-Length: 500000\r\n\r\n".to_vec(), vec![b'x'; 500_000]].concat(),
    ];
    for request in requests {
        let heard = with_gate(
            |config| config.admin = Some(([127, 0, 0, 1], 9100).into()),
            move |addr| call(addr, &request).unwrap(),
            |shard, _gate| assert_eq!(counted(shard), [("http_on_frame_port", 1)]),
        );
        let heard = String::from_utf8(heard).unwrap();
        let (head, body) = heard.split_once("\r\n\r\n").unwrap();
        let want = "this is the frame port of gate gate-1 (hyperscale); its HTTP endpoints are on the admin port \
                    127.0.0.1:9100\n";
        assert_eq!(body, want);
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }
}

#[test]
fn an_http_request_to_a_node_without_an_admin_port_says_so() {
    let _watch = watch("an_http_request_to_a_node_without_an_admin_port_says_so");
    let heard = answer(b"HEAD / HTTP/1.0\r\n\r\n".to_vec(), "http_on_frame_port");
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.ends_with("frame port of gate gate-1 (hyperscale); it has no HTTP endpoints\n"), "{heard}");
}

#[test]
fn a_tls_handshake_is_told_that_this_port_is_plain() {
    let _watch = watch("a_tls_handshake_is_told_that_this_port_is_plain");
    let client_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 508]].concat();
    let heard = answer(client_hello, "tls_on_plain_port");
    assert_eq!(refusal(&heard), (Verdict::Malformed, "it speaks TLS; this port does not".to_owned()));
}

#[test]
fn greetings_that_are_none_are_told_what_is_wrong() {
    let _watch = watch("greetings_that_are_none_are_told_what_is_wrong");
    let good = encoded(&greeting());
    let damaged = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let nameless = encoded(&Hello { name: String::new(), ..greeting() });
    for (bytes, cause, says) in [
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "hello_magic", "is this the right port?"),
        (b"\0\0\0\0".to_vec(), "hello_magic", "is this the right port?"),
        (damaged(5, 0), "hello_magic", "is this the right port?"),
        (damaged(9, 0xff), "hello_length", "82 to 1024 are accepted"),
        ([&good[..8], &[81, 0]].concat(), "hello_length", "82 to 1024 are accepted"),
        (damaged(40, 0xaa), "hello_checksum", "checksum does not hold"),
        (nameless, "hello_field", "name: 1 to 64 characters"),
    ] {
        let (verdict, text) = refusal(&answer(bytes, cause));
        assert!(verdict == Verdict::Malformed && text.contains(says), "{cause}: {text}");
    }
}

#[test]
fn a_caller_that_leaves_before_it_greeted_is_counted() {
    let _watch = watch("a_caller_that_leaves_before_it_greeted_is_counted");
    let cut = run_one(|shard| async move {
        let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
        let addr = gate.addr().unwrap();
        let calling = move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(&encoded(&greeting())[..50]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap()
        };
        assert_eq!(shard.blocking(calling).await.unwrap(), 0);
        let cut = counted(&shard);
        gate.stop().await;
        cut
    });
    assert_eq!(cut, [("hello_cut", 1)]);
}

#[test]
fn a_greeting_of_one_byte_at_a_time_is_cut_off_as_a_whole() {
    let _watch = watch("a_greeting_of_one_byte_at_a_time_is_cut_off_as_a_whole");
    let sent = with_gate(
        |config| config.limits.greeting_timeout = Duration::from_millis(200),
        |addr| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_nodelay(true).unwrap();
            let good = encoded(&greeting());
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let still_open = |stream: &mut TcpStream| {
                stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            };
            good.iter()
                .take_while(|byte| stream.write_all(&[**byte]).is_ok() && still_open(&mut stream))
                .count()
        },
        |shard, _gate| assert_eq!(counted(shard), [("hello_timeout", 1)]),
    );
    assert!(sent < encoded(&greeting()).len(), "a slow greeting was heard to its end");
}

#[test]
fn a_refused_greeting_is_counted_by_its_verdict() {
    let _watch = watch("a_refused_greeting_is_counted_by_its_verdict");
    let client = greeting();
    for (hello, verdict, cause) in [
        (
            Hello { version: ProtocolVersion { major: 2, minor: 1 }, ..client.clone() },
            Verdict::MajorMismatch,
            "major_mismatch",
        ),
        (Hello { fleet: "staging".to_owned(), ..client.clone() }, Verdict::OtherFleet, "other_fleet"),
        (Hello { role: Role::Worker, ..client.clone() }, Verdict::RoleNotAllowed, "role_not_allowed"),
        (Hello { node: NodeId(1), ..client }, Verdict::DuplicateNode, "duplicate_node"),
    ] {
        let heard = answer(encoded(&hello), cause);
        let answer = Hello::decode(&heard).unwrap();
        let (got, after) = (answer.verdict, answer.retry_after_ms);
        let late = verdict != Verdict::DuplicateNode;
        assert_eq!((got, after), (verdict, if late { 60_000 } else { 1_000 }), "{cause}");
    }
}

#[test]
fn a_stopping_node_tells_newcomers_that_it_is_draining() {
    let _watch = watch("a_stopping_node_tells_newcomers_that_it_is_draining");
    run_one(|shard| async move {
        let mut config = listening(Role::Gate, 1);
        config.limits.flush_timeout = Duration::from_secs(20);
        let gate = node(&shard, config, Scribe::default());
        let addr = gate.addr().unwrap();
        // Holds its end open, so that the stop waits for it.
        let held = shard.blocking(move || Raw::connect(addr)).await.unwrap();
        until(&shard, || gate.links() == 1).await;
        let newcomer = shard.blocking(move || {
            let mut held = held;
            assert_eq!(held.reply(), (0, 0), "an orderly goodbye");
            assert!(held.ended(), "the node closes its end first");
            Raw::greet(addr, &greeting()).1.verdict
        });
        let (verdict, ()) = futures_lite::future::zip(newcomer, gate.stop()).await;
        assert_eq!(verdict.unwrap(), Verdict::Draining);
        assert_eq!(counted(&shard), [("draining", 1)]);
    });
}

#[test]
fn a_node_on_a_port_in_use_says_which_and_what_to_do() {
    let _watch = watch("a_node_on_a_port_in_use_says_which_and_what_to_do");
    run_one(|shard| async move {
        let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
        let addr = gate.addr().unwrap();
        let second = NodeConfig { listen: Some(addr), ..config(Role::Gate, 2) };
        let refused = NodeDriver::start(&shard, second, Scribe::default(), again).unwrap_err();
        assert!(matches!(refused, ListenError::InUse(taken) if taken == addr), "{refused:?}");
        let want = format!("{addr} is in use; is this node running already? Otherwise choose another port");
        assert_eq!(refused.to_string(), want);
        gate.stop().await;
    });
}
