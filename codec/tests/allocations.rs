//! A warm codec allocates nothing: encoding, reading frames, decoding in place and merging histograms from the
//! receive buffer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hyperscale_codec::messages::{JobStatusPush, StatsColumns, StatsUpdate};
use hyperscale_codec::{Encoder, Extensions, FrameReader, Head, HeadPatch, Hist, JobId, Limits, ShardId};

thread_local! {
    /// Of this thread alone, so that the test harness's own threads do not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that is ending has no counter any more; what it allocates is not ours.
    let _counted = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed to the system's allocator with the caller's own arguments, so its guarantees are
// ours. Counting touches a thread-local without a destructor and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `pointer` came from `System` through this allocator; the promise about `size` is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work` until it is warm, then once more; allocations of the last run.
fn allocations(mut work: impl FnMut()) -> u64 {
    for _ in 0..3 {
        work();
    }
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn columns() -> StatsColumns {
    let mut hist = Hist::new();
    (0..500_u64).for_each(|i| hist.record(i * i * 999));
    let sparse = hist.to_sparse();
    StatsColumns {
        window_ms: 1000,
        source_worker: vec![[1; 16]],
        source_shard: vec![0],
        source_epoch: vec![1],
        source_sequence: vec![1],
        source_cells: vec![2],
        cell_source: vec![0, 0],
        cell_workflow: vec![0, 0],
        cell_step: vec![0, 1],
        count: vec![500, 500],
        errors: vec![0, 0],
        cancelled: vec![0, 0],
        dropped: vec![0, 0],
        due: vec![0, 0],
        started: vec![0, 0],
        late: vec![0, 0],
        bytes_in: vec![0, 0],
        bytes_out: vec![0, 0],
        in_flight: vec![0, 0],
        latency: vec![sparse.clone(), sparse.clone()],
        service: vec![sparse.clone(), sparse.clone()],
        lateness: vec![sparse.clone(), sparse.clone()],
        connect: vec![sparse.clone(), sparse],
        ..StatsColumns::default()
    }
}

fn push() -> JobStatusPush {
    JobStatusPush {
        job: [1; 16],
        fence_token: 1,
        seq: 1,
        state: 4,
        from_ms: 0,
        to_ms: 1000,
        requests: 1,
        errors: 0,
        dropped: 0,
        bytes_in: 0,
        p50_ns: 0,
        p99_ns: 0,
        max_ns: 0,
        lateness_p99_ns: 0,
        total_requests: 1,
        total_errors: 0,
        in_flight: 0,
        events: vec![],
        latency: None,
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))), 1);
}

#[test]
fn a_warm_encoder_allocates_nothing() {
    let (update, push) = (StatsUpdate(columns()), push());
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    let extensions = Extensions { deadline_ms: Some(5), ..Extensions::default() };
    let counted = allocations(|| {
        out.clear();
        for _ in 0..10 {
            encoder.append(&mut out, Head::default().job(JobId(1)), &update).unwrap();
            encoder.append_with(&mut out, Head::request(1), &extensions, &push).unwrap();
        }
    });
    assert_eq!(counted, 0);
}

#[test]
fn reading_checking_and_merging_from_the_receive_buffer_allocates_nothing() {
    let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
    for _ in 0..10 {
        encoder.append(&mut bytes, Head::default(), &StatsUpdate(columns())).unwrap();
    }
    let (mut reader, mut scratch, mut hist) = (FrameReader::new(), Vec::new(), Hist::new());
    let (mut merged, mut onward) = (0, Vec::with_capacity(bytes.len()));
    let counted = allocations(|| {
        // Pieces that cut frames, as a socket does.
        for piece in bytes.chunks(5000) {
            reader.feed(piece);
            while let Some(frame) = reader.next(&Limits::default()).unwrap() {
                frame.extensions().unwrap();
                let update = frame.decode::<StatsUpdate>(&mut scratch).unwrap();
                update.0.check().unwrap();
                for sparse in update.0.latency.iter().chain(update.0.service.iter()) {
                    hist.merge_archived(sparse).unwrap();
                    merged += 1;
                }
                onward.clear();
                frame.forward(&mut onward, HeadPatch::new(ShardId::ANY, 1)).unwrap();
            }
        }
        std::hint::black_box(hist.quantile_ppm(990_000));
    });
    assert_eq!((counted, merged), (0, 4 * 10 * 4));
}

#[test]
fn recording_and_merging_flat_histograms_allocates_nothing() {
    let (mut one, mut sum) = (Hist::new(), Hist::new());
    let counted = allocations(|| {
        (0..1000).for_each(|i| one.record(i * 12_345));
        sum.merge(&one);
        one.clear();
    });
    assert_eq!((counted, sum.count()), (0, 4000));
}
