#![allow(clippy::arithmetic_side_effects, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use OverloadState::{Busy, Healthy, Overloaded, Stressed};

const TICK: Duration = Duration::from_millis(100);

/// A detector and its clock.
struct Bench {
    detector: HybridOverloadDetector,
    now: Instant,
}

impl Bench {
    fn new(config: OverloadConfig) -> Self {
        Self { detector: HybridOverloadDetector::new(config).unwrap(), now: Instant(1_000_000_000) }
    }

    fn normal() -> Self {
        Self::new(OverloadConfig::default())
    }

    fn input(&mut self, latency_ms: f64) -> OverloadState {
        self.detector.record_latency(self.now, latency_ms);
        self.nothing()
    }

    /// A tick without samples.
    fn nothing(&mut self) -> OverloadState {
        let state = self.detector.get_state(self.now, 0.0, 0.0);
        self.now = self.now + TICK;
        state
    }

    /// The state changes at these inputs, counted from 1, as the specification writes them.
    fn changes(mut self, inputs: impl IntoIterator<Item = f64>) -> String {
        let (mut said, mut changes) = (None, Vec::new());
        for (at, latency_ms) in (1..).zip(inputs) {
            let state = self.input(latency_ms);
            if said.replace(state) != Some(state) {
                changes.push(format!("{}@{at}", ["H", "B", "S", "O"][usize::from(state.to_wire())]));
            }
        }
        changes.join(" ")
    }
}

fn times<const N: usize>(parts: [(f64, usize); N]) -> Vec<f64> {
    parts.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count)).collect()
}

fn growing(by: f64, count: i32) -> Vec<f64> {
    let mut inputs = times([(50.0, 40)]);
    inputs.extend((1..=count).map(|step| 50.0 * (1.0 + by).powi(step)));
    inputs
}

#[test]
fn the_vectors_of_the_specification_come_out_in_both_configurations() {
    let vectors: [(&str, Vec<f64>, &str, &str); 11] = [
        ("50x200", times([(50.0, 200)]), "H@1", "H@1"),
        ("50x40, 80x400", times([(50.0, 40), (80.0, 400)]), "H@1", "H@1 B@44 S@49 B@81 H@312"),
        ("50x40, 100x600", times([(50.0, 40), (100.0, 600)]), "H@1 B@50 H@51", "H@1 B@43 S@46 B@110 H@456"),
        (
            "50x40, 150x600",
            times([(50.0, 40), (150.0, 600)]),
            "H@1 B@48 H@54",
            "H@1 B@42 S@43 O@46 S@98 B@138 S@149 B@174 H@599",
        ),
        (
            "50x40, 3000x10, 50x100",
            times([(50.0, 40), (3000.0, 10), (50.0, 100)]),
            "H@1 B@41 S@42 O@47 S@54 B@59 H@60",
            "H@1 O@41 S@78 H@79",
        ),
        (
            "50x40, 500x1, 50x60",
            times([(50.0, 40), (500.0, 1), (50.0, 60)]),
            "H@1 B@46 H@51",
            "H@1 S@41 H@70",
        ),
        ("50x40, +1 % x199", growing(0.01, 199), "H@1 B@184", "H@1 B@87 S@138 B@158 S@159"),
        ("50x40, +0.2 % x899", growing(0.002, 899), "H@1 B@739", "H@1 B@219"),
        ("600x30", times([(600.0, 30)]), "S@1", "S@1"),
        ("0.1x40, 0.5x60", times([(0.1, 40), (0.5, 60)]), "H@1", "H@1"),
        ("2x40, 12x300", times([(2.0, 40), (12.0, 300)]), "H@1 B@47 H@56", "H@1 B@43"),
    ];
    for (name, inputs, plain, ours) in vectors {
        assert_eq!(Bench::new(OverloadConfig::plain()).changes(inputs.clone()), plain, "{name}, plain");
        assert_eq!(Bench::normal().changes(inputs), ours, "{name}");
    }
}

