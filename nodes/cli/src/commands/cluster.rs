//! `hyperscale cluster`: a local fleet of real processes on free ports, one table of them, one Ctrl-C for all.
//!
//! A child ends when its standard input does, so that nothing is left behind however this process ends.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use hyperscale_codec::Role;
use hyperscale_codec::messages::NodeEntry;
use hyperscale_fleet::node_row;
use hyperscale_runtime::signals::Signals;
use hyperscale_runtime::{Shard, ShardOptions, Shards, StopReason, TaskKind, clock, preflight};
use hyperscale_view::nodes_table;
use serde_json::json;

use crate::commands::fleet::list;
use crate::exit::Failure;
use crate::remote::FleetFlags;

/// Between two looks at the fleet.
const LOOK: Duration = Duration::from_secs(1);
/// While not all have registered.
const LOOK_EARLY: Duration = Duration::from_millis(100);
/// For all nodes to register.
const READY_TIME: Duration = Duration::from_secs(60);
/// For a node to say where it listens.
const START_TIME: Duration = Duration::from_secs(20);
/// For a node to end what it does, once told to.
const DRAIN: &str = "10s";
const DRAIN_TIME: Duration = Duration::from_secs(15);

/// Flags of `cluster`.
#[derive(Debug, Args)]
pub(crate) struct Cluster {
    /// Gates
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    gates: u16,
    /// Datacenters, called dc-1, dc-2, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    datacenters: u16,
    /// Managers in each datacenter
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    managers: u16,
    /// Workers in each datacenter
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Once every node has registered, write {"nodes":[...]} here
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Each node's log, NAME.log [default: a new folder under the system's temporary one]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// No live table
    #[arg(long)]
    quiet: bool,
}

/// One running node.
struct Node {
    name: String,
    role: Role,
    datacenter: String,
    listen: String,
    admin: String,
    child: Child,
    /// Closed to end it.
    stdin: Option<ChildStdin>,
}

pub(crate) fn cluster(args: &Cluster) -> Result<ExitCode, Failure> {
    let count = usize::from(args.gates)
        + usize::from(args.datacenters) * (usize::from(args.managers) + usize::from(args.workers));
    preflight::check_host(count + 1).map_err(|error| {
        let fit = how_many_fit(count, |nodes| preflight::check_host(nodes + 1).is_ok());
        Failure::could_not_run(format!("{fit} of the {count} nodes asked for fit, one shard each: {error}"))
    })?;
    let logs = log_folder(args.log_dir.as_deref())?;
    let (watcher, interrupted) = watch_signals()?;
    let mut nodes = Vec::with_capacity(count);
    let lived = start_all(args, &logs, &mut nodes).and_then(|()| live(args, &logs, &mut nodes, &interrupted));
    end_all(nodes);
    watcher.stop().request(StopReason::Asked("the cluster has ended".to_owned()));
    let _nothing_to_tell = watcher.join(LOOK);
    lived.map(|()| ExitCode::SUCCESS)
}

/// The most nodes that this host takes, if it does not take all.
fn how_many_fit(asked: usize, fit: impl Fn(usize) -> bool) -> usize {
    (1..asked).rev().find(|&nodes| fit(nodes)).unwrap_or(0)
}

fn log_folder(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = asked.map_or_else(
        || std::env::temp_dir().join(format!("hyperscale-cluster-{}", std::process::id())),
        Path::to_owned,
    );
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::usage(format!("--log-dir {}: {error}", folder.display())))?;
    Ok(folder)
}

/// Starts gates, then managers, then workers: each is told where those before it are.
fn start_all(args: &Cluster, logs: &Path, nodes: &mut Vec<Node>) -> Result<(), Failure> {
    let mut gates: Vec<String> = Vec::new();
    for at in 1..=args.gates {
        let node = start(Role::Gate, format!("gate-{at}"), "", &gates, logs)?;
        gates.push(node.listen.clone());
        nodes.push(node);
    }
    for datacenter in (1..=args.datacenters).map(|at| format!("dc-{at}")) {
        let mut managers: Vec<String> = Vec::new();
        for at in 1..=args.managers {
            let join: Vec<String> = gates.iter().chain(&managers).cloned().collect();
            let node = start(Role::Manager, format!("{datacenter}-manager-{at}"), &datacenter, &join, logs)?;
            managers.push(node.listen.clone());
            nodes.push(node);
        }
        for at in 1..=args.workers {
            nodes.push(start(
                Role::Worker,
                format!("{datacenter}-worker-{at}"),
                &datacenter,
                &managers,
                logs,
            )?);
        }
    }
    Ok(())
}

