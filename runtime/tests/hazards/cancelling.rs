//! 0.1 dropped I/O futures, 0.8 tasks left at the end, 0.14 the last words on a connection.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperscale_runtime::tcp::{Listener, Stream, bind};
use hyperscale_runtime::{Shard, TaskKind};

use crate::support::*;

fn listen(shard: &Shard) -> Listener {
    bind(loopback(), 1).unwrap().remove(0).open(shard)
}

/// Both ends of one connection.
async fn pair(shard: &Shard) -> (Stream, TcpStream) {
    let listener = listen(shard);
    let peer = TcpStream::connect(listener.addr()).unwrap();
    (listener.accept().await.unwrap(), peer)
}

#[test]
fn cancelled_accepts_lose_no_connection_and_no_descriptor() {
    let _watch = watch("cancelled_accepts_lose_no_connection_and_no_descriptor");
    let (before, after) = run_one(|shard| async move {
        let listener = listen(&shard);
        let before = descriptors();
        for _ in 0..50 {
            assert!(shard.timeout(Duration::from_millis(1), listener.accept()).await.is_err());
            let client = TcpStream::connect(listener.addr()).unwrap();
            let accepted = shard.timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
            assert_eq!(accepted.peer(), client.local_addr().unwrap());
        }
        shard.sleep(Duration::from_millis(5)).await;
        (before, descriptors())
    });
    assert_eq!(before, after);
}

#[test]
fn a_listener_dropped_with_an_accept_pending_takes_no_more_connections() {
    let _watch = watch("a_listener_dropped_with_an_accept_pending_takes_no_more_connections");
    let (before, after) = run_one(|shard| async move {
        let before = descriptors();
        for _ in 0..20 {
            let listener = listen(&shard);
            let addr = listener.addr();
            assert!(shard.timeout(Duration::from_millis(1), listener.accept()).await.is_err());
            drop(listener);
            // No turn of the reactor in between.
            assert!(TcpStream::connect(addr).is_err(), "connected to a closed listener");
        }
        shard.sleep(Duration::from_millis(5)).await;
        (before, descriptors())
    });
    assert_eq!(before, after);
}

#[test]
fn cancelled_reads_lose_no_byte() {
    let _watch = watch("cancelled_reads_lose_no_byte");
    const BYTES: usize = 200_000;
    let (got, cancelled) = run_one(|shard| async move {
        let (stream, mut peer) = pair(&shard).await;
        let writer = std::thread::Builder::new().spawn(move || {
            for chunk in (0..BYTES).map(|i| (i % 251) as u8).collect::<Vec<u8>>().chunks(100) {
                peer.write_all(chunk).unwrap();
                std::thread::yield_now();
            }
        });
        let (mut got, mut cancelled, mut buffer) = (Vec::new(), 0, [0; 64]);
        loop {
            match shard.timeout(Duration::from_micros(1), stream.read(&mut buffer)).await {
                Ok(Ok(0)) => break,
                Ok(Ok(n)) => got.extend_from_slice(&buffer[..n]),
                Ok(Err(error)) => panic!("{error}"),
                Err(_late) => cancelled += 1,
            }
        }
        writer.unwrap().join().unwrap();
        (got, cancelled)
    });
    assert!(got.iter().copied().eq((0..BYTES).map(|i| (i % 251) as u8)), "{} bytes", got.len());
    assert!(cancelled > 0, "nothing was cancelled");
}

