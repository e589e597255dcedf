//! Answers that are legal and rare, and answers that are broken: the first are successes, each of the others is an
//! error of its own kind, and nothing outlives its time-out.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::Server;
use crate::{assert_adds_up, number, run, summary};

/// Writes an answer and keeps the connection.
macro_rules! keep {
    ($bytes:expr) => {
        |stream: &mut TcpStream| stream.write_all($bytes).is_ok()
    };
}

/// Writes an answer and ends the connection.
macro_rules! close {
    ($bytes:expr) => {
        |stream: &mut TcpStream| {
            let _peer_gone = stream.write_all($bytes);
            false
        }
    };
}

/// Twenty requests over two connections, each with half a second.
fn twenty(server: &Server, flags: &[&str]) -> Value {
    let url = format!("{}/x", server.url());
    let time = if flags.contains(&"-t") { &[][..] } else { &["-t", "500ms"] };
    let args = [&["run", &url, "-n", "20", "-c", "2", "--json", "-", "--quiet"], time, flags].concat();
    let began = Instant::now();
    let output = run(&args);
    let summary = summary(&output);
    assert_adds_up(&summary);
    assert_eq!(summary["totals"]["requests"], 20, "{summary}");
    assert_eq!(summary["totals"]["cancelled"], 0, "{summary}");
    // Ten rounds of half a second, and room for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
    summary
}

fn is_a_success(server: &Server, status: &str, flags: &[&str]) {
    let summary = twenty(server, flags);
    assert_eq!(summary["errors"], serde_json::json!({}), "{summary}");
    assert_eq!(summary["status_codes"][status], 20, "{summary}");
    assert_eq!(summary["latency_ms"]["count"], 20, "{summary}");
    assert_eq!(server.served(), 20);
}

fn is_an_error(server: &Server, kind: &str) -> Value {
    let summary = twenty(server, &[]);
    assert_eq!(summary["errors"], serde_json::json!({ kind: 20 }), "{summary}");
    assert_eq!(server.served(), 20);
    summary
}

#[test]
fn chunks_with_extensions_and_trailers() {
    let server = Server::scripted(keep!(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          4;a=b;c=\"d;e\"\r\nwiki\r\nA \r\n0123456789\r\n000;last\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"
    ));
    is_a_success(&server, "200", &[]);
}

#[test]
fn one_byte_at_a_time() {
    fn drip(stream: &mut TcpStream) -> bool {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        answer.iter().all(|byte| {
            std::thread::sleep(Duration::from_micros(50));
            stream.write_all(&[*byte]).is_ok()
        })
    }
    is_a_success(&Server::scripted(drip), "200", &["-t", "30s"]);
}

#[test]
fn http_1_0_with_a_length_and_without() {
    let server = Server::scripted(close!(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    is_a_success(&server, "200", &[]);
    let server =
        Server::scripted(keep!(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"));
    is_a_success(&server, "200", &[]);
    let server = Server::scripted(close!(b"HTTP/1.0 200 OK\r\n\r\nuntil the end"));
    is_a_success(&server, "200", &[]);
}

#[test]
fn an_answer_that_ends_with_its_connection() {
    let server =
        Server::scripted(close!(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end"));
    is_a_success(&server, "200", &[]);
    let server =
        Server::scripted(close!(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"));
    is_a_success(&server, "200", &[]);
}

#[test]
fn interim_answers_before_the_real_one() {
    let server = Server::scripted(keep!(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    ));
    is_a_success(&server, "200", &[]);
}

#[test]
fn statuses_without_a_body_whatever_their_length_says() {
    let server = Server::scripted(keep!(b"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n"));
    is_a_success(&server, "204", &[]);
    let server = Server::scripted(keep!(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"));
    is_a_success(&server, "304", &[]);
}

#[test]
fn the_answer_to_head_has_a_length_and_no_body() {
    let server = Server::scripted(keep!(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"));
    is_a_success(&server, "200", &["-m", "HEAD"]);
    let server = Server::scripted(keep!(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    is_a_success(&server, "200", &["-m", "HEAD"]);
}

#[test]
fn a_status_line_without_a_reason_and_fields_in_any_case() {
    let server = Server::scripted(keep!(b"HTTP/1.1 200\r\ncONTENT-lENGTH:2  \r\nX-Empty:\r\n\r\nok"));
    is_a_success(&server, "200", &[]);
}

#[test]
fn a_reset_within_a_body() {
    let server = Server::resetting(close!(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes."));
    is_an_error(&server, "reset");
}

#[test]
fn something_that_is_not_http() {
    is_an_error(&Server::scripted(keep!(b"SSH-2.0-OpenSSH_9.6\r\n")), "bad_response");
    is_an_error(&Server::scripted(keep!(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n")), "bad_response");
}

#[test]
fn lengths_that_contradict_each_other() {
    let server =
        Server::scripted(keep!(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"));
    is_an_error(&server, "bad_response");
    let server = Server::scripted(keep!(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"));
    is_an_error(&server, "bad_response");
    let server = Server::scripted(keep!(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"));
    is_an_error(&server, "bad_response");
}

#[test]
fn a_head_without_end() {
    fn endless(stream: &mut TcpStream) -> bool {
        let field = format!("X-Fill: {}\r\n", "x".repeat(1000));
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        for _ in 0..100 {
            sent = sent.and_then(|()| stream.write_all(field.as_bytes()));
        }
        sent.is_ok()
    }
    is_an_error(&Server::scripted(endless), "too_large");
}

#[test]
fn a_connection_that_ends_too_early() {
    let server = Server::scripted(close!(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes."));
    is_an_error(&server, "closed_early");
    let server = Server::scripted(close!(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"));
    is_an_error(&server, "closed_early");
    is_an_error(&Server::scripted(close!(b"HTTP/1.1 200")), "closed_early");
    is_an_error(&Server::scripted(close!(b"")), "closed_early");
}

#[test]
fn silence_ends_with_the_time_out_and_counts_as_that_long() {
    let summary = is_an_error(&Server::scripted(keep!(b"")), "timeout");
    assert!(summary["latency_ms"]["min"].as_f64().unwrap() >= 500.0, "{summary}");
    is_an_error(&Server::scripted(keep!(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")), "timeout");
}

#[test]
fn an_answer_that_never_stops_dripping_ends_with_the_time_out() {
    fn drip(stream: &mut TcpStream) -> bool {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let mut sent = stream.write_all(head);
        while sent.is_ok() {
            std::thread::sleep(Duration::from_millis(5));
            sent = stream.write_all(b".");
        }
        false
    }
    is_an_error(&Server::scripted(drip), "timeout");
}

/// A server may end a kept connection between two answers at any time.
#[test]
fn a_kept_connection_that_its_server_ended_is_an_error_at_most_once_a_connection() {
    let server = Server::scripted(close!(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let summary = twenty(&server, &[]);
    let (good, errors) = (number(&summary["status_codes"]["200"]), number(&summary["totals"]["errors"]));
    assert_eq!(good + errors, 20, "{summary}");
    assert_eq!(server.served(), good, "{summary}");
}
