//! A warm node allocates nothing for its probes and answers; a list of 1,000 members takes under 1 MB, and many nodes
//! share one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail where it stands")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_codec::{NodeId, Role};
use hyperscale_core::Instant;
use hyperscale_swim::{DatagramPort, Input, MemberCard, Outbox, Output, SharedMembers, Swim, SwimConfig};

thread_local! {
    /// Of this thread alone, so that the test harness's own threads do not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn count(allocations: u64, bytes: i64) {
    // A thread that is ending has no counter any more; what it allocates is not ours.
    let _counted = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
    let _counted = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call is passed to the system's allocator with the caller's own arguments, so its guarantees are
// ours. Counting touches thread-locals without a destructor and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: `pointer` came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: `pointer` came from `System` through this allocator; the promise about `size` is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn card(at: u64) -> MemberCard {
    let addr = SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 7_000));
    MemberCard { node: NodeId(u128::from(at) + 1), boot: 1, addr, oob_port: 7_001, role: Role::Worker }
}

fn group(size: u64) -> (SharedMembers, Vec<Swim>) {
    let shared = SharedMembers::new((0..size).map(card), Instant(0));
    let nodes = (0..size)
        .map(|at| Swim::with_members(SwimConfig::lan(), card(at), at, Instant(0), &shared))
        .collect();
    (shared, nodes)
}

/// Runs a group without delay or loss; datagrams handled.
fn run(nodes: &mut [Swim], out: &mut [Outbox; 2], now: &mut Instant, duration: Duration) -> u64 {
    let end = *now + duration;
    let mut handled = 0;
    while *now < end {
        let due = |swim: &Swim| swim.next_deadline().unwrap_or(Instant::MAX);
        let at = (0..nodes.len()).min_by_key(|&at| due(&nodes[at])).unwrap();
        *now = (*now).max(due(&nodes[at]));
        let [first, second] = out;
        first.clear();
        nodes[at].handle(*now, Input::Timer, first);
        let mut from = card(at as u64).addr;
        let (mut given, mut made) = (first, second);
        // Ping, answer, and nothing after that.
        while !given.is_empty() {
            made.clear();
            for output in given.list() {
                let Output::Datagram { to, range, port: DatagramPort::Membership } = output else { continue };
                let SocketAddr::V4(v4) = to else { continue };
                let [_, _, high, low] = v4.ip().octets();
                let to_at = usize::from(high) << 8 | usize::from(low);
                let bytes = given.bytes(range.clone());
                nodes[to_at].handle(*now, Input::Datagram { from, bytes }, made);
                from = *to;
                handled += 1;
            }
            std::mem::swap(&mut given, &mut made);
        }
    }
    handled
}

#[test]
fn a_warm_group_allocates_nothing() {
    let (_shared, mut nodes) = group(32);
    let mut out = [Outbox::new(), Outbox::new()];
    let mut now = Instant(1);
    for swim in &mut nodes {
        let word = HealthPiggyback { accepting_work: true, capacity: 3, ..HealthPiggyback::default() };
        swim.handle(now, Input::OwnHealth(word), &mut out[0]);
    }
    run(&mut nodes, &mut out, &mut now, Duration::from_secs(60));
    let before = ALLOCATIONS.get();
    let handled = run(&mut nodes, &mut out, &mut now, Duration::from_secs(60));
    let allocated = ALLOCATIONS.get() - before;
    println!("{handled} datagrams handled, {allocated} allocations");
    assert!(handled > 32 * 2 * 2 * 50);
    assert_eq!(allocated, 0);
}

#[test]
fn a_list_of_a_thousand_members_takes_less_than_a_megabyte() {
    let before = HELD.get();
    let mut swim = Swim::new(SwimConfig::lan(), card(0), 1, Instant(0));
    let mut out = Outbox::new();
    let mut cards = Swim::new(SwimConfig::lan(), card(60_000), 1, Instant(0));
    for at in 1..=1_000 {
        cards.handle(Instant(1), Input::Seen { card: card(at) }, &mut out);
        out.clear();
    }
    let mut list = Vec::new();
    cards.push_pull(Instant(1), &mut list);
    drop((cards, out));
    let mut out = Outbox::new();
    swim.handle(Instant(1), Input::PushPull { bytes: &list }, &mut out);
    let on_wire = list.len();
    drop((list, out));
    let held = HELD.get() - before + size_of::<Swim>() as i64;
    assert_eq!(swim.live(), 1_001);
    println!("1,000 members: {held} bytes held with all updates waiting, {on_wire} on the wire");
    assert!(held < 1_000_000);
}

#[test]
fn nodes_of_one_base_share_it() {
    let (shared, mut nodes) = (SharedMembers::new((0..10_000).map(card), Instant(0)), Vec::new());
    let before = HELD.get();
    nodes.extend((0..100).map(|at| Swim::with_members(SwimConfig::lan(), card(at), at, Instant(0), &shared)));
    let each = (HELD.get() - before) / 100;
    println!("one of many nodes with 10,000 members: {each} bytes");
    assert!(each < 16_384);
}
