//! What is due: VUs' deadlines, arrivals, ramps, windows, the end.

use hyperscale_core::{Instant, LoadIo};
use hyperscale_plan::LatePolicy;

use super::EngineShard;
use super::flow::drop_expired;
use super::share::{Count, LATE_NS, Model, Phase, Share};
use super::take::rest_of;
use super::vu::VuState;
use crate::orders::Report;
use crate::ramp::Change;

/// How long a share that asked for iterations waits for the answer after its end.
const ANSWER_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

impl EngineShard {
    /// Does all that is due now.
    pub(super) fn run_due<I: LoadIo>(&mut self, io: &mut I) {
        let now = io.now();
        while let Some(v) = self.timers.pop(now) {
            self.on_timer(io, v, now);
        }
        // A cut may have freed a handshake.
        self.serve_queue(io);
        for s in 0..self.shares.len() {
            self.turn_window(s, now);
            if now >= self.shares[s].next_at {
                self.run_share(io, s, now);
            }
        }
    }

    fn on_timer<I: LoadIo>(&mut self, io: &mut I, v: u32, now: Instant) {
        let vu = &mut self.vus[v as usize];
        if vu.cut_at <= now && !vu.active {
            self.cut(io, v);
        } else if vu.deadline <= now {
            match vu.state {
                VuState::Connecting => self.on_connect_timeout(io, v),
                VuState::Waiting => self.on_request_timeout(io, v),
                VuState::Thinking => self.on_thought(io, v, now),
                VuState::Pausing => {
                    (vu.state, vu.deadline) = (VuState::Idle, Instant::MAX);
                    self.start_next(io, v);
                }
                VuState::Idle | VuState::Queued => {}
            }
        }
        // Armed anew where the deadline had moved, or the VU has gone on to another.
        let vu = &self.vus[v as usize];
        let next = vu.deadline.min(vu.cut_at);
        if next < Instant::MAX {
            self.timers.arm(v, next);
        }
    }

    /// Moves one share on to `now`.
    pub(super) fn run_share<I: LoadIo>(&mut self, io: &mut I, s: usize, now: Instant) {
        if self.shares[s].phase == Phase::Scheduled && now >= self.shares[s].begins() {
            self.begin_share(io, s);
        }
        if self.shares[s].phase == Phase::Running {
            match self.shares[s].model {
                Model::Closed(_) => self.run_ramp(io, s, now),
                Model::Open(_) => self.run_arrivals(io, s, now),
            }
            let share = &self.shares[s];
            if now >= share.end && !share.waits_to_settle() {
                let cut_at = share.end + share.graceful_stop;
                self.stop_share(s, cut_at);
            } else if let Some(cut_at) = withdrawn(share, now) {
                self.stop_share(s, cut_at);
            } else if is_done(share) {
                self.stop_share(s, Instant::MAX);
            }
        }
        if self.shares[s].phase == Phase::Stopping {
            if now >= self.shares[s].cut_at {
                for at in 0..self.shares[s].vus.len() {
                    let v = self.shares[s].vus[at];
                    self.cut(io, v);
                }
                self.serve_queue(io);
            }
            self.end_if_over(io, s, now);
        }
        let share = &mut self.shares[s];
        share.next_at = next_of(share, now);
    }

    fn begin_share<I: LoadIo>(&mut self, io: &mut I, s: usize) {
        let share = &mut self.shares[s];
        share.phase = Phase::Running;
        match &mut share.model {
            Model::Open(run) => {
                // The first VU is taken first, so that few connections serve a low rate.
                run.free.extend(share.vus.iter().rev());
                for &v in &share.vus {
                    self.vus[v as usize].active = true;
                }
            }
            Model::Closed(run) => {
                for local in std::mem::take(&mut run.here) {
                    let v = self.shares[s].vus[local as usize];
                    self.vus[v as usize].active = true;
                    self.start_next(io, v);
                }
            }
        }
    }

    fn run_ramp<I: LoadIo>(&mut self, io: &mut I, s: usize, now: Instant) {
        loop {
            let share = &mut self.shares[s];
            let horizon = share.horizon();
            let Model::Closed(run) = &mut share.model else { return };
            let due = run.ramp.peek().map(|ns| Instant(share.start.0.saturating_add(ns)));
            if due.is_none_or(|due| due > now || due >= horizon) {
                break;
            }
            match run.ramp.advance() {
                Some(Change::Comes(local)) => {
                    let v = share.vus[local as usize];
                    let vu = &mut self.vus[v as usize];
                    (vu.active, vu.cut_at) = (true, Instant::MAX);
                    if vu.state == VuState::Idle && !vu.parked {
                        self.start_next(io, v);
                    }
                }
                Some(Change::Goes(local)) => {
                    let v = share.vus[local as usize];
                    let cut_at = now + share.graceful_ramp_down;
                    let vu = &mut self.vus[v as usize];
                    vu.active = false;
                    if vu.state == VuState::Idle || vu.state == VuState::Pausing {
                        vu.state = VuState::Idle;
                        self.close_kept(io, v);
                    } else {
                        vu.cut_at = cut_at;
                        self.timers.arm(v, cut_at);
                    }
                }
                None => break,
            }
        }
        self.ask_for_more(s);
    }

