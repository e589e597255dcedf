//! Runs the gate's core on the runtime: carries bytes, decides nothing. Its ledger is a group of one, in memory.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use hyperscale_codec::Role;
use hyperscale_gate::{Command, GateConfig, GateCore, Local};
use hyperscale_ledger::MemoryLedger;
use hyperscale_runtime::tcp::{BoundListener, ListenError, bind};
use hyperscale_runtime::{NodeConfig, NodeDriver, NodeHandle, Shard};

/// Starts a gate on this shard, listening on `listen` (port 0 for a free one).
///
/// # Errors
/// [`ListenError`], such as for an address in use.
pub fn start(
    shard: &Shard,
    name: &str,
    listen: SocketAddr,
    mut config: GateConfig,
) -> Result<NodeHandle<GateCore>, ListenError> {
    let listeners = bind(listen, 1)?;
    config.addr = listeners.first().map_or(listen, BoundListener::addr).to_string();
    let mut node = NodeConfig::new(Role::Gate, config.node, name);
    node.accepts = vec![Role::Client, Role::Gate, Role::Manager];
    let mut ledger = MemoryLedger::default();
    Ok(NodeDriver::start_on(
        shard,
        node,
        listeners,
        GateCore::new(config),
        move |command, cx| match command {
            Command::Propose(entry) => cx.local(Local::Committed(ledger.commit(entry))),
        },
    ))
}
