//! A gate holds each of its clients to its limits, and clients do as they are told.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyperscale_codec::messages::{ErrorReply, JobStatusRequest, NodesResponse, RateLimitResponse};
use hyperscale_codec::{Head, Kind, RawFrame};

use crate::nodes::Node;
use crate::raw_client::RawLink;
use crate::target::get;
use crate::{run, text};

/// Of `job_status`, by default.
const BURST: u64 = 100;
const PER_SECOND: f64 = 10.0;

/// What a gate counted under a name.
fn counted(admin: &str, name: &str) -> u64 {
    let metrics = get(admin, "/metrics");
    let value = metrics.lines().filter_map(|line| line.strip_prefix(name));
    value.map(|value| value.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn limited(admin: &str) -> u64 {
    counted(admin, "hyperscale_rate_limited_total{operation=\"job_status\"")
}

/// How a frame answers a question for a job that nobody knows.
#[derive(Default)]
struct Answers {
    taken: u64,
    refused: u64,
    /// As the gate told it.
    limit: u32,
    waits_ms: Vec<u32>,
}

/// Asks so often at once, and hears all answers.
fn ask(link: &mut RawLink, times: u32, answers: &mut Answers) {
    for correlation in 1..=times {
        link.queue(Head::request(correlation), &JobStatusRequest { job: [7; 16] });
    }
    link.flush();
    for _ in 0..times {
        let heard = link.hear(|frame| match frame.kind() {
            Some(Kind::ErrorReply) => {
                let mut scratch = Vec::new();
                let reply = frame.decode::<ErrorReply>(&mut scratch).unwrap();
                assert_eq!(reply.code, 11, "{}", reply.message.as_str());
                answers.taken += 1;
            }
            Some(Kind::RateLimitResponse) => {
                let mut scratch = Vec::new();
                let told = frame.decode::<RateLimitResponse>(&mut scratch).unwrap();
                assert_eq!((told.operation, told.remaining.to_native()), (5, 0));
                answers.limit = told.limit.to_native();
                answers.waits_ms.push(told.retry_after_ms.to_native());
                answers.refused += 1;
            }
            other => panic!("{other:?}"),
        });
        assert!(heard.is_some(), "the gate hung up");
    }
}

/// The most that may have been taken since `began`, to the request.
fn most(began: Instant) -> u64 {
    BURST + (PER_SECOND * began.elapsed().as_secs_f64()).floor() as u64
}

#[test]
fn a_client_in_a_tight_loop_gets_its_burst_and_its_rate_and_not_one_request_more() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let mut link = RawLink::client(&gate.listen, 2);
    let (mut answers, began) = (Answers::default(), Instant::now());
    for _ in 0..30 {
        ask(&mut link, 20, &mut answers);
    }
    assert_eq!((answers.taken + answers.refused, answers.limit), (600, 100));
    assert!((BURST..=most(began)).contains(&answers.taken), "{} taken", answers.taken);
    // A second connection of the same client is no second bucket; one of another is.
    let mut again = RawLink::client(&gate.listen, 2);
    ask(&mut again, 20, &mut answers);
    assert!((BURST..=most(began)).contains(&answers.taken), "{} taken", answers.taken);
    let mut others = Answers::default();
    ask(&mut RawLink::client(&gate.listen, 3), 20, &mut others);
    assert_eq!((others.taken, others.refused), (20, 0));
    // The gate counts what it refused, and its clients.
    assert_eq!(limited(&gate.admin), answers.refused);
    assert_eq!(counted(&gate.admin, "hyperscale_rate_limit_clients"), 2);
    assert_eq!(counted(&gate.admin, "hyperscale_rate_limit_bound_hits_total"), 0);
    // Whoever waits as told is served.
    assert!(answers.waits_ms.iter().all(|wait| (1..=100).contains(wait)), "{:?}", answers.waits_ms);
    std::thread::sleep(Duration::from_millis(100));
    let before = answers.taken;
    ask(&mut link, 1, &mut answers);
    assert_eq!(answers.taken, before + 1);
}

#[test]
fn a_limit_is_not_divided_by_a_gate_s_shards_nor_multiplied() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        eprintln!("skipped: this host gives one core, and shards need one each");
        return;
    }
    let args = ["gate", "--name", "gate-1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    // On all cores it may use: one shard each.
    let gate = Node::start(Path::new(env!("CARGO_BIN_EXE_hyperscale")), &args, Path::new("/dev/null"));
    let began = Instant::now();
    let taken: u64 = std::thread::scope(|scope| {
        // The kernel spreads them over the shards.
        let links: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let (mut link, mut answers) = (RawLink::client(&gate.listen, 2), Answers::default());
                    (0..5).for_each(|_| ask(&mut link, 10, &mut answers));
                    answers.taken
                })
            })
            .collect();
        links.into_iter().map(|link| link.join().unwrap()).sum()
    });
    assert!((BURST..=most(began)).contains(&taken), "{taken} taken");
    assert_eq!(limited(&gate.admin), 800 - taken);
    let metrics = get(&gate.admin, "/metrics");
    let asked = metrics.lines().filter(|line| {
        line.starts_with("hyperscale_requests_total{") && line.contains("kind=\"JobStatusRequest\"")
    });
    assert!(asked.count() > 1, "one shard had all sixteen connections:\n{metrics}");
}

