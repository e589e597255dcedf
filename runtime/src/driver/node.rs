//! A core, its effects and its links: events in, effects carried out, until nothing is left to do.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use hyperscale_codec::messages::{ErrorReply, Goodbye};
use hyperscale_codec::{
    AdmitError, Encode, Encoder, ErrorCode, Flags, HEADER_LEN, Head, Header, Kind, NodeId, RawFrame,
};
use hyperscale_core::{Core, DialId, Effect, Effects, Event, Instant, LinkDown, LinkId, Peer};

use hyperscale_reliability::{Admission, Answer, AnswerWriter, Caller};

use super::datagrams::Ports;
use super::guard::Guard;
use super::post::{LocalSender, Posted};
use super::sibling::Crossings;
use super::strikes::Strikes;
use crate::link::Wire;
use crate::link::handshake::NodeConfig;
use crate::{Cause, Shard};

/// From so many bytes that wait for its peer on, a core is told of a link.
const MUCH_UNSENT: usize = 64 << 10;
/// Events a core may cause in itself before other tasks get a turn.
const CHAIN_MAX: usize = 4096;

/// Carries out a role's commands.
pub(super) type Commands<C> = Box<dyn FnMut(<C as Core>::Command, &mut CommandCx<'_, <C as Core>::Local>)>;

/// What a role's command handler may use.
#[derive(Debug)]
pub struct CommandCx<'a, L> {
    now: Instant,
    chain: &'a mut VecDeque<Posted<L>>,
    sender: &'a LocalSender<L>,
    shard: &'a Shard,
}

impl<L> CommandCx<'_, L> {
    /// The time of the event that led to the command.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Tells the core something at once: after the effects of the present event, before anything from outside.
    pub fn local(&mut self, local: L) {
        self.chain.push_back(Posted::Local(local));
    }

    /// To tell the core something later, from a task.
    #[must_use]
    pub const fn sender(&self) -> &LocalSender<L> {
        self.sender
    }

    /// The shard, to start tasks on.
    #[must_use]
    pub const fn shard(&self) -> &Shard {
        self.shard
    }
}

/// A link that is up.
pub(super) struct LinkEntry {
    pub(super) carrier: Carrier,
    pub(super) peer: Rc<Peer>,
    /// It came to us.
    pub(super) accepted: bool,
    /// What its peer did wrong lately.
    pub(super) strikes: Strikes,
    /// Its peer, as far as its rate goes; another shard of this node has none.
    pub(super) caller: Option<Caller>,
}

/// What carries a link's frames.
pub(super) enum Carrier {
    Socket(Rc<Wire>),
    Sibling(Crossings),
}

impl Carrier {
    /// Queues a frame; whether there was room.
    fn push(&self, frame: &[u8]) -> bool {
        match self {
            Self::Socket(wire) => wire.queue.push(frame).is_ok(),
            Self::Sibling(crossings) => crossings.push(frame),
        }
    }

    /// Whether the link ends because a frame found no room.
    fn has_overflowed(&self) -> bool {
        match self {
            Self::Socket(wire) => wire.queue.has_overflowed(),
            Self::Sibling(_) => false,
        }
    }

    /// Bytes that wait for the peer, if they are many.
    fn much_unsent(&self) -> usize {
        let waiting = match self {
            Self::Socket(wire) => wire.queue.waiting(),
            Self::Sibling(_) => 0,
        };
        if waiting >= MUCH_UNSENT { waiting } else { 0 }
    }

    /// Nothing more is queued.
    pub(super) fn close(&self) {
        match self {
            Self::Socket(wire) => wire.queue.close(),
            Self::Sibling(_) => {}
        }
    }
}

/// Carries dials out; starts a task for each.
pub(super) type Dial = Box<dyn Fn(DialId, SocketAddr)>;

pub(super) struct Node<C: Core> {
    pub(super) core: C,
    effects: Effects<C::Command>,
    spare: Vec<Effect<C::Command>>,
    /// Events that effects of this turn led to.
    chain: VecDeque<Posted<C::Local>>,
    pub(super) links: BTreeMap<LinkId, LinkEntry>,
    pub(super) ports: Ports,
    commands: Commands<C>,
    dial: Dial,
    sender: LocalSender<C::Local>,
    encoder: Encoder,
    answers: AnswerWriter,
    scratch: Vec<u8>,
    shard: Shard,
    /// What stands before the core.
    pub(super) guard: Guard,
    /// The last chain was cut short, and goes on in the next turn.
    pub(super) cut_short: bool,
}

