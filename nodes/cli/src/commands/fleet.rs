//! Commands that talk to a fleet: `submit`, `watch`, `status`, `cancel`, `nodes`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperscale_client::{Local, Notice, Question};
use hyperscale_codec::messages::{JobState, JobStatusResponse, JobSubmit, NodeEntry};
use hyperscale_codec::{ErrorCode, JobId};
use hyperscale_fleet::{node_row, verdict_row};
use hyperscale_runtime::entropy;
use hyperscale_view::{Nodes, Why, nodes_table, verdicts_text};
use serde_json::json;

use crate::commands::plan_file;
use crate::exit::Failure;
use crate::follow::{Ending, Shown, Told, conclude, follow};
use crate::output::Outputs;
use crate::remote::{FleetFlags, Remote};

/// Flags of `submit`.
#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// The plan file
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) fleet: FleetFlags,
    /// Stay until the job has ended; Ctrl-C only detaches
    #[arg(long)]
    pub(crate) follow: bool,
    /// A value for ${NAME} in the plan; may be repeated
    #[arg(long = "set", short_alias = 'e', value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Write {"job_id"} as JSON to a file, or - for stdout; with --follow the summary instead
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<String>,
    /// With --follow: write an HdrHistogram log, one line a second
    #[arg(long, value_name = "FILE", requires = "follow")]
    pub(crate) hlog: Option<PathBuf>,
    /// No progress, only the summary
    #[arg(long)]
    pub(crate) quiet: bool,
    /// No colour
    #[arg(long)]
    pub(crate) no_color: bool,
}

/// Flags of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The job's id
    #[arg(value_parser = job)]
    pub(crate) job: JobId,
    #[command(flatten)]
    pub(crate) fleet: FleetFlags,
    /// Write the summary as JSON to a file, or - for stdout
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<String>,
    /// No progress, only the summary
    #[arg(long)]
    pub(crate) quiet: bool,
    /// No colour
    #[arg(long)]
    pub(crate) no_color: bool,
}

