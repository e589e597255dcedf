//! The load itself: steps of a rate or of so many open requests, each measured on its own.

use std::time::Duration;

use hyperscale_core::Instant;
use rand::Rng as _;

use crate::core::{Command, Later, Phase, SaturateCore, SaturateEffects};
use crate::open::{For, Open};
use crate::pick::Pick;
use crate::players::Player;
use crate::report::{SecondRow, StepRow, millis};
use crate::tally::{Tally, float, quantile};
use crate::{Load, Op};

/// Requests sent in one turn of the loop at most; answers get the next one.
const BURST_MAX: u32 = 256;
/// Requests open on one link at most; a request beyond is not sent, and counts as one that failed.
const LINK_OPEN_MAX: u32 = 1000;
/// Requests without an answer that follow each other in one turn.
const CHAIN_MAX: u32 = 32;
/// Between two steps at least, and at most where the node does not recover.
const REST: Duration = Duration::from_millis(200);
const REST_MAX: Duration = Duration::from_secs(15);
/// Before a closed load tries again what could not be sent.
const PAUSE: Duration = Duration::from_millis(1);

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) tally: Tally,
    phase: &'static str,
    rate: Option<f64>,
    started: Instant,
    measured_from: Instant,
    until: Instant,
    /// Nothing more is sent; answers are waited for until then.
    drained_by: Option<Instant>,
    fired: u64,
    /// The manager lost its gate.
    pub(crate) is_cut: bool,
}

impl Step {
    /// When the next request is due; of an open load.
    fn next_due(&self) -> Option<Instant> {
        let after = float(self.fired) / self.rate?;
        Some(self.started + Duration::from_secs_f64(after.min(1e9)))
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        match self.drained_by {
            Some(by) => by,
            None => self.next_due().map_or(self.until, |due| due.min(self.until)),
        }
    }

    /// All was sent and is answered.
    pub(crate) const fn is_drained(&self, open: usize) -> bool {
        self.drained_by.is_some() && open == 0
    }
}

/// What became of a request that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// An answer comes.
    Waits,
    /// None does.
    Done,
    /// It could not go.
    No,
}

impl SaturateCore {
    pub(crate) fn begin_step(&mut self, effects: &mut SaturateEffects) {
        let (rate, phase) = match (&self.knee, self.config.load) {
            (Some(knee), _) => match knee.next() {
                Some(rate) => (Some(rate), knee.word()),
                None => return self.begin_ending(effects),
            },
            (None, Load::Open { rate }) => (Some(rate), "measure"),
            (None, Load::Closed { .. } | Load::Ramp(_)) => (None, "measure"),
        };
        let number = u32::try_from(self.steps.len()).unwrap_or(u32::MAX).saturating_add(1);
        let measured_from = self.now + self.config.warm_up;
        self.step = Some(Step {
            number,
            tally: Tally::default(),
            phase,
            rate,
            started: self.now,
            measured_from,
            until: measured_from + self.config.step,
            drained_by: None,
            fired: 0,
            is_cut: false,
        });
        if let Load::Closed { open_requests } = self.config.load {
            for _ in 0..u64::from(open_requests) * self.links_of_mix() {
                self.fire_closed(effects);
            }
        }
    }

    /// Links that the mix uses.
    fn links_of_mix(&self) -> u64 {
        let target = self.config.target;
        let answered = || self.config.mix.shares().map(|(op, _)| op).filter(|op| op.is_answered());
        let uses = |player: &&Player| answered().any(|op| op.role(target) == player.identity.role);
        u64::try_from(self.players.iter().filter(uses).count()).unwrap_or(1)
    }

    /// Sends what is due, and ends the step when its time is over.
    pub(crate) fn run_step(&mut self, effects: &mut SaturateEffects) {
        let now = self.now;
        let mut burst = 0;
        while let Some(step) = self.step.as_mut().filter(|step| step.drained_by.is_none()) {
            let Some(due) = step.next_due().filter(|due| *due <= now && *due < step.until) else { break };
            if burst >= BURST_MAX {
                return;
            }
            burst += 1;
            step.fired += 1;
            self.perform(due, effects);
        }
        let Some(step) = &mut self.step else { return };
        if step.drained_by.is_none() && now >= step.until {
            step.drained_by = Some(now + self.config.patience);
        }
        let is_late = step.drained_by.is_some_and(|by| by <= now);
        if is_late {
            self.give_up_unanswered(now, effects);
        }
        if self.step.as_ref().is_some_and(|step| step.is_drained(self.load_open) || is_late) {
            self.end_step(effects);
        }
    }

    fn end_step(&mut self, effects: &mut SaturateEffects) {
        let Some(step) = self.step.take() else { return };
        let bound = self.config.bound;
        let row = StepRow::of(&step.tally, self.config.step, bound.p99, bound.goodput);
        let row = StepRow { step: step.number, phase: step.phase, rate_per_s: step.rate, ..row };
        let row = if step.is_cut { StepRow { holds: false, why: "link lost", ..row } } else { row };
        self.total.merge(&step.tally);
        if let Some(knee) = &mut self.knee {
            knee.told(row.holds);
        }
        self.steps.push(row.clone());
        effects.command(Command::Step(Box::new(row)));
        if self.knee.as_ref().is_some_and(|knee| knee.next().is_some()) && !self.stopping {
            self.phase = Phase::Resting { from: self.now };
            self.after(REST, Later::Rested);
        } else {
            self.begin_ending(effects);
        }
    }

