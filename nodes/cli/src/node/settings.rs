//! What a node is told: a TOML file, flags that win over it, defaults; checked before anything starts.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use clap::Args;
use hyperscale_codec::Role;
use hyperscale_fleet::SwimConfig;
use hyperscale_plan::units::parse_duration;
use hyperscale_reliability::{OverloadConfig, RateLimitConfig};
use hyperscale_runtime::join::JoinAddr;
use hyperscale_runtime::{Placement, ShardOptions, preflight};
use serde::Deserialize;

use crate::args::{Cores, cores};
use crate::commands::plan_file::words;
use crate::exit::Failure;

mod limits;
mod overload;

use overload::OverloadTable;

/// Longest name of a node.
const NAME_MAX: usize = 64;
/// A drain takes so long at most, unless told otherwise.
const DRAIN: Duration = Duration::from_secs(60);
/// VUs that one worker takes at once, unless told otherwise.
const CAPACITY_VUS: u32 = 100_000;

/// Flags of `gate`, `manager` and `worker`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NodeFlags {
    /// A node file (TOML) with these settings by the same names; flags win over it
    #[arg(long, value_name = "NODE.toml")]
    pub(crate) config: Option<PathBuf>,
    /// What people call it; unique per fleet and role [default: ROLE-HOSTNAME]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A manager's datacenter
    #[arg(long)]
    pub(crate) datacenter: Option<String>,
    /// Frame port [default: 127.0.0.1:7001 for a gate, :7002 manager, :7003 worker]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// Admin port, HTTP [default: 127.0.0.1:9001 for a gate, :9002 manager, :9003 worker]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(crate) admin: Option<SocketAddr>,
    /// Where others are, by name or address: gates for a gate, gates and managers for a manager, managers for a worker
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', value_parser = join)]
    pub(crate) join: Vec<JoinAddr>,
    /// CPUs, one shard each: 0-3, or 0,2; or `unpinned`: one shard that the kernel places [default: all for a gate and a worker; unpinned for a manager]
    #[arg(long, value_parser = core_choice)]
    pub(crate) cores: Option<CoreChoice>,
    /// Keeps who this node is over restarts; one node a folder
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The fleet it belongs to; others are refused [default: default]
    #[arg(long)]
    pub(crate) fleet: Option<String>,
    /// Allow addresses beyond loopback without TLS: anybody who reaches them can read and order everything
    #[arg(long)]
    pub(crate) insecure: bool,
    /// How long to wait for running work after SIGTERM [default: 60s]
    #[arg(long, value_parser = duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// How fast members notice that one is gone: lan, wan (oceans apart), fast (one host); the same in a whole fleet [default: lan]
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    pub(crate) membership: Option<SwimConfig>,
    /// VUs that a worker takes at once [default: 100000]
    #[arg(long)]
    pub(crate) capacity_vus: Option<u32>,
    /// Drain when the standard input ends, as a child whose parent may die does
    #[arg(long, hide = true)]
    pub(crate) stop_with_stdin: bool,
}

/// The file; every value as text where it has a form of its own, so that flags and file are read alike.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    name: Option<String>,
    datacenter: Option<String>,
    listen: Option<String>,
    admin: Option<String>,
    join: Option<Vec<String>>,
    cores: Option<String>,
    data_dir: Option<PathBuf>,
    fleet: Option<String>,
    insecure: Option<bool>,
    drain_timeout: Option<String>,
    membership: Option<String>,
    capacity_vus: Option<u32>,
    limits: Option<toml::Table>,
    overload: Option<OverloadTable>,
}

/// Where a node's shards run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CoreChoice {
    /// On these CPUs.
    Pinned(Cores),
    /// One, wherever the kernel puts it.
    Unpinned,
}

