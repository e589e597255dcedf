//! Many clients at one place that do nothing but ask, each on a link of its own: a flood. Some do as they are told when
//! they are refused, with the spread of a production client; some do not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{ErrorReply, JobStatusRequest, JobSubmit, RateLimitResponse};
use hyperscale_codec::{Encoder, ErrorCode, Head, JobId, Kind, NodeId, RawFrame, Role};
use hyperscale_core::{DialId, Event, Instant, LinkId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::node::{Bare, Wish};
use super::{Brain, Fleet, Place};

/// A lost connection is made again after this.
const DIAL_AGAIN: Duration = Duration::from_millis(500);
/// Who obeys waits so long for an answer, and asks again so often when it is refused.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRIES: u32 = 3;

/// What they ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    /// How this job stands.
    Status(JobId),
    /// That a plan be run which nobody can parse.
    Submit,
}

/// Who they are.
#[derive(Debug, Clone)]
pub(crate) struct CrowdShape {
    pub(crate) ask: Ask,
    /// Who does as it is told, and who asks on at its rate whatever it is told.
    pub(crate) obedient: u32,
    pub(crate) hostile: u32,
    /// Each asks so often a second, by chance.
    pub(crate) per_second: f64,
    pub(crate) seed: u64,
}

/// What became of their questions.
#[derive(Debug, Default, Clone)]
pub(crate) struct CrowdLog {
    pub(crate) asked: u64,
    /// When the first and the last question was asked.
    pub(crate) span: (Instant, Instant),
    pub(crate) answered: u64,
    pub(crate) shed: u64,
    pub(crate) limited: u64,
    /// Answered after they were refused and asked again.
    pub(crate) answered_later: u64,
    pub(crate) given_up: u64,
    /// When one that had been refused was asked again, by who obeys.
    pub(crate) retries: Vec<Instant>,
    /// The longest that who obeys waited for an answer, whatever answer.
    pub(crate) slowest: Duration,
    pub(crate) links_lost: u64,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Dial,
    Ask,
    /// For the `n`th time.
    Again(u32),
    /// Its answer has not come.
    Miss,
}

#[derive(Debug)]
struct Asker {
    hostile: bool,
    link: Option<LinkId>,
    next: (Instant, Next),
    /// The `n`th try, asked then, waits for its answer.
    waits: Option<(u32, Instant)>,
    number: u32,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Crowd {
    shape: CrowdShape,
    gate: SocketAddr,
    rng: StdRng,
    askers: Vec<Asker>,
    dues: BTreeSet<(Instant, usize)>,
    links: BTreeMap<LinkId, usize>,
    dials: u64,
    quiet: bool,
    pub(crate) log: CrowdLog,
}

impl Crowd {
    fn new(shape: CrowdShape, gate: SocketAddr, now: Instant) -> Self {
        let mut rng = StdRng::seed_from_u64(shape.seed);
        let asker = |n: u32| Asker {
            hostile: n < shape.hostile,
            link: None,
            next: (now + Duration::from_secs(1).mul_f64(rng.random_range(0.0..1.0)), Next::Dial),
            waits: None,
            number: 0,
        };
        let askers: Vec<Asker> = (0..shape.hostile + shape.obedient).map(asker).collect();
        let dues = askers.iter().enumerate().map(|(n, asker)| (asker.next.0, n)).collect();
        let (links, log) = (BTreeMap::new(), CrowdLog::default());
        Self { shape, gate, rng, askers, dues, links, dials: 0, quiet: false, log }
    }

    /// The id of who dials so.
    pub(super) fn id(&self, dial: DialId) -> NodeId {
        let asker = u128::from(dial.0) % self.askers.len() as u128;
        NodeId((0xc0_u128 << 64) | (u128::from(self.shape.seed) << 32) | asker)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.dues.first().map(|(at, _)| *at)
    }

