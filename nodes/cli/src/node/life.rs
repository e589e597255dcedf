//! A node's life as its process sees it: started, told to stop, drained, gone.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use hyperscale_runtime::signals::{Signal, Signals};
use hyperscale_runtime::{Shard, Shards, StopReason, TaskKind, clock};

use super::Settings;
use crate::exit::{Failure, INTERRUPTED};

/// For queued bytes to go and connections to end.
const STOP: Duration = Duration::from_secs(10);

/// What a node's shards tell its process.
#[derive(Debug)]
pub(crate) enum Told {
    Signal(Signal),
    /// A core has nothing left to do.
    Drained,
    /// The fleet does not take this node.
    Refused(String),
}

/// The process's ends: what the shards tell, and how they are told to drain.
pub(crate) struct Life<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) shards: Shards<()>,
    pub(crate) hear: mpsc::Receiver<Told>,
    /// Cores that say when they have drained.
    pub(crate) cores: usize,
    pub(crate) drain: Box<dyn Fn()>,
}

/// Says where the node is, the first line on stdout.
pub(crate) fn announce(
    settings: &Settings,
    frame: Option<std::net::SocketAddr>,
    admin: std::net::SocketAddr,
) {
    let (role, name) = (settings.role, &settings.name);
    let frame = frame.map_or_else(|| "nowhere".to_owned(), |addr| addr.to_string());
    let mut out = std::io::stdout();
    let _nobody_reads =
        writeln!(out, "{role} {name} listens on {frame}; admin http://{admin}/").and_then(|()| out.flush());
}

/// Takes the end of the standard input for a signal, where the settings say so.
pub(crate) fn watch_stdin(settings: &Settings, told: &mpsc::Sender<Told>) {
    if !settings.stop_with_stdin {
        return;
    }
    let told = told.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "a read that ends with the process; no shard may wait on it"
    )]
    std::thread::spawn(move || {
        let _ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _process_ends = told.send(Told::Signal(Signal::Terminate));
    });
}

/// Reads signals on this shard; one shard of a node does.
pub(crate) fn watch_signals(shard: &Shard, told: &mpsc::Sender<Told>) {
    let (watching, told) = (shard.clone(), told.clone());
    let watch = async move {
        let signals = match Signals::open(&watching) {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be read; only SIGKILL ends this node");
                return;
            }
        };
        while let Ok(signal) = signals.next().await {
            if told.send(Told::Signal(signal)).is_err() {
                return;
            }
        }
    };
    let _ends_with_the_shard = shard.spawn("signals", TaskKind::Service, watch);
}

impl Life<'_> {
    /// Waits for the end: SIGTERM drains, a second signal ends at once, a shard that dies ends the node.
    pub(crate) fn live(self) -> Result<ExitCode, Failure> {
        let Self { settings, shards, hear, cores, drain } = self;
        let (role, name) = (settings.role, settings.name.as_str());
        let mut deadline = None;
        let mut drained = 0;
        let result = loop {
            let now = clock::now();
            let left =
                deadline.map_or(Duration::MAX, |deadline: hyperscale_core::Instant| deadline.since(now));
            match hear.recv_timeout(left) {
                Ok(Told::Signal(signal)) if deadline.is_none() => {
                    let seconds = settings.drain_timeout.as_secs();
                    tracing::info!(
                        "{signal}: {role} {name} drains, for {seconds} s at most; again ends at once"
                    );
                    deadline = Some(now + settings.drain_timeout);
                    drain();
                }
                Ok(Told::Signal(_)) => return Ok(ExitCode::from(INTERRUPTED)),
                Ok(Told::Drained) => {
                    drained += 1;
                    if drained >= cores {
                        break Ok(ExitCode::SUCCESS);
                    }
                }
                Ok(Told::Refused(why)) => break Err(Failure::could_not_run(why)),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let seconds = settings.drain_timeout.as_secs();
                    break Err(Failure::could_not_run(format!(
                        "{role} {name} still had work {seconds} s after it was told to stop; it was left undone"
                    )));
                }
                // The shards are gone; joining them tells why.
                Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(ExitCode::SUCCESS),
            }
        };
        let why = match result {
            Ok(_) => "has drained",
            Err(_) => "cannot go on",
        };
        shards.stop().request(StopReason::Asked(format!("{role} {name} {why}")));
        shards.join(STOP).map_err(Failure::could_not_run)?;
        if result.is_ok() {
            tracing::info!("{role} {name} has left");
        }
        result
    }
}
