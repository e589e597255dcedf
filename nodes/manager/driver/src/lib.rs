//! Runs the manager's core on the runtime: carries bytes, decides nothing. Its ledger is a group of one, in memory.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use hyperscale_codec::Role;
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::{Command, Local, ManagerConfig, ManagerCore};
use hyperscale_runtime::tcp::ListenError;
use hyperscale_runtime::{NodeConfig, NodeDriver, NodeHandle, Shard};

/// Starts a manager on this shard, listening on `listen` (port 0 for a free one), and has it dial its gates.
///
/// # Errors
/// [`ListenError`], such as for an address in use.
pub fn start(
    shard: &Shard,
    listen: SocketAddr,
    config: ManagerConfig,
) -> Result<NodeHandle<ManagerCore>, ListenError> {
    let mut node = NodeConfig::new(Role::Manager, config.node, config.name.clone());
    node.accepts = vec![Role::Gate, Role::Manager, Role::Worker];
    node.boot = config.boot;
    node.listen = Some(listen);
    let mut ledger = MemoryLedger::default();
    let handle =
        NodeDriver::start(shard, node, ManagerCore::new(config), move |command, cx| match command {
            Command::Propose(entry) => cx.local(Local::Committed(ledger.commit(entry))),
        })?;
    let _first_of_all = handle.local().send(Local::Start);
    Ok(handle)
}
