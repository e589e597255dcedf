//! The heartbeats of one link: numbered, and with the times by which both ends compare their clocks.

use std::time::Duration;

use hyperscale_codec::messages::ClockReading;
use hyperscale_core::{Instant, WallClock};

use crate::clock::{ClockOffset, OffsetFilter};

/// A node says on each link that it lives so often.
pub const BEAT: Duration = Duration::from_millis(500);

/// [`BEAT`] as it travels.
#[must_use]
pub const fn beat_ms() -> u32 {
    500
}

/// One link's heartbeats, both ways.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    sent: u32,
    /// The peer's last `sent_ns`, and when it came.
    heard: Option<(u64, Instant)>,
    offset: OffsetFilter,
    /// What the peer said of itself: whether it takes work, its overload state.
    accepting: Option<bool>,
    overload: u8,
}

impl Pulse {
    /// Number and clock reading of the next heartbeat.
    pub fn next(&mut self, now: Instant, wall: WallClock) -> (u32, ClockReading) {
        self.sent = self.sent.wrapping_add(1);
        let (echo_ns, held_ns) = self.heard.map_or((0, 0), |(sent, at)| (sent, now.nanos_since(at)));
        (self.sent, ClockReading { sent_ns: wall.unix_ns(now), echo_ns, held_ns })
    }

    /// Takes the peer's heartbeat in.
    pub fn hear(
        &mut self,
        now: Instant,
        wall: WallClock,
        reading: ClockReading,
        accepting: bool,
        overload: u8,
    ) {
        self.heard = Some((reading.sent_ns, now));
        self.offset.take(reading, wall.unix_ns(now));
        self.accepting = Some(accepting);
        self.overload = overload;
    }

    /// How long nothing was heard. Forever, before the first heartbeat.
    #[must_use]
    pub fn silent_for(&self, now: Instant) -> Duration {
        self.heard.map_or(Duration::MAX, |(_, at)| now.since(at))
    }

    /// Whether the peer takes new work; before its first heartbeat it is taken at its registration's word.
    #[must_use]
    pub fn accepting(&self) -> bool {
        self.accepting.unwrap_or(true)
    }

    /// The peer's overload state as it told it, 0 to 3.
    #[must_use]
    pub fn overload(&self) -> u8 {
        self.overload
    }

    /// How far the peer's clock is off.
    #[must_use]
    pub fn clock(&self) -> Option<ClockOffset> {
        self.offset.best()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ends_find_each_others_clock() {
        let (a_wall, b_wall) = (
            WallClock { unix_ms: 1_000_000, at: Instant::ZERO },
            // Its host booted 5 s later, and its wall clock is 30 ms ahead.
            WallClock { unix_ms: 1_000_030, at: Instant(7) },
        );
        let (mut a, mut b) = (Pulse::default(), Pulse::default());
        for beat in 1..4_u64 {
            let at = beat * 500_000_000;
            let (_, reading) = a.next(Instant(at), a_wall);
            b.hear(Instant(at + 1_000 + 7), b_wall, reading, true, 0);
            let (_, reading) = b.next(Instant(at + 200_000 + 7), b_wall);
            a.hear(Instant(at + 201_000), a_wall, reading, false, 2);
        }
        let clock = a.clock().unwrap();
        assert_eq!((clock.offset_ns, clock.round_trip), (30_000_000, Duration::from_micros(2)));
        assert_eq!((a.accepting(), a.overload(), b.accepting()), (false, 2, true));
    }
}
