//! A sender's side: when the windows it has merged may go, and what it does when no receipt comes.
//!
//! In: receipts, windows that are complete, the clock. Out: what to send now. Sends are aligned to the job's windows,
//! so that senders of one job that were asked for the same send at the same windows, and merge into one view. What is
//! held back is merged by the caller into the one set that waits, so this holds a few numbers and no figures.

use std::time::Duration;

use hyperscale_core::Instant;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::BackpressureLevel;

/// A total goes up at least so often.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(10);
/// Intervals without a receipt after which a sender slows down by itself.
const PATIENCE: u32 = 3;
/// Messages without a receipt at most.
const UNACKED_MAX: u32 = 2;
/// Who passes windows on takes the last ones of others for so many windows.
const CLOSING: u32 = 3;
/// A receiver can slow a sender down, not stop it.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// What a sender should send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The windows that were merged.
    pub windows: bool,
    /// All that there is.
    pub snapshot: bool,
    /// The receiver asked for all that there is, or tells nothing any more.
    pub again: bool,
}

impl Wanted {
    /// Whether there is anything to send.
    #[must_use]
    pub const fn any(self) -> bool {
        self.windows || self.snapshot
    }
}

/// What a sender sent, over all its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatsSent {
    messages: [u64; 4],
    merged_windows: u64,
}

impl StatsSent {
    /// Counts messages that were sent at a level, and the windows in them.
    pub fn count(&mut self, level: BackpressureLevel, messages: usize, windows: u32) {
        if let Some(count) = self.messages.get_mut(usize::from(level.to_wire())) {
            *count = count.saturating_add(u64::try_from(messages).unwrap_or(u64::MAX));
        }
        self.merged_windows = self.merged_windows.saturating_add(u64::from(windows.saturating_sub(1)));
    }

    /// Messages sent at a level.
    #[must_use]
    pub fn messages(&self, level: BackpressureLevel) -> u64 {
        self.messages.get(usize::from(level.to_wire())).copied().unwrap_or(0)
    }

    /// Windows beyond the first of each message.
    #[must_use]
    pub const fn merged_windows(&self) -> u64 {
        self.merged_windows
    }
}

/// How one sender of a job's statistics obeys its receiver.
#[derive(Debug)]
pub struct StatsPace {
    window: Duration,
    level: BackpressureLevel,
    delay: Duration,
    /// What is complete goes at this time.
    due: Option<Instant>,
    /// The last window of the send before.
    sent_to: Option<u32>,
    last_snapshot: Instant,
    want_snapshot: bool,
    /// The level has just become Reject: what was merged goes for the last time, and all that there is with it. Views
    /// are drawn from differences of totals from then on, the first of them from a total that holds what was shown.
    closing: bool,
    rejected_at: Instant,
    /// Messages without a receipt, and since when there is one.
    unacked: u32,
    unacked_since: Option<Instant>,
    /// Whether it has totals of its own, to be told from time to time.
    totals: bool,
    rng: SmallRng,
}

