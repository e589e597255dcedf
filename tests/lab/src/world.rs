//! Nodes, their clocks and what happens to them.

use std::collections::VecDeque;

use crate::network::Network;
use crate::parcels::What;
use crate::protocol::{Input, Outbox, Protocol};
use crate::queue::{Entry, Kind, Wheel};
use crate::watch::Watch;
use crate::{MS, Nanos};

/// So many datagrams wait at a node that is blocked, as in a socket's buffer; what comes then is lost.
pub const DATAGRAMS_MAX: usize = 200;
/// A woken node handles so many messages before it looks at its deadlines.
const BATCH: u32 = 64;
/// A dial without an answer is given up after this.
const DIAL_TIMEOUT: Nanos = 500 * MS;
/// The longest datagram there may be.
const DATAGRAM_BYTES_MAX: usize = 1_400;

/// What was sent, all nodes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub datagrams: u64,
    pub datagram_bytes: u64,
    /// Member lists over TCP.
    pub stream_bytes: u64,
    pub dials: u64,
    /// Lost in full buffers of blocked nodes.
    pub overflowed: u64,
    /// Inputs that nodes handled.
    pub events: u64,
}

/// What a node that was blocked handles first when it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wake {
    /// All overdue deadlines, then messages in batches. A process whose timers are threads or tasks of their own does
    /// so, and the paper's members, whose timers ran on while they could neither send nor receive.
    #[default]
    TimersFirst,
    /// A batch of messages, then overdue deadlines: an event loop that reads its socket before it looks at the clock.
    MessagesFirst,
}

#[derive(Debug)]
struct Node<P> {
    protocol: P,
    up: bool,
    blocked_until: Nanos,
    /// The time each input takes; zero for none.
    cost: Nanos,
    /// The time of the earliest timer entry in the queue.
    armed: Nanos,
    /// Until then its messages are held back in both directions; its deadlines are not.
    held_until: Nanos,
    /// Receiver and parcel of what was held back.
    outbox: Vec<(u32, u32)>,
    inbox: VecDeque<u32>,
    inbox_datagrams: usize,
    messages_since_timer: u32,
    /// End of its last pause or stop.
    well_since: Nanos,
}

#[derive(Debug)]
struct Dial {
    origin: u32,
    target: u32,
    done: bool,
}

/// A simulated fleet of nodes that run one protocol.
#[derive(Debug)]
pub struct World<P> {
    pub network: Network,
    pub watch: Watch,
    nodes: Vec<Node<P>>,
    queue: Wheel,
    out: Outbox,
    traffic: Traffic,
    now: Nanos,
    dials: Vec<Dial>,
    free_dials: Vec<u32>,
    list: Vec<u8>,
    wake: Wake,
}