/// What a node sees, and what its detector makes of it: the worst state, how many samples after the trouble began it
/// was first said to be busy or worse, and the state at the end.
#[test]
fn traces_end_where_they_should_and_are_noticed_in_time() {
    let mut rng = SmallRng::seed_from_u64(18);
    let mut noisy = |mean: f64, spread: f64, count: usize| -> Vec<f64> {
        (0..count).map(|_| mean + spread * normal(&mut rng)).collect()
    };
    let sawtooth = (0..300_u32).map(|step| 50.0 + f64::from(step % 30) * 10.0);
    let bimodal = (0..300_u32).map(|step| if step % 2 == 0 { 20.0 } else { 60.0 });
    let ramp = (0..100_u32).map(|step| 50.0 + f64::from(step) * 5.0);
    let usual = || times([(50.0, 40)]);
    let then = |more: Vec<f64>| [usual(), more].concat();
    type Row = (&'static str, Vec<f64>, OverloadState, Option<usize>, OverloadState);
    let table: [Row; 9] = [
        ("step", then(times([(200.0, 100)])), Overloaded, Some(1), Stressed),
        ("ramp", then(ramp.collect()), Overloaded, Some(7), Overloaded),
        ("spike", then(times([(400.0, 1), (50.0, 40)])), Stressed, Some(1), Healthy),
        ("sawtooth", then(sawtooth.collect()), Overloaded, Some(6), Stressed),
        ("noisy", noisy(50.0, 5.0, 3000), Healthy, None, Healthy),
        ("bimodal", bimodal.collect(), Healthy, None, Healthy),
        ("slow from the start", times([(300.0, 40)]), Busy, Some(1), Busy),
        ("cold start", times([(400.0, 3), (50.0, 60)]), Busy, Some(1), Healthy),
        ("far too slow", then(times([(5000.0, 20)])), Overloaded, Some(1), Overloaded),
    ];
    for (name, inputs, worst, noticed, last) in table {
        let begin = if inputs.starts_with(&usual()) { 40 } else { 0 };
        let mut bench = Bench::normal();
        let states: Vec<OverloadState> = inputs.into_iter().map(|input| bench.input(input)).collect();
        let seen = states.iter().position(|state| *state > Healthy).map(|at| at + 1 - begin);
        let end = states.last().copied().unwrap();
        assert_eq!((states.into_iter().max().unwrap(), seen, end), (worst, noticed, last), "{name}");
    }
}

/// Near enough to a normal number of mean 0 and deviation 1.
fn normal(rng: &mut SmallRng) -> f64 {
    (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0
}

#[test]
fn noise_that_stays_as_it_is_changes_the_state_twice_at_most() {
    for seed in 0..50 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut bench = Bench::normal();
        let (mut said, mut changes) = (Healthy, 0);
        for input in 0..3040 {
            let latency_ms = if input < 40 { 50.0 } else { 60.0 + 6.0 * normal(&mut rng) };
            let state = bench.input(latency_ms);
            changes += u32::from(said != state);
            said = state;
        }
        assert!(changes <= 2, "seed {seed}: {changes} changes in 300 s");
    }
}

#[test]
fn of_all_three_signals_the_worst_wins() {
    // A constant latency gives the absolute state; the delta is put in its place, as only latency could bring it.
    for absolute in [(50.0, Healthy), (300.0, Busy), (600.0, Stressed), (3000.0, Overloaded)] {
        for delta in OverloadState::ALL {
            for (cpu, resource) in [(0.0, Healthy), (80.0, Busy), (90.0, Stressed), (99.0, Overloaded)] {
                let mut bench = Bench::normal();
                bench.detector.record_latency(bench.now, absolute.0);
                bench.detector.delta = delta;
                let state = bench.detector.get_state(bench.now, cpu, 0.0);
                assert_eq!(state, absolute.1.max(delta).max(resource), "{absolute:?} {delta:?} {resource:?}");
                assert_eq!(bench.detector.state(), state);
            }
        }
    }
}

#[test]
fn full_cpus_or_memory_say_so_without_any_latency() {
    for (cpu, memory, wanted) in [
        (70.0, 0.0, Healthy),
        (70.1, 0.0, Busy),
        (85.1, 0.0, Stressed),
        (95.1, 0.0, Overloaded),
        (10.0, 96.0, Overloaded),
        (f64::NAN, f64::NAN, Healthy),
        (-1.0, -1e300, Healthy),
        (1e300, 0.0, Overloaded),
    ] {
        let mut bench = Bench::normal();
        assert_eq!(bench.detector.get_state(bench.now, cpu, memory), wanted, "{cpu} {memory}");
    }
}

#[test]
fn numbers_that_are_none_are_dropped_and_counted_and_the_rest_is_cut_to_an_hour() {
    let mut bench = Bench::normal();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(bench.input(bad), Healthy);
    }
    assert_eq!((bench.detector.reading().dropped, bench.detector.reading().mean_ms), (3, 0.0));
    assert_eq!(bench.input(-5.0), Healthy);
    assert_eq!(bench.detector.reading().mean_ms, 0.0);
    let mut huge = Bench::normal();
    assert_eq!(huge.input(f64::MAX), Overloaded);
    assert_eq!(huge.detector.reading().mean_ms, 3_600_000.0);
}