    fn run_arrivals<I: LoadIo>(&mut self, io: &mut I, s: usize, now: Instant) {
        loop {
            let share = &mut self.shares[s];
            let horizon = share.horizon();
            let Model::Open(run) = &mut share.model else { return };
            let row = share.cells.workflow_mut();
            let due = run.due.peek().map_or(Instant::MAX, |ns| Instant(share.start.0.saturating_add(ns)));
            if due > now || due >= horizon {
                drop_expired(run, share.start, now, &mut row.dropped);
                return;
            }
            row.due += 1;
            let late_ns = now.nanos_since(due);
            share.scheduled += 1;
            share.noticed_late += u64::from(late_ns > LATE_NS);
            Self::tell_lateness(self.lateness.as_ref(), late_ns);
            if run.backlog == 0 {
                if let Some(v) = run.free.pop() {
                    run.due.advance();
                    self.start_iteration(io, v, due);
                    continue;
                }
                if run.late == LatePolicy::DropAfter(std::time::Duration::ZERO) {
                    run.due.advance();
                    row.dropped += 1;
                    continue;
                }
                run.head.clone_from(&run.due);
            }
            run.backlog += 1;
            run.due.advance();
        }
    }

    /// Starts nothing more. What was due and not started is dropped; what a cancel kept from becoming due is told.
    pub(super) fn stop_share(&mut self, s: usize, cut_at: Instant) {
        let share = &mut self.shares[s];
        (share.phase, share.cut_at) = (Phase::Stopping, cut_at);
        let rest = rest_of(&share.model);
        let gives_on = share.withdrawal.is_some() && share.end > share.horizon();
        let row = share.cells.workflow_mut();
        match &mut share.model {
            Model::Closed(run) => {
                if share.cancelled {
                    share.never_started += run.left;
                } else if gives_on {
                    share.iterations_left += run.left;
                } else {
                    row.due += run.left;
                    row.dropped += run.left;
                }
                run.left = 0;
            }
            Model::Open(run) => {
                row.dropped += run.backlog;
                let withdrawn = share.withdrawal.is_some();
                if share.cancelled {
                    share.never_started += run.backlog + if withdrawn { 0 } else { rest };
                } else if let Some(limit) = run.limit.filter(|_| withdrawn && run.due.is_poisson()) {
                    share.iterations_left += limit.saturating_sub(run.due.taken());
                }
                run.backlog = 0;
            }
        }
    }

    /// After a cancel nobody thinks on.
    pub(super) fn interrupt_thinkers<I: LoadIo>(&mut self, io: &mut I, s: usize) {
        for at in 0..self.shares[s].vus.len() {
            let v = self.shares[s].vus[at];
            if matches!(self.vus[v as usize].state, VuState::Thinking | VuState::Pausing) {
                self.cut(io, v);
            }
        }
    }

    fn end_if_over<I: LoadIo>(&mut self, io: &mut I, s: usize, now: Instant) {
        let share = &self.shares[s];
        let asked = matches!(&share.model, Model::Closed(run) if run.asked);
        // An answer on its way may bring iterations that must be counted as dropped.
        let waits = asked && !share.cancelled && now < share.end + ANSWER_WAIT;
        if share.busy > 0 || waits {
            return;
        }
        for at in 0..self.shares[s].vus.len() {
            let v = self.shares[s].vus[at];
            self.vus[v as usize].active = false;
            self.vus[v as usize].state = VuState::Idle;
            self.close_kept(io, v);
            self.timers.remove(v);
        }
        let ended = self.shares[s].ended(self.shard);
        self.shares[s].window_end = Instant::MAX;
        self.reports.push_back(Report::Ended(Box::new(ended)));
    }
}

/// When to cut a share whose load is gone, once nothing of what was due before is left to start. What waits then may
/// do so for as long as what is under way.
fn withdrawn(share: &Share, now: Instant) -> Option<Instant> {
    let horizon = share.horizon();
    let cut_at = horizon + share.graceful_stop;
    let waits = matches!(&share.model, Model::Open(run) if run.backlog > 0);
    let settled = share.withdrawal.is_some_and(|withdrawal| withdrawal.settled);
    (settled && now >= horizon && (!waits || now >= cut_at)).then_some(cut_at)
}

/// Whether a counted share has done all there is.
fn is_done(share: &Share) -> bool {
    share.busy == 0
        && match &share.model {
            Model::Closed(run) => match run.count {
                Count::Unlimited => false,
                Count::PerVu(_) => run.left == 0,
                Count::Total => run.left == 0 && run.last,
            },
            Model::Open(run) => run.limit.is_some_and(|limit| run.due.taken() >= limit) && run.backlog == 0,
        }
}

/// When a running share may have nothing left to start.
fn ends_at(share: &Share, now: Instant) -> Instant {
    match share.withdrawal {
        None => share.end,
        // It is told when it is settled.
        Some(withdrawal) if !withdrawal.settled => Instant::MAX,
        Some(_) if now < share.horizon() => share.horizon(),
        Some(_) => share.end.min(share.horizon() + share.graceful_stop),
    }
}

/// When a share has something to do next.
fn next_of(share: &Share, now: Instant) -> Instant {
    let at = |ns: u64| Instant(share.start.0.saturating_add(ns));
    match share.phase {
        Phase::Scheduled => share.begins(),
        Phase::Running => {
            let horizon = share.horizon();
            let before = |due: Instant| if due < horizon { due } else { Instant::MAX };
            let model = match &share.model {
                Model::Closed(run) => before(run.ramp.peek().map_or(Instant::MAX, at)),
                Model::Open(run) => {
                    let due = before(run.due.peek().map_or(Instant::MAX, at));
                    match run.late {
                        LatePolicy::DropAfter(wait) if run.backlog > 0 => {
                            due.min(at(run.head.peek().unwrap_or(0)) + wait)
                        }
                        LatePolicy::DropAfter(_) | LatePolicy::Wait => due,
                    }
                }
            };
            model.min(ends_at(share, now))
        }
        Phase::Stopping if now >= share.cut_at => share.end + ANSWER_WAIT,
        Phase::Stopping => share.cut_at,
        Phase::Ready | Phase::Ended | Phase::Released => Instant::MAX,
    }
}
