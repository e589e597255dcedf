//! A whole fleet in virtual time: any number of gates, datacenters with managers and workers, clients; production cores
//! joined by a network. What a core wants is in `node`; what its driver does with links in `driver`, and with frames
//! before the core gets them in `door`; how its host is in `life`, and what work costs there in `capacity`,
//! who measures that in `monitor`, and what it keeps in `disk`; who does nothing but ask in `crowd`; what the network does in `network` and `weather`; what goes wrong is in `trouble`; how a story is told is in `story`.

mod capacity;
pub(crate) mod crowd;
mod disk;
mod door;
mod driver;
mod life;
mod losing;
mod monitor;
pub(crate) mod network;
mod newer;
pub(crate) mod node;
mod shape;
mod story;
mod trouble;
pub(crate) mod weather;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::{JobStatusPush, StatsSnapshot, StatsUpdate};
use hyperscale_codec::{Header, Kind, Limits, RawFrame, Role, ShardId};
use hyperscale_core::{DatagramPort, DialError, Event, Instant, LinkDown, LinkId, Peer};
use hyperscale_engine::orders::Origin;
use hyperscale_reliability::AnswerWriter;

use crate::checkers::Checkers;
use crate::hash::TraceHash;
pub(crate) use capacity::Costs;
use capacity::Work;
use network::{Mail, Network};
pub(crate) use newer::lengthen;
use node::{Asked, Bare, Node, Wish};
pub(crate) use node::{Brain, Local};
pub(crate) use shape::{Shape, job_id};

/// A shard of a node, by its number in the fleet.
pub(crate) type Place = usize;

/// What a driver has to tell its core next.
enum Chained {
    Local(Local),
    Down(LinkId, LinkDown),
}

/// A message with figures was delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) at: Instant,
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// They reach until then, after the job's start.
    pub(crate) until_us: u64,
}

/// A fleet.
pub(crate) struct Fleet {
    pub(crate) network: Network,
    nodes: Vec<Node>,
    /// When who has something to do.
    dues: BTreeSet<(Instant, Place)>,
    due_of: Vec<Option<Instant>>,
    /// Whose process ends after what happens now.
    leaving: Vec<Place>,
    shape: Shape,
    disks: disk::Disks,
    /// Connections made to addresses that several shards share.
    shared_dials: usize,
    /// A worker whose windows are lost on their way; everything else of it arrives.
    pub(crate) windows_lost_of: Option<usize>,
    /// Whether finals are lost between managers and gates; everything else arrives.
    pub(crate) finals_lost: bool,
    losing: losing::Losing,
    /// Everything delivered, in order: when, to whom, how many bytes.
    pub(crate) trace: Vec<(u64, Place, usize)>,
    /// Kinds delivered from each place.
    pub(crate) told: Vec<(Place, Kind)>,
    /// Windows delivered: from whom, of how many sources.
    pub(crate) updates: Vec<(Place, usize)>,
    /// Figures delivered, in order.
    pub(crate) figures: Vec<Figures>,
    /// What events led to in the cores themselves, in order; a driver tells them before anything from outside.
    chain: VecDeque<(Place, Chained)>,
    settling: bool,
    /// Timers that fired without time passing.
    idle_fires: u32,
    /// A link between nodes that is silent for so long is ended by its drivers, if they do such a thing.
    pub(crate) idle: Option<Duration>,
    /// Writes what refused frames are answered.
    answers: AnswerWriter,
    /// Whether the load of nodes is measured.
    measured: bool,
    /// Over everything that was delivered, and when.
    pub(crate) hash: TraceHash,
    pub(crate) checkers: Checkers,
    /// Whether everything but heartbeats is told to who watches.
    pub(crate) verbose: bool,
}

impl Fleet {
    /// Everybody starts at once, and finds the others.
    pub(crate) fn start(shape: Shape) -> Self {
        Self::start_in(shape, None, None)
    }

