//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hyperscale_plan::units::{parse_count, parse_duration, parse_rate, parse_share, parse_size};
use hyperscale_plan::{Stages, parse_header, parse_stages};

use crate::commands::cluster::Cluster;
use crate::commands::fleet::{ListNodes, OneJob, Submit, Watch};
use crate::commands::jobs::ListJobs;
use crate::commands::saturate::Saturate;
use crate::commands::stats::Stats;
use crate::logging::{Identity, LogFlags};
use crate::node::NodeFlags;

/// A load generator whose numbers are true.
#[derive(Debug, Parser)]
#[command(name = "hyperscale", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) logs: LogFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Drive load at a URL, or run a plan
    Run(Box<Run>),
    /// Check a plan and say what it would do
    Check(Check),
    /// Run a gate: a front door across datacenters
    Gate(Box<NodeFlags>),
    /// Run a manager: schedules one datacenter
    Manager(Box<NodeFlags>),
    /// Run a worker: generates load
    Worker(Box<NodeFlags>),
    /// Run a local fleet of real processes on free ports
    Cluster(Cluster),
    /// Submit a plan to a fleet
    Submit(Box<Submit>),
    /// Follow a job of a fleet
    Watch(Watch),
    /// How does a job of a fleet stand?
    Status(OneJob),
    /// What was recorded in a job's windows, as a time line
    Stats(Stats),
    /// Stop a job of a fleet
    Cancel(OneJob),
    /// Who is in a fleet?
    Nodes(ListNodes),
    /// Which jobs does a fleet know?
    Jobs(ListJobs),
    /// Serve HTTP/1.1 to aim at; counts what it served on /_count
    Target(Target),
    /// Load a gate, or a manager, as a fleet would, and measure it
    Saturate(Box<Saturate>),
}

impl Command {
    /// Whose log lines those of this process are.
    pub(crate) fn identity(&self) -> Identity {
        let role = match self {
            Self::Gate(flags) => return Self::node("gate", flags),
            Self::Manager(flags) => return Self::node("manager", flags),
            Self::Worker(flags) => return Self::node("worker", flags),
            Self::Cluster(_) => "cluster",
            Self::Submit(_) => "submit",
            Self::Watch(_) => "watch",
            Self::Status(_) => "status",
            Self::Stats(_) => "stats",
            Self::Cancel(_) => "cancel",
            Self::Jobs(_) => "jobs",
            Self::Nodes(_) => "nodes",
            Self::Run(_) => "run",
            Self::Check(_) => "check",
            Self::Target(_) => "target",
            Self::Saturate(_) => "saturate",
        };
        Identity { node: role.to_owned(), role }
    }

    fn node(role: &'static str, flags: &NodeFlags) -> Identity {
        Identity { node: flags.name.clone().unwrap_or_else(|| role.to_owned()), role }
    }

    /// Log lines without `--log`: of a node, what it does; of anything else, only what is wrong.
    pub(crate) fn log_level(&self) -> &'static str {
        match self {
            Self::Gate(_) | Self::Manager(_) | Self::Worker(_) => "info",
            Self::Run(_)
            | Self::Check(_)
            | Self::Cluster(_)
            | Self::Submit(_)
            | Self::Watch(_)
            | Self::Status(_)
            | Self::Stats(_)
            | Self::Cancel(_)
            | Self::Jobs(_)
            | Self::Nodes(_)
            | Self::Target(_)
            | Self::Saturate(_) => "warn",
        }
    }
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A plan file (ends with .toml) or a URL (http://HOST[:PORT]/PATH)
    #[arg(value_name = "PLAN.toml | URL", required_unless_present = "demo", conflicts_with = "demo")]
    pub(crate) what: Option<String>,
    /// Start a built-in target on a free port of this machine and aim at it
    #[arg(long)]
    pub(crate) demo: bool,
    /// Virtual users, and so connections, at once [default: 50]
    #[arg(short = 'c', long, env = "HYPERSCALE_VUS", value_parser = vus, help_heading = "Load", allow_hyphen_values = true)]
    pub(crate) vus: Option<u32>,
    /// How long: 10s, 1m30s [default: 10s without -n]
    #[arg(short = 'd', long, short_alias = 'z', env = "HYPERSCALE_DURATION", value_parser = duration, help_heading = "Load", allow_hyphen_values = true)]
    pub(crate) duration: Option<Duration>,
    /// How many requests in all: 1000, 10k
    #[arg(short = 'n', long, env = "HYPERSCALE_REQUESTS", value_parser = count, help_heading = "Load", allow_hyphen_values = true)]
    pub(crate) requests: Option<u64>,
    /// Requests per second in all, sent when due whatever the target does: 500, 1.5k/s
    #[arg(short = 'q', long, short_alias = 'R', env = "HYPERSCALE_RATE", value_parser = rate, help_heading = "Load", allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Ramps: 30s:100,1m:0 (VUs) or 30s:100/s (rates)
    #[arg(long, value_parser = stages, help_heading = "Load", allow_hyphen_values = true)]
    pub(crate) stages: Option<Stages>,
    /// Method [default: GET, or POST with a body]
    #[arg(short = 'm', long, short_alias = 'X', help_heading = "Request")]
    pub(crate) method: Option<String>,
    /// A header, "Name: value"; may be repeated
    #[arg(short = 'H', long = "header", value_parser = header, help_heading = "Request")]
    pub(crate) headers: Vec<(String, String)>,
    /// A body, or @FILE
    #[arg(short = 'b', long, help_heading = "Request", allow_hyphen_values = true)]
    pub(crate) body: Option<String>,
    /// Time for one request [default: 30s]
    #[arg(short = 't', long, value_parser = timeout, help_heading = "Request", allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Time for one TCP connect [default: 5s]
    #[arg(long, value_parser = duration, help_heading = "Request", allow_hyphen_values = true)]
    pub(crate) connect_timeout: Option<Duration>,
    /// One request a connection
    #[arg(long, help_heading = "Request")]
    pub(crate) disable_keepalive: bool,
    /// A value for ${NAME} in the plan; may be repeated
    #[arg(long = "set", short_alias = 'e', value_name = "NAME=VALUE", help_heading = "Plan")]
    pub(crate) set: Vec<String>,
    /// CPUs to use, such as 0-3 or 0,2 [default: all that this process may use]
    #[arg(long, env = "HYPERSCALE_CORES", value_parser = cores, help_heading = "Generator", allow_hyphen_values = true)]
    pub(crate) cores: Option<Cores>,
    /// Never sleep: arrivals leave within microseconds, at the cost of whole cores
    #[arg(long, help_heading = "Generator")]
    pub(crate) busy_poll: bool,
    /// Write the summary as JSON to a file, or - for stdout
    #[arg(long, value_name = "FILE|-", help_heading = "Output")]
    pub(crate) json: Option<String>,
    /// Write an HdrHistogram log, one line a second
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) hlog: Option<PathBuf>,
    /// No progress, only the summary
    #[arg(long, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// No colour
    #[arg(long, help_heading = "Output")]
    pub(crate) no_color: bool,
}

