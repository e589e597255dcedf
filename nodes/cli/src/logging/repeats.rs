//! Not too many lines of the same: each callsite may write so many a second, and what is left out is counted.
//!
//! The table has a row for each callsite that has logged, so the program's text bounds it.
#![expect(
    clippy::disallowed_types,
    reason = "stderr is behind a lock anyway, and this one is held for nanoseconds"
)]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyperscale_core::Instant;
use tracing::{Level, Metadata};

/// Lines of one callsite in one window.
pub(super) const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// What the repeats of a callsite came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suppressed {
    pub(super) level: Level,
    pub(super) target: &'static str,
    /// File and line of the callsite, as its metadata names it.
    pub(super) callsite: &'static str,
    pub(super) lines: u32,
}

/// What is to be written now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the line itself is.
    pub(super) write: bool,
    /// And before it, of windows that are over.
    pub(super) overdue: Vec<Suppressed>,
}

#[derive(Debug)]
struct Row {
    began: Instant,
    written: u32,
    suppressed: Suppressed,
}

#[derive(Debug, Default)]
struct Rows {
    by_callsite: BTreeMap<usize, Row>,
    /// Rows with something left out; while zero, no other row is looked at.
    owing: usize,
}

#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<Rows>);

impl Repeats {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        // A panic while it was held left at worst a count behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges one line of a callsite.
    pub(super) fn admit(&self, metadata: &'static Metadata<'static>, now: Instant) -> Verdict {
        let mut rows = self.rows();
        let overdue = rows.settle(|row| now.since(row.began) >= WINDOW);
        // A callsite is its metadata, which never moves.
        let row = rows.by_callsite.entry(std::ptr::from_ref(metadata).addr()).or_insert_with(|| Row {
            began: now,
            written: 0,
            suppressed: Suppressed {
                level: *metadata.level(),
                target: metadata.target(),
                callsite: metadata.name(),
                lines: 0,
            },
        });
        if now.since(row.began) >= WINDOW {
            (row.began, row.written) = (now, 0);
        }
        let write = row.written < LINES_MAX;
        if write {
            row.written += 1;
        } else {
            row.suppressed.lines = row.suppressed.lines.saturating_add(1);
            let first = row.suppressed.lines == 1;
            rows.owing += usize::from(first);
        }
        Verdict { write, overdue }
    }

    /// All that was left out and not yet told.
    pub(super) fn take_all(&self) -> Vec<Suppressed> {
        self.rows().settle(|_| true)
    }
}

impl Rows {
    fn settle(&mut self, is_over: impl Fn(&Row) -> bool) -> Vec<Suppressed> {
        let mut settled = Vec::new();
        if self.owing == 0 {
            return settled;
        }
        for row in self.by_callsite.values_mut() {
            if row.suppressed.lines > 0 && is_over(row) {
                settled.push(row.suppressed);
                row.suppressed.lines = 0;
                self.owing -= 1;
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local!(static HEARD: RefCell<Vec<&'static Metadata<'static>>> = const { RefCell::new(Vec::new()) });

    struct Hear;
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Hear {
        fn on_event(&self, event: &tracing::Event<'_>, _context: tracing_subscriber::layer::Context<'_, S>) {
            HEARD.with_borrow_mut(|heard| heard.push(event.metadata()));
        }
    }

    /// Two callsites.
    fn callsites() -> [&'static Metadata<'static>; 2] {
        use tracing_subscriber::layer::SubscriberExt as _;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Hear), || {
            tracing::warn!("one");
            tracing::error!("other");
        });
        HEARD.with_borrow(|heard| [heard[0], heard[1]])
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn what_repeats_is_left_out_and_counted_a_second_later() {
        let ([one, _], repeats) = (callsites(), Repeats::default());
        let written = (0..130).filter(|_| repeats.admit(one, at(5)).write).count();
        assert_eq!(written, LINES_MAX as usize);
        assert!(!repeats.admit(one, at(1004)).write, "the window is not over");
        let next = repeats.admit(one, at(1005));
        assert!(next.write);
        assert_eq!(next.overdue.iter().map(|s| s.lines).collect::<Vec<_>>(), [121]);
        assert_eq!(repeats.admit(one, at(1006)), Verdict { write: true, overdue: Vec::new() });
    }

    #[test]
    fn callsites_do_not_silence_each_other_but_tell_of_each_other() {
        let ([one, other], repeats) = (callsites(), Repeats::default());
        for _ in 0..12 {
            repeats.admit(one, at(0));
        }
        assert!(repeats.admit(other, at(10)).write);
        // The first has fallen silent; the other's line brings its count out.
        let told = repeats.admit(other, at(1500)).overdue;
        assert_eq!(told.iter().map(|s| (s.level, s.lines)).collect::<Vec<_>>(), [(Level::WARN, 2)]);
    }

    #[test]
    fn the_end_tells_what_was_not_told() {
        let ([one, _], repeats) = (callsites(), Repeats::default());
        for _ in 0..15 {
            repeats.admit(one, at(0));
        }
        assert_eq!(repeats.take_all().iter().map(|s| s.lines).collect::<Vec<_>>(), [5]);
        assert_eq!(repeats.take_all(), []);
    }
}
