//! Load shards that record a known number of requests each window instead of sending any, or the production engine
//! in their place.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::messages::{ErrorKind, WorkflowState};
use hyperscale_codec::{Epoch, ShardId, bucket_low};
use hyperscale_core::Instant;
use hyperscale_engine::orders::{Ended, Order, Report, ShareKey};
use hyperscale_plan::{Load, Plan};
use hyperscale_stats::CellSet;

use crate::engines::Engine;

/// What records a shard's requests.
pub(crate) enum LoadShard {
    Fake(FakeShard),
    Engine(Box<Engine>),
}

impl LoadShard {
    pub(crate) fn order(&mut self, shard: ShardId, now: Instant, order: Order) -> Vec<Report> {
        match self {
            Self::Fake(fake) => fake.order(shard, now, order),
            Self::Engine(engine) => engine.order(now, order),
        }
    }

    pub(crate) fn tick(&mut self, shard: ShardId, now: Instant) -> Vec<Report> {
        match self {
            Self::Fake(fake) => fake.tick(shard, now),
            Self::Engine(engine) => engine.tick(now),
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        match self {
            Self::Fake(fake) => fake.next_due(),
            Self::Engine(engine) => engine.next_due(),
        }
    }

    pub(crate) fn recorded(&self) -> u64 {
        match self {
            Self::Fake(fake) => fake.recorded,
            Self::Engine(engine) => engine.sent(),
        }
    }
}

/// Requests a shard records in each window of each step.
const PER_WINDOW: u64 = 7;
/// The same of a shard whose times are spread: each lands in a bucket of its own.
const SPREAD_PER_WINDOW: u64 = 4_000;

struct Running {
    epoch: Epoch,
    steps: usize,
    duration: Duration,
    started: Option<(Instant, Instant)>,
    next_window: u32,
    from: Duration,
    /// The windows before have recorded nothing, and this one shall not either.
    silent: bool,
}

/// One shard.
#[derive(Default)]
pub(crate) struct FakeShard {
    shares: BTreeMap<ShareKey, Running>,
    pub(crate) recorded: u64,
    /// Whether it records nothing in the first window of each share: its load has come late.
    pub(crate) comes_late: bool,
    /// Whether it stands still: it neither reports nor hears, as a thread that hangs in a call.
    pub(crate) frozen: bool,
    /// Whether its times fill histograms, as those of a long job on a bad day do.
    pub(crate) spread: bool,
}

fn duration_of(plan: &Plan, workflow: usize) -> Duration {
    match &plan.workflows[workflow].load {
        Load::Closed(closed) => closed.stages.iter().map(|stage| stage.duration).sum(),
        Load::Open(open) => open.stages.iter().map(|stage| stage.duration).sum(),
    }
}

impl FakeShard {
    pub(crate) fn order(&mut self, shard: ShardId, now: Instant, order: Order) -> Vec<Report> {
        if self.frozen {
            return Vec::new();
        }
        match order {
            Order::Prepare(prepare) => {
                let workflow = usize::try_from(prepare.key.workflow.0).unwrap();
                let running = Running {
                    epoch: prepare.epoch,
                    steps: prepare.plan.workflows[workflow].steps.len(),
                    duration: duration_of(&prepare.plan, workflow),
                    started: None,
                    next_window: 0,
                    from: prepare.from,
                    silent: self.comes_late,
                };
                self.shares.insert(prepare.key, running);
                vec![Report::Ready { key: prepare.key, shard, result: Ok(()) }]
            }
            Order::Start { key, at, job_start } => {
                let running = self.shares.get_mut(&key).unwrap();
                running.started = Some((at, job_start));
                running.next_window = u32::try_from((at + running.from).since(job_start).as_secs()).unwrap();
                Vec::new()
            }
            Order::Cancel { key, .. } => {
                self.end(shard, now, key, WorkflowState::Cancelled).into_iter().collect()
            }
            Order::Release { .. } | Order::Recycle { .. } | Order::Grant { .. } | Order::Stop => Vec::new(),
            Order::Withdraw { key, until, settled } => {
                if let Some(running) = self.shares.get_mut(&key).filter(|_| settled) {
                    running.duration = running.duration.min(until);
                }
                vec![Report::Withdrawn { key, shard, until }]
            }
            Order::Donate { key, to } => vec![Report::Donated { key, shard, to, iterations: 0 }],
        }
    }

