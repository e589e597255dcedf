//! Finds out how loaded the nodes of this process are: a plain thread beside the shards, ten times a second.
//!
//! It drains the samples of each node's shards, reads the host's figures, and lets the node's
//! [`HybridOverloadDetector`] judge; nothing is decided here. The node's [`LoadGauge`] has the state at once, its cores
//! are told of changes. A shard that stands still cannot keep it from seeing so. Bounds: fixed buffers; files are kept
//! open.

mod board;
mod figures;
mod host;
mod kept_file;

use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use hyperscale_core::Instant;
use hyperscale_reliability::{
    CpuMeter, CpuRoom, CpuRule, Drained, HostSignals, HostStates, HybridOverloadDetector, LoadGauge,
    OverloadState, SampleReader,
};

use crate::clock;
use crate::shard::ShardWork;
pub use board::{LoadBoard, SignalState};
use host::Host;

/// Between two looks.
const TICK: Duration = Duration::from_millis(100);
/// Looks between two at memory and pressure: they change slowly, and the kernel takes its time to tell.
const SLOW_TICKS: u32 = 10;

/// Tells a node's cores of a new state; whether all of them could be told. Else it is called again at the next tick.
pub type TellState = Box<dyn FnMut(OverloadState) -> bool + Send>;

/// One node to watch.
pub struct Watched {
    /// What logs call it: its role and name.
    pub name: String,
    /// Judges.
    pub detector: HybridOverloadDetector,
    /// How far its CPUs count.
    pub cpu: CpuRule,
    /// Has its state.
    pub gauge: LoadGauge,
    /// From each of its shards.
    pub samples: Vec<SampleReader>,
    /// Shows what was found.
    pub board: Arc<LoadBoard>,
    /// Called on the monitor's thread; must not block.
    pub tell: TellState,
    /// Part of a run: whoever sees its log looks at the load, and a warning would be in the way.
    pub quiet: bool,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.name)
    }
}

/// A running monitor. Ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Monitor {
    /// Nothing is ever sent: its end is the word.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Watches nodes that all run on these shards.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(nodes: Vec<Watched>, work: Vec<ShardWork>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let nodes = nodes.into_iter().map(Node::new).collect();
        let run =
            Run { nodes, work, meter: CpuMeter::default(), host: Host::default(), slow: Slow::default() };
        let thread =
            std::thread::Builder::new().name("overload".to_owned()).spawn(move || run.run(&stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

struct Run {
    nodes: Vec<Node>,
    work: Vec<ShardWork>,
    meter: CpuMeter,
    host: Host,
    slow: Slow,
}

/// What was read at the last slow tick.
#[derive(Default)]
struct Slow {
    ticks: u32,
    memory: Option<hyperscale_reliability::MemoryUse>,
    pressure_percent: Option<f64>,
    throttled_ns: u64,
    quota: Option<f64>,
    /// It grew at the last look: its group is held back, and each tick looks.
    held_back: bool,
}

impl Run {
    fn run(mut self, stopped: &mpsc::Receiver<()>) {
        let mut next = clock::now();
        loop {
            let now = clock::now();
            if next <= now {
                self.tick(now);
                // Behind, as after a suspension: no ticks are made up for.
                next = if now.since(next) > TICK { now + TICK } else { next + TICK };
            }
            match stopped.recv_timeout(next.since(clock::now())) {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let signals = self.read(now);
        for node in &mut self.nodes {
            node.tick(now, &signals);
        }
    }

    fn read(&mut self, now: Instant) -> HostSignals {
        let slow = self.slow.ticks == 0;
        if slow {
            self.host.find();
            // Below the least threshold of any node the exact figure changes nothing.
            let thresholds = self.nodes.iter().map(|node| node.of.detector.config().memory_thresholds);
            let from = thresholds.map(|[busy, ..]| busy).fold(1.0, f64::min);
            self.slow.memory = self.host.memory(from);
            self.slow.pressure_percent = self.host.pressure_percent();
            self.slow.quota = self.host.cpu_quota();
        }
        self.slow.ticks = self.slow.ticks.saturating_add(1) % SLOW_TICKS;
        if slow || self.slow.held_back {
            let before = std::mem::replace(&mut self.slow.throttled_ns, self.host.throttled_ns());
            self.slow.held_back = self.slow.throttled_ns > before || (self.slow.held_back && !slow);
        }
        let worked: Option<u64> = self
            .work
            .iter_mut()
            .map(ShardWork::worked_ns)
            .try_fold(0, |sum: u64, ns| Some(sum.saturating_add(ns?)));
        let room = CpuRoom { cores: self.work.len(), quota: self.slow.quota };
        let cpu = match worked {
            Some(worked) => self.meter.tick(now, worked, self.slow.throttled_ns, room),
            None => {
                self.meter.reset();
                None
            }
        };
        HostSignals {
            cpu_percent: cpu.map(|cpu| cpu.second),
            cpu_tick_percent: cpu.map(|cpu| cpu.tick),
            memory: self.slow.memory,
            pressure_percent: self.slow.pressure_percent,
            shared: self.host.is_shared(),
        }
    }
}

struct Node {
    of: Watched,
    state: OverloadState,
    /// What its cores know.
    told: OverloadState,
}

impl Node {
    fn new(of: Watched) -> Self {
        Self { of, state: OverloadState::Healthy, told: OverloadState::Healthy }
    }

    fn tick(&mut self, now: Instant, signals: &HostSignals) {
        let Watched { detector, cpu, gauge, samples, board, tell, .. } = &mut self.of;
        let drained = samples.iter_mut().map(SampleReader::drain).fold(Drained::default(), Drained::and);
        board.add(drained.count, drained.skipped);
        let latency_ms = drained.mean_ms();
        if let Some(mean_ms) = latency_ms {
            detector.record_latency(now, mean_ms);
        }
        let host = signals.states(detector.config(), *cpu);
        let state = detector.tick_refusing(now, host.worst(), gauge.take_refused());
        gauge.set(state);
        gauge.set_strain(detector.strain(latency_ms, signals, *cpu));
        let missing = signals.missing().map(board::bit).fold(0, |all, one| all | one);
        board.show(state, &detector.reading(), host, missing);
        if state != self.told && tell(state) {
            self.told = state;
        }
        let before = std::mem::replace(&mut self.state, state);
        if before != state {
            self.of.board.changed();
            self.log(before, host, signals);
        }
    }

    fn log(&self, before: OverloadState, host: HostStates, signals: &HostSignals) {
        let (name, state) = (&self.of.name, self.state.as_str());
        let reading = self.of.detector.reading();
        let (latency_ms, usual_ms) = (rounded(reading.mean_ms), rounded(reading.baseline_ms));
        let (delta, absolute) = (reading.delta.as_str(), reading.absolute.as_str());
        let (cpu, memory, pressure) = (host.cpu.as_str(), host.memory.as_str(), host.pressure.as_str());
        let cpu_percent = rounded(signals.cpu_percent.unwrap_or(0.0));
        let was = before.as_str();
        // Busy is nothing that anybody has to do something about.
        if self.state > before && self.state >= OverloadState::Stressed && !self.of.quiet {
            tracing::warn!(
                was,
                latency_ms,
                usual_ms,
                cpu_percent,
                delta,
                absolute,
                cpu,
                memory,
                pressure,
                "{name} is {state}"
            );
        } else {
            tracing::info!(
                was,
                latency_ms,
                usual_ms,
                cpu_percent,
                delta,
                absolute,
                cpu,
                memory,
                pressure,
                "{name} is {state}"
            );
        }
    }
}

/// For people: two digits after the point.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
