//! `hyperscale manager`: one core on one shard.

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_fleet::Identity;
use hyperscale_manager::{Local, ManagerCore};
use hyperscale_manager_driver::{Manager, ManagerEnds, Told as FromShard};
use hyperscale_reliability::{CpuRule, Intake};
use hyperscale_runtime::udp::bind_ports;
use hyperscale_runtime::{Answer, Guard, LinkLimits, clock, entropy, mailbox, preflight};
use hyperscale_view::ShardView;

use super::Settings;
use super::gate::IDLE;
use super::identity::identity;
use super::life::{Life, Told, announce, watch_signals, watch_stdin};
use super::serve::{CausesSlot, Figures, admin, serve};
use crate::embedded::OnceTake;
use crate::exit::Failure;
use crate::overload::{NodeLoad, tell_cores, watch};

/// Orders of the process that wait for the core.
const ORDERS_MAX: usize = 8;

type Ends = (ManagerEnds, Answer<ShardView>);

pub(super) fn run(settings: &Settings) -> Result<ExitCode, Failure> {
    preflight::check_host(settings.shards.len()).map_err(Failure::could_not_run)?;
    let wall = clock::wall_clock();
    let (tag, _folder) = identity(settings, wall)?;
    let (listeners, datagrams) = bind_ports(settings.listen, 1).map_err(Failure::could_not_run)?;
    let (swim_port, oob_port) = (datagrams.swim_port(), datagrams.oob_port());
    let listener = listeners.into_iter().next().ok_or_else(|| Failure::could_not_run("nothing listens"))?;
    let addr = listener.addr();
    let causes = CausesSlot::default();
    let (load, samples) = NodeLoad::new(settings.overload.as_ref(), 1)?;
    let (admin, answers) = admin(settings, &causes, Figures { load: load.board(), rates: None })?;
    let manager = Arc::new(Manager {
        identity: Identity { addr: Some(addr), admin: Some(admin.addr()), swim_port, oob_port, ..tag },
        fleet: settings.fleet.clone(),
        join: settings.join.clone(),
        wall,
        gate_wait: Duration::from_secs(10),
        limits: LinkLimits { idle_timeout: Some(IDLE), ..LinkLimits::default() },
        swim: settings.swim.clone(),
    });
    let (order, inbox) = mailbox(ORDERS_MAX);
    let answer = answers.into_iter().next().ok_or_else(|| Failure::could_not_run("no shard"))?;
    let guard = Guard {
        intake: Intake::new(
            Role::Manager,
            load.gauge.clone(),
            entropy::seed().map_err(Failure::could_not_run)?,
        ),
        samples: samples.into_iter().next().flatten(),
    };
    let ends = ManagerEnds { listener, datagrams, guard, orders: Some(inbox) };
    let ends: Arc<OnceTake<Ends>> = Arc::new(OnceTake::new((ends, answer)));
    let (told, hear) = mpsc::channel();
    watch_stdin(settings, &told);
    let shards = hyperscale_runtime::start(&settings.shards, move |shard| {
        let (ends, manager, told) = (Arc::clone(&ends), Arc::clone(&manager), told.clone());
        let causes = Arc::clone(&causes);
        async move {
            let (Some((ends, answer)), Ok(seed)) = (ends.take(), entropy::seed()) else { return };
            let _only_one = causes.set(Arc::clone(shard.causes()));
            watch_signals(&shard, &told);
            let node = hyperscale_manager_driver::start(&shard, &manager, ends, seed, move |said| {
                let _process_ends = told.send(match said {
                    FromShard::Drained => Told::Drained,
                    FromShard::Refused(why) => Told::Refused(why),
                });
            });
            serve(&shard, node, answer, ManagerCore::view).await;
        }
    });
    let shards = shards.map_err(Failure::could_not_run)?;
    let name = format!("manager {}", settings.name);
    let tell = tell_cores(vec![order.clone()], Local::Overload);
    let monitor = watch(load.watched(name, CpuRule::Full, tell), &shards)?;
    announce(settings, Some(addr), admin.addr());
    let drain = Box::new(move || {
        let _a_full_one_drains_already = order.try_send(Local::Drain);
    });
    let ended = Life { settings, shards, hear, cores: 1, drain }.live();
    drop(monitor);
    admin.stop();
    ended
}
