//! One share of load on this shard: what it does, how far it is, what it has recorded since its last report.

use std::rc::Rc;

use hyperscale_codec::{Epoch, ShardId};
use hyperscale_core::Instant;
use hyperscale_plan::{Arrivals, Iterations, KeepAlive, LatePolicy, Load, Step, Workflow};
use hyperscale_stats::CellSet;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::vu::{Addresses, NONE};
use crate::Owned;
use crate::arrivals::{RateProfile, Schedule};
use crate::http1::render;
use crate::orders::{Ended, Origin, Prepare, Report, ShareKey};
use crate::ramp::Ramp;

/// Later than this after it was due, a request is late.
pub(super) const LATE_NS: u64 = 1_000_000;

/// Cell sets kept to be filled again.
const SPARES_MAX: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for its start.
    Ready,
    Scheduled,
    Running,
    /// Nothing new starts; what is under way may end.
    Stopping,
    Ended,
    Released,
}

#[derive(Debug)]
pub(super) enum StepSpec {
    Request(RequestSpec),
    Think { from_ns: u64, to_ns: u64 },
}

#[derive(Debug)]
pub(super) struct RequestSpec {
    pub(super) bytes: Rc<[u8]>,
    pub(super) to_head: bool,
    pub(super) origin: u16,
    pub(super) timeout: std::time::Duration,
    pub(super) connect_timeout: std::time::Duration,
}

#[derive(Debug)]
pub(super) enum Model {
    Closed(ClosedRun),
    Open(OpenRun),
}

#[derive(Debug)]
pub(super) struct ClosedRun {
    pub(super) ramp: Ramp,
    pub(super) count: Count,
    /// Iterations that may still start, where they are counted.
    pub(super) left: u64,
    /// VUs that wait for iterations from another shard.
    pub(super) parked: Vec<u32>,
    /// Iterations were asked for and the answer has not come.
    pub(super) asked: bool,
    /// No more iterations will come.
    pub(super) last: bool,
    /// Own VUs that are there when the share begins later than its workflow.
    pub(super) here: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Unlimited,
    /// So many each.
    PerVu(u64),
    Total,
}

#[derive(Debug)]
pub(super) struct OpenRun {
    /// Stands at the next arrival to become due.
    pub(super) due: Schedule,
    /// With a backlog: stands at its first arrival.
    pub(super) head: Schedule,
    pub(super) backlog: u64,
    pub(super) free: Vec<u32>,
    pub(super) late: LatePolicy,
    pub(super) limit: Option<u64>,
}

/// The share gives its load to others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Withdrawal {
    /// Since the workflow's start.
    pub(super) until: std::time::Duration,
    /// Whether it can move on no more.
    pub(super) settled: bool,
}

#[derive(Debug)]
pub(super) struct Share {
    pub(super) key: ShareKey,
    pub(super) epoch: Epoch,
    pub(super) phase: Phase,
    pub(super) steps: Vec<StepSpec>,
    pub(super) origins: Vec<Addresses>,
    pub(super) keep_alive: KeepAlive,
    pub(super) graceful_stop: std::time::Duration,
    pub(super) graceful_ramp_down: std::time::Duration,
    pub(super) siblings: u16,
    pub(super) model: Model,
    /// The shard's VU for each of the share's own.
    pub(super) vus: Vec<u32>,
    /// Per VU and origin: the slot of its idle connection, [`NONE`] or [`super::vu::EARLY`].
    pub(super) kept: Vec<u32>,
    pub(super) rng: SmallRng,
    pub(super) cancelled: bool,
    /// When the workflow starts; when this share begins.
    pub(super) start: Instant,
    pub(super) from: std::time::Duration,
    pub(super) end: Instant,
    pub(super) withdrawal: Option<Withdrawal>,
    pub(super) cut_at: Instant,
    /// How long it runs at most, its graceful stop not included.
    length_ns: u64,
    job_start: Instant,
    window_ns: u64,
    window: u32,
    pub(super) window_end: Instant,
    pub(super) cells: Box<CellSet>,
    #[expect(clippy::vec_box, reason = "the boxes travel to the worker's core and back")]
    spares: Vec<Box<CellSet>>,
    /// Iterations under way.
    pub(super) busy: u64,
    /// Requests under way, a step each.
    pub(super) in_flight: Vec<u64>,
    /// When the share has something to do next.
    pub(super) next_at: Instant,
    /// Arrivals and ends of think times that were noticed, and those of them over 1 ms late.
    pub(super) scheduled: u64,
    pub(super) noticed_late: u64,
    pub(super) in_flight_at_cancel: u64,
    pub(super) in_flight_cut: u64,
    pub(super) never_started: u64,
    pub(super) iterations_left: u64,
    pub(super) last_end: Instant,
}

