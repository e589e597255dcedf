//! Our core as a protocol of the lab.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use hyperscale_codec::messages::HealthPiggyback;
use hyperscale_codec::{NodeId, Role};
use hyperscale_core::Instant;
use hyperscale_lab::{Input, Nanos, Outbox, Protocol, State};
use hyperscale_swim as swim;
use hyperscale_swim::{DatagramPort, MemberCard, MemberState, Output, SharedMembers, Swim, SwimConfig};

use crate::rows::{Build, Start};

/// Makes fleets of our core.
#[derive(Debug)]
pub(crate) struct SwimBuild {
    config: SwimConfig,
    everybody: SharedMembers,
    scratch: Rc<RefCell<Scratch>>,
}

/// Memory that all nodes share, as a driver's nodes on one shard would.
#[derive(Debug, Default)]
struct Scratch {
    out: swim::Outbox,
    list: Vec<Output>,
}

/// One node.
#[derive(Debug)]
pub(crate) struct SwimNode {
    swim: Swim,
    own: MemberCard,
    seq: u32,
    scratch: Rc<RefCell<Scratch>>,
}

impl SwimBuild {
    pub(crate) fn new(config: SwimConfig, nodes: usize) -> Self {
        let everybody = SharedMembers::new((0..nodes as u32).map(|node| card(node, 1)), Instant::ZERO);
        Self { config, everybody, scratch: Rc::default() }
    }
}

impl Build for SwimBuild {
    type Node = SwimNode;

    fn stagger(&self) -> Nanos {
        self.config.probe_interval.as_nanos() as Nanos
    }

    fn node(&self, node: u32, boot: u64, seed: u64, now: Nanos, start: Start, _out: &mut Outbox) -> SwimNode {
        let own = card(node, boot);
        let seed = seed << 32 ^ u64::from(node) ^ boot << 20;
        let swim = match start {
            Start::Converged => {
                Swim::with_members(self.config.clone(), own, seed, Instant(now), &self.everybody)
            }
            Start::Cold => Swim::new(self.config.clone(), own, seed, Instant(now)),
        };
        SwimNode { swim, own, seq: 0, scratch: Rc::clone(&self.scratch) }
    }
}

fn node_id(node: u32) -> NodeId {
    // Spread, as random ids are; the number stays readable at the end.
    let spread = u128::from(u64::from(node).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    NodeId(spread << 64 | u128::from(node))
}

const fn node_of(id: NodeId) -> u32 {
    id.0 as u32
}

fn addr(node: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(10 << 24 | node)), 7_000)
}

fn node_at(addr: SocketAddr) -> u32 {
    match addr.ip() {
        IpAddr::V4(ip) => ip.to_bits() & 0x00ff_ffff,
        IpAddr::V6(_) => u32::MAX,
    }
}

fn card(node: u32, boot: u64) -> MemberCard {
    MemberCard { node: node_id(node), boot, addr: addr(node), oob_port: 7_001, role: Role::Worker }
}

const fn state(state: MemberState) -> State {
    match state {
        MemberState::Alive => State::Alive,
        MemberState::Suspect => State::Suspect,
        MemberState::Dead => State::Dead,
        MemberState::Left => State::Left,
    }
}

impl Protocol for SwimNode {
    fn handle(&mut self, now: Nanos, input: Input<'_>, out: &mut Outbox) {
        let input = match input {
            Input::Timer => swim::Input::Timer,
            Input::Datagram { from, port: 0, bytes } => swim::Input::Datagram { from: addr(from), bytes },
            Input::Datagram { from, bytes, .. } => {
                let from = SocketAddr::new(addr(from).ip(), 7_001);
                swim::Input::OutOfBand { from, bytes }
            }
            Input::List { bytes } => swim::Input::PushPull { bytes },
            Input::DialDone { node, answered } => swim::Input::TcpProbe { node: node_id(node), answered },
            Input::LinkReset { node } => swim::Input::LinkReset { node: node_id(node) },
            Input::Load { level } => {
                self.seq += 1;
                swim::Input::OwnHealth(HealthPiggyback {
                    node_id: self.own.node.to_bytes(),
                    node_type: self.own.role as u8,
                    boot: self.own.boot,
                    incarnation: self.swim.incarnation(),
                    seq: self.seq,
                    accepting_work: level < 3,
                    capacity: 1,
                    throughput: 1.0,
                    expected_throughput: 1.0,
                    overload_state: level,
                    lhm: self.swim.local_health(),
                })
            }
        };
        let mut scratch = self.scratch.borrow_mut();
        let Scratch { out: made, list } = &mut *scratch;
        self.swim.handle(Instant(now), input, made);
        made.take(list);
        for output in list.iter() {
            match output {
                Output::Datagram { port, to, range } => {
                    let port = u8::from(*port == DatagramPort::Health);
                    out.datagram(node_at(*to), port, made.bytes(range.clone()));
                }
                Output::TcpProbe { addr, .. } => out.dial(node_at(*addr)),
                Output::PushPull { addr, .. } => out.exchange(node_at(*addr)),
                Output::Changed { node, to, incarnation, boot, .. } => {
                    // One number for both, in the order of claims.
                    out.changed(node_of(*node), state(*to), boot << 32 | incarnation);
                }
                Output::Health { .. } | Output::OutOfBand { .. } | Output::ProbeRound { .. } => {}
            }
        }
        made.clear();
    }

    fn next_deadline(&self) -> Nanos {
        self.swim.next_deadline().map_or(Nanos::MAX, |at| at.0)
    }

    fn list(&mut self, now: Nanos, bytes: &mut Vec<u8>) {
        self.swim.push_pull(Instant(now), bytes);
    }

    fn state_of(&self, node: u32) -> Option<State> {
        self.swim.member(node_id(node)).map(|member| state(member.state))
    }
}
