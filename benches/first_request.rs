//! When the first request of `hyperscale run` comes, and when a run of one second has ended, from the start of the
//! process. Usage: first-request BINARY RUNS. Prints both in milliseconds, a line a run.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a plain blocking server on a thread of its own, and a process whose time is taken"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Instant;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(binary), Some(Ok(runs))) = (args.next(), args.next().map(|runs| runs.parse::<u32>())) else {
        eprintln!("usage: first-request BINARY RUNS");
        return ExitCode::from(2);
    };
    for _ in 0..runs {
        match measure(&binary) {
            Ok((first, whole)) => println!("first request after {first:.0} ms, ended after {whole:.0} ms"),
            Err(error) => {
                eprintln!("{binary}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn measure(binary: &str) -> std::io::Result<(f64, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    let (came, first) = mpsc::channel();
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            let _the_run_has_ended = answer(stream, &came);
        }
    });
    let start = Instant::now();
    let status = Command::new(binary)
        .args(["run", &url, "-c", "1", "-d", "1s", "--cores", "0", "--quiet"])
        .stdout(Stdio::null())
        .status()?;
    let whole = start.elapsed().as_secs_f64() * 1e3;
    let first: Instant = first.recv().map_err(|_| std::io::Error::other("no request came"))?;
    if !status.success() {
        return Err(std::io::Error::other(format!("ended with {status}")));
    }
    Ok(((first - start).as_secs_f64() * 1e3, whole))
}

/// Answers whatever comes: one connection with one request at a time has each in a read of its own.
fn answer(mut stream: TcpStream, came: &mpsc::Sender<Instant>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut scratch = [0; 4096];
    while stream.read(&mut scratch)? > 0 {
        let _only_the_first_is_heard = came.send(Instant::now());
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
    }
    Ok(())
}
