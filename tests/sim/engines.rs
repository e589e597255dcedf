//! The production engine before a target in virtual time: each connect takes 0.1 ms, each answer 5 ms.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyperscale_codec::ShardId;
use hyperscale_core::{ConnId, Instant, LoadHandler, LoadIo};
use hyperscale_engine::EngineShard;
use hyperscale_engine::orders::{Order, Report};

const CONNECT: Duration = Duration::from_micros(100);
const ANSWER: Duration = Duration::from_millis(5);

/// One shard.
pub(crate) struct Engine {
    engine: EngineShard,
    target: Target,
    orders: u64,
}

enum Told {
    Connected,
    Answered,
}

/// What the shard's connections lead to.
#[derive(Default)]
struct Target {
    now: Instant,
    /// Of each slot: its present use, while it is open.
    open: Vec<Option<u32>>,
    uses: Vec<u32>,
    told: BTreeMap<(Instant, u64), (ConnId, Told)>,
    order: u64,
    sent: u64,
}

impl Target {
    fn tell(&mut self, after: Duration, conn: ConnId, told: Told) {
        self.order += 1;
        self.told.insert((self.now + after, self.order), (conn, told));
    }
}

impl LoadIo for Target {
    fn now(&self) -> Instant {
        self.now
    }

    fn connect(&mut self, _: SocketAddr) -> ConnId {
        let slot = self.open.iter().position(Option::is_none).unwrap_or_else(|| {
            self.open.push(None);
            self.uses.push(0);
            self.open.len() - 1
        });
        self.uses[slot] += 1;
        self.open[slot] = Some(self.uses[slot]);
        let conn = ConnId { slot: u32::try_from(slot).unwrap(), generation: self.uses[slot] };
        self.tell(CONNECT, conn, Told::Connected);
        conn
    }

    fn send(&mut self, conn: ConnId, _: &Rc<[u8]>) {
        self.sent += 1;
        self.tell(ANSWER, conn, Told::Answered);
    }

    fn unsent(&self, _: ConnId) -> usize {
        0
    }

    fn close(&mut self, conn: ConnId) -> usize {
        self.open[conn.slot as usize] = None;
        0
    }
}

impl Engine {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self { engine: EngineShard::new(shard), target: Target::default(), orders: 0 }
    }

    /// Requests that the target got.
    pub(crate) fn sent(&self) -> u64 {
        self.target.sent
    }

    /// Whether it was ever told to do something.
    pub(crate) fn has_orders(&self) -> bool {
        self.orders > 0
    }

    pub(crate) fn order(&mut self, now: Instant, order: Order) -> Vec<Report> {
        self.target.now = now;
        self.orders += 1;
        self.engine.order(&mut self.target, order);
        self.tick(now)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        let told = self.target.told.first_key_value().map(|((at, _), _)| *at);
        [told, self.engine.next_due()].into_iter().flatten().min()
    }

    /// Does what is due by `now`.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Report> {
        self.target.now = now;
        while let Some(entry) = self.target.told.first_entry().filter(|entry| entry.key().0 <= now) {
            let (conn, told) = entry.remove();
            if self.target.open[conn.slot as usize] != Some(conn.generation) {
                continue;
            }
            match told {
                Told::Connected => self.engine.connected(&mut self.target, conn, Ok(())),
                Told::Answered => {
                    self.engine.bytes(
                        &mut self.target,
                        conn,
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                    );
                }
            }
        }
        self.engine.tick(&mut self.target);
        std::iter::from_fn(|| self.engine.next_report()).collect()
    }

    /// Runs alone up to `end`.
    pub(crate) fn run_to(&mut self, end: Instant) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            let now = due.max(self.target.now);
            reports.extend(self.tick(now));
        }
        self.target.now = end;
        reports
    }
}