#[test]
fn a_greedy_client_takes_nothing_from_another() {
    let gate = Node::anywhere("gate", "gate-1", &[]);
    let mut other = RawLink::client(&gate.listen, 3);
    let patient = |other: &mut RawLink, answers: &mut Answers| {
        let mut waits: Vec<Duration> = (0..40)
            .map(|_| {
                let began = Instant::now();
                ask(other, 1, answers);
                let took = began.elapsed();
                std::thread::sleep(Duration::from_millis(25));
                took
            })
            .collect();
        waits.sort_unstable();
        (waits[20], waits[39])
    };
    let (mut others, mut greedy) = (Answers::default(), Answers::default());
    let alone = patient(&mut other, &mut others);
    let (began, ends) = (Instant::now(), AtomicBool::new(false));
    let beside = std::thread::scope(|scope| {
        let (gate, greedy, ends) = (&gate, &mut greedy, &ends);
        scope.spawn(move || {
            let mut link = RawLink::client(&gate.listen, 2);
            // A thousand a second: a hundred times its rate.
            while !ends.load(Ordering::Relaxed) {
                ask(&mut link, 20, greedy);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let beside = patient(&mut other, &mut others);
        ends.store(true, Ordering::Relaxed);
        beside
    });
    eprintln!(
        "another client's answers, median and worst: alone {alone:?}, beside a greedy one {beside:?}; the greedy one: {} \
         taken, {} refused in {:?}",
        greedy.taken,
        greedy.refused,
        began.elapsed()
    );
    assert_eq!((others.taken, others.refused), (80, 0));
    assert!(greedy.taken <= most(began) && greedy.refused > 0, "{} taken", greedy.taken);
    assert_eq!(limited(&gate.admin), greedy.refused);
}

/// The commands' own ids are new with each process, so a real gate on loopback never refuses them: this one does.
#[test]
fn a_command_waits_as_it_is_told_and_asks_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let gate = std::thread::spawn(move || {
        let mut link = RawLink::gate(&listener);
        let (mut asked, mut head) = (Vec::new(), Head::default());
        for wait_ms in [300, 500, 0] {
            link.hear(|frame| {
                assert_eq!(frame.kind(), Some(Kind::NodesRequest));
                asked.push(Instant::now());
                head = Head::reply(frame.header.correlation);
            })
            .unwrap();
            if wait_ms > 0 {
                let told =
                    RateLimitResponse { operation: 6, retry_after_ms: wait_ms, limit: 100, remaining: 0 };
                link.queue(head, &told);
            } else {
                link.queue(
                    head,
                    &NodesResponse { nodes: Vec::new(), next: String::new(), missing: Vec::new() },
                );
            }
            link.flush();
        }
        let _it_hangs_up = link.hear(|_| ());
        asked
    });
    let output = run(&["nodes", "--gate", &addr]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let asked = gate.join().unwrap();
    let waits: Vec<_> = asked.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_millis()).collect();
    assert!(waits[0] >= 300 && waits[1] >= 500, "{waits:?}");
}

#[test]
fn a_command_that_is_refused_again_and_again_is_exit_1_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let gate = std::thread::spawn(move || {
        let mut link = RawLink::gate(&listener);
        let mut asked = 0;
        let request = |frame: RawFrame<'_>| {
            (frame.kind() == Some(Kind::JobStatusRequest)).then(|| Head::reply(frame.header.correlation))
        };
        // Then it says goodbye.
        while let Some(Some(head)) = link.hear(request) {
            asked += 1;
            link.queue(
                head,
                &RateLimitResponse { operation: 5, retry_after_ms: 10, limit: 100, remaining: 0 },
            );
            link.flush();
        }
        asked
    });
    let output = run(&["status", "0123456789abcdef0123456789abcdef", "--gate", &addr]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("rate limited") && told.contains("job_status"), "{told}");
    assert_eq!(gate.join().unwrap(), 4);
}

#[test]
fn a_node_file_sets_limits_and_exempts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.toml");
    let gate = |limits: &str| {
        std::fs::write(&path, format!("[limits]\n{limits}")).unwrap();
        Node::anywhere("gate", "gate-1", &["--config", path.to_str().unwrap()])
    };
    let asked = |gate: &Node| {
        let mut answers = Answers::default();
        let mut link = RawLink::client(&gate.listen, 2);
        (0..10).for_each(|_| ask(&mut link, 50, &mut answers));
        answers.taken
    };
    assert_eq!(asked(&gate("job_status = \"unlimited\"")), 500);
    assert_eq!(asked(&gate("exempt = [\"127.0.0.0/8\"]")), 500);
    assert_eq!(asked(&gate("job_status = { size = 300, per_second = 0.001 }")), 300);
}
