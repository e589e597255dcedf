//! A group of nodes in one thread and virtual time: delays, loss, cuts, pauses, deaths.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::{NodeId, Role};
use hyperscale_core::Instant;
use hyperscale_swim::{
    DatagramPort, Input, MemberCard, MemberState, Outbox, Output, SharedMembers, Swim, SwimConfig,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Something on its way.
#[derive(Debug, Clone)]
enum Parcel {
    Datagram { port: DatagramPort, from: SocketAddr, bytes: Vec<u8> },
    List { bytes: Vec<u8>, from: usize, answer: bool },
    Tcp { node: NodeId, answered: bool },
}

type Key = Reverse<(Instant, u64)>;

struct Node {
    swim: Swim,
    card: MemberCard,
    /// Not running: dead, or paused until then.
    down_until: Option<Instant>,
    waiting: Vec<Parcel>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    nodes: Vec<Node>,
    queue: BinaryHeap<Key>,
    parcels: BTreeMap<u64, (usize, Parcel)>,
    count: u64,
    rng: SmallRng,
    pub(crate) loss: f64,
    /// Whether out-of-band datagrams arrive at all.
    pub(crate) oob_works: bool,
    /// Nodes of different parts do not reach each other.
    pub(crate) part: Vec<u8>,
    pub(crate) events: Vec<(Instant, usize, Output)>,
    pub(crate) hash: Cell<u64>,
    config: SwimConfig,
}

pub(crate) fn id(at: usize) -> NodeId {
    NodeId(0x1000 + at as u128)
}

pub(crate) fn card(at: usize, boot: u64) -> MemberCard {
    let addr = SocketAddr::from(([10, 0, (at >> 8) as u8, at as u8], 7_000));
    MemberCard { node: id(at), boot, addr, oob_port: 7_001, role: Role::Worker }
}

impl Net {
    /// `size` nodes that know each other.
    pub(crate) fn new(size: usize, seed: u64, config: &SwimConfig) -> Self {
        let shared = SharedMembers::new((0..size).map(|at| card(at, 1)), Instant(0));
        let mut net = Self::empty(seed, config);
        for at in 0..size {
            let swim = Swim::with_members(
                config.clone(),
                card(at, 1),
                seed * 1_000 + at as u64,
                Instant(0),
                &shared,
            );
            net.add(swim, card(at, 1));
        }
        net
    }

    pub(crate) fn empty(seed: u64, config: &SwimConfig) -> Self {
        Self {
            now: Instant(1),
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            parcels: BTreeMap::new(),
            count: 0,
            rng: SmallRng::seed_from_u64(seed),
            loss: 0.0,
            oob_works: true,
            part: Vec::new(),
            events: Vec::new(),
            hash: Cell::default(),
            config: config.clone(),
        }
    }

    fn add(&mut self, swim: Swim, card: MemberCard) {
        self.nodes.push(Node { swim, card, down_until: None, waiting: Vec::new() });
        self.part.push(0);
    }

    /// One more, which shook hands with node `seed_node`.
    pub(crate) fn join(&mut self, at: usize, seed_node: usize) {
        let swim = Swim::new(self.config.clone(), card(at, 1), at as u64 + 77, self.now);
        self.add(swim, card(at, 1));
        self.shake_hands(at, seed_node);
    }

    pub(crate) fn shake_hands(&mut self, a: usize, b: usize) {
        let (card_a, card_b) = (self.nodes[a].card, self.nodes[b].card);
        self.input(a, Input::Seen { card: card_b });
        self.input(b, Input::Seen { card: card_a });
        let mut bytes = Vec::new();
        self.nodes[a].swim.push_pull(self.now, &mut bytes);
        self.post(b, Parcel::List { bytes, from: a, answer: true });
    }

    pub(crate) fn swim(&self, at: usize) -> &Swim {
        &self.nodes[at].swim
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.nodes[at].down_until = Some(Instant::MAX);
    }

    pub(crate) fn restart(&mut self, at: usize, boot: u64) {
        let card = card(at, boot);
        let swim = Swim::new(self.config.clone(), card, at as u64 + boot, self.now);
        self.nodes[at] = Node { swim, card, down_until: None, waiting: Vec::new() };
    }

    pub(crate) fn pause(&mut self, at: usize, duration: Duration) {
        self.nodes[at].down_until = Some(self.now + duration);
    }

    fn find(&self, addr: SocketAddr) -> Option<usize> {
        self.nodes.iter().position(|node| node.card.addr.ip() == addr.ip())
    }

    fn post(&mut self, to: usize, parcel: Parcel) {
        self.count += 1;
        let at = self.now + Duration::from_micros(self.rng.random_range(100..900));
        self.queue.push(Reverse((at, self.count)));
        self.parcels.insert(self.count, (to, parcel));
    }

    pub(crate) fn input(&mut self, at: usize, input: Input<'_>) {
        let mut out = Outbox::new();
        self.nodes[at].swim.handle(self.now, input, &mut out);
        let from = self.nodes[at].card;
        for output in out.list() {
            let text = format!("{at} {output:?}");
            let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            self.hash.set(text.bytes().fold(self.hash.get(), add));
            match output {
                Output::Datagram { port, to, range } => {
                    let bytes = out.bytes(range.clone());
                    assert!(bytes.len() <= 1_400);
                    let Some(to) = self.find(*to) else { continue };
                    if *port == DatagramPort::Health && !self.oob_works {
                        continue;
                    }
                    if self.rng.random_bool(self.loss) || self.part[at] != self.part[to] {
                        continue;
                    }
                    let port_number = if *port == DatagramPort::Health { 7_001 } else { 7_000 };
                    let from = SocketAddr::new(from.addr.ip(), port_number);
                    self.post(to, Parcel::Datagram { port: *port, from, bytes: bytes.to_vec() });
                }
                Output::TcpProbe { node, addr } => {
                    let to = self.find(*addr).unwrap();
                    let answered = self.nodes[to].down_until.is_none() && self.part[at] == self.part[to];
                    self.post(at, Parcel::Tcp { node: *node, answered });
                }
                Output::PushPull { addr, .. } => {
                    let to = self.find(*addr).unwrap();
                    if self.part[at] == self.part[to] {
                        let mut bytes = Vec::new();
                        self.nodes[at].swim.push_pull(self.now, &mut bytes);
                        self.post(to, Parcel::List { bytes, from: at, answer: true });
                    }
                }
                Output::Changed { .. }
                | Output::Health { .. }
                | Output::OutOfBand { .. }
                | Output::ProbeRound { .. } => {
                    self.events.push((self.now, at, output.clone()));
                }
            }
        }
    }

    fn deliver(&mut self, to: usize, parcel: Parcel) {
        match parcel {
            Parcel::Datagram { port: DatagramPort::Membership, from, bytes } => {
                self.input(to, Input::Datagram { from, bytes: &bytes });
            }
            Parcel::Datagram { port: DatagramPort::Health, from, bytes } => {
                self.input(to, Input::OutOfBand { from, bytes: &bytes });
            }
            Parcel::List { bytes, from, answer } => {
                if answer {
                    let mut back = Vec::new();
                    self.nodes[to].swim.push_pull(self.now, &mut back);
                    self.post(from, Parcel::List { bytes: back, from: to, answer: false });
                }
                self.input(to, Input::PushPull { bytes: &bytes });
            }
            Parcel::Tcp { node, answered } => self.input(to, Input::TcpProbe { node, answered }),
        }
    }

    /// Runs for so long.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let timer = (0..self.nodes.len())
                .filter_map(|at| {
                    let node = &self.nodes[at];
                    let due = node.swim.next_deadline().unwrap_or(Instant::MAX);
                    let wake = node.down_until.unwrap_or(Instant::ZERO);
                    let due = if node.down_until.is_some() { wake } else { due };
                    (due < Instant::MAX).then_some((due.max(self.now), at))
                })
                .min();
            let parcel = self.queue.peek().map(|Reverse((at, count))| (*at, *count));
            let next =
                timer.map_or(Instant::MAX, |(at, _)| at).min(parcel.map_or(Instant::MAX, |(at, _)| at));
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if let Some((at, count)) = parcel.filter(|(at, _)| *at <= next) {
                let _ = at;
                self.queue.pop();
                let (to, parcel) = self.parcels.remove(&count).unwrap();
                if self.nodes[to].down_until.is_none() {
                    self.deliver(to, parcel);
                } else if self.nodes[to].waiting.len() < 300 {
                    self.nodes[to].waiting.push(parcel);
                }
            } else if let Some((_, at)) = timer {
                if self.nodes[at].down_until.take().is_some() {
                    // As a driver does: what waits in the socket first, then timers.
                    for parcel in std::mem::take(&mut self.nodes[at].waiting) {
                        self.deliver(at, parcel);
                    }
                }
                if self.nodes[at].swim.next_deadline().is_some_and(|due| due <= self.now) {
                    self.input(at, Input::Timer);
                }
            }
        }
    }

    pub(crate) fn state(&self, of: usize, at: usize) -> Option<MemberState> {
        self.swim(at).member(id(of)).map(|view| view.state)
    }

    /// Whether all that run, but for `of` itself, think so of it.
    pub(crate) fn all_hold(&self, of: usize, state: MemberState) -> bool {
        (0..self.nodes.len())
            .filter(|at| *at != of && self.nodes[*at].down_until.is_none())
            .all(|at| self.state(of, at) == Some(state))
    }

    pub(crate) fn changes(&self, of: usize, state: MemberState) -> Vec<(Instant, usize)> {
        let is_it = |output: &Output| matches!(output, Output::Changed { node, to, .. } if *node == id(of) && *to == state);
        self.events.iter().filter(|(_, _, output)| is_it(output)).map(|(at, node, _)| (*at, *node)).collect()
    }
}
