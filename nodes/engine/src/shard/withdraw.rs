//! A share that gives its load to others (`ShareRevision`): where exactly it stops, so that they begin exactly there.

use std::time::Duration;

use hyperscale_core::LoadIo;

use super::EngineShard;
use super::share::{Phase, Withdrawal};
use crate::orders::{Report, ShareKey};

impl EngineShard {
    /// Stops what is due at `until` or later. What was taken already is behind us: then `until` moves on to now.
    pub(super) fn withdraw<I: LoadIo>(&mut self, io: &mut I, key: ShareKey, until: Duration, settled: bool) {
        let mut in_force = until;
        if let Some(s) = self.find(key) {
            let now = io.now();
            // All that is due by now is ours whatever the answer.
            self.run_share(io, s, now);
            let share = &mut self.shares[s];
            let held = share.withdrawal;
            if matches!(share.phase, Phase::Scheduled | Phase::Running)
                && !held.is_some_and(|held| held.settled)
            {
                // Never back, nor to a time at which something may have been sent.
                let earliest = match held {
                    Some(held) => held.until,
                    None if share.phase == Phase::Running => after(now.nanos_since(share.start)),
                    None => share.from,
                };
                in_force = until.max(earliest);
                share.withdrawal = Some(Withdrawal { until: in_force, settled });
            } else if share.phase != Phase::Ready {
                // It has ended, or is about to: nothing of it is left to move.
                in_force = held.map_or(until.max(after(now.nanos_since(share.start))), |held| held.until);
            }
            self.run_share(io, s, now);
        }
        self.reports.push_back(Report::Withdrawn { key, shard: self.shard, until: in_force });
    }
}

/// The first whole microsecond after `taken`.
fn after(taken: u64) -> Duration {
    Duration::from_micros(taken / 1_000 + 1)
}
