//! A loop that does nothing but read the clock: how late it notices due times is what this machine takes from any
//! generator. Usage: bare-clock RATE SECONDS. Prints p50, p99 and p99.9 in microseconds.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "reads the clock and prints, no more"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u32>());
    let (Some(Ok(rate)), Some(Ok(seconds)), None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: bare-clock RATE SECONDS, both whole numbers");
        return ExitCode::from(2);
    };
    let lateness = watch(rate.max(1), seconds);
    let at =
        |share: f64| lateness.get(index(lateness.len(), share)).map_or(0.0, |late| late.as_secs_f64() * 1e6);
    println!("{:.1} {:.1} {:.1}", at(0.5), at(0.99), at(0.999));
    ExitCode::SUCCESS
}

/// How late each due time was noticed, ascending.
fn watch(rate: u32, seconds: u32) -> Vec<Duration> {
    let count = rate.saturating_mul(seconds);
    let mut lateness = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    let start = Instant::now();
    for due in (0..count).map(|n| start + Duration::from_secs(n.into()) / rate) {
        let late = loop {
            if let Some(late) = Instant::now().checked_duration_since(due) {
                break late;
            }
        };
        lateness.push(late);
    }
    lateness.sort_unstable();
    lateness
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a length"
)]
fn index(len: usize, share: f64) -> usize {
    ((len as f64 * share) as usize).min(len.saturating_sub(1))
}
