//! Asks a gate about jobs that do not exist, as fast as it answers, and prints answers a second and refusals.
//! Usage: gate-flood ADDRESS CONNECTIONS SECONDS
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a plain blocking client whose time is taken"
)]

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hyperscale_codec::messages::{ErrorReply, JobStatusRequest};
use hyperscale_codec::{Encoder, ErrorCode, Head, JobId, Kind, Limits};

#[path = "gate_link.rs"]
mod gate_link;
use gate_link::{Link, connect};

/// Questions that one connection has open; a gate takes 64.
const OPEN: u32 = 32;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(gate), Some(Ok(connections)), Some(Ok(seconds))) =
        (args.next(), args.next().map(|n| n.parse::<u32>()), args.next().map(|n| n.parse::<u64>()))
    else {
        eprintln!("usage: gate-flood ADDRESS CONNECTIONS SECONDS");
        return ExitCode::from(2);
    };
    match flood(&gate, connections, Duration::from_secs(seconds)) {
        Ok((rate, refused)) => {
            println!("{rate:.0} answers/s, {refused} refused");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{gate}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn flood(gate: &str, connections: u32, time: Duration) -> Result<(f64, u64), Box<dyn Error>> {
    let mut links = (0..connections).map(|at| connect(gate, at)).collect::<Result<Vec<_>, _>>()?;
    let (job, mut questions) = (JobId(7), Vec::new());
    for correlation in 0..OPEN {
        let asks = JobStatusRequest { job: job.to_bytes() };
        Encoder::default().append(&mut questions, Head::request(correlation + 1).job(job), &asks)?;
    }
    let (mut answers, mut refused, begin) = (0_u32, 0, Instant::now());
    while begin.elapsed() < time {
        for link in &mut links {
            link.stream.write_all(&questions)?;
        }
        for link in &mut links {
            refused += hear(link, OPEN)?;
            answers += OPEN;
        }
    }
    Ok((f64::from(answers) / begin.elapsed().as_secs_f64(), refused))
}

/// Waits for so many answers; how many of them were refusals.
fn hear(link: &mut Link, count: u32) -> Result<u64, Box<dyn Error>> {
    let (mut heard, mut refused, mut scratch) = (0, 0, Vec::new());
    while heard < count {
        if let Some(frame) = link.reader.next(&Limits::default())? {
            heard += 1;
            let known = frame.kind() == Some(Kind::ErrorReply)
                && ErrorCode::from_wire(frame.to_owned::<ErrorReply>(&mut scratch)?.code)
                    == Some(ErrorCode::UnknownJob);
            refused += u64::from(!known);
            continue;
        }
        match link.stream.read(link.reader.space())? {
            0 => return Err("the gate hung up".into()),
            n => link.reader.filled(n),
        }
    }
    Ok(refused)
}
