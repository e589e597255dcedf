//! The embedded fleet of `run`: a gate, a manager and a worker in this process, over the same frames and the same
//! cores as a fleet of many hosts. Their cores share the first shard; every shard drives load.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_lite::future::zip;
use hyperscale_client::{ClientConfig, Local};
use hyperscale_codec::messages::JobSubmit;
use hyperscale_codec::{NodeId, Role};
use hyperscale_core::WallClock;
use hyperscale_fleet::{Identity, SwimConfig};
use hyperscale_manager_driver::ManagerEnds;
use hyperscale_reliability::{CpuRule, Intake, OverloadConfig, SampleWriter};
use hyperscale_runtime::load_socket::LoadOptions;
use hyperscale_runtime::signals::{Signal, Signals};
use hyperscale_runtime::tcp::{BoundListener, bind};
use hyperscale_runtime::udp::DatagramPorts;
use hyperscale_runtime::{
    Guard, LinkLimits, Monitor, NodeError, Receiver, Shard, ShardOptions, Shards, StopReason, TaskKind,
    Watched, clock, entropy, mailbox,
};
use hyperscale_worker_driver::{CoreMail, Mailboxes, ShardMail, WorkerEnds};

use crate::exit::Failure;
use crate::follow::Told;
use crate::overload::{NodeLoad, tell_cores, watch};

/// States that wait for one core; it is told of each change.
const ORDERS_MAX: usize = 16;

/// How the fleet is set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) cores: Vec<usize>,
    pub(crate) busy_poll: bool,
    pub(crate) capacity_vus: u32,
    pub(crate) submit: JobSubmit,
}

/// What each shard takes when it starts; taken once.
struct Ends {
    cores: OnceTake<CoreEnds>,
    shards: Vec<OnceTake<(ShardMail, Option<SampleWriter>)>>,
    told: mpsc::Sender<Told>,
}

/// What the cores take, all on the first shard: what stands before them, and what the monitor tells them.
struct CoreEnds {
    mail: CoreMail,
    gate: (Guard, Receiver<hyperscale_gate::Local>),
    manager: (Guard, Receiver<hyperscale_manager::Local>),
    worker: Guard,
}

/// A running fleet, and what watches its load; ends with it.
pub(crate) struct Running {
    shards: Shards<()>,
    monitor: Option<Monitor>,
}

impl Running {
    /// Ends the fleet, in order.
    pub(crate) fn join(self, drain: Duration) -> Result<(), NodeError> {
        self.shards.stop().request(StopReason::Asked("the run has ended".to_owned()));
        let joined = self.shards.join(drain);
        drop(self.monitor);
        joined.map(|_| ())
    }
}

/// A value that one shard takes.
pub(crate) struct OnceTake<T>(crossbeam_queue::ArrayQueue<T>);

impl<T> OnceTake<T> {
    pub(crate) fn new(value: T) -> Self {
        let queue = crossbeam_queue::ArrayQueue::new(1);
        let _has_room = queue.push(value);
        Self(queue)
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.pop()
    }
}

