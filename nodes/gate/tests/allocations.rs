//! A warm gate takes statistics without allocating: from a frame's bytes through the check and the merge into view and
//! totals to the receipt and the line that a subscriber gets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unsafe_code,
    reason = "counts what an allocator is asked for; a test that cannot go on shall fail where it stands"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use hyperscale_codec::messages::{JobDispatchAck, JobSubmit, StatsAck, StatsSnapshot, StatsUpdate};
use hyperscale_codec::{
    Encode, Encoder, Epoch, FrameReader, Head, JobId, Kind, Limits, NodeId, RawFrame, Role, Sequence,
    ShardId, WorkflowId,
};
use hyperscale_core::{Core, Effect, Effects, Event, Instant, LinkId, WallClock};
use hyperscale_fleet::Identity;
use hyperscale_gate::{Command, GateConfig, GateCore, Local};
use hyperscale_ledger::MemoryLedger;
use hyperscale_plan::PlanText;
use hyperscale_stats::{CellSet, ColumnsBuilder, Source};

thread_local! {
    /// Of this thread alone, so that the test harness's own threads do not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    let _ending = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: passes every call on to the system's allocator with the caller's own arguments, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
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

const CLIENT: LinkId = LinkId(1);
const MANAGER: LinkId = LinkId(2);
const PLAN: &str = r#"
target = "http://127.0.0.1:1"
[workflows.home]
vus = 4
duration = "600s"
steps = [{ get = "/a" }, { get = "/b" }]
"#;

/// A gate that is driven as its driver does: one batch of effects and one reader, used again and again.
struct Driven {
    core: GateCore,
    ledger: MemoryLedger,
    effects: Effects<Command>,
    reader: FrameReader,
}

impl Driven {
    fn new() -> Self {
        let core = GateCore::new(GateConfig {
            identity: Identity::new(Role::Gate, NodeId(1), "gate"),
            shard: ShardId(0),
            addr: "127.0.0.1:1".to_owned(),
            seed: 7,
            wall: WallClock { unix_ms: 1_790_000_000_000, at: Instant::ZERO },
            dispatch_wait: Duration::from_secs(30),
            manager_wait: Duration::from_secs(10),
            snapshots_max: hyperscale_gate::SNAPSHOTS_MAX,
            archive: None,
            membership: hyperscale_fleet::MembershipConfig::new("default", 1),
        });
        let (effects, reader) = (Effects::default(), FrameReader::new());
        Self { core, ledger: MemoryLedger::default(), effects, reader }
    }

    /// Hands the bytes of one frame in; what comes out stays in `effects`.
    fn take(&mut self, link: LinkId, bytes: &[u8]) {
        self.effects.clear();
        self.reader.feed(bytes);
        let frame = self.reader.next(&Limits::default()).unwrap().unwrap();
        self.core.handle(Instant(1), Event::Frame { link, frame }, &mut self.effects);
    }

    /// Sends a message in and decides what is proposed because of it. Kinds of the frames that came out.
    fn tell<M: Encode>(&mut self, link: LinkId, message: &M) -> Vec<Kind> {
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::request(1), message).unwrap();
        self.take(link, &bytes);
        let mut kinds = Vec::new();
        loop {
            let mut list = Vec::new();
            self.effects.take(&mut list);
            let mut proposed = Vec::new();
            for effect in list {
                match effect {
                    Effect::Send { range, .. } => kinds.push(sent(self.effects.frame(range)).kind().unwrap()),
                    Effect::Command(Command::Propose(entry)) => proposed.push(entry),
                    Effect::Datagram { .. }
                    | Effect::Dial { .. }
                    | Effect::Close { .. }
                    | Effect::Refused { .. }
                    | Effect::Command(_) => {}
                }
            }
            self.effects.clear();
            if proposed.is_empty() {
                return kinds;
            }
            for entry in proposed {
                let committed = Local::Committed(self.ledger.commit(entry));
                self.core.handle(Instant(1), Event::Local(committed), &mut self.effects);
            }
        }
    }

    /// The frames of the last message's effects: to whom, and what.
    fn answers(&self) -> Vec<(LinkId, RawFrame<'_>)> {
        let frames = self.effects.list().iter().filter_map(|effect| match effect {
            Effect::Send { link, range } => Some((*link, sent(self.effects.frame(range.clone())))),
            Effect::Datagram { .. }
            | Effect::Dial { .. }
            | Effect::Close { .. }
            | Effect::Refused { .. }
            | Effect::Command(_) => None,
        });
        frames.collect()
    }
}