#[test]
fn cancelled_dials_leave_no_descriptor() {
    let _watch = watch("cancelled_dials_leave_no_descriptor");
    let (before, after) = run_one(|shard| async move {
        let before = descriptors();
        for _ in 0..9 {
            // Reserved for documentation: nobody answers there, or the network says so at once.
            let nowhere = "192.0.2.1:9".parse().unwrap();
            let dial = Stream::connect(&shard, nowhere, Duration::from_secs(5));
            let _cancelled = shard.timeout(Duration::from_millis(1), dial).await;
        }
        shard.sleep(Duration::from_millis(20)).await;
        (before, descriptors())
    });
    assert_eq!(before, after);
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn tasks_left_at_the_end_are_dropped() {
    let _watch = watch("tasks_left_at_the_end_are_dropped");
    let (dropped, before) = (Arc::new(AtomicUsize::new(0)), idle_descriptors());
    let count = Arc::clone(&dropped);
    run_one(move |shard| {
        let count = Arc::clone(&count);
        async move {
            let (sleeping, accepting, late) =
                (Dropped(Arc::clone(&count)), Dropped(Arc::clone(&count)), Dropped(count));
            let (sleeper, listener, starter) = (shard.clone(), listen(&shard), shard.clone());
            shard.spawn("sleeping", TaskKind::Service, async move {
                let _dropped = sleeping;
                sleeper.sleep(Duration::from_secs(3600)).await;
            });
            shard.spawn_data("accepting", TaskKind::Connection, async move {
                let _dropped = accepting;
                let _never = listener.accept().await;
            });
            // Starts another when it is dropped: too late, so that one is dropped at once.
            struct Starts(Shard, Option<Dropped>);
            impl Drop for Starts {
                fn drop(&mut self) {
                    let late = self.1.take();
                    self.0.spawn("late", TaskKind::Service, async move {
                        let _dropped = late;
                        std::future::pending::<()>().await;
                    });
                }
            }
            let starts = Starts(starter, Some(late));
            shard.spawn("starting", TaskKind::Service, async move {
                let _starts = starts;
                std::future::pending::<()>().await;
            });
            shard.sleep(Duration::from_millis(2)).await;
        }
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    assert_eq!(idle_descriptors(), before);
}

#[test]
fn a_cancelled_task_is_dropped_before_the_cancel_returns() {
    let _watch = watch("a_cancelled_task_is_dropped_before_the_cancel_returns");
    run_one(|shard| async move {
        let dropped = Arc::new(AtomicUsize::new(0));
        let held = Dropped(Arc::clone(&dropped));
        let before = shard.task_count();
        let task = shard.spawn("held", TaskKind::Service, async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        shard.sleep(Duration::ZERO).await;
        assert!(!task.is_finished());
        task.cancel().await;
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        let ended = shard.spawn("short", TaskKind::Service, async {});
        until(&shard, || ended.is_finished()).await;
        assert_eq!(shard.task_count(), before);
    });
}

#[test]
fn a_blocking_call_goes_on_when_nobody_waits() {
    let _watch = watch("a_blocking_call_goes_on_when_nobody_waits");
    run_one(|shard| async move {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let done = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&done);
        let call = shard.blocking(move || {
            let _released = wait.recv();
            told.fetch_add(1, Ordering::SeqCst);
        });
        assert!(shard.timeout(Duration::from_millis(5), call).await.is_err());
        go.send(()).unwrap();
        until(&shard, || done.load(Ordering::SeqCst) == 1).await;
    });
}

#[test]
fn unread_input_does_not_destroy_the_last_words() {
    let _watch = watch("unread_input_does_not_destroy_the_last_words");
    let heard = run_one(|shard| async move {
        let (stream, mut peer) = pair(&shard).await;
        // More than is read below, so that a plain close would reset the connection.
        peer.write_all(&[7; 100_000]).unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
        stream.write_all(b"last words").await.unwrap();
        let ended = Rc::new(Cell::new(false));
        let (told, ending) = (Rc::clone(&ended), shard.clone());
        shard.spawn("ending", TaskKind::Connection, async move {
            stream.finish(&ending, Duration::from_secs(5)).await;
            told.set(true);
        });
        shard.sleep(Duration::from_millis(2)).await;
        let reading = shard.blocking(move || {
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).map(|_| heard)
        });
        let heard = reading.await.unwrap();
        until(&shard, || ended.get()).await;
        heard.unwrap()
    });
    assert_eq!(heard, b"last words");
}
