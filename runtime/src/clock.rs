//! The one clock read of a node.
//!
//! `CLOCK_BOOTTIME` goes on while the host is suspended, so a lease held before a suspension has run out after it.

use hyperscale_core::{Instant, WallClock};

/// Now, on the node's monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant(read(libc::CLOCK_BOOTTIME))
}

/// What the wall clock shows now, to name times to people.
#[must_use]
pub fn wall_clock() -> WallClock {
    let unix_ns = read(libc::CLOCK_REALTIME);
    // Back to where the millisecond began, so that no part of one is lost.
    let at = Instant(now().0.saturating_sub(unix_ns % 1_000_000));
    WallClock { unix_ms: unix_ns / 1_000_000, at }
}

/// Nanoseconds shown by a clock; zero before its start.
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the write, and both clocks exist on every kernel that has io_uring.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    debug_assert_eq!(failed, 0, "clock {clock} cannot be read");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let mut last = now();
        for _ in 0..10_000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
        assert!(last > Instant::ZERO);
    }

    #[test]
    fn the_wall_clock_shows_a_time_of_this_century() {
        let wall = wall_clock();
        assert!(wall.unix_ms > 1_700_000_000_000, "{wall:?}");
        assert!(wall.at > Instant::ZERO);
    }
}
