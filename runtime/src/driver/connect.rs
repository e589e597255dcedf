//! The life of one connection: accepted or dialled, greeted, carried, ended.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyperscale_codec::messages::Goodbye;
use hyperscale_codec::{ErrorCode, Head, Hello, Limits, Verdict};
use hyperscale_core::{Core, DialError, DialId, Event, LinkDown, LinkId, Peer};

use super::node::{Carrier, LinkEntry};
use super::{Driver, Posted};
use crate::link::handshake::{self, HandshakeError};
use crate::link::{Incoming, Wire};
use crate::stop::StopReason;
use crate::task::TaskKind;
use crate::tcp::{Listener, Stream};

/// When a refused node may come back.
const RETRY_AFTER_MS: u32 = 1000;
/// The least time between two log lines about refusals.
const REFUSAL_LOG: Duration = Duration::from_secs(1);

impl<C: Core + 'static> Driver<C> {
    /// Accepts until the node stops.
    pub(super) async fn accept(self: Rc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok(_stream) if self.handshakes.get() >= self.config.limits.handshakes_max => {
                    self.shard.counters().bound_hits.add(1);
                    self.shard.counters().refused.add(1);
                }
                Ok(stream) => {
                    let greeted = Counted::new(&self, Some(&self));
                    self.spawn(
                        "accepted link",
                        TaskKind::Connection,
                        Rc::clone(&self).welcome(stream, greeted),
                    );
                }
                Err(error) => {
                    let (shard, task) = (self.shard.id(), "accept".to_owned());
                    let message = format!("{}: {error}", listener.addr());
                    self.shard.stop().request(StopReason::ServiceEnded { shard, task, message });
                    return;
                }
            }
        }
    }

    /// An accepted connection, from its first byte to its last.
    async fn welcome(self: Rc<Self>, stream: Stream, mut counted: Counted<C>) {
        let limits = &self.config.limits;
        let hello = match handshake::read(&self.shard, &stream, limits.greeting_timeout).await {
            Ok(hello) => hello,
            Err(error) => {
                self.shard.counters().refused.add(1);
                tracing::debug!(peer = %stream.peer(), %error, "a caller did not greet");
                if let HandshakeError::Hello(error) = error {
                    let answer = self.config.hello(&self.shard, Verdict::Malformed, error.to_string(), 0);
                    self.send_refusal(&stream, &answer).await;
                }
                return;
            }
        };
        if let Some((verdict, text)) = self.refusal(&hello) {
            self.shard.counters().refused.add(1);
            self.log_refusal(&stream, verdict, &text);
            let answer = self.config.hello(&self.shard, verdict, text, RETRY_AFTER_MS);
            self.send_refusal(&stream, &answer).await;
            return;
        }
        let answer = self.config.hello(&self.shard, Verdict::Welcome, String::new(), 0);
        if let Err(error) = handshake::write(&self.shard, &stream, &answer, limits.greeting_timeout).await {
            tracing::debug!(peer = %stream.peer(), %error, "a caller was gone before the answer");
            return;
        }
        counted.greeted();
        self.carry_link(stream, hello, None, &limits.frame).await;
    }

    /// At most once a second: callers choose how often they come.
    fn log_refusal(&self, stream: &Stream, verdict: Verdict, text: &str) {
        let now = self.shard.now();
        if now.since(self.refusal_logged.get()) >= REFUSAL_LOG {
            self.refusal_logged.set(now);
            tracing::warn!(peer = %stream.peer(), ?verdict, text, "refused a connection");
        }
    }

    /// Why this caller is turned away, by what it is or by how we are.
    fn refusal(&self, hello: &Hello) -> Option<(Verdict, String)> {
        if let Some(refused) = self.config.refusal(hello) {
            return Some(refused);
        }
        if self.draining.get() {
            return Some((Verdict::Draining, format!("{} is stopping", self.config.name)));
        }
        let links = self.node.borrow().links.len();
        if links >= self.config.limits.connections_max {
            self.shard.counters().bound_hits.add(1);
            return Some((
                Verdict::TooManyConnections,
                format!("{links} connections are open, as many as allowed"),
            ));
        }
        let mut newest = true;
        let now = self.shard.now();
        self.enter(|node| newest = node.replace_older(now, hello.node, hello.boot));
        (!newest).then(|| (Verdict::DuplicateNode, format!("a later start of {} is connected", hello.name)))
    }

    async fn send_refusal(&self, stream: &Stream, answer: &Hello) {
        let time = self.config.limits.flush_timeout;
        if handshake::write(&self.shard, stream, answer, time).await.is_ok() {
            stream.finish(&self.shard, time).await;
        }
    }

    /// Starts a dial; it ends in `LinkUp` or `DialFailed`, even if its task dies.
    pub(super) fn dial(self: Rc<Self>, dial: DialId, addr: SocketAddr) {
        if self.connections.get() >= self.config.limits.connections_max {
            self.shard.counters().bound_hits.add(1);
            let reason = "this node has as many connections as it allows".to_owned();
            self.post.push(Posted::DialFailed(dial, DialError::Connect { addr, reason }));
            return;
        }
        let counted = Counted::new(&self, None);
        let mut pending = PendingDial { driver: Rc::clone(&self), dial, addr, told: false };
        let driver = Rc::clone(&self);
        self.spawn("dialled link", TaskKind::Connection, async move {
            let _counted = counted;
            match driver.greet(addr).await {
                Ok((stream, hello)) => {
                    pending.succeed();
                    driver.carry_link(stream, hello, Some(dial), &driver.config.limits.frame).await;
                }
                Err(error) => pending.fail(error),
            }
        });
    }

    /// Connects, greets, and hears the answer.
    async fn greet(&self, addr: SocketAddr) -> Result<(Stream, Hello), DialError> {
        let limits = &self.config.limits;
        let refused = |error: std::io::Error| DialError::Connect { addr, reason: error.to_string() };
        let stream = Stream::connect(&self.shard, addr, limits.connect_timeout).await.map_err(refused)?;
        let broken = |error: HandshakeError| DialError::Handshake { addr, reason: error.to_string() };
        let greeting = self.config.hello(&self.shard, Verdict::Welcome, String::new(), 0);
        handshake::write(&self.shard, &stream, &greeting, limits.answer_timeout).await.map_err(broken)?;
        let answer = handshake::read(&self.shard, &stream, limits.answer_timeout).await.map_err(broken)?;
        self.config.check_answer(addr, &answer)?;
        Ok((stream, answer))
    }

    /// A link from up to down.
    async fn carry_link(&self, stream: Stream, hello: Hello, dial: Option<DialId>, limits: &Limits) {
        if self.silent.get() {
            return;
        }
        let link = self.new_link();
        let peer = Rc::new(Peer { addr: stream.peer(), hello });
        let wire = Wire::new(stream, self.config.limits.send_queue_bytes_max);
        let carrier = Carrier::Socket(Rc::clone(&wire));
        let entry = LinkEntry { carrier, peer: Rc::clone(&peer), accepted: dial.is_none() };
        // However this task ends, the core is told.
        let _told = LinkGuard::new(self, link);
        let now = self.shard.now();
        self.enter(|node| {
            self.shard.counters().links_open.add(1);
            node.links.insert(link, entry);
            node.deliver(now, Event::LinkUp { link, peer: &peer, dial });
        });
        let flush = self.config.limits.flush_timeout;
        let why = wire
            .run(&self.shard, limits, flush, |now, incoming| match incoming {
                Incoming::Frame(frame) => self.enter(|node| node.frame(now, link, frame)),
                Incoming::Oversized(header, error) => {
                    self.shard.counters().oversized_frames.add(1);
                    self.enter(|node| {
                        node.refuse(now, link, &header, ErrorCode::TooLarge, error.to_string())
                    });
                }
            })
            .await;
        self.end_link(link, &wire, why).await;
    }

    /// Tells the core, tells a peer that broke a rule why, and ends the connection in order.
    async fn end_link(&self, link: LinkId, wire: &Wire, why: LinkDown) {
        let now = self.shard.now();
        let flush = match &why {
            LinkDown::Local => true,
            LinkDown::Protocol(text) => {
                let (code, text) = (ErrorCode::Malformed.to_wire(), text.clone());
                let goodbye = Goodbye { code, text, retry_after_ms: 0 };
                self.enter(|node| node.send_own(now, link, Head::default(), &goodbye));
                true
            }
            LinkDown::Closed | LinkDown::Io(_) => false,
        };
        self.enter(|node| node.down(now, link, why));
        if flush {
            wire.finish(&self.shard, self.config.limits.flush_timeout).await;
        }
    }
}

