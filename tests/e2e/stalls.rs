//! A target that stops for a second, as a garbage collector would.

use crate::target::Target;
use crate::{measured, number};

const RATE: u64 = 400;
const SECONDS: u64 = 8;
const CONNECTIONS: u64 = 4;

/// Stalls of 1 s every 2 s. Each request due in the first half of a stall waits over 500 ms, so at least one whole
/// stall makes `RATE / 2` of them; a run of 8 s holds three. On the other side a connection can carry at most two
/// requests a second that take over 500 ms from their first byte, however busy this machine is.
#[test]
fn a_stall_is_in_the_latency_of_all_who_waited_and_in_the_service_time_of_those_in_flight() {
    let target = Target::start(&["--stall-every", "2s", "--stall-for", "1s"]);
    let (rate, seconds) = (RATE.to_string(), format!("{SECONDS}s"));
    let connections = CONNECTIONS.to_string();
    let url = format!("{}/", target.url());
    let summary = measured(&["run", &url, "-q", &rate, "-d", &seconds, "-c", &connections]);
    let slow: u64 = summary["distribution"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|bar| bar["le_ms"].as_f64().unwrap() > 500.0)
        .map(|bar| number(&bar["count"]))
        .sum();
    assert!(slow >= RATE / 2, "only {slow} requests say that they waited: {summary}");
    let milliseconds = |times: &str, figure: &str| summary[times][figure].as_f64().unwrap();
    assert!(milliseconds("latency_ms", "p99") > 500.0, "{summary}");
    // The truth with 5 % of room, in case this machine could not send all of them.
    let held = CONNECTIONS * SECONDS * 2;
    let answered = number(&summary["service_ms"]["count"]);
    assert!(answered * 5 / 100 >= held, "only {answered} requests were answered: {summary}");
    assert!(milliseconds("service_ms", "p95") < 500.0, "{summary}");
    assert!(milliseconds("service_ms", "max") > 500.0, "{summary}");
}

/// In the closed model nobody waits but those in flight: the same stalls are seen once a connection.
#[test]
fn users_who_wait_for_their_answers_see_a_stall_once_each() {
    let target = Target::start(&["--stall-every", "2s", "--stall-for", "1s"]);
    let url = format!("{}/", target.url());
    let summary = measured(&["run", &url, "-d", "5s", "-c", "4"]);
    assert!(summary["latency_ms"]["max"].as_f64().unwrap() > 500.0, "{summary}");
    assert!(summary["latency_ms"]["p95"].as_f64().unwrap() < 500.0, "{summary}");
}
