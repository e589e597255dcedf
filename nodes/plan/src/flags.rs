//! `hyperscale run URL -c 50 -d 10s`: flags to the text of a plan, read by the same parser as a file.
//!
//! Defaults: `-c 50`, and `-d 10s` when neither `-d`, `-n` nor `--stages` is given. `-n` alone runs until it is
//! done, a day at most. With `-q` arrivals follow the rate and a late one waits (wrk2). No grace at the end.

use std::fmt;
use std::time::Duration;

use crate::flags_text::to_toml;
use crate::header::{check_header_name, check_header_value};
use crate::limits::{
    DURATION_MAX, DURATION_MIN, ITERATIONS_MAX, PAUSE_MAX, RATE_MAX, TEXT_BYTES_MAX, VUS_MAX, WINDOW_MAX,
    WINDOW_MIN,
};
use crate::load::{Files, Loaded, PlanText};
use crate::model::{Arrivals, KeepAlive};
use crate::parse::parse_text;
use crate::request::check_method;
use crate::stage::{Stages, rate_limit};
use crate::units::render_duration;
use crate::url::parse_url;
use crate::words::grouped;

/// VUs, and so connections, without `-c`.
pub(crate) const VUS: u32 = 50;
/// Without `-d`, `-n` and `--stages`.
pub(crate) const DURATION: Duration = Duration::from_secs(10);
/// The cap of a run that only a count ends.
pub(crate) const COUNT_DURATION_MAX: Duration = Duration::from_secs(86_400);

/// What the flags of `run URL` said; `None` and empty where a flag was not given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFlags {
    /// The URL, as typed.
    pub url: String,
    /// `-c`
    pub vus: Option<u32>,
    /// `-d`
    pub duration: Option<Duration>,
    /// `-n`
    pub requests: Option<u64>,
    /// `-q`, per second
    pub rate: Option<f64>,
    /// `--stages`
    pub stages: Option<Stages>,
    /// `--arrivals`
    pub arrivals: Option<Arrivals>,
    /// `-m`
    pub method: Option<String>,
    /// `-H`, in order
    pub headers: Vec<(String, String)>,
    /// `-b`, its file already read
    pub body: Option<Vec<u8>>,
    /// `-t`
    pub timeout: Option<Duration>,
    /// `--connect-timeout`
    pub connect_timeout: Option<Duration>,
    /// `--keep-alive`, `--disable-keepalive`
    pub keep_alive: Option<KeepAlive>,
    /// `--window`
    pub window: Option<Duration>,
    /// `--threshold`, each
    pub thresholds: Vec<String>,
}

/// All that is wrong with the flags, one message each; names the flag and the fix. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagErrors(pub Vec<String>);

impl std::error::Error for FlagErrors {}

impl fmt::Display for FlagErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// The plan of the flags, and the text that travels.
///
/// # Errors
/// Values out of range and flags that contradict each other; both are named.
pub fn from_flags(flags: &RunFlags) -> Result<Loaded, FlagErrors> {
    let mut errors = Vec::new();
    check_values(flags, &mut errors);
    check_contradictions(flags, &mut errors);
    if !errors.is_empty() {
        return Err(FlagErrors(errors));
    }
    let text = to_toml(flags);
    if text.len() > TEXT_BYTES_MAX {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        return Err(FlagErrors(vec![format!(
            "-b: with this body the plan has {} bytes; at most 1 MiB (1,048,576) can be sent",
            grouped(bytes)
        )]));
    }
    let plan = parse_text(&text, &mut Files::none()).map_err(|findings| {
        // Whoever wrote flags knows of no steps.
        let told = findings.messages();
        FlagErrors(
            told.into_iter().map(|text| text.replace("step 1 of workflows.url", "the request")).collect(),
        )
    })?;
    Ok(Loaded { plan, text: PlanText::new(text) })
}

fn check_values(flags: &RunFlags, errors: &mut Vec<String>) {
    if let Err(error) = parse_url(&flags.url) {
        errors.push(format!("URL: {error}"));
    }
    if let Some(vus) = flags.vus.map(u64::from).filter(|vus| !(1..=VUS_MAX).contains(vus)) {
        errors.push(format!("-c must be 1 to {}, found {vus}", grouped(VUS_MAX)));
    }
    if let Some(count) = flags.requests.filter(|count| !(1..=ITERATIONS_MAX).contains(count)) {
        errors.push(format!("-n must be 1 to {}, found {count}", grouped(ITERATIONS_MAX)));
    }
    if let Some(rate) = flags.rate.filter(|rate| !(*rate > 0.0 && *rate <= RATE_MAX)) {
        errors.push(format!("-q must be above 0 and at most {}, found {rate}", rate_limit()));
    }
    for (flag, value, from, to) in [
        ("-d", flags.duration, DURATION_MIN, DURATION_MAX),
        ("-t", flags.timeout, DURATION_MIN, PAUSE_MAX),
        ("--connect-timeout", flags.connect_timeout, DURATION_MIN, PAUSE_MAX),
        ("--window", flags.window, WINDOW_MIN, WINDOW_MAX),
    ] {
        if let Some(value) = value.filter(|value| !(from..=to).contains(value)) {
            let (from, to) = (render_duration(from), render_duration(to));
            errors.push(format!("{flag} must be {from} to {to}, found {}", render_duration(value)));
        }
    }
    if let Some(Err(message)) = flags.method.as_deref().map(check_method) {
        errors.push(format!("-m: {message}"));
    }
    for (name, value) in &flags.headers {
        let checked = check_header_name(name).and_then(|()| check_header_value(name, value));
        if let Err(error) = checked {
            errors.push(format!("-H: {error}"));
        }
    }
}

fn check_contradictions(flags: &RunFlags, errors: &mut Vec<String>) {
    if let Some(stages) = &flags.stages {
        if flags.duration.is_some() {
            errors.push("-d and --stages contradict each other: the stages say how long; drop -d".to_owned());
        }
        if flags.rate.is_some() {
            errors.push(
                "-q and --stages contradict each other: write the rates as stages, such as --stages 30s:100/s"
                    .to_owned(),
            );
        }
        if flags.vus.is_some() && matches!(stages, Stages::Vus(_)) {
            errors.push(
                "-c and --stages contradict each other: the stages say how many VUs; drop -c".to_owned(),
            );
        }
    }
    let open = flags.rate.is_some() || matches!(flags.stages, Some(Stages::Rates(_)));
    if flags.arrivals.is_some() && !open {
        errors.push("--arrivals needs a rate; add -q 100/s".to_owned());
    }
}

#[cfg(test)]
#[path = "flags/tests.rs"]
mod tests;