fn start(role: Role, name: String, datacenter: &str, join: &[String], logs: &Path) -> Result<Node, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::could_not_run(format!("{role} {name}: {error}"));
    let log = logs.join(format!("{name}.log"));
    let stderr = File::create(&log).map_err(|error| failed(&format!("{}: {error}", log.display())))?;
    let mut command = Command::new(std::env::current_exe().map_err(|error| failed(&error))?);
    command.args([role.as_str(), "--name", &name, "--cores", "unpinned", "--drain-timeout", DRAIN]);
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--stop-with-stdin"]);
    if role == Role::Manager {
        command.args(["--datacenter", datacenter]);
    }
    if !join.is_empty() {
        command.args(["--join", &join.join(",")]);
    }
    // A group of its own: Ctrl-C reaches this process alone, which ends them in order.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let stdin = child.stdin.take();
    let line = child.stdout.take().map(first_line).unwrap_or_default();
    let Some((listen, admin)) = places(&line) else {
        let _it_is_gone_or_goes = child.kill();
        let _reaped = child.wait();
        let why = std::fs::read_to_string(&log).unwrap_or_default();
        let why = why.lines().last().unwrap_or("it did not say where it listens").to_owned();
        return Err(failed(&why));
    };
    Ok(Node { name, role, datacenter: datacenter.to_owned(), listen, admin, child, stdin })
}

/// What a node says of itself first; empty if it ends before, or says nothing in time.
fn first_line(stdout: std::process::ChildStdout) -> String {
    let (told, hear) = mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "a read of a pipe that may never end; no shard is near")]
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ended = BufReader::new(stdout).read_line(&mut line);
        let _nobody_waits = told.send(line);
    });
    hear.recv_timeout(START_TIME).unwrap_or_default()
}

/// Frame and admin address of `ROLE NAME listens on ADDR; admin http://ADDR/`.
fn places(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once(" listens on ")?;
    let (listen, admin) = rest.split_once("; admin http://")?;
    Some((listen.to_owned(), admin.trim_end().trim_end_matches('/').to_owned()))
}

/// Shows the fleet until Ctrl-C.
fn live(
    args: &Cluster,
    logs: &Path,
    nodes: &mut [Node],
    interrupted: &mpsc::Receiver<()>,
) -> Result<(), Failure> {
    let flags = gates_of(nodes)?;
    let (began, mut ready, mut table) = (clock::now(), false, Table::new(args.quiet));
    loop {
        if interrupted.recv_timeout(if ready { LOOK } else { LOOK_EARLY }) == Ok(()) {
            return Ok(());
        }
        for node in nodes.iter_mut() {
            if let Some(status) = node.stdin.is_some().then(|| node.child.try_wait().ok().flatten()).flatten()
            {
                node.stdin = None;
                table.note(&format!("{} (pid {}) has ended: {status}", node.name, node.child.id()));
            }
        }
        // A gate that is being restarted answers the next time.
        let Ok((rows, _)) = list(&flags) else { continue };
        if !ready && registered(nodes, &rows) {
            ready = true;
            if let Some(path) = &args.ready_file {
                write_ready(path, nodes)?;
            }
            table.note(&format!(
                "{} nodes are ready; logs in {}\nsubmit a plan: hyperscale submit PLAN.toml --gate {} --follow",
                nodes.len(),
                logs.display(),
                flags.gate.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            ));
        } else if !ready && clock::now().since(began) > READY_TIME {
            let missing = nodes.iter().filter(|node| !rows.iter().any(|row| row.name == node.name));
            let missing: Vec<&str> = missing.map(|node| node.name.as_str()).collect();
            return Err(Failure::could_not_run(format!(
                "not registered within {} s: {}; see their logs in {}",
                READY_TIME.as_secs(),
                missing.join(", "),
                logs.display()
            )));
        }
        if ready {
            let rows: Vec<_> = rows.iter().map(node_row).collect();
            table.draw(&nodes_table(&rows));
        }
    }
}

fn gates_of(nodes: &[Node]) -> Result<FleetFlags, Failure> {
    let gates = nodes.iter().filter(|node| node.role == Role::Gate).map(|node| node.listen.parse());
    let gate = gates.collect::<Result<Vec<_>, _>>().map_err(Failure::could_not_run)?;
    Ok(FleetFlags { gate, fleet: "default".to_owned(), patience: LOOK, signals: false })
}

fn registered(nodes: &[Node], rows: &[NodeEntry]) -> bool {
    nodes.iter().all(|node| rows.iter().any(|row| row.name == node.name && row.role == node.role as u8))
}

