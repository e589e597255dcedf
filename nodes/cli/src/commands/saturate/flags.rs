//! The flags of `hyperscale saturate`, and what their values may be.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use hyperscale_plan::units::{parse_duration, parse_rate, parse_share};
use hyperscale_runtime::join::JoinAddr;

/// Flags of `saturate`.
#[derive(Debug, Args)]
pub(crate) struct Saturate {
    /// The gate to load: HOST:PORT. It takes real load: run this at no gate that others need
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) gate: Option<JoinAddr>,
    /// Or the manager to load, the same way
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "gate")]
    pub(super) manager: Option<JoinAddr>,
    /// The fleet's name
    #[arg(long, default_value = "default")]
    pub(super) fleet: String,
    /// A node that is not on this machine: yes, load it
    #[arg(long, alias = "load-remote-gate")]
    pub(super) load_remote: bool,
    /// Where the gate that a manager sees listens: an address of this machine that the manager reaches
    /// [default: a free port of its own address, if that is this machine's]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "gate", help_heading = "Players")]
    pub(super) listen: Option<SocketAddr>,
    /// Shares of each kind of load, stats=80,nodes=20; or a profile: of a gate stats, clients, mixed, of a manager
    /// stats, orders, mixed
    #[arg(long, default_value = "stats", help_heading = "Load")]
    pub(super) mix: String,
    /// Closed load: so many requests open on each link [default: 8]
    #[arg(long, value_name = "N", value_parser = open_requests, conflicts_with_all = ["rate", "ramp"], help_heading = "Load", allow_hyphen_values = true)]
    pub(super) open_requests: Option<u32>,
    /// Open load: requests a second in all, each sent when due; with --ramp the first rate
    #[arg(long, value_parser = rate, help_heading = "Load", allow_hyphen_values = true)]
    pub(super) rate: Option<f64>,
    /// Search the knee: the highest rate that keeps --p99 and --goodput
    #[arg(long, help_heading = "Load")]
    pub(super) ramp: bool,
    /// A ramp tries nothing above
    #[arg(long, default_value = "1000000/s", value_parser = rate, requires = "ramp", help_heading = "Load", allow_hyphen_values = true)]
    pub(super) max_rate: f64,
    /// How long it is measured [default: 10s, or 3s for each step of a ramp]
    #[arg(short = 'd', long, value_parser = length, help_heading = "Load", allow_hyphen_values = true)]
    pub(super) duration: Option<Duration>,
    /// How long before that nothing is counted
    #[arg(long, default_value = "500ms", value_parser = short, help_heading = "Load", allow_hyphen_values = true)]
    pub(super) warm_up: Duration,
    /// How often a ramp's last step is repeated
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100), requires = "ramp", help_heading = "Load", allow_hyphen_values = true)]
    pub(super) repeats: u32,
    /// A step holds if 99 of 100 requests are answered within this, counted from when they were due
    #[arg(long, default_value = "5ms", value_parser = short, help_heading = "Load", allow_hyphen_values = true)]
    pub(super) p99: Duration,
    /// And if this share of what was due was answered
    #[arg(long, default_value = "99%", value_parser = share, help_heading = "Load", allow_hyphen_values = true)]
    pub(super) goodput: f64,
    /// Send what the node asks to send less often all the same
    #[arg(long, help_heading = "Load")]
    pub(super) ignore_levels: bool,
    /// Managers to play to a gate, each a datacenter of its own
    #[arg(long, conflicts_with = "manager", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) managers: u16,
    /// Clients to play to a gate
    #[arg(long, conflicts_with = "manager", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) clients: u16,
    /// Jobs of each manager, or of the one that is loaded
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) jobs: u16,
    /// Workers of each job; played to a manager
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) workers: u16,
    /// Shards of each worker
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) worker_shards: u16,
    /// Steps of each job
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) job_steps: u16,
    /// Buckets that each histogram fills
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) buckets: u16,
    /// Clients that are pushed each window of each job
    #[arg(long, conflicts_with = "manager", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000), help_heading = "Players", allow_hyphen_values = true)]
    pub(super) subscribers: u16,
    /// Without an answer for so long a request counts as unanswered
    #[arg(long, default_value = "5s", value_parser = short, help_heading = "Players", allow_hyphen_values = true)]
    pub(super) patience: Duration,
    /// Write the result as JSON; - is stdout
    #[arg(long, value_name = "FILE | -", help_heading = "Output")]
    pub(super) json: Option<String>,
    /// No line a second
    #[arg(long, help_heading = "Output")]
    pub(super) quiet: bool,
    /// No colours
    #[arg(long, help_heading = "Output")]
    pub(super) no_color: bool,
}

fn open_requests(text: &str) -> Result<u32, String> {
    let fits = text.parse().ok().filter(|count| (1..=1000).contains(count));
    fits.ok_or_else(|| format!("{text:?} requests open on a link; 1 to 1000"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = parse_rate(text).map_err(|error| error.to_string())?;
    match (1.0..=10_000_000.0).contains(&rate) {
        true => Ok(rate),
        false => Err("a rate is at least 1/s, at most 10,000,000/s".to_owned()),
    }
}

fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    match (min..=max).contains(&duration) {
        true => Ok(duration),
        false => Err(format!("{duration:?} is out of range; {min:?} to {max:?}")),
    }
}

fn length(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(100), Duration::from_secs(86_400))
}

fn short(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_micros(1), Duration::from_secs(60))
}

fn share(text: &str) -> Result<f64, String> {
    let share = parse_share(text).map_err(|error| error.to_string())?;
    match share > 0.0 && share <= 1.0 {
        true => Ok(share),
        false => Err("a share is above 0 %, at most 100 %".to_owned()),
    }
}
