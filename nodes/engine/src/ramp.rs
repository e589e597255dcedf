//! When virtual users of the closed model come and go.
//!
//! The number of VUs is piecewise linear. Rising, VU `v` comes when the line reaches `v + 1`; falling, it goes when the
//! line has fallen to `v`: whole VUs only, exact at both ends of each stage. A stage of no length jumps. Pure.

use hyperscale_plan::Closed;

use crate::Owned;

/// A change of one of the share's own VUs, by its index among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Comes(u32),
    Goes(u32),
}

/// A cursor over the changes of a share's own VUs.
#[derive(Debug, Clone)]
pub struct Ramp {
    stages: Vec<Stage>,
    owned: Owned,
    stage: usize,
    /// Changes taken of the present stage.
    taken: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stage {
    start_ns: u64,
    length_ns: u64,
    from: u64,
    to: u64,
}

impl Ramp {
    /// The changes of a plan's closed load that fall to a share; the first VUs come at 0.
    #[must_use]
    pub fn new(closed: &Closed, owned: Owned) -> Self {
        let mut stages = vec![Stage { start_ns: 0, length_ns: 0, from: 0, to: u64::from(closed.start_vus) }];
        let (mut start_ns, mut from) = (0_u64, u64::from(closed.start_vus));
        for stage in &closed.stages {
            let length_ns = u64::try_from(stage.duration.as_nanos()).unwrap_or(u64::MAX);
            let to = u64::from(stage.vus);
            stages.push(Stage { start_ns, length_ns, from, to });
            start_ns = start_ns.saturating_add(length_ns);
            from = to;
        }
        let mut ramp = Self { stages, owned, stage: 0, taken: 0 };
        ramp.skip_ended();
        ramp
    }

    /// Own VUs at most, at any time.
    #[must_use]
    pub fn vus_max(&self) -> u32 {
        let most = self.stages.iter().map(|stage| self.owned.below(stage.from.max(stage.to))).max();
        u32::try_from(most.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// When the next change is due, in ns from the start.
    #[must_use]
    pub fn peek(&self) -> Option<u64> {
        let stage = self.stages.get(self.stage)?;
        let (index, rises) = self.at(stage);
        let number = self.owned.nth(index);
        let steps = if rises { number + 1 - stage.from } else { stage.from - number };
        let whole = u128::from(stage.from.abs_diff(stage.to));
        let offset = u128::from(stage.length_ns) * u128::from(steps) / whole;
        Some(stage.start_ns.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX)))
    }

    /// Takes the next change.
    pub fn advance(&mut self) -> Option<Change> {
        let stage = self.stages.get(self.stage)?;
        let (index, rises) = self.at(stage);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.taken += 1;
        self.skip_ended();
        Some(if rises { Change::Comes(index) } else { Change::Goes(index) })
    }

    /// Takes all changes up to `from`; those of the own VUs that are there then.
    pub fn skip_to(&mut self, from: u64) -> Vec<u32> {
        let mut here = vec![false; usize::try_from(self.vus_max()).unwrap_or(0)];
        while self.peek().is_some_and(|due| due <= from) {
            let (at, comes) = match self.advance() {
                Some(Change::Comes(vu)) => (vu, true),
                Some(Change::Goes(vu)) => (vu, false),
                None => break,
            };
            if let Some(place) = usize::try_from(at).ok().and_then(|at| here.get_mut(at)) {
                *place = comes;
            }
        }
        (0..).zip(here).filter(|(_, here)| *here).map(|(vu, _)| vu).collect()
    }

    fn at(&self, stage: &Stage) -> (u64, bool) {
        let (from, rises) = (self.owned.below(stage.from), stage.to > stage.from);
        (if rises { from + self.taken } else { from - 1 - self.taken }, rises)
    }

    fn skip_ended(&mut self) {
        while let Some(stage) = self.stages.get(self.stage) {
            if self.taken < self.owned.below(stage.from).abs_diff(self.owned.below(stage.to)) {
                return;
            }
            (self.stage, self.taken) = (self.stage + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests;