/// Flags of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The plan file
    pub(crate) plan: PathBuf,
    /// A value for ${NAME} in the plan; may be repeated
    #[arg(long = "set", short_alias = 'e', value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Flags of `target`.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// CPUs to use [default: all that this process may use]
    #[arg(long, value_parser = cores, allow_hyphen_values = true)]
    pub(crate) cores: Option<Cores>,
    /// Answer so long after the request
    #[arg(long, value_parser = duration, allow_hyphen_values = true)]
    pub(crate) delay: Option<Duration>,
    /// Length of the answer's body
    #[arg(long, default_value = "256", value_parser = size, allow_hyphen_values = true)]
    pub(crate) body_bytes: u64,
    /// Share of requests answered with 500: 1%, 0.01
    #[arg(long, default_value = "0", value_parser = share, allow_hyphen_values = true)]
    pub(crate) error_rate: f64,
    /// Hold all answers back, as a garbage collector would: every so often
    #[arg(long, value_parser = stall, requires = "stall_for", allow_hyphen_values = true)]
    pub(crate) stall_every: Option<Duration>,
    /// How long each stall lasts
    #[arg(long, value_parser = stall, requires = "stall_every", allow_hyphen_values = true)]
    pub(crate) stall_for: Option<Duration>,
}

/// CPUs by number, ascending, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) Vec<usize>);

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| match text.trim_start().starts_with('{') {
        true => format!("{error}; a body is -b"),
        false => error.to_string(),
    })
}

fn stall(text: &str) -> Result<Duration, String> {
    let stall = duration(text)?;
    if stall.is_zero() { Err("a stall has a length and a period; write \"100ms\"".into()) } else { Ok(stall) }
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not an address with a port, 0 to 65535; write 127.0.0.1:8080, or [::1]:8080")
    })
}

fn timeout(text: &str) -> Result<Duration, String> {
    let bare = text.chars().all(|c| c.is_ascii_digit());
    parse_duration(text).map_err(|error| match bare {
        true => format!("{error}; for wrk's threads use --cores"),
        false => error.to_string(),
    })
}

fn vus(text: &str) -> Result<u32, String> {
    let count = parse_count(text).map_err(|error| error.to_string())?;
    let fits = u32::try_from(count).ok().filter(|count| (1..=1_000_000).contains(count));
    fits.ok_or_else(|| format!("{count} is out of range; 1 to 1,000,000"))
}

fn count(text: &str) -> Result<u64, String> {
    let count = parse_count(text).map_err(|error| error.to_string())?;
    if (1..=1_000_000_000_000).contains(&count) {
        Ok(count)
    } else {
        Err(format!("{count} is out of range; 1 to 1,000,000,000,000"))
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = parse_rate(text).map_err(|error| error.to_string())?;
    if rate > 0.0 && rate <= 10_000_000.0 {
        Ok(rate)
    } else {
        Err("a rate is above 0, at most 10,000,000/s".into())
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    if size <= 64 << 20 { Ok(size) } else { Err("a body has at most 64 MiB".into()) }
}

fn share(text: &str) -> Result<f64, String> {
    parse_share(text).map_err(|error| error.to_string())
}

fn stages(text: &str) -> Result<Stages, String> {
    parse_stages(text).map_err(|error| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    parse_header(text).map_err(|error| error.to_string())
}

pub(crate) fn cores(text: &str) -> Result<Cores, String> {
    let wrong = || format!("{text:?} is no list of CPUs; write 0-3, or 0,2");
    let beyond = |cpu: usize| format!("there is no CPU {cpu}; their numbers end at 4095 at most");
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) =
            (from.trim().parse().map_err(|_| wrong())?, to.trim().parse().map_err(|_| wrong())?);
        if from > to {
            return Err(wrong());
        }
        if to > 4095 {
            return Err(beyond(to));
        }
        all.extend(from..=to);
    }
    all.sort_unstable();
    all.dedup();
    Ok(Cores(all))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(cores("0-2,5"), Ok(Cores(vec![0, 1, 2, 5])));
        for bad in ["", "x", "3-1", "0-99999", "1,,2", "-1"] {
            assert!(cores(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_thread_count_for_t_is_explained() {
        assert!(timeout("4").unwrap_err().contains("--cores"));
        assert!(duration("{\"a\":1}").unwrap_err().contains("-b"));
    }
}
