//! What was counted: of one step, of the whole, of one second.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::Hist;

use crate::Op;
use crate::op::OPS;

/// One kind of load in one span of time.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpTally {
    /// Should have been sent.
    pub(crate) due: u64,
    /// Were sent.
    pub(crate) sent: u64,
    /// Were answered as asked.
    pub(crate) answered: u64,
    /// Sources of statistics in what was answered.
    pub(crate) updates: u64,
    /// Of what was due, what these answers did: also windows that came late, in one message with others.
    pub(crate) told: u64,
    /// Windows that went out in a later message, because the gate asked for fewer.
    pub(crate) merged: u64,
    /// Not sent: too many were open already.
    pub(crate) unsent: u64,
    /// No answer within the patience.
    pub(crate) unanswered: u64,
    /// Refused, by the reason told.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// From due to the answer, refusals left out.
    pub(crate) latency: Hist,
}

impl OpTally {
    /// Refused for any reason.
    #[must_use]
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.sent += other.sent;
        self.answered += other.answered;
        self.updates += other.updates;
        self.told += other.told;
        self.merged += other.merged;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason).or_default() += count;
        }
        self.latency.merge(&other.latency);
    }
}

/// All kinds in one span of time.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    ops: [OpTally; OPS],
    /// How long after its due time each was sent: the driver's own fault.
    pub(crate) lateness: Hist,
    /// From sent to the answer.
    pub(crate) service: Hist,
    /// Acknowledgements by the level they told.
    pub(crate) levels: [u64; 4],
    /// Windows that subscribers were pushed.
    pub(crate) pushes: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ops: std::array::from_fn(|_| OpTally::default()),
            lateness: Hist::new(),
            service: Hist::new(),
            levels: [0; 4],
            pushes: 0,
        }
    }
}

impl Tally {
    /// Each kind.
    pub(crate) fn ops(&self) -> impl Iterator<Item = (Op, &OpTally)> {
        Op::ALL.into_iter().zip(&self.ops)
    }

    pub(crate) fn op(&mut self, op: Op) -> &mut OpTally {
        &mut self.ops[op.index()]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.ops.iter_mut().zip(&other.ops).for_each(|(mine, theirs)| mine.merge(theirs));
        self.lateness.merge(&other.lateness);
        self.service.merge(&other.service);
        self.levels.iter_mut().zip(other.levels).for_each(|(mine, theirs)| *mine += theirs);
        self.pushes += other.pushes;
    }

    fn sum(&self, of: fn(&OpTally) -> u64) -> u64 {
        self.ops.iter().map(of).sum()
    }

    /// Should have been sent, all kinds together.
    #[must_use]
    pub(crate) fn due(&self) -> u64 {
        self.sum(|op| op.due)
    }

    /// Sent.
    #[must_use]
    pub(crate) fn sent(&self) -> u64 {
        self.sum(|op| op.sent)
    }

    /// Answered as asked.
    #[must_use]
    pub(crate) fn answered(&self) -> u64 {
        self.sum(|op| op.answered)
    }

    /// Sources of statistics in what was answered.
    #[must_use]
    pub(crate) fn updates(&self) -> u64 {
        self.sum(|op| op.updates)
    }

    /// What of what was due the answers did, merged windows and all.
    #[must_use]
    pub(crate) fn told(&self) -> u64 {
        self.sum(|op| op.told)
    }

    /// Refused.
    #[must_use]
    pub(crate) fn refused(&self) -> u64 {
        self.sum(OpTally::refusals)
    }

    /// Windows that went out in a later message.
    #[must_use]
    pub(crate) fn merged(&self) -> u64 {
        self.sum(|op| op.merged)
    }

    /// Share of what was due that was done. Merged windows were not: the gate could not take them as they came.
    #[must_use]
    pub(crate) fn goodput(&self) -> f64 {
        let due = self.due();
        if due == 0 { 1.0 } else { float(self.answered()) / float(due) }
    }

    /// Latency of all kinds together.
    #[must_use]
    pub(crate) fn latency(&self) -> Hist {
        let mut all = Hist::new();
        self.ops.iter().for_each(|op| all.merge(&op.latency));
        all
    }
}

/// The largest of the smallest `ppm` millionths.
#[must_use]
pub(crate) fn quantile(hist: &Hist, ppm: u32) -> Duration {
    Duration::from_nanos(hist.quantile_ppm(ppm).unwrap_or(0))
}

#[expect(clippy::cast_precision_loss, reason = "shares and rates to be read by people")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}
