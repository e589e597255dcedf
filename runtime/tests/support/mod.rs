//! What the tests share: small shards under a watchdog, and two tiny cores.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use hyperscale_codec::messages::{ErrorReply, Goodbye, JobFinalResultAck};
use hyperscale_codec::{DecodeError, Head, Kind, NodeId, RawFrame, Role};
use hyperscale_core::{Core, DatagramPort, DialError, DialId, Effects, Event, Instant, LinkDown, LinkId};
use hyperscale_runtime::{
    LinkLimits, NodeConfig, NodeError, Shard, ShardOptions, StopReason, clock, mailbox, start,
};

/// No test takes longer; a blocked executor cannot time itself out.
const TEST_MAX: Duration = Duration::from_secs(60);
/// For a node to stop in.
pub const DRAIN: Duration = Duration::from_secs(20);

/// One test at a time: several count the descriptors of the whole process. Aborts the binary if the test hangs.
pub struct Watch {
    _turn: std::sync::MutexGuard<'static, ()>,
    _alive: mpsc::Sender<()>,
}

#[allow(clippy::disallowed_types, reason = "tests wait for each other on plain threads")]
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub fn watch(test: &'static str) -> Watch {
    // A test that failed must not fail the others.
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (alive, gone) = mpsc::channel();
    std::thread::Builder::new()
        .spawn(move || {
            if gone.recv_timeout(TEST_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs");
                std::process::abort();
            }
        })
        .unwrap();
    // Nothing of the test before is left to be counted.
    let _settled = idle_descriptors();
    Watch { _turn: turn, _alive: alive }
}

pub fn options(shards: usize) -> Vec<ShardOptions> {
    vec![ShardOptions::small(); shards]
}

/// Runs `body` on as many small shards, and gives what they gave.
pub fn run<T, F, Fut>(shards: usize, body: F) -> Result<Vec<T>, NodeError>
where
    T: Send + 'static,
    F: Fn(Shard) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = T> + 'static,
{
    start(&options(shards), body).unwrap().join(DRAIN)
}

/// Runs `body` on one shard.
pub fn run_one<T, F, Fut>(body: F) -> T
where
    T: Send + 'static,
    F: Fn(Shard) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = T> + 'static,
{
    run(1, body).unwrap().remove(0)
}

pub fn done() -> StopReason {
    StopReason::Asked("the test is done".to_owned())
}

/// Any free port of loopback.
pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Descriptors this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Descriptors this process has open while no shard runs. The executor's blocking threads end a moment after it and
/// hold an eventfd until then.
pub fn idle_descriptors() -> usize {
    let limit = clock::now() + Duration::from_secs(5);
    let eventfd = |entry: std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().contains("eventfd"))
    };
    while std::fs::read_dir("/proc/self/fd").unwrap().flatten().any(eventfd) && clock::now() < limit {
        std::thread::yield_now();
    }
    descriptors()
}

/// Turns the shard until `what` holds.
pub async fn until(shard: &Shard, what: impl Fn() -> bool) {
    while !what() {
        shard.sleep(Duration::from_millis(1)).await;
    }
}

pub fn config(role: Role, id: u128) -> NodeConfig {
    let limits = LinkLimits { flush_timeout: Duration::from_secs(1), ..LinkLimits::default() };
    NodeConfig { limits, boot: 1, ..NodeConfig::new(role, NodeId(id), format!("{role}-{id}")) }
}

pub fn listening(role: Role, id: u128) -> NodeConfig {
    NodeConfig { listen: Some(loopback()), ..config(role, id) }
}

pub fn word(text: &str) -> Goodbye {
    Goodbye { code: 0, text: text.to_owned(), retry_after_ms: 0 }
}

/// A core that notes what happens to it, and does what it is told.
#[derive(Default)]
pub struct Scribe {
    pub up: Vec<LinkId>,
    pub down: Vec<(LinkId, LinkDown)>,
    pub failed: Vec<DialError>,
    pub heard: Vec<(LinkId, String)>,
    pub codes: Vec<u16>,
    /// Kinds nobody here knows.
    pub strange: Vec<u16>,
    /// Ports and lengths of datagrams.
    pub datagrams: Vec<(DatagramPort, usize)>,
    pub timers: Vec<Instant>,
    pub deadline: Option<Instant>,
    /// Answer every word and every datagram with the same.
    pub echo: bool,
    /// What its first link has yet to take, as it was told with the last event.
    pub unsent: usize,
    pub scratch: Vec<u8>,
}

