//! Orders of the worker's core.

use std::time::Duration;

use hyperscale_codec::ShardId;
use hyperscale_core::LoadIo;

use super::EngineShard;
use super::share::{Count, Model, Phase, Share};
use super::vu::{NONE, Vu, VuState};
use crate::orders::{Order, Prepare, Report, ShareKey};

impl EngineShard {
    pub(super) fn take_order<I: LoadIo>(&mut self, io: &mut I, order: Order) {
        match order {
            Order::Prepare(order) => self.prepare(&order),
            Order::Start { key, at, job_start } => {
                if let Some(s) = self.find(key)
                    && self.shares[s].phase == Phase::Ready
                {
                    self.shares[s].schedule(at, job_start);
                }
            }
            Order::Cancel { key, cut_after } => {
                if let Some(s) = self.find(key) {
                    self.cancel(io, s, cut_after);
                }
            }
            Order::Withdraw { key, until, settled } => self.withdraw(io, key, until, settled),
            Order::Donate { key, to } => self.donate(key, to),
            Order::Grant { key, iterations } => {
                if let Some(s) = self.find(key) {
                    self.grant(io, s, iterations);
                }
            }
            Order::Recycle { key, cells } => {
                if let Some(s) = self.find(key) {
                    self.shares[s].recycle(cells);
                }
            }
            Order::Release { key } => {
                if let Some(s) = self.find(key) {
                    self.release(io, s);
                }
            }
            Order::Stop => {
                for s in 0..self.shares.len() {
                    self.cancel(io, s, Duration::ZERO);
                }
            }
        }
    }

    pub(super) fn find(&self, key: ShareKey) -> Option<usize> {
        self.shares.iter().position(|share| share.key == key && share.phase != Phase::Released)
    }

    fn prepare(&mut self, order: &Prepare) {
        let result = if self.find(order.key).is_some() {
            Err("the share was prepared before".to_owned())
        } else {
            Share::new(order).map(|share| self.host(share))
        };
        self.reports.push_back(Report::Ready { key: order.key, shard: self.shard, result });
    }

    fn host(&mut self, mut share: Share) {
        let released = self.shares.iter().position(|share| share.phase == Phase::Released);
        let s = released.unwrap_or(self.shares.len());
        let index = u32::try_from(s).unwrap_or(NONE);
        let each = match &share.model {
            Model::Closed(run) => match run.count {
                Count::PerVu(each) => each,
                Count::Unlimited | Count::Total => 0,
            },
            Model::Open(_) => 0,
        };
        for local in 0..share.vus_max() {
            let vu = Vu::new(index, local, each);
            let v = if let Some(v) = self.free_vus.pop() {
                self.vus[v as usize] = vu;
                v
            } else {
                self.vus.push(vu);
                u32::try_from(self.vus.len() - 1).unwrap_or(NONE)
            };
            share.vus.push(v);
        }
        self.timers.reserve(self.vus.len());
        self.queue.reserve(self.vus.len().saturating_sub(self.queue.len()));
        self.conns.reserve(self.vus.len().saturating_sub(self.conns.len()));
        match self.shares.get_mut(s) {
            Some(place) => **place = share,
            None => self.shares.push(Box::new(share)),
        }
    }

    fn cancel<I: LoadIo>(&mut self, io: &mut I, s: usize, cut_after: Duration) {
        let now = io.now();
        match self.shares[s].phase {
            Phase::Ready | Phase::Scheduled => {
                let share = &mut self.shares[s];
                share.cancelled = true;
                (share.start, share.last_end) = (now, now);
                share.never_started = rest_of(&share.model);
                let ended = share.ended(self.shard);
                self.reports.push_back(Report::Ended(Box::new(ended)));
            }
            Phase::Running | Phase::Stopping => {
                let cut_at = self.shares[s].cut_at.min(now + cut_after);
                if !self.shares[s].cancelled {
                    self.run_share(io, s, now);
                    let share = &mut self.shares[s];
                    share.cancelled = true;
                    share.in_flight_at_cancel = share.in_flight.iter().sum();
                }
                if self.shares[s].phase == Phase::Running {
                    self.stop_share(s, cut_at);
                }
                self.shares[s].cut_at = cut_at;
                self.interrupt_thinkers(io, s);
                self.run_share(io, s, now);
            }
            Phase::Ended | Phase::Released => {}
        }
    }

    fn donate(&mut self, key: ShareKey, to: ShardId) {
        let mut iterations = 0;
        if let Some(s) = self.find(key) {
            let share = &mut self.shares[s];
            let no_vus = share.vus.is_empty();
            if let (Phase::Ready | Phase::Scheduled | Phase::Running, Model::Closed(run)) =
                (share.phase, &mut share.model)
                && run.count == Count::Total
            {
                iterations = if no_vus { run.left } else { run.left / 2 };
                run.left -= iterations;
                share.next_at = share.next_at.min(share.start);
            }
        }
        self.reports.push_back(Report::Donated { key, shard: self.shard, to, iterations });
    }

    fn grant<I: LoadIo>(&mut self, io: &mut I, s: usize, iterations: u64) {
        let share = &mut self.shares[s];
        let phase = share.phase;
        let Model::Closed(run) = &mut share.model else { return };
        run.asked = false;
        if iterations == 0 {
            run.last = true;
        }
        match phase {
            Phase::Ready | Phase::Scheduled => run.left += iterations,
            Phase::Running => {
                run.left += iterations;
                let waiting = std::mem::take(&mut run.parked);
                for &v in &waiting {
                    self.vus[v as usize].parked = false;
                    self.start_next(io, v);
                }
                // Those that still found nothing stand in the new list; the old one's memory is kept for it.
                if let Model::Closed(run) = &mut self.shares[s].model
                    && run.parked.capacity() < waiting.capacity()
                {
                    let mut kept = waiting;
                    kept.clear();
                    kept.append(&mut run.parked);
                    run.parked = kept;
                }
            }
            Phase::Stopping if share.withdrawal.is_some() && !share.cancelled => {
                share.iterations_left += iterations;
            }
            Phase::Stopping if !share.cancelled => {
                let row = share.cells.workflow_mut();
                row.due += iterations;
                row.dropped += iterations;
            }
            Phase::Stopping | Phase::Ended | Phase::Released => share.never_started += iterations,
        }
        self.shares[s].next_at = io.now();
    }

    fn release<I: LoadIo>(&mut self, io: &mut I, s: usize) {
        if self.shares[s].phase != Phase::Ended {
            self.cancel(io, s, Duration::ZERO);
            self.run_share(io, s, io.now());
        }
        for v in std::mem::take(&mut self.shares[s].vus) {
            self.close_kept(io, v);
            self.timers.remove(v);
            self.vus[v as usize].state = VuState::Idle;
            self.free_vus.push(v);
        }
        self.shares[s].release();
    }
}

/// Iterations that could still start.
pub(super) fn rest_of(model: &Model) -> u64 {
    match model {
        Model::Closed(run) => run.left,
        Model::Open(run) => run.due.rest(),
    }
}
