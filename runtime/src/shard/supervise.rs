//! Watching over the shards of a node: joins them, notices one that stands still.
//!
//! The executor can go to sleep over tasks that could run (see `FIRST_TURN` in [`super::start`]), and a task that never
//! awaits cannot be interrupted. So each shard beats, and a thread of its own listens: a shard that misses its beats for
//! a second is logged and poked by a wake from outside, which has it look at its tasks again; one that stays still stops
//! the node.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Shard, ShardWork};
use crate::causes::Causes;
use crate::clock;
use crate::counters::{CounterValues, Counters};
use crate::stop::{Notice, Stop, StopReason};

/// Between two looks at the hearts.
const LOOK: Duration = Duration::from_millis(250);
/// Between two beats.
const BEAT: Duration = Duration::from_millis(250);
/// Looks without a beat until a shard counts as standing still: one second.
const STILL: u64 = 4;
/// Looks without a beat until the node gives a shard up: thirty seconds.
const LOST: u64 = 120;

/// Why a node did not end as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Something broke, and the node stopped.
    #[error("{0}")]
    Failed(StopReason),
    /// Shards had not ended when the time for it was over. Their threads are left behind.
    #[error("shards {shards:?} had not ended {waited:?} after the node was to stop")]
    NotEnded {
        /// Which.
        shards: Vec<usize>,
        /// How long they were given.
        waited: Duration,
    },
}

/// The running shards of a node. Ends only by [`Shards::join`]; dropping this leaves them running.
#[derive(Debug)]
#[must_use = "a node is ended by joining it"]
pub struct Shards<T> {
    pub(super) threads: Vec<JoinHandle<Option<T>>>,
    pub(super) counters: Vec<Arc<Counters>>,
    pub(super) work: Vec<ShardWork>,
    pub(super) causes: Arc<Causes>,
    pub(super) stop: Stop,
    pub(super) progress: mpsc::Receiver<Progress>,
}

impl<T> Shards<T> {
    /// The node's stop.
    #[must_use]
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The counters of all shards, summed.
    #[must_use]
    pub fn counters(&self) -> CounterValues {
        self.counters.iter().map(|shard| shard.values()).fold(CounterValues::default(), CounterValues::and)
    }

    /// How much each shard works, to be read while they run.
    #[must_use]
    pub fn work(&self) -> Vec<ShardWork> {
        self.work.clone()
    }

    /// What the node turned away, by cause.
    #[must_use]
    pub const fn causes(&self) -> &Arc<Causes> {
        &self.causes
    }

    /// Waits until every shard has ended by itself or by a stop, at most `drain` after a stop was requested; gives
    /// what their bodies gave, in order. Blocks the calling thread.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn join(self, drain: Duration) -> Result<Vec<T>, NodeError> {
        let ended = match self.progress.recv() {
            Ok(Progress::Stopping) => self.progress.recv_timeout(drain).is_ok(),
            // Without a watchdog nothing more is heard, and the threads tell for themselves.
            Ok(Progress::Ended) | Err(mpsc::RecvError) => true,
        };
        if !ended {
            let still = self.threads.iter().enumerate().filter(|(_, thread)| !thread.is_finished());
            return Err(NodeError::NotEnded { shards: still.map(|(id, _)| id).collect(), waited: drain });
        }
        // In the reverse order of their start; a panic was caught and is in the reason.
        let joined = self.threads.into_iter().rev().map(|thread| thread.join().ok().flatten());
        let mut results: Vec<Option<T>> = joined.collect();
        results.reverse();
        match self.stop.reason().filter(StopReason::is_failure) {
            Some(reason) => Err(NodeError::Failed(reason)),
            None => Ok(results.into_iter().flatten().collect()),
        }
    }
}

/// What [`Shards::join`] hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Stopping,
    Ended,
}

/// One shard's sign of life.
#[derive(Debug, Default)]
pub(super) struct Heart {
    beats: AtomicU64,
    /// Of the task that beats. Kept, not taken at the first poke: a shard that slept over its tasks may do so again, with
    /// this one among them.
    waker: OnceLock<Waker>,
}

impl Heart {
    /// The shard's part: a task that beats until it is cancelled.
    pub(super) async fn beat(self: Arc<Self>, shard: Shard) {
        loop {
            self.beats.fetch_add(1, Ordering::Relaxed);
            shard.beat();
            let mut polled = false;
            // A poke is just an early beat.
            let poked = poll_fn(|cx| {
                // A task has one waker all its life.
                let _known = self.waker.get_or_init(|| cx.waker().clone());
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            });
            futures_lite::future::or(shard.sleep(BEAT), poked).await;
        }
    }

    /// From another thread: has the shard turn its loop once more.
    fn poke(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

/// The thread beside the shards.
pub(super) struct Watchdog {
    pub(super) hearts: Vec<(Arc<Heart>, Arc<Counters>)>,
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) progress: mpsc::Sender<Progress>,
    pub(super) stop: Stop,
}

/// What the watchdog knows of one shard.
#[derive(Debug, Default, Clone, Copy)]
struct Pulse {
    beats: u64,
    /// Looks since the last beat. Looks, not time: while the process itself is stopped nobody is late.
    missed: u64,
    ended: bool,
}

impl Watchdog {
    /// Looks on until all shards have ended.
    pub(super) fn run(self) {
        let mut pulses = vec![Pulse::default(); self.hearts.len()];
        let mut next_look = clock::now() + LOOK;
        while pulses.iter().any(|pulse| !pulse.ended) {
            match self.notices.recv_timeout(next_look.since(clock::now())) {
                Ok(Notice::Ended(shard)) => {
                    if let Some(pulse) = pulses.get_mut(shard) {
                        pulse.ended = true;
                    }
                }
                Ok(Notice::Stopping) => {
                    let _nobody_joins = self.progress.send(Progress::Stopping);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.look(&mut pulses);
                    next_look = clock::now() + LOOK;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let _nobody_joins = self.progress.send(Progress::Ended);
    }

    fn look(&self, pulses: &mut [Pulse]) {
        for (shard, (pulse, (heart, counters))) in pulses.iter_mut().zip(&self.hearts).enumerate() {
            let beats = heart.beats.load(Ordering::Relaxed);
            if pulse.ended || beats != pulse.beats {
                *pulse = Pulse { beats, missed: 0, ..*pulse };
                continue;
            }
            pulse.missed = pulse.missed.saturating_add(1);
            if pulse.missed == STILL {
                counters.loop_stalls.add(1);
                tracing::warn!(shard, "the shard's loop has stood still for a second; poking it");
            }
            if pulse.missed >= STILL {
                heart.poke();
            }
            if pulse.missed == LOST {
                let shard = u16::try_from(shard).unwrap_or(u16::MAX);
                self.stop.request(StopReason::ShardStalled { shard, seconds: LOST / 4 });
            }
        }
    }
}