/// What a [`Scribe`] can be told.
#[derive(Debug)]
pub enum Order {
    Dial(SocketAddr),
    Say(LinkId, String),
    Close(LinkId),
    Wake(Instant),
    Panic,
    /// Send so many bytes.
    Datagram(DatagramPort, SocketAddr, usize),
    /// Ask the driver for so many events back, one after the other.
    Chain(u32),
    Word(String),
    /// Ask for something that only a client may ask.
    AskAsClient(LinkId),
}

#[derive(Debug)]
pub enum Asked {
    Again(u32),
}

impl Core for Scribe {
    type Local = Order;
    type Command = Asked;

    fn handle(&mut self, now: Instant, event: Event<'_, Order>, effects: &mut Effects<Asked>) {
        self.unsent = self.up.first().map_or(0, |link| effects.unsent(*link));
        match event {
            Event::LinkUp { link, .. } => self.up.push(link),
            Event::LinkDown { link, why } => self.down.push((link, why)),
            Event::DialFailed { error, .. } => self.failed.push(error),
            Event::Timer => {
                self.timers.push(now);
                self.deadline = None;
            }
            Event::Frame { link, frame } => {
                if let Err(error) = self.hear(link, &frame, effects) {
                    effects.refuse(link, &frame, error.code(), error.to_string());
                }
            }
            Event::Datagram { bytes, .. } if bytes == b"panic" => panic!("told to panic"),
            Event::Datagram { port, from, bytes } => {
                if self.echo {
                    effects.datagram(port, from, bytes);
                }
                self.datagrams.push((port, bytes.len()));
            }
            Event::Local(order) => self.obey(order, effects),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Scribe {
    fn hear(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        effects: &mut Effects<Asked>,
    ) -> Result<(), DecodeError> {
        match frame.kind() {
            Some(Kind::Goodbye) => {
                let word = frame.to_owned::<Goodbye>(&mut self.scratch)?;
                if self.echo {
                    effects.send(link, Head::reply(frame.header.correlation), &word);
                }
                self.heard.push((link, word.text));
            }
            Some(Kind::ErrorReply) => self.codes.push(frame.to_owned::<ErrorReply>(&mut self.scratch)?.code),
            Some(_) => {}
            None => {
                self.strange.push(frame.header.kind);
                effects.refuse_unknown(link, frame);
            }
        }
        Ok(())
    }

    fn obey(&mut self, order: Order, effects: &mut Effects<Asked>) {
        match order {
            Order::Dial(addr) => effects.dial(DialId(1), addr),
            Order::Say(link, text) => effects.send(link, Head::default(), &word(&text)),
            Order::Close(link) => effects.close(link),
            Order::Wake(at) => self.deadline = Some(at),
            Order::Panic => panic!("told to panic"),
            Order::Datagram(port, to, len) => effects.datagram(port, to, &vec![7; len]),
            Order::Chain(0) => {}
            Order::Chain(left) => {
                self.heard.push((LinkId(0), left.to_string()));
                effects.command(Asked::Again(left - 1));
            }
            Order::AskAsClient(link) => {
                effects.send(link, Head::request(7), &JobFinalResultAck { job: [1; 16] });
            }
            Order::Word(text) => self.heard.push((LinkId(0), text)),
        }
    }
}

pub fn echo() -> Scribe {
    Scribe { echo: true, ..Scribe::default() }
}

/// The handler of a [`Scribe`]'s commands: what it asks for comes back at once.
pub fn again(asked: Asked, cx: &mut hyperscale_runtime::CommandCx<'_, Order>) {
    let Asked::Again(left) = asked;
    cx.local(Order::Chain(left));
}

/// A mailbox for an address, from the shard that listens to the one that dials.
pub fn address() -> (hyperscale_runtime::Sender<SocketAddr>, hyperscale_runtime::Receiver<SocketAddr>) {
    mailbox(4)
}
