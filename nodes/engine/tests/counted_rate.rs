//! A rate with a count (`-n N -q RATE`): shards that know nothing of each other send exactly N requests together.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on fails where it stands"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::Share;
use hyperscale_codec::{Attempt, Epoch, JobId, ShardId, WorkflowId};
use hyperscale_core::{ConnId, Instant, LoadHandler, LoadIo};
use hyperscale_engine::EngineShard;
use hyperscale_engine::orders::{Ended, Order, Origin, Prepare, Report, ShareKey};
use hyperscale_plan::Plan;
use hyperscale_reliability::sample_buffer;

const KEY: ShareKey = ShareKey { job: JobId(1), workflow: WorkflowId(0), attempt: Attempt(1), revision: 1 };
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

enum Event {
    Connected(ConnId),
    Answered(ConnId),
}

/// A loop in virtual time whose server answers at once.
struct Loop {
    now: Instant,
    slots: u32,
    events: VecDeque<Event>,
    sent: u64,
}

impl LoadIo for Loop {
    fn now(&self) -> Instant {
        self.now
    }

    fn connect(&mut self, _: SocketAddr) -> ConnId {
        let conn = ConnId { slot: self.slots, generation: 0 };
        self.slots += 1;
        self.events.push_back(Event::Connected(conn));
        conn
    }

    fn send(&mut self, conn: ConnId, _: &Rc<[u8]>) {
        self.sent += 1;
        self.events.push_back(Event::Answered(conn));
    }

    fn unsent(&self, _: ConnId) -> usize {
        0
    }

    fn close(&mut self, conn: ConnId) -> usize {
        self.events
            .retain(|event| !matches!(event, Event::Connected(of) | Event::Answered(of) if *of == conn));
        0
    }
}

/// Runs one shard's part to its end: requests that were sent, how it ended, and what its row of iterations says.
fn run(plan: &Arc<Plan>, share: Share) -> (u64, Box<Ended>, (u64, u64, u64)) {
    drive(EngineShard::new(ShardId(0)), Duration::ZERO, plan, share)
}

/// The same with an engine whose loop comes so long after each time at which something is due.
fn drive(
    mut engine: EngineShard,
    late: Duration,
    plan: &Arc<Plan>,
    share: Share,
) -> (u64, Box<Ended>, (u64, u64, u64)) {
    let start = Instant(1_000_000);
    let mut io = Loop { now: start, slots: 0, events: VecDeque::new(), sent: 0 };
    let origin = Origin { host: "127.0.0.1".to_owned(), port: 1, addrs: vec![([127, 0, 0, 1], 1).into()] };
    let prepare = Prepare {
        key: KEY,
        epoch: Epoch(1),
        plan: Arc::clone(plan),
        share,
        from: Duration::ZERO,
        siblings: 1,
        seed: 7,
        origins: Arc::new(vec![origin]),
    };
    engine.order(&mut io, Order::Prepare(Box::new(prepare)));
    engine.order(&mut io, Order::Start { key: KEY, at: start, job_start: start });
    let mut rounds = (0, 0, 0);
    for _ in 0..1_000_000 {
        while let Some(report) = engine.next_report() {
            let cells = match &report {
                Report::Window { delta, .. } => delta,
                Report::Ended(ended) => &ended.delta,
                Report::Ready { result, .. } => {
                    assert_eq!(*result, Ok(()));
                    continue;
                }
                Report::NeedIterations { .. } | Report::Donated { .. } | Report::Withdrawn { .. } => continue,
            };
            let row = cells.workflow();
            rounds = (rounds.0 + row.due, rounds.1 + row.count, rounds.2 + row.dropped);
            if let Report::Ended(ended) = report {
                return (io.sent, ended, rounds);
            }
        }
        match io.events.pop_front() {
            Some(Event::Connected(conn)) => engine.connected(&mut io, conn, Ok(())),
            Some(Event::Answered(conn)) => engine.bytes(&mut io, conn, ANSWER),
            None => io.now = (engine.next_due().unwrap() + late).max(io.now),
        }
        engine.tick(&mut io);
    }
    panic!("the share did not end");
}

fn plan(total: u64, extra: &str) -> Arc<Plan> {
    let text = format!(
        "target = \"http://127.0.0.1:1\"\n[workflows.a]\nrate = \"100/s\"\n{extra}total_iterations = {total}\n\
         max_vus = 32\nsteps = [{{ get = \"/\" }}]\n"
    );
    Arc::new(hyperscale_plan::parse("test", &text).unwrap())
}

#[test]
fn shards_send_exactly_the_counted_arrivals_together_whatever_they_hold() {
    for total in [1, 7, 250] {
        let plan = plan(total, "");
        for cuts in [vec![4], vec![1, 3], vec![2, 1, 1]] {
            let (mut sent, mut from) = (0, 0);
            for unit_count in cuts {
                let share = Share { unit_from: from, unit_count, units: 4, iterations: 0 };
                from += unit_count;
                let (requests, _, rounds) = run(&plan, share);
                assert_eq!(rounds, (requests, requests, 0));
                sent += requests;
            }
            assert_eq!(sent, total);
        }
    }
}

#[test]
fn a_counted_rate_keeps_its_rate_and_ends_with_its_last_arrival() {
    let (sent, ended, _) =
        run(&plan(250, ""), Share { unit_from: 0, unit_count: 1, units: 1, iterations: 0 });
    assert_eq!(sent, 250);
    // The 250th of 100 a second is due 2.49 s after the first.
    let seconds = ended.duration.as_secs_f64();
    assert!((2.4..2.6).contains(&seconds), "{seconds}");
}

#[test]
fn an_end_before_the_last_counted_arrival_sends_what_was_due() {
    let share = Share { unit_from: 0, unit_count: 1, units: 1, iterations: 0 };
    let (sent, ended, rounds) = run(&plan(250, "duration = \"1s\"\n"), share);
    assert!((99..=101).contains(&sent), "{sent}");
    assert_eq!(rounds, (sent, sent, 0));
    assert!(ended.duration <= Duration::from_millis(1_010), "{:?}", ended.duration);
}

#[test]
fn a_generator_that_falls_behind_its_schedule_tells_by_how_much() {
    for (late_ms, from_ms, to_ms) in [(0, 0.0, 0.1), (700, 300.0, 700.1)] {
        let (samples, mut heard) = sample_buffer();
        let engine = EngineShard::new(ShardId(0)).with_lateness(samples);
        let share = Share { unit_from: 0, unit_count: 1, units: 1, iterations: 200 };
        let (sent, ended, _) = drive(engine, Duration::from_millis(late_ms), &plan(200, ""), share);
        let told = heard.drain();
        assert!(sent <= told.count && told.count > 90, "{sent} sent, {} told", told.count);
        let mean_ms = told.mean_ms().unwrap();
        assert!((from_ms..to_ms).contains(&mean_ms), "{late_ms}: {mean_ms}");
        assert_eq!(ended.generator_ok, late_ms == 0);
    }
}