/// Starts the fleet; what it has to tell comes out of the channel.
pub(crate) fn start(setup: Setup) -> Result<(Running, mpsc::Receiver<Told>), Failure> {
    let options: Vec<ShardOptions> = setup
        .cores
        .iter()
        .map(|&cpu| ShardOptions {
            busy_poll: setup.busy_poll.then_some(Duration::from_millis(1)),
            ..ShardOptions::pinned(cpu)
        })
        .collect();
    let (told, hear) = mpsc::channel();
    let mailboxes = Mailboxes::new(options.len());
    let of_worker = mailboxes.sender();
    let (mail, shards) = mailboxes.split();
    let config = OverloadConfig::default();
    let (gate, gate_samples) = NodeLoad::new(Some(&config), 1)?;
    let (manager, manager_samples) = NodeLoad::new(Some(&config), 1)?;
    let (worker, lateness) = NodeLoad::new(Some(&config), options.len())?;
    let guard = |role, load: &NodeLoad, samples: Option<SampleWriter>| {
        let seed = entropy::seed().map_err(Failure::could_not_run)?;
        Ok::<_, Failure>(Guard { intake: Intake::new(role, load.gauge.clone(), seed), samples })
    };
    let (of_gate, gate_inbox) = mailbox(ORDERS_MAX);
    let (of_manager, manager_inbox) = mailbox(ORDERS_MAX);
    let cores = CoreEnds {
        mail,
        gate: (guard(Role::Gate, &gate, gate_samples.into_iter().next().flatten())?, gate_inbox),
        manager: (
            guard(Role::Manager, &manager, manager_samples.into_iter().next().flatten())?,
            manager_inbox,
        ),
        worker: guard(Role::Worker, &worker, None)?,
    };
    let ends = Arc::new(Ends {
        cores: OnceTake::new(cores),
        shards: shards.into_iter().zip(lateness).map(OnceTake::new).collect(),
        told,
    });
    // The CPUs are the worker's to use: a gate and a manager beside it are not loaded by that.
    let watched = [
        gate.watched(
            "the gate".to_owned(),
            CpuRule::Off,
            tell_cores(vec![of_gate], hyperscale_gate::Local::Overload),
        ),
        manager.watched(
            "the manager".to_owned(),
            CpuRule::Off,
            tell_cores(vec![of_manager], hyperscale_manager::Local::Overload),
        ),
        worker.watched(
            "the worker".to_owned(),
            CpuRule::WorstOnly,
            tell_cores(vec![of_worker], hyperscale_worker::Local::Overload),
        ),
    ];
    let setup = Arc::new(setup);
    let shards = hyperscale_runtime::start(&options, move |shard| {
        let (ends, setup) = (Arc::clone(&ends), Arc::clone(&setup));
        async move {
            let result = body(&shard, &ends, &setup).await;
            if let Err(why) = result {
                let _listener_gone = ends.told.send(Told::Failed(why));
                shard.stop().request(StopReason::Asked("the fleet could not be set up".to_owned()));
            }
        }
    });
    let shards = shards.map_err(Failure::could_not_run)?;
    let watched = watched.into_iter().flatten().map(|node| Watched { quiet: true, ..node });
    let monitor = watch(watched, &shards)?;
    Ok((Running { shards, monitor }, hear))
}

async fn body(shard: &Shard, ends: &Ends, setup: &Setup) -> Result<(), String> {
    let own = ends.shards.get(usize::from(shard.id())).and_then(OnceTake::take);
    let (mail, lateness) = own.ok_or("a shard started twice")?;
    let options = LoadOptions { busy_poll: setup.busy_poll, ..LoadOptions::default() };
    if shard.id() != 0 {
        hyperscale_worker_driver::run_shard(shard, mail, lateness, options).await;
        return Ok(());
    }
    let fleet = Fleet::start(shard, ends, setup)?;
    let load = {
        let shard = shard.clone();
        async move { hyperscale_worker_driver::run_shard(&shard, mail, lateness, options).await }
    };
    let _ends_with_the_shard = shard.spawn_data("load", TaskKind::Service, load);
    shard.stopping().await;
    fleet.stop().await;
    Ok(())
}

struct Fleet {
    gate: hyperscale_runtime::NodeHandle<hyperscale_gate::GateCore>,
    manager: hyperscale_runtime::NodeHandle<hyperscale_manager::ManagerCore>,
    worker: hyperscale_runtime::NodeHandle<hyperscale_worker::WorkerCore>,
    client: hyperscale_runtime::NodeHandle<hyperscale_client::ClientCore>,
}

impl Fleet {
    fn start(shard: &Shard, ends: &Ends, setup: &Setup) -> Result<Self, String> {
        let wall = clock::wall_clock();
        let seed = || entropy::seed().map_err(|error| error.to_string());
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let limits = LinkLimits::default;
        // What shares a process needs no membership.
        let no_ports = DatagramPorts::default;
        let fleet = || "embedded".to_owned();
        // Nothing here is ever left behind: what a part has to say, the client says.
        let refused = |part: &'static str| {
            let told = ends.told.clone();
            move |why: String| {
                let _listener_gone = told.send(Told::Failed(format!("the {part} was refused: {why}")));
            }
        };

        let CoreEnds { mail, gate: of_gate, manager: of_manager, worker: worker_guard } =
            ends.cores.take().ok_or("the fleet started twice")?;
        let (addr, sockets) = hyperscale_gate_driver::bind_shards(loopback, 1).map_err(|e| e.to_string())?;
        let ends_of_gate = sockets.into_iter().next().ok_or("the gate has no socket")?;
        let gate = hyperscale_gate_driver::Gate {
            identity: Identity { addr: Some(addr), ..identity(Role::Gate, "gate", wall)? },
            fleet: fleet(),
            join: Vec::new(),
            wall,
            dispatch_wait: Duration::from_secs(30),
            manager_wait: Duration::from_secs(10),
            limits: limits(),
            swim: SwimConfig::lan(),
            archive: None,
        };
        let gate =
            hyperscale_gate_driver::start(shard, &gate, ends_of_gate, of_gate.0, seed()?, Some(of_gate.1), {
                let refused = refused("gate");
                move |told| {
                    if let hyperscale_gate_driver::Told::Refused(why) = told {
                        refused(why);
                    }
                }
            });

