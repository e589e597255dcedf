//! foca as a protocol of the lab: what its documentation asks of a user, and no more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    Codec, Config, Foca, Header, Identity, Member, Message, Notification, PeriodicParams, Runtime, Timer,
};
use foca_rand::SeedableRng;
use foca_rand::rngs::SmallRng;
use hyperscale_lab::{Input, Nanos, Outbox, Protocol, State};

use crate::rows::{Build, Start};

/// Makes fleets of foca.
#[derive(Debug)]
pub(crate) struct FocaBuild {
    config: Config,
    nodes: usize,
}

impl FocaBuild {
    /// `tuned`: our intervals instead of memberlist's.
    pub(crate) fn new(tuned: bool, nodes: usize) -> Self {
        let size = NonZeroU32::new(nodes as u32).unwrap_or(NonZeroU32::MIN);
        let mut config = Config::new_lan(size);
        if tuned {
            config.probe_period = Duration::from_millis(500);
            config.probe_rtt = Duration::from_millis(250);
            let seconds = 5.0 * (nodes as f64).log10().max(1.0) * 0.5;
            config.suspect_to_down_after = Duration::from_secs_f64(seconds);
            let frequency = Duration::from_millis(100);
            config.periodic_gossip =
                NonZeroUsize::new(3).map(|num_members| PeriodicParams { frequency, num_members });
        }
        Self { config, nodes }
    }
}

impl Build for FocaBuild {
    type Node = FocaNode;

    fn stagger(&self) -> Nanos {
        self.config.probe_period.as_nanos() as Nanos
    }

    fn node(&self, node: u32, boot: u64, seed: u64, now: Nanos, start: Start, _out: &mut Outbox) -> FocaNode {
        let own = Id { node, renewed: (boot - 1) as u16 * 1_000 };
        let rng = SmallRng::seed_from_u64(seed << 32 ^ u64::from(node) ^ boot << 20);
        let mut made = FocaNode {
            foca: Foca::new(own, self.config.clone(), rng, Coded),
            timers: Timers::default(),
            states: vec![None; self.nodes],
        };
        if start == Start::Converged {
            let others = (0..self.nodes as u32).filter(|&other| other != node);
            made.states.fill(Some(State::Alive));
            let members = others.map(|other| Member::alive(Id { node: other, renewed: 0 }));
            let mut silent = Outbox::default();
            let mut seat = Seat { now, timers: &mut made.timers, states: &mut made.states, out: &mut silent };
            // Only its own packets could be malformed.
            let _ = made.foca.apply_many(members, false, &mut seat);
        }
        made
    }
}

/// Where a node is and how often it took a new identity: 8 bytes coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    node: u32,
    renewed: u16,
}

impl Identity for Id {
    type Addr = u32;

    fn renew(&self) -> Option<Self> {
        Some(Self { node: self.node, renewed: self.renewed + 1 })
    }

    fn addr(&self) -> u32 {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.renewed > adversary.renewed
    }
}

/// One node.
pub(crate) struct FocaNode {
    foca: Foca<Id, Coded, SmallRng, foca::NoCustomBroadcast>,
    timers: Timers,
    states: Vec<Option<State>>,
}

#[derive(Debug, Default)]
struct Timers {
    heap: BinaryHeap<Reverse<Waiting>>,
    order: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at: Nanos,
    order: u64,
    timer: Timer<Id>,
}

/// What foca sees of the world.
struct Seat<'a> {
    now: Nanos,
    timers: &'a mut Timers,
    states: &'a mut [Option<State>],
    out: &'a mut Outbox,
}

impl Runtime<Id> for Seat<'_> {
    fn notify(&mut self, notification: Notification<'_, Id>) {
        let (id, state) = match notification {
            Notification::MemberUp(id) => (id, State::Alive),
            Notification::MemberDown(id) => (id, State::Dead),
            Notification::Rename(..)
            | Notification::Active
            | Notification::Idle
            | Notification::Defunct
            | Notification::Rejoin(_) => return,
        };
        if let Some(held) = self.states.get_mut(id.node as usize) {
            *held = Some(state);
        }
        self.out.changed(id.node, state, u64::from(id.renewed));
    }

    fn send_to(&mut self, to: Id, data: &[u8]) {
        self.out.datagram(to.node, 0, data);
    }

    fn submit_after(&mut self, timer: Timer<Id>, after: Duration) {
        self.timers.order += 1;
        let at = self.now + after.as_nanos() as Nanos;
        self.timers.heap.push(Reverse(Waiting { at, order: self.timers.order, timer }));
    }
}

