//! The line a running job prints each second.

use std::fmt::Write as _;

use hyperscale_codec::messages::JobStatusPush;

use crate::numbers::{grouped, ms, rate, short_time};
use crate::style::{Style, Tone};

/// Lateness from which a line mentions it: the user should not learn only at the end that requests wait.
const LATE_NS: u64 = 1_000_000;

/// A shorter piece of a window says nothing of a rate: the last requests of a job end just after its last second.
const RATE_FROM_MS: u64 = 100;

/// One window's figures: `12s 4,031/s p99 8.1ms err 0 in-flight 26`. Those of a time twice as long as `window_ms`, or
/// longer, say so: `20s 4,031/s over 10s p99 8.1ms err 0 in-flight 26`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn progress_line(push: &JobStatusPush, window_ms: u64, style: Style) -> String {
    let at = if push.to_ms.is_multiple_of(1000) {
        format!("{}s", push.to_ms / 1000)
    } else {
        format!("{:.1}s", push.to_ms as f64 / 1e3)
    };
    let shown_ms = push.to_ms.saturating_sub(push.from_ms);
    let p99 = if push.p99_ns == 0 { "n/a".to_owned() } else { short_time(ms(push.p99_ns)) };
    let errors = format!("err {}", grouped(push.errors));
    let errors = style.paint(if push.errors > 0 { Tone::Bad } else { Tone::Plain }, &errors);
    let mut line = at;
    // A string takes everything that is written to it.
    if shown_ms >= RATE_FROM_MS {
        let per_s = format!("{}/s", rate(push.requests as f64 * 1e3 / shown_ms as f64));
        let _ = write!(line, " {}", style.paint(Tone::Strong, &per_s));
    }
    if shown_ms >= window_ms.saturating_mul(2) {
        let over = format!("over {}", short_time(shown_ms as f64));
        let _ = write!(line, " {}", style.paint(Tone::Warn, &over));
    }
    let _ = write!(line, " p99 {p99} {errors} in-flight {}", grouped(push.in_flight));
    if push.dropped > 0 {
        let dropped = format!("dropped {}", grouped(push.dropped));
        let _ = write!(line, " {}", style.paint(Tone::Warn, &dropped));
    }
    if push.lateness_p99_ns > LATE_NS {
        let late = format!("lateness p99 {}", short_time(ms(push.lateness_p99_ns)));
        let _ = write!(line, " {}", style.paint(Tone::Warn, &late));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second() -> JobStatusPush {
        JobStatusPush {
            job: [0; 16],
            fence_token: 1,
            seq: 1,
            state: 4,
            from_ms: 11_000,
            to_ms: 12_000,
            requests: 4_031,
            errors: 0,
            dropped: 0,
            bytes_in: 0,
            p50_ns: 0,
            p99_ns: 8_100_000,
            max_ns: 0,
            lateness_p99_ns: 40_000,
            total_requests: 0,
            total_errors: 0,
            in_flight: 26,
            events: Vec::new(),
            latency: None,
        }
    }

    #[test]
    fn a_good_second_is_one_short_line() {
        assert_eq!(
            progress_line(&second(), 1_000, Style::plain()),
            "12s 4,031/s p99 8.1ms err 0 in-flight 26"
        );
    }

    #[test]
    fn drops_and_lateness_are_mentioned() {
        let bad = JobStatusPush { dropped: 1_200, lateness_p99_ns: 3_000_000, errors: 7, ..second() };
        assert_eq!(
            progress_line(&bad, 1_000, Style::plain()),
            "12s 4,031/s p99 8.1ms err 7 in-flight 26 dropped 1,200 lateness p99 3ms"
        );
        assert!(
            progress_line(&bad, 1_000, Style { color: true, ..Style::plain() })
                .contains("\x1b[1;31merr 7\x1b[0m")
        );
    }

    #[test]
    fn a_short_window_has_the_rate_over_its_own_length() {
        let half =
            JobStatusPush { from_ms: 0, to_ms: 500, requests: 10, p99_ns: 0, in_flight: 0, ..second() };
        assert_eq!(progress_line(&half, 1_000, Style::plain()), "0.5s 20.0/s p99 n/a err 0 in-flight 0");
        let merged = JobStatusPush { from_ms: 1000, to_ms: 2500, requests: 30, ..half };
        assert_eq!(progress_line(&merged, 1_000, Style::plain()), "2.5s 20.0/s p99 n/a err 0 in-flight 0");
    }

    #[test]
    fn a_line_over_more_than_a_window_says_over_how_long() {
        let coarse = JobStatusPush { from_ms: 2_000, requests: 40_310, ..second() };
        let line = "12s 4,031/s over 10s p99 8.1ms err 0 in-flight 26";
        assert_eq!(progress_line(&coarse, 1_000, Style::plain()), line);
        assert!(!progress_line(&coarse, 10_000, Style::plain()).contains("over"));
    }

    #[test]
    fn a_piece_too_short_for_a_rate_has_none_and_divides_by_nothing() {
        let tail = JobStatusPush { from_ms: 3000, to_ms: 3001, requests: 2, in_flight: 0, ..second() };
        assert_eq!(progress_line(&tail, 1_000, Style::plain()), "3.0s p99 8.1ms err 0 in-flight 0");
        let silent = JobStatusPush { from_ms: 0, to_ms: 0, requests: 0, p99_ns: 0, in_flight: 0, ..second() };
        assert_eq!(progress_line(&silent, 1_000, Style::plain()), "0s p99 n/a err 0 in-flight 0");
    }
}
