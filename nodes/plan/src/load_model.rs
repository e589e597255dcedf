//! The load keys of a workflow: closed (`vus`) or open (`rate`), constant or in stages, ended by time or by count.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::limits::{
    DURATION_MAX, DURATION_MIN, GRACEFUL_RAMP_DOWN, ITERATIONS_MAX, MAX_DURATION, MAX_VUS, PAUSE_MAX,
    RATE_MAX, VUS_MAX,
};
use crate::model::{Arrivals, Closed, Iterations, LatePolicy, Load, Open, RateStage, VuStage};
use crate::read::{Findings, Section};
use crate::stage::{Stage, Stages, collect, parse_stage, rate_limit};
use crate::words::quote;

/// Keys that only the closed model has.
const CLOSED_KEYS: [&str; 4] = ["vus", "start_vus", "iterations", "graceful_ramp_down"];
/// Keys that only the open model has.
const OPEN_KEYS: [&str; 5] = ["rate", "start_rate", "arrivals", "max_vus", "max_wait"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Closed,
    Open,
}

/// What the load keys say, each in range.
struct Values {
    vus: Option<u32>,
    start_vus: Option<u32>,
    max_vus: Option<u32>,
    rate: Option<f64>,
    start_rate: Option<f64>,
    arrivals: Option<Arrivals>,
    late: Option<LatePolicy>,
    stages: Option<Stages>,
    duration: Option<Duration>,
    iterations: Option<u64>,
    total: Option<u64>,
    max_duration: Option<Duration>,
    graceful_ramp_down: Option<Duration>,
}

/// The load and the `max_duration` of a workflow; `None` when something is wrong.
pub(crate) fn parse_load(section: &Section<'_>, findings: &mut Findings) -> Option<(Load, Option<Duration>)> {
    let before = findings.found.len();
    let values = Values::read(section, findings);
    let kind = kind_of_load(section, &values, findings)?;
    check_together(section, kind, findings);
    if findings.found.len() > before {
        return None;
    }
    let counted = values.iterations.is_some() || values.total.is_some();
    let timed = values.duration.is_some() || values.stages.is_some();
    let max_duration = values.max_duration.or((counted && !timed).then_some(MAX_DURATION));
    let load = match kind {
        Kind::Closed => closed(section, &values, findings).map(Load::Closed),
        Kind::Open => open(section, &values, max_duration, findings).map(Load::Open),
    }?;
    Some((load, max_duration))
}

impl Values {
    fn read(section: &Section<'_>, findings: &mut Findings) -> Self {
        let vus = |key, range: RangeInclusive<u64>, findings: &mut Findings| {
            section.count(key, range, findings).and_then(|count| u32::try_from(count).ok())
        };
        Self {
            vus: vus("vus", 1..=VUS_MAX, findings),
            start_vus: vus("start_vus", 0..=VUS_MAX, findings),
            max_vus: vus("max_vus", 1..=VUS_MAX, findings),
            rate: read_rate(section, findings),
            start_rate: read_start_rate(section, findings),
            arrivals: read_arrivals(section, findings),
            late: read_max_wait(section, findings),
            stages: read_stages(section, findings),
            duration: section.duration("duration", DURATION_MIN..=DURATION_MAX, findings),
            iterations: section.count("iterations", 1..=ITERATIONS_MAX, findings),
            total: section.count("total_iterations", 1..=ITERATIONS_MAX, findings),
            max_duration: section.duration("max_duration", DURATION_MIN..=DURATION_MAX, findings),
            graceful_ramp_down: section.duration("graceful_ramp_down", Duration::ZERO..=PAUSE_MAX, findings),
        }
    }
}

fn read_rate(section: &Section<'_>, findings: &mut Findings) -> Option<f64> {
    let (rate, found) = section.rate("rate", findings)?;
    if rate.is_nan() || rate <= 0.0 {
        findings.error(
            section.value_span("rate"),
            format!("rate must be above 0, found {found}; for a pause use a stage \"30s:0/s\""),
        );
        return None;
    }
    if rate > RATE_MAX {
        findings.error(
            section.value_span("rate"),
            format!("rate must be at most {}, found {found}", rate_limit()),
        );
        return None;
    }
    Some(rate)
}

