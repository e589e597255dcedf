//! Whom the next request of the mix is about, and who asks: everybody in turn.

use std::time::Duration;

use hyperscale_codec::JobId;

use crate::core::{Later, SaturateCore, SaturateEffects};
use crate::gate_side::GATE;
use crate::job::{Stage, windows_at};
use crate::{Load, Op, Target};

/// Short jobs at once at most.
const SHORT_MAX: usize = 1000;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// This is asked about a job by a player.
    Ask(Op, JobId, usize),
    /// Nothing is due before the time that was told.
    Waits,
    /// The window goes with a later one.
    Merged,
    /// It is said; nobody answers.
    Said,
    /// There is nobody to do it, or for.
    Nobody(Op),
}

impl SaturateCore {
    pub(crate) fn pick(&mut self, op: Op, effects: &mut SaturateEffects) -> Pick {
        match (op, self.config.target) {
            (Op::Stats | Op::Snapshot, Target::Gate) => self.job_for(op),
            (Op::Stats | Op::Snapshot, Target::Manager) => self.share_for(op),
            (Op::Heartbeat, Target::Gate) => {
                let player = self.next(0, usize::from(self.config.managers));
                self.beat_one(player, effects);
                Pick::Said
            }
            (Op::Heartbeat, Target::Manager) => {
                let worker = GATE + 1 + self.next(0, usize::from(self.config.workers));
                self.worker_beat(worker, effects);
                Pick::Said
            }
            (Op::Status | Op::Nodes | Op::List | Op::Reconnect, _) => {
                let player = self.next_client();
                Pick::Ask(op, self.next_long().unwrap_or(JobId(0)), player)
            }
            (Op::Cancel, _) => match (self.short.pop_front(), self.last_ended) {
                (Some(id), _) => Pick::Ask(op, id, self.jobs.get(&id).map_or(0, |job| job.client)),
                (None, Some(id)) => Pick::Ask(op, id, self.next_client()),
                // There was none yet.
                (None, None) => self.short_job(),
            },
            (Op::Submit | Op::Dispatch, _) => self.short_job(),
        }
    }

    /// A job, of which its manager tells.
    fn job_for(&mut self, op: Op) -> Pick {
        let Some(id) = self.next_long() else { return Pick::Nobody(op) };
        if op == Op::Stats && self.waits_as_told(id) {
            return Pick::Waits;
        }
        if op == Op::Stats && self.holds_back(id) {
            return Pick::Merged;
        }
        Pick::Ask(op, id, self.jobs.get(&id).map_or(0, |job| job.manager))
    }

    /// A share of a job, of which its worker tells.
    fn share_for(&mut self, op: Op) -> Pick {
        let workers = usize::from(self.config.workers);
        let turn = self.next(2, self.long.len().saturating_mul(workers));
        // One worker after the other, so that each link gets its part.
        let (worker, nth) = (turn % workers.max(1), turn / workers.max(1));
        let index = GATE + 1 + worker;
        let is_closed = matches!(self.config.load, Load::Closed { .. });
        let (now, obeys) = (self.now, self.config.obeys);
        let Some(id) = self.long.get(nth).copied() else { return Pick::Nobody(op) };
        let share = self.jobs.get_mut(&id).and_then(|job| job.shares.get_mut(&index));
        let Some(share) = share.filter(|share| share.is_running()) else { return Pick::Nobody(op) };
        if op == Op::Stats {
            let wait = share.not_before.since(now);
            if obeys && is_closed && !wait.is_zero() {
                self.after(wait, Later::Fire);
                return Pick::Waits;
            }
            share.record(now);
            let too_few = share.waiting() < u64::from(windows_at(share.level));
            if obeys && !is_closed && (too_few || share.not_before > now) {
                return Pick::Merged;
            }
        }
        Pick::Ask(op, id, index)
    }

    /// A closed load comes back to this job's statistics when the gate wants them; nothing is due before.
    fn waits_as_told(&mut self, id: JobId) -> bool {
        let obeys = self.config.obeys && matches!(self.config.load, Load::Closed { .. });
        let wait = self.jobs.get(&id).map_or(Duration::ZERO, |job| job.not_before.since(self.now));
        if obeys && !wait.is_zero() {
            self.after(wait, Later::Fire);
        }
        obeys && !wait.is_zero()
    }

    /// A window of this job waits for the next message, because the gate asked for fewer.
    fn holds_back(&mut self, id: JobId) -> bool {
        let obeys = self.config.obeys && !matches!(self.config.load, Load::Closed { .. });
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        job.pending = job.pending.saturating_add(1);
        obeys && (job.pending < windows_at(job.level) || job.not_before > now)
    }

    fn short_job(&mut self) -> Pick {
        let op = if self.config.target == Target::Gate { Op::Submit } else { Op::Dispatch };
        if self.jobs.len() >= SHORT_MAX + self.long.len() {
            return Pick::Nobody(op);
        }
        if self.config.target == Target::Manager {
            return Pick::Ask(op, self.new_part(false), GATE);
        }
        let manager = self.next(0, usize::from(self.config.managers));
        let nth = self.next(1, usize::from(self.config.clients));
        let client = self.client_of(manager, nth);
        let new = self.new_job(manager, client, false, true);
        new.map_or(Pick::Nobody(op), |id| Pick::Ask(op, id, client))
    }

    fn next_long(&mut self) -> Option<JobId> {
        let nth = self.next(2, self.long.len());
        let id = *self.long.get(nth)?;
        self.jobs.get(&id).filter(|job| job.stage == Stage::Running).map(|_| id)
    }

    fn next_client(&mut self) -> usize {
        self.first_client() + self.next(1, usize::from(self.config.clients))
    }

    /// Who is next of so many.
    fn next(&mut self, turn: usize, of: usize) -> usize {
        let Some(turn) = self.turn.get_mut(turn) else { return 0 };
        *turn = turn.wrapping_add(1);
        *turn % of.max(1)
    }
}
