//! A client of a fleet elsewhere: one shard that dials gates, says one thing, and tells what comes back.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::Args;
use hyperscale_client::{ClientConfig, Local};
use hyperscale_codec::{NodeId, Role};
use hyperscale_fleet::Identity;
use hyperscale_runtime::join::JoinAddr;
use hyperscale_runtime::signals::Signals;
use hyperscale_runtime::{Shard, ShardOptions, Shards, StopReason, TaskKind, clock, entropy, preflight};

use crate::embedded::OnceTake;
use crate::exit::Failure;
use crate::follow::Told;

/// For queued bytes to go.
const STOP: Duration = Duration::from_secs(5);

/// Where the fleet is; flags of every command that talks to one.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetFlags {
    /// Gates, tried in this order: HOST:PORT,...
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', required = true, env = "HYPERSCALE_GATE", value_parser = gate)]
    pub(crate) gate: Vec<JoinAddr>,
    /// The fleet's name
    #[arg(long, default_value = "default")]
    pub(crate) fleet: String,
    /// Without any answer for so long it gives up
    #[arg(long, default_value = "10s", value_parser = patience)]
    pub(crate) patience: Duration,
    /// Whether this client reads signals; of a process, one reader does.
    #[arg(skip = true)]
    pub(crate) signals: bool,
}

fn gate(text: &str) -> Result<JoinAddr, String> {
    text.parse::<JoinAddr>().map_err(|error| error.to_string())
}

fn patience(text: &str) -> Result<Duration, String> {
    hyperscale_plan::units::parse_duration(text).map_err(|error| error.to_string())
}

/// A running client.
pub(crate) struct Remote {
    shards: Shards<()>,
    pub(crate) hear: mpsc::Receiver<Told>,
}

impl Remote {
    /// Dials the gates and says `first`.
    pub(crate) fn start(flags: &FleetFlags, first: Local) -> Result<Self, Failure> {
        preflight::check_host(1).map_err(Failure::could_not_run)?;
        let (told, hear) = mpsc::channel();
        let (flags, first) = (Arc::new(flags.clone()), Arc::new(OnceTake::new(first)));
        let shards = hyperscale_runtime::start(&[ShardOptions::small()], move |shard| {
            let (flags, first, told) = (Arc::clone(&flags), Arc::clone(&first), told.clone());
            async move {
                if let Err(why) = body(&shard, &flags, &first, &told).await {
                    let _listener_gone = told.send(Told::Failed(why));
                }
            }
        });
        Ok(Self { shards: shards.map_err(Failure::could_not_run)?, hear })
    }

    /// The first thing the client has to say, of a question that has one answer.
    pub(crate) fn answer(&self) -> Result<Told, Failure> {
        loop {
            match self.hear.recv() {
                Ok(Told::Job(hyperscale_client::Notice::Reconnecting { .. })) => {}
                Ok(told) => return Ok(told),
                Err(mpsc::RecvError) => {
                    return Err(Failure::could_not_run("the client ended without an answer"));
                }
            }
        }
    }

    /// Hangs up.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.shards.stop().request(StopReason::Asked("the command is done".to_owned()));
        self.shards.join(STOP).map(|_ended| ()).map_err(Failure::could_not_run)
    }
}

async fn body(
    shard: &Shard,
    flags: &FleetFlags,
    first: &OnceTake<Local>,
    told: &mpsc::Sender<Told>,
) -> Result<(), String> {
    let (mut gates, mut unknown) = (Vec::new(), String::new());
    for name in &flags.gate {
        match name.look_up(shard).await {
            Ok(addrs) => gates.extend(addrs),
            Err(error) => unknown = format!("--gate {name}: {error}; check the name"),
        }
    }
    if gates.is_empty() {
        return Err(unknown);
    }
    let wall = clock::wall_clock();
    let node = entropy::unique().map(NodeId).map_err(|error| error.to_string())?;
    let config = ClientConfig {
        identity: Identity::new(Role::Client, node, "client"),
        gates,
        wall,
        patience: flags.patience,
    };
    let notices = told.clone();
    let show = move |notice| {
        let _listener_gone = notices.send(Told::Job(notice));
    };
    let client = hyperscale_client_driver::start(shard, &flags.fleet, config, show)
        .map_err(|error| error.to_string())?;
    if let Some(first) = first.take() {
        let _has_room = client.local().send(first);
    }
    if flags.signals {
        watch_signals(shard, told)?;
    }
    shard.stopping().await;
    client.stop().await;
    Ok(())
}

/// The first signal is the user's wish to leave, the second to leave at once.
fn watch_signals(shard: &Shard, told: &mpsc::Sender<Told>) -> Result<(), String> {
    let signals = Signals::open(shard).map_err(|error| format!("signals cannot be read: {error}"))?;
    let told = told.clone();
    let watch = async move {
        let mut again = false;
        while let Ok(_signal) = signals.next().await {
            if told.send(if again { Told::Now } else { Told::Interrupted }).is_err() {
                return;
            }
            again = true;
        }
    };
    let _ends_with_the_shard = shard.spawn("signals", TaskKind::Service, watch);
    Ok(())
}
