//! A request costs no allocation: the engine, its loop and its statistics, over a real target, in steady state.
//!
//! The executor allocates for each wait, so what is between two waits is counted: all that the engine does, and what
//! the loop does from one answer of a batch to the next. For the whole shard, waits included, there is a bound.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unsafe_code,
    reason = "a test: it counts what an allocator is asked for"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use hyperscale_codec::messages::Share;
use hyperscale_codec::{Attempt, Epoch, JobId, ShardId, WorkflowId};
use hyperscale_core::{Closed, ConnError, ConnId, Instant, LoadHandler, LoadIo};
use hyperscale_engine::EngineShard;
use hyperscale_engine::orders::{Order, Origin, Prepare, Report, ShareKey};
use hyperscale_plan::{RunFlags, from_flags};
use hyperscale_runtime::load_socket::{LoadOptions, run_load};
use hyperscale_runtime::responder::{Listening, listen, run_responder};
use hyperscale_runtime::{Shard, ShardOptions, StopReason, clock, start};
use hyperscale_target::{Counts, Responder, TargetConfig};

const REQUESTS: u64 = 20_000;
/// Before, buffers grow to their size; after, the share comes to its end.
const STEADY: std::ops::Range<u64> = 5_000..18_000;
const VUS: u32 = 64;
const KEY: ShareKey = ShareKey { job: JobId(1), workflow: WorkflowId(0), attempt: Attempt(0), revision: 1 };

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes every call on to the system's allocator, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ending = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ending = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// What was allocated while answers in [`STEADY`] came.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    answers: u64,
    by_engine: u64,
    between_answers: u64,
    steps_between: u64,
    at_begin: u64,
    at_end: u64,
}

/// An engine that is watched from outside.
struct Watched {
    engine: EngineShard,
    seen: Seen,
    /// The count after the last answer, while nothing but the loop's own turn came since.
    mark: Cell<Option<u64>>,
}

impl Watched {
    fn is_steady(&self) -> bool {
        STEADY.contains(&self.seen.answers)
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut EngineShard) -> T) -> T {
        let (steady, before) = (self.is_steady(), allocations());
        let value = call(&mut self.engine);
        self.seen.by_engine += if steady { allocations() - before } else { 0 };
        value
    }
}

impl LoadHandler for Watched {
    type Order = Order;
    type Report = Report;

    fn order<I: LoadIo>(&mut self, io: &mut I, order: Order) {
        self.call(|engine| engine.order(io, order));
    }

    fn connected<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, result: Result<(), ConnError>) {
        self.mark.set(None);
        self.engine.connected(io, conn, result);
    }

    fn bytes<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, bytes: &[u8]) {
        if let Some(mark) = self.mark.take()
            && self.is_steady()
        {
            self.seen.between_answers += allocations() - mark;
            self.seen.steps_between += 1;
        }
        self.call(|engine| engine.bytes(io, conn, bytes));
        self.seen.answers += 1;
        if self.seen.answers == STEADY.start {
            self.seen.at_begin = allocations();
        } else if self.seen.answers == STEADY.end {
            self.seen.at_end = allocations();
        }
        self.mark.set(Some(allocations()));
    }

    fn closed<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, how: Closed, unsent: usize) {
        self.mark.set(None);
        self.engine.closed(io, conn, how, unsent);
    }

    fn tick<I: LoadIo>(&mut self, io: &mut I) {
        self.mark.set(None);
        self.call(|engine| engine.tick(io));
    }

    fn next_due(&self) -> Option<Instant> {
        self.mark.set(None);
        self.engine.next_due()
    }

    fn in_flight(&self) -> usize {
        self.engine.in_flight()
    }

    fn next_report(&mut self) -> Option<Report> {
        self.mark.set(None);
        self.call(LoadHandler::next_report)
    }
}

fn prepare(port: u16) -> Prepare {
    let flags = RunFlags {
        url: format!("http://127.0.0.1:{port}/"),
        vus: Some(VUS),
        requests: Some(REQUESTS),
        window: Some(Duration::from_millis(100)),
        ..RunFlags::default()
    };
    let origin = Origin { host: "127.0.0.1".to_owned(), port, addrs: vec![([127, 0, 0, 1], port).into()] };
    Prepare {
        key: KEY,
        epoch: Epoch(1),
        plan: Arc::new(from_flags(&flags).unwrap().plan),
        share: Share { unit_from: 0, unit_count: 1, units: 1, iterations: REQUESTS },
        from: Duration::ZERO,
        siblings: 1,
        seed: 7,
        origins: Arc::new(vec![origin]),
    }
}

/// Runs the share to its end, cell sets going back as the worker's core sends them.
async fn load(port: u16) -> Seen {
    let mut watched =
        Watched { engine: EngineShard::new(ShardId(0)), seen: Seen::default(), mark: Cell::new(None) };
    let now = clock::now();
    let orders = Rc::new(RefCell::new(VecDeque::with_capacity(64)));
    orders.borrow_mut().push_back(Order::Prepare(Box::new(prepare(port))));
    orders.borrow_mut().push_back(Order::Start { key: KEY, at: now, job_start: now });
    let (waiting, ended) = (Rc::clone(&orders), Rc::new(Cell::new(false)));
    let at_end = Rc::clone(&ended);
    let take = move |_: &mut std::task::Context<'_>, out: &mut Vec<Order>| {
        out.extend(waiting.borrow_mut().drain(..));
        if at_end.get() {
            Poll::Ready(false)
        } else if out.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(true)
        }
    };
    let report = move |report| match report {
        Report::Window { key, delta, .. } => {
            orders.borrow_mut().push_back(Order::Recycle { key, cells: delta });
        }
        Report::Ended(_) => ended.set(true),
        Report::Ready { result, .. } => result.unwrap(),
        Report::NeedIterations { .. } | Report::Donated { .. } | Report::Withdrawn { .. } => {}
    };
    run_load(&mut watched, take, report, LoadOptions::default()).await.unwrap();
    watched.seen
}

async fn serve(shard: &Shard, listening: Listening) {
    let mut responder = Responder::new(TargetConfig::default(), Counts::new(1), 0, clock::now());
    run_responder(listening, &mut responder, 1024, shard.stopping()).await.unwrap();
}

#[test]
fn requests_in_steady_state_allocate_nothing() {
    let (addr, listening) = listen(([127, 0, 0, 1], 0).into(), 1).unwrap();
    let sockets = Arc::new(ArrayQueue::new(1));
    listening.into_iter().for_each(|socket| sockets.push(socket).unwrap());
    let shards = start(&[ShardOptions::small(), ShardOptions::small()], move |shard| {
        let sockets = Arc::clone(&sockets);
        async move {
            if shard.id() == 1 {
                serve(&shard, sockets.pop().unwrap()).await;
                return Seen::default();
            }
            let seen = load(addr.port()).await;
            shard.stop().request(StopReason::Asked("the load has ended".to_owned()));
            seen
        }
    });
    let seen = shards.unwrap().join(Duration::from_secs(30)).unwrap()[0];
    assert_eq!(seen.answers, REQUESTS);
    assert!(seen.at_begin > 0, "nothing is counted");
    assert_eq!(seen.by_engine, 0, "{seen:?}");
    assert_eq!(seen.between_answers, 0, "{seen:?}");
    assert!(seen.steps_between > REQUESTS / 10, "too little was watched: {seen:?}");
    let steady = STEADY.end - STEADY.start;
    // On a machine that does other work there is a wait for almost each answer; on a quiet one for less than every fourth.
    assert!(seen.at_end - seen.at_begin < steady, "waits allocate more than they may: {seen:?}");
}