impl<C: Core> Node<C> {
    pub(super) fn new(
        shard: Shard,
        core: C,
        commands: Commands<C>,
        dial: Dial,
        sender: LocalSender<C::Local>,
        guard: Guard,
    ) -> Self {
        Self {
            core,
            effects: Effects::default(),
            spare: Vec::new(),
            chain: VecDeque::new(),
            links: BTreeMap::new(),
            ports: Ports::default(),
            commands,
            dial,
            sender,
            encoder: Encoder::default(),
            answers: AnswerWriter::default(),
            scratch: Vec::new(),
            shard,
            guard,
            cut_short: false,
        }
    }

    /// Gives the core one event, and does what follows from it.
    pub(super) fn deliver(&mut self, now: Instant, event: Event<'_, C::Local>) {
        let links = &self.links;
        self.effects.unsent_mut().retain(|link, bytes| {
            *bytes = links.get(link).map_or(0, |entry| entry.carrier.much_unsent());
            *bytes > 0
        });
        self.core.handle(now, event, &mut self.effects);
        self.settle(now);
    }

    pub(super) fn deliver_posted(&mut self, now: Instant, posted: Posted<C::Local>) {
        if let Some(event) = self.event(posted) {
            self.deliver(now, event);
        }
    }

    /// A link that is down already is not told twice.
    fn event(&mut self, posted: Posted<C::Local>) -> Option<Event<'static, C::Local>> {
        match posted {
            Posted::Local(local) => Some(Event::Local(local)),
            Posted::DialFailed(dial, error) => Some(Event::DialFailed { dial, error }),
            Posted::LinkDown(link, why) => self.forget(link).then_some(Event::LinkDown { link, why }),
        }
    }

    /// Who is at the other end of a link that came up.
    pub(super) fn caller(&mut self, now: Instant, own: &NodeConfig, peer: &Peer) -> Caller {
        let both = own.features.common(peer.hello.features);
        self.guard.intake.caller(now, peer.addr, &peer.hello, both)
    }

    /// Whether a frame with this header is wanted: its sender may send it, and this node takes it now. The rest of it
    /// may not have come.
    pub(super) fn judge(&mut self, now: Instant, link: LinkId, header: &Header) -> bool {
        let Some(entry) = self.links.get_mut(&link) else { return false };
        if let Err(error) = header.admit(entry.peer.hello.role) {
            self.not_admitted(now, link, header, &error);
            return false;
        }
        let Some(caller) = &mut entry.caller else { return true };
        match self.guard.intake.admit(now, header, caller) {
            Admission::Take => true,
            Admission::Refuse(answer) => {
                if let Some(answer) = answer {
                    self.answer(now, link, header, &answer);
                }
                false
            }
        }
    }

    /// Of what was read on a link, so many bytes waited and so many do now.
    pub(super) fn waits(&mut self, before: usize, now: usize) {
        self.effects.set_unread(before, now);
    }

    /// A frame that another shard of this node took, and that is this one's.
    pub(super) fn crossed(&mut self, now: Instant, link: LinkId, frame: RawFrame<'_>) {
        let Some(entry) = self.links.get(&link) else { return };
        match frame.admit(entry.peer.hello.role) {
            Ok(kind) => {
                if is_statistics(kind) {
                    self.shard.counters().stats_frames_crossed.add(1);
                }
                self.deliver(now, Event::Frame { link, frame });
            }
            Err(error) => self.not_admitted(now, link, &frame.header, &error),
        }
    }

    fn not_admitted(&mut self, now: Instant, link: LinkId, header: &Header, error: &AdmitError) {
        self.shard.causes().count(Cause::of_admit(error));
        self.refuse(now, link, header, error.code(), error.to_string());
        if error.code() == ErrorCode::Forbidden
            && let Some(text) = self.links.get_mut(&link).and_then(|entry| entry.strikes.forbidden(now))
        {
            self.expel(now, link, ErrorCode::Forbidden, text);
        }
    }

    /// Tells a caller that its frame was not taken, and why.
    fn answer(&mut self, now: Instant, link: LinkId, to: &Header, answer: &Answer) {
        self.scratch.clear();
        if let Err(error) = self.answers.append(&mut self.scratch, to, answer) {
            debug_assert!(false, "an answer of the driver's own cannot be sent: {error}");
            return;
        }
        let failed = push(&self.shard, &self.links, link, &self.scratch);
        self.chain.extend(failed);
        self.settle(now);
    }

    /// A core refused a frame. Its answer, if there was one, is queued already.
    fn refused(&mut self, now: Instant, link: LinkId, kind: u16, code: ErrorCode) {
        if let Some(cause) = Cause::of_refusal(kind, code) {
            self.shard.causes().count(cause);
        }
        if code == ErrorCode::Malformed
            && let Some(text) = self.links.get_mut(&link).and_then(|entry| entry.strikes.malformed(now))
        {
            self.part(link, code, text);
        }
    }

    /// Ends a link whose peer broke a rule: tells the peer why, then the core.
    pub(super) fn expel(&mut self, now: Instant, link: LinkId, code: ErrorCode, text: String) {
        self.part(link, code, text);
        self.settle(now);
    }

    /// As [`Node::expel`]; the core hears of it in the next turn of [`Node::settle`].
    fn part(&mut self, link: LinkId, code: ErrorCode, text: String) {
        let goodbye = Goodbye { code: code.to_wire(), text: text.clone(), retry_after_ms: 0 };
        self.queue(link, Head::default(), &goodbye);
        self.chain.push_back(Posted::LinkDown(link, LinkDown::Protocol(text)));
    }

    /// Says on every link that this node ends in order.
    pub(super) fn say_goodbye(&mut self, text: &str) {
        let goodbye = Goodbye { code: 0, text: text.to_owned(), retry_after_ms: 0 };
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.queue(link, Head::default(), &goodbye));
    }

    /// Answers a frame that the core does not see, if it wants an answer.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        link: LinkId,
        header: &Header,
        code: ErrorCode,
        text: String,
    ) {
        if !header.flags.contains(Flags::WANTS_REPLY) || header.flags.contains(Flags::REPLY) {
            return;
        }
        let reply = ErrorReply {
            code: code.to_wire(),
            message: text,
            retry_after_ms: 0,
            holder: [0; 16],
            holder_addr: String::new(),
            seen: 0,
        };
        let head = Head { route: header.route, ..Head::reply(header.correlation) };
        self.queue(link, head, &reply);
        self.settle(now);
    }

    /// Queues a message of the driver's own.
    fn queue<M: Encode>(&mut self, link: LinkId, head: Head, message: &M) {
        self.scratch.clear();
        if let Err(error) = self.encoder.append(&mut self.scratch, head, message) {
            debug_assert!(false, "the driver's own message cannot be sent: {error}");
            return;
        }
        let failed = push(&self.shard, &self.links, link, &self.scratch);
        self.chain.extend(failed);
    }

    /// Carries out effects, and tells the core what comes of them, until nothing is left.
    fn settle(&mut self, now: Instant) {
        self.cut_short = false;
        for _ in 0..CHAIN_MAX {
            self.carry(now);
            let Some(posted) = self.chain.pop_front() else { return };
            if let Some(event) = self.event(posted) {
                self.core.handle(now, event, &mut self.effects);
            }
        }
        self.carry(now);
        // A core that talks to itself without end must not hold the shard: the pump goes on in the next turn, in
        // order.
        tracing::warn!(events = CHAIN_MAX, "a core keeps causing events in itself; others get a turn");
        while let Some(posted) = self.chain.pop_back() {
            self.sender.0.waiting.borrow_mut().push_front(posted);
        }
        self.sender.0.notify.notify();
        self.cut_short = true;
    }

    /// Carries out the effects of one event.
    fn carry(&mut self, now: Instant) {
        if let Some(error) = self.effects.take_failure() {
            tracing::error!(%error, "a message was not sent");
        }
        if self.effects.is_empty() {
            return;
        }
        let mut spare = std::mem::take(&mut self.spare);
        self.effects.take(&mut spare);
        for effect in spare.drain(..) {
            match effect {
                Effect::Send { link, range } => {
                    let failed = push(&self.shard, &self.links, link, self.effects.frame(range));
                    self.chain.extend(failed);
                    let unsent = self.links.get(&link).map_or(0, |entry| entry.carrier.much_unsent());
                    self.effects.set_unsent(link, unsent);
                }
                Effect::Refused { link, kind, code } => self.refused(now, link, kind, code),
                Effect::Datagram { port, to, range } => {
                    self.ports.send(&self.shard, port, to, self.effects.frame(range));
                }
                Effect::Dial { dial, addr } => (self.dial)(dial, addr),
                // Down for the core from here on; what is queued goes out behind its back.
                Effect::Close { link } => self.chain.push_back(Posted::LinkDown(link, LinkDown::Local)),
                Effect::Command(command) => {
                    let (chain, sender, shard) = (&mut self.chain, &self.sender, &self.shard);
                    (self.commands)(command, &mut CommandCx { now, chain, sender, shard });
                }
            }
        }
        self.spare = spare;
        self.effects.clear();
    }

    /// Takes a link out and has its connection end after what is queued; whether it was there.
    fn forget(&mut self, link: LinkId) -> bool {
        let entry = self.links.remove(&link);
        if let Some(entry) = &entry {
            entry.carrier.close();
            self.shard.counters().links_open.sub(1);
        }
        entry.is_some()
    }

    /// Ends accepted links of an earlier start of this node; whether none of a later start is here.
    pub(super) fn replace_older(&mut self, now: Instant, node: NodeId, boot: u64) -> bool {
        let same = self.links.iter().filter(|(_, entry)| entry.accepted && entry.peer.hello.node == node);
        let boots: Vec<(LinkId, u64)> = same.map(|(link, entry)| (*link, entry.peer.hello.boot)).collect();
        if boots.iter().any(|(_, theirs)| *theirs > boot) {
            return false;
        }
        for (link, _) in boots.into_iter().filter(|(_, theirs)| *theirs < boot) {
            let why = LinkDown::Protocol("the node was started again".to_owned());
            self.deliver_posted(now, Posted::LinkDown(link, why));
        }
        true
    }

    /// Tells the core that nothing more comes of a link.
    pub(super) fn down(&mut self, now: Instant, link: LinkId, why: LinkDown) {
        self.deliver_posted(now, Posted::LinkDown(link, why));
    }
}