fn read_start_rate(section: &Section<'_>, findings: &mut Findings) -> Option<f64> {
    let (rate, found) = section.rate("start_rate", findings)?;
    if !(0.0..=RATE_MAX).contains(&rate) {
        findings.error(
            section.value_span("start_rate"),
            format!("start_rate must be 0/s to {}, found {found}", rate_limit()),
        );
        return None;
    }
    Some(rate)
}

fn read_arrivals(section: &Section<'_>, findings: &mut Findings) -> Option<Arrivals> {
    match section.text("arrivals", "\"constant\" or \"poisson\"", findings)? {
        "constant" => Some(Arrivals::Constant),
        "poisson" => Some(Arrivals::Poisson),
        other => {
            findings.error(
                section.value_span("arrivals"),
                format!("\"arrivals\" must be \"constant\" or \"poisson\", found {}", quote(other)),
            );
            None
        }
    }
}

fn read_max_wait(section: &Section<'_>, findings: &mut Findings) -> Option<LatePolicy> {
    if section.item("max_wait").and_then(toml_edit::Item::as_str) == Some("unlimited") {
        return Some(LatePolicy::Wait);
    }
    section.duration("max_wait", Duration::ZERO..=PAUSE_MAX, findings).map(LatePolicy::DropAfter)
}

fn read_stages(section: &Section<'_>, findings: &mut Findings) -> Option<Stages> {
    let array = section.array("stages", "[\"30s:100\", \"2m:100\"]", findings)?;
    let before = findings.found.len();
    let mut stages: Vec<Stage> = Vec::new();
    for value in array {
        let span = value.span().unwrap_or_else(|| section.value_span("stages"));
        match value.as_str().map(parse_stage) {
            Some(Ok(stage)) => stages.push(stage),
            Some(Err(error)) => findings.error(span, error.to_string()),
            None => findings.error(
                span,
                format!(
                    "a stage is text in quotes, such as \"30s:100\"; found {}",
                    crate::read::kind_of_value(value)
                ),
            ),
        }
    }
    if findings.found.len() > before {
        return None;
    }
    if stages.is_empty() {
        findings.error(
            section.value_span("stages"),
            "\"stages\" is empty; write for example [\"30s:100\", \"2m:100\"]",
        );
        return None;
    }
    collect(&stages).map_err(|error| findings.error(section.value_span("stages"), error.to_string())).ok()
}

/// Open or closed; an error where the keys do not say, `None` also where broken stages would have said.
fn kind_of_load(section: &Section<'_>, values: &Values, findings: &mut Findings) -> Option<Kind> {
    match &values.stages {
        Some(Stages::Vus(_)) => return Some(Kind::Closed),
        Some(Stages::Rates(_)) => return Some(Kind::Open),
        None if section.has("rate") || section.has("start_rate") => return Some(Kind::Open),
        None if section.has("vus") || section.has("start_vus") => return Some(Kind::Closed),
        None if section.has("stages") => return None,
        None => {}
    }
    let at = &section.at;
    let open_key = OPEN_KEYS.iter().find(|key| section.has(key));
    let message = match open_key {
        Some(key) => format!("{at} has \"{key}\" but no rate; add rate = \"100/s\" or stages"),
        None => format!(
            "{at} has no load; add vus = 10 with duration = \"30s\", or rate = \"100/s\" with a duration, or stages"
        ),
    };
    findings.error(section.span.clone(), message);
    None
}

