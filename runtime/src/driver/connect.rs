//! The life of one connection: accepted or dialled, greeted, carried, ended.

use std::net::SocketAddr;
use std::rc::Rc;

use hyperscale_codec::{ErrorCode, FrameError, Hello, Limits, Role, Verdict};
use hyperscale_core::{Core, DialError, DialId, Event, LinkDown, LinkId, Peer};

use super::node::{Carrier, LinkEntry, is_statistics};
use super::strikes::Strikes;
use super::{Driver, Posted};
use crate::Cause;
use crate::link::handshake::{self, HandshakeError, Refused};
use crate::link::strangers::http_answer;
use crate::link::{Incoming, Wire};
use crate::stop::StopReason;
use crate::task::TaskKind;
use crate::tcp::{Listener, Stream};

impl<C: Core + 'static> Driver<C> {
    /// Accepts until the node stops.
    pub(super) async fn accept(self: Rc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok(_stream) if self.handshakes.get() >= self.config.limits.handshakes_max => {
                    self.shard.causes().count(Cause::HandshakesFull);
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
            Err(error) => return self.turn_away(&stream, &error).await,
        };
        if let Some((verdict, text)) = self.refusal(&hello) {
            self.count_refusal(verdict);
            self.log_refusal(stream.peer(), &hello, verdict, &text);
            let answer = self.config.hello(&self.shard, verdict, text);
            self.send_last(&stream, &handshake::encoded(&answer)).await;
            return;
        }
        let answer = self.config.hello(&self.shard, Verdict::Welcome, String::new());
        if let Err(error) = handshake::write(&self.shard, &stream, &answer, limits.greeting_timeout).await {
            tracing::debug!(peer = %stream.peer(), %error, "a caller was gone before the answer");
            return;
        }
        counted.greeted();
        self.carry_link(stream, hello, None, &limits.frame).await;
    }

    /// A caller that did not greet: counted, and told what it came to if it can understand that.
    async fn turn_away(&self, stream: &Stream, error: &HandshakeError) {
        self.shard.causes().count(error.cause());
        tracing::debug!(peer = %stream.peer(), %error, "a caller did not greet");
        let answer = match error {
            HandshakeError::Http => http_answer(&self.config).into_bytes(),
            HandshakeError::Hello(_) | HandshakeError::Tls => {
                let answer = self.config.hello(&self.shard, Verdict::Malformed, error.to_string());
                handshake::encoded(&answer)
            }
            HandshakeError::Io(_) | HandshakeError::TimedOut(_) => return,
        };
        self.send_last(stream, &answer).await;
    }

    fn count_refusal(&self, verdict: Verdict) {
        if let Some(cause) = Cause::of_verdict(verdict) {
            self.shard.causes().count(cause);
        }
    }

    fn log_refusal(&self, addr: SocketAddr, peer: &Hello, verdict: Verdict, text: &str) {
        let (now, ours) = (self.shard.now(), self.config.version);
        self.refusals.borrow_mut().log(now, ours, addr, peer, verdict, text);
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

    /// Sends the last that a caller hears, and waits until it was heard.
    async fn send_last(&self, stream: &Stream, bytes: &[u8]) {
        let time = self.config.limits.flush_timeout;
        if handshake::write_bytes(&self.shard, stream, bytes, time).await.is_ok() {
            stream.finish(&self.shard, time).await;
        }
    }

    /// Starts a dial; it ends in `LinkUp` or `DialFailed`, even if its task dies.
    pub(super) fn dial(self: Rc<Self>, dial: DialId, addr: SocketAddr) {
        if self.connections.get() >= self.config.limits.connections_max {
            self.shard.causes().count(Cause::TooManyConnections);
            let reason = "this node has as many connections as it allows".to_owned();
            self.post.push(Posted::DialFailed(dial, DialError::Connect { addr, reason }));
            return;
        }
        let counted = Counted::new(&self, None);
        let mut pending = PendingDial { driver: Rc::clone(&self), dial, addr, told: false };
        let driver = Rc::clone(&self);
        self.spawn("dialled link", TaskKind::Connection, async move {
            let _counted = counted;
            match driver.greet(dial, addr).await {
                Ok((stream, hello)) => {
                    pending.succeed();
                    driver.carry_link(stream, hello, Some(dial), &driver.config.limits.frame).await;
                }
                Err(error) => pending.fail(error),
            }
        });
    }

    /// Connects, greets, and hears the answer.
    async fn greet(&self, dial: DialId, addr: SocketAddr) -> Result<(Stream, Hello), DialError> {
        let limits = &self.config.limits;
        let refused = |error: std::io::Error| DialError::Connect { addr, reason: error.to_string() };
        let stream = Stream::connect(&self.shard, addr, limits.connect_timeout).await.map_err(refused)?;
        let broken = |error: HandshakeError| DialError::Handshake { addr, reason: error.to_string() };
        let greeting = self.config.greeting(&self.shard, dial);
        handshake::write(&self.shard, &stream, &greeting, limits.answer_timeout).await.map_err(broken)?;
        let answer = handshake::read(&self.shard, &stream, limits.answer_timeout).await.map_err(broken)?;
        let Some(refused) = self.config.check_answer(&answer) else { return Ok((stream, answer)) };
        // What the peer refused, the peer counts.
        if answer.verdict == Verdict::Welcome {
            self.count_refusal(refused.verdict);
        }
        let Refused { verdict, text, retry_after_ms } = refused;
        self.log_refusal(addr, &answer, verdict, &text);
        Err(DialError::Refused { addr, verdict: verdict as u8, text, retry_after_ms })
    }

    /// A link from up to down.
    async fn carry_link(&self, stream: Stream, hello: Hello, dial: Option<DialId>, limits: &Limits) {
        if self.silent.get() {
            return;
        }
        let link = self.new_link();
        let peer = Rc::new(Peer { addr: stream.peer(), hello });
        let may_rest = peer.hello.role == Role::Client;
        let wire = Wire::new(stream, self.config.limits.send_queue_bytes_max, may_rest);
        // However this task ends, the core is told.
        let _told = LinkGuard::new(self, link);
        let now = self.shard.now();
        self.enter(|node| {
            self.shard.counters().links_open.add(1);
            let entry = LinkEntry {
                carrier: Carrier::Socket(Rc::clone(&wire)),
                peer: Rc::clone(&peer),
                accepted: dial.is_none(),
                strikes: Strikes::default(),
                caller: Some(node.caller(now, &self.config, &peer)),
            };
            node.links.insert(link, entry);
            node.deliver(now, Event::LinkUp { link, peer: &peer, dial });
        });
        let flush = self.config.limits.flush_timeout;
        let ended = wire
            .run(&self.shard, limits, flush, |now, incoming| {
                let mut wanted = false;
                match incoming {
                    Incoming::Header(header) => self.enter(|node| wanted = node.judge(now, link, header)),
                    Incoming::Frame(frame) => {
                        if is_statistics(frame.kind()) {
                            self.shard.counters().stats_frames.add(1);
                        }
                        self.enter(|node| node.deliver(now, Event::Frame { link, frame }));
                    }
                    Incoming::Waiting(before, now) => self.enter(|node| node.waits(before, now)),
                    Incoming::Handled(took) => self.enter(|node| node.guard.handled(took)),
                    Incoming::Done(pause) => {
                        self.enter(|node| *pause = node.guard.intake.gathers(now));
                    }
                    Incoming::Oversized(header, error) => {
                        self.shard.causes().count(Cause::of_frame(&error));
                        self.enter(|node| {
                            node.refuse(now, link, &header, ErrorCode::TooLarge, error.to_string())
                        });
                    }
                }
                wanted
            })
            .await;
        self.enter(|node| node.waits(wire.waiting(), 0));
        self.end_link(link, &wire, ended).await;
    }

    /// Tells the core, tells a peer that broke a rule why, and ends the connection in order.
    async fn end_link(&self, link: LinkId, wire: &Wire, ended: Result<LinkDown, FrameError>) {
        let now = self.shard.now();
        let flush = matches!(ended, Ok(LinkDown::Local) | Err(_));
        match ended {
            Ok(why) => self.enter(|node| node.down(now, link, why)),
            Err(error) => {
                self.shard.causes().count(Cause::of_frame(&error));
                self.enter(|node| node.expel(now, link, error.code(), error.to_string()));
            }
        }
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
