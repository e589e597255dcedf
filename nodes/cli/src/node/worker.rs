//! `hyperscale worker`: the core on the first shard, load on all of them.

use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use hyperscale_codec::Role;
use hyperscale_fleet::Identity;
use hyperscale_reliability::{CpuRule, Intake, SampleWriter};
use hyperscale_runtime::load_socket::LoadOptions;
use hyperscale_runtime::udp::bind_ports;
use hyperscale_runtime::{Answer, Guard, LinkLimits, TaskKind, clock, entropy, preflight};
use hyperscale_view::ShardView;
use hyperscale_worker::{Local, WorkerCore};
use hyperscale_worker_driver::{
    Mailboxes, ShardMail, Told as FromShard, Worker, WorkerEnds, run_shard, start_core,
};

use super::Settings;
use super::gate::IDLE;
use super::identity::identity;
use super::life::{Life, Told, announce, watch_signals, watch_stdin};
use super::serve::{CausesSlot, Figures, admin, serve};
use crate::embedded::OnceTake;
use crate::exit::Failure;
use crate::overload::{NodeLoad, tell_cores, watch};

type ShardEnds = (ShardMail, Answer<ShardView>, Option<SampleWriter>);

pub(super) fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    preflight::check_host(settings.shards.len()).map_err(Failure::could_not_run)?;
    let capacity = u64::from(settings.capacity_vus).min(preflight::raise_files());
    let wall = clock::wall_clock();
    let (tag, _folder) = identity(settings, wall)?;
    let (listeners, datagrams) = bind_ports(settings.listen, 1).map_err(Failure::could_not_run)?;
    let (swim_port, oob_port) = (datagrams.swim_port(), datagrams.oob_port());
    let listener = listeners.into_iter().next().ok_or_else(|| Failure::could_not_run("nothing listens"))?;
    let addr = listener.addr();
    let causes = CausesSlot::default();
    let (load, samples) = NodeLoad::new(settings.overload.as_ref(), settings.shards.len())?;
    let (admin, answers) = admin(settings, &causes, Figures { load: load.board(), rates: None })?;
    let worker = Arc::new(Worker {
        identity: Identity { addr: Some(addr), admin: Some(admin.addr()), swim_port, oob_port, ..tag },
        fleet: settings.fleet.clone(),
        join: settings.join.clone(),
        capacity_vus: u32::try_from(capacity).unwrap_or(u32::MAX),
        wall,
        limits: LinkLimits { idle_timeout: Some(IDLE), ..LinkLimits::default() },
        swim: settings.swim.clone(),
    });
    let mailboxes = Mailboxes::new(settings.shards.len());
    let order = mailboxes.sender();
    let (core, mails) = mailboxes.split();
    let seed = entropy::seed().map_err(Failure::could_not_run)?;
    // What its frames wait is not its load: how late it drives load is.
    let guard = Guard { intake: Intake::new(Role::Worker, load.gauge.clone(), seed), samples: None };
    let core = WorkerEnds { listener: Some(listener), datagrams, guard, mail: core };
    let core: Arc<OnceTake<WorkerEnds>> = Arc::new(OnceTake::new(core));
    let ends = mails.into_iter().zip(answers).zip(samples);
    let ends: Arc<Vec<OnceTake<ShardEnds>>> =
        Arc::new(ends.map(|((mail, answer), samples)| OnceTake::new((mail, answer, samples))).collect());
    let (told, hear) = mpsc::channel();
    watch_stdin(settings, &told);
    let shards = hyperscale_runtime::start(&settings.shards, move |shard| {
        let (core, ends, worker, told) =
            (Arc::clone(&core), Arc::clone(&ends), Arc::clone(&worker), told.clone());
        let causes = Arc::clone(&causes);
        async move {
            let own = ends.get(usize::from(shard.id())).and_then(OnceTake::take);
            let (Some((mail, answer, lateness)), Ok(seed)) = (own, entropy::seed()) else { return };
            let _the_first_shard_wins = causes.set(Arc::clone(shard.causes()));
            if shard.id() != 0 {
                let id = shard.id();
                answer.open(&shard, move || ShardView::new(id));
                run_shard(&shard, mail, lateness, LoadOptions::default()).await;
                return;
            }
            let Some(core) = core.take() else { return };
            watch_signals(&shard, &told);
            let node = start_core(&shard, &worker, core, seed, move |said| {
                let _process_ends = told.send(match said {
                    FromShard::Drained => Told::Drained,
                    FromShard::Refused(why) => Told::Refused(why),
                });
            });
            let load = {
                let shard = shard.clone();
                async move { run_shard(&shard, mail, lateness, LoadOptions::default()).await }
            };
            let _ends_with_the_shard = shard.spawn_data("load", TaskKind::Service, load);
            serve(&shard, node, answer, WorkerCore::view).await;
        }
    });
    let shards = shards.map_err(Failure::could_not_run)?;
    let name = format!("worker {}", settings.name);
    let tell = tell_cores(vec![order.clone()], Local::Overload);
    let monitor = watch(load.watched(name, CpuRule::WorstOnly, tell), &shards)?;
    announce(settings, Some(addr), admin.addr());
    let drain = Box::new(move || {
        let _a_full_one_drains_already = order.try_send(Local::Drain);
    });
    let ended = Life { settings, shards, hear, cores: 1, drain }.live();
    drop(monitor);
    admin.stop();
    ended
}
