//! Deadlines of workers with work, and who has none left (26-3).
//!
//! In: work given, completed units of progress, requests, the time. Out: an answer for each request, and who is to
//! be evicted. A heartbeat resets nothing: a frozen step in a process that answers pings would live for ever. At
//! most 16,384 workers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hyperscale_codec::NodeId;
use hyperscale_core::Instant;

use crate::extension::{Denial, ExtensionConfig, ExtensionTracker, ReportedProgress};
use crate::signals::SignalRow;

/// Workers at most; one more is not watched, so it is never evicted for want of progress.
const WORKERS_MAX: usize = 16_384;
/// So many refusals in a row for want of progress end a worker's time.
const DENIALS_MAX: u32 = 3;
/// After the last extension was granted there is so much time at least.
const GRACE: Duration = Duration::from_secs(10);

/// Why a worker's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// It asked three times without progress.
    NoProgress,
    /// It used all extensions.
    UsedUp,
    /// It did not ask, or not again.
    Silent,
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProgress => "it asked for time three times without progress",
            Self::UsedUp => "all its extensions are used up",
            Self::Silent => "its time is over, and it asked for no more",
        })
    }
}

/// The answer to a request for time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionAnswer {
    /// By how much the deadline moved.
    pub granted: Result<Duration, Denial>,
    /// How long until the deadline.
    pub left: Duration,
    pub remaining: u32,
}

impl ExtensionAnswer {
    /// One more, and there is none.
    #[must_use]
    pub const fn is_last_but_one(&self) -> bool {
        self.granted.is_ok() && self.remaining == 1
    }
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    tracker: ExtensionTracker,
    /// When its last unit of progress was completed, or work given.
    progressed: Instant,
    deadline: Instant,
    denials: u32,
    last_grant: Option<Instant>,
}

impl Watched {
    fn new(now: Instant, config: &ExtensionConfig) -> Self {
        Self {
            tracker: ExtensionTracker::default(),
            progressed: now,
            deadline: now + config.base_deadline,
            denials: 0,
            last_grant: None,
        }
    }

    /// When its time is over, if nothing more happens, and why.
    fn over(&self, config: &ExtensionConfig) -> (Instant, Overdue) {
        if self.tracker.remaining(config) > 0 {
            return (self.deadline, Overdue::Silent);
        }
        let graced = self.last_grant.map_or(self.deadline, |at| at + GRACE);
        (self.deadline.max(graced), Overdue::UsedUp)
    }
}

/// The workers with work of one manager.
#[derive(Debug, Clone, Default)]
pub struct WorkerHealthManager {
    config: ExtensionConfig,
    workers: BTreeMap<NodeId, Watched>,
}

impl WorkerHealthManager {
    /// With other times than the usual.
    #[must_use]
    pub const fn new(config: ExtensionConfig) -> Self {
        Self { config, workers: BTreeMap::new() }
    }

    /// The worker has work: its time runs from now, unless it ran already.
    pub fn on_worker_working(&mut self, now: Instant, worker: NodeId) {
        if self.workers.len() < WORKERS_MAX || self.workers.contains_key(&worker) {
            self.workers.entry(worker).or_insert_with(|| Watched::new(now, &self.config));
        }
    }

    /// The worker has no work, or is gone.
    pub fn on_worker_removed(&mut self, worker: NodeId) {
        self.workers.remove(&worker);
    }

    /// A unit of progress was completed, not merely a ping answered: its time runs anew, and all extensions are back.
    pub fn on_worker_healthy(&mut self, now: Instant, worker: NodeId) {
        if let Some(watched) = self.workers.get_mut(&worker) {
            *watched = Watched::new(now, &self.config);
        }
    }