    /// When the job of its first share began.
    pub(crate) fn job_start(&self) -> Option<Instant> {
        self.shares.values().find_map(|running| running.started).map(|(_, job_start)| job_start)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        let shares = self.shares.values().filter(|_| !self.frozen);
        shares.filter_map(Running::next_due).min()
    }

    pub(crate) fn tick(&mut self, shard: ShardId, now: Instant) -> Vec<Report> {
        let due: Vec<ShareKey> = self
            .shares
            .iter()
            .filter(|(_, running)| running.next_due().is_some_and(|due| due <= now))
            .map(|(key, _)| *key)
            .collect();
        let mut reports = Vec::new();
        for key in due {
            let running = &self.shares[&key];
            let (at, _) = running.started.unwrap();
            if now >= at + running.duration {
                reports.extend(self.end(shard, now, key, WorkflowState::Completed));
            } else {
                let delta = Box::new(self.record(key));
                let running = self.shares.get_mut(&key).unwrap();
                let k = running.next_window;
                running.next_window += 1;
                reports.push(Report::Window { key, shard, epoch: running.epoch, k_from: k, k_to: k, delta });
            }
        }
        reports
    }

    fn record(&mut self, key: ShareKey) -> CellSet {
        let running = self.shares.get_mut(&key).unwrap();
        let steps = running.steps;
        let mut cells = CellSet::new(steps);
        if std::mem::take(&mut running.silent) {
            return cells;
        }
        let requests = if self.spread { SPREAD_PER_WINDOW } else { PER_WINDOW };
        for step in 0..steps {
            let cell = cells.step_mut(step);
            for n in 0..requests {
                cell.count += 1;
                if self.spread {
                    let ns = bucket_low(usize::try_from(n).unwrap());
                    cell.latency.record(ns);
                    cell.service.record(ns);
                    cell.lateness.record(ns);
                } else {
                    cell.latency.record(1_000_000 + n * 1_000);
                    cell.service.record(900_000);
                    cell.lateness.record(100_000);
                }
                if n == 3 {
                    cell.record_status(503);
                    cell.record_error(ErrorKind::Http5xx);
                } else {
                    cell.record_status(200);
                }
                self.recorded += 1;
            }
        }
        let rounds = cells.workflow_mut();
        (rounds.due, rounds.started, rounds.count) = (PER_WINDOW, PER_WINDOW, PER_WINDOW);
        cells
    }

    fn end(&mut self, shard: ShardId, now: Instant, key: ShareKey, outcome: WorkflowState) -> Option<Report> {
        self.shares.get(&key)?;
        let delta = Box::new(self.record(key));
        let running = self.shares.remove(&key)?;
        let (at, _) = running.started.unwrap_or((now, now));
        Some(Report::Ended(Box::new(Ended {
            key,
            shard,
            epoch: running.epoch,
            k_from: running.next_window,
            k_to: running.next_window,
            delta,
            outcome,
            error: String::new(),
            in_flight_ended: 0,
            in_flight_cut: 0,
            never_started: 0,
            iterations_left: 0,
            duration: now.since(at),
            generator_ok: true,
        })))
    }
}

impl Running {
    /// The next window's end, or the end of the share.
    fn next_due(&self) -> Option<Instant> {
        let (at, job_start) = self.started?;
        let window_end = job_start + Duration::from_secs(u64::from(self.next_window) + 1);
        Some(window_end.min(at + self.duration))
    }
}
