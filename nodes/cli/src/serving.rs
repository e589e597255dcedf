//! The built-in target on shards of its own: for `target`, and for `run --demo`.

use std::net::SocketAddr;
use std::sync::Arc;

use hyperscale_runtime::responder::{Listening, listen, run_responder};
use hyperscale_runtime::signals::Signals;
use hyperscale_runtime::{Shard, ShardOptions, Shards, StopReason, TaskKind, clock};
use hyperscale_target::{Counts, Responder, TargetConfig};

use crate::embedded::OnceTake;
use crate::exit::Failure;

/// Connections of one shard at most.
const CONNECTIONS_MAX: usize = 65_536;

/// A running target.
pub(crate) struct Serving {
    pub(crate) addr: SocketAddr,
    pub(crate) shards: Shards<()>,
    pub(crate) counts: Counts,
}

/// Starts one shard a core, all listening on one address. With `until_signal` the first Ctrl-C stops it.
pub(crate) fn start(
    addr: SocketAddr,
    cores: &[usize],
    config: TargetConfig,
    until_signal: bool,
) -> Result<Serving, Failure> {
    let refused = |error: std::io::Error| {
        Failure::could_not_run(format!("listening on {addr}: {error}; name a free address of this host"))
    };
    let (addr, listening) = listen(addr, cores.len()).map_err(refused)?;
    let listening: Arc<Vec<OnceTake<Listening>>> =
        Arc::new(listening.into_iter().map(OnceTake::new).collect());
    let counts = Counts::new(cores.len());
    let rows = counts.clone();
    let started = clock::now();
    let options: Vec<ShardOptions> = cores.iter().map(|&cpu| ShardOptions::pinned(cpu)).collect();
    let shards = hyperscale_runtime::start(&options, move |shard| {
        let (listening, counts) = (Arc::clone(&listening), rows.clone());
        async move {
            let at = usize::from(shard.id());
            let Some(listening) = listening.get(at).and_then(OnceTake::take) else { return };
            if until_signal && at == 0 {
                watch(&shard);
            }
            let mut responder = Responder::new(config, counts, at, started);
            let served = run_responder(listening, &mut responder, CONNECTIONS_MAX, shard.stopping()).await;
            if let Err(error) = served {
                let message = format!("the target could not serve: {error}");
                shard.stop().request(StopReason::ServiceEnded {
                    shard: shard.id(),
                    task: "target".to_owned(),
                    message,
                });
            }
        }
    });
    Ok(Serving { addr, shards: shards.map_err(Failure::could_not_run)?, counts })
}

fn watch(shard: &Shard) {
    let stopping = shard.clone();
    let watch = async move {
        let Ok(signals) = Signals::open(&stopping) else { return };
        if let Ok(signal) = signals.next().await {
            stopping.stop().request(StopReason::Asked(signal.to_string()));
        }
    };
    let _ends_with_the_shard = shard.spawn("signals", TaskKind::Service, watch);
}
