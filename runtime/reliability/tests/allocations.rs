//! What a detector costs each tick, and a shard each request: no allocation.
#![allow(clippy::unwrap_used, unsafe_code, reason = "a test: it counts what an allocator is asked for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hyperscale_core::Instant;
use hyperscale_reliability::{HybridOverloadDetector, OverloadConfig};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes every call on to the system's allocator, and counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ending = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

#[test]
fn an_input_and_a_tick_allocate_nothing() {
    let mut detector = HybridOverloadDetector::new(OverloadConfig::default()).unwrap();
    let before = allocations();
    let mut worst = detector.state();
    for tick in 0..10_000_u32 {
        let now = Instant(u64::from(tick) * 100_000_000);
        detector.record_latency(now, f64::from(tick % 700));
        worst = worst.max(detector.get_state(now, f64::from(tick % 100), 50.0));
        let _for_metrics = detector.reading();
    }
    assert_eq!((allocations() - before, worst.to_wire()), (0, 3));
}
