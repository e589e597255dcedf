//! Cores on shards, talking over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_types,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers are tests too"
)]

mod support;

#[path = "node/callers.rs"]
mod callers;
#[path = "node/datagrams.rs"]
mod datagrams;
#[path = "node/frames.rs"]
mod frames;
#[path = "node/raw.rs"]
mod raw;
#[path = "node/shedding.rs"]
mod shedding;
#[path = "node/strangers.rs"]
mod strangers;

use std::sync::Mutex;
use std::time::Duration;

use hyperscale_codec::{ErrorCode, Role};
use hyperscale_core::LinkDown;
use hyperscale_runtime::{
    NodeConfig, NodeDriver, NodeError, NodeHandle, Shard, StopReason, TrySendError, mailbox,
};
use support::*;

const FRAMES: usize = 1000;

fn node(shard: &Shard, config: NodeConfig, core: Scribe) -> NodeHandle<Scribe> {
    NodeDriver::start(shard, config, core, again).unwrap()
}

/// Starts two nodes, a manager that dials and a gate that listens, and gives what `body` gives.
fn run_pair<T, F, Fut>(body: F) -> T
where
    T: Send + 'static,
    F: Fn(Shard, NodeHandle<Scribe>, NodeHandle<Scribe>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = (T, NodeHandle<Scribe>, NodeHandle<Scribe>)> + 'static,
{
    let before = idle_descriptors();
    let body = std::sync::Arc::new(body);
    let result = run_one(move |shard| {
        let body = std::sync::Arc::clone(&body);
        async move {
            let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
            let manager = node(&shard, config(Role::Manager, 2), Scribe::default());
            link(&shard, &manager, &gate).await;
            let (result, manager, gate) = body(shard.clone(), manager, gate).await;
            manager.stop().await;
            gate.stop().await;
            assert_eq!(shard.counters().links_open.get(), 0);
            result
        }
    });
    assert_eq!(idle_descriptors(), before);
    result
}

/// Links `from` to `to`, and waits until both say so.
async fn link(shard: &Shard, from: &NodeHandle<Scribe>, to: &NodeHandle<Scribe>) {
    let before = (from.with_core(|core| core.up.len()), to.with_core(|core| core.up.len()));
    from.local().send(Order::Dial(to.addr().unwrap())).unwrap();
    until(shard, || from.with_core(|core| core.up.len()) > before.0).await;
    until(shard, || to.with_core(|core| core.up.len()) > before.1).await;
}

#[test]
fn two_cores_on_two_shards_exchange_frames_in_order() {
    let _watch = watch("two_cores_on_two_shards_exchange_frames_in_order");
    let (addr_to, addr_from) = address();
    let addr_from = Mutex::new(Some(addr_from));
    let before = idle_descriptors();
    let heard = run(2, move |shard| {
        let addr_to = addr_to.clone();
        let addr_from = if shard.id() == 1 { addr_from.lock().unwrap().take() } else { None };
        async move {
            let Some(addr_from) = addr_from else {
                let gate = node(&shard, listening(Role::Gate, 1), echo());
                addr_to.try_send(gate.addr().unwrap()).unwrap();
                shard.stopping().await;
                gate.stop().await;
                return Vec::new();
            };
            let mut addr = Vec::new();
            assert!(addr_from.open(&shard).drain(&mut addr, 1).await);
            let client = node(&shard, config(Role::Client, 2), Scribe::default());
            client.local().send(Order::Dial(addr[0])).unwrap();
            until(&shard, || client.with_core(|core| !core.up.is_empty())).await;
            let link = client.with_core(|core| core.up[0]);
            for frame in 0..FRAMES {
                client.local().send(Order::Say(link, frame.to_string())).unwrap();
            }
            until(&shard, || client.with_core(|core| core.heard.len()) >= FRAMES).await;
            let heard = client.with_core(|core| core.heard.iter().map(|(_, text)| text.clone()).collect());
            shard.stop().request(done());
            client.stop().await;
            heard
        }
    })
    .unwrap();
    let sent: Vec<String> = (0..FRAMES).map(|frame| frame.to_string()).collect();
    assert_eq!(heard[1], sent);
    assert_eq!(idle_descriptors(), before);
}

fn heard(node: &NodeHandle<Scribe>) -> Vec<String> {
    node.with_core(|core| core.heard.iter().map(|(_, text)| text.clone()).collect())
}

fn tell(node: &NodeHandle<Scribe>, order: Order) {
    node.local().send(order).unwrap();
}

#[test]
fn a_close_sends_what_was_queued_and_is_told_once() {
    let _watch = watch("a_close_sends_what_was_queued_and_is_told_once");
    run_pair(|shard, manager, gate| async move {
        let link = manager.with_core(|core| core.up[0]);
        for n in 0..100 {
            tell(&manager, Order::Say(link, n.to_string()));
        }
        tell(&manager, Order::Close(link));
        tell(&manager, Order::Say(link, "too late".to_owned()));
        until(&shard, || gate.with_core(|core| !core.down.is_empty())).await;
        assert_eq!(heard(&gate), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(gate.with_core(|core| core.down[0].1.clone()), LinkDown::Closed);
        until(&shard, || gate.links() + manager.links() == 0).await;
        shard.sleep(Duration::from_millis(5)).await;
        assert_eq!(manager.with_core(|core| core.down.clone()), [(link, LinkDown::Local)]);
        ((), manager, gate)
    });
}

#[test]
fn a_stop_sends_what_was_queued() {
    let _watch = watch("a_stop_sends_what_was_queued");
    let words = 2000;
    let got = run_one(move |shard| async move {
        let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
        let manager = node(&shard, config(Role::Manager, 2), Scribe::default());
        link(&shard, &manager, &gate).await;
        let link = manager.with_core(|core| core.up[0]);
        for n in 0..words {
            tell(&manager, Order::Say(link, n.to_string()));
        }
        // Told, and queued by the core, but not yet written.
        tell(&manager, Order::Word("all said".to_owned()));
        until(&shard, || heard(&manager) == ["all said"]).await;
        manager.stop().await;
        until(&shard, || gate.with_core(|core| !core.down.is_empty())).await;
        let got = heard(&gate);
        gate.stop().await;
        got
    });
    let (last, said) = got.split_last().unwrap();
    assert_eq!(said.len(), words);
    assert!(last.ends_with("has stopped"), "the last word is a goodbye: {last}");
}

#[test]
fn a_deadline_that_moves_earlier_is_not_missed() {
    let _watch = watch("a_deadline_that_moves_earlier_is_not_missed");
    run_pair(|shard, manager, gate| async move {
        let start = shard.now();
        for due in [start + Duration::from_secs(3600), start + Duration::from_millis(5)] {
            tell(&manager, Order::Wake(due));
            shard.sleep(Duration::from_millis(1)).await;
        }
        until(&shard, || manager.with_core(|core| core.timers.len() == 1)).await;
        let woken = manager.with_core(|core| core.timers[0]);
        assert!(woken >= start + Duration::from_millis(5), "woken early");
        // A deadline in the past is served at once, and once.
        tell(&manager, Order::Wake(start));
        until(&shard, || manager.with_core(|core| core.timers.len() == 2)).await;
        shard.sleep(Duration::from_millis(5)).await;
        assert_eq!(manager.with_core(|core| core.timers.len()), 2);
        ((), manager, gate)
    });
}

#[test]
fn what_a_command_leads_to_comes_before_what_is_outside() {
    let _watch = watch("what_a_command_leads_to_comes_before_what_is_outside");
    run_pair(|shard, manager, gate| async move {
        tell(&manager, Order::Chain(3));
        tell(&manager, Order::Word("outside".to_owned()));
        until(&shard, || heard(&manager).len() == 4).await;
        assert_eq!(heard(&manager), ["3", "2", "1", "outside"]);
        ((), manager, gate)
    });
}

#[test]
fn a_core_that_talks_to_itself_leaves_others_their_turns() {
    let _watch = watch("a_core_that_talks_to_itself_leaves_others_their_turns");
    run_pair(|shard, manager, gate| async move {
        let length = 300_000;
        tell(&manager, Order::Chain(length));
        until(&shard, || !heard(&manager).is_empty()).await;
        assert!(heard(&manager).len() < length as usize, "it was not interrupted");
        until(&shard, || heard(&manager).len() == length as usize).await;
        let downwards: Vec<String> = (1..=length).rev().map(|n| n.to_string()).collect();
        assert_eq!(heard(&manager), downwards);
        ((), manager, gate)
    });
}

#[test]
fn other_shards_reach_a_core_through_a_mailbox() {
    let _watch = watch("other_shards_reach_a_core_through_a_mailbox");
    run_pair(|shard, manager, gate| async move {
        let (sender, receiver) = mailbox(8);
        manager.feed(receiver.open(&shard));
        let sending = std::thread::Builder::new().spawn(move || {
            for n in 0..500 {
                let mut order = Order::Word(n.to_string());
                while let Err(TrySendError::Full(back)) = sender.try_send(order) {
                    order = back;
                    std::thread::yield_now();
                }
            }
        });
        until(&shard, || heard(&manager).len() == 500).await;
        sending.unwrap().join().unwrap();
        assert_eq!(heard(&manager), (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
        ((), manager, gate)
    });
}

#[test]
fn a_request_that_its_sender_may_not_make_is_answered_before_the_core() {
    let _watch = watch("a_request_that_its_sender_may_not_make_is_answered_before_the_core");
    run_pair(|shard, manager, gate| async move {
        let link = manager.with_core(|core| core.up[0]);
        tell(&manager, Order::AskAsClient(link));
        until(&shard, || manager.with_core(|core| !core.codes.is_empty())).await;
        assert_eq!(manager.with_core(|core| core.codes.clone()), [ErrorCode::Forbidden.to_wire()]);
        assert!(heard(&gate).is_empty());
        assert_eq!(raw::counted(&shard), [("kind_forbidden", 1)]);
        ((), manager, gate)
    });
}

#[test]
fn a_panic_in_a_core_stops_the_node_and_the_core_is_not_called_again() {
    let _watch = watch("a_panic_in_a_core_stops_the_node_and_the_core_is_not_called_again");
    let stopped = run(2, |shard| async move {
        if shard.id() == 0 {
            let gate = node(&shard, listening(Role::Gate, 1), Scribe::default());
            tell(&gate, Order::Panic);
            tell(&gate, Order::Word("afterwards".to_owned()));
            shard.stopping().await;
            assert!(heard(&gate).is_empty());
            gate.stop().await;
        }
        shard.stopping().await;
    });
    let (task, message) = ("core of gate gate-1".to_owned(), "told to panic".to_owned());
    assert_eq!(stopped, Err(NodeError::Failed(StopReason::ServicePanicked { shard: 0, task, message })));
}

#[test]
fn a_silent_link_is_closed_where_idleness_is_bounded() {
    let _watch = watch("a_silent_link_is_closed_where_idleness_is_bounded");
    run_one(|shard| async move {
        let mut bounded = listening(Role::Gate, 1);
        bounded.limits.idle_timeout = Some(Duration::from_millis(500));
        let gate = node(&shard, bounded, Scribe::default());
        let manager = node(&shard, config(Role::Manager, 2), Scribe::default());
        link(&shard, &manager, &gate).await;
        until(&shard, || gate.with_core(|core| !core.down.is_empty())).await;
        let why = gate.with_core(|core| core.down[0].1.to_string());
        assert!(why.starts_with("silent for "), "{why}");
        until(&shard, || manager.with_core(|core| !core.down.is_empty())).await;
        manager.stop().await;
        gate.stop().await;
    });
}