    /// The same on such a network, with drivers that end links which are silent for so long.
    pub(crate) fn start_in(shape: Shape, weather: Option<weather::Weather>, idle: Option<Duration>) -> Self {
        Self::start_with(shape, weather, idle, losing::Losing::default())
    }

    fn start_with(
        shape: Shape,
        weather: Option<weather::Weather>,
        idle: Option<Duration>,
        losing: losing::Losing,
    ) -> Self {
        let mut fleet = Self {
            network: Network::new(),
            nodes: shape.nodes(),
            dues: BTreeSet::new(),
            due_of: Vec::new(),
            leaving: Vec::new(),
            shape,
            disks: disk::Disks::default(),
            shared_dials: 0,
            windows_lost_of: None,
            finals_lost: false,
            losing,
            trace: Vec::new(),
            told: Vec::new(),
            updates: Vec::new(),
            figures: Vec::new(),
            chain: VecDeque::new(),
            settling: false,
            idle_fires: 0,
            idle,
            answers: AnswerWriter::default(),
            measured: false,
            hash: TraceHash::default(),
            checkers: Checkers::default(),
            verbose: false,
        };
        fleet.network.weather = weather;
        fleet.due_of.resize(fleet.nodes.len(), None);
        (0..fleet.nodes.len()).for_each(|at| fleet.boot(at));
        fleet.run_for_ms(100);
        fleet
    }

    /// Starts one shard's core; it meets the shards of its node that run.
    fn boot(&mut self, at: Place) {
        let archive = self.found_by(at);
        let brain = self.shape.brain(&self.nodes[at], self.network.now, at, archive);
        self.boot_as(at, brain);
    }