    /// Begins the next step once the node says that it is healthy again: what one step did to it is not the next one's.
    pub(crate) fn rest(&mut self, effects: &mut SaturateEffects) {
        let Phase::Resting { from } = self.phase else { return };
        if self.overload > 0 && self.now.since(from) < REST_MAX {
            return self.after(REST, Later::Rested);
        }
        self.phase = Phase::Running;
        // The level of before the rest says nothing any more.
        for job in self.jobs.values_mut() {
            (job.level, job.not_before) = (0, self.now);
            job.shares.values_mut().for_each(|share| (share.level, share.not_before) = (0, self.now));
        }
        self.begin_step(effects);
    }

    /// A closed load goes on, at once or after a while.
    pub(crate) fn fire_after(&mut self, wait: Option<Duration>, effects: &mut SaturateEffects) {
        let is_closed = matches!(self.config.load, Load::Closed { .. });
        if !is_closed || self.step.as_ref().is_none_or(|step| step.drained_by.is_some()) {
            return;
        }
        match wait.filter(|_| self.config.obeys) {
            Some(wait) => self.after(wait.max(PAUSE), Later::Fire),
            None => self.fire_closed(effects),
        }
    }

    /// One more request of a closed load.
    pub(crate) fn fire_closed(&mut self, effects: &mut SaturateEffects) {
        if self.phase != Phase::Running || self.step.as_ref().is_none_or(|step| step.drained_by.is_some()) {
            return;
        }
        for _ in 0..CHAIN_MAX {
            match self.perform(self.now, effects) {
                Sent::Waits => return,
                Sent::Done => {}
                Sent::No => break,
            }
        }
        self.after(PAUSE, Later::Fire);
    }

    /// Does one thing of the mix.
    fn perform(&mut self, due: Instant, effects: &mut SaturateEffects) -> Sent {
        let point = self.rng.random_range(0..self.config.mix.total());
        let op = self.config.mix.at(point);
        let step = self.step.as_ref().filter(|step| step.measured_from <= due).map_or(0, |step| step.number);
        let (op, job, player) = match self.pick(op, effects) {
            Pick::Ask(op, job, player) => (op, job, player),
            Pick::Waits => return Sent::Waits,
            Pick::Nobody(op) => return self.not_sent(step, op),
            Pick::Merged => {
                self.count(step, op, |tally| {
                    tally.op(op).due += 1;
                    tally.op(op).merged += 1;
                });
                return Sent::Done;
            }
            Pick::Said => {
                self.count(step, op, |tally| {
                    let tally = tally.op(op);
                    (tally.due, tally.sent) = (tally.due + 1, tally.sent + 1);
                    (tally.answered, tally.told) = (tally.answered + 1, tally.told + 1);
                });
                return Sent::Done;
            }
        };
        let link =
            self.players.get(player).filter(|player| player.open < LINK_OPEN_MAX).and_then(|it| it.link);
        let Some(link) = link else {
            if matches!(op, Op::Submit | Op::Dispatch) {
                self.jobs.remove(&job);
            }
            return self.not_sent(step, op);
        };
        let told = self.jobs.get(&job).filter(|_| op == Op::Stats);
        let does = told.map_or(1, |job| job.pending.max(1));
        let open = Open { what: For::Load(op), link, job, due, sent: self.now, step, does };
        let Some(number) = self.open.insert(open) else { return self.not_sent(step, op) };
        self.load_open += 1;
        if let Some(player) = self.players.get_mut(player) {
            player.open += 1;
        }
        let late = self.now.nanos_since(due);
        self.count(step, op, |tally| {
            let one = tally.op(op);
            (one.due, one.sent) = (one.due + 1, one.sent + 1);
            tally.lateness.record(late);
        });
        self.say(op, number, link, job, effects);
        Sent::Waits
    }

    fn not_sent(&mut self, step: u32, op: Op) -> Sent {
        self.count(step, op, |tally| {
            let one = tally.op(op);
            (one.due, one.unsent) = (one.due + 1, one.unsent + 1);
        });
        Sent::No
    }

    pub(crate) fn on_second(&mut self, effects: &mut SaturateEffects) {
        if !matches!(self.phase, Phase::Running | Phase::Resting { .. }) {
            return;
        }
        let before = self.now - self.config.patience;
        self.give_up_unanswered(before, effects);
        let second = std::mem::take(&mut self.second);
        let latency = second.latency();
        let at = |ppm| millis(quantile(&latency, ppm));
        let row = SecondRow {
            second: u32::try_from(self.seconds.len()).unwrap_or(u32::MAX).saturating_add(1),
            step: self.step.as_ref().map_or(0, |step| step.number),
            rate_per_s: self.step.as_ref().and_then(|step| step.rate),
            sent: second.sent(),
            answered: second.answered(),
            refused: second.refused(),
            open: self.load_open,
            p50_ms: at(500_000),
            p99_ms: at(990_000),
            lateness_p99_ms: millis(quantile(&second.lateness, 990_000)),
            levels: second.levels,
            gate_overload: self.overload,
        };
        if self.seconds.len() < SECONDS_MAX {
            self.seconds.push(row.clone());
        }
        effects.command(Command::Second(Box::new(row)));
    }
}

/// Rows kept for the report: a day.
const SECONDS_MAX: usize = 86_400;
