//! Runs the worker's core and its load shards on the runtime: carries bytes, decides nothing.
//!
//! The core lives on one shard; every shard of the node runs a load loop. Orders and reports cross by mailbox, a few
//! a second; requests never leave their shard.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyperscale_codec::{Role, ShardId};
use hyperscale_core::WallClock;
use hyperscale_engine::EngineShard;
use hyperscale_engine::orders::{Order, Origin, Report, ShareKey};
use hyperscale_fleet::{Identity, MembershipConfig, SwimConfig};
use hyperscale_reliability::SampleWriter;
use hyperscale_runtime::join::{JoinAddr, keep_resolving};
use hyperscale_runtime::load_socket::{LoadOptions, run_load_counting};
use hyperscale_runtime::tcp::BoundListener;
use hyperscale_runtime::udp::DatagramPorts;
use hyperscale_runtime::{
    CommandCx, Guard, Inbox, LinkLimits, LocalSender, NodeConfig, NodeDriver, NodeHandle, Receiver, Sender,
    Shard, StopReason, TaskKind, TrySendError, mailbox,
};
use hyperscale_worker::{Command, HostPort, Local, WorkerConfig, WorkerCore};

/// Orders that wait for one shard: a handful a share and window.
const ORDERS_MAX: usize = 4096;
/// Reports that wait for the core, over all shards.
const REPORTS_MAX: usize = 16_384;
/// A name is looked up for so long.
const RESOLVE_TIME: Duration = Duration::from_secs(5);

/// The mailboxes of a worker node, made before its shards start.
pub struct Mailboxes {
    orders: Vec<Sender<Order>>,
    inboxes: Vec<Receiver<Order>>,
    reports: Sender<Local>,
    reports_inbox: Receiver<Local>,
}

/// One shard's ends.
pub struct ShardMail {
    orders: Receiver<Order>,
    reports: Sender<Local>,
}

/// The core's ends.
pub struct CoreMail {
    orders: Vec<Sender<Order>>,
    reports: Receiver<Local>,
}

impl Mailboxes {
    /// For a worker of so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let (orders, inboxes) = (0..shards).map(|_| mailbox(ORDERS_MAX)).unzip();
        let (reports, reports_inbox) = mailbox(REPORTS_MAX);
        Self { orders, inboxes, reports, reports_inbox }
    }

    /// To tell the core something from outside the shards.
    #[must_use]
    pub fn sender(&self) -> Sender<Local> {
        self.reports.clone()
    }

    /// The ends of each party.
    #[must_use]
    pub fn split(self) -> (CoreMail, Vec<ShardMail>) {
        let reports = self.reports;
        let shards = self.inboxes.into_iter().map(|orders| ShardMail { orders, reports: reports.clone() });
        (CoreMail { orders: self.orders, reports: self.reports_inbox }, shards.collect())
    }
}

/// A worker, before it starts.
#[derive(Debug, Clone)]
pub struct Worker {
    pub identity: Identity,
    pub fleet: String,
    /// Managers of its datacenter, by name or address.
    pub join: Vec<JoinAddr>,
    pub capacity_vus: u32,
    pub wall: WallClock,
    pub limits: LinkLimits,
    /// Parameters of the membership.
    pub swim: SwimConfig,
}

/// What a worker tells its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// No share is left, and none will come.
    Drained,
    /// The managers do not take this node.
    Refused(String),
}

/// What the core's shard takes with it.
pub struct WorkerEnds {
    /// A worker of an embedded fleet need not listen, and has no ports for datagrams.
    pub listener: Option<BoundListener>,
    pub datagrams: DatagramPorts,
    /// What stands between its links and its core.
    pub guard: Guard,
    pub mail: CoreMail,
}

