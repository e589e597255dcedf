//! The engine of one shard: hosts shares of load, moves their virtual users through connections and time.
//!
//! In: orders of the worker's core, what happens on connections, ticks. Out: reports, and what the loop shall do
//! with its sockets. Bounds: VUs are reserved when a share is prepared, at most 64 handshakes are under way, and a
//! request allocates nothing. Pure: time comes from [`LoadIo::now`].

mod clockwork;
mod connect;
mod flow;
mod record;
mod share;
mod take;
mod vu;
mod withdraw;

use std::collections::VecDeque;

use hyperscale_codec::ShardId;
use hyperscale_core::{Closed, ConnError, ConnId, Instant, LoadHandler, LoadIo};
use hyperscale_reliability::SampleWriter;

use crate::http1::HeadPool;
use crate::orders::{Order, Report};
use crate::timers::Timers;
use share::{Phase, Share};
use vu::{Conn, Vu};

/// Handshakes under way at a time, so that a burst of them does not overflow a listener's backlog.
pub(crate) const HANDSHAKES_MAX: usize = 64;

/// All load of one shard.
#[derive(Debug)]
pub struct EngineShard {
    shard: ShardId,
    #[expect(clippy::vec_box, reason = "a share is large, and adding one must not move the others")]
    shares: Vec<Box<Share>>,
    vus: Vec<Vu>,
    free_vus: Vec<u32>,
    /// By slot of the loop.
    conns: Vec<Conn>,
    timers: Timers,
    handshakes: usize,
    /// VUs that wait for a handshake; some may have been cut meanwhile.
    queue: VecDeque<u32>,
    heads: HeadPool,
    /// Requests sent and not yet answered.
    waiting: usize,
    reports: VecDeque<Report>,
    /// Where the node's overload detector hears how late this generator is.
    lateness: Option<SampleWriter>,
}

impl EngineShard {
    /// An engine without load.
    #[must_use]
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            shares: Vec::new(),
            vus: Vec::new(),
            free_vus: Vec::new(),
            conns: Vec::new(),
            timers: Timers::default(),
            handshakes: 0,
            queue: VecDeque::new(),
            heads: HeadPool::default(),
            waiting: 0,
            reports: VecDeque::new(),
            lateness: None,
        }
    }

    /// Has it tell how late it noticed each arrival and each end of a think time: that depends on this generator alone,
    /// not on how fast its target answers or takes connections.
    #[must_use]
    pub fn with_lateness(self, samples: SampleWriter) -> Self {
        Self { lateness: Some(samples), ..self }
    }

    #[inline]
    fn tell_lateness(samples: Option<&SampleWriter>, late_ns: u64) {
        if let Some(samples) = samples {
            samples.record_us(u32::try_from(late_ns / 1_000).unwrap_or(u32::MAX));
        }
    }

    /// Whether no share is left that has not ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shares.iter().all(|share| matches!(share.phase, Phase::Ended | Phase::Released))
    }
}

impl LoadHandler for EngineShard {
    type Order = Order;
    type Report = Report;

    fn order<I: LoadIo>(&mut self, io: &mut I, order: Order) {
        self.take_order(io, order);
    }

    fn connected<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, result: Result<(), ConnError>) {
        self.on_connected(io, conn, result);
    }

    fn bytes<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, bytes: &[u8]) {
        self.on_bytes(io, conn, bytes);
    }

    fn closed<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, how: Closed, unsent: usize) {
        self.on_closed(io, conn, how, unsent);
    }

    fn tick<I: LoadIo>(&mut self, io: &mut I) {
        self.run_due(io);
    }

    fn next_due(&self) -> Option<Instant> {
        let shares = self.shares.iter().map(|share| share.next_at.min(share.window_end)).min();
        let due = shares.unwrap_or(Instant::MAX).min(self.timers.next().unwrap_or(Instant::MAX));
        (due < Instant::MAX).then_some(due)
    }

    fn in_flight(&self) -> usize {
        self.waiting
    }

    fn next_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }
}

#[cfg(test)]
mod tests;
