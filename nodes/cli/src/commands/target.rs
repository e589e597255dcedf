//! `hyperscale target`: a server to aim at, which says what it served.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use hyperscale_runtime::preflight;
use hyperscale_target::TargetConfig;

use crate::args::{Cores, Target};
use crate::exit::Failure;
use crate::serving;

pub(crate) fn target(args: &Target) -> Result<ExitCode, Failure> {
    let cores = cores(args.cores.as_ref())?;
    preflight::check_host(cores.len()).map_err(Failure::could_not_run)?;
    let config = TargetConfig {
        delay: args.delay.unwrap_or_default(),
        body_bytes: usize::try_from(args.body_bytes).unwrap_or(usize::MAX),
        error_rate: args.error_rate,
        stall_every: args.stall_every.unwrap_or_default(),
        stall_for: args.stall_for.unwrap_or_default(),
    };
    if config.stall_for > config.stall_every {
        return Err(Failure::usage(
            "--stall-for is longer than --stall-every; a stall must end before the next",
        ));
    }
    let serving = serving::start(args.listen, &cores, config, true)?;
    say(&format!("listening on http://{}/  (counts: /_count; Ctrl-C ends)", serving.addr));
    serving.shards.join(Duration::from_secs(5)).map_err(Failure::could_not_run)?;
    let served = serving.counts.sum();
    say(&format!(
        "served {} answers ({} errors) on {} connections",
        served.served, served.errors, served.connections
    ));
    Ok(ExitCode::SUCCESS)
}

fn say(line: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}

/// The CPUs chosen, or all that this process may use.
pub(crate) fn cores(chosen: Option<&Cores>) -> Result<Vec<usize>, Failure> {
    match chosen {
        Some(Cores(cores)) => {
            preflight::check_cores(cores).map_err(|error| Failure::usage(format!("--cores: {error}")))?;
            Ok(cores.clone())
        }
        None => Ok(preflight::allowed_cores()),
    }
}
