use hyperscale_codec::messages::{
    JobCancelResponse, JobStatusResponse, JobSubmit, NodesResponse, RateLimitResponse,
};
use hyperscale_codec::{
    Encode, Encoder, ErrorCode, Features, Head, Hello, JobId, Kind, Limits, NodeId, ProtocolVersion,
    RawFrame, Role, ShardId, Verdict,
};
use hyperscale_core::{Core as _, Effect, Effects, Event, LinkId, Peer, WallClock};
use hyperscale_fleet::Identity;

use super::*;
use crate::core::{ClientConfig, Command, Local};

const JOB: JobId = JobId(7);

/// A client whose link to a gate is up.
struct Bench {
    core: ClientCore,
    effects: Effects<Command>,
    now: Instant,
}

impl Bench {
    fn new(wish: Local) -> Self {
        let config = ClientConfig {
            identity: Identity::new(Role::Client, NodeId(5), "client"),
            gates: vec![([127, 0, 0, 1], 7001).into()],
            wall: WallClock::default(),
            patience: Duration::from_secs(10),
        };
        let mut bench =
            Self { core: ClientCore::new(config), effects: Effects::default(), now: Instant(1_000_000_000) };
        bench.handle(Event::Local(wish));
        bench.link_up();
        bench
    }

    fn link_up(&mut self) {
        let hello = Hello {
            verdict: Verdict::Welcome,
            role: Role::Gate,
            version: ProtocolVersion::CURRENT,
            shards: 1,
            shard: ShardId(0),
            in_flight_max: 8,
            features: ProtocolVersion::CURRENT.features(),
            node: NodeId(1),
            boot: 1,
            core_max: 1,
            idle_timeout_ms: 0,
            retry_after_ms: 0,
            node_version: String::new(),
            fleet: "default".to_owned(),
            text: String::new(),
            name: "gate".to_owned(),
            ports: Vec::new(),
            swim_port: 0,
            oob_port: 0,
        };
        let peer = Peer { addr: ([127, 0, 0, 1], 7001).into(), hello };
        self.handle(Event::LinkUp { link: LinkId(1), peer: &peer, dial: None });
        assert!(self.core.common.contains(Features::RATE_LIMITING));
    }

    fn handle(&mut self, event: Event<'_, Local>) {
        self.core.handle(self.now, event, &mut self.effects);
    }

    fn reply<M: Encode>(&mut self, correlation: u32, message: &M) {
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::reply(correlation), message).unwrap();
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        self.core.handle(self.now, Event::Frame { link: LinkId(1), frame }, &mut self.effects);
    }

    fn limit(&mut self, correlation: u32, retry_after_ms: u32) {
        // Its number of the operation is not asked: an older gate has other rows.
        let told = RateLimitResponse { operation: 99, retry_after_ms, limit: 1, remaining: 0 };
        self.reply(correlation, &told);
    }

    /// What was asked for since the last look, and what was told.
    fn done(&mut self) -> (Vec<Kind>, Vec<Notice>) {
        let mut list = Vec::new();
        self.effects.take(&mut list);
        let (mut sent, mut told) = (Vec::new(), Vec::new());
        for effect in list {
            match effect {
                Effect::Send { range, .. } => {
                    let frame = RawFrame::read(self.effects.frame(range), &Limits::default()).unwrap();
                    sent.push(frame.kind().unwrap());
                }
                Effect::Command(Command::Notify(notice)) => told.push(notice),
                Effect::Dial { .. }
                | Effect::Datagram { .. }
                | Effect::Refused { .. }
                | Effect::Close { .. } => {}
            }
        }
        self.effects.clear();
        (sent, told)
    }

    /// Sleeps until it wants to be woken.
    fn wake(&mut self) -> Duration {
        let at = self.core.next_deadline().unwrap();
        let slept = at.since(self.now);
        self.now = at;
        self.handle(Event::Timer);
        slept
    }
}

fn standing() -> JobStatusResponse {
    JobStatusResponse {
        job: JOB.to_bytes(),
        name: "checkout".to_owned(),
        state: 0,
        error: String::new(),
        owner: [0; 16],
        owner_name: String::new(),
        owner_addr: String::new(),
        fence_token: 1,
        accepted_unix_ms: 0,
        elapsed_ms: 0,
        requests: 0,
        errors: 0,
        dropped: 0,
        datacenters: Vec::new(),
    }
}

fn status() -> Local {
    Local::Ask(Question::Status { job: JOB })
}

#[test]
fn a_limited_question_is_asked_again_when_it_may_be() {
    let mut bench = Bench::new(status());
    assert_eq!(bench.done(), (vec![Kind::JobStatusRequest], vec![]));
    bench.limit(QUESTION, 700);
    assert_eq!(bench.done(), (vec![], vec![]));
    let slept = bench.wake();
    assert!((700..770).contains(&slept.as_millis()), "{slept:?}");
    assert_eq!(bench.done(), (vec![Kind::JobStatusRequest], vec![]));
    bench.reply(QUESTION, &standing());
    assert!(matches!(bench.done().1.as_slice(), [Notice::Status(_)]));
    assert_eq!(bench.core.next_deadline(), None);
}

#[test]
fn an_older_gate_says_the_same_by_an_error() {
    let mut bench = Bench::new(status());
    let reply = ErrorReply {
        code: ErrorCode::RateLimited.to_wire(),
        message: "too often".to_owned(),
        retry_after_ms: 2_000,
        holder: [0; 16],
        holder_addr: String::new(),
        seen: 0,
    };
    bench.reply(QUESTION, &reply);
    let slept = bench.wake();
    assert!((2_000..2_200).contains(&slept.as_millis()), "{slept:?}");
    assert_eq!(bench.done().0, [Kind::JobStatusRequest; 2]);
}

