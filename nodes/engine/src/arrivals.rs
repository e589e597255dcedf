//! When iterations of the open model are due.
//!
//! The rate is piecewise linear; arrival `i` is due when its integral reaches `i`, solved in closed form, so a
//! cursor over the schedule is a few words whatever the rate and length. Poisson: a process of rate 1 seen
//! through the same integral; each share draws its own, and independent ones add up to one of the whole rate. Pure.

use std::rc::Rc;

use hyperscale_plan::{Arrivals, Open};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::Owned;

/// The rate over time as pieces, and its integral.
#[derive(Debug, Clone, PartialEq)]
pub struct RateProfile {
    pieces: Vec<Piece>,
    total: f64,
}

/// Linear from `from` to `to` per second over `length` seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    start: f64,
    length: f64,
    from: f64,
    to: f64,
    /// The integral before it.
    before: f64,
}

impl Piece {
    fn area(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.length
    }

    /// When the integral within the piece reaches `area`: the root of `from t + slope t^2 / 2 = area` in the form
    /// that neither cancels nor divides by a slope of zero.
    fn reaches(&self, area: f64) -> f64 {
        let slope = (self.to - self.from) / self.length;
        let root = (self.from * self.from + 2.0 * slope * area).max(0.0).sqrt();
        let speed = self.from + root;
        if speed > 0.0 { (2.0 * area / speed).min(self.length) } else { 0.0 }
    }
}

impl RateProfile {
    /// The profile of a plan's open load.
    #[must_use]
    pub fn new(open: &Open) -> Self {
        let (mut pieces, mut start, mut from, mut before) = (Vec::new(), 0.0, open.start_rate, 0.0);
        for stage in &open.stages {
            let length = stage.duration.as_secs_f64();
            if length > 0.0 {
                let piece = Piece { start, length, from, to: stage.rate, before };
                before += piece.area();
                start += length;
                pieces.push(piece);
            }
            from = stage.rate;
        }
        Self { pieces, total: before }
    }

    /// The integral over the whole length.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The integral up to `at`, in ns.
    #[allow(clippy::cast_precision_loss, reason = "plans last below 2^53 ns, or 104 days")]
    fn area_at(&self, at: u64) -> f64 {
        let at = at as f64 / 1e9;
        let piece = self.pieces.iter().rev().find(|piece| piece.start <= at);
        piece.map_or(0.0, |piece| {
            let within = (at - piece.start).min(piece.length);
            let speed = piece.from + (piece.to - piece.from) * within / piece.length;
            piece.before + (piece.from + speed) / 2.0 * within
        })
    }

    /// When the integral reaches `area`, in ns; `None` at or beyond its end. `hint` is the piece of the last call
    /// of growing calls.
    fn due_ns(&self, area: f64, hint: &mut usize) -> Option<u64> {
        // What rounding makes of an end at exactly a whole number must not add an arrival.
        if area >= self.total - (self.total * 1e-12 + 1e-9) {
            return None;
        }
        while self.pieces.get(*hint).is_some_and(|piece| area >= piece.before + piece.area()) {
            *hint += 1;
        }
        let piece = self.pieces.get(*hint).or(self.pieces.last())?;
        let seconds = piece.start + piece.reaches((area - piece.before).max(0.0));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "plans last below 2^63 ns"
        )]
        Some((seconds * 1e9) as u64)
    }
}

/// A cursor over a share's own arrivals. Two clones give the same times.
#[derive(Debug, Clone)]
pub struct Schedule {
    profile: Rc<RateProfile>,
    owned: Owned,
    /// Own arrivals taken.
    taken: u64,
    /// Own arrivals at most.
    limit: u64,
    piece: usize,
    poisson: Option<Poisson>,
    due: Option<u64>,
}

#[derive(Debug, Clone)]
struct Poisson {
    rng: SmallRng,
    /// Integral of the whole rate at the next arrival.
    area: f64,
}

impl Schedule {
    /// The arrivals that a share owns. `limit`: its part of a total, if there is one.
    #[must_use]
    pub fn new(profile: Rc<RateProfile>, open: &Open, owned: Owned, limit: Option<u64>, seed: u64) -> Self {
        let poisson = (open.arrivals == Arrivals::Poisson)
            .then(|| Poisson { rng: SmallRng::seed_from_u64(seed), area: 0.0 });
        let limit = limit.unwrap_or(u64::MAX);
        let mut schedule = Self { profile, owned, taken: 0, limit, piece: 0, poisson, due: None };
        schedule.find();
        schedule
    }

    /// Whether arrivals are drawn.
    #[must_use]
    pub fn is_poisson(&self) -> bool {
        self.poisson.is_some()
    }

    /// When the next one is due, in ns from the start.
    #[must_use]
    pub fn peek(&self) -> Option<u64> {
        self.due
    }

    /// Arrivals taken so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next one.
    pub fn advance(&mut self) {
        if self.due.is_some() {
            self.taken += 1;
            self.find();
        }
    }

    /// Leaves out what is due before `from`: as if taken, except for Poisson arrivals, which have no memory and are
    /// drawn from there on.
    pub fn skip_to(&mut self, from: u64) {
        match &mut self.poisson {
            Some(poisson) => poisson.area = self.profile.area_at(from),
            None => {
                // The first own arrival that is not before it; arrivals are in order.
                let (mut low, mut high) = (self.taken, self.taken.saturating_add(self.rest()));
                while low < high {
                    let middle = low.midpoint(high);
                    if self.due_of(middle).is_some_and(|due| due < from) {
                        low = middle + 1
                    } else {
                        high = middle
                    }
                }
                self.taken = low;
            }
        }
        self.find();
        while self.poisson.is_some() && self.due.is_some_and(|due| due < from) {
            self.find();
        }
    }

    /// Own arrivals not taken, where that can be known.
    #[must_use]
    pub fn rest(&self) -> u64 {
        let all = if self.poisson.is_some() {
            self.profile.total * self.owned.fraction()
        } else {
            // The first is at an integral of 0.
            let whole = (self.profile.total - (self.profile.total * 1e-12 + 1e-9)).ceil().max(0.0);
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bounded by the plan"
            )]
            return self.owned.below(whole as u64).min(self.limit).saturating_sub(self.taken);
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the plan")]
        (all as u64).min(self.limit).saturating_sub(self.taken)
    }

    #[allow(clippy::cast_precision_loss, reason = "arrivals stay below 2^53")]
    fn due_of(&self, index: u64) -> Option<u64> {
        self.profile.due_ns(self.owned.nth(index) as f64, &mut 0)
    }

    #[allow(clippy::cast_precision_loss, reason = "arrivals stay below 2^53")]
    fn find(&mut self) {
        if self.taken >= self.limit {
            self.due = None;
            return;
        }
        let area = match &mut self.poisson {
            None => self.owned.nth(self.taken) as f64,
            Some(poisson) => {
                let gap = -(1.0 - poisson.rng.random::<f64>()).ln();
                poisson.area += gap / self.owned.fraction();
                poisson.area
            }
        };
        self.due = self.profile.due_ns(area, &mut self.piece);
    }
}

#[cfg(test)]
mod tests;
