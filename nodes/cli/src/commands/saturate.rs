//! `hyperscale saturate`: plays managers and clients against a gate, and measures it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::Args;
use hyperscale_codec::{Features, NodeId, ProtocolVersion, Role};
use hyperscale_plan::units::{parse_duration, parse_rate, parse_share};
use hyperscale_runtime::join::JoinAddr;
use hyperscale_runtime::signals::Signals;
use hyperscale_runtime::{
    Face, LinkLimits, NodeConfig, NodeDriver, Shard, ShardOptions, Shards, StopReason, TaskKind, clock,
    entropy, preflight,
};
use hyperscale_saturate::{
    Bound, Command, KneeConfig, Load, Local, Mix, Report, SaturateConfig, SaturateCore, StepRow, render,
    second_line, step_line,
};

use crate::exit::{Failure, INTERRUPTED};
use crate::output::Answer;
use crate::screen;

/// For queued bytes to go.
const STOP: Duration = Duration::from_secs(5);
/// Bytes that wait on one link: what is open there, and more.
const SEND_QUEUE_BYTES: usize = 256 << 20;
/// Where a ramp begins without `--rate`.
const RAMP_FROM: f64 = 500.0;
const OPEN_REQUESTS: u32 = 8;

/// Flags of `saturate`.
#[derive(Debug, Args)]
pub(crate) struct Saturate {
    /// The gate to load: HOST:PORT. It takes real load: run this at no gate that others need
    #[arg(long, value_name = "HOST:PORT")]
    gate: JoinAddr,
    /// The fleet's name
    #[arg(long, default_value = "default")]
    fleet: String,
    /// A gate that is not on this machine: yes, load it
    #[arg(long)]
    load_remote_gate: bool,
    /// Shares of each kind of load, stats=80,status=20; or a profile: stats, clients, mixed
    #[arg(long, default_value = "stats", value_parser = mix, help_heading = "Load")]
    mix: Mix,
    /// Closed load: so many requests open on each link [default: 8]
    #[arg(long, value_name = "N", value_parser = open_requests, conflicts_with_all = ["rate", "ramp"], help_heading = "Load", allow_hyphen_values = true)]
    open_requests: Option<u32>,
    /// Open load: requests a second in all, each sent when due; with --ramp the first rate
    #[arg(long, value_parser = rate, help_heading = "Load", allow_hyphen_values = true)]
    rate: Option<f64>,
    /// Search the knee: the highest rate that keeps --p99 and --goodput
    #[arg(long, help_heading = "Load")]
    ramp: bool,
    /// A ramp tries nothing above
    #[arg(long, default_value = "1000000/s", value_parser = rate, requires = "ramp", help_heading = "Load", allow_hyphen_values = true)]
    max_rate: f64,
    /// How long it is measured [default: 10s, or 3s for each step of a ramp]
    #[arg(short = 'd', long, value_parser = length, help_heading = "Load", allow_hyphen_values = true)]
    duration: Option<Duration>,
    /// How long before that nothing is counted
    #[arg(long, default_value = "500ms", value_parser = short, help_heading = "Load", allow_hyphen_values = true)]
    warm_up: Duration,
    /// How often a ramp's last step is repeated
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100), requires = "ramp", help_heading = "Load", allow_hyphen_values = true)]
    repeats: u32,
    /// A step holds if 99 of 100 requests are answered within this, counted from when they were due
    #[arg(long, default_value = "5ms", value_parser = short, help_heading = "Load", allow_hyphen_values = true)]
    p99: Duration,
    /// And if this share of what was due was answered
    #[arg(long, default_value = "99%", value_parser = share, help_heading = "Load", allow_hyphen_values = true)]
    goodput: f64,
    /// Send what the gate asks to send less often all the same
    #[arg(long, help_heading = "Load")]
    ignore_levels: bool,
    /// Managers to play, each a datacenter of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    managers: u16,
    /// Clients to play
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    clients: u16,
    /// Jobs of each manager
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100), help_heading = "Players", allow_hyphen_values = true)]
    jobs: u16,
    /// Workers of each job
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    workers: u16,
    /// Shards of each worker
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Players", allow_hyphen_values = true)]
    worker_shards: u16,
    /// Steps of each job
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Players", allow_hyphen_values = true)]
    job_steps: u16,
    /// Buckets that each histogram fills
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Players", allow_hyphen_values = true)]
    buckets: u16,
    /// Clients that are pushed each window of each job
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000), help_heading = "Players", allow_hyphen_values = true)]
    subscribers: u16,
    /// Without an answer for so long a request counts as unanswered
    #[arg(long, default_value = "5s", value_parser = short, help_heading = "Players", allow_hyphen_values = true)]
    patience: Duration,
    /// Write the result as JSON; - is stdout
    #[arg(long, value_name = "FILE | -", help_heading = "Output")]
    json: Option<String>,
    /// No line a second
    #[arg(long, help_heading = "Output")]
    quiet: bool,
    /// No colours
    #[arg(long, help_heading = "Output")]
    no_color: bool,
}