/// Keys that cannot stand together, and keys that miss their partner.
fn check_together(section: &Section<'_>, kind: Kind, findings: &mut Findings) {
    let at = &section.at;
    let has = |key: &str| section.has(key);
    let mut refuse = |key: &str, message: String| findings.error(section.key_span(key), message);
    let (foreign, model) = match kind {
        Kind::Closed => (&OPEN_KEYS[..], "virtual users loop (vus)"),
        Kind::Open => (&CLOSED_KEYS[..], "iterations arrive at a rate"),
    };
    let own = match kind {
        Kind::Closed => ["vus", "stages", "start_vus"],
        Kind::Open => ["rate", "stages", "start_rate"],
    };
    let own = own.into_iter().find(|key| has(key)).unwrap_or("stages");
    for key in foreign.iter().filter(|key| has(key)) {
        let hint = match *key {
            "iterations" => "; use \"total_iterations\"",
            "vus" | "start_vus" => "; the limit of VUs is \"max_vus\"",
            _ => "; keep one",
        };
        refuse(key, format!("{at} has both \"{own}\" and \"{key}\", but there {model}{hint}"));
    }
    if has("stages") {
        for (key, fix) in [
            ("vus", "the VUs at the start are \"start_vus\""),
            ("rate", "the rate at the start is \"start_rate\""),
            ("duration", "the stages say how long"),
        ] {
            if has(key) && !(foreign.contains(&key)) {
                refuse(key, format!("{at} has both \"stages\" and \"{key}\"; {fix}"));
            }
        }
    } else {
        for (key, constant) in [("start_vus", "vus"), ("start_rate", "rate")] {
            if has(key) {
                refuse(key, format!("{at} has \"{key}\" but no stages; a constant load is \"{constant}\""));
            }
        }
    }
    let counted = has("iterations") || has("total_iterations");
    if has("iterations") && has("total_iterations") && kind == Kind::Closed {
        let message =
            format!("{at} has both \"iterations\" (of each VU) and \"total_iterations\" (of all); keep one");
        refuse("total_iterations", message);
    }
    if has("max_duration") && !counted {
        let message = format!(
            "{at} has \"max_duration\" but no count; it caps \"iterations\" or \"total_iterations\": use \"duration\""
        );
        refuse("max_duration", message);
    }
    if !has("stages") && !has("duration") && !counted && has(own) {
        let message = format!("{at} has no end; add duration = \"30s\" or total_iterations = 1000");
        refuse(own, message);
    }
}

fn closed(section: &Section<'_>, values: &Values, findings: &mut Findings) -> Option<Closed> {
    let (start_vus, stages) = match &values.stages {
        Some(Stages::Vus(stages)) => (values.start_vus.unwrap_or(1), stages.clone()),
        Some(Stages::Rates(_)) | None => {
            let vus = values.vus?;
            let stage = values.duration.map(|duration| VuStage { duration, vus });
            (vus, stage.into_iter().collect())
        }
    };
    if start_vus == 0 && !stages.is_empty() && stages.iter().all(|stage| stage.vus == 0) {
        findings.error(section.key_span("stages"), format!("the stages of {} never leave 0 VUs", section.at));
        return None;
    }
    let iterations = match (values.iterations, values.total) {
        (Some(count), _) => Iterations::PerVu(count),
        (None, Some(count)) => Iterations::Total(count),
        (None, None) => Iterations::Unlimited,
    };
    let graceful_ramp_down = values.graceful_ramp_down.unwrap_or(GRACEFUL_RAMP_DOWN);
    Some(Closed { start_vus, stages, iterations, graceful_ramp_down })
}

fn open(
    section: &Section<'_>,
    values: &Values,
    max_duration: Option<Duration>,
    findings: &mut Findings,
) -> Option<Open> {
    let (start_rate, stages) = match &values.stages {
        Some(Stages::Rates(stages)) => (values.start_rate.unwrap_or(0.0), stages.clone()),
        Some(Stages::Vus(_)) | None => {
            let rate = values.rate?;
            // Where only a count ends it, the schedule reaches as far as it may run.
            let duration = values.duration.or(max_duration).unwrap_or(MAX_DURATION);
            (rate, vec![RateStage { duration, rate }])
        }
    };
    if start_rate <= 0.0 && stages.iter().all(|stage| stage.rate <= 0.0) {
        findings.error(section.key_span("stages"), format!("the stages of {} never leave 0/s", section.at));
        return None;
    }
    Some(Open {
        start_rate,
        stages,
        arrivals: values.arrivals.unwrap_or(Arrivals::Constant),
        max_vus: values.max_vus.unwrap_or(MAX_VUS),
        late: values.late.unwrap_or(LatePolicy::DropAfter(Duration::ZERO)),
        total: values.total,
    })
}
