//! What is reported is what was served, asked of a server that did not come from the report.

use crate::server::Server;
use crate::target::Target;
use crate::{assert_adds_up, measured, number};

#[test]
fn a_counted_run_sends_exactly_that_many_requests() {
    let server = Server::start();
    for (count, vus) in [("1", "1"), ("7", "3"), ("1003", "16")] {
        let before = server.served();
        let summary = measured(&["run", &server.url(), "-n", count, "-c", vus]);
        assert_eq!(summary["totals"]["requests"].to_string(), count);
        assert_eq!((server.served() - before).to_string(), count);
    }
}

#[test]
fn the_target_served_exactly_what_a_counted_run_reports() {
    let target = Target::start(&[]);
    let url = format!("{}/", target.url());
    for cores in ["0", "0-1"].into_iter().take(std::thread::available_parallelism().unwrap().get()) {
        for flags in [&["-n", "5003"][..], &["-n", "503", "--disable-keepalive"], &["-n", "503", "-q", "2k"]]
        {
            let before = (target.count("served"), target.count("connections"));
            let args = [&["run", &url, "-c", "8", "--cores", cores], flags].concat();
            let summary = measured(&args);
            let requests = number(&summary["totals"]["requests"]);
            assert_eq!(requests.to_string(), flags[1], "{args:?}");
            assert_eq!(target.count("served") - before.0, requests, "{args:?}");
            assert_eq!(number(&summary["totals"]["errors"]), 0, "{args:?}");
            if flags.contains(&"--disable-keepalive") {
                // Each question for the counts is a connection too.
                assert!(target.count("connections") - before.1 >= requests, "{args:?}");
            }
        }
    }
}

#[test]
fn a_timed_run_lacks_at_most_what_was_in_flight_and_says_how_much() {
    let target = Target::start(&[]);
    let url = format!("{}/", target.url());
    for flags in [&[][..], &["--disable-keepalive"], &["-q", "500"]] {
        let before = target.count("served");
        let args = [&["run", &url, "-d", "1s", "-c", "4"], flags].concat();
        let summary = measured(&args);
        let served = target.count("served") - before;
        let reported = number(&summary["totals"]["requests"]);
        let cancelled = number(&summary["totals"]["cancelled"]);
        assert!(
            reported <= served && served <= reported + cancelled,
            "{args:?}: {reported} + {cancelled} against {served}"
        );
        assert!(cancelled <= 4, "{args:?}: {cancelled} cut off on 4 connections");
    }
}

#[test]
fn answers_that_are_errors_are_counted_as_the_target_counted_them() {
    let target = Target::start(&["--error-rate", "10%"]);
    let url = format!("{}/", target.url());
    let summary = measured(&["run", &url, "-n", "2000", "-c", "4"]);
    assert_eq!(number(&summary["errors"]["http_5xx"]), target.count("errors"));
    assert_eq!(number(&summary["status_codes"]["500"]), target.count("errors"));
    assert_eq!(number(&summary["totals"]["errors"]), target.count("errors"));
    assert_eq!(target.count("served"), 2000);
}

#[test]
fn a_rate_is_kept_and_every_arrival_accounted_for() {
    let server = Server::start();
    let summary = measured(&["run", &server.url(), "-d", "1s", "-c", "4", "-q", "200"]);
    assert_adds_up(&summary);
    assert_eq!(summary["iterations"]["due"], 200);
}
