//! `hyperscale run`: a plan or a URL, driven by the embedded fleet.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use hyperscale_codec::messages::JobSubmit;
use hyperscale_plan::{KeepAlive, Load, Loaded, Plan, RunFlags, from_flags};
use hyperscale_runtime::{StopReason, entropy, preflight};
use hyperscale_target::TargetConfig;

use crate::args::Run;
use crate::commands::plan_file;
use crate::commands::target::cores;
use crate::embedded::{self, Setup};
use crate::exit::{Failure, INTERRUPTED};
use crate::follow::{Ending, Shown, conclude, follow};
use crate::output::Outputs;
use crate::serving::{self, Serving};

/// The fleet's parts end within milliseconds; past this something is stuck.
const DRAIN: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &Run) -> Result<ExitCode, Failure> {
    let mut cores = cores(args.cores.as_ref())?;
    let demo = args.demo.then(|| start_demo(&mut cores)).transpose()?;
    let url = demo.as_ref().map(|serving| format!("http://{}/", serving.addr));
    let what = url.or_else(|| args.what.clone()).unwrap_or_default();
    let loaded = loaded(args, &what)?;
    let vus = connections(&loaded.plan);
    preflight::check_host(cores.len()).map_err(Failure::could_not_run)?;
    preflight::check_files(u64::from(vus), cores.len()).map_err(|error| {
        Failure::usage(format!("{}: {error}", if args.vus.is_some() { "-c" } else { &what }))
    })?;
    let mut outputs = Outputs::open(args.json.as_deref(), args.hlog.as_deref())?;
    let submit = JobSubmit {
        plan: loaded.text.text,
        plan_sha256: loaded.text.sha256,
        idempotency: entropy::unique().map_err(Failure::could_not_run)?.to_be_bytes(),
        follow: true,
        histograms: args.hlog.is_some(),
    };
    let setup = Setup { cores, busy_poll: args.busy_poll, capacity_vus: vus, submit };
    let (running, hear) = embedded::start(setup)?;
    let shown = Shown { quiet: args.quiet, no_color: args.no_color, interrupt_ends_job: true };
    let end = follow(&hear, shown, &mut outputs);
    if matches!(end, Ending::Now) {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let drained = running.join(DRAIN);
    let code = conclude(end, shown, outputs)?;
    drained.map_err(Failure::could_not_run)?;
    if let Some(serving) = demo {
        serving.shards.stop().request(StopReason::Asked("the run has ended".to_owned()));
        serving.shards.join(DRAIN).map_err(Failure::could_not_run)?;
    }
    Ok(code)
}

/// The demo's target takes the last core, so that it and the generator share none where there are two.
fn start_demo(cores: &mut Vec<usize>) -> Result<Serving, Failure> {
    let own = if cores.len() > 1 { cores.pop() } else { cores.last().copied() };
    let config = TargetConfig { body_bytes: 256, ..TargetConfig::default() };
    serving::start(SocketAddr::from(([127, 0, 0, 1], 0)), own.as_slice(), config, false)
}

fn loaded(args: &Run, what: &str) -> Result<Loaded, Failure> {
    let path = Path::new(what);
    let is_plan = !what.contains("://") && (looks_like_a_file(what) || path.exists());
    if !is_plan {
        if !args.set.is_empty() {
            return Err(Failure::usage("--set fills in a plan; a URL has nothing to fill in"));
        }
        return from_flags(&flags(args, what)?).map_err(Failure::usage);
    }
    let beside = [
        ("-c", args.vus.is_some()),
        ("-d", args.duration.is_some()),
        ("-n", args.requests.is_some()),
        ("-q", args.rate.is_some()),
        ("--stages", args.stages.is_some()),
        ("-m", args.method.is_some()),
        ("-H", !args.headers.is_empty()),
        ("-b", args.body.is_some()),
        ("-t", args.timeout.is_some()),
        ("--connect-timeout", args.connect_timeout.is_some()),
        ("--disable-keepalive", args.disable_keepalive),
    ];
    if let Some((flag, _)) = beside.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!("{flag} goes with a URL; a plan says it itself ({what})")));
    }
    plan_file::load(path, &args.set)
}

/// What nobody would write for a host.
fn looks_like_a_file(what: &str) -> bool {
    what.starts_with(['/', '.', '~'])
        || [".toml", ".tml", ".yaml", ".yml", ".json"].iter().any(|end| what.ends_with(end))
}

fn flags(args: &Run, what: &str) -> Result<RunFlags, Failure> {
    let body = match args.body.as_deref() {
        None => None,
        Some(text) => Some(match text.strip_prefix('@') {
            Some(file) => std::fs::read(file).map_err(|error| {
                let why = plan_file::words(&error);
                Failure::usage(format!("-b @{file}: {why}; name a file to send, or write the body itself"))
            })?,
            None => text.as_bytes().to_vec(),
        }),
    };
    Ok(RunFlags {
        url: what.to_owned(),
        vus: args.vus,
        duration: args.duration,
        requests: args.requests,
        rate: args.rate,
        stages: args.stages.clone(),
        method: args.method.clone(),
        headers: args.headers.clone(),
        body,
        timeout: args.timeout,
        connect_timeout: args.connect_timeout,
        keep_alive: args.disable_keepalive.then_some(KeepAlive::Never),
        ..RunFlags::default()
    })
}

/// Connections at once, at most: the widest moment of all workflows together.
fn connections(plan: &Plan) -> u32 {
    let widest = plan.workflows.iter().map(|workflow| match &workflow.load {
        Load::Closed(closed) => {
            closed.stages.iter().map(|stage| stage.vus).max().unwrap_or(0).max(closed.start_vus)
        }
        Load::Open(open) => open.max_vus,
    });
    widest.fold(0, u32::saturating_add)
}