        let listener = one(bind(loopback, 1).map_err(|e| e.to_string())?)?;
        let manager_addr = listener.addr();
        let manager = hyperscale_manager_driver::Manager {
            identity: Identity {
                addr: Some(manager_addr),
                datacenter: "local".to_owned(),
                ..identity(Role::Manager, "manager", wall)?
            },
            fleet: fleet(),
            join: vec![addr.into()],
            wall,
            gate_wait: Duration::from_secs(10),
            limits: limits(),
            swim: SwimConfig::lan(),
        };
        let manager_ends =
            ManagerEnds { listener, datagrams: no_ports(), guard: of_manager.0, orders: Some(of_manager.1) };
        let manager = hyperscale_manager_driver::start(shard, &manager, manager_ends, seed()?, {
            let refused = refused("manager");
            move |told| {
                if let hyperscale_manager_driver::Told::Refused(why) = told {
                    refused(why);
                }
            }
        });

        let worker = hyperscale_worker_driver::Worker {
            identity: Identity {
                shards: shard.count(),
                datacenter: "local".to_owned(),
                ..identity(Role::Worker, "worker", wall)?
            },
            fleet: fleet(),
            join: vec![manager_addr.into()],
            capacity_vus: setup.capacity_vus,
            wall,
            limits: limits(),
            swim: SwimConfig::lan(),
        };
        let worker_ends = WorkerEnds { listener: None, datagrams: no_ports(), guard: worker_guard, mail };
        let worker = hyperscale_worker_driver::start_core(shard, &worker, worker_ends, seed()?, {
            let refused = refused("worker");
            move |told| {
                if let hyperscale_worker_driver::Told::Refused(why) = told {
                    refused(why);
                }
            }
        });

        let config = ClientConfig {
            identity: identity(Role::Client, "client", wall)?,
            gates: vec![addr],
            wall,
            patience: Duration::from_secs(10),
        };
        let told = ends.told.clone();
        let show = move |notice| {
            let _listener_gone = told.send(Told::Job(notice));
        };
        let client =
            hyperscale_client_driver::start(shard, &fleet(), config, show).map_err(|e| e.to_string())?;
        let _first_of_all = client.local().send(Local::Submit(Box::new(setup.submit.clone())));
        let signals = Signals::open(shard).map_err(|error| format!("signals cannot be read: {error}"))?;
        let watch = watch_signals(signals, client.local(), ends.told.clone());
        let _ends_with_the_shard = shard.spawn("signals", TaskKind::Service, watch);
        Ok(Self { gate, manager, worker, client })
    }

    async fn stop(self) {
        // All at once: none of them is to wonder where another one went.
        let ends = zip(self.client.stop(), self.worker.stop());
        let _all_stopped = zip(ends, zip(self.manager.stop(), self.gate.stop())).await;
    }
}

/// The first Ctrl-C cancels the job as any client would; the second ends at once.
async fn watch_signals(
    signals: Signals,
    client: hyperscale_runtime::LocalSender<Local>,
    told: mpsc::Sender<Told>,
) {
    let mut cancelled = false;
    while let Ok(signal) = signals.next().await {
        let told = if cancelled { told.send(Told::Now) } else { told.send(Told::Interrupted) };
        cancelled = true;
        let by = match signal {
            Signal::Interrupt => "interrupted by its user",
            Signal::Terminate => "terminated by its host",
        };
        let _core_is_behind = client.send(Local::Cancel { reason: by.to_owned() });
        if told.is_err() {
            return;
        }
    }
}

/// A part of the fleet that lives as long as this process.
fn identity(role: Role, name: &str, wall: WallClock) -> Result<Identity, String> {
    let node = entropy::unique().map(NodeId).map_err(|error| error.to_string())?;
    Ok(Identity { boot: wall.unix_ms / 1000, ..Identity::new(role, node, name) })
}

fn one(listeners: Vec<BoundListener>) -> Result<BoundListener, String> {
    listeners.into_iter().next().ok_or_else(|| "nothing listens".to_owned())
}
