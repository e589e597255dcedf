//! `stats`: what was recorded in a job's windows.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use hyperscale_client::{Notice, Question, Windows};
use hyperscale_codec::JobId;
use hyperscale_fleet::windows;
use hyperscale_view::windows_table;

use super::fleet::{ask, job, say, unexpected};
use crate::exit::Failure;
use crate::output::Answer;
use crate::remote::FleetFlags;

/// Flags of `stats`.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The job's id
    #[arg(value_parser = job)]
    pub(crate) job: JobId,
    #[command(flatten)]
    pub(crate) fleet: FleetFlags,
    /// Only what is kept so: windows of the last minute, 10 s of the last hour, minutes of the last day, or the rest
    #[arg(long, value_enum)]
    pub(crate) tier: Option<Tier>,
    /// The first window, from 0
    #[arg(long, value_name = "WINDOW", default_value_t = 0)]
    pub(crate) from: u32,
    /// The last window
    #[arg(long, value_name = "WINDOW", default_value_t = u32::MAX, hide_default_value = true)]
    pub(crate) to: u32,
    /// A row for each workflow
    #[arg(long)]
    pub(crate) workflows: bool,
    /// Write the rows as JSON to a file, or - for stdout
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<String>,
}

/// How windows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    Hot,
    Warm,
    Cold,
    Archive,
}

impl Tier {
    const fn number(self) -> u8 {
        match self {
            Self::Hot => 1,
            Self::Warm => 2,
            Self::Cold => 3,
            Self::Archive => 4,
        }
    }
}

pub(crate) fn stats(args: &Stats) -> Result<ExitCode, Failure> {
    let &Stats { job, from, to, .. } = args;
    if from > to {
        return Err(Failure::usage(format!("--from {from} is after --to {to}; windows are named in order")));
    }
    let answer = args.json.as_deref().map(Answer::open).transpose()?;
    let wanted = Windows {
        job,
        tier: args.tier.map_or(0, Tier::number),
        from,
        to,
        by_workflow: args.workflows,
        so_far: Vec::new(),
        next: from,
        again: 0,
    };
    let notice = ask(&args.fleet, Question::Stats(Box::new(wanted)))?;
    let Notice::Stats(told) = notice else { return Err(unexpected(&notice)) };
    let shown = windows(&told);
    match answer {
        Some(answer) => answer.write(&serde_json::to_string(&shown).map_err(Failure::could_not_run)?)?,
        None if shown.windows.is_empty() => say(&format!(
            "job {job} is {} and has no such windows; the first is recorded a second after its start",
            shown.state.word()
        )),
        None => say(windows_table(&shown.windows).trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}
