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
    worked_ns: u64,
    throttled_ns: u64,
}

/// What there is to use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuRoom {
    /// Shards, each of which has a core.
    pub cores: usize,
    /// CPUs' worth of time that the control group has, if it is limited.
    pub quota: Option<f64>,
}

/// A node's use of its CPUs, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CpuUse {
    /// Over the last second.
    pub second: f64,
    /// Since the tick before.
    pub tick: f64,
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
    /// One tick: the time that the node's shards have worked since their start, and that their control group was held
    /// back by its quota. In percent of the time that there was, since ten ticks ago; `None` at the first tick. A figure
    /// that went back counts as one that stood still.
    ///
    /// A group that is held back is full; one with a quota is as full as what it worked is of that, or it would know of
    /// its limit only from being held back.
    pub fn tick(&mut self, now: Instant, worked_ns: u64, throttled_ns: u64, room: CpuRoom) -> Option<CpuUse> {
        let point = Point { at: now, worked_ns, throttled_ns };
        let oldest = self.points.get(if self.len < TICKS { 0 } else { self.next }).copied();
        let oldest = oldest.filter(|_| self.len > 0);
        let latest = self.points.get(self.next.checked_sub(1).unwrap_or(TICKS - 1)).copied();
        if let Some(place) = self.points.get_mut(self.next) {
            *place = point;
        }
        self.next = self.next.saturating_add(1) % TICKS;
        self.len = self.len.saturating_add(1).min(TICKS);
        Some(CpuUse { second: point.percent_since(oldest?, room), tick: point.percent_since(latest?, room) })
    }

    /// What was measured so far is of another measure: begins anew.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Point {
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no last digits")]
    fn percent_since(&self, before: Self, room: CpuRoom) -> f64 {
        let cores = room.cores as f64;
        let had_ns = self.at.since(before.at).as_nanos() as f64;
        if had_ns == 0.0 || room.cores == 0 {
            return 0.0;
        }
        let worked_ns = self.worked_ns.saturating_sub(before.worked_ns) as f64;
        let throttled_ns = self.throttled_ns.saturating_sub(before.throttled_ns) as f64;
        let of_cores = (worked_ns + throttled_ns) / cores;
        let of_quota = room.quota.map_or(0.0, |quota| worked_ns / quota.clamp(f64::EPSILON, cores));
        (of_cores.max(of_quota) / had_ns * 100.0).min(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const ONE: CpuRoom = CpuRoom { cores: 1, quota: None };

    /// The mean over a second, without a quota.
    fn second(meter: &mut CpuMeter, now: Instant, worked: u64, throttled: u64, cores: usize) -> Option<f64> {
        meter.tick(now, worked, throttled, CpuRoom { cores, quota: None }).map(|part| part.second)
    }

    fn at(tick: u64) -> Instant {
        Instant(tick * 100 * MS)
    }

    #[test]
    fn it_is_the_mean_over_ten_ticks_and_all_cores() {
        let mut meter = CpuMeter::default();
        assert_eq!(second(&mut meter, at(0), 5 * MS, 0, 2), None);
        // Half of one of two cores.
        assert_eq!(second(&mut meter, at(1), 55 * MS, 0, 2), Some(25.0));
        // One tick of full work does not make a full second.
        let mut idle = CpuMeter::default();
        for tick in 0..20 {
            let _idle = second(&mut idle, at(tick), 0, 0, 1);
        }
        let one = idle.tick(at(20), 100 * MS, 0, ONE).unwrap();
        assert_eq!((one.second, one.tick), (10.0, 100.0));
        for tick in 21..30 {
            let percent = second(&mut idle, at(tick), 100 * MS, 0, 1).unwrap();
            assert!((percent - 10.0).abs() < 0.01, "{percent}");
        }
        assert_eq!(second(&mut idle, at(30), 100 * MS, 0, 1), Some(0.0));
    }

    #[test]
    fn time_that_the_group_was_held_back_counts_as_used() {
        let mut meter = CpuMeter::default();
        let _first = second(&mut meter, at(0), 0, 0, 1);
        assert_eq!(second(&mut meter, at(1), 20 * MS, 80 * MS, 1), Some(100.0));
        assert_eq!(second(&mut meter, at(2), 40 * MS, 300 * MS, 1), Some(100.0), "no more than all");
    }

    #[test]
    fn a_quota_is_what_there_is_to_use() {
        let of = |worked: u64, throttled: u64, quota: f64| {
            let (mut meter, room) = (CpuMeter::default(), CpuRoom { cores: 2, quota: Some(quota) });
            let _first = meter.tick(at(0), 0, 0, room);
            meter.tick(at(1), worked, throttled, room).unwrap().tick
        };
        assert!((of(20 * MS, 0, 0.25) - 80.0).abs() < 1e-9);
        // More than the shards' cores is no more for them.
        assert!((of(20 * MS, 0, 8.0) - 10.0).abs() < 1e-9);
        assert!((of(20 * MS, 160 * MS, 0.25) - 90.0).abs() < 1e-9, "held back for most of the time");
        assert!((of(20 * MS, 0, 0.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn clocks_that_stand_or_go_back_say_nothing() {
        let mut meter = CpuMeter::default();
        let _first = second(&mut meter, at(5), 50 * MS, 0, 1);
        assert_eq!(second(&mut meter, at(5), 60 * MS, 0, 1), Some(0.0));
        assert_eq!(second(&mut meter, at(3), 60 * MS, 0, 1), Some(0.0));
        assert_eq!(second(&mut meter, at(9), 10 * MS, 0, 1), Some(0.0));
        let all = second(&mut meter, at(10), u64::MAX, u64::MAX, usize::MAX).unwrap();
        assert!((0.0..=100.0).contains(&all), "{all}");
        meter.reset();
        assert_eq!(second(&mut meter, at(11), 0, 0, 1), None);
    }
}
