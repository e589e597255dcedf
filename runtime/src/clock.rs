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

/// The time that one thread has had of a CPU. Any thread of the process may read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// That of the calling thread, if the system has one.
    pub(crate) fn of_this_thread() -> Option<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread exists, and `clock` is valid for the write.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        (failed == 0).then_some(Self(clock))
    }

    /// Nanoseconds; `None` once the thread has ended.
    pub(crate) fn read_ns(self) -> Option<u64> {
        try_read(self.0)
    }
}

/// Nanoseconds shown by a clock; zero before its start.
fn read(clock: libc::clockid_t) -> u64 {
    let time = try_read(clock);
    debug_assert!(
        time.is_some(),
        "clock {clock} cannot be read; both exist on every kernel that has io_uring"
    );
    time.unwrap_or(0)
}

fn try_read(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the write; a clock that does not exist is refused.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    (failed == 0).then(|| seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
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
    fn the_clock_of_a_thread_counts_its_work_and_ends_with_it() {
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let thread = scope.spawn(move || {
                let clock = ThreadClock::of_this_thread().unwrap();
                while clock.read_ns().unwrap() < 2_000_000 {
                    std::hint::spin_loop();
                }
                tell.send(clock).unwrap();
            });
            let clock = told.recv().unwrap();
            thread.join().unwrap();
            // The kernel tells of a thread's end a little before it forgets its clock.
            while clock.read_ns().is_some() {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn the_wall_clock_shows_a_time_of_this_century() {
        let wall = wall_clock();
        assert!(wall.unix_ms > 1_700_000_000_000, "{wall:?}");
        assert!(wall.at > Instant::ZERO);
    }
}
