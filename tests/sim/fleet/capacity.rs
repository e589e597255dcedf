//! What work costs a node's core, how much of its time is taken, and what frames took from their arrival to the end of
//! their handling: known to the nanosecond, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::Kind;
use hyperscale_core::Instant;

use super::life::Life;
use super::{Fleet, Place};

/// What a core, or the driver before it, has done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Anything but a frame.
    Event,
    Frame(Kind),
    /// A frame was refused by its header.
    Refusal,
}

/// What work costs; nothing, unless a story says so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Costs {
    /// A frame of one of these kinds.
    pub(crate) kinds: BTreeMap<Kind, Duration>,
    /// Any other frame.
    pub(crate) frame: Duration,
    /// A timer, a link, a datagram, a word of the driver.
    pub(crate) event: Duration,
    /// A refusal: a header is judged, an answer is written.
    pub(crate) refusal: Duration,
    /// It may be so much that a node is as good as gone.
    pub(crate) ails: bool,
}

impl Costs {
    /// So many frames of this kind a second and nothing besides; other things cost little.
    pub(crate) fn of(kind: Kind, per_second: u32) -> Self {
        let each = Duration::from_secs(1) / per_second;
        let kinds = BTreeMap::from([(kind, each)]);
        Self { kinds, frame: each / 20, event: each / 50, refusal: each / 50, ails: false }
    }

    fn cost(&self, work: Work) -> Duration {
        match work {
            Work::Event => self.event,
            Work::Frame(kind) => self.kinds.get(&kind).copied().unwrap_or(self.frame),
            Work::Refusal => self.refusal,
        }
    }
}

/// A slow host's refusals cost so much less than its events.
const REFUSAL_PART: u32 = 16;

impl Life {
    fn charge(&mut self, now: Instant, work: Work) {
        let slow = match work {
            Work::Refusal => self.cost / REFUSAL_PART,
            Work::Event | Work::Frame(_) => self.cost,
        };
        let cost = self.costs.cost(work) + slow;
        if cost > Duration::ZERO {
            self.busy_until = self.busy_until.max(now) + cost;
            self.charged += cost;
        }
    }

    /// How long it was at work since it started.
    pub(super) fn worked(&self, now: Instant) -> Duration {
        self.charged.saturating_sub(self.busy_until.since(now))
    }
}

impl Fleet {
    pub(super) fn charge(&mut self, at: Place, work: Work) {
        let now = self.network.now;
        self.nodes[at].life.charge(now, work);
    }

    /// A frame that came at this time is dealt with.
    pub(super) fn sample(&mut self, at: Place, came: Instant) {
        let (now, node) = (self.network.now, &self.nodes[at]);
        if let Some(door) = &node.door {
            door.record(node.life.busy_until.max(now).since(came));
        }
    }

    /// What work costs each shard of a node from now on, restarts included.
    pub(crate) fn cost(&mut self, name: &str, costs: &Costs) {
        for at in self.places(name) {
            self.nodes[at].life.costs = costs.clone();
        }
    }
}
