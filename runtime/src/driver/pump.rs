//! The tasks beside the links: the timer with what the shard has to say, mailboxes, and the sweep of silent links.

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use hyperscale_codec::{ErrorCode, Role};
use hyperscale_core::{Core, Event, Instant};

use super::node::Carrier;
use super::{Driver, FEED_MAX};
use crate::Cause;
use crate::mailbox::Inbox;

/// Posted events handled in one turn.
const TURN_MAX: usize = 256;
/// The rest of a core that leaves a passed deadline standing, which would otherwise take the whole shard.
const STUCK_REST: Duration = Duration::from_millis(1);
/// Between two looks at silent links.
const SWEEP: Duration = Duration::from_secs(1);

impl<C: Core + 'static> Driver<C> {
    /// Brings the core its timer and what is posted, as long as the node runs.
    pub(super) async fn pump(self: Rc<Self>) {
        let mut served = None;
        while !self.silent.get() {
            let due = self.node.borrow().core.next_deadline();
            self.armed.set(due);
            let timer = async {
                match due {
                    Some(due) => self.shard.sleep_until(due).await,
                    None => pending().await,
                }
            };
            futures_lite::future::or(self.post.notify.wait(), timer).await;
            served = self.turn(served).await;
            self.shard.yield_if_needed().await;
        }
    }

    /// One turn: some of what is posted, then the timer if it is due, so that neither starves the other. Gives the
    /// deadline that was served.
    async fn turn(&self, served: Option<Instant>) -> Option<Instant> {
        let now = self.shard.now();
        for _ in 0..TURN_MAX {
            let Some(posted) = self.post.pop() else { break };
            let mut cut_short = false;
            self.enter(|node| {
                node.deliver_posted(now, posted);
                cut_short = node.cut_short;
            });
            if cut_short {
                break;
            }
        }
        if !self.post.is_empty() {
            self.post.notify.notify();
        }
        let due = self.node.borrow().core.next_deadline().filter(|due| *due <= now)?;
        if served == Some(due) {
            self.shard.sleep(STUCK_REST).await;
        }
        self.enter(|node| node.deliver(now, Event::Timer));
        Some(due)
    }

    /// Brings the core what other shards say.
    pub(super) async fn feed(self: Rc<Self>, mut inbox: Inbox<C::Local>)
    where
        C::Local: Send,
    {
        let mut batch = Vec::with_capacity(FEED_MAX);
        while inbox.drain(&mut batch, FEED_MAX).await {
            let now = self.shard.now();
            for local in batch.drain(..) {
                self.enter(|node| node.deliver(now, Event::Local(local)));
            }
            self.shard.yield_if_needed().await;
        }
    }

    /// Takes buffers back from links that fell silent, and closes those silent, or stuck in a frame, for too long.
    pub(super) async fn sweep(self: Rc<Self>) {
        let mut late = Vec::new();
        let mut last = self.shard.now();
        loop {
            self.shard.sleep(SWEEP).await;
            let now = self.shard.now();
            // If it was this shard that stood still, its peers may have sent all the while.
            let stood_still = now.since(last) >= SWEEP.saturating_mul(2);
            last = now;
            if stood_still {
                continue;
            }
            for (link, entry) in &self.node.borrow().links {
                let Carrier::Socket(wire) = &entry.carrier else { continue };
                let silent = now.since(wire.last_read.get());
                if silent >= SWEEP {
                    wire.release();
                }
                // A client that follows a job has nothing to say.
                let must_beat = entry.peer.hello.role != Role::Client && self.config.role != Role::Client;
                if wire.stuck_for(now) >= self.config.limits.frame_timeout {
                    late.push((
                        *link,
                        Cause::FrameTimeout,
                        "the rest of a frame did not come in time".to_owned(),
                    ));
                } else if must_beat && self.config.limits.idle_timeout.is_some_and(|idle| silent >= idle) {
                    late.push((*link, Cause::Idle, format!("silent for {} ms", silent.as_millis())));
                }
            }
            for (link, cause, why) in late.drain(..) {
                self.shard.causes().count(cause);
                self.enter(|node| node.expel(now, link, ErrorCode::DeadlineExceeded, why));
            }
        }
    }
}
