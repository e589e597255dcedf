//! 0.2 panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyperscale_runtime::{BlockingPanicked, NodeError, StopReason, TaskKind, TrySendError, mailbox, start};

use crate::support::*;

#[test]
fn a_panicking_connection_task_leaves_the_shard_alive() {
    let _watch = watch("a_panicking_connection_task_leaves_the_shard_alive");
    let (panics, ticks) = run_one(|shard| async move {
        let task = shard.spawn("link", TaskKind::Connection, async { panic!("bad bytes") });
        until(&shard, || task.is_finished()).await;
        let mut ticks = 0;
        for _ in 0..5 {
            shard.sleep(Duration::from_millis(1)).await;
            ticks += 1;
        }
        assert!(!shard.is_stopping());
        (shard.counters().panics.get(), ticks)
    });
    assert_eq!((panics, ticks), (1, 5));
}

#[test]
fn a_panicking_service_task_stops_the_node_in_order() {
    let _watch = watch("a_panicking_service_task_stops_the_node_in_order");
    let ended = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
    let told = Arc::clone(&ended);
    let stopped = run(2, move |shard| {
        let told = Arc::clone(&told);
        async move {
            if shard.id() == 1 {
                shard.spawn("ledger", TaskKind::Service, async { panic!("entry 7 is gone") });
            }
            // Both shards hear of it, and end by their own steps.
            shard.stopping().await;
            told[usize::from(shard.id())].store(true, Ordering::SeqCst);
        }
    });
    let (task, message) = ("ledger".to_owned(), "entry 7 is gone".to_owned());
    assert_eq!(stopped, Err(NodeError::Failed(StopReason::ServicePanicked { shard: 1, task, message })));
    assert!(ended.iter().all(|ended| ended.load(Ordering::SeqCst)));
}

#[test]
fn a_panic_in_a_shards_body_stops_the_node() {
    let _watch = watch("a_panic_in_a_shards_body_stops_the_node");
    let stopped = run(2, |shard| async move {
        assert_ne!(shard.id(), 0, "the body panics");
        shard.stopping().await;
    });
    let Err(NodeError::Failed(StopReason::ServicePanicked { shard: 0, message, .. })) = stopped else {
        panic!("{stopped:?}");
    };
    assert!(message.contains("the body panics"), "{message}");
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped badly");
    }
}

#[test]
fn a_panic_while_a_task_is_cancelled_stops_the_node_and_aborts_nothing() {
    let _watch = watch("a_panic_while_a_task_is_cancelled_stops_the_node_and_aborts_nothing");
    let stopped = run(1, |shard| async move {
        let bad = PanicsWhenDropped;
        shard.spawn("bad", TaskKind::Service, async move {
            let _held = bad;
            std::future::pending::<()>().await;
        });
        shard.sleep(Duration::from_millis(2)).await;
    });
    let (task, message) = ("bad".to_owned(), "dropped badly".to_owned());
    assert_eq!(stopped, Err(NodeError::Failed(StopReason::ServicePanicked { shard: 0, task, message })));
}

#[test]
fn a_shard_that_ended_has_closed_mailboxes() {
    let _watch = watch("a_shard_that_ended_has_closed_mailboxes");
    let (sender, receiver) = mailbox::<u32>(4);
    let receiver = std::sync::Mutex::new(Some(receiver));
    run(2, move |shard| {
        let (sender, receiver) = (sender.clone(), receiver.lock().unwrap().take_if(|_| shard.id() == 1));
        async move {
            if let Some(receiver) = receiver {
                // Leaked, as by a cycle between tasks: no destructor tells the senders.
                Box::leak(Box::new(receiver.open(&shard)));
                return;
            }
            until(&shard, || sender.is_closed()).await;
            assert_eq!(sender.try_send(1), Err(TrySendError::Closed(1)));
        }
    })
    .unwrap();
}

#[test]
fn a_panicking_blocking_call_is_an_error() {
    let _watch = watch("a_panicking_blocking_call_is_an_error");
    let got = run_one(|shard| async move { shard.blocking(|| -> u32 { panic!("no such disk") }).await });
    assert_eq!(got, Err(BlockingPanicked("no such disk".to_owned())));
}

#[test]
fn a_stop_from_outside_reaches_every_shard() {
    let _watch = watch("a_stop_from_outside_reaches_every_shard");
    let shards = start(&options(2), |shard| async move {
        shard.stopping().await;
        shard.id()
    })
    .unwrap();
    shards.stop().request(done());
    assert_eq!(shards.join(DRAIN), Ok(vec![0, 1]));
}

#[test]
fn a_shard_that_does_not_end_is_named() {
    let _watch = watch("a_shard_that_does_not_end_is_named");
    let waited = Duration::from_millis(20);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(Some(wait));
    let shards = start(&options(2), move |shard| {
        let wait = wait.lock().unwrap().take_if(|_| shard.id() == 1);
        async move {
            shard.stopping().await;
            // Holds its thread, not only its task.
            let _held = wait.map(|wait| wait.recv());
        }
    })
    .unwrap();
    shards.stop().request(done());
    assert_eq!(shards.join(waited), Err(NodeError::NotEnded { shards: vec![1], waited }));
    drop(go);
}
