//! 0.6 starting executors, 0.9 ports, 0.12 signals.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperscale_runtime::signals::{self, Signal, Signals};
use hyperscale_runtime::tcp::{ListenError, bind};
use hyperscale_runtime::{ShardOptions, StartError, start};

use crate::support::*;

fn try_start(options: &[ShardOptions]) -> (Result<(), StartError>, usize) {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let started = start(options, move |_shard| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let started = started.map(|shards| {
        shards.join(DRAIN).unwrap();
    });
    (started, ran.load(Ordering::SeqCst))
}

#[test]
fn one_shard_that_cannot_start_starts_none() {
    let _watch = watch("one_shard_that_cannot_start_starts_none");
    let before = idle_descriptors();
    let bad = ShardOptions { ring_depth: 1 << 16, ..ShardOptions::small() };
    let (started, ran) = try_start(&[ShardOptions::small(), bad, ShardOptions::small()]);
    assert!(matches!(started, Err(StartError::Executor { shard: 1, .. })), "{started:?}");
    assert_eq!(ran, 0);
    assert_eq!(idle_descriptors(), before);
    let (started, ran) = try_start(&options(2));
    assert!(started.is_ok());
    assert_eq!(ran, 2);
}

/// A thread that is taken off its CPU between arming its preempt timer and looking for tasks finds the timer fired. Here
/// it always has: what a shard starts with runs all the same, and its watchdog has whom to poke.
#[test]
fn a_shard_whose_first_turn_is_cut_short_starts() {
    let _watch = watch("a_shard_whose_first_turn_is_cut_short_starts");
    let late = ShardOptions { preempt_timer: Duration::from_nanos(1), ..ShardOptions::small() };
    for _ in 0..10 {
        let (started, ran) = try_start(&[late.clone(), late.clone()]);
        assert!(started.is_ok());
        assert_eq!(ran, 2);
    }
}

#[test]
fn a_core_the_process_may_not_use_is_refused_before_anything_starts() {
    let _watch = watch("a_core_the_process_may_not_use_is_refused_before_anything_starts");
    let (started, ran) = try_start(&[ShardOptions::small(), ShardOptions::pinned(4096)]);
    let refused = started.unwrap_err().to_string();
    assert!(refused.starts_with("core 4096 may not be used by this process; it may use "), "{refused}");
    assert_eq!(ran, 0);
    assert!(matches!(try_start(&[]), (Err(StartError::NoShards), 0)));
}

#[test]
fn a_pinned_shard_runs_on_its_core() {
    let _watch = watch("a_pinned_shard_runs_on_its_core");
    let core = hyperscale_runtime::preflight::allowed_cores().pop().unwrap();
    let pinned = ShardOptions { ring_depth: 256, ..ShardOptions::pinned(core) };
    let ran_on = start(&[pinned], |shard| async move {
        shard.sleep(Duration::from_millis(1)).await;
        // SAFETY: takes nothing, changes nothing.
        unsafe { libc::sched_getcpu() }
    });
    assert_eq!(ran_on.unwrap().join(DRAIN).unwrap(), [i32::try_from(core).unwrap()]);
}

#[test]
fn a_second_node_on_the_same_port_is_refused() {
    let _watch = watch("a_second_node_on_the_same_port_is_refused");
    let first = bind(loopback(), 2).unwrap();
    let addr = first[0].addr();
    for count in [1, 2] {
        let second = bind(addr, count);
        assert!(matches!(second, Err(ListenError::InUse(taken)) if taken == addr), "{second:?}");
    }
    drop(first);
    assert_eq!(bind(addr, 1).unwrap()[0].addr(), addr);
}

#[test]
fn a_port_is_free_again_although_old_connections_linger() {
    let _watch = watch("a_port_is_free_again_although_old_connections_linger");
    run_one(|shard| async move {
        let listener = bind(loopback(), 1).unwrap().remove(0).open(&shard);
        let addr = listener.addr();
        let client = TcpStream::connect(addr).unwrap();
        // The side that closes first keeps the port in TIME_WAIT.
        drop(listener.accept().await.unwrap());
        drop(listener);
        shard.sleep(Duration::from_millis(5)).await;
        drop(client);
        assert_eq!(bind(addr, 1).unwrap()[0].addr(), addr);
    });
}

#[test]
fn shards_of_one_node_share_its_port() {
    let _watch = watch("shards_of_one_node_share_its_port");
    const CLIENTS: usize = 64;
    let accepted = run_one(|shard| async move {
        let listeners = bind(loopback(), 2).unwrap();
        let addr = listeners[0].addr();
        let opened: Vec<_> = listeners.into_iter().map(|listener| listener.open(&shard)).collect();
        let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let mut accepted = BTreeMap::new();
        for (shard_id, listener) in opened.iter().enumerate() {
            while let Ok(Ok(_stream)) = shard.timeout(Duration::from_millis(20), listener.accept()).await {
                *accepted.entry(shard_id).or_insert(0) += 1;
            }
        }
        drop(clients);
        accepted
    });
    assert_eq!(accepted.values().sum::<usize>(), CLIENTS);
    assert_eq!(accepted.len(), 2, "one shard got all: {accepted:?}");
}

#[test]
fn no_socket_is_inherited_by_a_child() {
    let _watch = watch("no_socket_is_inherited_by_a_child");
    run_one(|shard| async move {
        let listener = bind(loopback(), 1).unwrap().remove(0).open(&shard);
        let _client = TcpStream::connect(listener.addr()).unwrap();
        let _accepted = listener.accept().await.unwrap();
        let mut sockets = 0;
        for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
            let is_socket = std::fs::read_link(entry.path())
                .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
            if is_socket {
                sockets += 1;
                let info = format!("/proc/self/fdinfo/{}", entry.file_name().to_string_lossy());
                let info = std::fs::read_to_string(info).unwrap();
                let flags =
                    info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
                let flags = i32::from_str_radix(&flags, 8).unwrap();
                assert_ne!(flags & libc::O_CLOEXEC, 0, "{info}");
            }
        }
        assert!(sockets >= 3, "{sockets} sockets");
    });
}

#[test]
fn a_signal_and_a_second_one_are_read() {
    let _watch = watch("a_signal_and_a_second_one_are_read");
    run_one(|shard| async move {
        signals::block().unwrap();
        let signals = Signals::open(&shard).unwrap();
        for (number, signal) in [
            (libc::SIGINT, Signal::Interrupt),
            (libc::SIGINT, Signal::Interrupt),
            (libc::SIGTERM, Signal::Terminate),
        ] {
            let none = shard.timeout(Duration::from_millis(5), signals.next()).await;
            assert!(none.is_err(), "{none:?}");
            // SAFETY: a signal that this thread blocks is sent to this thread.
            assert_eq!(unsafe { libc::raise(number) }, 0);
            let read = shard.timeout(Duration::from_secs(10), signals.next()).await;
            assert_eq!(read.unwrap().unwrap(), signal);
        }
    });
}
