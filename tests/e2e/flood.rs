//! Clients that ask a gate for more than it can answer, by hand: they know the protocol and no manners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use hyperscale_codec::messages::{ErrorReply, JobStatusRequest};
use hyperscale_codec::{ErrorCode, Head, JobId, Kind, RawFrame};

use crate::raw_client::RawLink;

/// What the answers to all questions were.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The gate looked, and knows no such job.
    pub(crate) answered: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) limited: AtomicU64,
}

impl Answers {
    pub(crate) fn all(&self) -> u64 {
        let all = [&self.answered, &self.overloaded, &self.limited];
        all.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn count(&self, frame: &RawFrame<'_>) {
        let told = match frame.kind() {
            Some(Kind::RateLimitResponse) => &self.limited,
            Some(Kind::ErrorReply) => {
                let told = frame.to_owned::<ErrorReply>(&mut Vec::new()).unwrap();
                match ErrorCode::from_wire(told.code) {
                    Some(ErrorCode::Overloaded) => &self.overloaded,
                    Some(ErrorCode::UnknownJob) => &self.answered,
                    other => panic!("{other:?}: {}", told.message),
                }
            }
            other => panic!("{other:?} is no answer to a question about a job"),
        };
        told.fetch_add(1, Ordering::Relaxed);
    }
}

/// Connections that ask on and on from one thread; each keeps so many questions open.
pub(crate) struct Flood {
    pub(crate) answers: Arc<Answers>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn start(gate: &str, connections: u64, open: usize) -> Self {
        let (answers, stop) = (Arc::<Answers>::default(), Arc::<AtomicBool>::default());
        let mut links: Vec<(JobId, RawLink)> = (1..=connections)
            .map(|at| (JobId(u128::from(at)), RawLink::client(gate, u128::from(at) + 1_000_000)))
            .collect();
        let (counted, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
        let flood = move || {
            while !stopped.load(Ordering::Relaxed) {
                // All ask before any listens, so that all wait at once.
                for (job, link) in &mut links {
                    for _ in 0..open {
                        let question = JobStatusRequest { job: job.to_bytes() };
                        link.queue(Head::request(1).job(*job), &question);
                    }
                    link.flush();
                }
                for (_, link) in &mut links {
                    for _ in 0..open {
                        assert!(link.hear(|frame| counted.count(&frame)).is_some(), "the gate hung up");
                    }
                }
            }
        };
        let thread = std::thread::spawn(flood);
        Self { answers, stop, thread: Some(thread) }
    }

    /// Hangs up.
    pub(crate) fn stop(mut self) -> Arc<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        Arc::clone(&self.answers)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
