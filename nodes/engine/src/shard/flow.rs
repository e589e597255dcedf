//! The life of an iteration: its steps one after the other, answers, the next iteration.

use hyperscale_codec::messages::ErrorKind;
use hyperscale_core::{Closed, ConnId, Instant, LoadIo};
use hyperscale_plan::{KeepAlive, LatePolicy};
use rand::Rng;

use super::EngineShard;
use super::connect::{place_of, request_of};
use super::record::Outcome;
use super::share::{Count, Model, Phase, StepSpec};
use super::vu::{ConnState, EARLY, NONE, VuState};
use crate::http1::{Answer, Progress};
use crate::orders::Report;

/// How long a VU waits after this host was out of ports or files.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl EngineShard {
    pub(super) fn on_bytes<I: LoadIo>(&mut self, io: &mut I, id: ConnId, bytes: &[u8]) {
        let conn = &mut self.conns[id.slot as usize];
        debug_assert_eq!(conn.id, id, "told of a connection that was closed");
        if conn.state != ConnState::Busy {
            self.on_early_bytes(io, id.slot, bytes);
            return;
        }
        conn.bytes_in += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match conn.reader.feed(bytes, &mut self.heads) {
            Progress::More => {}
            Progress::Done(answer) => {
                let surplus = bytes.len() - answer.used;
                self.on_answer(io, id.slot, answer, surplus);
            }
            Progress::Failed(kind) => {
                let (v, bytes_in) = (conn.vu, conn.bytes_in);
                let unsent = self.drop_connection(io, id.slot);
                let out = self.sent_bytes(v, unsent);
                self.end_request(io, v, Outcome::Failed(kind), bytes_in, out);
            }
        }
    }

    fn on_answer<I: LoadIo>(&mut self, io: &mut I, slot: u32, answer: Answer, surplus: usize) {
        let conn = &mut self.conns[slot as usize];
        let (v, bytes_in, unsent) = (conn.vu, conn.bytes_in, io.unsent(conn.id));
        let share = &self.shares[self.vus[v as usize].share as usize];
        // More than was asked for: the answer is not what its head says.
        let outcome = if surplus == 0 {
            Outcome::Answered(answer.status)
        } else {
            Outcome::Failed(ErrorKind::BadResponse)
        };
        let keep = answer.keep_alive && surplus == 0 && unsent == 0 && share.keep_alive != KeepAlive::Never;
        let out = self.sent_bytes(v, unsent);
        let conn = &mut self.conns[slot as usize];
        if keep {
            (conn.state, conn.reused) = (ConnState::Idle, true);
            self.waiting -= 1;
            let vu = &self.vus[v as usize];
            let place = place_of(&self.shares[vu.share as usize], vu, conn.origin);
            self.shares[vu.share as usize].kept[place] = slot;
        } else {
            self.drop_connection(io, slot);
        }
        self.end_request(io, v, outcome, bytes_in, out);
    }

    pub(super) fn on_closed<I: LoadIo>(&mut self, io: &mut I, id: ConnId, how: Closed, unsent: usize) {
        let conn = &mut self.conns[id.slot as usize];
        debug_assert_eq!(conn.id, id, "told twice that a connection is gone");
        let (v, bytes_in) = (conn.vu, conn.bytes_in);
        if conn.state != ConnState::Busy {
            // The end of an idle connection is no error.
            self.forget_connection(id.slot);
            return;
        }
        let untouched = bytes_in == 0 && conn.reused;
        let progress = match how {
            Closed::Eof => conn.reader.end(&mut self.heads),
            Closed::Error(_) => Progress::Failed(ErrorKind::Reset),
        };
        self.forget_connection(id.slot);
        let out = self.sent_bytes(v, unsent);
        let vu = &mut self.vus[v as usize];
        match progress {
            Progress::Done(answer) => {
                self.end_request(io, v, Outcome::Answered(answer.status), bytes_in, out)
            }
            Progress::Failed(_) if untouched && !vu.retried => {
                // The server closed it as idle while the request was on its way.
                vu.retried = true;
                vu.sent = Instant::MAX;
                vu.out_before += out;
                self.want_connection(io, v);
            }
            Progress::Failed(kind) => self.end_request(io, v, Outcome::Failed(kind), bytes_in, out),
            Progress::More => debug_assert!(false, "an ended answer waits for more"),
        }
    }

    /// Sends the request of VU `v`'s present step, which was due at `due`.
    fn begin_request<I: LoadIo>(&mut self, io: &mut I, v: u32, due: Instant) {
        let vu = &mut self.vus[v as usize];
        let share = &mut self.shares[vu.share as usize];
        (vu.due, vu.sent) = (due, Instant::MAX);
        (vu.retried, vu.out_before) = (false, 0);
        share.in_flight[usize::from(vu.step)] += 1;
        let Some(spec) = request_of(share, vu.step) else { return };
        let place = place_of(share, vu, spec.origin);
        match std::mem::replace(&mut share.kept[place], NONE) {
            NONE => self.want_connection(io, v),
            EARLY => self.refuse_early(io, v),
            slot => {
                vu.conn = slot;
                self.send_request(io, v);
            }
        }
    }

    /// Records the end of VU `v`'s request and goes on.
    pub(super) fn end_request<I: LoadIo>(
        &mut self,
        io: &mut I,
        v: u32,
        outcome: Outcome,
        bytes_in: u64,
        out: u64,
    ) {
        let now = io.now();
        self.record_request(v, now, outcome, bytes_in, out);
        let vu = &mut self.vus[v as usize];
        (vu.conn, vu.deadline) = (NONE, Instant::MAX);
        let share = &self.shares[vu.share as usize];
        let (cancelled, cut) = (share.cancelled, vu.cut_at <= now);
        vu.step += 1;
        if usize::from(vu.step) >= share.steps.len() {
            self.end_iteration(io, v, now);
        } else if cancelled || cut {
            vu.step -= 1;
            self.interrupt_iteration(io, v, now);
        } else {
            self.run_step(io, v, now);
        }
    }

    /// Begins VU `v`'s present step at `due`.
    fn run_step<I: LoadIo>(&mut self, io: &mut I, v: u32, due: Instant) {
        let vu = &mut self.vus[v as usize];
        let share = &mut self.shares[vu.share as usize];
        match share.steps[usize::from(vu.step)] {
            StepSpec::Request(_) => self.begin_request(io, v, due),
            StepSpec::Think { from_ns, to_ns } => {
                let ns = share.rng.random_range(from_ns..=to_ns);
                vu.state = VuState::Thinking;
                vu.deadline = Instant(due.0.saturating_add(ns));
                self.timers.arm(v, vu.deadline);
            }
        }
    }

    /// VU `v`'s think time is over.
    pub(super) fn on_thought<I: LoadIo>(&mut self, io: &mut I, v: u32, now: Instant) {
        let vu = &mut self.vus[v as usize];
        let due = std::mem::replace(&mut vu.deadline, Instant::MAX);
        let share = &mut self.shares[vu.share as usize];
        let late_ns = now.nanos_since(due);
        share.scheduled += 1;
        share.noticed_late += u64::from(late_ns > super::share::LATE_NS);
        Self::tell_lateness(self.lateness.as_ref(), late_ns);
        vu.step += 1;
        if usize::from(vu.step) >= share.steps.len() {
            self.end_iteration(io, v, due);
        } else {
            self.run_step(io, v, due);
        }
    }

    /// Starts an iteration that was due at `due` and was counted as such.
    pub(super) fn start_iteration<I: LoadIo>(&mut self, io: &mut I, v: u32, due: Instant) {
        let vu = &mut self.vus[v as usize];
        let share = &mut self.shares[vu.share as usize];
        share.cells.workflow_mut().started += 1;
        share.busy += 1;
        (vu.step, vu.iteration) = (0, due);
        self.run_step(io, v, due);
    }

    fn end_iteration<I: LoadIo>(&mut self, io: &mut I, v: u32, ended: Instant) {
        let now = io.now();
        let vu = &mut self.vus[v as usize];
        let s = vu.share as usize;
        vu.state = VuState::Idle;
        let iteration = vu.iteration;
        self.turn_window(s, now);
        let share = &mut self.shares[s];
        share.busy -= 1;
        share.last_end = now;
        let row = share.cells.workflow_mut();
        row.count += 1;
        row.latency.record(ended.nanos_since(iteration));
        if share.keep_alive == KeepAlive::Iteration {
            self.close_kept(io, v);
        }
        self.free_vu(io, v, now);
    }

    /// Cuts VU `v`'s iteration; its request, if one is under way, was recorded.
    fn interrupt_iteration<I: LoadIo>(&mut self, io: &mut I, v: u32, now: Instant) {
        let vu = &mut self.vus[v as usize];
        (vu.state, vu.deadline) = (VuState::Idle, Instant::MAX);
        let s = vu.share as usize;
        self.turn_window(s, now);
        let share = &mut self.shares[s];
        share.busy -= 1;
        share.last_end = now;
        share.cells.workflow_mut().cancelled += 1;
        self.free_vu(io, v, now);
    }

    /// Cuts whatever VU `v` is at.
    pub(super) fn cut<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let now = io.now();
        let vu = &self.vus[v as usize];
        let slot = vu.conn;
        let (mut bytes_in, mut out) = (0, 0);
        match vu.state {
            VuState::Idle => return,
            VuState::Pausing => {
                self.vus[v as usize].state = VuState::Idle;
                return;
            }
            VuState::Thinking => {
                self.interrupt_iteration(io, v, now);
                return;
            }
            VuState::Queued => {}
            VuState::Connecting => {
                self.drop_connection(io, slot);
                self.handshakes -= 1;
            }
            VuState::Waiting => {
                bytes_in = self.conns[slot as usize].bytes_in;
                let unsent = self.drop_connection(io, slot);
                out = self.sent_bytes(v, unsent);
            }
        }
        self.record_request(v, now, Outcome::Cancelled, bytes_in, out);
        self.vus[v as usize].conn = NONE;
        self.interrupt_iteration(io, v, now);
    }

    /// VU `v` has nothing to do: the next iteration, or rest.
    pub(super) fn free_vu<I: LoadIo>(&mut self, io: &mut I, v: u32, now: Instant) {
        let vu = &mut self.vus[v as usize];
        let s = vu.share as usize;
        if !vu.active {
            vu.cut_at = Instant::MAX;
            self.close_kept(io, v);
        } else if std::mem::take(&mut vu.pause) && self.shares[s].phase == Phase::Running {
            vu.state = VuState::Pausing;
            vu.deadline = now + PAUSE;
            self.timers.arm(v, vu.deadline);
            return;
        }
        if self.shares[s].phase == Phase::Stopping {
            self.shares[s].next_at = now;
            return;
        }
        self.start_next(io, v);
    }

    /// Starts VU `v`'s next iteration, if there is one for it.
    pub(super) fn start_next<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let now = io.now();
        let s = self.vus[v as usize].share as usize;
        self.turn_window(s, now);
        let vu = &mut self.vus[v as usize];
        let share = &mut self.shares[s];
        if share.phase != Phase::Running
            || now >= share.end
            || (now >= share.horizon() && matches!(share.model, Model::Closed(_)))
        {
            share.next_at = now;
            if let Model::Open(run) = &mut share.model {
                run.free.push(v);
            }
            return;
        }
        let due = match &mut share.model {
            Model::Open(run) => {
                drop_expired(run, share.start, now, &mut share.cells.workflow_mut().dropped);
                if run.backlog == 0 {
                    run.free.push(v);
                    if run.limit.is_some() || share.withdrawal.is_some() {
                        share.next_at = now;
                    }
                    return;
                }
                let due = share.start.0.saturating_add(run.head.peek().unwrap_or(0));
                run.head.advance();
                run.backlog -= 1;
                Instant(due)
            }
            Model::Closed(run) => {
                if !vu.active {
                    return;
                }
                match run.count {
                    Count::Unlimited => {}
                    Count::PerVu(_) if vu.left == 0 => {
                        share.next_at = now;
                        return;
                    }
                    Count::PerVu(_) => {
                        vu.left -= 1;
                        run.left -= 1;
                    }
                    Count::Total if run.left == 0 => {
                        if !vu.parked {
                            vu.parked = true;
                            run.parked.push(v);
                        }
                        share.next_at = now;
                        self.ask_for_more(s);
                        return;
                    }
                    Count::Total => {
                        run.left -= 1;
                        if run.left == 0 {
                            share.next_at = now;
                        }
                    }
                }
                share.cells.workflow_mut().due += 1;
                now
            }
        };
        self.start_iteration(io, v, due);
    }

    /// Every iteration of a total was started: asks for more, once at a time.
    pub(super) fn ask_for_more(&mut self, s: usize) {
        let share = &mut self.shares[s];
        let Model::Closed(run) = &mut share.model else { return };
        if run.count != Count::Total || run.left > 0 || run.asked || run.last {
            return;
        }
        if share.siblings <= 1 || share.vus.is_empty() {
            run.last = true;
        } else {
            run.asked = true;
            self.reports.push_back(Report::NeedIterations { key: share.key, shard: self.shard });
        }
    }
}

/// Drops arrivals that have waited for longer than their workflow lets them.
pub(super) fn drop_expired(run: &mut super::share::OpenRun, start: Instant, now: Instant, dropped: &mut u64) {
    let LatePolicy::DropAfter(wait) = run.late else { return };
    while run.backlog > 0 {
        let due = Instant(start.0.saturating_add(run.head.peek().unwrap_or(0)));
        if now < due + wait {
            return;
        }
        run.head.advance();
        run.backlog -= 1;
        *dropped += 1;
    }
}