impl Share {
    /// Renders requests and reserves memory.
    pub(super) fn new(order: &Prepare) -> Result<Self, String> {
        let index = usize::try_from(order.key.workflow.0).ok();
        let workflow = index.and_then(|index| order.plan.workflows.get(index));
        let workflow = workflow.ok_or_else(|| format!("the plan has no workflow {}", order.key.workflow))?;
        let owned = Owned::new(&order.share)
            .ok_or_else(|| format!("a share of {} units cannot be run", order.share.unit_count))?;
        let (steps, origins) = steps_of(workflow, &order.origins)?;
        let (model, vus, graceful_ramp_down, length) = model_of(workflow, order, owned)?;
        let stride = origins.len();
        let step_count = steps.len();
        Ok(Self {
            key: order.key,
            epoch: order.epoch,
            phase: Phase::Ready,
            steps,
            origins,
            keep_alive: workflow.keep_alive,
            graceful_stop: workflow.graceful_stop,
            graceful_ramp_down,
            siblings: order.siblings,
            model,
            vus: Vec::with_capacity(vus),
            kept: vec![NONE; vus.saturating_mul(stride)],
            rng: SmallRng::seed_from_u64(order.seed ^ u64::from(order.share.unit_from).rotate_left(32)),
            cancelled: false,
            start: Instant::MAX,
            from: order.from,
            end: Instant::MAX,
            withdrawal: None,
            cut_at: Instant::MAX,
            length_ns: length,
            job_start: Instant::ZERO,
            window_ns: u64::try_from(order.plan.window.as_nanos()).unwrap_or(u64::MAX).max(1),
            window: 0,
            window_end: Instant::MAX,
            cells: Box::new(CellSet::new(step_count)),
            spares: (0..2).map(|_| Box::new(CellSet::new(step_count))).collect(),
            busy: 0,
            in_flight: vec![0; step_count],
            next_at: Instant::MAX,
            scheduled: 0,
            noticed_late: 0,
            in_flight_at_cancel: 0,
            in_flight_cut: 0,
            never_started: 0,
            iterations_left: 0,
            last_end: Instant::ZERO,
        })
    }

    /// VUs of this share at most.
    pub(super) fn vus_max(&self) -> u32 {
        u32::try_from(self.kept.len() / self.origins.len().max(1)).unwrap_or(u32::MAX)
    }

    /// Sets the clock of the share.
    pub(super) fn schedule(&mut self, at: Instant, job_start: Instant) {
        self.phase = Phase::Scheduled;
        self.start = at;
        self.job_start = job_start.min(at);
        self.last_end = at;
        self.end = Instant(at.0.saturating_add(self.length_ns));
        self.enter_window(self.window_of(self.begins()));
        self.next_at = self.begins();
    }

    /// When the share has the load from.
    pub(super) fn begins(&self) -> Instant {
        self.start + self.from
    }

    /// What is due then or later is not this share's.
    pub(super) fn horizon(&self) -> Instant {
        self.withdrawal.map_or(self.end, |withdrawal| self.end.min(self.start + withdrawal.until))
    }

    /// Whether the time from which on its load is another's may still move on.
    pub(super) fn waits_to_settle(&self) -> bool {
        self.withdrawal.is_some_and(|withdrawal| !withdrawal.settled)
    }

    fn window_of(&self, at: Instant) -> u32 {
        u32::try_from(at.nanos_since(self.job_start) / self.window_ns).unwrap_or(u32::MAX)
    }

    fn enter_window(&mut self, window: u32) {
        self.window = window;
        let end = self.window_ns.saturating_mul(u64::from(window).saturating_add(1));
        self.window_end = Instant(self.job_start.0.saturating_add(end));
    }

    /// Reports the window that has ended. What is recorded at `now` or later belongs to the next one.
    pub(super) fn turn_window(&mut self, now: Instant, shard: ShardId) -> Report {
        let (k_from, next) = (self.window, self.window_of(now));
        for (at, &n) in self.in_flight.iter().enumerate() {
            self.cells.step_mut(at).in_flight = n;
        }
        let empty = self.spares.pop().unwrap_or_else(|| Box::new(CellSet::new(self.steps.len())));
        let delta = std::mem::replace(&mut self.cells, empty);
        self.enter_window(next);
        let k_to = next.saturating_sub(1).max(k_from);
        Report::Window { key: self.key, shard, epoch: self.epoch, k_from, k_to, delta }
    }

    pub(super) fn recycle(&mut self, mut cells: Box<CellSet>) {
        if self.spares.len() < SPARES_MAX && cells.steps().len() == self.steps.len() {
            cells.clear();
            self.spares.push(cells);
        }
    }

    /// The last report.
    pub(super) fn ended(&mut self, shard: ShardId) -> Ended {
        self.phase = Phase::Ended;
        self.next_at = Instant::MAX;
        let on_time = self.noticed_late.saturating_mul(100) <= self.scheduled;
        Ended {
            key: self.key,
            shard,
            epoch: self.epoch,
            k_from: self.window,
            k_to: self.window,
            delta: std::mem::replace(&mut self.cells, Box::new(CellSet::new(self.steps.len()))),
            outcome: if self.cancelled {
                hyperscale_codec::messages::WorkflowState::Cancelled
            } else {
                hyperscale_codec::messages::WorkflowState::Completed
            },
            error: String::new(),
            in_flight_ended: self.in_flight_at_cancel.saturating_sub(self.in_flight_cut),
            in_flight_cut: self.in_flight_cut,
            never_started: self.never_started,
            iterations_left: self.iterations_left,
            duration: self.last_end.since(self.start),
            generator_ok: on_time,
        }
    }