/// Frames of the statistics plane: where they are handled is counted.
pub(super) const fn is_statistics(kind: Option<Kind>) -> bool {
    matches!(kind, Some(Kind::StatsUpdate | Kind::StatsSnapshot | Kind::StatsFinal))
}

/// Queues a frame; what the core is to be told if that ends the link.
fn push<L>(
    shard: &Shard,
    links: &BTreeMap<LinkId, LinkEntry>,
    link: LinkId,
    frame: &[u8],
) -> Option<Posted<L>> {
    // A link that went down in this very batch: the core hears of it in the next.
    let entry = links.get(&link)?;
    if entry.carrier.has_overflowed() {
        return None;
    }
    let hello = &entry.peer.hello;
    let core_max = usize::try_from(hello.core_max).unwrap_or(usize::MAX);
    // Its extensions are beside the core, so this is not the byte; it is the difference to a peer with small memory.
    let too_long = frame.len() > core_max.saturating_add(HEADER_LEN).saturating_add(usize::from(u16::MAX));
    let (cause, why) = if too_long {
        let text = format!("a frame of {} bytes; {} takes {core_max} at most", frame.len(), hello.name);
        (Cause::PeerLimit, text)
    } else if entry.carrier.push(frame) {
        return None;
    } else if matches!(entry.carrier, Carrier::Sibling(_)) {
        // A shard of this node is not cut off: what it could not take is lost, and asked for again.
        shard.causes().count(Cause::QueueFull);
        return None;
    } else {
        let text = format!("{} does not read as fast as this node sends; its queue is full", hello.name);
        (Cause::QueueFull, text)
    };
    shard.causes().count(cause);
    Some(Posted::LinkDown(link, LinkDown::Protocol(why)))
}
