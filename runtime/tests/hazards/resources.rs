//! 0.10 descriptors and locked memory.

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use hyperscale_runtime::tcp::bind;
use hyperscale_runtime::{Cause, preflight, start};

use crate::support::*;

/// Sets a soft limit; gives the one before.
fn limit(resource: libc::__rlimit_resource_t, soft: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the write, and then for the read.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = soft.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
        before
    }
}

fn limit_files(soft: u64) -> u64 {
    limit(libc::RLIMIT_NOFILE, soft)
}

#[test]
fn too_little_locked_memory_is_refused_with_what_to_do() {
    let _watch = watch("too_little_locked_memory_is_refused_with_what_to_do");
    let before = limit(libc::RLIMIT_MEMLOCK, 64 << 10);
    let checked = preflight::check_memlock(2);
    let started = start(&options(2), |shard| async move { shard.id() }).map(drop);
    limit(libc::RLIMIT_MEMLOCK, before);
    for refused in [checked.unwrap_err().to_string(), started.unwrap_err().to_string()] {
        assert!(refused.contains("raise `ulimit -l` or systemd `LimitMEMLOCK=`"), "{refused}");
    }
    assert_eq!(run(1, |shard| async move { shard.id() }), Ok(vec![0]));
}

#[test]
fn out_of_descriptors_does_not_spin() {
    let _watch = watch("out_of_descriptors_does_not_spin");
    const CALLERS: usize = 4;
    run_one(|shard| async move {
        let listener = bind(loopback(), 1).unwrap().remove(0).open(&shard);
        let mut callers: Vec<_> =
            (0..CALLERS).map(|_| TcpStream::connect(listener.addr()).unwrap()).collect();
        let late = TcpStream::connect(listener.addr()).unwrap();
        let before = limit_files(u64::try_from(descriptors()).unwrap() + 8);
        let mut filling = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            filling.push(file);
        }
        // Each caller is turned away after a rest, so nobody waits in vain and no core burns.
        let time = Duration::from_millis(50 * CALLERS as u64 - 25);
        let started = shard.now();
        assert!(shard.timeout(time, listener.accept()).await.is_err());
        let rested = shard.now().since(started);
        let failures = shard.counters().accept_failures.get();
        drop(filling);
        limit_files(before);
        let allowed = u64::try_from(rested.as_millis() / 50).unwrap() + 1;
        assert!((1..=allowed).contains(&failures), "{failures} failures in {rested:?}");
        assert_eq!(shard.causes().get(Cause::NoDescriptor), failures);
        // With room again, callers get in.
        let accepted = shard.timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
        let turned_away = &mut callers[0];
        turned_away.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let heard = turned_away.read(&mut [0]);
        assert!(matches!(heard, Ok(0)) || heard.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock));
        drop((accepted, late));
    });
}
