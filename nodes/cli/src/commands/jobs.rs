//! `jobs`: which jobs the fleet knows.

use std::process::ExitCode;

use clap::Args;
use hyperscale_client::{Notice, Question};
use hyperscale_fleet::job_row;
use hyperscale_view::{JobRow, Jobs, jobs_table};

use super::fleet::{ask, note, say, unexpected};
use crate::exit::Failure;
use crate::remote::FleetFlags;

/// Flags of `jobs`.
#[derive(Debug, Args)]
pub(crate) struct ListJobs {
    #[command(flatten)]
    pub(crate) fleet: FleetFlags,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn jobs(args: &ListJobs) -> Result<ExitCode, Failure> {
    let answer = ask(&args.fleet, Question::Jobs { so_far: Vec::new(), missing: Vec::new() })?;
    let Notice::Jobs { jobs, missing } = answer else { return Err(unexpected(&answer)) };
    let mut rows: Vec<JobRow> = jobs.into_iter().map(job_row).collect();
    // The newest last, where a terminal leaves the eye.
    rows.sort_by(|a, b| (a.accepted_unix_ms, &a.job_id).cmp(&(b.accepted_unix_ms, &b.job_id)));
    if args.json {
        let text = serde_json::to_string(&Jobs { jobs: &rows, silent_shards: &[] });
        say(&text.map_err(Failure::could_not_run)?);
    } else if rows.is_empty() {
        say("no jobs; one is forgotten 10 minutes after its end where its gate has no data folder");
    } else {
        say(jobs_table(&rows).trim_end());
    }
    for gate in missing {
        note(&format!("gate {gate} did not answer in time; its jobs are not listed"));
    }
    Ok(ExitCode::SUCCESS)
}