/// Beside, then in its place: who waits for the file finds it whole.
fn write_ready(path: &Path, nodes: &[Node]) -> Result<(), Failure> {
    let rows = nodes.iter().map(|node| {
        json!({
            "name": node.name, "role": node.role.as_str(), "datacenter": node.datacenter,
            "pid": node.child.id(), "listen": node.listen, "admin": node.admin,
        })
    });
    let text = json!({ "nodes": rows.collect::<Vec<_>>() }).to_string();
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|error| Failure::could_not_run(format!("--ready-file {}: {error}", path.display())))
}

/// Tells all to end what they do, and waits; what does not end in time is killed.
fn end_all(nodes: Vec<Node>) {
    let mut nodes = nodes;
    nodes.iter_mut().for_each(|node| node.stdin = None);
    let began = clock::now();
    while clock::now().since(began) < DRAIN_TIME {
        if nodes.iter_mut().all(|node| matches!(node.child.try_wait(), Ok(Some(_)))) {
            return;
        }
        pause(Duration::from_millis(20));
    }
    for node in &mut nodes {
        let _gone_or_goes = node.child.kill();
        let _reaped = node.child.wait();
    }
}

fn pause(time: Duration) {
    let (_held, never) = mpsc::channel::<()>();
    let _always_late = never.recv_timeout(time);
}

/// Signals need a shard to be read on; this one does nothing else.
fn watch_signals() -> Result<(Shards<()>, mpsc::Receiver<()>), Failure> {
    let (told, hear) = mpsc::channel();
    let shards = hyperscale_runtime::start(&[ShardOptions::small()], move |shard: Shard| {
        let told = told.clone();
        async move {
            let watching = shard.clone();
            let watch = async move {
                let Ok(signals) = Signals::open(&watching) else { return };
                while signals.next().await.is_ok() && told.send(()).is_ok() {}
            };
            let _ends_with_the_shard = shard.spawn("signals", TaskKind::Service, watch);
            shard.stopping().await;
        }
    });
    Ok((shards.map_err(Failure::could_not_run)?, hear))
}

/// A table that is drawn over the last one, where there is a terminal.
struct Table {
    live: bool,
    lines: usize,
}

impl Table {
    fn new(quiet: bool) -> Self {
        Self { live: !quiet && std::io::stderr().is_terminal(), lines: 0 }
    }

    /// A line that stays.
    fn note(&mut self, text: &str) {
        self.clear();
        let _nobody_reads = writeln!(std::io::stderr(), "{text}");
    }

    fn draw(&mut self, text: &str) {
        if self.live {
            self.clear();
            let screen = terminal_size::terminal_size_of(std::io::stderr());
            let height = screen.map_or(usize::MAX, |(_, height)| usize::from(height.0));
            let text = that_fits(text, height);
            let _nobody_reads = write!(std::io::stderr(), "{text}");
            self.lines = text.lines().count();
        }
    }

    fn clear(&mut self) {
        if self.lines > 0 {
            let _nobody_reads = write!(std::io::stderr(), "\x1b[{}A\x1b[J", self.lines);
            self.lines = 0;
        }
    }
}

/// As much of a table as can be drawn over: what has left the screen stays as it was.
fn that_fits(text: &str, height: usize) -> String {
    let lines = text.lines().count();
    if lines < height {
        return text.to_owned();
    }
    let shown = height.saturating_sub(2);
    let mut out: String = text.lines().take(shown).flat_map(|line| [line, "\n"]).collect();
    out.push_str(&format!("... and {} more; all of them: hyperscale nodes\n", lines - shown));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_limit_is_told_as_nodes() {
        assert_eq!(how_many_fit(30, |nodes| nodes < 8), 7);
        assert_eq!(how_many_fit(30, |_| false), 0);
    }

    #[test]
    fn a_table_longer_than_the_screen_is_cut_and_says_so() {
        assert_eq!(that_fits("a\nb\n", 3), "a\nb\n");
        assert_eq!(that_fits("a\nb\nc\nd\n", 4), "a\nb\n... and 2 more; all of them: hyperscale nodes\n");
    }

    #[test]
    fn a_node_s_first_line_says_where_it_is() {
        let line = "gate gate-1 listens on 127.0.0.1:45985; admin http://127.0.0.1:36123/\n";
        assert_eq!(places(line), Some(("127.0.0.1:45985".to_owned(), "127.0.0.1:36123".to_owned())));
        assert_eq!(places(""), None);
    }
}
