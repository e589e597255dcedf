//! What a request or an iteration leaves behind.

use hyperscale_codec::messages::ErrorKind;
use hyperscale_core::{ConnError, Instant};

use super::EngineShard;
use super::share::LATE_NS;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A whole answer with this status.
    Answered(u16),
    /// Its time ran out after it was sent.
    TimedOut,
    Failed(ErrorKind),
    /// Cut at the end.
    Cancelled,
}

impl EngineShard {
    /// Reports windows that ended before `now`, so that what is recorded next falls in its own.
    #[inline]
    pub(super) fn turn_window(&mut self, s: usize, now: Instant) {
        if now >= self.shares[s].window_end {
            let report = self.shares[s].turn_window(now, self.shard);
            self.reports.push_back(report);
        }
    }

    /// Records the end of VU `v`'s request at `now`.
    pub(super) fn record_request(
        &mut self,
        v: u32,
        now: Instant,
        outcome: Outcome,
        bytes_in: u64,
        bytes_out: u64,
    ) {
        let s = self.vus[v as usize].share as usize;
        self.turn_window(s, now);
        let vu = &self.vus[v as usize];
        let share = &mut self.shares[s];
        let step = usize::from(vu.step);
        share.in_flight[step] -= 1;
        share.last_end = now;
        let cell = share.cells.step_mut(step);
        cell.bytes_in += bytes_in;
        cell.bytes_out += bytes_out + vu.out_before;
        if outcome == Outcome::Cancelled {
            cell.cancelled += 1;
            share.in_flight_cut += u64::from(share.cancelled);
            return;
        }
        cell.count += 1;
        let sent = vu.sent < Instant::MAX;
        if sent {
            let lateness = vu.sent.nanos_since(vu.due);
            cell.lateness.record(lateness);
            cell.late += u64::from(lateness > LATE_NS);
        }
        if matches!(outcome, Outcome::Answered(_) | Outcome::TimedOut) {
            cell.latency.record(now.nanos_since(vu.due));
            if sent {
                cell.service.record(now.nanos_since(vu.sent));
            }
        }
        match outcome {
            Outcome::Answered(status) => {
                cell.record_status(status);
                match status {
                    400..500 => cell.record_error(ErrorKind::Http4xx),
                    500.. => cell.record_error(ErrorKind::Http5xx),
                    _ => {}
                }
            }
            Outcome::TimedOut => cell.record_error(ErrorKind::Timeout),
            Outcome::Failed(kind) => cell.record_error(kind),
            Outcome::Cancelled => {}
        }
    }
}

/// Why a request failed whose connection could not be made.
pub(super) fn connect_error(error: ConnError) -> ErrorKind {
    match error {
        ConnError::Refused => ErrorKind::ConnectRefused,
        ConnError::TimedOut => ErrorKind::ConnectTimeout,
        ConnError::NoLocalPort => ErrorKind::NoLocalPort,
        ConnError::TooManyFiles => ErrorKind::TooManyFiles,
        ConnError::Reset => ErrorKind::Reset,
        // What a firewall or a missing route answers.
        ConnError::Unreachable | ConnError::Other(_) => ErrorKind::Unreachable,
    }
}