    /// A worker asks for time. `suspect`: it is taken for lost, or was evicted.
    pub fn handle_extension_request(
        &mut self,
        now: Instant,
        worker: NodeId,
        progress: ReportedProgress,
        suspect: bool,
    ) -> ExtensionAnswer {
        let config = self.config;
        let Some(watched) = self.workers.get_mut(&worker) else {
            return ExtensionAnswer { granted: Err(Denial::Unknown), left: Duration::ZERO, remaining: 0 };
        };
        let half = watched.deadline.since(watched.progressed) / 2;
        let granted = if !progress.is_valid() {
            Err(Denial::Invalid)
        } else if suspect {
            Err(Denial::Suspect)
        } else if now.since(watched.progressed) < half {
            Err(Denial::TooEarly)
        } else {
            watched.tracker.request_extension(&config, progress)
        };
        match granted {
            Ok(grant) => {
                (watched.deadline, watched.denials) = (watched.deadline + grant, 0);
                watched.last_grant = Some(now);
            }
            Err(Denial::NoProgress) => watched.denials = watched.denials.saturating_add(1),
            Err(
                Denial::Unknown
                | Denial::Invalid
                | Denial::Suspect
                | Denial::TooEarly
                | Denial::MaxExtensions,
            ) => {}
        }
        let remaining = watched.tracker.remaining(&config);
        ExtensionAnswer { granted, left: watched.deadline.since(now), remaining }
    }

    /// Whether the worker's time is over. The tracker's rules on evictions apply on top.
    #[must_use]
    pub fn should_evict_worker(&self, now: Instant, worker: NodeId) -> Option<Overdue> {
        let watched = self.workers.get(&worker)?;
        if watched.denials >= DENIALS_MAX {
            return Some(Overdue::NoProgress);
        }
        let (over, why) = watched.over(&self.config);
        (over <= now).then_some(why)
    }

    /// All whose time is over.
    pub fn overdue(&self, now: Instant) -> impl Iterator<Item = (NodeId, Overdue)> {
        self.workers.keys().filter_map(move |node| Some((*node, self.should_evict_worker(now, *node)?)))
    }