impl Protocol for FocaNode {
    fn handle(&mut self, now: Nanos, input: Input<'_>, out: &mut Outbox) {
        // Errors are of late or doubled packets; its documentation says to go on.
        match input {
            Input::Timer => {
                while self.timers.heap.peek().is_some_and(|Reverse(waiting)| waiting.at <= now) {
                    let Some(Reverse(waiting)) = self.timers.heap.pop() else { break };
                    let mut seat = Seat { now, timers: &mut self.timers, states: &mut self.states, out };
                    let _ = self.foca.handle_timer(waiting.timer, &mut seat);
                }
            }
            Input::Datagram { bytes, .. } => {
                let mut seat = Seat { now, timers: &mut self.timers, states: &mut self.states, out };
                let _ = self.foca.handle_data(bytes, &mut seat);
            }
            Input::List { .. } | Input::DialDone { .. } | Input::Load { .. } | Input::LinkReset { .. } => {}
        }
    }

    fn next_deadline(&self) -> Nanos {
        self.timers.heap.peek().map_or(Nanos::MAX, |Reverse(waiting)| waiting.at)
    }

    fn state_of(&self, node: u32) -> Option<State> {
        self.states.get(node as usize).copied().flatten()
    }
}

/// A lean layout: 8 bytes an identity (address, port, renewals), 11 a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coded;

#[derive(Debug)]
pub(crate) struct Short;

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no room, or cut off")
    }
}

impl std::error::Error for Short {}

const ID_BYTES: usize = 8;
const MEMBER_BYTES: usize = ID_BYTES + 3;

fn put_id(id: &Id, buf: &mut impl BufMut) {
    buf.put_u32(id.node);
    buf.put_u16(7_000);
    buf.put_u16(id.renewed);
}

fn get_id(buf: &mut impl Buf) -> Result<Id, Short> {
    if buf.remaining() < ID_BYTES {
        return Err(Short);
    }
    let node = buf.get_u32();
    buf.advance(2);
    Ok(Id { node, renewed: buf.get_u16() })
}

impl Codec<Id> for Coded {
    type Error = Short;

    fn encode_header(&mut self, header: &Header<Id>, mut buf: impl BufMut) -> Result<(), Short> {
        if buf.remaining_mut() < 3 * ID_BYTES + 4 {
            return Err(Short);
        }
        put_id(&header.src, &mut buf);
        buf.put_u16(header.src_incarnation);
        put_id(&header.dst, &mut buf);
        let (tag, about, number) = match &header.message {
            Message::Ping(number) => (0, None, Some(*number)),
            Message::Ack(number) => (1, None, Some(*number)),
            Message::PingReq { target, probe_number } => (2, Some(target), Some(*probe_number)),
            Message::IndirectPing { origin, probe_number } => (3, Some(origin), Some(*probe_number)),
            Message::IndirectAck { target, probe_number } => (4, Some(target), Some(*probe_number)),
            Message::ForwardedAck { origin, probe_number } => (5, Some(origin), Some(*probe_number)),
            Message::Announce => (6, None, None),
            Message::Feed => (7, None, None),
            Message::Gossip => (8, None, None),
            Message::Broadcast => (9, None, None),
            Message::TurnUndead => (10, None, None),
        };
        buf.put_u8(tag);
        if let Some(id) = about {
            put_id(id, &mut buf);
        }
        if let Some(number) = number {
            buf.put_u8(number);
        }
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Id>, Short> {
        if buf.remaining() < 2 * ID_BYTES + 3 {
            return Err(Short);
        }
        let src = get_id(&mut buf)?;
        let src_incarnation = buf.get_u16();
        let dst = get_id(&mut buf)?;
        let tag = buf.get_u8();
        let about = if (2..=5).contains(&tag) { Some(get_id(&mut buf)?) } else { None };
        let probe_number = if tag <= 5 { buf.try_get_u8().map_err(|_| Short)? } else { 0 };
        let message = match (tag, about) {
            (0, _) => Message::Ping(probe_number),
            (1, _) => Message::Ack(probe_number),
            (2, Some(target)) => Message::PingReq { target, probe_number },
            (3, Some(origin)) => Message::IndirectPing { origin, probe_number },
            (4, Some(target)) => Message::IndirectAck { target, probe_number },
            (5, Some(origin)) => Message::ForwardedAck { origin, probe_number },
            (6, _) => Message::Announce,
            (7, _) => Message::Feed,
            (8, _) => Message::Gossip,
            (9, _) => Message::Broadcast,
            (10, _) => Message::TurnUndead,
            _ => return Err(Short),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Id>, mut buf: impl BufMut) -> Result<(), Short> {
        if buf.remaining_mut() < MEMBER_BYTES {
            return Err(Short);
        }
        put_id(member.id(), &mut buf);
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            foca::State::Alive => 0,
            foca::State::Suspect => 1,
            foca::State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Id>, Short> {
        if buf.remaining() < MEMBER_BYTES {
            return Err(Short);
        }
        let id = get_id(&mut buf)?;
        let incarnation = buf.get_u16();
        let state = match buf.get_u8() {
            0 => foca::State::Alive,
            1 => foca::State::Suspect,
            _ => foca::State::Down,
        };
        Ok(Member::new(id, incarnation, state))
    }
}