    fn boot_as(&mut self, at: Place, brain: Brain) {
        let now = self.network.now;
        self.network.hosts = self.nodes.iter().map(|node| node.host).collect();
        self.network.dark.remove(&self.nodes[at].host);
        let node = &mut self.nodes[at];
        node.life.swept = node.life.local(now);
        node.brain = Some(brain);
        self.open_door(at);
        self.start_monitor(at);
        let node = self.nodes[at].identity.node;
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            if self.nodes[other].identity.node == node && self.nodes[other].brain.is_some() {
                let both = [at, other].map(|at| (at, self.nodes[at].hello()));
                let [own, others] = both;
                self.network.join_shards(own, others);
            }
        }
        if self.idle.is_some() {
            self.network.post_local(at, driver::SWEEP, Mail::Sweep);
        }
        if let Some(join) = self.nodes[at].joins() {
            self.tell(at, join);
        }
    }

    pub(crate) fn run_for_ms(&mut self, ms: u64) {
        self.run_for(Duration::from_millis(ms));
    }

    pub(crate) fn run_for_us(&mut self, us: u64) {
        self.run_for(Duration::from_micros(us));
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_to(self.network.now + time);
    }

    pub(crate) fn run_to(&mut self, end: Instant) {
        while self.step(end) {}
        self.network.now = end;
    }

    /// The next thing that happens, if it happens before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let (mail, due) = (self.network.next_due(), self.dues.first().copied());
        let Some(next) = mail.into_iter().chain(due.map(|(at, _)| at)).min().filter(|at| *at <= end) else {
            return false;
        };
        if next > self.network.now {
            (self.network.now, self.idle_fires) = (next, 0);
        }
        match due {
            Some((_, at)) if mail != Some(next) => self.fire(at),
            Some(_) | None => {
                if let Some((to, mail)) = self.network.next() {
                    self.arrive(to, mail);
                }
            }
        }
        for at in std::mem::take(&mut self.leaving) {
            self.stop(at);
        }
        true
    }

    /// What is due at a node: its load shards first.
    fn fire(&mut self, at: Place) {
        self.idle_fires += 1;
        assert!(self.idle_fires < 100_000, "{} does nothing for ever", self.nodes[at].identity.name);
        let world = self.network.now;
        let now = self.nodes[at].life.local(world);
        let mut reports = Vec::new();
        for (shard, load) in (0_u16..).zip(&mut self.nodes[at].load) {
            if load.next_due().is_some_and(|due| due <= now) {
                reports.extend(load.tick(ShardId(shard), now));
            }
        }
        if reports.is_empty() && self.nodes[at].life.free_at() <= world {
            self.take_turn(at, now);
        }
        for report in reports {
            self.report(at, report);
        }
        self.refresh(at);
    }

    /// A core that is free takes what waits, or its timer: by turns, so that neither starves.
    fn take_turn(&mut self, at: Place, now: Instant) {
        let node = &mut self.nodes[at];
        let timer = node.core_due().is_some_and(|due| due <= now);
        let waits = !node.life.inbox.is_empty();
        if waits && !(timer && node.life.timers_first) {
            node.life.timers_first = true;
            if let Some((came, mail)) = node.life.inbox.pop_front() {
                self.deliver(at, came, mail);
            }
        } else if timer {
            node.life.timers_first = false;
            self.hash.timer(self.network.now, at);
            self.happen(at, Event::Timer);
        }
    }

    /// One of its load shards says something.
    fn report(&mut self, at: Place, report: hyperscale_engine::orders::Report) {
        self.say(at, || format!("its load shard says {:.200}", format!("{report:?}")));
        self.checkers.on_report(at, &report);
        self.tell(at, Local::Worker(hyperscale_worker::Local::Report(report)));
    }

    fn refresh(&mut self, at: Place) {
        let due = self.nodes[at].next_due();
        if due != self.due_of[at] {
            if let Some(old) = self.due_of[at] {
                self.dues.remove(&(old, at));
            }
            self.dues.extend(due.map(|due| (due, at)));
            self.due_of[at] = due;
        }
    }

    /// Something reaches a host; its process reads it when it can.
    fn arrive(&mut self, to: Place, mail: Mail) {
        if let Mail::Tick = mail {
            return self.tick(to);
        }
        let (now, life) = (self.network.now, &mut self.nodes[to].life);
        if life.free_at() > now || !life.inbox.is_empty() {
            life.inbox.push_back((now, mail));
            let bounds = &mut self.checkers.bounds;
            bounds.waiting_most = bounds.waiting_most.max(life.inbox.len());
            return self.refresh(to);
        }
        self.deliver(to, now, mail);
    }

    /// A process reads what came to its host at `came`.
    fn deliver(&mut self, to: Place, came: Instant, mail: Mail) {
        let end = mail.link().and_then(|link| self.network.end(link));
        if mail.link().is_some() && end.is_none() {
            return;
        }
        self.hash.mail(self.network.now, to, &mail);
        if self.verbose {
            self.tell_of(to, &mail, end.map(|end| end.peer));
        }
        match (mail, end) {
            (Mail::Frame { link, bytes }, Some(end)) => {
                self.deliver_frame(to, link, &bytes, end.peer);
                self.sample(to, came);
            }
            (Mail::Up { link, dial, hello }, Some(end)) => self.link_up(to, link, dial, *hello, end.peer),
            (Mail::Down { link, why }, Some(_)) => {
                self.end_of(to, link);
                self.happen(to, Event::LinkDown { link, why });
            }
            (Mail::Greeting { from, dial, hello }, _) => self.greet(to, from, dial, *hello),
            (Mail::Failed { dial, error }, _) => {
                self.network.dial_ends(to, dial, false);
                self.happen(to, Event::DialFailed { dial, error });
            }
            (Mail::Waited { dial, error }, _) => {
                if self.network.dial_ends(to, dial, false) {
                    self.network.marks.hit("dial timed out");
                    self.happen(to, Event::DialFailed { dial, error });
                }
            }
            (Mail::Datagram { port, from, bytes }, _) => {
                self.happen(to, Event::Datagram { port, from, bytes: &bytes });
            }
            (Mail::Sweep, _) => self.sweep(to),
            (Mail::Frame { .. } | Mail::Up { .. } | Mail::Down { .. }, None) | (Mail::Tick, _) => {}
        }
    }

    fn deliver_frame(&mut self, to: Place, link: LinkId, bytes: &[u8], from: Place) {
        let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
        let role = self.nodes[from].identity.role;
        let kind = header.admit(role).unwrap().unwrap();
        if kind == Kind::StatsUpdate && self.windows_lost_of.map(|worker| self.worker(worker)) == Some(from) {
            return;
        }
        if kind == Kind::StatsFinal && self.finals_lost && role == Role::Manager {
            return;
        }
        if self.losing.loses(kind) {
            return self.say(to, || format!("does not get a {kind:?}"));
        }
        // Nobody counts what a crowd says.
        if !self.nodes[from].is_crowd() && !self.nodes[to].is_crowd() {
            self.trace.push((self.network.now.0, to, bytes.len()));
            self.told.push((from, kind));
        }
        let heard = self.local_now(to);
        if let Some(end) = self.network.end_mut(link) {
            (end.heard, end.unreachable) = (heard, None);
        }
        if !self.judge(to, link, &header, from) {
            return self.charge(to, Work::Refusal);
        }
        let frame = RawFrame::read(bytes, &Limits::default()).unwrap();
        if kind == Kind::StatsUpdate {
            let mut scratch = Vec::new();
            let columns = &frame.decode::<StatsUpdate>(&mut scratch).unwrap().0;
            self.updates.push((from, columns.source_worker.len()));
        }
        self.note_figures(&frame, kind, (from, to));
        self.happen_at_cost(to, Event::Frame { link, frame }, Work::Frame(kind));
        if self.losing.doubles(&header, kind) && self.network.end(link).is_some() {
            self.happen_at_cost(to, Event::Frame { link, frame }, Work::Frame(kind));
        }
    }

    /// Notes how far the figures of a message reach: those that a view is made of.
    fn note_figures(&mut self, frame: &RawFrame<'_>, kind: Kind, (from, to): (Place, Place)) {
        let mut scratch = Vec::new();
        let until_us = match kind {
            Kind::StatsUpdate => frame.decode::<StatsUpdate>(&mut scratch).unwrap().0.end_us.to_native(),
            Kind::StatsSnapshot => {
                let columns = &frame.decode::<StatsSnapshot>(&mut scratch).unwrap().0;
                // A gate's view is made of windows, and of a total only where no windows come. A manager has no other.
                let of_the_view = self.nodes[to].identity.role == Role::Manager;
                if !of_the_view && columns.unsent_windows().is_none() {
                    return;
                }
                columns.end_us.to_native()
            }
            Kind::JobStatusPush => {
                frame.decode::<JobStatusPush>(&mut scratch).unwrap().to_ms.to_native() * 1_000
            }
            _ => return,
        };
        self.figures.push(Figures { at: self.network.now, from, to, until_us });
    }

    /// What a place's clock shows.
    pub(crate) fn local_now(&self, at: Place) -> Instant {
        self.nodes[at].life.local(self.network.now)
    }

    fn happen(&mut self, at: Place, event: Bare<'_>) {
        self.happen_at_cost(at, event, Work::Event);
    }

    fn happen_at_cost(&mut self, at: Place, event: Bare<'_>, work: Work) {
        let now = self.local_now(at);
        let wishes = self.nodes[at].happen(now, event);
        self.charge(at, work);
        self.carry_out_and_settle(at, wishes);
    }

    /// A link is gone for one of its ends.
    fn end_of(&mut self, at: Place, link: LinkId) {
        self.network.forget(link);
        if let Some(door) = &mut self.nodes[at].door {
            door.forget(link);
        }
    }

    /// Carries out what a core wants, and all that follows from it.
    fn carry_out_and_settle(&mut self, at: Place, wishes: Vec<Wish>) {
        let within = std::mem::replace(&mut self.settling, true);
        self.carry_out(at, wishes);
        self.refresh(at);
        self.settling = within;
        self.settle();
    }

    /// Its driver, or whoever runs it, tells a node something.
    pub(crate) fn tell(&mut self, at: Place, local: Local) {
        self.chain.push_back((at, Chained::Local(local)));
        self.settle();
    }

    /// Tells cores what their own wishes led to, until nothing is left.
    fn settle(&mut self) {
        if std::mem::replace(&mut self.settling, true) {
            return;
        }
        while let Some((at, next)) = self.chain.pop_front() {
            let now = self.local_now(at);
            let wishes = match next {
                Chained::Local(local) => self.nodes[at].tell(now, local),
                Chained::Down(link, _) if self.network.end(link).is_none() => continue,
                Chained::Down(link, why) => {
                    self.network.close(link);
                    self.end_of(at, link);
                    self.nodes[at].happen(now, Event::LinkDown { link, why })
                }
            };
            self.charge(at, Work::Event);
            self.carry_out(at, wishes);
            self.refresh(at);
        }
        self.settling = false;
    }

    fn carry_out(&mut self, at: Place, wishes: Vec<Wish>) {
        self.checkers.bounds.on_wishes(&self.nodes[at].identity.name, &wishes, &mut self.network.marks);
        for wish in wishes {
            match wish {
                Wish::Send(link, bytes) => {
                    let bytes = if self.nodes[at].is_newer() { lengthen(&bytes) } else { bytes };
                    if let Some(end) = self.network.end(link) {
                        let peer = &self.nodes[end.peer];
                        let (gone, who) = (peer.life.gone_since, &peer.identity.name);
                        self.checkers.routing.on_frame(self.network.now, &bytes, gone, who);
                    }
                    self.send(at, link, bytes);
                }
                Wish::Dial(dial, addr) => {
                    let to = self.who_listens(addr);
                    let of_addr = |node: &&Node| node.addr == addr || node.identity.addr == Some(addr);
                    let host = self.nodes.iter().find(of_addr).map(|node| node.host);
                    let hello = Box::new(self.nodes[at].hello_for(dial));
                    self.network.dial(at, dial, addr, to, host, hello);
                }
                Wish::Close(link) => self.chain.push_back((at, Chained::Down(link, LinkDown::Local))),
                Wish::Refused(_) => {}
                Wish::Datagram(port, to, bytes) => self.send_datagram(at, port, to, bytes),
                Wish::Asked(wish) => self.meet(at, wish),
            }
        }
    }

    /// Puts a frame into a link's queue; a link whose queue is full ends.
    fn send(&mut self, at: Place, link: LinkId, bytes: Vec<u8>) {
        if !self.network.send(link, bytes) {
            self.network.marks.hit("send queue full");
            let why = "its peer does not read as fast as this node sends; its queue is full";
            self.chain.push_back((at, Chained::Down(link, LinkDown::Protocol(why.to_owned()))));
        }
    }

    /// Sends a datagram from one of its ports to who has the other: the first shard of a node has them.
    pub(crate) fn send_datagram(&mut self, at: Place, port: DatagramPort, to: SocketAddr, bytes: Vec<u8>) {
        self.checkers.bounds.on_datagram(&bytes);
        let Some(from) = self.nodes[at].datagram_addr(port) else { return };
        let ports = [DatagramPort::Membership, DatagramPort::Health];
        let has = |at: &Place, port| {
            let node = &self.nodes[*at];
            node.shard.0 == 0 && node.datagram_addr(port) == Some(to)
        };
        let found = (0..self.nodes.len())
            .filter(|at| self.nodes[*at].brain.is_some())
            .find_map(|at| ports.into_iter().find(|port| has(&at, *port)).map(|port| (at, port)));
        match found {
            Some(to) => self.network.datagram((at, from), to, bytes),
            None => self.network.marks.hit("datagram to nobody"),
        }
    }

    /// One of the shards that run at an address.
    fn who_listens(&mut self, addr: SocketAddr) -> Option<Place> {
        let runs = |at: &Place| self.nodes[*at].brain.is_some();
        let own = (0..self.nodes.len()).filter(runs).find(|at| self.nodes[*at].addr == addr);
        let shared = || {
            let all = (0..self.nodes.len()).filter(|at| self.nodes[*at].identity.addr == Some(addr));
            let all: Vec<Place> = all.filter(runs).collect();
            (!all.is_empty()).then(|| all[self.shared_dials % all.len()])
        };
        let found = own.or_else(shared);
        self.shared_dials += usize::from(own.is_none());
        found
    }

    /// What a driver does for its core.
    fn meet(&mut self, at: Place, asked: Asked) {
        use hyperscale_gate::Command as G;
        use hyperscale_manager::Command as M;
        use hyperscale_worker::{Command as W, Local as FromLoad};
        match asked {
            Asked::Gate(G::Propose(entry)) => {
                let committed = self.nodes[at].ledger.commit(entry);
                self.say(at, || format!("commits {committed:?}"));
                self.checkers.facts.on_gate(at, self.nodes[at].who(), &committed, &mut self.network.marks);
                self.tell(at, Local::Gate(hyperscale_gate::Local::Committed(committed)));
            }
            Asked::Manager(M::Propose(entry)) => {
                let committed = self.nodes[at].ledger.commit(entry);
                self.say(at, || format!("commits {committed:?}"));
                self.checkers.facts.on_manager(at, self.nodes[at].who(), &committed, &mut self.network.marks);
                self.tell(at, Local::Manager(hyperscale_manager::Local::Committed(committed)));
            }
            Asked::Gate(G::Drained) | Asked::Manager(M::Drained) | Asked::Worker(W::Drained) => {
                self.nodes[at].drained = true;
                let node = self.nodes[at].identity.node;
                let shards: Vec<Place> =
                    (0..self.nodes.len()).filter(|other| self.nodes[*other].identity.node == node).collect();
                if shards.iter().all(|shard| self.nodes[*shard].drained) {
                    self.leaving.extend(shards);
                }
            }
            Asked::Gate(G::Refused(why))
            | Asked::Manager(M::Refused(why))
            | Asked::Worker(W::Refused(why)) => {
                // Its process ends, and with it all its shards.
                self.nodes[at].refused = Some(why);
                let node = self.nodes[at].identity.node;
                let same = |other: &Place| self.nodes[*other].identity.node == node;
                self.leaving.extend((0..self.nodes.len()).filter(same));
            }
            Asked::Gate(G::Members(members)) => {
                let node = self.nodes[at].identity.node;
                let others = (0..self.nodes.len()).filter(|other| *other != at);
                let others: Vec<Place> =
                    others.filter(|other| self.nodes[*other].identity.node == node).collect();
                for other in others {
                    self.tell(other, Local::Gate(hyperscale_gate::Local::Members(members.clone())));
                }
            }
            Asked::Gate(G::Archive(order)) => self.order_disk(at, order),
            Asked::Client(hyperscale_client::Command::Notify(notice)) => {
                self.say(at, || format!("tells its user {:.200}", format!("{notice:?}")));
                let node = &mut self.nodes[at];
                self.checkers.subscribers.on_notice(
                    at,
                    &node.identity.name,
                    &notice,
                    &mut self.network.marks,
                );
                node.notices.push(notice);
            }
            Asked::Worker(W::Order { shard, order }) => {
                self.say(at, || format!("orders shard {} {:.200}", shard.0, format!("{order:?}")));
                let now = self.local_now(at);
                let load = &mut self.nodes[at].load[usize::from(shard.0)];
                for report in load.order(shard, now, order) {
                    self.report(at, report);
                }
            }
            Asked::Worker(W::Resolve { key, hosts }) => {
                let origins = hosts.into_iter().map(|at| Origin {
                    addrs: vec![SocketAddr::from(([127, 0, 0, 1], at.port))],
                    host: at.host,
                    port: at.port,
                });
                let result = Ok(origins.collect());
                self.tell(at, Local::Worker(FromLoad::Resolved { key, result }));
            }
        }
    }

    /// A process ends.
    fn stop(&mut self, at: Place) {
        self.nodes[at].end();
        self.network.remove(at);
        self.refresh(at);
    }
}
