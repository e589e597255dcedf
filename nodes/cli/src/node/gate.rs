//! `hyperscale gate`: one core a shard, all of them members of the ring.

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_fleet::Identity;
use hyperscale_gate::{ARCHIVE_AGE, ARCHIVE_JOBS, ArchiveConfig, GateCore, Local};
use hyperscale_gate_driver::{
    BoundGate, Folder, Gate, GateShard, Loaded, ToDisk, Told as FromShard, bind_gate, start_disk,
};
use hyperscale_reliability::{CpuRule, Intake, NodeRateLimiter, SampleWriter};
use hyperscale_runtime::{Answer, Guard, LinkLimits, Receiver, Sender, clock, entropy, mailbox, preflight};
use hyperscale_view::ShardView;

use super::Settings;
use super::identity::identity;
use super::life::{Life, Told, announce, watch_signals, watch_stdin};
use super::serve::{CausesSlot, Figures, admin, serve};
use crate::embedded::OnceTake;
use crate::exit::Failure;
use crate::overload::{NodeLoad, tell_cores, watch};

/// Orders of the process that wait for one shard.
const ORDERS_MAX: usize = 64;
/// A peer that says nothing for so long is gone; heartbeats come twice a second.
pub(super) const IDLE: Duration = Duration::from_secs(5);

type Ends = (GateShard, Receiver<Local>, Answer<ShardView>, Option<SampleWriter>);

pub(super) fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    preflight::check_host(settings.shards.len()).map_err(Failure::could_not_run)?;
    let wall = clock::wall_clock();
    let (tag, _folder) = identity(settings, wall)?;
    let BoundGate { addr, swim_port, oob_port, shards: sockets } =
        bind_gate(settings.listen, settings.shard_count()).map_err(Failure::could_not_run)?;
    let causes = CausesSlot::default();
    let (load, samples) = NodeLoad::new(settings.overload.as_ref(), settings.shards.len())?;
    let seed = entropy::seed().map_err(Failure::could_not_run)?;
    let rates = NodeRateLimiter::new(settings.limits.clone(), load.gauge.clone(), seed);
    let (admin, answers) =
        admin(settings, &causes, Figures { load: load.board(), rates: Some(rates.clone()) })?;
    let (orders, inboxes): (Vec<_>, Vec<_>) = settings.shards.iter().map(|_| mailbox(ORDERS_MAX)).unzip();
    let archive = open_archive(settings, &orders)?;
    let gate = Arc::new(Gate {
        identity: Identity { addr: Some(addr), admin: Some(admin.addr()), swim_port, oob_port, ..tag },
        fleet: settings.fleet.clone(),
        join: settings.join.clone(),
        wall,
        dispatch_wait: Duration::from_secs(30),
        manager_wait: Duration::from_secs(10),
        limits: LinkLimits { idle_timeout: Some(IDLE), ..LinkLimits::default() },
        swim: settings.swim.clone(),
        archive,
    });
    let ends = sockets.into_iter().zip(inboxes).zip(answers).zip(samples);
    let ends =
        ends.map(|(((socket, inbox), answer), samples)| OnceTake::new((socket, inbox, answer, samples)));
    let ends: Arc<Vec<OnceTake<Ends>>> = Arc::new(ends.collect());
    let gauge = load.gauge.clone();
    let others: Vec<_> = orders.iter().skip(1).cloned().collect();
    let (told, hear) = mpsc::channel();
    watch_stdin(settings, &told);
    let shards = hyperscale_runtime::start(&settings.shards, move |shard| {
        let (ends, gate, told, causes) =
            (Arc::clone(&ends), Arc::clone(&gate), told.clone(), Arc::clone(&causes));
        let (others, gauge, rates) = (others.clone(), gauge.clone(), rates.clone());
        async move {
            let own = ends.get(usize::from(shard.id())).and_then(OnceTake::take);
            let (Some((sockets, inbox, answer, samples)), Ok(seed)) = (own, entropy::seed()) else { return };
            let guard = Guard { intake: Intake::new(Role::Gate, gauge, seed).limited_by(rates), samples };
            let _the_first_shard_wins = causes.set(Arc::clone(shard.causes()));
            if shard.id() == 0 {
                watch_signals(&shard, &told);
            }
            let node = hyperscale_gate_driver::start(
                &shard,
                &gate,
                sockets,
                guard,
                seed,
                Some(inbox),
                move |said| {
                    let _process_ends = told.send(match said {
                        FromShard::Drained => Told::Drained,
                        FromShard::Refused(why) => Told::Refused(why),
                        FromShard::Members(members) => {
                            for other in &others {
                                // One that is behind hears the next change.
                                let _full = other.try_send(Local::Members(members.clone()));
                            }
                            return;
                        }
                    });
                },
            );
            serve(&shard, node, answer, GateCore::view).await;
        }
    });
    let shards = shards.map_err(Failure::could_not_run)?;
    let name = format!("gate {}", settings.name);
    let tell = tell_cores(orders.clone(), Local::Overload);
    let monitor = watch(load.watched(name, CpuRule::Full, tell), &shards)?;
    announce(settings, Some(addr), admin.addr());
    let cores = settings.shards.len();
    let drain = Box::new(move || {
        for order in &orders {
            let _a_full_one_drains_already = order.try_send(Local::Drain);
        }
    });
    let ended = Life { settings, shards, hear, cores, drain }.live();
    drop(monitor);
    admin.stop();
    ended
}

/// Reads the finished jobs of a node's data folder, and starts the thread that keeps more of them there.
fn open_archive(
    settings: &Settings,
    shards: &[Sender<Local>],
) -> Result<Option<(ToDisk, ArchiveConfig)>, Failure> {
    let Some(data) = &settings.data_dir else { return Ok(None) };
    let failed = |error: std::io::Error| {
        Failure::could_not_run(format!("data folder {}: archive: {error}", data.display()))
    };
    let folder = Folder::open(data).map_err(failed)?;
    let Loaded { entries, unreadable } = folder.load().map_err(failed)?;
    for (path, why) in &unreadable {
        tracing::error!(file = %path.display(), why, "a finished job cannot be read; it is left out");
    }
    tracing::info!(jobs = entries.len(), unreadable = unreadable.len(), "finished jobs were read");
    let config = ArchiveConfig {
        entries,
        unreadable: u64::try_from(unreadable.len()).unwrap_or(u64::MAX),
        jobs_max: ARCHIVE_JOBS,
        age_max: ARCHIVE_AGE,
    };
    let disk = start_disk(folder, shards.to_vec()).map_err(failed)?;
    Ok(Some((disk, config)))
}
