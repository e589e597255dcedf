//! Files that a run writes: checked before the load starts, written beside their place, put there at the end.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use hyperscale_codec::messages::{JobFinalResult, JobStatusPush};
use hyperscale_report::{HlogWriter, Summary};

use crate::exit::Failure;

/// A file that is not there yet. Dropped without [`PendingFile::put`], its traces go.
struct PendingFile {
    flag: &'static str,
    path: PathBuf,
    part: PathBuf,
    is_put: bool,
}

impl PendingFile {
    fn open(flag: &'static str, path: &Path) -> Result<(Self, File), Failure> {
        let refused = |why: String| Failure::usage(format!("{flag} {}: {why}", path.display()));
        if path.is_dir() {
            return Err(refused("it is a directory; name a file in it".to_owned()));
        }
        let Some(name) = path.file_name() else {
            return Err(refused("it names no file".to_owned()));
        };
        let mut part = name.to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(part);
        let file = File::create(&part)
            .map_err(|error| refused(format!("{error}; name a file in a folder that can be written")))?;
        Ok((Self { flag, path: path.to_owned(), part, is_put: false }, file))
    }

    fn put(&mut self) -> io::Result<()> {
        std::fs::rename(&self.part, &self.path)?;
        self.is_put = true;
        Ok(())
    }

    fn failed(&self, error: impl std::fmt::Display) -> Failure {
        Failure::could_not_run(format!("{} {}: {error}", self.flag, self.path.display()))
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.is_put {
            let _may_be_gone = std::fs::remove_file(&self.part);
        }
    }
}

enum Json {
    Stdout,
    File(PendingFile, File),
}

type Log = HlogWriter<BufWriter<File>>;

/// What a run writes beside the screen.
pub(crate) struct Outputs {
    json: Option<Json>,
    /// The log's file until its first window tells when the job began.
    hlog: Option<(PendingFile, Option<File>, Option<Log>)>,
    log_error: Option<String>,
}

impl Outputs {
    /// Checks that everything can be written.
    pub(crate) fn open(json: Option<&str>, hlog: Option<&Path>) -> Result<Self, Failure> {
        let json = match json {
            None => None,
            Some("-") => Some(Json::Stdout),
            Some(path) => {
                let (pending, file) = PendingFile::open("--json", Path::new(path))?;
                Some(Json::File(pending, file))
            }
        };
        let hlog = match hlog {
            None => None,
            Some(path) => {
                let (pending, file) = PendingFile::open("--hlog", path)?;
                Some((pending, Some(file), None))
            }
        };
        Ok(Self { json, hlog, log_error: None })
    }

    /// Whether the result itself goes to stdout as JSON.
    pub(crate) const fn is_json_on_stdout(&self) -> bool {
        matches!(self.json, Some(Json::Stdout))
    }

    /// Logs a window; a disk that fills costs the log, never the run.
    pub(crate) fn window(&mut self, push: &JobStatusPush, started_unix_ms: u64) {
        let Some((_, file, log)) = &mut self.hlog else { return };
        let Some(latency) = push.latency.as_ref().filter(|_| self.log_error.is_none()) else { return };
        let written = begin(file, log, started_unix_ms).and_then(|log| match log {
            Some(log) => log.window(push.from_ms, push.to_ms, latency).map_err(|error| error.to_string()),
            None => Ok(()),
        });
        self.log_error = written.err();
    }

    /// Writes what is left and puts the files in their places.
    pub(crate) fn finish(mut self, summary: &Summary, result: &JobFinalResult) -> Result<(), Failure> {
        let mut outcome = Ok(());
        if let Some((mut pending, mut file, mut log)) = self.hlog.take() {
            let written = self.log_error.take().map_or(Ok(()), Err);
            let written = written.and_then(|()| begin(&mut file, &mut log, 0).map(|_| ()));
            let duration_ms = milliseconds(summary.duration_s);
            let written = written.and_then(|()| match log {
                Some(log) => {
                    log.finish(duration_ms, &result.latency).map(|_| ()).map_err(|error| error.to_string())
                }
                None => Ok(()),
            });
            let put = written.and_then(|()| pending.put().map_err(|error| error.to_string()));
            outcome = put.map_err(|error| pending.failed(error));
        }
        match self.json.take() {
            None => {}
            Some(Json::Stdout) => {
                let _reader_gone = writeln!(io::stdout(), "{}", result.summary);
            }
            Some(Json::File(mut pending, mut file)) => {
                let written = writeln!(file, "{}", result.summary).and_then(|()| pending.put());
                written.map_err(|error| pending.failed(error))?;
            }
        }
        outcome
    }
}

/// The log, begun with the first window.
fn begin<'a>(
    file: &mut Option<File>,
    log: &'a mut Option<Log>,
    started_unix_ms: u64,
) -> Result<Option<&'a mut Log>, String> {
    if let Some(file) = file.take() {
        let begun = HlogWriter::new(BufWriter::new(file), started_unix_ms, "hyperscale run");
        *log = Some(begun.map_err(|error| error.to_string())?);
    }
    Ok(log.as_mut())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a duration is positive and below 30 days"
)]
fn milliseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1000.0).round() as u64
}
