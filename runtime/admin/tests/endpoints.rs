//! The admin port over real sockets, in front of two real shards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "callers are plain threads")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hyperscale_admin::{AdminConfig, AdminError, AdminServer, ShardLine};
use hyperscale_runtime::{Answer, Shard, ShardOptions, Shards, StopReason, TaskKind, ask, start};
use hyperscale_view::{Gauge, JobRow, JobState, NodeRow, NodeState, Overload, Progress, Reason, ShardView};

/// Two shards, and the port in front of them.
struct Fixture {
    admin: AdminServer,
    shards: Shards<()>,
    ready: Arc<AtomicBool>,
    /// While set, the second shard's loop stands still.
    blocked: Arc<AtomicBool>,
}

/// One test at a time: they count the descriptors of the process.
fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn fixture() -> Fixture {
    let (lines, answers): (Vec<_>, Vec<_>) = (0..2).map(|_| ask::<ShardView>()).unzip();
    let answers: Mutex<Vec<Option<Answer<ShardView>>>> = Mutex::new(answers.into_iter().map(Some).collect());
    let (ready, blocked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (is_ready, is_blocked) = (Arc::clone(&ready), Arc::clone(&blocked));
    let shards = start(&vec![ShardOptions::small(); 2], move |shard| {
        let answer = answers.lock().unwrap()[usize::from(shard.id())].take().unwrap();
        let (is_ready, is_blocked) = (Arc::clone(&is_ready), Arc::clone(&is_blocked));
        async move {
            let id = shard.id();
            answer.open(&shard, move || view(id, is_ready.load(Ordering::Relaxed)));
            if id == 1 {
                let standing = stand_still(shard.clone(), is_blocked);
                shard.spawn("block", TaskKind::Service, standing);
            }
            shard.stopping().await;
        }
    })
    .unwrap();
    let line = |(shard, line): (u16, hyperscale_runtime::Ask<ShardView>)| {
        ShardLine::new(shard, move |reply| line.ask(move |view| reply.send(view)))
    };
    let lines = (0..).zip(lines).map(line).collect();
    let causes = || Gauge::counters_by("hyperscale_refusals_total", "Refused.", "cause", [("rate", 5)]);
    let config = AdminConfig::new(([127, 0, 0, 1], 0).into(), "gate-1", "gate");
    let admin = hyperscale_admin::start(config, lines, causes).unwrap();
    Fixture { admin, shards, ready, blocked }
}

impl Fixture {
    fn end(self) {
        self.blocked.store(false, Ordering::Relaxed);
        self.admin.stop();
        self.shards.stop().request(StopReason::Asked("the test is done".to_owned()));
        self.shards.join(Duration::from_secs(20)).unwrap();
    }

    fn get(&self, path: &str) -> (u16, String) {
        ask_for(self.admin.addr(), "GET", path)
    }
}

async fn stand_still(shard: Shard, blocked: Arc<AtomicBool>) {
    while !shard.is_stopping() {
        while blocked.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        shard.sleep(Duration::from_millis(1)).await;
    }
}

fn view(shard: u16, ready: bool) -> ShardView {
    let node = NodeRow {
        name: "gate-1".to_owned(),
        role: "gate".to_owned(),
        datacenter: String::new(),
        node_id: "0".repeat(32),
        addr: "127.0.0.1:7000".to_owned(),
        admin: None,
        version: "1.4".to_owned(),
        build: "0.1.0".to_owned(),
        state: NodeState::Alive,
        shards: 2,
        accepting: ready,
        overload: Overload::Healthy,
        progress: Progress::Idle,
        jobs: 0,
        since_s: 1.0,
        clock_offset_ms: None,
        clock_error_ms: None,
    };
    let job = JobRow {
        job_id: format!("{shard:032x}"),
        name: "smoke".to_owned(),
        state: JobState::Running,
        owner: "gate-1".to_owned(),
        fence_token: 1,
        accepted_unix_ms: 1_800_000_000_000,
        requests: 10,
        errors: 0,
    };
    ShardView {
        shard,
        startup: vec![Reason::new("listening", true, "127.0.0.1:7000")],
        ready: vec![Reason::new("managers", ready, "none has registered")],
        nodes: vec![node],
        jobs: vec![job],
        gauges: vec![Gauge::level("hyperscale_links_open", "Links that are up.", f64::from(shard))],
    }
}

/// One request on a connection of its own.
fn ask_for(addr: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn every_endpoint_answers_for_both_shards() {
    let _turn = turn();
    let node = fixture();
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(node.get(probe), (200, "ok\n".to_owned()), "{probe}");
    }
    let (status, text) = node.get("/readyz?verbose");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["ok"]), (200, &true.into()));
    assert_eq!(json["reasons"].as_array().unwrap().len(), 4, "{text}");

    let (_, text) = node.get("/nodes");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), 1, "{text}");
    let (_, text) = node.get("/jobs");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["jobs"][1]["job_id"], format!("{:032x}", 1), "{text}");

    let (status, text) = node.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "hyperscale_links_open{shard=\"1\"} 1",
        "hyperscale_shard_up{shard=\"0\"} 1",
        "hyperscale_refusals_total{cause=\"rate\"} 5",
        "# TYPE hyperscale_process_cpu_seconds_total counter",
        "role=\"gate\",name=\"gate-1\"",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    node.end();
}

