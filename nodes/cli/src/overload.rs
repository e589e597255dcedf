//! How loaded the nodes of this process are: their samples, the monitor beside their shards, what is shown of it.

use std::sync::Arc;

use hyperscale_reliability::{
    CpuRule, HybridOverloadDetector, LoadGauge, OverloadConfig, OverloadState, SampleReader, SampleWriter,
    sample_buffer,
};
use hyperscale_runtime::{LoadBoard, Monitor, Sender, Shards, TellState, TrySendError, Watched};
use hyperscale_view::Gauge;

use crate::exit::Failure;

/// One node's load, before its shards start.
pub(crate) struct NodeLoad {
    /// Has the node's state; healthy for ever if nobody measures it.
    pub(crate) gauge: LoadGauge,
    measured: Option<Measured>,
}

struct Measured {
    detector: HybridOverloadDetector,
    samples: Vec<SampleReader>,
    board: Arc<LoadBoard>,
}

impl NodeLoad {
    /// Of a node of so many shards, each of which takes one of the writers. Without a configuration nothing is measured.
    pub(crate) fn new(
        config: Option<&OverloadConfig>,
        shards: usize,
    ) -> Result<(Self, Vec<Option<SampleWriter>>), Failure> {
        let gauge = LoadGauge::default();
        let Some(config) = config else {
            return Ok((Self { gauge, measured: None }, (0..shards).map(|_| None).collect()));
        };
        let detector = HybridOverloadDetector::new(config.clone()).map_err(Failure::could_not_run)?;
        let (writers, samples) = (0..shards).map(|_| sample_buffer()).unzip::<_, _, Vec<_>, Vec<_>>();
        let measured = Measured { detector, samples, board: Arc::default() };
        Ok((Self { gauge, measured: Some(measured) }, writers.into_iter().map(Some).collect()))
    }

    /// What is shown of it, if it is measured.
    pub(crate) fn board(&self) -> Option<Arc<LoadBoard>> {
        self.measured.as_ref().map(|measured| Arc::clone(&measured.board))
    }

    /// For the monitor, if it is to be measured; `name` as logs call it.
    pub(crate) fn watched(self, name: String, cpu: CpuRule, tell: TellState) -> Option<Watched> {
        let Measured { detector, samples, board } = self.measured?;
        Some(Watched { name, detector, cpu, gauge: self.gauge, samples, board, tell, quiet: false })
    }
}

/// Tells cores of a new state by their mailboxes; whether all of them have it.
pub(crate) fn tell_cores<L: Send + 'static>(cores: Vec<Sender<L>>, word: fn(u8) -> L) -> TellState {
    Box::new(move |state| {
        // One whose core is gone needs to know nothing.
        let full =
            |core: &&Sender<L>| matches!(core.try_send(word(state.to_wire())), Err(TrySendError::Full(_)));
        cores.iter().filter(full).count() == 0
    })
}

/// Starts the monitor of nodes that run on these shards, if there are any to watch. It ends when it is dropped.
pub(crate) fn watch<T>(
    nodes: impl IntoIterator<Item = Watched>,
    shards: &Shards<T>,
) -> Result<Option<Monitor>, Failure> {
    let nodes: Vec<Watched> = nodes.into_iter().collect();
    if nodes.is_empty() {
        return Ok(None);
    }
    Monitor::start(nodes, shards.work()).map(Some).map_err(Failure::could_not_run)
}

/// For monitors of people.
pub(crate) fn gauges(board: &LoadBoard) -> Vec<Gauge> {
    let level = |state: OverloadState| f64::from(state.to_wire());
    let mut gauges = vec![
        Gauge::level(
            "hyperscale_overload_state",
            "How loaded the node is: 0 healthy, 1 busy, 2 stressed, 3 overloaded.",
            level(board.state()),
        ),
        Gauge::level(
            "hyperscale_overload_latency_ms",
            "Mean time that frames waited and took, over the last inputs; of a worker, how late it was.",
            board.mean_ms(),
        ),
        Gauge::level(
            "hyperscale_overload_baseline_ms",
            "What is usual of that; 0 until it is known.",
            board.baseline_ms(),
        ),
        counter("hyperscale_overload_changes_total", "Changes of the overload state.", board.changes()),
        counter("hyperscale_samples_total", "Samples that the overload detector read.", board.samples()),
        counter(
            "hyperscale_samples_skipped_total",
            "Samples that were written over before the overload detector read them.",
            board.skipped(),
        ),
    ];
    gauges.extend(board.signals().map(|(signal, state)| {
        let help = "What each signal says by itself, 0 to 3, without the hold.";
        Gauge::level("hyperscale_overload_signal", help, level(state)).label("signal", signal)
    }));
    gauges.extend(board.missing().map(|(signal, missing)| {
        let help = "1 for a signal that this host does not give; it counts as healthy.";
        Gauge::level("hyperscale_host_signal_missing", help, f64::from(u8::from(missing)))
            .label("signal", signal)
    }));
    gauges
}

#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
fn counter(name: &'static str, help: &'static str, value: u64) -> Gauge {
    Gauge::counter(name, help, value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_measured_has_no_samples_and_no_figures() {
        let (load, writers) = NodeLoad::new(None, 3).unwrap();
        assert!(writers.len() == 3 && writers.iter().all(Option::is_none));
        assert!(load.board().is_none());
        assert!(load.watched(String::new(), CpuRule::Full, Box::new(|_| true)).is_none());
    }

    #[test]
    fn every_figure_of_a_new_board_is_told_and_nothing() {
        let (load, writers) = NodeLoad::new(Some(&OverloadConfig::default()), 2).unwrap();
        assert_eq!(writers.iter().flatten().count(), 2);
        let gauges = gauges(&load.board().unwrap());
        assert_eq!(gauges.len(), 6 + 5 + 3);
        assert!(gauges.iter().all(|gauge| gauge.value == 0.0));
    }

    #[test]
    fn every_core_is_told_and_a_full_mailbox_is_tried_again() {
        let (one, _inbox) = hyperscale_runtime::mailbox(8);
        let (two, _inbox_too) = hyperscale_runtime::mailbox(1);
        let mut tell = tell_cores(vec![two, one], |state| state);
        assert!(tell(OverloadState::Busy));
        assert!(!tell(OverloadState::Stressed));
    }
}