/// Counts a connection from its first moment to its last.
struct Counted<C: Core> {
    driver: Rc<Driver<C>>,
    greeting: bool,
}

impl<C: Core> Counted<C> {
    fn new(driver: &Rc<Driver<C>>, greeting: Option<&Rc<Driver<C>>>) -> Self {
        driver.connections.set(driver.connections.get().saturating_add(1));
        if greeting.is_some() {
            driver.handshakes.set(driver.handshakes.get().saturating_add(1));
        }
        Self { driver: Rc::clone(driver), greeting: greeting.is_some() }
    }

    /// The handshake is over.
    fn greeted(&mut self) {
        if std::mem::take(&mut self.greeting) {
            self.driver.handshakes.set(self.driver.handshakes.get().saturating_sub(1));
        }
    }
}

impl<C: Core> Drop for Counted<C> {
    fn drop(&mut self) {
        self.greeted();
        self.driver.connections.set(self.driver.connections.get().saturating_sub(1));
    }
}

/// A dial whose end the core has not heard of.
struct PendingDial<C: Core> {
    driver: Rc<Driver<C>>,
    dial: DialId,
    addr: SocketAddr,
    told: bool,
}

impl<C: Core> PendingDial<C> {
    /// The link's own end is told from here on.
    fn succeed(&mut self) {
        self.told = true;
    }

    fn fail(&mut self, error: DialError) {
        self.told = true;
        self.driver.post.push(Posted::DialFailed(self.dial, error));
    }
}

impl<C: Core> Drop for PendingDial<C> {
    fn drop(&mut self) {
        if !self.told {
            let reason = "the dial was given up".to_owned();
            self.fail(DialError::Connect { addr: self.addr, reason });
        }
    }
}

/// A link whose task may die; the core hears of it in any case, and once.
struct LinkGuard<'a, C: Core> {
    driver: &'a Driver<C>,
    link: LinkId,
}

impl<'a, C: Core> LinkGuard<'a, C> {
    fn new(driver: &'a Driver<C>, link: LinkId) -> Self {
        driver.carried.set(driver.carried.get().saturating_add(1));
        Self { driver, link }
    }
}

impl<C: Core> Drop for LinkGuard<'_, C> {
    fn drop(&mut self) {
        self.driver.carried.set(self.driver.carried.get().saturating_sub(1));
        self.driver.ended.notify();
        let down = LinkDown::Protocol("the connection's task ended early".to_owned());
        self.driver.post.push(Posted::LinkDown(self.link, down));
    }
}
