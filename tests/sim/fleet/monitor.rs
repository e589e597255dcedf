//! Who measures a node's load: the production detector, fed and asked every 100 ms by a thread that no shard holds up.

use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_reliability::{
    CpuMeter, CpuRoom, CpuRule, Drained, HostSignals, HybridOverloadDetector, OverloadConfig, OverloadState,
    Strain,
};

use super::network::Mail;
use super::{Fleet, Local, Place};

/// As production nodes have it.
const TICK: Duration = Duration::from_millis(100);

/// One node's, with its first shard.
#[derive(Debug)]
pub(crate) struct Monitor {
    detector: HybridOverloadDetector,
    /// The story says how loaded the node is, whatever was measured.
    forced: Option<OverloadState>,
    meter: CpuMeter,
}

impl Fleet {
    /// From now on every node's load is measured, also of nodes that start later.
    pub(crate) fn measure(&mut self) {
        self.measured = true;
        let running = (0..self.nodes.len()).filter(|at| self.nodes[*at].brain.is_some());
        running.collect::<Vec<_>>().into_iter().for_each(|at| self.start_monitor(at));
    }

    /// A shard starts; the first of a node has the monitor.
    pub(super) fn start_monitor(&mut self, at: Place) {
        let (shard, role) = (self.nodes[at].shard, self.nodes[at].identity.role);
        if !self.measured || shard.0 != 0 || role == Role::Client {
            return;
        }
        let detector = HybridOverloadDetector::new(OverloadConfig::default()).unwrap();
        self.nodes[at].monitor = Some(Monitor { detector, forced: None, meter: CpuMeter::default() });
        self.network.post_local(at, TICK, Mail::Tick);
    }

    /// The monitor looks. A process that stands still has none that does.
    pub(super) fn tick(&mut self, at: Place) {
        let (now, paused) = (self.network.now, self.nodes[at].life.paused_until);
        if paused > now {
            return self.network.post_local(at, paused.since(now), Mail::Tick);
        }
        self.network.post_local(at, TICK, Mail::Tick);
        let shards = self.shards_of(at);
        let (mut worked, mut drained) = (Duration::ZERO, Drained::default());
        for shard in &shards {
            let node = &mut self.nodes[*shard];
            worked += node.life.worked(now);
            drained = node.door.as_mut().map_or(drained, |door| drained.and(door.read.drain()));
        }
        let (local, role) = (self.local_now(at), self.nodes[at].identity.role);
        let Some(monitor) = &mut self.nodes[at].monitor else { return };
        let worked_ns = u64::try_from(worked.as_nanos()).unwrap();
        let room = CpuRoom { cores: shards.len(), quota: None };
        let cpu = monitor.meter.tick(local, worked_ns, 0, room);
        let cpu_percent = cpu.map(|cpu| cpu.second);
        // A worker's samples are how late its requests go out: those of the simulator's load shards never are.
        let latency_ms = drained.mean_ms().filter(|_| role != Role::Worker);
        if let Some(mean_ms) = latency_ms {
            monitor.detector.record_latency(local, mean_ms);
        }
        let rule = if role == Role::Worker { CpuRule::WorstOnly } else { CpuRule::Full };
        let cpu_tick_percent = cpu.map(|cpu| cpu.tick);
        let host = HostSignals { cpu_percent, cpu_tick_percent, ..HostSignals::default() };
        let resource = host.states(monitor.detector.config(), rule).worst();
        let gauge = self.nodes[at].door.as_ref().map(|door| door.gauge.clone()).unwrap_or_default();
        let Some(monitor) = &mut self.nodes[at].monitor else { return };
        let measured = monitor.detector.tick_refusing(local, resource, gauge.take_refused());
        let reading = monitor.detector.reading();
        let by_latency = reading.delta.max(reading.absolute);
        let state = monitor.forced.unwrap_or(measured);
        let strain =
            monitor.forced.map_or_else(|| monitor.detector.strain(latency_ms, &host, rule), strain_of);
        let before = self.state_at(at);
        gauge.set_strain(strain);
        if state == before {
            return;
        }
        self.network.marks.hit(match () {
            () if state < before => "state fell back",
            () if by_latency >= state => "state rose by latency",
            () => "state rose by cpu",
        });
        self.say(at, || format!("was measured: {cpu_percent:.0?} % of its time, {drained:?}, {reading:?}"));
        self.set_state(at, state);
        gauge.set(state);
    }

    /// All running shards of a node.
    fn shards_of(&self, at: Place) -> Vec<Place> {
        let node = self.nodes[at].identity.node;
        let same =
            |other: &Place| self.nodes[*other].identity.node == node && self.nodes[*other].door.is_some();
        (0..self.nodes.len()).filter(same).collect()
    }

    /// Whatever is measured, a node is in this state from now on, and knows it; `None`: what is measured counts again.
    pub(crate) fn load(&mut self, name: &str, state: impl Into<Option<OverloadState>>) {
        let (at, forced) = (self.place(name), state.into());
        if let Some(monitor) = &mut self.nodes[at].monitor {
            monitor.forced = forced;
        }
        if let Some(door) = &self.nodes[at].door {
            door.gauge.set_strain(forced.map_or_else(Strain::default, strain_of));
        }
        match forced {
            Some(state) => self.set_state(at, state),
            None if self.nodes[at].monitor.is_none() => self.set_state(at, OverloadState::Healthy),
            None => {}
        }
    }

    /// The node's gauge shows this, and each of its cores is told.
    fn set_state(&mut self, at: Place, state: OverloadState) {
        let shards = self.shards_of(at);
        if let Some(door) = shards.first().and_then(|shard| self.nodes[*shard].door.as_ref()) {
            door.gauge.set(state);
        }
        self.ask_at(at, state);
    }

    /// The node's cores are told of this state, and ask for fewer statistics; what comes is not shed.
    pub(crate) fn ask(&mut self, name: &str, state: OverloadState) {
        self.ask_at(self.place(name), state);
    }

    fn ask_at(&mut self, at: Place, state: OverloadState) {
        for shard in self.shards_of(at) {
            let number = state.to_wire();
            let told = match self.nodes[shard].identity.role {
                Role::Gate => Local::Gate(hyperscale_gate::Local::Overload(number)),
                Role::Manager => Local::Manager(hyperscale_manager::Local::Overload(number)),
                Role::Worker => Local::Worker(hyperscale_worker::Local::Overload(number)),
                Role::Client => continue,
            };
            self.say(shard, || format!("is {} now", state.as_str()));
            self.tell(shard, told);
        }
    }

    fn state_at(&self, at: Place) -> OverloadState {
        self.nodes[at].door.as_ref().map_or(OverloadState::Healthy, |door| door.gauge.state())
    }

    /// How loaded a node is.
    pub(crate) fn state(&self, name: &str) -> OverloadState {
        self.state_at(self.place(name))
    }
}

/// A state that is told and not measured refuses without exception.
fn strain_of(forced: OverloadState) -> Strain {
    if forced == OverloadState::Healthy { Strain::default() } else { Strain::of(2.0, 1.0) }
}
