use super::*;

const S: Duration = Duration::from_secs(1);
const NOTHING: Wanted = Wanted { windows: false, snapshot: false, again: false };
const WINDOWS: Wanted = Wanted { windows: true, snapshot: false, again: false };
const SNAPSHOT: Wanted = Wanted { windows: false, snapshot: true, again: false };
const BOTH: Wanted = Wanted { windows: true, snapshot: true, again: false };

/// Windows of a second; each that is sent gets its receipt at once, or none does.
struct Sender {
    pace: StatsPace,
    k: u32,
    told: Option<BackpressureLevel>,
}

impl Sender {
    fn new(told: Option<BackpressureLevel>) -> Self {
        Self { pace: StatsPace::new(S, Instant::ZERO, 3), k: 0, told }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + S * self.k
    }

    /// The next window is over; what goes then, or before the one after is.
    fn window(&mut self) -> Wanted {
        let to = self.k;
        self.k += 1;
        let mut wanted = self.pace.poll(self.now(), to, true);
        if wanted == NOTHING && self.pace.due.is_some_and(|due| due < self.now() + S) {
            let later = self.now() + Duration::from_millis(999);
            wanted = self.pace.poll(later, to, true);
        }
        if let Some(level) = self.told.filter(|_| wanted.any()) {
            self.pace.on_ack(self.now(), level, Duration::from_millis(level.delay_ms().into()), true);
        }
        wanted
    }

    fn windows(&mut self, n: usize) -> Vec<Wanted> {
        (0..n).map(|_| self.window()).collect()
    }
}

#[test]
fn a_message_a_window_and_a_snapshot_every_ten_seconds() {
    let mut sender = Sender::new(Some(BackpressureLevel::None));
    let sent = sender.windows(30);
    for (at, wanted) in sent.iter().enumerate() {
        assert_eq!(*wanted, if at % 10 == 9 { BOTH } else { WINDOWS }, "window {at}");
    }
}

#[test]
fn a_throttled_sender_sends_every_second_window_and_a_batching_one_every_fifth() {
    for (level, every) in [(BackpressureLevel::Throttle, 2), (BackpressureLevel::Batch, 5)] {
        let mut sender = Sender::new(Some(level));
        assert_eq!(sender.window(), WINDOWS);
        let sent = sender.windows(39);
        for (at, wanted) in (1..).zip(sent) {
            assert_eq!(wanted.windows, (at + 1) % every == 0, "{level:?}, window {at}");
        }
    }
}

#[test]
fn a_rejected_sender_closes_its_windows_and_then_sends_snapshots_alone() {
    let mut sender = Sender::new(Some(BackpressureLevel::Reject));
    assert_eq!(sender.windows(2), [WINDOWS, BOTH]);
    let sent = sender.windows(38);
    let snapshots = sent.iter().filter(|wanted| **wanted == SNAPSHOT).count();
    assert!((3..=4).contains(&snapshots), "{snapshots}");
    assert!(sent.iter().all(|wanted| !wanted.windows));
}

#[test]
fn without_receipts_it_slows_down_step_by_step_and_sends_all_again() {
    let mut sender = Sender::new(None);
    let sent = sender.windows(120);
    // Two messages, then nothing until the first one is three intervals old.
    assert_eq!(sent[..4], [WINDOWS, WINDOWS, NOTHING, Wanted { again: true, ..BOTH }]);
    assert_eq!(sender.pace.level(), BackpressureLevel::Reject);
    let after = &sent[60..];
    assert!(after.iter().all(|wanted| !wanted.windows));
    assert!(after.iter().filter(|wanted| wanted.snapshot).count() >= 2);
    // And recovers with the first receipt.
    sender.told = Some(BackpressureLevel::None);
    let now = sender.now();
    sender.pace.on_ack(now, BackpressureLevel::None, Duration::ZERO, true);
    assert!(sender.window().windows);
}

#[test]
fn at_most_two_messages_wait_for_a_receipt() {
    let mut sender = Sender::new(None);
    let sent = sender.windows(3);
    assert_eq!(sent, [WINDOWS, WINDOWS, NOTHING]);
}

#[test]
fn who_lacks_something_gets_a_snapshot_with_the_next_window() {
    let mut sender = Sender::new(Some(BackpressureLevel::Throttle));
    sender.windows(3);
    sender.pace.want_snapshot();
    assert!(sender.window().snapshot);
    assert!(!sender.window().snapshot);
}

#[test]
fn a_delay_is_waited_for_and_spread() {
    let mut pace = StatsPace::new(S, Instant::ZERO, 3);
    let mut waits = Vec::new();
    for k in (1..41).step_by(2) {
        let now = Instant::ZERO + S * (k + 1);
        pace.on_ack(now, BackpressureLevel::Throttle, Duration::from_millis(100), true);
        assert_eq!(pace.poll(now, k, true), NOTHING);
        let due = pace.next_deadline().unwrap();
        assert!(pace.poll(due, k, true).windows);
        waits.push(due.since(now));
    }
    waits.sort();
    let within = |ms: &Duration| (Duration::from_millis(90)..=Duration::from_millis(110)).contains(ms);
    assert!(waits.iter().all(within), "{waits:?}");
    assert!(waits[0] < waits[19]);
}

#[test]
fn who_passes_windows_on_has_no_totals_to_tell() {
    let mut sender = Sender::new(Some(BackpressureLevel::Reject));
    sender.pace = StatsPace::new(S, Instant::ZERO, 3).of_windows();
    assert_eq!(sender.windows(4), [WINDOWS; 4]);
    assert!(sender.windows(40).iter().all(|wanted| !wanted.any()));
    assert!(!sender.pace.takes_windows());
}

#[test]
fn where_nothing_waits_nothing_goes() {
    let mut pace = StatsPace::new(S, Instant::ZERO, 3);
    assert_eq!(pace.poll(Instant::ZERO + S * 20, 19, false), NOTHING);
    assert_eq!(pace.next_deadline(), None);
    pace.want_snapshot();
    assert_eq!(pace.poll(Instant::ZERO + S * 21, 20, false), Wanted { again: true, ..SNAPSHOT });
}
