//! `hyperscale saturate`: plays managers and clients against a gate, or a gate and workers against a manager, and
//! measures it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hyperscale_codec::{Features, NodeId, ProtocolVersion, Role};
use hyperscale_runtime::join::JoinAddr;
use hyperscale_runtime::signals::Signals;
use hyperscale_runtime::{
    Face, LinkLimits, NodeConfig, NodeDriver, Shard, ShardOptions, Shards, StopReason, TaskKind, clock,
    entropy, preflight,
};
use hyperscale_saturate::{
    Bound, Command, KneeConfig, Load, Local, Mix, Report, SaturateConfig, SaturateCore, StepRow, Target,
    render, second_line, step_line,
};

use crate::exit::{Failure, INTERRUPTED};
use crate::output::Answer;
use crate::screen;

pub(crate) use flags::Saturate;

mod flags;

/// For queued bytes to go.
const STOP: Duration = Duration::from_secs(5);
/// Bytes that wait on one link: what is open there, and more.
const SEND_QUEUE_BYTES: usize = 256 << 20;
/// Where a ramp begins without `--rate`.
const RAMP_FROM: f64 = 500.0;
const OPEN_REQUESTS: u32 = 8;

/// What the shard tells the thread that shows it.
enum Told {
    Core(Command),
    Interrupted,
    Now,
    Failed(String),
    /// What the user named may not be loaded.
    Usage(String),
}

/// Which node, and of which role.
fn node_of(args: &Saturate) -> Result<(Target, &JoinAddr), Failure> {
    match (&args.gate, &args.manager) {
        (Some(gate), None) => Ok((Target::Gate, gate)),
        (None, Some(manager)) => Ok((Target::Manager, manager)),
        (None, None) | (Some(_), Some(_)) => {
            Err(Failure::usage("which node? name the one to load: --gate HOST:PORT, or --manager HOST:PORT"))
        }
    }
}

/// Runs it.
pub(crate) fn saturate(args: &Saturate) -> Result<ExitCode, Failure> {
    let (target, node) = node_of(args)?;
    let mix = Mix::parse(target, &args.mix).map_err(|error| Failure::usage(format!("--mix: {error}")))?;
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
    if matches!(load, Load::Closed { .. }) && !mix.is_answered() {
        return Err(Failure::usage(format!(
            "--mix {mix}: nobody answers a heartbeat, so a closed load never goes on; give it a --rate"
        )));
    }
    preflight::check_host(1).map_err(Failure::could_not_run)?;
    let (links, flags) = match target {
        Target::Gate => (u64::from(args.managers) + u64::from(args.clients), "--managers and --clients"),
        Target::Manager => (u64::from(args.workers) + 1, "--workers"),
    };
    preflight::check_files(links, 1).map_err(|error| Failure::usage(format!("{flags}: {error}")))?;
    let json = args.json.as_deref().map(Answer::open).transpose()?;
    let on_stdout = args.json.as_deref() == Some("-");
    let seed = entropy::unique().map_err(Failure::could_not_run)?;
    let plan = Plan {
        node: node.clone(),
        remote: args.load_remote,
        listen: args.listen,
        fleet: args.fleet.clone(),
        config: SaturateConfig {
            target,
            addr: SocketAddr::from(([0, 0, 0, 0], 0)),
            wall: clock::wall_clock(),
            seed: u64::try_from(seed & u128::from(u64::MAX)).unwrap_or(1),
            managers: if target == Target::Gate { args.managers } else { 0 },
            clients: if target == Target::Gate { args.clients } else { 0 },
            jobs: args.jobs,
            workers: args.workers,
            worker_shards: args.worker_shards,
            steps: args.job_steps,
            buckets: args.buckets,
            subscribers: args.subscribers,
            mix,
            load,
            step: args.duration.unwrap_or(Duration::from_secs(if args.ramp { 3 } else { 10 })),
            warm_up: args.warm_up,
            bound: Bound { p99: args.p99, goodput: args.goodput },
            obeys: !args.ignore_levels,
            patience: args.patience,
        },
    };
    let (shards, hear) = start(plan)?;
    let shown = follow(&hear, target, args);
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
            "what the {} reports is not what it was sent: {first}",
            target.word()
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a shard is to do.
#[derive(Clone)]
struct Plan {
    node: JoinAddr,
    remote: bool,
    listen: Option<SocketAddr>,
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
    let Plan { node, remote, listen, fleet, mut config } = plan;
    let (target, flag) = (config.target, format!("--{} {node}", config.target.word()));
    let found = node.look_up(shard).await.map_err(|error| format!("{flag}: {error}; check the name"))?;
    config.addr = *found.first().ok_or_else(|| format!("{flag}: the name has no address"))?;
    let is_here = config.addr.ip().is_loopback();
    if let Some(why) = objection(&config, &flag, remote, listen) {
        let _listener_gone = told.send(Told::Usage(why));
        return Ok(());
    }
    let faces = config.identities().into_iter().map(|identity| Face {
        role: identity.role,
        node: identity.node,
        name: identity.name,
    });
    let (role, accepts) = match target {
        Target::Gate => (Role::Client, Vec::new()),
        Target::Manager => (Role::Gate, vec![Role::Manager]),
    };
    // Who is dialled is who was told of.
    let gate = config.identities().into_iter().find(|identity| identity.role == Role::Gate);
    let (id, name) = gate.map_or((NodeId(1), "saturate".to_owned()), |gate| (gate.node, gate.name));
    let here = is_here.then_some(SocketAddr::new(config.addr.ip(), 0));
    let node = NodeConfig {
        fleet,
        boot: config.wall.unix_ms,
        version: ProtocolVersion::CURRENT,
        features: features(),
        limits: LinkLimits { send_queue_bytes_max: SEND_QUEUE_BYTES, ..LinkLimits::default() },
        accepts,
        listen: listen.or(here).filter(|_| target == Target::Manager),
        faces: faces.collect(),
        ..NodeConfig::new(role, id, name)
    };
    let tell = told.clone();
    let running = NodeDriver::start(shard, node, SaturateCore::new(config), move |command, _cx| {
        let _listener_gone = tell.send(Told::Core(command));
    })
    .map_err(|error| error.to_string())?;
    if let Some(addr) = running.addr() {
        let _has_room = running.local().send(Local::Listening(addr));
    }
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

/// Why this node may not be loaded.
fn objection(
    config: &SaturateConfig,
    flag: &str,
    remote: bool,
    listen: Option<SocketAddr>,
) -> Option<String> {
    if let Some(any) = listen.filter(|listen| listen.ip().is_unspecified()) {
        return Some(format!("--listen {any}: the manager is told it, so name one address of this machine"));
    }
    if config.addr.ip().is_loopback() {
        return None;
    }
    if !remote {
        return Some(format!(
            "{flag} is not on this machine, and this makes real load on it; add --load-remote if it is yours and nobody \
             needs it meanwhile"
        ));
    }
    (config.target == Target::Manager && listen.is_none()).then(|| {
        format!(
            "{flag} is not on this machine, and must reach the gate that is played here; add --listen IP:PORT with an \
             address of this machine that it reaches"
        )
    })
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
fn follow(hear: &mpsc::Receiver<Told>, target: Target, args: &Saturate) -> Shown {
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
            Ok(Told::Core(Command::Second(row))) => say(&second_line(&row, target, style)),
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