fn sent(bytes: &[u8]) -> RawFrame<'_> {
    RawFrame::read(bytes, &Limits::default()).unwrap()
}

/// A job that runs, and its id.
fn running_job(gate: &mut Driven) -> JobId {
    let manager =
        Identity { datacenter: "local".to_owned(), ..Identity::new(Role::Manager, NodeId(2), "manager") };
    let registration = manager.manager_registration(2);
    assert_eq!(gate.tell(MANAGER, &registration), [Kind::ManagerPeerRegistrationResponse]);
    let plan = PlanText::new(PLAN.to_owned());
    let submit = JobSubmit {
        plan: plan.text,
        plan_sha256: plan.sha256,
        idempotency: [9; 16],
        follow: true,
        histograms: false,
    };
    assert_eq!(gate.tell(CLIENT, &submit), [Kind::JobAck, Kind::JobDispatch]);
    let job = gate.core.jobs().next().unwrap();
    let ack =
        JobDispatchAck { job: job.to_bytes(), attempt: 1, accepted: true, dc_token: 1, error: String::new() };
    gate.tell(MANAGER, &ack);
    job
}

fn cells(n: u64) -> CellSet {
    let mut cells = CellSet::new(2);
    for ns in (0..20).map(|i| 100_000 + i * i * 977 + n) {
        for step in 0..2 {
            let cell = cells.step_mut(step);
            cell.count += 1;
            cell.latency.record(ns);
            cell.service.record(ns / 2);
            cell.lateness.record(ns / 9);
            cell.record_status(if ns % 7 == 0 { 503 } else { 200 });
        }
    }
    cells.workflow_mut().count += 20;
    cells
}

/// Encoded updates and snapshots of two shards, in turn.
fn frames(job: JobId, n: u64) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::default();
    let encoded = (1..=n).map(|k| {
        let window = u32::try_from(k).unwrap();
        let mut builder = ColumnsBuilder::new(job, 1, window, window, 1000);
        for shard in 0..2 {
            let source = Source { worker: NodeId(100), shard: ShardId(shard), epoch: Epoch(1) };
            builder.push(source, Sequence(k), WorkflowId(0), &cells(k));
        }
        let columns = builder.build().pop().unwrap();
        let (head, mut bytes) = (Head::request(7).job(job), Vec::new());
        match k % 2 {
            0 => encoder.append(&mut bytes, head, &StatsUpdate(columns)).unwrap(),
            _ => encoder.append(&mut bytes, head, &StatsSnapshot(columns)).unwrap(),
        }
        bytes
    });
    encoded.collect()
}

#[test]
fn a_warm_gate_takes_a_thousand_messages_of_statistics_without_an_allocation() {
    let mut gate = Driven::new();
    let job = running_job(&mut gate);
    let frames = frames(job, 1100);
    let (warm_up, counted) = frames.split_at(100);
    warm_up.iter().for_each(|bytes| gate.take(MANAGER, bytes));

    let before = ALLOCATIONS.get();
    counted.iter().for_each(|bytes| gate.take(MANAGER, bytes));
    assert_eq!(ALLOCATIONS.get() - before, 0);

    // They did their work: the last update is acknowledged and in the view, the snapshot before it as well.
    let answers = gate.answers();
    let kinds: Vec<(LinkId, Kind)> =
        answers.iter().map(|(link, frame)| (*link, frame.kind().unwrap())).collect();
    assert_eq!(kinds, [(CLIENT, Kind::JobStatusPush), (MANAGER, Kind::StatsAck)]);
    let ack = answers[1].1.to_owned::<StatsAck>(&mut Vec::new()).unwrap();
    assert_eq!((ack.source_shard, ack.source_sequence), (vec![0, 1], vec![1100, 1100]));
    assert!(ALLOCATIONS.get() > before, "the counter counts");
}