#[test]
fn what_is_not_there_is_said_with_a_hint() {
    let _turn = turn();
    let node = fixture();
    assert!(node.get("/").1.contains("/metrics /livez"));
    let (status, text) = node.get("/healthz");
    assert_eq!(status, 404);
    assert!(text.contains("/livez"), "{text}");
    assert_eq!(ask_for(node.admin.addr(), "POST", "/livez").0, 405);
    assert_eq!(ask_for(node.admin.addr(), "HEAD", "/livez"), (200, String::new()));
    node.end();
}

#[test]
fn a_node_that_is_not_ready_lives() {
    let _turn = turn();
    let node = fixture();
    node.ready.store(false, Ordering::Relaxed);
    let (status, text) = node.get("/readyz");
    assert_eq!((status, text.as_str()), (503, "not ok: shard 0: managers: none has registered\n"));
    assert_eq!(node.get("/livez").0, 200);
    node.end();
}

#[test]
fn a_shard_that_stands_still_is_named_within_a_second_and_a_half() {
    let _turn = turn();
    let node = fixture();
    node.blocked.store(true, Ordering::Relaxed);
    // The block begins at the shard's next turn; until then it still answers.
    let (took, status, text) = loop {
        let asked = Instant::now();
        let (status, text) = node.get("/livez?verbose");
        if status != 200 {
            break (asked.elapsed(), status, text);
        }
    };
    assert_eq!(status, 503);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let silent: Vec<_> =
        json["reasons"].as_array().unwrap().iter().filter(|reason| reason["ok"] == false).collect();
    assert_eq!(silent.len(), 1, "{text}");
    assert_eq!(silent[0]["shard"], 1);
    assert!(took < Duration::from_millis(1500), "{took:?}");
    // What the others know is still told.
    let (status, text) = node.get("/nodes");
    assert!(status == 200 && text.contains("\"silent_shards\":[1]"), "{text}");
    assert!(node.get("/metrics").1.contains("hyperscale_shard_up{shard=\"1\"} 0"));

    node.blocked.store(false, Ordering::Relaxed);
    while node.get("/livez").0 != 200 {}
    node.end();
}

#[test]
fn a_shard_that_ended_is_noticed_without_waiting() {
    let _turn = turn();
    let Fixture { admin, shards, .. } = fixture();
    shards.stop().request(StopReason::Asked("the test".to_owned()));
    shards.join(Duration::from_secs(20)).unwrap();
    let (status, text) = ask_for(admin.addr(), "GET", "/livez");
    assert_eq!(status, 503);
    assert!(text.contains("it has ended"), "{text}");
    admin.stop();
}

#[test]
fn two_hundred_callers_at_once_are_all_answered_and_leave_no_descriptor() {
    let _turn = turn();
    let node = fixture();
    let addr = node.admin.addr();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // What an earlier test left to the kernel may still be closing, so there may be fewer afterwards.
    let before = descriptors();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..200).map(|_| scope.spawn(|| ask_for(addr, "GET", "/metrics").0)).collect();
        assert!(callers.into_iter().all(|caller| caller.join().unwrap() == 200));
    });
    let limit = Instant::now() + Duration::from_secs(10);
    while descriptors() > before && Instant::now() < limit {
        thread::yield_now();
    }
    assert!(descriptors() <= before);
    node.end();
}

#[test]
fn callers_that_never_finish_their_header_make_way() {
    let _turn = turn();
    let node = fixture();
    let slow: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(node.admin.addr()).unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").unwrap();
            stream
        })
        .collect();
    // Waits in the kernel's queue until the first of the slow ones is cut off.
    assert_eq!(node.get("/livez").0, 200);
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut text = Vec::new();
        let _cut_off = stream.read_to_end(&mut text);
        assert!(!text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
    }
    node.end();
}

#[test]
fn a_header_that_is_too_long_is_refused() {
    let _turn = turn();
    let node = fixture();
    let mut stream = TcpStream::connect(node.admin.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let long = format!("GET / HTTP/1.1\r\nHost: admin\r\nX-Long: {}\r\n\r\n", "x".repeat(64 * 1024));
    // It may be cut off in the middle.
    let _sent = stream.write_all(long.as_bytes());
    let mut text = Vec::new();
    let _reset = stream.read_to_end(&mut text);
    assert!(!text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
    assert_eq!(node.get("/livez").0, 200);
    node.end();
}

#[test]
fn an_address_in_use_is_named_with_what_to_do() {
    let _turn = turn();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = taken.local_addr().unwrap();
    let error = hyperscale_admin::start(AdminConfig::new(addr, "w", "worker"), Vec::new(), Vec::new);
    let error: AdminError = error.expect_err("the address is taken");
    let text = error.to_string();
    assert!(text.contains(&addr.to_string()) && text.contains("port 0"), "{text}");
}

#[test]
fn stopping_closes_the_port_and_every_descriptor() {
    let _turn = turn();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let start = || {
        let config = AdminConfig::new(([127, 0, 0, 1], 0).into(), "w", "worker");
        hyperscale_admin::start(config, Vec::new(), Vec::new).unwrap()
    };
    let before = descriptors();
    let admin = start();
    let addr = admin.addr();
    assert_eq!(ask_for(addr, "GET", "/livez").0, 200);
    // One that has said nothing yet does not hold the port up.
    let idle = TcpStream::connect(addr).unwrap();
    admin.stop();
    assert!(TcpStream::connect(addr).is_err());
    drop(idle);
    assert!(descriptors() <= before);
}
