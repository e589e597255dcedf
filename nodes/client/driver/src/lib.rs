//! Runs the client's core on the runtime: carries bytes, decides nothing.
#![forbid(unsafe_code)]

use hyperscale_client::{ClientConfig, ClientCore, Command, Notice};
use hyperscale_runtime::tcp::ListenError;
use hyperscale_runtime::{NodeConfig, NodeDriver, NodeHandle, Shard};

/// Starts a client of this fleet on this shard; it does not listen. `show` gets what the user is to be told.
///
/// # Errors
/// None but those of the runtime.
pub fn start(
    shard: &Shard,
    fleet: &str,
    config: ClientConfig,
    mut show: impl FnMut(Notice) + 'static,
) -> Result<NodeHandle<ClientCore>, ListenError> {
    let node = NodeConfig::of(&config.identity, fleet, &[]);
    NodeDriver::start(shard, node, ClientCore::new(config), move |command, _cx| match command {
        Command::Notify(notice) => show(notice),
    })
}
