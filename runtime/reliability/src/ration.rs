//! Part of what a state refuses is taken all the same, as much as the node can bear.
//!
//! A state is kept for two seconds, and refuses a class whole: under a lasting flood of that class a node would go from
//! all to nothing and back, and answer a few hundredths of what it can. So the most important class that the state
//! refuses has a ration: frames in each tenth of a second, found by what the signals say. Less important classes have
//! none, more important ones need none.

use std::time::Duration;

use hyperscale_codec::Priority;
use hyperscale_core::Instant;

use crate::OverloadState;
use crate::load_shedding::LoadShedder;

const PERIOD: Duration = Duration::from_millis(100);
/// Periods between two changes of a ration: the signals follow a change that late.
const PERIODS: u32 = 5;

/// How many frames of a class are taken in each period.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    allowed: u32,
    left: u32,
    /// It was given its first frames.
    begun: bool,
    /// The signals were bad at the last change.
    falls: bool,
    /// What was too much the last time they turned bad.
    ceiling: u32,
}

/// What one shard takes of what it should refuse.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ration {
    period_ends: Instant,
    periods: u32,
    /// Frames taken in this period, and in the last whole one of a healthy node.
    taken: u32,
    usual: u32,
    shares: [Share; 4],
}

impl Ration {
    /// A frame that could be refused is taken, as the node is healthy enough.
    pub(crate) fn took(&mut self, now: Instant, state: OverloadState, pressing: OverloadState) {
        self.roll(now, state, pressing);
        self.taken = self.taken.saturating_add(1);
    }

    /// Whether a frame of a class that this state refuses is taken all the same. `pressing` is what the signals say
    /// now, without the time for which a state is kept.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        class: Priority,
        state: OverloadState,
        pressing: OverloadState,
    ) -> bool {
        self.roll(now, state, pressing);
        if LoadShedder::first_refused(state) != Some(class) {
            return false;
        }
        let Some(share) = self.shares.get_mut(usize::from(class as u8)) else { return false };
        let Some(left) = share.left.checked_sub(1) else { return false };
        share.left = left;
        true
    }

    fn roll(&mut self, now: Instant, state: OverloadState, pressing: OverloadState) {
        if now < self.period_ends {
            return;
        }
        self.period_ends = now + PERIOD;
        let taken = std::mem::take(&mut self.taken);
        let Some(class) = LoadShedder::first_refused(state) else {
            (self.usual, self.periods, self.shares) = (taken, 0, [Share::default(); 4]);
            return;
        };
        self.periods = self.periods.saturating_add(1);
        let changes = self.periods.is_multiple_of(PERIODS);
        let (own, usual) = (usize::from(class as u8), self.usual);
        // What less important classes had was too much.
        self.shares.iter_mut().skip(own.saturating_add(1)).for_each(Share::was_too_much);
        if let Some(share) = self.shares.get_mut(own) {
            if changes {
                share.follow(pressing, usual);
            }
            share.left = share.allowed;
        }
    }
}

impl Share {
    /// The node is worse than where this class has a ration: half of it, the next time.
    fn was_too_much(&mut self) {
        if self.begun && !std::mem::replace(&mut self.falls, true) {
            (self.ceiling, self.allowed) = (self.allowed, self.allowed / 2);
        }
    }

    /// More while the signals are good, less while they are not. It begins with an eighth of what was taken before, grows
    /// fast to nine tenths of where it was too much last, and slowly from there.
    fn follow(&mut self, pressing: OverloadState, usual: u32) {
        let now = self.allowed;
        match pressing {
            OverloadState::Healthy | OverloadState::Busy => {
                if !self.begun {
                    self.ceiling = usual;
                }
                let near = self.ceiling.saturating_sub(self.ceiling / 10);
                self.allowed = match now {
                    _ if !self.begun => usual / 8,
                    far if far < near => far.saturating_add(far / 4).saturating_add(1).min(near),
                    close => close.saturating_add(close / 40).saturating_add(1),
                };
                (self.begun, self.falls) = (true, false);
            }
            OverloadState::Stressed | OverloadState::Overloaded => {
                if !std::mem::replace(&mut self.falls, true) {
                    self.ceiling = now;
                }
                let cut = if pressing == OverloadState::Stressed { now / 10 } else { now / 4 };
                self.allowed = now.saturating_sub(cut);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OverloadState::{Healthy, Overloaded, Stressed};

    const OFFERED: u32 = 10_000;

    fn at(period: u64) -> Instant {
        Instant(1 + period * 100_000_000)
    }

    /// What is taken in each period of a node that bears so many frames in one, and says so half a second late.
    fn under_flood(periods: u64, bears: u32) -> Vec<u32> {
        let (mut ration, mut taken) = (Ration::default(), Vec::new());
        for period in 0..periods {
            let healthy = period < 3;
            let late: &[u32] = &taken[taken.len().saturating_sub(6)..];
            let worst = late.iter().max().copied().unwrap_or(0);
            let pressing = match worst {
                worst if worst > bears => Overloaded,
                worst if worst > bears * 9 / 10 => Stressed,
                _ => Healthy,
            };
            let mut count = 0;
            for _ in 0..OFFERED {
                if healthy && count < bears {
                    ration.took(at(period), Healthy, Healthy);
                    count += 1;
                } else if !healthy && ration.take(at(period), Priority::Normal, Stressed, pressing) {
                    count += 1;
                }
            }
            taken.push(count);
        }
        taken
    }

    #[test]
    fn a_flood_gets_most_of_what_the_node_can_bear() {
        for bears in [10, 100, 3_000] {
            let taken = under_flood(600, bears);
            let late = &taken[100..];
            let mean = late.iter().sum::<u32>() / 500;
            assert!(mean >= bears * 7 / 10 && mean <= bears, "{mean} of {bears}: {:?}", &late[..60]);
        }
    }

    #[test]
    fn only_the_most_important_refused_class_has_a_ration_and_none_where_the_signals_stay_bad() {
        let mut ration = Ration::default();
        (0..200).for_each(|_| ration.took(at(0), Healthy, Healthy));
        ration.took(at(1), Healthy, Healthy);
        let mut given = [0; 4];
        for period in 2..100 {
            for class in [Priority::High, Priority::Normal, Priority::Low] {
                let pressing = if period < 50 { Stressed } else { Healthy };
                given[class as usize] += u32::from(ration.take(at(period), class, Stressed, pressing));
            }
            assert!(period >= 50 || given[2] == 0, "period {period}");
        }
        assert!(given[2] > 40 && given[1] == 0 && given[3] == 0, "{given:?}");
    }
}
