//! The other shards of a node, as links: a frame for another shard crosses once, by mailbox, as the bytes it came in.

use std::fmt;
use std::rc::Rc;

use hyperscale_codec::{RawFrame, ShardId, Verdict};
use hyperscale_core::{Core, Event, LinkId, Peer};

use super::node::{Carrier, LinkEntry};
use super::strikes::Strikes;
use super::{Driver, FEED_MAX, NodeHandle};
use crate::mailbox::{Inbox, Receiver, Sender, mailbox};
use crate::task::TaskKind;

/// Frames that wait for one shard at most; more are not taken, and counted as a bound that was hit.
const FRAMES_MAX: usize = 8_192;

/// A frame from this shard.
#[derive(Debug)]
pub(super) struct Crossing {
    from: u16,
    bytes: Vec<u8>,
}

/// One shard's ends of the mailboxes to all the others.
pub struct Siblings {
    own: u16,
    to: Vec<Sender<Crossing>>,
    inbox: Receiver<Crossing>,
}

impl fmt::Debug for Siblings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Siblings(shard {} of {})", self.own, self.to.len())
    }
}

/// Mailboxes between all shards of a node; each shard takes its own.
#[must_use]
pub fn siblings(shards: u16) -> Vec<Siblings> {
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..shards).map(|_| mailbox(FRAMES_MAX)).unzip();
    let ends = (0..shards).zip(inboxes);
    ends.map(|(own, inbox)| Siblings { own, to: senders.clone(), inbox }).collect()
}

/// The way to another shard.
#[derive(Debug)]
pub(super) struct Crossings {
    own: u16,
    to: Sender<Crossing>,
}

impl Crossings {
    /// Whether the frame was taken.
    pub(super) fn push(&self, frame: &[u8]) -> bool {
        self.to.try_send(Crossing { from: self.own, bytes: frame.to_vec() }).is_ok()
    }
}

impl<C: Core + 'static> NodeHandle<C> {
    /// Links this shard's core with those of the node's other shards: `LinkUp` comes for each, with the node's own id.
    pub fn join_siblings(&self, siblings: Siblings) {
        let Siblings { own, to, inbox } = siblings;
        let driver = &self.driver;
        let mut links = vec![None; to.len()];
        for ((shard, to), slot) in (0_u16..).zip(to).zip(&mut links).filter(|((shard, _), _)| *shard != own) {
            *slot = Some(driver.link_sibling(shard, Crossings { own, to }));
        }
        let taking = Rc::clone(driver).take_crossings(inbox.open(&driver.shard), links);
        driver.spawn("siblings", TaskKind::Service, taking);
    }
}

impl<C: Core + 'static> Driver<C> {
    fn link_sibling(&self, shard: u16, crossings: Crossings) -> LinkId {
        let mut hello = self.config.hello(&self.shard, Verdict::Welcome, String::new());
        hello.shard = ShardId(shard);
        let addr = self.config.listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let peer = Rc::new(Peer { addr, hello });
        let (link, now) = (self.new_link(), self.shard.now());
        let carrier = Carrier::Sibling(crossings);
        self.enter(|node| {
            node.links.insert(
                link,
                LinkEntry {
                    carrier,
                    peer: Rc::clone(&peer),
                    accepted: false,
                    strikes: Strikes::default(),
                    caller: None,
                },
            );
            self.shard.counters().links_open.add(1);
            node.deliver(now, Event::LinkUp { link, peer: &peer, dial: None });
        });
        link
    }

    async fn take_crossings(self: Rc<Self>, mut inbox: Inbox<Crossing>, links: Vec<Option<LinkId>>) {
        let mut batch = Vec::with_capacity(FEED_MAX);
        while inbox.drain(&mut batch, FEED_MAX).await {
            let now = self.shard.now();
            for Crossing { from, bytes } in batch.drain(..) {
                let Some(link) = links.get(usize::from(from)).copied().flatten() else { continue };
                match RawFrame::read(&bytes, &self.config.limits.frame) {
                    Ok(frame) => self.enter(|node| node.crossed(now, link, frame)),
                    Err(error) => {
                        debug_assert!(false, "a shard of this node sent what is no frame: {error}");
                    }
                }
            }
            self.shard.yield_if_needed().await;
        }
    }
}
