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

/// Between two looks at whether the node was stopped from within.
const LOOK: Duration = Duration::from_secs(1);

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
            match hear.recv_timeout(left.min(LOOK)) {
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
                // A shard that stands still for good never ends, and its node was stopped over that.
                Err(mpsc::RecvTimeoutError::Timeout)
                    if shards.stop().reason().is_some_and(|why| why.is_failure()) =>
                {
                    break Ok(ExitCode::SUCCESS);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if left > LOOK => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::settings::{CoreChoice, NodeFlags};
    use hyperscale_codec::Role;

    /// Its shards may hold their ends of the channel for ever.
    #[test]
    fn a_node_that_is_stopped_from_within_ends_although_a_shard_may_still_tell_something() {
        let flags = NodeFlags { cores: Some(CoreChoice::Unpinned), ..NodeFlags::default() };
        let settings = Settings::new(Role::Gate, &flags).unwrap();
        let shards = hyperscale_runtime::start(&settings.shards, |shard| async move {
            shard.stopping().await;
        });
        let (_told, hear) = mpsc::channel();
        let shards = shards.unwrap();
        shards.stop().request(StopReason::ShardStalled { shard: 0, seconds: 30 });
        let life = Life { settings: &settings, shards, hear, cores: 1, drain: Box::new(|| ()) };
        let ended = format!("{:?}", life.live());
        assert!(ended.contains("shard 0 has not turned its loop for 30 s"), "{ended}");
    }
}
