//! What joins the nodes: links, frames on their way, connections that end. Each link keeps its order, as TCP does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_core::{DatagramPort, DialError, DialId, Instant, LinkDown, LinkId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Place;

const DELAY: Duration = Duration::from_micros(200);

/// What reaches a node.
pub(crate) enum Mail {
    Frame { link: LinkId, bytes: Vec<u8> },
    Up { link: LinkId, dial: Option<DialId> },
    Down { link: LinkId, why: LinkDown },
    Failed { dial: DialId, error: DialError },
}

impl Mail {
    fn link(&self) -> Option<LinkId> {
        match self {
            Self::Frame { link, .. } | Self::Up { link, .. } | Self::Down { link, .. } => Some(*link),
            Self::Failed { .. } => None,
        }
    }
}

/// One end of a link.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) at: Place,
    pub(crate) peer: Place,
    other: LinkId,
    /// A mailbox between two shards of a node: nothing cuts it.
    within: bool,
    /// Nothing arrives here before what arrived last.
    last: Instant,
}

/// All links and everything on its way.
pub(crate) struct Network {
    pub(crate) now: Instant,
    mail: BTreeMap<(Instant, u64), (Place, Mail)>,
    order: u64,
    ends: BTreeMap<LinkId, End>,
    next_link: u64,
    /// No connection between these two up to then.
    cuts: Vec<(Place, Place, Instant)>,
    /// Draws how long each message takes, up to so long.
    delays: Option<(StdRng, Duration)>,
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
        }
    }

    /// From now on every message takes between a tenth of `most` and `most`.
    pub(crate) fn delay_up_to(&mut self, most: Duration, seed: u64) {
        self.delays = Some((StdRng::seed_from_u64(seed), most));
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.mail.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next thing that arrives anywhere, and over which link; what comes on a link that is gone is lost.
    pub(crate) fn next(&mut self) -> Option<(Place, Mail, Option<End>)> {
        let (_, (to, mail)) = self.mail.pop_first()?;
        let end = mail.link().and_then(|link| self.ends.get(&link).copied());
        if mail.link().is_some() && end.is_none() {
            return None;
        }
        if let Mail::Down { link, .. } = &mail {
            self.ends.remove(link);
        }
        Some((to, mail, end))
    }

    fn post(&mut self, to: Place, mail: Mail) {
        let delay = match &mut self.delays {
            Some((rng, most)) => most.mul_f64(rng.random_range(0.1..=1.0)),
            None => DELAY,
        };
        let mut at = self.now + delay;
        if let Some(end) = mail.link().and_then(|link| self.ends.get_mut(&link)) {
            at = at.max(end.last);
            end.last = at;
        }
        self.order += 1;
        self.mail.insert((at, self.order), (to, mail));
    }

    pub(crate) fn send(&mut self, link: LinkId, bytes: Vec<u8>) {
        if let Some(&End { other, peer, .. }) = self.ends.get(&link) {
            self.post(peer, Mail::Frame { link: other, bytes });
        }
    }

    /// Datagrams are not carried yet.
    pub(crate) fn datagram(&mut self, _from: Place, _port: DatagramPort, _to: SocketAddr, _bytes: Vec<u8>) {}

    fn join(&mut self, a: Place, b: Place, within: bool) -> (LinkId, LinkId) {
        let (one, two) = (LinkId(self.next_link), LinkId(self.next_link + 1));
        self.next_link += 2;
        let last = self.now;
        self.ends.insert(one, End { at: a, peer: b, other: two, within, last });
        self.ends.insert(two, End { at: b, peer: a, other: one, within, last });
        (one, two)
    }

    /// Connects, if somebody is there and nothing is cut.
    pub(crate) fn dial(&mut self, from: Place, dial: DialId, addr: SocketAddr, to: Option<Place>) {
        let cut = |to: &Place| {
            self.cuts.iter().any(|(a, b, until)| {
                *until > self.now && ((*a, *b) == (from, *to) || (*b, *a) == (from, *to))
            })
        };
        let Some(to) = to.filter(|to| !cut(to)) else {
            let error = DialError::Connect { addr, reason: "connection refused".to_owned() };
            self.post(from, Mail::Failed { dial, error });
            return;
        };
        let (mine, theirs) = self.join(from, to, false);
        self.post(to, Mail::Up { link: theirs, dial: None });
        self.post(from, Mail::Up { link: mine, dial: Some(dial) });
    }

    /// Two shards of one node know each other from the start.
    pub(crate) fn join_shards(&mut self, a: Place, b: Place) {
        let (one, two) = self.join(a, b, true);
        self.post(a, Mail::Up { link: one, dial: None });
        self.post(b, Mail::Up { link: two, dial: None });
    }

    /// A node ends a link: down for itself at once, for the other behind what is on its way.
    pub(crate) fn close(&mut self, link: LinkId) {
        if let Some(end) = self.ends.remove(&link) {
            self.post(end.peer, Mail::Down { link: end.other, why: LinkDown::Closed });
        }
    }

    /// One of the links between two places, as the first of them knows it.
    pub(crate) fn link(&self, at: Place, peer: Place) -> Option<LinkId> {
        self.links_of(at).into_iter().find(|(_, end)| end.peer == peer).map(|(link, _)| link)
    }

    fn links_of(&self, at: Place) -> Vec<(LinkId, End)> {
        self.ends.iter().filter(|(_, end)| end.at == at).map(|(link, end)| (*link, *end)).collect()
    }

    /// A process is gone: its peers see its connections end behind what it sent, and nothing reaches it any more.
    pub(crate) fn remove(&mut self, at: Place) {
        self.links_of(at).into_iter().for_each(|(link, _)| self.close(link));
        self.mail.retain(|_, (to, _)| *to != at);
    }

    /// Every connection between two places breaks, and none comes up again for so long.
    pub(crate) fn cut(&mut self, a: Place, b: Place, lasts: Duration) {
        self.cuts.push((a, b, self.now + lasts));
        for (link, end) in self.links_of(a).into_iter().filter(|(_, end)| end.peer == b && !end.within) {
            self.post(b, Mail::Down { link: end.other, why: LinkDown::Closed });
            self.post(a, Mail::Down { link, why: LinkDown::Closed });
        }
    }
}