/// Flags of `status` and `cancel`.
#[derive(Debug, Args)]
pub(crate) struct OneJob {
    /// The job's id
    #[arg(value_parser = job)]
    pub(crate) job: JobId,
    #[command(flatten)]
    pub(crate) fleet: FleetFlags,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `nodes`.
#[derive(Debug, Args)]
pub(crate) struct ListNodes {
    #[command(flatten)]
    pub(crate) fleet: FleetFlags,
    /// Explain one node instead: who judges it how, and by which signals
    #[arg(long, value_name = "NAME")]
    pub(crate) why: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) fn job(text: &str) -> Result<JobId, String> {
    let id = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten();
    id.map(JobId)
        .ok_or_else(|| format!("{text:?} is no job id; one has 32 hex digits, as `submit` prints it"))
}

pub(crate) fn submit(args: &Submit) -> Result<ExitCode, Failure> {
    let loaded = plan_file::load(&args.plan, &args.set)?;
    let json = args.json.as_deref().filter(|_| args.follow);
    let mut outputs = Outputs::open(json, args.hlog.as_deref())?;
    let mut answer = match args.json.as_deref().filter(|_| !args.follow) {
        Some(path) => Some(crate::output::Answer::open(path)?),
        None => None,
    };
    let submit = JobSubmit {
        plan: loaded.text.text,
        plan_sha256: loaded.text.sha256,
        idempotency: entropy::unique().map_err(Failure::could_not_run)?.to_be_bytes(),
        follow: args.follow,
        histograms: args.hlog.is_some(),
    };
    let remote = Remote::start(&args.fleet, Local::Submit(Box::new(submit)))?;
    let accepted = match remote.answer()? {
        Told::Job(Notice::Accepted { job, owner_addr }) => Ok((job, owner_addr)),
        Told::Job(Notice::Failed { error }) | Told::Failed(error) => Err(Failure::could_not_run(error)),
        Told::Interrupted | Told::Now => {
            return Ok(ExitCode::from(crate::exit::INTERRUPTED));
        }
        Told::Job(other) => {
            Err(Failure::could_not_run(format!("the gate answered something else: {other:?}")))
        }
    };
    let (job, owner) = accepted?;
    let gates = gates(&args.fleet);
    if !args.follow {
        remote.stop()?;
        let text = json!({ "job_id": job.to_string() }).to_string();
        match answer.take() {
            Some(answer) => answer.write(&text)?,
            None => say(&format!(
                "job {job} is accepted; its gate is at {owner}\n  follow it: hyperscale watch {job} --gate {gates}"
            )),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !args.quiet {
        note(&format!("job {job} is accepted; Ctrl-C detaches"));
    }
    let shown = Shown { quiet: args.quiet, no_color: args.no_color, interrupt_ends_job: false };
    finish(remote, job, &gates, shown, &mut outputs)?.conclude(shown, outputs)
}

pub(crate) fn watch(args: &Watch) -> Result<ExitCode, Failure> {
    let mut outputs = Outputs::open(args.json.as_deref(), None)?;
    let remote = Remote::start(&args.fleet, Local::Watch { job: args.job, histograms: false })?;
    let shown = Shown { quiet: args.quiet, no_color: args.no_color, interrupt_ends_job: false };
    finish(remote, args.job, &gates(&args.fleet), shown, &mut outputs)?.conclude(shown, outputs)
}

struct Followed(Ending);

impl Followed {
    fn conclude(self, shown: Shown, outputs: Outputs) -> Result<ExitCode, Failure> {
        conclude(self.0, shown, outputs)
    }
}

fn finish(
    remote: Remote,
    job: JobId,
    gates: &str,
    shown: Shown,
    outputs: &mut Outputs,
) -> Result<Followed, Failure> {
    let end = follow(&remote.hear, shown, outputs);
    if matches!(end, Ending::Detached) {
        note(&format!(
            "detached; job {job} goes on\n  follow it again: hyperscale watch {job} --gate {gates}\n  stop it: \
             hyperscale cancel {job} --gate {gates}"
        ));
    }
    remote.stop()?;
    Ok(Followed(end))
}

pub(crate) fn status(args: &OneJob) -> Result<ExitCode, Failure> {
    let answer = ask(&args.fleet, Question::Status { job: args.job })?;
    let Notice::Status(status) = answer else { return Err(unexpected(&answer)) };
    if args.json {
        say(&status_json(&status).to_string());
    } else {
        say(&status_text(&status));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn cancel(args: &OneJob) -> Result<ExitCode, Failure> {
    let reason = "cancelled by its user".to_owned();
    let answer = ask(&args.fleet, Question::Cancel { job: args.job, reason })?;
    let Notice::Cancelled { success, error } = answer else { return Err(unexpected(&answer)) };
    if !success && error == ErrorCode::UnknownJob.as_str() {
        return Err(Failure::could_not_run(format!(
            "no job {} is known to the fleet; it is forgotten 10 minutes after its end where its gate has no data \
             folder, and when its gate dies before its end",
            args.job
        )));
    }
    if !success {
        return Err(Failure::could_not_run(error));
    }
    if args.json {
        say(&json!({ "job_id": args.job.to_string(), "cancelled": true }).to_string());
    } else if error.is_empty() {
        say(&format!("job {} is cancelled", args.job));
    } else {
        say(&format!("job {} is being cancelled: {error}", args.job));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn nodes(args: &ListNodes) -> Result<ExitCode, Failure> {
    if let Some(name) = &args.why {
        return why(args, name);
    }
    let (nodes, missing) = list(&args.fleet)?;
    let rows: Vec<_> = nodes.iter().map(node_row).collect();
    if args.json {
        let text = serde_json::to_string(&Nodes { nodes: &rows, silent_shards: &[] });
        say(&text.map_err(Failure::could_not_run)?);
    } else {
        say(nodes_table(&rows).trim_end());
    }
    for manager in missing {
        note(&format!("manager {manager} did not answer in time; workers that only it knows are not listed"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a node is judged as it is, by everybody who does.
fn why(args: &ListNodes, name: &str) -> Result<ExitCode, Failure> {
    let answer = ask(&args.fleet, Question::Why { name: name.to_owned() })?;
    let Notice::Why { verdicts, missing } = answer else { return Err(unexpected(&answer)) };
    let rows: Vec<_> = verdicts.iter().map(verdict_row).collect();
    for manager in &missing {
        note(&format!("manager {manager} did not answer in time; what it says of {name} is missing"));
    }
    if rows.is_empty() {
        let known: Vec<String> = list(&args.fleet)?.0.into_iter().map(|node| node.name).collect();
        let near = hyperscale_plan::nearest(name, known.iter().map(String::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        return Err(Failure::could_not_run(format!("nobody in the fleet knows a node {name:?}{hint}")));
    }
    if args.json {
        let text = serde_json::to_string(&Why { node: name, verdicts: &rows });
        say(&text.map_err(Failure::could_not_run)?);
    } else {
        say(verdicts_text(name, &rows).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// All nodes that a fleet's gates know.
pub(crate) fn list(fleet: &FleetFlags) -> Result<(Vec<NodeEntry>, Vec<String>), Failure> {
    let answer = ask(fleet, Question::Nodes { so_far: Vec::new() })?;
    let Notice::Nodes { nodes, missing } = answer else { return Err(unexpected(&answer)) };
    Ok((nodes, missing))
}

pub(super) fn ask(fleet: &FleetFlags, question: Question) -> Result<Notice, Failure> {
    let remote = Remote::start(fleet, Local::Ask(question))?;
    let told = remote.answer()?;
    remote.stop()?;
    match told {
        Told::Job(Notice::Failed { error }) | Told::Failed(error) => Err(Failure::could_not_run(error)),
        Told::Job(notice) => Ok(notice),
        Told::Interrupted | Told::Now => Err(Failure::could_not_run("interrupted")),
    }
}

pub(super) fn unexpected(notice: &Notice) -> Failure {
    Failure::could_not_run(format!("the gate answered something else: {notice:?}"))
}

/// The states that scripts know.
fn outside(state: JobState) -> &'static str {
    match state {
        JobState::Dispatching | JobState::Running | JobState::Completing | JobState::Cancelling => "running",
        JobState::Accepted
        | JobState::Queued
        | JobState::Completed
        | JobState::Failed
        | JobState::Cancelled => state.as_str(),
    }
}

fn status_json(status: &JobStatusResponse) -> serde_json::Value {
    json!({
        "job_id": JobId::from_bytes(status.job).to_string(),
        "name": status.name,
        "state": outside(JobState::from_wire(status.state)),
        "error": status.error,
        "owner": status.owner_name,
        "owner_addr": status.owner_addr,
        "fence_token": status.fence_token,
        "accepted_unix_ms": status.accepted_unix_ms,
        "elapsed_ms": status.elapsed_ms,
        "totals": { "requests": status.requests, "errors": status.errors, "dropped": status.dropped },
        "datacenters": status.datacenters,
    })
}

fn status_text(status: &JobStatusResponse) -> String {
    let state = outside(JobState::from_wire(status.state));
    let (job, name) = (JobId::from_bytes(status.job), &status.name);
    let seconds = status.elapsed_ms as f64 / 1_000.0;
    let since = if JobState::from_wire(status.state).is_final() { "after" } else { "for" };
    let mut text = format!(
        "job {job}  {name}\n  {state} {since} {seconds:.1} s at gate {} ({})\n  requests {}  errors {}  dropped {}",
        status.owner_name, status.owner_addr, status.requests, status.errors, status.dropped
    );
    if !status.datacenters.is_empty() {
        text.push_str(&format!("\n  datacenters {}", status.datacenters.join(", ")));
    }
    if !status.error.is_empty() {
        text.push_str(&format!("\n  {}", status.error));
    }
    text
}

fn gates(fleet: &FleetFlags) -> String {
    fleet.gate.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

pub(super) fn say(text: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{text}");
}

pub(super) fn note(text: &str) {
    let _nobody_listens = writeln!(std::io::stderr(), "{text}");
}
