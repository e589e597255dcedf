//! How old what a client sees of its job is, through real processes: submits a plan to a gate, follows the job, and takes
//! the time of each line. After some seconds it asks so much beside that a gate told to take that for a load is loaded.
//! Usage: view-age ADDRESS PLAN CALM_SECONDS LOADED_SECONDS
//!
//! Prints the median, 99th percentile and largest age since a request was recorded, as if one were each millisecond, and
//! of the last moment in each line. Where a job begins is told by no message: the quickest line of the calm time is taken
//! for one that took nothing, so ages are too small by what that took, a millisecond or two.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a plain blocking client that takes the time"
)]

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyperscale_codec::messages::{ErrorReply, JobAck, JobStatusPush, JobStatusRequest, JobSubmit};
use hyperscale_codec::{Encoder, Head, JobId, Kind, Limits};
use hyperscale_plan::PlanText;

#[path = "gate_link.rs"]
mod gate_link;
use gate_link::{Link, connect};

/// Questions at once, and the time between: 6,400 a second.
const ASKED: u32 = 32;
const PAUSE: Duration = Duration::from_millis(5);

/// A line: when it came after the first look at the clock, and until when its figures reach.
struct Line {
    came_ms: f64,
    to_ms: u64,
    requests: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [gate, plan, calm, loaded] = args.as_slice() else {
        eprintln!("usage: view-age ADDRESS PLAN CALM_SECONDS LOADED_SECONDS");
        return ExitCode::from(2);
    };
    match follow(gate, plan, calm, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{gate}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn follow(gate: &str, plan: &str, calm: &str, loaded: &str) -> Result<(), Box<dyn Error>> {
    let (calm, loaded): (u64, u64) = (calm.parse()?, loaded.parse()?);
    let plan = PlanText::new(std::fs::read_to_string(plan)?);
    let mut id = [7; 16];
    id[..8].copy_from_slice(&u64::from(std::process::id()).to_be_bytes());
    let submit = JobSubmit {
        plan: plan.text,
        plan_sha256: plan.sha256,
        idempotency: id,
        follow: true,
        histograms: false,
    };
    let (mut link, mut bytes, clock) = (connect(gate, 0)?, Vec::new(), Instant::now());
    Encoder::default().append(&mut bytes, Head::request(1).job(JobId::from_bytes(id)), &submit)?;
    link.stream.write_all(&bytes)?;
    let (calm_ms, end_ms) = (calm * 1_000, (calm + loaded) * 1_000);
    let (busy, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = ask(gate, &busy, &over) {
                eprintln!("{gate}: the questions beside ended: {error}");
            }
        });
        let mut lines: Vec<Line> = Vec::new();
        let heard = loop {
            match line(&mut link, clock) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            let at = lines.last().map_or(0, |line| line.to_ms);
            busy.store(at >= calm_ms, Ordering::Relaxed);
            if at >= end_ms {
                break Ok(());
            }
        };
        over.store(true, Ordering::Relaxed);
        heard.map(|()| lines)
    })?;
    let of_calm = lines.iter().filter(|line| line.to_ms <= calm_ms && line.requests > 0);
    let start = of_calm.map(|line| line.came_ms - line.to_ms as f64).fold(f64::INFINITY, f64::min);
    // The level is there some seconds after the questions are.
    report("calm", &lines, start, 0..calm_ms);
    report("loaded", &lines, start, calm_ms + 15_000..end_ms);
    Ok(())
}

fn report(name: &str, lines: &[Line], start: f64, of: std::ops::Range<u64>) {
    let (mut known, mut ages, mut newest) = (0, Vec::new(), Vec::new());
    for line in lines {
        let came = line.came_ms - start;
        let news = (known..line.to_ms).filter(|ms| of.contains(ms));
        ages.extend(news.map(|ms| came - ms as f64));
        if of.contains(&line.to_ms) {
            newest.push(came - line.to_ms as f64);
        }
        known = known.max(line.to_ms);
    }
    let shown = |ages: &mut Vec<f64>| {
        ages.sort_by(f64::total_cmp);
        let at =
            |permille: usize| ages.get((ages.len() * permille / 1_000).min(ages.len().saturating_sub(1)));
        let [median, p99, most] = [500, 990, 1_000].map(|permille| at(permille).copied().unwrap_or(f64::NAN));
        format!("{median:.0}, {p99:.0}, {most:.0} ms")
    };
    println!(
        "{name}: since recorded {}; of the newest {}; {} lines",
        shown(&mut ages),
        shown(&mut newest),
        newest.len()
    );
}

/// The next line; none once the job has ended.
fn line(link: &mut Link, clock: Instant) -> Result<Option<Line>, Box<dyn Error>> {
    let mut scratch = Vec::new();
    loop {
        if let Some(frame) = link.reader.next(&Limits::default())? {
            match frame.kind() {
                Some(Kind::JobStatusPush) => {
                    let push = frame.to_owned::<JobStatusPush>(&mut scratch)?;
                    if push.to_ms > 0 {
                        let came_ms = clock.elapsed().as_secs_f64() * 1e3;
                        return Ok(Some(Line { came_ms, to_ms: push.to_ms, requests: push.requests }));
                    }
                }
                Some(Kind::JobAck) => {
                    if !frame.to_owned::<JobAck>(&mut scratch)?.following {
                        return Err("another shard has the job: start the gate with one".into());
                    }
                }
                Some(Kind::ErrorReply) => {
                    return Err(frame.to_owned::<ErrorReply>(&mut scratch)?.message.into());
                }
                Some(Kind::JobFinalResult) => return Ok(None),
                other => eprintln!("{other:?} came"),
            }
            continue;
        }
        match link.stream.read(link.reader.space())? {
            0 => return Err("the gate hung up".into()),
            n => link.reader.filled(n),
        }
    }
}

/// Asks about a job that does not exist while `busy`, until `over`; answers and refusals alike are counted as read.
fn ask(gate: &str, busy: &AtomicBool, over: &AtomicBool) -> Result<(), Box<dyn Error>> {
    let (mut link, mut questions, nobody) = (connect(gate, 1)?, Vec::new(), JobId(7));
    for correlation in 0..ASKED {
        let asks = JobStatusRequest { job: nobody.to_bytes() };
        Encoder::default().append(&mut questions, Head::request(correlation + 1).job(nobody), &asks)?;
    }
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        if !busy.load(Ordering::Relaxed) {
            continue;
        }
        link.stream.write_all(&questions)?;
        let mut heard = 0;
        while heard < ASKED {
            if link.reader.next(&Limits::default())?.is_some() {
                heard += 1;
                continue;
            }
            match link.stream.read(link.reader.space())? {
                0 => return Err("the gate hung up".into()),
                n => link.reader.filled(n),
            }
        }
    }
    Ok(())
}
