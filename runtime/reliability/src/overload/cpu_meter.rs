//! The part of its CPUs that a node works, over the last second.
//!
//! Over a second, not over one tick: a node that was busy for the hundred milliseconds of one large submission would
//! else refuse all but critical requests for the two seconds that a state is held.

use hyperscale_core::Instant;

/// Ticks that the mean goes back, at most.
const TICKS: usize = 10;

#[derive(Debug, Clone, Copy, Default)]
struct Point {
    at: Instant,
    used_ns: u64,
}

/// Makes percent of what clocks that only grow show at each tick.
#[derive(Debug, Clone, Default)]
pub struct CpuMeter {
    /// The oldest at `next` once all are there.
    points: [Point; TICKS],
    len: usize,
    next: usize,
}

impl CpuMeter {
    /// One tick: the time that the node's `cores` shards have worked since their start, and that their control group was
    /// held back by its quota. In percent of the time that there was, since ten ticks ago; `None` at the first tick. A
    /// figure that went back counts as one that stood still.
    pub fn tick(&mut self, now: Instant, worked_ns: u64, throttled_ns: u64, cores: usize) -> Option<f64> {
        let used_ns = worked_ns.saturating_add(throttled_ns);
        let oldest = self.points.get(if self.len < TICKS { 0 } else { self.next }).copied();
        let oldest = oldest.filter(|_| self.len > 0);
        if let Some(place) = self.points.get_mut(self.next) {
            *place = Point { at: now, used_ns };
        }
        self.next = self.next.saturating_add(1) % TICKS;
        self.len = self.len.saturating_add(1).min(TICKS);
        let oldest = oldest?;
        let passed_ns = u64::try_from(now.since(oldest.at).as_nanos()).unwrap_or(u64::MAX);
        let had_ns = passed_ns.saturating_mul(u64::try_from(cores).unwrap_or(u64::MAX));
        if had_ns == 0 {
            return Some(0.0);
        }
        #[expect(clippy::cast_precision_loss, reason = "a percentage needs no last digits")]
        let part = used_ns.saturating_sub(oldest.used_ns) as f64 / had_ns as f64;
        Some((part * 100.0).min(100.0))
    }

    /// What was measured so far is of another measure: begins anew.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(tick: u64) -> Instant {
        Instant(tick * 100 * MS)
    }

    #[test]
    fn it_is_the_mean_over_ten_ticks_and_all_cores() {
        let mut meter = CpuMeter::default();
        assert_eq!(meter.tick(at(0), 5 * MS, 0, 2), None);
        // Half of one of two cores.
        assert_eq!(meter.tick(at(1), 55 * MS, 0, 2), Some(25.0));
        // One tick of full work does not make a full second.
        let mut idle = CpuMeter::default();
        for tick in 0..20 {
            let _idle = idle.tick(at(tick), 0, 0, 1);
        }
        assert_eq!(idle.tick(at(20), 100 * MS, 0, 1), Some(10.0));
        for tick in 21..30 {
            let percent = idle.tick(at(tick), 100 * MS, 0, 1).unwrap();
            assert!((percent - 10.0).abs() < 0.01, "{percent}");
        }
        assert_eq!(idle.tick(at(30), 100 * MS, 0, 1), Some(0.0));
    }

    #[test]
    fn time_that_the_group_was_held_back_counts_as_used() {
        let mut meter = CpuMeter::default();
        let _first = meter.tick(at(0), 0, 0, 1);
        assert_eq!(meter.tick(at(1), 20 * MS, 80 * MS, 1), Some(100.0));
        assert_eq!(meter.tick(at(2), 40 * MS, 300 * MS, 1), Some(100.0), "no more than all");
    }

    #[test]
    fn clocks_that_stand_or_go_back_say_nothing() {
        let mut meter = CpuMeter::default();
        let _first = meter.tick(at(5), 50 * MS, 0, 1);
        assert_eq!(meter.tick(at(5), 60 * MS, 0, 1), Some(0.0));
        assert_eq!(meter.tick(at(3), 60 * MS, 0, 1), Some(0.0));
        assert_eq!(meter.tick(at(9), 10 * MS, 0, 1), Some(0.0));
        let all = meter.tick(at(10), u64::MAX, u64::MAX, usize::MAX).unwrap();
        assert!((0.0..=100.0).contains(&all), "{all}");
        meter.reset();
        assert_eq!(meter.tick(at(11), 0, 0, 1), None);
    }
}
