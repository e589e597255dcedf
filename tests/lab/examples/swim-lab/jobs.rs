//! Runs side by side on a few threads; results come in the order of the jobs.

use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) fn run<J: Sync, R: Send>(threads: usize, jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(index) else { break done };
                done.push((index, work(job)));
            }
        };
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    results.sort_by_key(|(index, _)| *index);
    assert!(results.len() == jobs.len(), "a run panicked");
    results.into_iter().map(|(_, result)| result).collect()
}