    /// Gives all memory back.
    pub(super) fn release(&mut self) {
        self.phase = Phase::Released;
        self.next_at = Instant::MAX;
        self.window_end = Instant::MAX;
        (self.steps, self.kept, self.spares) = (Vec::new(), Vec::new(), Vec::new());
        *self.cells = CellSet::new(0);
        self.in_flight = Vec::new();
    }
}

type Prepared = (Model, usize, std::time::Duration, u64);

fn model_of(workflow: &Workflow, order: &Prepare, owned: Owned) -> Result<Prepared, String> {
    let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let cap = workflow.max_duration.map_or(u64::MAX, nanos);
    match &workflow.load {
        Load::Closed(closed) => {
            let mut ramp = Ramp::new(closed, owned);
            let vus = ramp.vus_max();
            let here = if order.from.is_zero() { Vec::new() } else { ramp.skip_to(nanos(order.from)) };
            let (count, left) = match closed.iterations {
                Iterations::Unlimited => (Count::Unlimited, 0),
                // What is left of VUs that were elsewhere is done by all that took them over.
                Iterations::PerVu(_) if !order.from.is_zero() => (Count::Total, order.share.iterations),
                Iterations::PerVu(each) => (Count::PerVu(each), each.saturating_mul(u64::from(vus))),
                Iterations::Total(_) => (Count::Total, order.share.iterations),
            };
            let staged =
                closed.stages.iter().fold(0_u64, |sum, stage| sum.saturating_add(nanos(stage.duration)));
            let length = if closed.stages.is_empty() { cap } else { staged.min(cap) };
            let parked = Vec::with_capacity(vus as usize);
            let run = ClosedRun { ramp, count, left, parked, asked: false, last: false, here };
            Ok((Model::Closed(run), vus as usize, closed.graceful_ramp_down, length))
        }
        Load::Open(open) => {
            let vus = usize::try_from(owned.below(u64::from(open.max_vus))).unwrap_or(usize::MAX);
            if vus == 0 {
                return Err(format!(
                    "{} VUs at most leave none for this shard; use fewer cores",
                    open.max_vus
                ));
            }
            let limit = open.total.map(|total| match open.arrivals {
                // Arrivals have numbers; so a total is the same ones for any split.
                Arrivals::Constant => owned.below(total),
                Arrivals::Poisson => order.share.iterations,
            });
            let seed = order.seed ^ (u64::from(order.share.unit_from) << 20);
            let mut due = Schedule::new(Rc::new(RateProfile::new(open)), open, owned, limit, seed);
            if !order.from.is_zero() {
                due.skip_to(nanos(order.from));
            }
            let staged =
                open.stages.iter().fold(0_u64, |sum, stage| sum.saturating_add(nanos(stage.duration)));
            let run = OpenRun {
                head: due.clone(),
                due,
                backlog: 0,
                free: Vec::with_capacity(vus),
                late: open.late,
                limit,
            };
            Ok((Model::Open(run), vus, std::time::Duration::ZERO, staged.min(cap)))
        }
    }
}

fn steps_of(workflow: &Workflow, origins: &[Origin]) -> Result<(Vec<StepSpec>, Vec<Addresses>), String> {
    let mut used: Vec<usize> = Vec::new();
    let mut steps = Vec::with_capacity(workflow.steps.len());
    for step in &workflow.steps {
        steps.push(match step {
            Step::Think(think) => StepSpec::Think {
                from_ns: u64::try_from(think.from.as_nanos()).unwrap_or(u64::MAX),
                to_ns: u64::try_from(think.to.max(think.from).as_nanos()).unwrap_or(u64::MAX),
            },
            Step::Request(request) => {
                let url = &request.url;
                let known = origins.iter().position(|origin| {
                    origin.port == url.port && origin.host == url.host && !origin.addrs.is_empty()
                });
                let known = known.ok_or_else(|| format!("{}:{} has no address", url.host, url.port))?;
                let at = used.iter().position(|&at| at == known).unwrap_or_else(|| {
                    used.push(known);
                    used.len() - 1
                });
                StepSpec::Request(RequestSpec {
                    bytes: render(request, workflow.keep_alive).into(),
                    to_head: request.method == "HEAD",
                    origin: u16::try_from(at).map_err(|_| "too many origins".to_owned())?,
                    timeout: request.timeout,
                    connect_timeout: request.connect_timeout,
                })
            }
        });
    }
    let of = |&at: &usize| origins.get(at).map(|origin| Addresses { all: origin.addrs.clone(), next: 0 });
    Ok((steps, used.iter().filter_map(of).collect()))
}