impl StatsPace {
    /// For a job with windows of this length that begins now. The seed spreads its delays.
    #[must_use]
    pub fn new(window: Duration, now: Instant, seed: u64) -> Self {
        Self {
            window,
            level: BackpressureLevel::None,
            delay: Duration::ZERO,
            due: None,
            sent_to: None,
            last_snapshot: now,
            want_snapshot: false,
            closing: false,
            rejected_at: now,
            unacked: 0,
            unacked_since: None,
            totals: true,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// For a sender that merges the windows of others and passes their totals on as they come.
    #[must_use]
    pub fn of_windows(self) -> Self {
        Self { totals: false, ..self }
    }

    /// What it does at present: what it was told, or worse while no receipts come.
    #[must_use]
    pub const fn level(&self) -> BackpressureLevel {
        self.level
    }

    /// A receipt came. `all`: of everything that was sent.
    pub fn on_ack(&mut self, now: Instant, level: BackpressureLevel, delay: Duration, all: bool) {
        self.set_level(now, level);
        self.delay = delay.min(DELAY_MAX);
        if all {
            (self.unacked, self.unacked_since) = (0, None);
        } else if let Some(since) = &mut self.unacked_since {
            *since = now;
        }
    }

    fn set_level(&mut self, now: Instant, level: BackpressureLevel) {
        let rejects = level == BackpressureLevel::Reject;
        if rejects && !self.rejects() {
            self.rejected_at = now;
        }
        self.closing = rejects && (self.closing || !self.rejects());
        self.level = level;
    }

    /// The receiver lacks something.
    pub fn want_snapshot(&mut self) {
        self.want_snapshot = true;
    }

    /// Another receiver, or this one again: it has told nothing yet, and may have nothing.
    pub fn begin_again(&mut self) {
        (self.level, self.delay, self.closing) = (BackpressureLevel::None, Duration::ZERO, false);
        (self.unacked, self.unacked_since) = (0, None);
        self.want_snapshot = true;
    }

    /// What to send now that the windows up to `to` are merged; `waiting`: whether any is not sent. What is wanted
    /// counts as sent. A snapshot without windows stands for them too: what was merged is forgotten.
    pub fn poll(&mut self, now: Instant, to: u32, waiting: bool) -> Wanted {
        let lost = self.lost_receipts(now);
        if self.unacked >= UNACKED_MAX {
            return Wanted::default();
        }
        if !waiting {
            self.due = None;
        } else if self.due.is_none() && self.interval_is_over(to) {
            self.due = Some(now + self.jittered());
        }
        let rejects = self.rejects();
        let old = self.totals && waiting && now.since(self.last_snapshot) >= SNAPSHOT_EVERY;
        let again = lost || self.want_snapshot;
        let due = self.due.is_some_and(|due| due <= now) || rejects && old;
        if !(again || self.closing && waiting || due) {
            return Wanted::default();
        }
        let wanted = Wanted {
            windows: waiting && (!rejects || self.closing),
            snapshot: again || self.totals && (self.closing || rejects || old),
            again,
        };
        // Others send their last windows when they hear of it from this one.
        self.closing &= !self.totals && now.since(self.rejected_at) < self.window.saturating_mul(CLOSING);
        (self.due, self.sent_to) = (None, Some(to));
        if wanted.snapshot {
            (self.last_snapshot, self.want_snapshot) = (now, false);
        }
        let messages = u32::from(wanted.windows).saturating_add(u32::from(wanted.snapshot && self.totals));
        if messages > 0 {
            self.unacked = self.unacked.saturating_add(messages);
            self.unacked_since.get_or_insert(now);
        }
        wanted
    }

    /// Whether the last windows of all may go; what there is in all goes after them, whatever the level.
    #[must_use]
    pub fn takes_windows(&self) -> bool {
        !self.rejects() || self.closing
    }

    fn rejects(&self) -> bool {
        self.level == BackpressureLevel::Reject
    }

    /// Whether the windows up to `to` are the last of an interval that is not sent. Intervals are counted from the
    /// job's start.
    fn interval_is_over(&self, to: u32) -> bool {
        let windows = self.level.windows();
        let over = |to: u32| to.saturating_add(1).checked_div(windows).unwrap_or(to);
        over(to) > self.sent_to.map_or(0, over)
    }

    /// No receipt for three intervals: what was sent may be lost, and the receiver is worse off than it said.
    fn lost_receipts(&mut self, now: Instant) -> bool {
        let lost = self.unacked_since.is_some_and(|since| now.since(since) >= self.patience());
        if lost {
            self.set_level(now, self.level.worse());
            (self.unacked, self.unacked_since) = (0, None);
        }
        lost
    }

    fn jittered(&mut self) -> Duration {
        if self.delay.is_zero() { self.delay } else { self.delay.mul_f64(self.rng.random_range(0.9..=1.1)) }
    }

    fn patience(&self) -> Duration {
        let interval = self.window.saturating_mul(self.level.windows()).saturating_add(self.delay);
        interval.saturating_mul(PATIENCE)
    }

    /// When [`StatsPace::poll`] has something to send though no window was completed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let lost = self.unacked_since.map(|since| since + self.patience());
        let due = self.due.filter(|_| self.unacked < UNACKED_MAX);
        due.into_iter().chain(lost).min()
    }
}

#[cfg(test)]
mod tests;