#[test]
fn nothing_divides_by_a_baseline_of_zero() {
    let mut bench = Bench::normal();
    for _ in 0..60 {
        assert_eq!(bench.input(0.0), Healthy);
    }
    let mut plain = Bench::new(OverloadConfig::plain());
    for _ in 0..60 {
        assert_eq!(plain.input(0.0), Healthy);
    }
}

#[test]
fn a_state_is_kept_for_two_seconds_after_its_reason() {
    let mut bench = Bench::normal();
    let mut host = |cpu| {
        bench.now = bench.now + TICK;
        bench.detector.get_state(bench.now, cpu, 0.0)
    };
    assert_eq!(host(99.0), Overloaded);
    assert_eq!(host(90.0), Overloaded);
    let after: Vec<OverloadState> = (0..30).map(|_| host(0.0)).collect();
    assert!(after[..18].iter().all(|state| *state == Overloaded), "{after:?}");
    assert_eq!((after[18], after[19]), (Stressed, Healthy), "{after:?}");
}

#[test]
fn ticks_without_samples_keep_the_latency_and_run_the_hold_until_five_seconds_of_silence() {
    let mut bench = Bench::normal();
    for _ in 0..40 {
        let _warm = bench.input(50.0);
    }
    for _ in 0..10 {
        let _slow = bench.input(700.0);
    }
    // The last input is the first of these 5 s.
    for tick in 0..49 {
        assert_eq!(bench.nothing(), Overloaded, "{tick}");
    }
    let baseline = bench.detector.reading().baseline_ms;
    let states: Vec<OverloadState> = (0..30).map(|_| bench.nothing()).collect();
    assert_eq!(bench.detector.reading().mean_ms, 0.0);
    assert!(states[..19].iter().all(|state| *state == Overloaded), "the hold: {states:?}");
    assert!(states[19..].iter().all(|state| *state == Healthy), "{states:?}");
    // What is usual is still known: the next slow one shows at once.
    assert_eq!(bench.detector.reading().baseline_ms, baseline);
    assert_eq!(bench.input(400.0), Overloaded);
}

#[test]
fn a_clock_that_goes_back_stands_still_and_one_that_jumps_was_silent() {
    let mut bench = Bench::normal();
    for _ in 0..10 {
        let _warm = bench.input(50.0);
    }
    bench.now = Instant(5);
    assert_eq!(bench.input(50.0), Healthy);
    assert_eq!(bench.detector.reading().mean_ms, 50.0);
    bench.now = bench.now + Duration::from_secs(6);
    let _first_after = bench.input(10.0);
    assert_eq!(bench.detector.reading().mean_ms, 10.0);
    bench.now = Instant(u64::MAX);
    assert_eq!(bench.input(50.0), Healthy);
}

#[test]
fn a_silence_before_anything_is_usual_leaves_it_unknown() {
    let mut bench = Bench::normal();
    for _ in 0..5 {
        let _few = bench.input(50.0);
    }
    bench.now = bench.now + Duration::from_secs(60);
    for _ in 0..9 {
        assert_eq!(bench.input(150.0), Healthy);
        assert_eq!(bench.detector.reading().baseline_ms, 0.0);
    }
    let _tenth = bench.input(150.0);
    assert_eq!(bench.detector.reading().baseline_ms, 150.0);
}

proptest! {
    #[test]
    fn any_burst_over_the_baseline_ends_healthy(burst in proptest::collection::vec(50.0..1e9_f64, 1..=20)) {
        let mut bench = Bench::normal();
        for _ in 0..40 {
            let _usual = bench.input(50.0);
        }
        for input in burst {
            let _burst = bench.input(input);
        }
        for _ in 0..29 {
            let _usual = bench.input(50.0);
        }
        prop_assert_eq!(bench.input(50.0), Healthy);
    }

    #[test]
    fn no_number_makes_the_state_or_the_reading_nonsense(
        inputs in proptest::collection::vec((any::<f64>(), any::<f64>(), any::<f64>(), any::<u64>()), 0..200),
        plain in any::<bool>(),
    ) {
        let config = if plain { OverloadConfig::plain() } else { OverloadConfig::default() };
        let mut detector = HybridOverloadDetector::new(config).unwrap();
        for (latency_ms, cpu, memory, now) in inputs {
            detector.record_latency(Instant(now), latency_ms);
            let _any_state = detector.get_state(Instant(now), cpu, memory);
            let reading = detector.reading();
            prop_assert!((0.0..=3_600_000.0).contains(&reading.mean_ms), "{:?}", reading);
            prop_assert!((0.0..=3_600_000.0).contains(&reading.baseline_ms), "{:?}", reading);
        }
    }
}
