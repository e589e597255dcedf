use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

fn fill(windows: u32) -> StatsFill {
    StatsFill { windows: (windows, 1_000), ..StatsFill::default() }
}

#[test]
fn the_level_of_a_fill() {
    let levels = [0, 699, 700, 849, 850, 950, 951, 1_000, u32::MAX].map(get_backpressure_level);
    use BackpressureLevel::{Batch, None, Reject, Throttle};
    assert_eq!(levels, [None, None, Throttle, Throttle, Batch, Batch, Reject, Reject, Reject]);
}

#[test]
fn a_loaded_node_asks_for_less_and_later() {
    let asked = OverloadState::ALL.map(BackpressureLevel::floor);
    assert_eq!(asked.map(BackpressureLevel::to_wire), [0, 1, 2, 3]);
    assert_eq!(asked.map(BackpressureLevel::delay_ms), [0, 100, 500, 1_000]);
    assert_eq!(asked.map(BackpressureLevel::windows), [1, 2, 5, 10]);
}

#[test]
fn a_level_travels_and_an_unknown_one_is_read_as_batch() {
    for level in BackpressureLevel::ALL {
        assert_eq!(BackpressureLevel::from_wire(level.to_wire()), level);
    }
    assert_eq!(BackpressureLevel::from_wire(4), BackpressureLevel::Batch);
}

#[test]
fn it_rises_at_once_and_falls_one_step_a_second_well_under_its_bound() {
    let mut node = Backpressure::default();
    let mut now = Instant::ZERO + S;
    node.rise(now, fill(951));
    assert_eq!(node.level(), BackpressureLevel::Reject);
    // 0.902 is not 0.05 under 0.951, 0.901 is; 0.801 is not 0.05 under 0.850, 0.800 is.
    let mut levels = Vec::new();
    for permille in [902, 901, 801, 800, 651, 650, 0] {
        now = now + S;
        node.tick(now, fill(permille));
        levels.push(node.level().to_wire());
    }
    assert_eq!(levels, [3, 2, 2, 1, 1, 0, 0]);
}

#[test]
fn it_does_not_fall_twice_within_a_second() {
    let mut node = Backpressure::default();
    let now = Instant::ZERO + S;
    node.rise(now, fill(1_000));
    let mut steps = Vec::new();
    for ms in (0..=3_000).step_by(250) {
        node.tick(now + Duration::from_millis(ms), fill(0));
        steps.push(node.level().to_wire());
    }
    assert_eq!(steps, [3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0]);
}

#[test]
fn a_state_is_a_floor_and_what_it_asked_for_falls_step_by_step() {
    let mut node = Backpressure::default();
    let now = Instant::ZERO + S;
    node.set_state(now, OverloadState::Stressed);
    assert_eq!(node.level(), BackpressureLevel::Batch);
    // Well again: what it asked for falls as from a fill.
    node.set_state(now + S, OverloadState::Healthy);
    assert_eq!(node.level(), BackpressureLevel::Batch);
    node.tick(now + S * 2, fill(0));
    node.tick(now + S * 3, fill(0));
    assert_eq!(node.level(), BackpressureLevel::None);
}

#[test]
fn the_fullest_part_decides() {
    assert_eq!(StatsFill::windows_max(S), 75);
    assert_eq!(StatsFill::windows_max(Duration::from_millis(100)), 750);
    assert_eq!(StatsFill::windows_max(Duration::from_millis(50)), 1_000);
    assert_eq!(StatsFill::windows_max(S * 10), 7);
    let full = StatsFill { windows: (30, 75), bytes: 31 << 20 };
    assert_eq!(full.permille(), 968);
    assert_eq!(StatsFill { bytes: 0, ..full }.permille(), 400);
    assert_eq!(StatsFill::default().permille(), 0);
    // All of a minute of windows, and no more than that.
    assert_eq!(StatsFill::of_windows(60, S).permille(), 800);
    assert_eq!(StatsFill::of_windows(u32::MAX, S).permille(), 800);
    let either = StatsFill::of_windows(30, S).or(StatsFill::of_windows(375, Duration::from_millis(100)));
    assert_eq!(either.permille(), 500);
    assert_eq!(StatsFill::default().or(StatsFill::of_windows(30, S)).permille(), 400);
}

proptest! {
    #[test]
    fn a_fuller_buffer_never_asks_for_more(a in 0_u32..2_000, b in 0_u32..2_000) {
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(get_backpressure_level(low) <= get_backpressure_level(high));
    }

    #[test]
    fn a_node_never_asks_for_more_than_its_fill_and_its_state_allow(
        steps in prop::collection::vec((0_u64..3_000, 0_u32..1_200, 0_u8..4), 1..100),
    ) {
        let (mut node, mut now) = (Backpressure::default(), Instant::ZERO);
        for (ms, permille, state) in steps {
            now = now + Duration::from_millis(ms);
            let state = OverloadState::from_wire(state);
            node.set_state(now, state);
            let before = node.level();
            node.tick(now, fill(permille));
            prop_assert!(node.level() >= get_backpressure_level(permille));
            prop_assert!(node.level() >= BackpressureLevel::floor(state));
            prop_assert!(node.level().to_wire() + 1 >= before.to_wire());
        }
    }
}
