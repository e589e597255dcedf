//! What joins the nodes: links, frames and datagrams on their way, connections that are made and end, ways that are
//! blocked. A link keeps its order, as TCP does; a datagram keeps none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{Hello, NodeId};
use hyperscale_core::{DatagramPort, DialError, DialId, Instant, LinkDown, LinkId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Place;
use super::weather::{Host, Weather};
use crate::marks::Marks;

const DELAY: Duration = Duration::from_micros(200);
/// As the production driver has it: for a connection, and for the answer of who listens.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// A stream holds so much for a peer that takes nothing; then its driver ends it.
const QUEUE_BYTES: usize = 4 << 20;

/// What reaches a node.
#[derive(Debug)]
pub(crate) enum Mail {
    Frame {
        link: LinkId,
        bytes: Vec<u8>,
    },
    /// The handshake of a link is done; who is there, as it said itself.
    Up {
        link: LinkId,
        dial: Option<DialId>,
        hello: Box<Hello>,
    },
    Down {
        link: LinkId,
        why: LinkDown,
    },
    /// Somebody connects, and greets.
    Greeting {
        from: Place,
        dial: DialId,
        hello: Box<Hello>,
    },
    Failed {
        dial: DialId,
        error: DialError,
    },
    /// A dial has been waited for long enough.
    Waited {
        dial: DialId,
        error: DialError,
    },
    Datagram {
        port: DatagramPort,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Its driver looks after its links.
    Sweep,
    /// Its monitor looks how loaded it is.
    Tick,
}

impl Mail {
    pub(crate) fn link(&self) -> Option<LinkId> {
        match self {
            Self::Frame { link, .. } | Self::Up { link, .. } | Self::Down { link, .. } => Some(*link),
            _ => None,
        }
    }
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) at: Place,
    pub(crate) peer: Place,
    /// Which start of whom is there.
    pub(crate) who: (NodeId, u64),
    pub(crate) accepted: bool,
    /// A mailbox between two shards of a node: nothing cuts it.
    pub(crate) within: bool,
    /// When its node heard of it last, by that node's clock.
    pub(crate) heard: Instant,
    /// Since when nobody could know this end lives, by the world's clock.
    pub(crate) unreachable: Option<Instant>,
    other: LinkId,
    /// Nothing arrives here before what arrived last.
    last: Instant,
    /// Bytes on their way to here that a block holds up.
    held: usize,
}

/// A way that nothing passes.
struct Block {
    times: u32,
    since: Instant,
    /// Datagrams do; a stream is merely stuck.
    datagrams_pass: bool,
    held: Vec<(Place, Mail)>,
}

/// All links and everything on its way.
pub(crate) struct Network {
    pub(crate) now: Instant,
    mail: BTreeMap<(Instant, u64), (Place, Mail)>,
    order: u64,
    ends: BTreeMap<LinkId, End>,
    next_link: u64,
    /// Connections between these two are refused up to then.
    cuts: Vec<(Place, Place, Instant)>,
    /// Draws how long each message takes, up to so long.
    delays: Option<(StdRng, Duration)>,
    /// Instead of those: a network with everything that a network has.
    pub(crate) weather: Option<Weather>,
    /// Which host each place is on.
    pub(crate) hosts: Vec<Host>,
    blocks: BTreeMap<(Host, Host), Block>,
    /// Hosts without power: nothing there answers, not even that nobody is there.
    pub(crate) dark: BTreeSet<Host>,
    /// Dials without an outcome, and their link where the other side has one.
    dials: BTreeMap<(Place, DialId), Option<LinkId>>,
    pub(crate) marks: Marks,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant(1),
            mail: BTreeMap::new(),
            order: 0,
            ends: BTreeMap::new(),
            next_link: 1,
            cuts: Vec::new(),
            delays: None,
            weather: None,
            hosts: Vec::new(),
            blocks: BTreeMap::new(),
            dark: BTreeSet::new(),
            dials: BTreeMap::new(),
            marks: Marks::default(),
        }
    }

    /// From now on every message takes between a tenth of `most` and `most`.
    pub(crate) fn delay_up_to(&mut self, most: Duration, seed: u64) {
        self.delays = Some((StdRng::seed_from_u64(seed), most));
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.mail.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next thing that arrives anywhere.
    pub(crate) fn next(&mut self) -> Option<(Place, Mail)> {
        self.mail.pop_first().map(|(_, mail)| mail)
    }

    pub(crate) fn end(&self, link: LinkId) -> Option<End> {
        self.ends.get(&link).copied()
    }

    pub(crate) fn end_mut(&mut self, link: LinkId) -> Option<&mut End> {
        self.ends.get_mut(&link)
    }

    /// A node learns that its end of a link is gone.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.ends.remove(&link);
    }

    fn host(&self, at: Place) -> Host {
        self.hosts.get(at).copied().unwrap_or(at)
    }

    /// To happen at a place, whatever the network is like.
    pub(crate) fn post_local(&mut self, to: Place, after: Duration, mail: Mail) {
        self.order += 1;
        self.mail.insert((self.now + after, self.order), (to, mail));
    }

    fn post(&mut self, from: Place, to: Place, mail: Mail) {
        let way = (self.host(from), self.host(to));
        if let Some(block) = self.blocks.get_mut(&way) {
            if let (Some(link), Mail::Frame { bytes, .. }) = (mail.link(), &mail)
                && let Some(end) = self.ends.get_mut(&link)
            {
                end.held += bytes.len();
            }
            block.held.push((to, mail));
            return;
        }
        self.put(way, to, mail, Duration::ZERO);
    }

    /// On its way, behind what its link has on its way.
    fn put(&mut self, (from, to_host): (Host, Host), to: Place, mail: Mail, extra: Duration) {
        let delay = match (&mut self.weather, &mut self.delays) {
            (Some(weather), _) => weather.stream_delay(from, to_host),
            (None, Some((rng, most))) => most.mul_f64(rng.random_range(0.1..=1.0)),
            (None, None) => DELAY,
        };
        let mut at = self.now + delay + extra;
        if let Some(end) = mail.link().and_then(|link| self.ends.get_mut(&link)) {
            at = at.max(end.last);
            end.last = at;
        }
        self.order += 1;
        self.mail.insert((at, self.order), (to, mail));
    }

    /// Sends a frame; `false`: its peer takes nothing and there is no room left.
    pub(crate) fn send(&mut self, link: LinkId, bytes: Vec<u8>) -> bool {
        let Some(&End { at, peer, other, .. }) = self.ends.get(&link) else { return true };
        match self.ends.get(&other) {
            Some(theirs) if theirs.held + bytes.len() > QUEUE_BYTES => return false,
            Some(_) => self.post(at, peer, Mail::Frame { link: other, bytes }),
            None => self.knock(link),
        }
        true
    }

    /// Bytes reach a host that knows nothing of their connection: it says so, if it is there and can be heard.
    pub(crate) fn knock(&mut self, link: LinkId) {
        let Some(&End { at, peer, other, .. }) = self.ends.get(&link) else { return };
        let (here, there) = (self.host(at), self.host(peer));
        // A link whose end is on its way still is none to knock at.
        let ending = self
            .mail
            .values()
            .any(|(_, mail)| mail.link() == Some(link) && matches!(mail, Mail::Down { .. }));
        if self.ends.contains_key(&other) || self.dark.contains(&there) || ending {
            return;
        }
        if !self.is_blocked(here, there) {
            self.marks.hit("half-open link reset");
            self.post(peer, at, Mail::Down { link, why: LinkDown::Io("connection reset".to_owned()) });
        }
    }

    /// Sends a datagram to who has that port.
    pub(crate) fn datagram(
        &mut self,
        from: (Place, SocketAddr),
        to: (Place, DatagramPort),
        mut bytes: Vec<u8>,
    ) {
        let way = (self.host(from.0), self.host(to.0));
        if self.blocks.get(&way).is_some_and(|block| !block.datagrams_pass) || self.dark.contains(&way.1) {
            self.marks.hit("datagram blocked");
            return;
        }
        let arrivals = match &mut self.weather {
            Some(weather) => weather.datagram(way, &mut bytes, &mut |name| self.marks.hit(name)),
            None => vec![DELAY],
        };
        self.marks.hit("datagram delivered");
        for after in arrivals {
            let mail = Mail::Datagram { port: to.1, from: from.1, bytes: bytes.clone() };
            self.post_local(to.0, after, mail);
        }
    }

    fn join(
        &mut self,
        a: (Place, (NodeId, u64)),
        b: (Place, (NodeId, u64)),
        within: bool,
    ) -> (LinkId, LinkId) {
        let (one, two) = (LinkId(self.next_link), LinkId(self.next_link + 1));
        self.next_link += 2;
        let end = |at, peer, who, other, accepted| End {
            at,
            peer,
            who,
            accepted,
            within,
            heard: Instant::ZERO,
            unreachable: None,
            other,
            last: self.now,
            held: 0,
        };
        let (mine, theirs) = (end(a.0, b.0, b.1, two, false), end(b.0, a.0, a.1, one, true));
        self.ends.insert(one, mine);
        self.ends.insert(two, theirs);
        (one, two)
    }

    /// Begins to connect to an address; `to`: who listens there, on which host if nobody does.
    pub(crate) fn dial(
        &mut self,
        from: Place,
        dial: DialId,
        addr: SocketAddr,
        to: Option<Place>,
        host: Option<Host>,
        hello: Box<Hello>,
    ) {
        let cut = |to: &Place| {
            self.cuts.iter().any(|(a, b, until)| {
                *until > self.now && ((*a, *b) == (from, *to) || (*b, *a) == (from, *to))
            })
        };
        let here = self.host(from);
        let blocked = |there: &Host| self.is_blocked(here, *there);
        let there = to.map(|to| self.host(to)).or(host);
        let dark = there.is_some_and(|there| self.dark.contains(&there));
        let stuck = dark || there.as_ref().is_some_and(blocked);
        let error = |reason: &str| DialError::Connect { addr, reason: reason.to_owned() };
        match to.filter(|to| !cut(to)) {
            _ if dark => self.post_local(from, CONNECT, Mail::Failed { dial, error: error("timed out") }),
            None if stuck => self.post_local(from, CONNECT, Mail::Failed { dial, error: error("timed out") }),
            None => self.post_local(from, DELAY, Mail::Failed { dial, error: error("connection refused") }),
            Some(to) => {
                self.dials.insert((from, dial), None);
                let (time, error) = match stuck {
                    true => (CONNECT, error("timed out")),
                    false => {
                        (ANSWER, DialError::Handshake { addr, reason: "no complete greeting".to_owned() })
                    }
                };
                self.post_local(from, time, Mail::Waited { dial, error });
                self.post(from, to, Mail::Greeting { from, dial, hello });
            }
        }
    }

    /// Whether this dial still waits for its outcome.
    pub(crate) fn is_dialling(&self, from: Place, dial: DialId) -> bool {
        self.dials.contains_key(&(from, dial))
    }

    /// Who listens took the caller on: the link as this side has it. The caller hears of it.
    pub(crate) fn welcome(
        &mut self,
        caller: (Place, (NodeId, u64)),
        dial: DialId,
        at: (Place, (NodeId, u64)),
        answer: Box<Hello>,
    ) -> LinkId {
        let (theirs, mine) = self.join(caller, at, false);
        self.dials.insert((caller.0, dial), Some(theirs));
        self.post(at.0, caller.0, Mail::Up { link: theirs, dial: Some(dial), hello: answer });
        mine
    }

    /// The caller is turned away.
    pub(crate) fn turn_away(&mut self, caller: Place, dial: DialId, at: Place, error: DialError) {
        self.post(at, caller, Mail::Failed { dial, error });
    }

    /// A dial has come to its end, or to nothing; what the other side may have of it ends too. Whether it was waited for.
    pub(crate) fn dial_ends(&mut self, from: Place, dial: DialId, well: bool) -> bool {
        let Some(link) = self.dials.remove(&(from, dial)) else { return false };
        if let Some(link) = link.filter(|_| !well) {
            self.close(link);
        }
        true
    }

    /// Two shards of one node know each other from the start.
    pub(crate) fn join_shards(&mut self, a: (Place, Hello), b: (Place, Hello)) {
        let who = |hello: &Hello| (hello.node, hello.boot);
        let (one, two) = self.join((a.0, who(&a.1)), (b.0, who(&b.1)), true);
        self.post(b.0, a.0, Mail::Up { link: one, dial: None, hello: Box::new(b.1) });
        self.post(a.0, b.0, Mail::Up { link: two, dial: None, hello: Box::new(a.1) });
    }

    /// A node ends a link: down for itself at once, for the other behind what is on its way.
    pub(crate) fn close(&mut self, link: LinkId) {
        if let Some(end) = self.ends.remove(&link)
            && self.ends.contains_key(&end.other)
        {
            self.post(end.at, end.peer, Mail::Down { link: end.other, why: LinkDown::Closed });
        }
    }

    /// One of the links between two places, as the first of them knows it.
    pub(crate) fn link(&self, at: Place, peer: Place) -> Option<LinkId> {
        self.links_of(at).into_iter().find(|(_, end)| end.peer == peer).map(|(link, _)| link)
    }

    pub(crate) fn links_of(&self, at: Place) -> Vec<(LinkId, End)> {
        self.ends.iter().filter(|(_, end)| end.at == at).map(|(link, end)| (*link, *end)).collect()
    }

    /// Whether nothing gets from one host to another, or back.
    pub(crate) fn is_blocked(&self, one: Host, other: Host) -> bool {
        self.blocks.contains_key(&(one, other)) || self.blocks.contains_key(&(other, one))
    }

    /// Whether bytes can neither be sent to nor heard of the other end of a link, or it is there no more.
    pub(crate) fn is_unreachable(&self, end: &End) -> bool {
        !self.ends.contains_key(&end.other) || self.is_blocked(self.host(end.at), self.host(end.peer))
    }

    /// A process is gone: its peers see its connections end behind what it sent, and nothing reaches it any more.
    pub(crate) fn remove(&mut self, at: Place) {
        self.links_of(at).into_iter().for_each(|(link, _)| self.close(link));
        self.mail.retain(|_, (to, _)| *to != at);
        self.blocks.values_mut().for_each(|block| block.held.retain(|(to, _)| *to != at));
        self.dials.retain(|(from, _), _| *from != at);
    }

    /// A host is gone, or cannot say so: nobody hears that its connections end.
    pub(crate) fn vanish(&mut self, at: Place) {
        self.links_of(at).into_iter().for_each(|(link, _)| self.forget(link));
        self.remove(at);
        let host = self.host(at);
        self.blocks
            .iter_mut()
            .filter(|((from, _), _)| *from == host)
            .for_each(|(_, block)| block.held.clear());
        self.dark.insert(host);
    }

    /// Every connection between two places breaks, and none comes up again for so long.
    pub(crate) fn cut(&mut self, a: Place, b: Place, lasts: Duration) {
        self.cuts.push((a, b, self.now + lasts));
        self.reset(a, b);
    }

    /// Every connection between two places breaks.
    pub(crate) fn reset(&mut self, a: Place, b: Place) -> usize {
        let links: Vec<_> =
            self.links_of(a).into_iter().filter(|(_, end)| end.peer == b && !end.within).collect();
        for (link, end) in &links {
            self.post(a, b, Mail::Down { link: end.other, why: LinkDown::Closed });
            self.post(b, a, Mail::Down { link: *link, why: LinkDown::Closed });
        }
        links.len()
    }

    /// From now on nothing gets from one host to another; or nothing on a stream does.
    pub(crate) fn block(&mut self, from: Host, to: Host, datagrams_pass: bool) {
        let (since, held) = (self.now, Vec::new());
        let fresh = Block { times: 0, since, datagrams_pass, held };
        let block = self.blocks.entry((from, to)).or_insert(fresh);
        block.times += 1;
        block.datagrams_pass &= datagrams_pass;
    }

    /// Ends one block; with the last one, what was held arrives: a stream was only late, whatever it cost.
    pub(crate) fn unblock(&mut self, from: Host, to: Host) {
        let Some(block) = self.blocks.get_mut(&(from, to)) else { return };
        block.times -= 1;
        if block.times > 0 {
            return;
        }
        let Some(Block { since, held, .. }) = self.blocks.remove(&(from, to)) else { return };
        if !held.is_empty() {
            self.marks.hit("held frames arrive late");
        }
        let lasted = self.now.since(since);
        let extra = self.weather.as_mut().map_or(Duration::ZERO, |weather| weather.backoff(lasted));
        for (at, mail) in held {
            if let Some(end) = mail.link().and_then(|link| self.ends.get_mut(&link)) {
                end.held = 0;
            }
            self.put((from, to), at, mail, extra);
        }
    }
}
