//! Logs on stderr: which, how they look, and not too many of the same.
//!
//! Every line says whose it is: node, role, and the shard whose thread wrote it. A callsite that writes more than
//! [`repeats::LINES_MAX`] lines a second is cut short, and a later line says how many were left out.

mod line;
mod repeats;

use std::io::Write as _;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use hyperscale_runtime::clock;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry};

use line::Line;
use repeats::{Repeats, Suppressed, Verdict};

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogFlags {
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, help_heading = "Logs")]
    log_format: Format,
    /// Which: a level, or levels by module (warn,hyperscale_gate=debug) [default: warn; info for a node]
    #[arg(long = "log", global = true, env = "HYPERSCALE_LOG", value_name = "LEVELS", value_parser = levels, help_heading = "Logs")]
    levels: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

fn levels(text: &str) -> Result<String, String> {
    let text = if text.trim().is_empty() { "warn" } else { text };
    let wrong =
        |error| format!("{error}; write a level (error, warn, info, debug, trace) or hyperscale_gate=debug");
    EnvFilter::builder().with_regex(false).parse(text).map_err(wrong)?;
    Ok(text.to_owned())
}

/// Whose lines they are.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The node's name, or the command's.
    pub(crate) node: String,
    /// `gate`, `manager`, `worker`; the command for what is no node of a fleet.
    pub(crate) role: &'static str,
}

/// Keeps logging; its end says what was left out last.
#[must_use = "what repeats left out is said when this is dropped"]
pub(crate) struct Logging(Arc<Writer>);

/// Starts to log for the rest of the process; `default_levels` hold unless the user says otherwise.
pub(crate) fn start(flags: &LogFlags, identity: Identity, default_levels: &'static str) -> Logging {
    let writer = Arc::new(Writer { format: flags.log_format, identity, repeats: Repeats::default() });
    let levels = flags.levels.as_deref().unwrap_or(default_levels);
    // The flag's text was parsed before; what is not understood now logs nothing.
    let filter = EnvFilter::builder().with_regex(false).parse_lossy(levels);
    let subscriber = Registry::default().with(filter).with(Lines(Arc::clone(&writer)));
    // A second start in one process keeps the first.
    let _first_stays = tracing::subscriber::set_global_default(subscriber);
    Logging(writer)
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.repeats.take_all().iter().for_each(|suppressed| self.0.tell(suppressed));
    }
}

struct Writer {
    format: Format,
    identity: Identity,
    repeats: Repeats,
}

impl Writer {
    fn tell(&self, suppressed: &Suppressed) {
        self.write(&Line::suppressed(suppressed));
    }

    fn write(&self, line: &Line) {
        let thread = std::thread::current();
        let shard = thread.name().and_then(|name| name.strip_prefix("shard-")?.parse().ok());
        let unix_ms = clock::wall_clock().unix_ms;
        let text = match self.format {
            Format::Human => line.human(&self.identity, shard, unix_ms),
            Format::Json => line.json(&self.identity, shard, unix_ms),
        };
        // In one piece, so that the lines of several threads do not mix.
        let _nobody_listens = std::io::stderr().write_all(text.as_bytes());
    }
}

/// The layer that writes.
struct Lines(Arc<Writer>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let Verdict { write, overdue } = self.0.repeats.admit(metadata, clock::now());
        overdue.iter().for_each(|suppressed| self.0.tell(suppressed));
        if write {
            self.0.write(&Line::of(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_mean_nothing_are_refused_with_what_would_be_right() {
        assert_eq!(levels("warn,hyperscale_gate=debug").as_deref(), Ok("warn,hyperscale_gate=debug"));
        assert_eq!(levels(" ").as_deref(), Ok("warn"));
        let refused = levels("hyperscale_gate=loud").unwrap_err();
        assert!(refused.contains("hyperscale_gate=debug"), "{refused}");
    }
}
