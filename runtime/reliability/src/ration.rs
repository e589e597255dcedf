//! Part of what a state refuses is taken all the same: as much as the node bears, the most important first.
//!
//! A state refuses whole classes and is kept for two seconds, so that under a lasting flood a node would go from all to
//! nothing and back, and do a fraction of what it can. So the classes that a state refuses share a ration: frames a
//! second, found from how near the node is to where it must refuse them ([`LoadGauge::strain`](crate::LoadGauge)). It
//! is given out as it grows, not so many at once: a burst of what is refused must not stand before what is critical.
//! Of what there is a more important class leaves nothing to a less important one.

use std::time::Duration;

use hyperscale_codec::Priority;
use hyperscale_core::Instant;

use crate::load_shedding::LoadShedder;
use crate::{OverloadState, Strain};

/// Between two looks at the strain, which is measured as often.
const PERIOD: Duration = Duration::from_millis(100);
/// Periods that a look makes up for at most.
const CATCH_UP: u32 = 50;
/// Periods a second.
const PERIODS: f64 = 10.0;
/// What is given out grows for so long at most while nobody comes.
const DEPTH_S: f64 = 0.004;
/// A less important class takes only what is beyond this part of what may wait to be given out.
const RESERVE: f64 = 0.3;
/// Part of the way to the strain aimed at that one change goes. A change shows two periods later, so that with more it
/// would swing.
const GAIN: f64 = 0.2;
/// Weight of the newest strain: in one period a few requests may be few or many.
const NEWEST: f64 = 0.5;
/// Where the strain is wanted: a little under where the node must refuse.
const AIM: f64 = 0.95;
/// From here on the strain says no more how much is too much: a full CPU is not fuller than full.
const TOO_MUCH: f64 = 1.1;
/// One change, at most, down and up.
const CUT: f64 = 0.9;
const GROWTH: f64 = 1.25;
/// What a ration begins with of a class of which nothing is known, of all that was taken.
const BEGIN: f64 = 0.05;
/// Frames a second: less is nothing, as where memory is short, and what a ration grows from; more is no number of
/// frames.
const LEAST: f64 = 1.0;
const MOST: f64 = 1e9;

/// What one shard takes of what it should refuse.
#[derive(Debug, Clone)]
pub(crate) struct Ration {
    period_ends: Instant,
    /// When there was last something given out.
    filled: Instant,
    /// Frames taken in this period, and in the last whole one, by class.
    taken: [f64; 4],
    before: [f64; 4],
    /// The most important class that is rationed, if one is.
    from: Option<Priority>,
    per_second: f64,
    /// The strain of the last periods.
    strain: f64,
    /// May be taken now.
    tokens: f64,
    /// Something was refused in this period: more would be taken if there were more.
    short: bool,
}

impl Default for Ration {
    fn default() -> Self {
        let (period_ends, filled) = (Instant::ZERO, Instant::ZERO);
        let (taken, before) = ([0.0; 4], [0.0; 4]);
        Self {
            period_ends,
            filled,
            taken,
            before,
            from: None,
            per_second: 0.0,
            strain: 0.0,
            tokens: 0.0,
            short: false,
        }
    }
}

impl Ration {
    /// A frame that could be refused is taken, as the node is healthy enough for its class.
    pub(crate) fn took(&mut self, now: Instant, class: Priority, state: OverloadState, strain: Strain) {
        self.roll(now, state, strain);
        self.count(class);
    }

    /// Whether a frame of a class that this state refuses is taken all the same.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        class: Priority,
        state: OverloadState,
        strain: Strain,
    ) -> bool {
        self.roll(now, state, strain);
        let Some(from) = self.from else { return false };
        self.fill(now);
        let less = f64::from((class as u8).saturating_sub(from as u8));
        let has = self.tokens >= 1.0 + less * RESERVE * (self.most() - 1.0);
        if has {
            self.tokens -= 1.0;
            self.count(class);
        }
        self.short |= !has;
        has
    }

    fn count(&mut self, class: Priority) {
        if let Some(taken) = self.taken.get_mut(usize::from(class as u8)) {
            *taken += 1.0;
        }
    }

    /// What may wait to be given out.
    fn most(&self) -> f64 {
        2.0 + self.per_second * DEPTH_S
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(self.most());
    }

    /// Begins a period, and follows what the node's state and strain became.
    fn roll(&mut self, now: Instant, state: OverloadState, strain: Strain) {
        let from = LoadShedder::first_refused(state);
        for _ in 0..CATCH_UP {
            if now < self.period_ends {
                break;
            }
            self.period_ends = self.period_ends + PERIOD;
            self.before = std::mem::take(&mut self.taken);
            self.strain += NEWEST * (strain.get() - self.strain);
            if self.from.is_some() && self.from == from {
                self.per_second = self.next();
            }
            self.short = false;
        }
        // Nobody came for longer than can be made up for.
        if now >= self.period_ends {
            self.period_ends = now + PERIOD;
        }
        if from != self.from {
            self.from = from;
            if let Some(from) = from {
                (self.per_second, self.filled, self.tokens) = (self.first(from), now, 0.0);
            }
        }
    }

    /// What a ration of other classes begins with: what was taken of them, as far as that was not too much.
    fn first(&self, from: Priority) -> f64 {
        let of_them: f64 = self.before.iter().skip(usize::from(from as u8)).sum();
        let all: f64 = self.before.iter().sum();
        let bearable = of_them * (AIM / self.strain.max(AIM)).max(CUT);
        (bearable.max(all * BEGIN) * PERIODS).min(MOST)
    }

    /// What it becomes: towards where the strain is as wanted.
    fn next(&self) -> f64 {
        let factor =
            if self.strain >= TOO_MUCH { CUT } else { 1.0 + GAIN * (AIM / self.strain.max(0.1) - 1.0) };
        // More than is asked for would be too much at once when it is.
        let factor = factor.clamp(CUT, if self.short { GROWTH } else { 1.0 });
        match self.per_second * factor {
            more if factor > 1.0 => more.clamp(LEAST, MOST),
            less if less < LEAST => 0.0,
            less => less,
        }
    }
}

#[cfg(test)]
mod tests;