impl<P: Protocol> World<P> {
    /// Nodes made by `make(node, start)`; each starts at its own instant within `stagger`, so that their rounds lie
    /// apart.
    pub fn new(
        nodes: usize,
        network: Network,
        stagger: Nanos,
        mut make: impl FnMut(u32, Nanos, &mut Outbox) -> P,
    ) -> Self {
        let mut world = Self {
            network,
            watch: Watch::new(nodes),
            nodes: Vec::with_capacity(nodes),
            queue: Wheel::default(),
            out: Outbox::default(),
            traffic: Traffic::default(),
            now: 0,
            dials: Vec::new(),
            free_dials: Vec::new(),
            list: Vec::new(),
            wake: Wake::default(),
        };
        for node in 0..nodes as u32 {
            let start = stagger * u64::from(node.wrapping_mul(0x9e37_79b1)) / (1 << 32);
            world.out.from = node;
            let protocol = make(node, start, &mut world.out);
            world.nodes.push(Node::new(protocol, start));
            // What it wants done as it starts is done at once; the network is slower than that.
            world.now = start;
            world.carry_out(node);
            world.queue.push(start, Kind::Wake, node, 0);
        }
        world.now = 0;
        world
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// The protocol of a node.
    #[must_use]
    pub fn protocol(&self, node: u32) -> &P {
        &self.nodes[node as usize].protocol
    }

    /// Whether a node runs (it may be blocked).
    #[must_use]
    pub fn is_up(&self, node: u32) -> bool {
        self.nodes[node as usize].up
    }

    /// What was sent so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// What blocked nodes handle first when they go on.
    pub fn set_wake(&mut self, wake: Wake) {
        self.wake = wake;
    }

    /// Runs until `at`.
    pub fn run_until(&mut self, at: Nanos) {
        while self.queue.next_at().is_some_and(|next| next <= at) {
            let Some(entry) = self.queue.pop() else { break };
            self.now = self.now.max(entry.at);
            self.step(entry);
        }
        self.now = at.max(self.now);
    }

    /// Runs for `time`.
    pub fn run_for(&mut self, time: Nanos) {
        self.run_until(self.now + time);
    }

    /// Blocks a node until `until`: it handles nothing, its deadlines pass.
    pub fn block(&mut self, node: u32, until: Nanos) {
        let state = &mut self.nodes[node as usize];
        state.blocked_until = state.blocked_until.max(until);
        state.well_since = state.well_since.max(until);
        self.queue.push(until, Kind::Wake, node, 0);
    }

    /// Holds a node's messages back in both directions until `until`; its deadlines go on. This is how the Lifeguard
    /// paper's members were disturbed: each send and each receipt waited for the end of the disturbance.
    pub fn hold(&mut self, node: u32, until: Nanos) {
        let state = &mut self.nodes[node as usize];
        state.held_until = state.held_until.max(until);
        state.well_since = state.well_since.max(until);
        self.queue.push(until, Kind::Wake, node, 0);
    }

    /// Whether a node is blocked now.
    #[must_use]
    pub fn is_blocked(&self, node: u32) -> bool {
        self.nodes[node as usize].blocked_until > self.now
    }

    /// From now on each input takes a node so long.
    pub fn set_cost(&mut self, node: u32, cost: Nanos) {
        self.nodes[node as usize].cost = cost;
    }

    /// Stops a node as if its host lost power.
    pub fn stop(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.up = false;
        state.inbox_datagrams = 0;
        for (_, slot) in state.outbox.drain(..) {
            self.out.parcels.drop_parcel(slot);
        }
        for slot in state.inbox.drain(..) {
            self.out.parcels.drop_parcel(slot);
        }
    }

    /// Starts a stopped node anew.
    pub fn restart(&mut self, node: u32, make: impl FnOnce(Nanos, &mut Outbox) -> P) {
        self.out.from = node;
        let protocol = make(self.now, &mut self.out);
        self.watch.restarted(node);
        let mut fresh = Node::new(protocol, self.now);
        fresh.well_since = self.now;
        self.nodes[node as usize] = fresh;
        self.carry_out(node);
        self.queue.push(self.now, Kind::Wake, node, 0);
    }

    /// Tells a node something out of turn, blocked or not.
    pub fn tell(&mut self, node: u32, input: Input<'_>) {
        if self.nodes[node as usize].up {
            self.out.from = node;
            self.nodes[node as usize].protocol.handle(self.now, input, &mut self.out);
            self.carry_out(node);
            self.arm(node);
        }
    }

    /// Lets two nodes exchange their lists over TCP.
    pub fn exchange(&mut self, node: u32, with: u32) {
        self.out.from = node;
        self.out.exchange(with);
        self.carry_out(node);
    }

    /// The running nodes.
    #[must_use]
    pub fn running(&self) -> Vec<u32> {
        (0..self.nodes()).filter(|&node| self.is_up(node)).collect()
    }

    fn step(&mut self, entry: Entry) {
        match entry.kind {
            Kind::Arrival => self.arrive(entry.node, entry.slot),
            Kind::Timer => {
                let node = &mut self.nodes[entry.node as usize];
                if node.armed != entry.at {
                    return; // An earlier deadline took its place.
                }
                node.armed = Nanos::MAX;
                if node.up && node.blocked_until <= self.now {
                    self.fire(entry.node);
                    self.arm(entry.node);
                }
            }
            Kind::Wake => self.drain(entry.node),
            Kind::DialTimeout => {
                let dial = &mut self.dials[entry.slot as usize];
                let (target, waits) = (dial.target, !dial.done);
                dial.done = true;
                self.free_dials.push(entry.slot);
                if waits {
                    self.tell(entry.node, Input::DialDone { node: target, answered: false });
                }
            }
        }
    }

    fn arrive(&mut self, to: u32, slot: u32) {
        let node = &mut self.nodes[to as usize];
        if !node.up {
            self.out.parcels.drop_parcel(slot);
        } else if node.blocked_until.max(node.held_until) > self.now || !node.inbox.is_empty() {
            if matches!(self.out.parcels.get(slot).what, What::Datagram { .. }) {
                if node.inbox_datagrams >= DATAGRAMS_MAX {
                    self.traffic.overflowed += 1;
                    self.out.parcels.drop_parcel(slot);
                    return;
                }
                node.inbox_datagrams += 1;
            }
            node.inbox.push_back(slot);
        } else {
            self.handle(to, slot);
            self.arm(to);
        }
    }

    /// A node that was blocked goes on: messages that wait, and overdue deadlines after each batch of them.
    fn drain(&mut self, node: u32) {
        // Some: a deadline that stays due must not keep messages out for ever.
        let mut timers_first = if self.wake == Wake::TimersFirst { 8_u32 } else { 0 };
        loop {
            let state = &mut self.nodes[node as usize];
            if !state.up || state.blocked_until.max(state.held_until) > self.now {
                return;
            }
            for (to, slot) in std::mem::take(&mut state.outbox) {
                self.launch(node, to, slot);
            }
            let state = &mut self.nodes[node as usize];
            let is_due = state.protocol.next_deadline() <= self.now;
            let is_turn = timers_first > 0 || state.inbox.is_empty() || state.messages_since_timer >= BATCH;
            if is_due && is_turn {
                timers_first = timers_first.saturating_sub(1);
                state.messages_since_timer = 0;
                self.fire(node);
            } else if let Some(slot) = state.inbox.pop_front() {
                if matches!(self.out.parcels.get(slot).what, What::Datagram { .. }) {
                    state.inbox_datagrams -= 1;
                }
                state.messages_since_timer += 1;
                self.handle(node, slot);
            } else {
                state.messages_since_timer = 0;
                break;
            }
        }
        self.arm(node);
    }

    fn fire(&mut self, node: u32) {
        self.out.from = node;
        let now = self.now;
        let state = &mut self.nodes[node as usize];
        if state.protocol.next_deadline() > now {
            return;
        }
        state.protocol.handle(now, Input::Timer, &mut self.out);
        self.spend(node);
        self.carry_out(node);
    }

    fn handle(&mut self, node: u32, slot: u32) {
        let (from, what) = {
            let parcel = self.out.parcels.get(slot);
            (parcel.from, parcel.what)
        };
        let bytes = self.out.parcels.lend(slot);
        self.out.from = node;
        let now = self.now;
        match what {
            What::Datagram { port } => {
                let input = Input::Datagram { from, port, bytes: &bytes };
                self.nodes[node as usize].protocol.handle(now, input, &mut self.out);
            }
            What::List { asks } => {
                if asks {
                    self.send_list(node, from, false);
                }
                self.nodes[node as usize].protocol.handle(now, Input::List { bytes: &bytes }, &mut self.out);
            }
            What::Dial { dial } => {
                let answer = self.out.parcels.put(node, What::DialAnswer { dial }, &[]);
                self.send_stream(node, from, answer);
            }
            What::DialAnswer { dial } => {
                let dial = &mut self.dials[dial as usize];
                // The slot may be another dial's by now, if this answer was late.
                if !dial.done && dial.origin == node && dial.target == from {
                    dial.done = true;
                    let input = Input::DialDone { node: from, answered: true };
                    self.nodes[node as usize].protocol.handle(now, input, &mut self.out);
                }
            }
        }
        self.out.parcels.give_back(slot, bytes);
        self.spend(node);
        self.carry_out(node);
    }

    /// A slow node is busy for a while after each input.
    fn spend(&mut self, node: u32) {
        self.traffic.events += 1;
        let state = &mut self.nodes[node as usize];
        if state.cost > 0 {
            state.blocked_until = self.now + state.cost;
            self.queue.push(state.blocked_until, Kind::Wake, node, 0);
        }
    }

    fn arm(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        let deadline = state.protocol.next_deadline();
        if deadline < state.armed {
            // One that does not move its deadline on would stop the clock.
            state.armed = deadline.max(self.now + 1);
            self.queue.push(state.armed, Kind::Timer, node, 0);
        }
    }

    fn carry_out(&mut self, node: u32) {
        let mut datagrams = std::mem::take(&mut self.out.datagrams);
        for (to, slot) in datagrams.drain(..) {
            self.send_datagram(node, to, slot);
        }
        self.out.datagrams = datagrams; // Its memory serves again.
        while let Some(target) = self.out.dials.pop() {
            self.dial(node, target);
        }
        while let Some(with) = self.out.exchanges.pop() {
            self.send_list(node, with, true);
        }
        if !self.out.changes.is_empty() {
            for about in std::mem::take(&mut self.out.changes) {
                let subject = &self.nodes.get(about.0 as usize);
                let is_well = subject.is_some_and(|subject| {
                    subject.up && subject.blocked_until.max(subject.held_until) <= self.now
                }) && !self.network.is_cut_anywhere(about.0);
                let well_since = subject.filter(|_| is_well).map(|subject| subject.well_since);
                self.watch.changed(self.now, node, about, well_since);
            }
        }
    }

    fn send_datagram(&mut self, from: u32, to: u32, slot: u32) {
        let length = self.out.parcels.get(slot).bytes.len();
        self.traffic.datagrams += 1;
        self.traffic.datagram_bytes += length as u64;
        if length > DATAGRAM_BYTES_MAX {
            self.watch.violation(format!("{}: node {from} sent a datagram of {length} bytes", self.now));
        }
        let sender = &mut self.nodes[from as usize];
        if sender.held_until > self.now {
            if sender.outbox.len() < DATAGRAMS_MAX {
                sender.outbox.push((to, slot));
            } else {
                self.traffic.overflowed += 1;
                self.out.parcels.drop_parcel(slot);
            }
            return;
        }
        self.launch(from, to, slot);
    }

    fn launch(&mut self, from: u32, to: u32, slot: u32) {
        if !matches!(self.out.parcels.get(slot).what, What::Datagram { .. }) {
            self.send_stream(from, to, slot);
            return;
        }
        let Some(delay) = self.network.datagram_delay(from, to) else {
            self.out.parcels.drop_parcel(slot);
            return;
        };
        if self.network.is_doubled()
            && let Some(later) = self.network.datagram_delay(from, to)
        {
            let again = self.out.parcels.again(slot);
            self.queue.push(self.now + delay + later, Kind::Arrival, to, again);
        }
        self.queue.push(self.now + delay, Kind::Arrival, to, slot);
    }

    fn send_stream(&mut self, from: u32, to: u32, slot: u32) {
        let sender = &mut self.nodes[from as usize];
        if sender.held_until > self.now {
            sender.outbox.push((to, slot));
            return;
        }
        match self.network.stream_delay(from, to) {
            Some(delay) => self.queue.push(self.now + delay, Kind::Arrival, to, slot),
            None => self.out.parcels.drop_parcel(slot),
        }
    }

    fn send_list(&mut self, from: u32, to: u32, asks: bool) {
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        self.nodes[from as usize].protocol.list(self.now, &mut list);
        self.traffic.stream_bytes += list.len() as u64;
        let slot = self.out.parcels.put(from, What::List { asks }, &list);
        self.list = list;
        self.send_stream(from, to, slot);
    }

    fn dial(&mut self, from: u32, target: u32) {
        self.traffic.dials += 1;
        let fresh = Dial { origin: from, target, done: false };
        let dial = if let Some(dial) = self.free_dials.pop() {
            self.dials[dial as usize] = fresh;
            dial
        } else {
            self.dials.push(fresh);
            self.dials.len() as u32 - 1
        };
        self.queue.push(self.now + DIAL_TIMEOUT, Kind::DialTimeout, from, dial);
        let slot = self.out.parcels.put(from, What::Dial { dial }, &[]);
        self.send_stream(from, target, slot);
    }
}

impl<P> Node<P> {
    fn new(protocol: P, start: Nanos) -> Self {
        Self {
            protocol,
            up: true,
            blocked_until: start,
            cost: 0,
            armed: Nanos::MAX,
            held_until: 0,
            outbox: Vec::new(),
            inbox: VecDeque::new(),
            inbox_datagrams: 0,
            messages_since_timer: 0,
            well_since: 0,
        }
    }
}
