//! Frames and datagrams pass through a driver without an allocation each.
//!
//! The executor allocates for each wait, the driver for none of its frames: in a burst there are far more frames than
//! waits.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    unsafe_code,
    reason = "counts what an allocator is asked for; its peer is a plain blocking socket"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hyperscale_codec::messages::Goodbye;
use hyperscale_codec::{Encoder, Head, NodeId, Role};
use hyperscale_core::{Core, DatagramPort, Effects, Event, Instant};
use hyperscale_runtime::udp::bind_ports;
use hyperscale_runtime::{Guard, NodeConfig, NodeDriver, ShardOptions, start};

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

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ending = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Sends every frame and datagram back as it came.
#[derive(Default)]
struct Mirror {
    frames: u64,
    datagrams: u64,
}

enum Never {}

impl Core for Mirror {
    type Local = ();
    type Command = Never;

    fn handle(&mut self, _now: Instant, event: Event<'_, ()>, effects: &mut Effects<Never>) {
        if let Event::Frame { link, frame } = event {
            self.frames += 1;
            effects.forward(link, frame.bytes);
        } else if let Event::Datagram { port, from, bytes } = event {
            self.datagrams += 1;
            effects.datagram(port, from, bytes);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// Greets, then sends `frame` so many times in bursts and reads as much back.
fn client(addr: SocketAddr, frame: &[u8], bursts: usize, burst: usize) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let mut answer = [0; 1024];
    stream.write_all(&greeting()).unwrap();
    assert!(stream.read(&mut answer).unwrap() > 80);
    let bytes = frame.repeat(burst);
    let mut back = vec![0; bytes.len()];
    for _ in 0..bursts {
        stream.write_all(&bytes).unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, bytes);
    }
}

fn greeting() -> Vec<u8> {
    use hyperscale_codec::{Features, Hello, ProtocolVersion, ShardId, Verdict};
    let mut bytes = Vec::new();
    Hello {
        verdict: Verdict::Welcome,
        role: Role::Client,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 1,
        features: Features::default(),
        node: NodeId(2),
        boot: 1,
        core_max: 4 << 20,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: "client".to_owned(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
    .encode(&mut bytes);
    bytes
}

#[test]
fn a_burst_of_frames_costs_fewer_allocations_than_a_twentieth_of_its_frames() {
    let mut frame = Vec::new();
    let word = Goodbye { code: 0, text: "a statistic of some length".to_owned(), retry_after_ms: 0 };
    Encoder::default().append(&mut frame, Head::default(), &word).unwrap();
    const BURST: usize = 512;
    let counted = start(&[ShardOptions::small()], move |shard| {
        let frame = frame.clone();
        async move {
            let mut config = NodeConfig::new(Role::Gate, NodeId(1), "gate");
            config.listen = Some(([127, 0, 0, 1], 0).into());
            let node =
                NodeDriver::start(&shard, config, Mirror::default(), |never, _cx| match never {}).unwrap();
            let addr = node.addr().unwrap();
            let run = |bursts| {
                let frame = frame.clone();
                shard.blocking(move || client(addr, &frame, bursts, BURST))
            };
            // Buffers grow to the burst's size once.
            run(4).await.unwrap();
            let before = ALLOCATIONS.with(Cell::get);
            run(100).await.unwrap();
            let allocations = ALLOCATIONS.with(Cell::get) - before;
            let frames = node.with_core(|core| core.frames);
            node.stop().await;
            (frames, allocations)
        }
    });
    let (frames, allocations) = counted.unwrap().join(Duration::from_secs(20)).unwrap()[0];
    assert_eq!(frames, 104 * BURST as u64);
    assert!(allocations < 100 * BURST as u64 / 20, "{allocations} allocations for {} frames", 100 * BURST);
}

/// What is allocated while `bursts` bursts of datagrams come and go. All of a burst wait before the shard gets a turn.
fn allocated(bursts: usize, burst: usize) -> u64 {
    let counted = start(&[ShardOptions::small()], move |shard| async move {
        let (listeners, ports) = bind_ports(([127, 0, 0, 1], 0).into(), 1).unwrap();
        let config = NodeConfig::new(Role::Gate, NodeId(1), "gate");
        let commands = |never: Never, _cx: &mut hyperscale_runtime::CommandCx<'_, ()>| match never {};
        let node = NodeDriver::start_on(
            &shard,
            config,
            listeners,
            ports,
            Guard::new(Role::Gate),
            Mirror::default(),
            commands,
        );
        let to = node.datagram_addr(DatagramPort::Membership).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_nonblocking(true).unwrap();
        let (mut before, mut back) = (0, [0; 2000]);
        // The first bursts have buffers grow.
        for sent in 1..=bursts + 10 {
            if sent == 11 {
                before = ALLOCATIONS.with(Cell::get);
            }
            for _ in 0..burst {
                peer.send_to(&[7; 1_400], to).unwrap();
            }
            while node.with_core(|core| core.datagrams) < (sent * burst) as u64 {
                shard.sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..burst {
                assert_eq!(peer.recv(&mut back).unwrap(), 1_400);
            }
        }
        let allocations = ALLOCATIONS.with(Cell::get) - before;
        node.stop().await;
        allocations
    });
    counted.unwrap().join(Duration::from_secs(20)).unwrap()[0]
}

#[test]
fn a_datagram_costs_no_allocation() {
    const BURSTS: usize = 100;
    let (one, many) = (allocated(BURSTS, 1), allocated(BURSTS, 48));
    // A burst costs its waits, however many come with it: now and then one more for the test's own sleep.
    assert!(many < one + BURSTS as u64, "{many} allocations for bursts of 48, {one} for bursts of one");
}