/// Everything, checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    pub(crate) name: String,
    /// Empty but for managers.
    pub(crate) datacenter: String,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) join: Vec<JoinAddr>,
    pub(crate) shards: Vec<ShardOptions>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) fleet: String,
    pub(crate) drain_timeout: Duration,
    pub(crate) capacity_vus: u32,
    pub(crate) swim: SwimConfig,
    /// How often one client may ask a gate for one thing.
    pub(crate) limits: RateLimitConfig,
    /// None: its load is not measured.
    pub(crate) overload: Option<OverloadConfig>,
    pub(crate) stop_with_stdin: bool,
}

impl Settings {
    /// Reads the file, if one is named, and puts flags and defaults to it.
    pub(crate) fn new(role: Role, flags: &NodeFlags) -> Result<Self, Failure> {
        let (file, shown) = match &flags.config {
            Some(path) => (read(path)?, format!("{}: ", path.display())),
            None => (NodeFile::default(), String::new()),
        };
        let wrong = |key: &str, why: &dyn Display| Failure::usage(format!("{shown}{key}: {why}"));
        let name = flags.name.clone().or(file.name).unwrap_or_else(|| default_name(role));
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(wrong("name", &format!("{name:?} has not 1 to {NAME_MAX} plain characters")));
        }
        let datacenter = flags.datacenter.clone().or(file.datacenter);
        let datacenter = match (role, datacenter) {
            (Role::Manager, Some(name)) if !name.is_empty() && name.len() <= NAME_MAX => name,
            (Role::Manager, None) => "dc-1".to_owned(),
            (Role::Manager, Some(_)) => {
                return Err(wrong("datacenter", &"write 1 to 64 characters, such as \"dc-1\""));
            }
            (_, None) => String::new(),
            (role, Some(_)) => {
                let why = format!("a {role} has none of its own; a worker is in its manager's datacenter");
                return Err(wrong("datacenter", &why));
            }
        };
        let addr = |key: &str, text: Option<String>| {
            text.map(|text| listen(&text).map_err(|why| wrong(key, &why))).transpose()
        };
        let (frame_port, admin_port) = default_ports(role);
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let listen = flags.listen.or(addr("listen", file.listen)?).unwrap_or(loopback(frame_port));
        let admin = flags.admin.or(addr("admin", file.admin)?).unwrap_or(loopback(admin_port));
        let insecure = flags.insecure || file.insecure.unwrap_or(false);
        for (key, addr) in [("listen", listen), ("admin", admin)] {
            if !addr.ip().is_loopback() && !insecure {
                let why = format!(
                    "{addr} is not loopback, and this version has no TLS: anybody who reaches it can read and order \
                     everything; listen on 127.0.0.1, or say --insecure (insecure = true) on a network you trust"
                );
                return Err(wrong(key, &why));
            }
        }
        let join = if flags.join.is_empty() {
            let texts = file.join.unwrap_or_default();
            let read = texts.iter().map(|text| JoinAddr::from_str(text));
            read.collect::<Result<Vec<_>, _>>().map_err(|why| wrong("join", &why))?
        } else {
            flags.join.clone()
        };
        if join.is_empty() && role != Role::Gate {
            let whom = if role == Role::Worker { "managers" } else { "gates" };
            return Err(wrong(
                "join",
                &format!("a {role} alone does nothing; name {whom}: --join HOST:PORT,..."),
            ));
        }
        let chosen = match (&flags.cores, file.cores) {
            (Some(chosen), _) => Some(chosen.clone()),
            (None, text) => {
                text.map(|text| core_choice(&text)).transpose().map_err(|why| wrong("cores", &why))?
            }
        };
        let shards = shards(role, chosen).map_err(|why| wrong("cores", &why))?;
        let drain = file.drain_timeout.map(|text| duration(&text)).transpose();
        let drain = flags.drain_timeout.or(drain.map_err(|why| wrong("drain_timeout", &why))?);
        let swim = file.membership.map(|text| profile(&text)).transpose();
        let swim = flags.membership.clone().or(swim.map_err(|why| wrong("membership", &why))?);
        let capacity = flags.capacity_vus.or(file.capacity_vus);
        if capacity.is_some() && role != Role::Worker {
            return Err(wrong("capacity_vus", &"only a worker has VUs"));
        }
        if capacity == Some(0) {
            return Err(wrong("capacity_vus", &"a worker takes one VU at least"));
        }
        let limits = match (role, file.limits) {
            (_, None) => RateLimitConfig::default(),
            (Role::Gate, Some(table)) => {
                limits::read(&table).map_err(|wrong_at| wrong(&wrong_at.key, &wrong_at.why))?
            }
            (_, Some(_)) => return Err(wrong("limits", &"only a gate has clients to hold to limits")),
        };
        let overload = file.overload.unwrap_or_default().config().map_err(|(key, why)| wrong(&key, &why))?;
        Ok(Self {
            role,
            name,
            datacenter,
            listen,
            admin,
            join,
            shards,
            data_dir: flags.data_dir.clone().or(file.data_dir),
            fleet: flags.fleet.clone().or(file.fleet).unwrap_or_else(|| "default".to_owned()),
            drain_timeout: drain.unwrap_or(DRAIN),
            capacity_vus: capacity.unwrap_or(CAPACITY_VUS),
            swim: swim.unwrap_or_default(),
            limits,
            overload,
            stop_with_stdin: flags.stop_with_stdin,
        })
    }

    /// Shards, as they travel.
    pub(crate) fn shard_count(&self) -> u16 {
        u16::try_from(self.shards.len()).unwrap_or(u16::MAX)
    }
}

