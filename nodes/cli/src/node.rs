//! One node as a process: its settings, who it is, its life from start to drain.

mod gate;
mod identity;
mod intake;
mod life;
mod manager;
mod serve;
mod settings;
mod worker;

use std::process::ExitCode;

use hyperscale_codec::Role;

use crate::exit::Failure;

pub(crate) use settings::{NodeFlags, Settings};

/// Runs a node until it has drained.
pub(crate) fn run(role: Role, settings: &Settings) -> Result<ExitCode, Failure> {
    match role {
        Role::Gate => gate::run(settings),
        Role::Manager => manager::run(settings),
        Role::Worker => worker::run(settings),
        Role::Client => Err(Failure::usage("a client is no node; see `hyperscale submit`")),
    }
}
