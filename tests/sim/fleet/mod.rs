//! A whole fleet in virtual time: any number of gates, datacenters with managers and workers, clients; production cores
//! joined by queues. What a driver does around its core is in `node`, what the network does in `network`; how a story is
//! told is in `story`.

mod network;
mod newer;
pub(crate) mod node;
mod shape;
mod story;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hyperscale_codec::messages::StatsUpdate;
use hyperscale_codec::{Kind, Limits, RawFrame, Role, ShardId};
use hyperscale_core::{Event, Instant, LinkDown, Peer};
use hyperscale_engine::orders::Origin;

use network::{End, Mail, Network};
pub(crate) use newer::lengthen;
use node::{Asked, Bare, Node, Wish};
pub(crate) use node::{Brain, Local};
pub(crate) use shape::Shape;

/// A shard of a node, by its number in the fleet.
pub(crate) type Place = usize;

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
    /// Connections made to addresses that several shards share.
    shared_dials: usize,
    /// A worker whose windows are lost on their way; everything else of it arrives.
    pub(crate) windows_lost_of: Option<usize>,
    /// Whether finals are lost between managers and gates; everything else arrives.
    pub(crate) finals_lost: bool,
    /// Everything delivered, in order: when, to whom, how many bytes.
    pub(crate) trace: Vec<(u64, Place, usize)>,
    /// Kinds delivered from each place.
    pub(crate) told: Vec<(Place, Kind)>,
    /// Windows delivered: from whom, of how many sources.
    pub(crate) updates: Vec<(Place, usize)>,
    /// Timers that fired without time passing.
    idle_fires: u32,
}

impl Fleet {
    /// Everybody starts at once, and finds the others.
    pub(crate) fn start(shape: Shape) -> Self {
        let mut fleet = Self {
            network: Network::new(),
            nodes: shape.nodes(),
            dues: BTreeSet::new(),
            due_of: Vec::new(),
            leaving: Vec::new(),
            shape,
            shared_dials: 0,
            windows_lost_of: None,
            finals_lost: false,
            trace: Vec::new(),
            told: Vec::new(),
            updates: Vec::new(),
            idle_fires: 0,
        };
        fleet.due_of.resize(fleet.nodes.len(), None);
        (0..fleet.nodes.len()).for_each(|at| fleet.boot(at));
        fleet.run_for_ms(100);
        fleet
    }

    /// Starts one shard's core; it meets the shards of its node that run.
    fn boot(&mut self, at: Place) {
        self.nodes[at].brain = Some(self.shape.brain(&self.nodes[at], self.network.now, at));
        let node = self.nodes[at].identity.node;
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            if self.nodes[other].identity.node == node && self.nodes[other].brain.is_some() {
                self.network.join_shards(at, other);
            }
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

    fn run_for(&mut self, time: Duration) {
        let end = self.network.now + time;
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
                if let Some((to, mail, end)) = self.network.next() {
                    self.deliver(to, mail, end);
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
        let now = self.network.now;
        let mut reports = Vec::new();
        for (shard, load) in (0_u16..).zip(&mut self.nodes[at].load) {
            if load.next_due().is_some_and(|due| due <= now) {
                reports.extend(load.tick(ShardId(shard), now));
            }
        }
        if reports.is_empty() {
            self.happen(at, Event::Timer);
        }
        for report in reports {
            self.tell(at, Local::Worker(hyperscale_worker::Local::Report(report)));
        }
        self.refresh(at);
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

    fn deliver(&mut self, to: Place, mail: Mail, end: Option<End>) {
        match (mail, end) {
            (Mail::Frame { link, bytes }, Some(end)) => {
                let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
                let (from, kind) = (self.nodes[end.peer].identity.role, frame.kind().unwrap());
                assert!(kind.senders().contains(from), "a {from} may not send {kind:?}");
                if kind == Kind::StatsUpdate
                    && self.windows_lost_of.map(|worker| self.worker(worker)) == Some(end.peer)
                {
                    return;
                }
                if kind == Kind::StatsFinal && self.finals_lost && from == Role::Manager {
                    return;
                }
                self.trace.push((self.network.now.0, to, bytes.len()));
                self.told.push((end.peer, kind));
                if kind == Kind::StatsUpdate {
                    let mut scratch = Vec::new();
                    let columns = &frame.decode::<StatsUpdate>(&mut scratch).unwrap().0;
                    self.updates.push((end.peer, columns.source_worker.len()));
                }
                self.happen(to, Event::Frame { link, frame });
            }
            (Mail::Up { link, dial }, Some(end)) => {
                let peer = Peer { addr: self.nodes[end.peer].addr, hello: self.nodes[end.peer].hello() };
                self.happen(to, Event::LinkUp { link, peer: &peer, dial });
            }
            (Mail::Down { link, why }, Some(_)) => self.happen(to, Event::LinkDown { link, why }),
            (Mail::Failed { dial, error }, _) => self.happen(to, Event::DialFailed { dial, error }),
            (Mail::Frame { .. } | Mail::Up { .. } | Mail::Down { .. }, None) => {}
        }
    }

    fn happen(&mut self, at: Place, event: Bare<'_>) {
        let wishes = self.nodes[at].happen(self.network.now, event);
        self.carry_out(at, wishes);
        self.refresh(at);
    }

    /// Its driver, or whoever runs it, tells a node something.
    pub(crate) fn tell(&mut self, at: Place, local: Local) {
        let wishes = self.nodes[at].tell(self.network.now, local);
        self.carry_out(at, wishes);
        self.refresh(at);
    }

    fn carry_out(&mut self, at: Place, wishes: Vec<Wish>) {
        let (mut closed, mut asked) = (Vec::new(), Vec::new());
        for wish in wishes {
            match wish {
                Wish::Send(link, bytes) if self.nodes[at].is_newer() => {
                    self.network.send(link, lengthen(&bytes));
                }
                Wish::Send(link, bytes) => self.network.send(link, bytes),
                Wish::Dial(dial, addr) => {
                    let to = self.who_listens(addr);
                    self.network.dial(at, dial, addr, to);
                }
                Wish::Close(link) => closed.push(link),
                Wish::Refused(_) => {}
                Wish::Datagram(port, to, bytes) => self.network.datagram(at, port, to, bytes),
                Wish::Asked(wish) => asked.push(wish),
            }
        }
        for link in closed {
            self.network.close(link);
            self.happen(at, Event::LinkDown { link, why: LinkDown::Local });
        }
        asked.into_iter().for_each(|wish| self.meet(at, wish));
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
                self.tell(at, Local::Gate(hyperscale_gate::Local::Committed(committed)));
            }
            Asked::Manager(M::Propose(entry)) => {
                let committed = self.nodes[at].ledger.commit(entry);
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
                self.nodes[at].refused = Some(why);
                self.leaving.push(at);
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
            Asked::Client(hyperscale_client::Command::Notify(notice)) => self.nodes[at].notices.push(notice),
            Asked::Worker(W::Order { shard, order }) => {
                let load = &mut self.nodes[at].load[usize::from(shard.0)];
                for report in load.order(shard, self.network.now, order) {
                    self.tell(at, Local::Worker(FromLoad::Report(report)));
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
        self.nodes[at].brain = None;
        self.network.remove(at);
        self.refresh(at);
    }
}