fn read(path: &Path) -> Result<NodeFile, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("{shown}: {}; name a node file, TOML text", words(&error)))
    })?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::usage(format!("{shown}:{line}: {}", error.message().replace('\n', " ")))
    })
}

fn shards(role: Role, chosen: Option<CoreChoice>) -> Result<Vec<ShardOptions>, String> {
    let pinned = |cores: &[usize]| cores.iter().map(|&cpu| ShardOptions::pinned(cpu)).collect();
    let unpinned = || vec![ShardOptions { placement: Placement::Unbound, ..ShardOptions::small() }];
    match (role, chosen) {
        (_, Some(CoreChoice::Unpinned)) => Ok(unpinned()),
        (Role::Manager, None) => Ok(unpinned()),
        (Role::Manager, Some(CoreChoice::Pinned(Cores(cores)))) if cores.len() > 1 => {
            Err("a manager runs on one core; name one, or leave it out".to_owned())
        }
        (_, Some(CoreChoice::Pinned(Cores(cores)))) => {
            preflight::check_cores(&cores).map_err(|error| error.to_string())?;
            Ok(pinned(&cores))
        }
        (_, None) => Ok(pinned(&preflight::allowed_cores())),
    }
}

const fn default_ports(role: Role) -> (u16, u16) {
    match role {
        Role::Gate | Role::Client => (7001, 9001),
        Role::Manager => (7002, 9002),
        Role::Worker => (7003, 9003),
    }
}

fn default_name(role: Role) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| !c.is_control()).take(40).collect();
    if host.is_empty() { role.to_string() } else { format!("{role}-{host}") }
}

/// Reads an address to listen on.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_not_one| {
        format!("{text:?} is not an address with a port, 0 to 65535; write 127.0.0.1:7001, or [::1]:7001")
    })
}

fn join(text: &str) -> Result<JoinAddr, String> {
    text.parse::<JoinAddr>().map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn profile(text: &str) -> Result<SwimConfig, String> {
    match text {
        "lan" => Ok(SwimConfig::lan()),
        "wan" => Ok(SwimConfig::wan()),
        "fast" => Ok(SwimConfig::fast()),
        other => Err(format!("{other:?} is no profile of the membership; write lan, wan or fast")),
    }
}

/// Reads CPUs, or `unpinned`.
pub(crate) fn core_choice(text: &str) -> Result<CoreChoice, String> {
    if text == "unpinned" { Ok(CoreChoice::Unpinned) } else { cores(text).map(CoreChoice::Pinned) }
}

#[cfg(test)]
mod tests;
