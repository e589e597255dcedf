use hyperscale_reliability::{OverloadConfig, SampleWriter, sample_buffer};

use super::*;

fn watched(cpu: CpuRule, tell: TellState) -> (Watched, SampleWriter) {
    let (writer, reader) = sample_buffer();
    let detector = HybridOverloadDetector::new(OverloadConfig::default()).unwrap();
    let name = "gate g1".to_owned();
    let (gauge, board) = (LoadGauge::default(), Arc::default());
    (Watched { name, detector, cpu, gauge, samples: vec![reader], board, tell, quiet: false }, writer)
}

const IDLE: HostSignals = HostSignals {
    cpu_percent: Some(0.0),
    cpu_tick_percent: Some(0.0),
    memory: None,
    pressure_percent: None,
    shared: false,
};

#[test]
fn slow_requests_reach_the_gauge_the_cores_and_the_board() {
    let (tell, told) = mpsc::channel();
    let (watched, writer) = watched(CpuRule::Full, Box::new(move |state| tell.send(state).is_ok()));
    let (gauge, board) = (watched.gauge.clone(), Arc::clone(&watched.board));
    let mut node = Node::new(watched);
    writer.record(Duration::from_millis(600));
    node.tick(Instant(1), &IDLE);
    assert_eq!(
        (gauge.state(), board.state(), board.changes()),
        (OverloadState::Stressed, OverloadState::Stressed, 1)
    );
    assert_eq!((board.mean_ms(), board.samples(), board.skipped()), (600.0, 1, 0));
    let absolute = board.signals().find(|(signal, _)| *signal == "absolute");
    assert_eq!(absolute, Some(("absolute", OverloadState::Stressed)));
    assert_eq!(board.missing().filter(|(_, missing)| *missing).count(), 2);
    node.tick(Instant(2), &IDLE);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [OverloadState::Stressed], "said once");
}

#[test]
fn cores_that_could_not_be_told_are_told_at_the_next_tick() {
    let (tell, told) = mpsc::channel();
    let mut room = false;
    let tell = move |state| {
        let _listening = tell.send((state, room));
        std::mem::replace(&mut room, true)
    };
    let (watched, _writer) = watched(CpuRule::Full, Box::new(tell));
    let mut node = Node::new(watched);
    let full = HostSignals { cpu_percent: Some(99.0), ..IDLE };
    (1..=4).for_each(|tick| node.tick(Instant(tick), &full));
    let overloaded = OverloadState::Overloaded;
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(overloaded, false), (overloaded, true)]);
}

#[test]
fn a_monitor_reads_this_host_and_ends_when_it_is_dropped() {
    let (watched, _writer) = watched(CpuRule::Off, Box::new(|_| true));
    let board = Arc::clone(&watched.board);
    let mut work = ShardWork::of_this_thread(Arc::default());
    assert!(work.worked_ns().is_some());
    drop(Monitor::start(vec![watched], vec![work]).unwrap());
    assert_eq!(board.state(), OverloadState::Healthy);
}

#[test]
fn the_memory_of_this_host_is_less_than_it_has() {
    let mut host = Host::default();
    host.find();
    let memory = host.memory(0.0).unwrap();
    assert!(memory.used_bytes > 0 && memory.used_bytes < memory.total_bytes, "{memory:?}");
    let first = host.throttled_ns();
    assert!(host.throttled_ns() >= first);
}
