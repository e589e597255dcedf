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
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hyperscale_codec::messages::{ErrorReply, JobStatusRequest};
use hyperscale_codec::{
    Encoder, ErrorCode, FrameReader, HELLO_PREFIX, Head, Hello, JobId, Kind, Limits, NodeId, ProtocolVersion,
    Role, ShardId, Verdict, hello_len,
};

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

struct Link {
    stream: TcpStream,
    reader: FrameReader,
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
            refused += link.hear(OPEN)?;
            answers += OPEN;
        }
    }
    Ok((f64::from(answers) / begin.elapsed().as_secs_f64(), refused))
}

impl Link {
    /// Waits for so many answers; how many of them were refusals.
    fn hear(&mut self, count: u32) -> Result<u64, Box<dyn Error>> {
        let (mut heard, mut refused, mut scratch) = (0, 0, Vec::new());
        while heard < count {
            if let Some(frame) = self.reader.next(&Limits::default())? {
                heard += 1;
                let known = frame.kind() == Some(Kind::ErrorReply)
                    && ErrorCode::from_wire(frame.to_owned::<ErrorReply>(&mut scratch)?.code)
                        == Some(ErrorCode::UnknownJob);
                refused += u64::from(!known);
                continue;
            }
            match self.stream.read(self.reader.space())? {
                0 => return Err("the gate hung up".into()),
                n => self.reader.filled(n),
            }
        }
        Ok(refused)
    }
}

fn connect(gate: &str, at: u32) -> Result<Link, Box<dyn Error>> {
    let mut stream = TcpStream::connect(gate)?;
    stream.set_nodelay(true)?;
    let version = ProtocolVersion::CURRENT;
    let hello = Hello {
        verdict: Verdict::Welcome,
        role: Role::Client,
        version,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 64,
        features: version.features(),
        node: NodeId(1_000_000 + u128::from(at)),
        boot: 1,
        core_max: Limits::default().core_max,
        idle_timeout_ms: 60_000,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: format!("flood-{at}"),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    };
    let mut bytes = Vec::new();
    hello.encode(&mut bytes);
    stream.write_all(&bytes)?;
    let mut answer = vec![0; HELLO_PREFIX];
    stream.read_exact(&mut answer)?;
    let prefix = answer.as_slice().try_into()?;
    let len = hello_len(&prefix)?;
    answer.resize(len, 0);
    stream.read_exact(answer.get_mut(HELLO_PREFIX..).unwrap_or_default())?;
    let greeting = Hello::decode(&answer)?;
    if greeting.verdict != Verdict::Welcome {
        return Err(greeting.text.into());
    }
    Ok(Link { stream, reader: FrameReader::new() })
}
