//! The `hyperscale` binary: reads the command line, runs a command, ends with its exit code.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod embedded;
mod exit;
mod follow;
mod logging;
mod node;
mod output;
mod overload;
mod remote;
mod screen;
mod serving;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;
use hyperscale_codec::Role;

use crate::args::{Arguments, Command};
use crate::exit::Failure;
use crate::node::{NodeFlags, Settings};

fn main() -> ExitCode {
    // Before any thread: a thread that was started earlier would die of the first Ctrl-C.
    if let Err(error) = hyperscale_runtime::signals::block() {
        return Failure::could_not_run(format!("signals cannot be blocked: {error}")).report();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::told(&error),
    };
    // Quiet unless asked: a run's own lines are what its user reads. Its parts share this process and so its name.
    let identity = arguments.command.identity();
    let logging = logging::start(&arguments.logs, identity, arguments.command.log_level());
    let result = match arguments.command {
        Command::Run(run) => commands::run::run(&run),
        Command::Gate(flags) => run_node(Role::Gate, &flags),
        Command::Manager(flags) => run_node(Role::Manager, &flags),
        Command::Worker(flags) => run_node(Role::Worker, &flags),
        Command::Cluster(cluster) => commands::cluster::cluster(&cluster),
        Command::Submit(submit) => commands::fleet::submit(&submit),
        Command::Watch(watch) => commands::fleet::watch(&watch),
        Command::Status(job) => commands::fleet::status(&job),
        Command::Stats(stats) => commands::stats::stats(&stats),
        Command::Cancel(job) => commands::fleet::cancel(&job),
        Command::Jobs(jobs) => commands::jobs::jobs(&jobs),
        Command::Nodes(nodes) => commands::fleet::nodes(&nodes),
        Command::Check(check) => commands::check::check(&check),
        Command::Target(target) => commands::target::target(&target),
        Command::Saturate(saturate) => commands::saturate::saturate(&saturate),
    };
    drop(logging);
    result.unwrap_or_else(|failure| failure.report())
}

fn run_node(role: Role, flags: &NodeFlags) -> Result<ExitCode, Failure> {
    node::run(role, &Settings::new(role, flags)?)
}