    /// When the next worker's time is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.workers.values().map(|watched| watched.over(&self.config).0).min()
    }

    /// How the worker stands, for people.
    #[must_use]
    pub fn explain(&self, now: Instant, worker: NodeId) -> Vec<SignalRow> {
        let Some(watched) = self.workers.get(&worker) else { return Vec::new() };
        let (over, _) = watched.over(&self.config);
        let value = format!(
            "last unit of progress {:.1} s ago, {:.1} s left, {} of {} extensions used",
            now.since(watched.progressed).as_secs_f64(),
            over.since(now).as_secs_f64(),
            watched.tracker.extension_count,
            self.config.max_extensions,
        );
        vec![SignalRow::new("deadline", value, over > now && watched.denials < DENIALS_MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: NodeId = NodeId(7);

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn progress(fraction: f32) -> ReportedProgress {
        ReportedProgress { fraction, completed_items: None }
    }

    fn working() -> WorkerHealthManager {
        let mut health = WorkerHealthManager::default();
        health.on_worker_working(Instant::ZERO, WORKER);
        health
    }

    #[test]
    fn a_worker_that_never_asks_has_thirty_seconds() {
        let health = working();
        assert_eq!(health.should_evict_worker(at(29_999), WORKER), None);
        assert_eq!(health.should_evict_worker(at(30_000), WORKER), Some(Overdue::Silent));
        assert_eq!(health.overdue(at(30_000)).count(), 1);
        assert_eq!(health.next_deadline(), Some(at(30_000)));
    }

    #[test]
    fn the_deadline_moves_by_the_grant_exactly_and_never_past_two_more_bases() {
        let mut health = working();
        let mut deadline = 30_000;
        for (step, grant) in (1_u8..).zip([30_000, 15_000, 7_500, 3_750, 1_875]) {
            let now = at(deadline / 2);
            let answer = health.handle_extension_request(now, WORKER, progress(f32::from(step) / 8.0), false);
            assert_eq!(answer.granted, Ok(Duration::from_millis(grant)));
            deadline += grant;
            assert_eq!(now + answer.left, at(deadline));
            assert_eq!((answer.remaining, answer.is_last_but_one()), (5 - u32::from(step), step == 4));
        }
        assert_eq!(deadline, 88_125);
        let sixth = health.handle_extension_request(at(60_000), WORKER, progress(1.0), false);
        assert_eq!(sixth.granted, Err(Denial::MaxExtensions));
        assert_eq!(health.should_evict_worker(at(88_124), WORKER), None);
        assert_eq!(health.should_evict_worker(at(88_125), WORKER), Some(Overdue::UsedUp));
    }

    #[test]
    fn a_last_extension_taken_late_leaves_some_grace() {
        let mut health = working();
        for (step, now) in (1_u8..).zip([29_000, 59_000, 74_000, 82_000, 86_000]) {
            assert!(
                health
                    .handle_extension_request(at(now), WORKER, progress(f32::from(step) / 8.0), false)
                    .granted
                    .is_ok()
            );
        }
        assert_eq!(health.should_evict_worker(at(95_999), WORKER), None);
        assert_eq!(health.should_evict_worker(at(96_000), WORKER), Some(Overdue::UsedUp));
    }

    #[test]
    fn three_refusals_for_want_of_progress_end_it_and_a_grant_between_forgives() {
        let mut health = working();
        let mut ask =
            |ms, fraction| health.handle_extension_request(at(ms), WORKER, progress(fraction), false).granted;
        assert!(ask(15_000, 0.5).is_ok());
        assert_eq!([ask(31_000, 0.5), ask(32_000, 0.5)], [Err(Denial::NoProgress); 2]);
        assert!(ask(33_000, 0.6).is_ok());
        assert_eq!([ask(40_000, 0.6), ask(41_000, 0.6)], [Err(Denial::NoProgress); 2]);
        assert_eq!(ask(42_000, 0.6), Err(Denial::NoProgress));
        assert_eq!(health.should_evict_worker(at(42_000), WORKER), Some(Overdue::NoProgress));
        assert!(!health.explain(at(42_000), WORKER)[0].ok);
    }

    #[test]
    fn what_is_too_early_invalid_suspect_or_unknown_counts_for_nothing() {
        let mut health = working();
        let mut ask = |ms, fraction, suspect| {
            health.handle_extension_request(at(ms), WORKER, progress(fraction), suspect).granted
        };
        assert_eq!(ask(14_999, 0.1, false), Err(Denial::TooEarly));
        for nonsense in [f32::NAN, -0.1, 1.1, f32::INFINITY] {
            assert_eq!(ask(15_000, nonsense, false), Err(Denial::Invalid));
        }
        assert_eq!(ask(15_000, 0.1, true), Err(Denial::Suspect));
        assert_eq!(ask(15_000, 0.1, false), Ok(Duration::from_secs(30)));
        let stranger = health.handle_extension_request(at(15_000), NodeId(8), progress(0.1), false);
        assert_eq!(stranger.granted, Err(Denial::Unknown));
    }

    #[test]
    fn a_completed_unit_gives_all_back_and_no_work_has_no_deadline() {
        let mut health = working();
        health.handle_extension_request(at(15_000), WORKER, progress(0.5), false);
        health.on_worker_healthy(at(50_000), WORKER);
        assert_eq!(health.next_deadline(), Some(at(80_000)));
        health.on_worker_working(at(60_000), WORKER);
        assert_eq!(health.next_deadline(), Some(at(80_000)), "more work is no progress");
        let answer = health.handle_extension_request(at(65_000), WORKER, progress(0.5), false);
        assert_eq!(answer.granted, Ok(Duration::from_secs(30)));
        health.on_worker_removed(WORKER);
        assert_eq!((health.next_deadline(), health.should_evict_worker(at(999_999), WORKER)), (None, None));
    }
}