    fn set(&mut self, asker: usize, at: Instant, next: Next) {
        self.dues.remove(&(self.askers[asker].next.0, asker));
        self.askers[asker].next = (at, next);
        self.dues.insert((at, asker));
    }

    /// A time to the next question, as of one who comes by chance.
    fn pause(&mut self) -> Duration {
        let draw: f64 = self.rng.random_range(f64::MIN_POSITIVE..1.0);
        Duration::from_secs_f64(-draw.ln() / self.shape.per_second)
    }

    pub(super) fn happen(&mut self, now: Instant, event: Bare<'_>) -> Vec<Wish> {
        let mut wishes = Vec::new();
        match event {
            Event::LinkUp { link, dial: Some(dial), .. } => {
                let asker = (dial.0 % self.askers.len() as u64) as usize;
                self.askers[asker].link = Some(link);
                self.links.insert(link, asker);
                let pause = self.pause();
                self.set(asker, now + pause, Next::Ask);
            }
            Event::LinkDown { link, .. } => {
                if let Some(asker) = self.links.remove(&link) {
                    self.log.links_lost += 1;
                    (self.askers[asker].link, self.askers[asker].waits) = (None, None);
                    self.set(asker, now + DIAL_AGAIN, Next::Dial);
                }
            }
            Event::DialFailed { dial, .. } => {
                let asker = (dial.0 % self.askers.len() as u64) as usize;
                if self.askers[asker].link.is_none() {
                    self.set(asker, now + DIAL_AGAIN, Next::Dial);
                }
            }
            Event::Frame { link, frame } => self.on_frame(now, link, &frame),
            Event::Timer => {
                while let Some((at, asker)) = self.dues.first().copied().filter(|(at, _)| *at <= now) {
                    self.dues.remove(&(at, asker));
                    wishes.extend(self.act(now, asker));
                }
            }
            Event::LinkUp { dial: None, .. } | Event::Datagram { .. } => {}
            Event::Local(never) => match never {},
        }
        wishes
    }

    fn act(&mut self, now: Instant, asker: usize) -> Option<Wish> {
        let (_, next) = self.askers[asker].next;
        match next {
            Next::Dial => {
                self.dials += 1;
                // The rest tells who dials.
                let dial = self.dials * self.askers.len() as u64 + asker as u64;
                self.set(asker, now + PATIENCE + DIAL_AGAIN, Next::Dial);
                Some(Wish::Dial(DialId(dial), self.gate))
            }
            Next::Ask | Next::Again(_) if self.quiet => None,
            Next::Ask => self.ask(now, asker, 0),
            Next::Again(times) => {
                self.log.retries.push(now);
                self.ask(now, asker, times)
            }
            Next::Miss => {
                self.log.given_up += 1;
                self.askers[asker].waits = None;
                self.set(asker, now, Next::Ask);
                None
            }
        }
    }

    fn ask(&mut self, now: Instant, asker: usize, times: u32) -> Option<Wish> {
        let pause = self.pause();
        let own = &mut self.askers[asker];
        own.number = own.number % 0x3fff_ffff + 1;
        let (link, number, hostile) = (own.link?, own.number, own.hostile);
        own.waits = Some((times, now));
        if hostile {
            self.set(asker, now + pause, Next::Ask);
        } else {
            self.set(asker, now + PATIENCE, Next::Miss);
        }
        if self.log.asked == 0 {
            self.log.span.0 = now;
        }
        self.log.span.1 = now;
        self.log.asked += 1;
        let (mut bytes, mut encoder) = (Vec::new(), Encoder::default());
        let head = Head::request(number);
        match self.shape.ask {
            Ask::Status(job) => {
                encoder.append(&mut bytes, head.job(job), &JobStatusRequest { job: job.to_bytes() })
            }
            Ask::Submit => {
                let job = JobId(u128::from(self.rng.random::<u64>()) << 64 | asker as u128);
                let plan = hyperscale_plan::PlanText::new("vus = 0".to_owned());
                let submit = JobSubmit {
                    plan: plan.text,
                    plan_sha256: plan.sha256,
                    idempotency: job.to_bytes(),
                    follow: false,
                    histograms: false,
                };
                encoder.append(&mut bytes, head.job(job), &submit)
            }
        }
        .unwrap();
        Some(Wish::Send(link, bytes))
    }

