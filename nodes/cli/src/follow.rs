//! Following a job on the terminal: progress, the summary at its end, the exit code; for `run`, `submit` and `watch`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc;

use hyperscale_client::Notice;
use hyperscale_codec::messages::{JobFinalResult, JobState, JobStatusPush};
use hyperscale_report::{Style, Summary, progress_line, render};
use hyperscale_runtime::clock;

use crate::exit::{Failure, INTERRUPTED};
use crate::output::Outputs;
use crate::screen;

/// What the shards tell the thread that shows it.
#[derive(Debug)]
pub(crate) enum Told {
    /// The client's word on its job.
    Job(Notice),
    /// A signal arrived.
    Interrupted,
    /// The second one: end now.
    Now,
    /// It could not be set up.
    Failed(String),
}

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) quiet: bool,
    pub(crate) no_color: bool,
    /// Ctrl-C ends the job, whose report follows; else it ends only the following.
    pub(crate) interrupt_ends_job: bool,
}

/// How following a job ended.
pub(crate) enum Ending {
    Finished {
        result: Box<JobFinalResult>,
        interrupted: bool,
    },
    /// A gate that cannot send results told only that the job has ended so.
    Ended {
        state: JobState,
        error: String,
    },
    Failed(String),
    /// The user left; the job goes on.
    Detached,
    Now,
}

/// Shows what comes until the job, or the following, has ended.
pub(crate) fn follow(hear: &mpsc::Receiver<Told>, shown: Shown, outputs: &mut Outputs) -> Ending {
    let mut lines = Lines::new(shown);
    let mut interrupted = false;
    loop {
        match hear.recv() {
            Ok(Told::Job(Notice::Window(push))) => lines.window(&push, outputs),
            Ok(Told::Job(Notice::Finished(result))) => return Ending::Finished { result, interrupted },
            Ok(Told::Job(Notice::Failed { error })) | Ok(Told::Failed(error)) => {
                return Ending::Failed(error);
            }
            Ok(Told::Job(Notice::Reconnecting { why })) if !shown.interrupt_ends_job => {
                say(&format!("the connection is lost ({why}); trying the gates again"));
            }
            Ok(Told::Job(Notice::Status(status))) => {
                let state = JobState::from_wire(status.state);
                if state.is_final() {
                    return Ending::Ended { state, error: status.error.clone() };
                }
                lines.say(&format!("{state}: {} requests, {} errors", status.requests, status.errors));
            }
            Ok(Told::Job(
                Notice::Accepted { .. }
                | Notice::Cancelled { .. }
                | Notice::Nodes { .. }
                | Notice::Why { .. }
                | Notice::Stats(_)
                | Notice::Jobs { .. }
                | Notice::Reconnecting { .. },
            )) => {}
            Ok(Told::Interrupted) if shown.interrupt_ends_job => {
                interrupted = true;
                say("ending the run; Ctrl-C again ends at once");
            }
            Ok(Told::Interrupted) => return Ending::Detached,
            Ok(Told::Now) => return Ending::Now,
            Err(mpsc::RecvError) => return Ending::Failed("the fleet ended before the job did".to_owned()),
        }
    }
}

/// Draws the summary, writes the files, gives the exit code.
pub(crate) fn conclude(end: Ending, shown: Shown, outputs: Outputs) -> Result<ExitCode, Failure> {
    let (result, interrupted) = match end {
        Ending::Finished { result, interrupted } => (result, interrupted),
        Ending::Ended { state, error } => {
            let text =
                format!("the job has {state}; its gate cannot send the result to this version: {error}");
            return Err(Failure::could_not_run(text));
        }
        Ending::Failed(error) => return Err(Failure::could_not_run(error)),
        Ending::Detached | Ending::Now => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let summary = Summary::from_json(&result.summary)
        .map_err(|error| Failure::could_not_run(format!("the summary could not be read: {error}")))?;
    if !outputs.take_stdout() {
        let style = screen::summary(shown.no_color);
        let _reader_gone = std::io::stdout().write_all(render(&summary, style).as_bytes());
    }
    outputs.finish(&summary, &result)?;
    // Errors in some requests are the report's business; no answer at all is a failure.
    Ok(ExitCode::from(if interrupted { INTERRUPTED } else { summary.verdict().exit_code() }))
}

/// The progress lines.
struct Lines {
    style: Style,
    quiet: bool,
    /// When the job began, by our wall clock.
    started: Option<u64>,
    idle: Option<String>,
    /// The shortest time that a line was about: a window, as far as can be told from what comes.
    window_ms: u64,
}

/// Windows are mostly so long, and never shorter than this.
const WINDOW_MS: u64 = 1_000;
const SHORTEST_MS: u64 = 100;

impl Lines {
    fn new(shown: Shown) -> Self {
        Self {
            style: screen::progress(shown.no_color),
            quiet: shown.quiet,
            started: None,
            idle: None,
            window_ms: WINDOW_MS,
        }
    }

    fn window(&mut self, push: &JobStatusPush, outputs: &mut Outputs) {
        let now = clock::wall_clock().unix_ms;
        let began = *self.started.get_or_insert(now.saturating_sub(push.to_ms));
        outputs.window(push, began);
        // A line without anything is held back: where it is the last, the run was already over.
        let held = self.idle.take();
        held.iter().for_each(|line| self.say(line));
        let shown_ms = push.to_ms.saturating_sub(push.from_ms);
        self.window_ms = self.window_ms.min(shown_ms.max(SHORTEST_MS));
        let line = progress_line(push, self.window_ms, self.style);
        let empty = push.requests == 0 && push.dropped == 0 && push.in_flight == 0;
        if empty { self.idle = Some(line) } else { self.say(&line) }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }
}

fn say(line: &str) {
    let _nobody_listens = writeln!(std::io::stderr(), "{line}");
}
