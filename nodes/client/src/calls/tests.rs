use std::net::SocketAddr;

use hyperscale_codec::messages::{
    JobAck, JobCancelResponse, JobStatusPush, JobSubmit, RegisterCallbackResponse,
};
use hyperscale_codec::{
    Encode, Encoder, Head, Hello, Limits, NodeId, ProtocolVersion, RawFrame, Role, ShardId, Verdict,
};
use hyperscale_core::{Core as _, Effect, Effects, Event, Peer, WallClock};
use hyperscale_fleet::Identity;

use super::*;
use crate::core::{ClientConfig, Command, Local};

const JOB: JobId = JobId(7);
const T0: Instant = Instant(1_000_000_000);

/// What a client wants done, but for notices.
#[derive(Debug, Clone, PartialEq)]
enum Did {
    Sent(Kind, Extensions),
    Dialled(SocketAddr),
    Closed,
}

struct Bench {
    core: ClientCore,
    effects: Effects<Command>,
    now: Instant,
    links: u64,
    told: Vec<Notice>,
}

impl Bench {
    fn new(gates: u16, wish: Local) -> Self {
        let config = ClientConfig {
            identity: Identity::new(Role::Client, NodeId(5), "client"),
            gates: (1..=gates).map(gate).collect(),
            wall: WallClock::default(),
            patience: Duration::from_secs(10),
        };
        let core = ClientCore::new(config);
        let mut bench = Self { core, effects: Effects::default(), now: T0, links: 0, told: Vec::new() };
        bench.handle(Event::Local(wish));
        assert_eq!(bench.done(), [Did::Dialled(gate(1))]);
        bench
    }

    fn link_up(&mut self, n: u16) -> Vec<Did> {
        let hello = Hello {
            verdict: Verdict::Welcome,
            role: Role::Gate,
            version: ProtocolVersion::CURRENT,
            shards: 1,
            shard: ShardId(0),
            in_flight_max: 8,
            features: ProtocolVersion::CURRENT.features(),
            node: NodeId(n.into()),
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
        self.links += 1;
        let peer = Peer { addr: gate(n), hello };
        self.handle(Event::LinkUp { link: LinkId(self.links), peer: &peer, dial: None });
        self.done()
    }

    fn handle(&mut self, event: Event<'_, Local>) {
        self.core.handle(self.now, event, &mut self.effects);
    }

    fn reply<M: Encode>(&mut self, correlation: u32, message: &M) -> Vec<Did> {
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::reply(correlation), message).unwrap();
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        self.core.handle(self.now, Event::Frame { link: LinkId(self.links), frame }, &mut self.effects);
        self.done()
    }

    fn refuse(&mut self, correlation: u32, code: ErrorCode, retry_after_ms: u32) -> Vec<Did> {
        self.reply(correlation, &ErrorReply { retry_after_ms, ..refusal(code) })
    }

    fn done(&mut self) -> Vec<Did> {
        let (mut list, mut did) = (Vec::new(), Vec::new());
        self.effects.take(&mut list);
        for effect in list {
            match effect {
                Effect::Send { range, .. } => {
                    let frame = RawFrame::read(self.effects.frame(range), &Limits::default()).unwrap();
                    did.push(Did::Sent(frame.kind().unwrap(), frame.extensions().unwrap()));
                }
                Effect::Command(Command::Notify(notice)) => self.told.push(notice),
                Effect::Dial { addr, .. } => did.push(Did::Dialled(addr)),
                Effect::Close { .. } => did.push(Did::Closed),
                Effect::Datagram { .. } | Effect::Refused { .. } => {}
            }
        }
        self.effects.clear();
        did
    }

    /// Sleeps until it wants to be woken.
    fn wake(&mut self) -> Vec<Did> {
        self.now = self.core.next_deadline().unwrap();
        self.handle(Event::Timer);
        self.done()
    }

    /// Sleeps until it does something, or has nothing to do any more.
    fn next(&mut self) -> Vec<Did> {
        while self.core.next_deadline().is_some() {
            let did = self.wake();
            if !did.is_empty() {
                return did;
            }
        }
        Vec::new()
    }

    fn elapsed(&self) -> Duration {
        self.now.since(T0)
    }