    fn on_frame(&mut self, now: Instant, link: LinkId, frame: &RawFrame<'_>) {
        let Some(asker) = self.links.get(&link).copied() else { return };
        let mut scratch = Vec::new();
        let refused = match frame.kind() {
            Some(Kind::ErrorReply) => {
                let reply = frame.decode::<ErrorReply>(&mut scratch).unwrap();
                let code = ErrorCode::from_wire(reply.code.into());
                match code {
                    Some(ErrorCode::Overloaded) => self.log.shed += 1,
                    Some(ErrorCode::RateLimited) => self.log.limited += 1,
                    _ => {}
                }
                let refused = matches!(code, Some(ErrorCode::Overloaded | ErrorCode::RateLimited));
                refused.then(|| u32::from(reply.retry_after_ms))
            }
            Some(Kind::RateLimitResponse) => {
                self.log.limited += 1;
                Some(frame.decode::<RateLimitResponse>(&mut scratch).unwrap().retry_after_ms.into())
            }
            Some(Kind::Goodbye) => return,
            _ => None,
        };
        let own = &self.askers[asker];
        if refused.is_none() {
            self.log.answered += 1;
        }
        // Who does not listen has nothing to do.
        if own.hostile || frame.header.correlation != own.number {
            return;
        }
        let Some((times, asked)) = self.askers[asker].waits.take() else { return };
        self.log.slowest = self.log.slowest.max(now.since(asked));
        match refused {
            Some(_) if times >= RETRIES => {
                self.log.given_up += 1;
                let pause = self.pause();
                self.set(asker, now + pause, Next::Ask);
            }
            Some(ms) => {
                let wait = Duration::from_millis(ms.into()).mul_f64(self.rng.random_range(1.0..1.1));
                self.set(asker, now + wait, Next::Again(times + 1));
            }
            None => {
                self.log.answered_later += u64::from(times > 0);
                let pause = self.pause();
                self.set(asker, now + pause, Next::Ask);
            }
        }
    }
}

impl Fleet {
    /// A crowd comes to a gate.
    pub(crate) fn add_crowd(&mut self, gate: &str, shape: CrowdShape) -> Place {
        let n = self.names(Role::Client).len();
        let mut node = self.shape.node(Role::Client, n, "", 0);
        node.identity.name = format!("crowd-{n}");
        self.nodes.push(node);
        self.due_of.push(None);
        let (at, gate) = (self.nodes.len() - 1, self.nodes[self.place(gate)].addr);
        let crowd = Crowd::new(shape, gate, self.network.now);
        self.boot_as(at, Brain::Crowd(Box::new(crowd)));
        self.refresh(at);
        at
    }

    fn crowd(&mut self, at: Place) -> &mut Crowd {
        match &mut self.nodes[at].brain {
            Some(Brain::Crowd(crowd)) => crowd,
            Some(_) | None => panic!("there is no crowd"),
        }
    }

    pub(crate) fn crowd_log(&mut self, at: Place) -> CrowdLog {
        self.crowd(at).log.clone()
    }

    /// From now on it asks nothing, or it begins again.
    pub(crate) fn hush(&mut self, at: Place, quiet: bool) {
        let now = self.network.now;
        let crowd = self.crowd(at);
        crowd.quiet = quiet;
        if !quiet {
            for asker in 0..crowd.askers.len() {
                let (pause, linked) = (crowd.pause(), crowd.askers[asker].link.is_some());
                if linked {
                    crowd.set(asker, now + pause, Next::Ask);
                }
            }
        }
        self.refresh(at);
    }
}