/// Starts the worker's core on this shard.
#[must_use]
pub fn start_core(
    shard: &Shard,
    worker: &Worker,
    ends: WorkerEnds,
    seed: u64,
    told: impl Fn(Told) + 'static,
) -> NodeHandle<WorkerCore> {
    let WorkerEnds { listener, datagrams, guard, mail } = ends;
    let mut node = NodeConfig::of(&worker.identity, &worker.fleet, &[Role::Manager, Role::Worker]);
    node.limits = worker.limits.clone();
    let config = WorkerConfig {
        identity: worker.identity.clone(),
        capacity_vus: worker.capacity_vus,
        seed,
        wall: worker.wall,
        membership: MembershipConfig { fleet: worker.fleet.clone(), swim: worker.swim.clone(), seed },
    };
    let CoreMail { orders, reports } = mail;
    let commands = move |command, cx: &mut CommandCx<'_, Local>| match command {
        Command::Order { shard: to, order } => {
            let sent = orders.get(usize::from(to.0)).map(|mail| mail.try_send(order));
            if !matches!(sent, Some(Ok(()))) && !cx.shard().is_stopping() {
                lost(cx.shard(), "orders", to);
            }
        }
        Command::Resolve { key, hosts } => {
            let (shard, sender) = (cx.shard().clone(), cx.sender().clone());
            let looking = resolve(shard.clone(), sender, key, hosts);
            let _runs_to_its_end = shard.spawn("resolve", TaskKind::Connection, looking);
        }
        Command::Drained => told(Told::Drained),
        Command::Refused(error) => told(Told::Refused(error)),
    };
    let listeners = listener.into_iter().collect();
    let handle =
        NodeDriver::start_on(shard, node, listeners, datagrams, guard, WorkerCore::new(config), commands);
    handle.feed(reports.open(shard));
    let local = handle.local();
    let joining = keep_resolving(shard.clone(), worker.join.clone(), move |addrs| {
        local.send(Local::Join(addrs)).is_ok()
    });
    let _ends_with_the_shard = shard.spawn("join", TaskKind::Service, joining);
    handle
}

/// An order or report that does not arrive would leave a share without an end: the node's state is unknown.
fn lost(shard: &Shard, what: &str, to: ShardId) {
    let message = format!("the mailbox for {what} of shard {to} is full or closed");
    shard.stop().request(StopReason::ServiceEnded { shard: shard.id(), task: "worker".to_owned(), message });
}

async fn resolve(shard: Shard, sender: LocalSender<Local>, key: ShareKey, hosts: Vec<HostPort>) {
    let mut origins = Vec::with_capacity(hosts.len());
    let mut failed = None;
    for HostPort { host, port } in hosts {
        match shard.resolve(&host, port, RESOLVE_TIME).await {
            Ok(addrs) => origins.push(Origin { host, port, addrs }),
            Err(error) => {
                failed = Some(format!("dns: {error}"));
                break;
            }
        }
    }
    let result = failed.map_or(Ok(origins), Err);
    if sender.send(Local::Resolved { key, result }).is_err() {
        lost(&shard, "resolved names", ShardId(shard.id()));
    }
}

/// Runs one shard's load until its orders end or the node stops. `lateness`: where the node's overload detector hears
/// how far this generator is behind its schedule.
pub async fn run_shard(shard: &Shard, mail: ShardMail, lateness: Option<SampleWriter>, options: LoadOptions) {
    let mut inbox = mail.orders.open(shard);
    let mut engine = EngineShard::new(ShardId(shard.id()));
    if let Some(samples) = lateness {
        engine = engine.with_lateness(samples);
    }
    let overflow: Rc<RefCell<VecDeque<Local>>> = Rc::default();
    let reports = mail.reports;
    let stopping = shard.clone();
    let orders =
        move |cx: &mut Context<'_>, out: &mut Vec<Order>| poll_orders(&mut inbox, &stopping, cx, out);
    let report = {
        let shard = shard.clone();
        move |report: Report| pass_on(&shard, &reports, &overflow, Local::Report(report))
    };
    if let Err(error) = run_load_counting(&mut engine, orders, report, options, shard.counters()).await {
        let message = format!("the load loop could not start: {error}");
        shard.stop().request(StopReason::ServiceEnded {
            shard: shard.id(),
            task: "load".to_owned(),
            message,
        });
    }
}

fn poll_orders(
    inbox: &mut Inbox<Order>,
    shard: &Shard,
    cx: &mut Context<'_>,
    out: &mut Vec<Order>,
) -> Poll<bool> {
    if shard.is_stopping() {
        return Poll::Ready(false);
    }
    // Dropping the wait loses nothing: what was taken is in `out`.
    pin!(inbox.drain(out, 256)).poll(cx)
}

/// Reports are few and must not be lost: what does not fit waits here, in order, for the next one's turn.
fn pass_on(shard: &Shard, reports: &Sender<Local>, overflow: &Rc<RefCell<VecDeque<Local>>>, report: Local) {
    let mut waiting = overflow.borrow_mut();
    waiting.push_back(report);
    while let Some(next) = waiting.pop_front() {
        match reports.try_send(next) {
            Ok(()) => {}
            Err(TrySendError::Full(next)) if waiting.len() < REPORTS_MAX => {
                waiting.push_front(next);
                return;
            }
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                if !shard.is_stopping() {
                    lost(shard, "reports", ShardId(shard.id()));
                }
                return;
            }
        }
    }
}