    fn failure(&self) -> Option<&str> {
        let failed = self.told.iter().find(|notice| matches!(notice, Notice::Failed { .. }))?;
        let Notice::Failed { error } = failed else { return None };
        Some(error)
    }
}

fn refusal(code: ErrorCode) -> ErrorReply {
    ErrorReply {
        code: code.to_wire(),
        message: format!("it is {}", code.as_str()),
        retry_after_ms: 0,
        holder: [0; 16],
        holder_addr: String::new(),
        seen: 0,
    }
}

fn gate(n: u16) -> SocketAddr {
    ([127, 0, 0, 1], 7_000 + n).into()
}

fn status() -> Local {
    Local::Ask(Question::Status { job: JOB })
}

fn submit() -> Local {
    Local::Submit(Box::new(JobSubmit {
        plan: String::new(),
        plan_sha256: [0; 32],
        idempotency: [9; 16],
        follow: true,
        histograms: false,
    }))
}

fn sent(did: &[Did]) -> (Kind, Extensions) {
    let [Did::Sent(kind, extensions)] = did else { panic!("{did:?}") };
    (*kind, *extensions)
}

#[test]
fn a_loaded_gate_is_asked_less_and_less_often_and_not_beyond_the_users_patience() {
    let mut bench = Bench::new(1, status());
    let mut asked = bench.link_up(1);
    let mut times = Vec::new();
    while !asked.is_empty() {
        let (kind, extensions) = sent(&asked);
        times.push(bench.elapsed());
        assert_eq!(kind, Kind::JobStatusRequest);
        let left = 10_000 - u32::try_from(bench.elapsed().as_nanos().div_ceil(1_000_000)).unwrap();
        assert_eq!(extensions.deadline_ms, Some(left));
        bench.refuse(QUESTION, ErrorCode::Overloaded, 250);
        asked = bench.next();
    }
    assert!((6..=20).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|two| two[1] - two[0] >= Duration::from_millis(250)));
    let failure = bench.failure().unwrap();
    assert!(failure.contains("no gate could do it for") && failure.contains("it is overloaded"), "{failure}");
    assert!(bench.elapsed() <= Duration::from_secs(10));
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_id() {
    let mut bench = Bench::new(1, submit());
    let (kind, first) = sent(&bench.link_up(1));
    assert_eq!((kind, first.idempotency), (Kind::JobSubmit, Some([9; 16])));
    let (kind, second) = sent(&bench.next());
    assert_eq!((kind, second.idempotency, second.attempt), (Kind::JobSubmit, Some([9; 16]), Some(2)));
    assert!(second.deadline_ms < first.deadline_ms);
    let ack = JobAck {
        job: [9; 16],
        fence_token: 1,
        owner: [1; 16],
        owner_addr: gate(1).to_string(),
        state: 0,
        following: true,
    };
    assert_eq!(bench.reply(SUBMIT, &ack), []);
    assert!(matches!(bench.told.as_slice(), [Notice::Accepted { .. }]));
}

#[test]
fn a_gate_that_says_nothing_at_all_is_given_up_when_patience_ends() {
    let mut bench = Bench::new(1, status());
    bench.link_up(1);
    while !bench.next().is_empty() {}
    assert!(bench.failure().is_some_and(|error| error.contains("did not answer")), "{:?}", bench.told);
    assert!((9..=10).contains(&bench.elapsed().as_secs()), "{:?}", bench.elapsed());
}

#[test]
fn after_three_attempts_at_one_gate_the_next_is_asked() {
    let mut bench = Bench::new(2, status());
    let mut did = bench.link_up(1);
    for _ in 0..3 {
        sent(&did);
        bench.refuse(QUESTION, ErrorCode::Overloaded, 100);
        did = bench.done();
        if did.is_empty() {
            did = bench.next();
        }
    }
    // Closed at once, or the dial was next already.
    assert!(did.contains(&Did::Dialled(gate(2))), "{did:?}");
    let (kind, _) = sent(&bench.link_up(2));
    assert_eq!(kind, Kind::JobStatusRequest);
    assert_eq!(bench.failure(), None);
}