#[test]
fn after_three_waits_it_gives_up_and_says_why() {
    let mut bench = Bench::new(Local::Ask(Question::Nodes { so_far: Vec::new() }));
    for _ in 0..3 {
        // Longer than it has patience for a gate that says nothing: this one says something.
        bench.limit(QUESTION, 15_000);
        let _slept = bench.wake();
    }
    assert_eq!(bench.done(), (vec![Kind::NodesRequest; 4], vec![]));
    bench.limit(QUESTION, 15_000);
    let (sent, told) = bench.done();
    let [Notice::Failed { error }] = told.as_slice() else { panic!("{told:?}") };
    assert!(error.contains("rate limited") && error.contains("nodes too often"), "{error}");
    assert_eq!((sent, bench.core.next_deadline()), (vec![], None));
}

#[test]
fn a_gate_that_limits_and_one_that_cannot_are_not_asked_by_turns_for_ever() {
    let mut bench = Bench::new(status());
    bench.core.config.gates.push(([127, 0, 0, 1], 7002).into());
    let unavailable = ErrorReply {
        code: ErrorCode::Unavailable.to_wire(),
        message: "not now".to_owned(),
        retry_after_ms: 0,
        holder: [0; 16],
        holder_addr: String::new(),
        seen: 0,
    };
    let (begin, mut turn) = (bench.now, 0);
    loop {
        let (sent, told) = bench.done();
        if let [.., Notice::Failed { error }] = told.as_slice() {
            assert!(error.contains("for 10 s"), "{error}");
            break;
        }
        if sent.is_empty() {
            if bench.core.next_deadline().is_some() {
                let _slept = bench.wake();
            } else {
                bench.link_up();
            }
            continue;
        }
        turn += 1;
        match turn % 2 {
            1 => bench.limit(QUESTION, 500),
            _ => bench.reply(QUESTION, &unavailable),
        }
        assert!(bench.now.since(begin) < Duration::from_secs(60), "asked {turn} times, and on");
    }
}

#[test]
fn a_wait_beyond_a_minute_is_not_begun() {
    let mut bench = Bench::new(Local::Submit(Box::new(JobSubmit {
        plan: String::new(),
        plan_sha256: [0; 32],
        idempotency: [1; 16],
        follow: false,
        histograms: false,
    })));
    bench.limit(SUBMIT, 61_000);
    assert!(matches!(bench.done().1.as_slice(), [Notice::Failed { .. }]));
}

#[test]
fn a_lost_connection_is_no_way_round_a_wait() {
    let mut bench = Bench::new(Local::Watch { job: JOB, histograms: false });
    assert_eq!(bench.done().0, [Kind::RegisterCallback]);
    bench.limit(CALLBACK, 1_000);
    bench.handle(Event::LinkDown { link: LinkId(1), why: hyperscale_core::LinkDown::Closed });
    bench.link_up();
    assert_eq!(bench.done().0, []);
    let slept = bench.wake();
    assert!((1_000..1_100).contains(&slept.as_millis()), "{slept:?}");
    assert_eq!(bench.done().0, [Kind::RegisterCallback]);
}

#[test]
fn a_limited_cancel_waits_alone_and_ends_the_following_in_no_case() {
    let mut bench = Bench::new(Local::Watch { job: JOB, histograms: false });
    bench.handle(Event::Local(Local::Cancel { reason: "enough".to_owned() }));
    assert_eq!(bench.done().0, [Kind::RegisterCallback, Kind::JobCancelRequest]);
    bench.limit(CANCEL, 50);
    bench.handle(Event::Local(Local::Cancel { reason: "at once".to_owned() }));
    assert_eq!(bench.done().0, [], "held back");
    let _slept = bench.wake();
    assert_eq!(bench.done().0, [Kind::JobCancelRequest]);
    for _ in 0..2 {
        bench.limit(CANCEL, 50);
        let _slept = bench.wake();
    }
    bench.limit(CANCEL, 50);
    let (_, told) = bench.done();
    assert!(matches!(told.as_slice(), [Notice::Cancelled { success: false, .. }]), "{told:?}");
    assert!(matches!(bench.core.goal, Goal::Follow(_)));
    assert_eq!(bench.core.limited.cancel_at, None);
}

#[test]
fn an_answered_cancel_wakes_nobody_for_nothing() {
    let mut bench = Bench::new(Local::Watch { job: JOB, histograms: false });
    bench.handle(Event::Local(Local::Cancel { reason: "enough".to_owned() }));
    bench.limit(CANCEL, 50);
    bench.reply(
        CANCEL,
        &JobCancelResponse {
            job_id: JOB.to_bytes(),
            success: true,
            cancelled_workflow_count: 1,
            error: String::new(),
            state: 0,
            per_dc: Vec::new(),
        },
    );
    let _slept = bench.wake();
    assert_eq!(bench.core.limited.cancel_at, None);
    assert!(bench.done().0.iter().filter(|kind| **kind == Kind::JobCancelRequest).count() == 1);
}

#[test]
fn an_answer_ends_the_count_of_waits() {
    let mut bench = Bench::new(Local::Ask(Question::Nodes { so_far: Vec::new() }));
    for page in 0..6 {
        bench.limit(QUESTION, 100);
        let _slept = bench.wake();
        let next = if page < 5 { "more".to_owned() } else { String::new() };
        bench.reply(QUESTION, &NodesResponse { nodes: Vec::new(), next, missing: Vec::new() });
    }
    assert!(matches!(bench.done().1.as_slice(), [Notice::Nodes { .. }]));
}
