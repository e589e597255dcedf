//! Files that a run writes: checked before the load starts, written beside their place, put there at the end.

mod file;

use std::io::Write as _;
use std::path::Path;

use hyperscale_codec::messages::{JobFinalResult, JobStatusPush};
use hyperscale_report::{HlogWriter, Summary};

use crate::exit::Failure;
use file::OutputFile;

/// What a run writes beside the screen.
pub(crate) struct Outputs {
    json: Option<OutputFile>,
    hlog: Option<Log>,
    log_on_stdout: bool,
}

impl Outputs {
    /// Checks that everything can be written.
    pub(crate) fn open(json: Option<&str>, hlog: Option<&Path>) -> Result<Self, Failure> {
        if let (Some(json), Some(hlog)) = (json, hlog)
            && same(Path::new(json), hlog)
        {
            let message = format!("--json and --hlog both name {json}; name two files");
            return Err(Failure::usage(message));
        }
        let json = json.map(|path| OutputFile::open("--json", Path::new(path), "result.json"));
        let hlog = hlog.map(|path| OutputFile::open("--hlog", path, "latency.hlog"));
        Ok(Self {
            log_on_stdout: hlog.as_ref().is_some_and(|log| log.as_ref().is_ok_and(OutputFile::is_stdout)),
            json: json.transpose().map_err(Failure::usage)?,
            hlog: hlog.transpose().map_err(Failure::usage)?.map(Log::Waiting),
        })
    }

    /// Whether stdout carries one of them, and so nothing else.
    pub(crate) fn take_stdout(&self) -> bool {
        self.log_on_stdout || self.json.as_ref().is_some_and(OutputFile::is_stdout)
    }

    /// Logs a window; a disk that fills costs the log, never the run.
    pub(crate) fn window(&mut self, push: &JobStatusPush, started_unix_ms: u64) {
        let Some(latency) = &push.latency else { return };
        self.hlog = self.hlog.take().map(|log| {
            log.then(started_unix_ms, |mut writer| {
                writer.window(push.from_ms, push.to_ms, latency).map_err(|error| chain(&error))?;
                Ok(Log::Open(Box::new(writer)))
            })
        });
    }

    /// Writes what is left and puts the files in their places, each whatever became of the other.
    pub(crate) fn finish(self, summary: &Summary, result: &JobFinalResult) -> Result<(), Failure> {
        let log = self.hlog.map_or(Ok(()), |log| log.finish(summary, result));
        if let Some(mut json) = self.json {
            let written = writeln!(json, "{}", result.summary);
            json.finish_after(written).map_err(Failure::could_not_run)?;
        }
        log
    }
}

/// A short answer in a file, or on stdout; checked before it is known.
pub(crate) struct Answer(OutputFile);

impl Answer {
    pub(crate) fn open(path: &str) -> Result<Self, Failure> {
        OutputFile::open("--json", Path::new(path), "answer.json").map(Self).map_err(Failure::usage)
    }

    pub(crate) fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = writeln!(self.0, "{text}");
        self.0.finish_after(written).map_err(Failure::could_not_run)
    }
}

/// Whether two paths are one file; neither need be there yet, but their folders do.
fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let there = std::fs::canonicalize(folder).ok().zip(path.file_name());
        let place = there.map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name));
        std::fs::canonicalize(path).unwrap_or(place)
    };
    let device = std::fs::metadata(one).is_ok_and(|there| !there.is_file());
    !device && real(one) == real(other)
}

/// The histogram log, begun with the first window, which tells when the job began.
enum Log {
    Waiting(OutputFile),
    Open(Box<HlogWriter<OutputFile>>),
    /// Why there will be none.
    Broken(String),
}

impl Log {
    fn then(
        self,
        started_unix_ms: u64,
        next: impl FnOnce(HlogWriter<OutputFile>) -> Result<Self, String>,
    ) -> Self {
        let writer = match self {
            Self::Waiting(file) => {
                HlogWriter::new(file, started_unix_ms, "hyperscale run").map_err(|error| chain(&error))
            }
            Self::Open(writer) => Ok(*writer),
            Self::Broken(why) => Err(why),
        };
        writer.and_then(next).unwrap_or_else(Self::Broken)
    }

    fn finish(self, summary: &Summary, result: &JobFinalResult) -> Result<(), Failure> {
        // Without a window nobody told when the job began but the summary.
        match self.then(summary.started_unix_ms(), |writer| Ok(Self::Open(Box::new(writer)))) {
            Self::Open(writer) => {
                let written = writer.finish(milliseconds(summary.duration_s), &result.latency);
                let (file, _) = written.map_err(|error| failed(&chain(&error)))?;
                file.finish().map_err(Failure::could_not_run)
            }
            Self::Broken(why) => Err(failed(&why)),
            Self::Waiting(_) => Ok(()),
        }
    }
}

fn failed(why: &str) -> Failure {
    Failure::could_not_run(format!("--hlog: {why}; there is no log of this run"))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a duration is positive and below 30 days"
)]
fn milliseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1000.0).round() as u64
}