#[test]
fn an_answer_that_stays_is_told_at_once() {
    let mut bench = Bench::new(1, status());
    bench.link_up(1);
    bench.refuse(QUESTION, ErrorCode::UnknownJob, 0);
    assert_eq!(bench.failure(), Some("it is unknown_job"));
    assert_eq!(bench.core.next_deadline(), None);
}

#[test]
fn who_hears_nothing_of_a_job_for_long_asks_whether_it_is_still_told() {
    let mut bench = Bench::new(1, Local::Watch { job: JOB, histograms: false });
    bench.link_up(1);
    let told = RegisterCallbackResponse {
        job: JOB.to_bytes(),
        success: true,
        owner_addr: String::new(),
        state: 0,
        requests: 0,
        errors: 0,
        elapsed_ms: 0,
        seq: 0,
        error: String::new(),
    };
    bench.reply(CALLBACK, &told);
    let (kind, _) = sent(&bench.next());
    assert_eq!((kind, bench.elapsed()), (Kind::RegisterCallback, QUIET));
    bench.reply(CALLBACK, &told);
    bench.now = bench.now + Duration::from_secs(5);
    let push = JobStatusPush { job: JOB.to_bytes(), seq: 1, ..push() };
    bench.reply(0, &push);
    bench.next();
    assert_eq!(bench.elapsed(), QUIET + Duration::from_secs(5) + QUIET);
    assert_eq!(bench.failure(), None);
}

fn push() -> JobStatusPush {
    JobStatusPush {
        job: [0; 16],
        fence_token: 1,
        seq: 0,
        state: 0,
        from_ms: 0,
        to_ms: 1_000,
        requests: 0,
        errors: 0,
        dropped: 0,
        bytes_in: 0,
        p50_ns: 0,
        p99_ns: 0,
        max_ns: 0,
        lateness_p99_ns: 0,
        total_requests: 0,
        total_errors: 0,
        in_flight: 0,
        events: Vec::new(),
        latency: None,
    }
}

#[test]
fn a_cancel_is_said_until_it_is_answered_and_a_refusal_that_may_pass_does_not_end_it() {
    let mut bench = Bench::new(1, Local::Watch { job: JOB, histograms: false });
    bench.link_up(1);
    bench.handle(Event::Local(Local::Cancel { reason: "enough".to_owned() }));
    assert_eq!(sent(&bench.done()).0, Kind::JobCancelRequest);
    bench.refuse(CANCEL, ErrorCode::Unavailable, 0);
    let again = |did: &Vec<Did>| matches!(did.as_slice(), [Did::Sent(Kind::JobCancelRequest, _)]);
    let mut did = bench.next();
    while !again(&did) {
        did = bench.next();
    }
    assert!(bench.elapsed() < Duration::from_secs(2), "{:?}", bench.elapsed());
    let answer = JobCancelResponse {
        job_id: JOB.to_bytes(),
        success: true,
        cancelled_workflow_count: 1,
        error: String::new(),
        state: 0,
        per_dc: Vec::new(),
    };
    bench.reply(CANCEL, &answer);
    assert!(matches!(bench.told.as_slice(), [Notice::Cancelled { success: true, .. }]), "{:?}", bench.told);
    bench.refuse(CANCEL, ErrorCode::Unavailable, 0);
    assert_eq!(bench.told.len(), 1, "a late refusal of an earlier attempt is nothing");
}

#[test]
fn a_gate_that_names_another_is_followed_three_times() {
    let mut bench = Bench::new(1, status());
    let mut did = bench.link_up(1);
    for n in 2..5 {
        assert_eq!(sent(&did).0, Kind::JobStatusRequest);
        let told = ErrorReply { holder_addr: gate(n).to_string(), ..refusal(ErrorCode::NotOwner) };
        assert_eq!(bench.reply(QUESTION, &told), [Did::Closed, Did::Dialled(gate(n))]);
        did = bench.link_up(n);
    }
    let told = ErrorReply { holder_addr: gate(9).to_string(), ..refusal(ErrorCode::NotOwner) };
    assert_eq!(bench.reply(QUESTION, &told), []);
    assert_eq!(sent(&bench.next()).0, Kind::JobStatusRequest, "asked again where it is");
    assert_eq!(bench.failure(), None);
}
