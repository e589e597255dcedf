//! One match on what happens; each part's room is a file of its own.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::StatsColumns;
use hyperscale_codec::{JobId, NodeId};
use hyperscale_core::{Core, Effects, Event, Instant, LinkId};
use hyperscale_fleet::BEAT;
use hyperscale_jobs::ConsistentHashRing;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::SaturateConfig;
use crate::figures::Figures;
use crate::job::Job;
use crate::knee::KneeSearch;
use crate::open::{For, OpenRequests};
use crate::players::Player;
use crate::report::{Exactness, Report, SecondRow, StepRow};
use crate::steps::Step;
use crate::tally::Tally;

/// To connect, and to have the jobs running.
const PREPARE: Duration = Duration::from_secs(60);

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// The gate that is played listens here; managers make the links to gates.
    Listening(SocketAddr),
    /// Begin.
    Start,
    /// End in order, with what there is.
    Stop,
}

/// What the user is to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Everybody is connected and the jobs run.
    Ready,
    /// A second is over.
    Second(Box<SecondRow>),
    /// A step is over.
    Step(Box<StepRow>),
    /// The load is over; last figures and results are on their way.
    Ending,
    /// All is over.
    Done(Box<Report>),
}

pub(crate) type SaturateEffects = Effects<Command>;

/// What is to be done at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    Beat,
    Second,
    Ask(For),
    EndShort(JobId),
    /// One more request of a closed load.
    Fire,
    /// Whether the node has recovered from the last step.
    Rested,
    /// Whether a manager that went so often is back at its gate.
    Away(u32),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Preparing {
        until: Instant,
    },
    Running,
    /// Between two steps.
    Resting {
        from: Instant,
    },
    Ending {
        until: Instant,
    },
    Done,
}

/// Many nodes in one core.
#[derive(Debug)]
pub struct SaturateCore {
    pub(crate) config: SaturateConfig,
    pub(crate) rng: SmallRng,
    pub(crate) players: Vec<Player>,
    pub(crate) of_link: BTreeMap<LinkId, usize>,
    /// Who is still to be connected, and where.
    pub(crate) to_dial: VecDeque<(usize, SocketAddr)>,
    /// The node that is loaded.
    pub(crate) node: NodeId,
    pub(crate) node_version: String,
    pub(crate) node_shards: u16,
    /// How loaded it says that it is.
    pub(crate) overload: u8,
    /// Of a manager: its datacenter, where the gate that it sees listens, tokens and epochs given so far.
    pub(crate) datacenter: String,
    pub(crate) listening: Option<SocketAddr>,
    /// The link on which it was told so.
    pub(crate) visit: Option<LinkId>,
    /// How often it went from there, and what is told if it stays away.
    pub(crate) relinks: u32,
    pub(crate) error_if_away: String,
    pub(crate) last_token: u64,
    pub(crate) last_epoch: u64,
    pub(crate) ring: ConsistentHashRing,
    pub(crate) is_fleet_known: bool,
    pub(crate) open: OpenRequests,
    /// Of these, measured load.
    pub(crate) load_open: usize,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) long: Vec<JobId>,
    /// Short jobs that run, oldest first.
    pub(crate) short: VecDeque<JobId>,
    pub(crate) last_ended: Option<JobId>,
    pub(crate) figures: Figures,
    pub(crate) columns: StatsColumns,
    pub(crate) later: BTreeMap<(Instant, u64), Later>,
    pub(crate) last_later: u64,
    pub(crate) turn: [usize; 3],
    pub(crate) phase: Phase,
    pub(crate) knee: Option<KneeSearch>,
    pub(crate) step: Option<Step>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) seconds: Vec<SecondRow>,
    pub(crate) total: Tally,
    pub(crate) second: Tally,
    pub(crate) exactness: Exactness,
    pub(crate) stopping: bool,
    pub(crate) error: String,
    pub(crate) now: Instant,
    scratch: Vec<u8>,
}

