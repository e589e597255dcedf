//! Cores on shards, talking over loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers are tests too"
)]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_core::{DialError, LinkDown};
use hyperscale_runtime::{NodeConfig, NodeDriver, NodeError, NodeHandle, Shard, StopReason, mailbox};
use support::*;

const FRAMES: usize = 1000;

fn node(shard: &Shard, config: NodeConfig, core: Scribe) -> NodeHandle<Scribe> {
    NodeDriver::start(shard, config, core, again).unwrap()
}

/// Links `from` to `to`, and waits until both say so.
async fn link(shard: &Shard, from: &NodeHandle<Scribe>, to: &NodeHandle<Scribe>) {
    let before = (from.with_core(|core| core.up.len()), to.with_core(|core| core.up.len()));
    from.local().send(Order::Dial(to.addr().unwrap())).unwrap();
    until(shard, || from.with_core(|core| core.up.len()) > before.0).await;
    until(shard, || to.with_core(|core| core.up.len()) > before.1).await;
}

#[test]
#[allow(clippy::disallowed_types, reason = "hands the receiver to one of two bodies")]
fn two_cores_on_two_shards_exchange_frames_in_order() {
    let _watch = watch("two_cores_on_two_shards_exchange_frames_in_order");
    let (addr_to, addr_from) = address();
    let addr_from = Mutex::new(Some(addr_from));
    let before = descriptors();
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
    assert!(descriptors() <= before, "{} descriptors were {before}", descriptors());
}