fn mix(text: &str) -> Result<Mix, String> {
    Mix::parse(text).map_err(|error| error.to_string())
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

/// What the shard tells the thread that shows it.
enum Told {
    Core(Command),
    Interrupted,
    Now,
    Failed(String),
    /// What the user named may not be loaded.
    Usage(String),
}

/// Runs it.
pub(crate) fn saturate(args: &Saturate) -> Result<ExitCode, Failure> {
    let load = match (args.open_requests, args.rate, args.ramp) {
        (_, rate, true) => Load::Ramp(KneeConfig {
            from: rate.unwrap_or(RAMP_FROM).min(args.max_rate),
            max: args.max_rate,
            precision: 0.05,
            repeats: args.repeats,
        }),
        (None, Some(rate), false) => Load::Open { rate },
        (open, _, false) => Load::Closed { open_requests: open.unwrap_or(OPEN_REQUESTS) },
    };
    if matches!(load, Load::Closed { .. }) && !args.mix.is_answered() {
        return Err(Failure::usage(format!(
            "--mix {}: nobody answers a heartbeat, so a closed load never goes on; give it a --rate",
            args.mix
        )));
    }
    preflight::check_host(1).map_err(Failure::could_not_run)?;
    preflight::check_files(u64::from(args.managers) + u64::from(args.clients), 1)
        .map_err(|error| Failure::usage(format!("--managers and --clients: {error}")))?;
    let json = args.json.as_deref().map(Answer::open).transpose()?;
    let on_stdout = args.json.as_deref() == Some("-");
    let seed = entropy::unique().map_err(Failure::could_not_run)?;
    let plan = Plan {
        gate: args.gate.clone(),
        remote: args.load_remote_gate,
        fleet: args.fleet.clone(),
        config: SaturateConfig {
            gate: SocketAddr::from(([0, 0, 0, 0], 0)),
            wall: clock::wall_clock(),
            seed: u64::try_from(seed & u128::from(u64::MAX)).unwrap_or(1),
            managers: args.managers,
            clients: args.clients,
            jobs: args.jobs,
            workers: args.workers,
            worker_shards: args.worker_shards,
            steps: args.job_steps,
            buckets: args.buckets,
            subscribers: args.subscribers,
            mix: args.mix.clone(),
            load,
            step: args.duration.unwrap_or(Duration::from_secs(if args.ramp { 3 } else { 10 })),
            warm_up: args.warm_up,
            bound: Bound { p99: args.p99, goodput: args.goodput },
            obeys: !args.ignore_levels,
            patience: args.patience,
        },
    };
    let (shards, hear) = start(plan)?;
    let shown = follow(&hear, args);
    shards.stop().request(StopReason::Asked("the load is over".to_owned()));
    let Shown::Report(report, interrupted) = shown else {
        let _cut_short = shards.join(STOP);
        return match shown {
            Shown::Failed(error) => Err(Failure::could_not_run(error)),
            Shown::Usage(error) => Err(Failure::usage(error)),
            Shown::Now | Shown::Report(..) => Ok(ExitCode::from(INTERRUPTED)),
        };
    };
    let stopped = shards.join(STOP).map_err(Failure::could_not_run);
    let began = report.error.is_empty() || !report.kinds.is_empty();
    if !on_stdout && began {
        let style = screen::summary(args.no_color);
        let _reader_gone = std::io::stdout().write_all(render(&report, style).as_bytes());
    }
    if let Some(json) = json {
        json.write(&report.to_json())?;
    }
    stopped?;
    if !report.error.is_empty() {
        return Err(Failure::could_not_run(&report.error));
    }
    if interrupted {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !report.exactness.exact {
        let first = report.exactness.differences.first().map_or("", String::as_str);
        return Err(Failure::could_not_run(format!(
            "what the gate reports is not what it was sent: {first}"
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a shard is to do.
#[derive(Clone)]
struct Plan {
    gate: JoinAddr,
    remote: bool,
    fleet: String,
    config: SaturateConfig,
}

fn start(plan: Plan) -> Result<(Shards<()>, mpsc::Receiver<Told>), Failure> {
    let (told, hear) = mpsc::channel();
    let plan = Arc::new(plan);
    let shards = hyperscale_runtime::start(&[ShardOptions::default()], move |shard| {
        let (plan, told) = (Plan::clone(&plan), told.clone());
        async move {
            if let Err(why) = body(&shard, plan, &told).await {
                let _listener_gone = told.send(Told::Failed(why));
            }
        }
    });
    Ok((shards.map_err(Failure::could_not_run)?, hear))
}

async fn body(shard: &Shard, plan: Plan, told: &mpsc::Sender<Told>) -> Result<(), String> {
    let Plan { gate, remote, fleet, mut config } = plan;
    let found =
        gate.look_up(shard).await.map_err(|error| format!("--gate {gate}: {error}; check the name"))?;
    config.gate = *found.first().ok_or_else(|| format!("--gate {gate}: the name has no address"))?;
    if !config.gate.ip().is_loopback() && !remote {
        let why = format!(
            "--gate {gate} is not on this machine, and this makes real load on it; add --load-remote-gate if it is yours \
             and nobody needs it meanwhile"
        );
        let _listener_gone = told.send(Told::Usage(why));
        return Ok(());
    }
    let faces = config.identities().into_iter().map(|identity| Face {
        role: identity.role,
        node: identity.node,
        name: identity.name,
    });
    let node = NodeConfig {
        fleet,
        boot: config.wall.unix_ms,
        version: ProtocolVersion::CURRENT,
        features: features(),
        limits: LinkLimits { send_queue_bytes_max: SEND_QUEUE_BYTES, ..LinkLimits::default() },
        faces: faces.collect(),
        ..NodeConfig::new(Role::Client, NodeId(1), "saturate")
    };
    let tell = told.clone();
    let running = NodeDriver::start(shard, node, SaturateCore::new(config), move |command, _cx| {
        let _listener_gone = tell.send(Told::Core(command));
    })
    .map_err(|error| error.to_string())?;
    let _has_room = running.local().send(Local::Start);
    let signals = Signals::open(shard).map_err(|error| format!("signals cannot be read: {error}"))?;
    let (local, tell) = (running.local(), told.clone());
    let watch = async move {
        let mut again = false;
        while let Ok(_signal) = signals.next().await {
            let _has_room = local.send(Local::Stop);
            if tell.send(if again { Told::Now } else { Told::Interrupted }).is_err() {
                return;
            }
            again = true;
        }
    };
    let _ends_with_the_shard = shard.spawn("signals", TaskKind::Service, watch);
    shard.stopping().await;
    running.stop().await;
    Ok(())
}

fn features() -> Features {
    ProtocolVersion::CURRENT.features()
}

/// How it ended.
enum Shown {
    Report(Box<Report>, bool),
    Failed(String),
    Usage(String),
    Now,
}

/// Shows what comes until all is over.
fn follow(hear: &mpsc::Receiver<Told>, args: &Saturate) -> Shown {
    let style = screen::progress(args.no_color);
    let say = |line: &str| {
        if !args.quiet {
            say(line);
        }
    };
    let mut interrupted = false;
    let mut cpu = Cpu::now();
    let mut shares = Vec::new();
    loop {
        match hear.recv() {
            Ok(Told::Core(Command::Ready)) => {
                cpu = Cpu::now();
                say("everybody is connected; the jobs run");
            }
            Ok(Told::Core(Command::Second(row))) => say(&second_line(&row, style)),
            Ok(Told::Core(Command::Step(row))) => {
                let now = Cpu::now();
                shares.push((row.step, now.share_since(&cpu)));
                cpu = now;
                if row.rate_per_s.is_some() && args.ramp {
                    say(&step_line(&row, style));
                }
            }
            Ok(Told::Core(Command::Ending)) => say("the load is over; results are checked"),
            Ok(Told::Core(Command::Done(mut report))) => {
                for step in &mut report.steps {
                    fill(step, &shares);
                }
                return Shown::Report(report, interrupted);
            }
            Ok(Told::Interrupted) => {
                interrupted = true;
                say("ending in order; Ctrl-C again ends at once");
            }
            Ok(Told::Now) => return Shown::Now,
            Ok(Told::Failed(error)) => return Shown::Failed(error),
            Ok(Told::Usage(error)) => return Shown::Usage(error),
            Err(mpsc::RecvError) => return Shown::Failed("the driver ended before its report".to_owned()),
        }
    }
}

fn fill(step: &mut StepRow, shares: &[(u32, Option<f64>)]) {
    let told = shares.iter().find(|(number, _)| *number == step.step);
    step.driver_cpu = told.and_then(|(_, share)| *share);
}

/// This process's time on a CPU, and when that was read.
struct Cpu {
    at: hyperscale_core::Instant,
    ticks: Option<u64>,
}

/// Ticks a second that Linux tells times in.
const TICKS_PER_S: f64 = 100.0;

impl Cpu {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Behind the name, which may hold anything: state is the first field, user and system time the 12th and 13th.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |nth: usize| fields.get(nth).and_then(|text| text.parse::<u64>().ok());
        Self {
            at: clock::now(),
            ticks: field(11).zip(field(12)).map(|(user, system)| user.saturating_add(system)),
        }
    }

    /// Of one core.
    #[expect(clippy::cast_precision_loss, reason = "a share to be read by people")]
    fn share_since(&self, before: &Self) -> Option<f64> {
        let ticks = self.ticks?.saturating_sub(before.ticks?);
        let seconds = self.at.since(before.at).as_secs_f64();
        (seconds > 0.0).then(|| ticks as f64 / TICKS_PER_S / seconds)
    }
}

fn say(line: &str) {
    let _nobody_listens = writeln!(std::io::stderr(), "{line}");
}