impl SaturateCore {
    /// Nobody yet.
    #[must_use]
    pub fn new(config: SaturateConfig) -> Self {
        let knee = match config.load {
            crate::Load::Ramp(knee) => Some(KneeSearch::new(knee)),
            crate::Load::Closed { .. } | crate::Load::Open { .. } => None,
        };
        Self {
            rng: SmallRng::seed_from_u64(config.seed),
            players: config.identities().into_iter().map(Player::new).collect(),
            of_link: BTreeMap::new(),
            to_dial: VecDeque::new(),
            node: NodeId(0),
            node_version: String::new(),
            node_shards: 1,
            overload: 0,
            datacenter: String::new(),
            listening: None,
            visit: None,
            relinks: 0,
            error_if_away: String::new(),
            last_token: 0,
            last_epoch: 0,
            ring: ConsistentHashRing::default(),
            is_fleet_known: false,
            open: OpenRequests::default(),
            load_open: 0,
            jobs: BTreeMap::new(),
            long: Vec::new(),
            short: VecDeque::new(),
            last_ended: None,
            figures: Figures::new(config.steps, config.buckets),
            columns: StatsColumns { window_ms: 1000, ..StatsColumns::default() },
            later: BTreeMap::new(),
            last_later: 0,
            turn: [0; 3],
            phase: Phase::Idle,
            knee,
            step: None,
            steps: Vec::new(),
            seconds: Vec::new(),
            total: Tally::default(),
            second: Tally::default(),
            exactness: Exactness::default(),
            stopping: false,
            error: String::new(),
            now: Instant::ZERO,
            scratch: Vec::new(),
            config,
        }
    }

    /// The result, once all is over.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    pub(crate) fn after(&mut self, wait: Duration, what: Later) {
        self.last_later += 1;
        self.later.insert((self.now + wait, self.last_later), what);
    }

    fn start(&mut self, effects: &mut SaturateEffects) {
        if self.phase != Phase::Idle {
            return;
        }
        self.phase = Phase::Preparing { until: self.now + PREPARE };
        self.after(BEAT, Later::Beat);
        self.after(Duration::from_secs(1), Later::Second);
        // One comes first: what it is told says where the others go.
        self.dial(self.first_client(), self.config.addr, effects);
    }

    /// Does what is due.
    fn on_time(&mut self, effects: &mut SaturateEffects) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Later::Beat => {
                    self.beat(effects);
                    self.after(BEAT, Later::Beat);
                }
                Later::Second => {
                    self.on_second(effects);
                    self.after(Duration::from_secs(1), Later::Second);
                }
                Later::Ask(what) => self.ask(what, effects),
                Later::EndShort(id) => self.end(id, effects),
                Later::Fire => self.fire_closed(effects),
                Later::Rested => self.rest(effects),
                Later::Away(relinks) => self.give_up_manager(relinks, effects),
            }
            if self.is_done() {
                return;
            }
        }
        match self.phase {
            Phase::Preparing { until } if until <= self.now => {
                let error = self.what_lacks();
                self.fail(error, effects);
            }
            Phase::Running => self.run_step(effects),
            Phase::Ending { until } if until <= self.now => self.finish(effects),
            Phase::Idle
            | Phase::Preparing { .. }
            | Phase::Resting { .. }
            | Phase::Ending { .. }
            | Phase::Done => {}
        }
    }
}

impl Core for SaturateCore {
    type Local = Local;
    type Command = Command;

    fn handle(&mut self, now: Instant, event: Event<'_, Local>, effects: &mut SaturateEffects) {
        self.now = now;
        if self.is_done() {
            return;
        }
        match event {
            Event::Local(Local::Listening(addr)) => self.listening = Some(addr),
            Event::Local(Local::Start) => self.start(effects),
            Event::Local(Local::Stop) => self.stop(effects),
            Event::LinkUp { link, peer, dial } => self.on_link_up(link, peer, dial, effects),
            Event::LinkDown { link, why } => self.on_link_down(link, &why.to_string(), effects),
            Event::DialFailed { error, .. } => self.fail(error.to_string(), effects),
            Event::Frame { link, frame } => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let done = match frame.kind() {
                    Some(kind) => self.on_message(kind, link, frame, &mut scratch, effects),
                    None => {
                        effects.refuse_unknown(link, &frame);
                        Ok(())
                    }
                };
                if let Err(error) = done {
                    effects.refuse(link, &frame, error.code(), error.to_string());
                }
                self.scratch = scratch;
                if self.step.as_ref().is_some_and(|step| step.is_drained(self.load_open)) {
                    self.run_step(effects);
                }
            }
            Event::Datagram { .. } => {}
            Event::Timer => self.on_time(effects),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Idle | Phase::Done => return None,
            Phase::Preparing { until } | Phase::Ending { until } => Some(until),
            Phase::Running => self.step.as_ref().map(|step| step.next_deadline()),
            Phase::Resting { .. } => None,
        };
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        [phase, later].into_iter().flatten().min()
    }
}
