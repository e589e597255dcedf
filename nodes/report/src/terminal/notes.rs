//! What the figures mean, in words, where they are easily misread.

use crate::Verdict;
use crate::numbers::{asked, counted, grouped, length, percent, rate, share, time};
use crate::style::Tone;
use crate::summary::{Summary, WorkflowSummary};

/// Waiting dominates from here: the mean wait is as long as the mean service, and can be felt.
const WAIT_MS_MIN: f64 = 1.0;

/// The sentences, most important first.
pub(super) fn notes(summary: &Summary) -> Vec<(Tone, String)> {
    let mut notes = Vec::new();
    if !summary.error.is_empty() {
        let unknown = summary.error.contains("dns: ");
        let fix = if unknown { "; check the host in the URL" } else { "" };
        notes.push((Tone::Bad, format!("{}{fix}", summary.error)));
    }
    if summary.status == "cancelled" {
        let text = format!("cancelled after {}; the figures are of that time", length(summary.duration_s));
        notes.push((Tone::Warn, text));
    }
    notes.extend(workflows(summary).map(|text| (Tone::Bad, text)));
    notes.extend(nothing(summary).map(|text| (Tone::Bad, text)));
    notes.extend(missing(summary).into_iter().map(|text| (Tone::Warn, text)));
    notes.extend(saturated(summary).map(|text| (Tone::Warn, text)));
    let drops = summary.workflows.iter().filter_map(|workflow| dropped(workflow, summary));
    notes.extend(drops.map(|text| (Tone::Warn, text)));
    notes.extend(waiting(summary).map(|text| (Tone::Warn, text)));
    notes
}

fn workflows(summary: &Summary) -> impl Iterator<Item = String> + '_ {
    let several = summary.workflows.len() > 1;
    summary.workflows.iter().filter_map(move |workflow| {
        let told = matches!(workflow.status.as_str(), "completed" | "cancelled");
        match workflow.error.as_str() {
            _ if told => None,
            "" if several => Some(format!("workflow {} {}", workflow.name, workflow.status)),
            "" => None,
            // The job's error is that of the workflow that failed it.
            error if summary.error.contains(error) => None,
            error => Some(format!("workflow {} {}: {error}", workflow.name, workflow.status)),
        }
    })
}

/// Why there are no figures.
fn nothing(summary: &Summary) -> Option<String> {
    let totals = &summary.totals;
    if summary.latency_ms.count > 0 && summary.verdict() != Verdict::NoAnswer {
        return None;
    }
    let cancelled = totals.cancelled > 0;
    Some(if totals.requests > 0 && summary.status_codes.is_empty() {
        let kinds: Vec<String> =
            summary.errors.iter().map(|(kind, n)| format!("{kind} {}", grouped(*n))).collect();
        let latency = if summary.latency_ms.count == 0 { "latency n/a: " } else { "" };
        format!("{latency}no request was answered ({}){}", kinds.join(", "), advice(summary))
    } else if cancelled {
        format!("latency n/a: {} sent, none answered before the end", counted(totals.cancelled, "request"))
    } else if totals.requests > 0 {
        return None;
    } else {
        "latency n/a: no request was sent".to_owned()
    })
}

fn advice(summary: &Summary) -> &'static str {
    let only = |kind: &str| summary.errors.len() == 1 && summary.errors.contains_key(kind);
    if only("connect_refused") {
        "; does the target listen there?"
    } else if only("no_local_port") {
        "; reuse connections, or widen net.ipv4.ip_local_port_range"
    } else if only("too_many_files") {
        "; raise the limit on open files (ulimit -n)"
    } else {
        ""
    }
}

/// What the lost or cut off workers take with them.
fn missing(summary: &Summary) -> Vec<String> {
    let bad = summary.workers.iter().filter(|worker| worker.state != "ok");
    let told: Vec<String> = bad
        .map(|worker| {
            let place = if worker.datacenter.is_empty() {
                String::new()
            } else {
                format!(" in {}", worker.datacenter)
            };
            let gap = if worker.gap_ms == 0 {
                String::new()
            } else {
                format!(", up to {} of its data missing", time(gap_ms(worker.gap_ms)))
            };
            format!("worker {}{place} {}{gap}", worker.name, worker.state)
        })
        .collect();
    if told.is_empty() && summary.partial {
        vec!["partial: some of the data is missing".to_owned()]
    } else {
        told
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gap is shown with three digits")]
fn gap_ms(gap_ms: u64) -> f64 {
    gap_ms as f64
}

fn saturated(summary: &Summary) -> Option<String> {
    if summary.generator != "saturated" {
        return None;
    }
    let named: Vec<&str> = summary
        .workers
        .iter()
        .filter(|worker| worker.generator == "saturated" && summary.workers.len() > 1)
        .map(|worker| worker.name.as_str())
        .collect();
    let who = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    // Whatever a worker was too full of, it said so itself.
    let how = if summary.late_over_1ms_share < 0.01 {
        "its CPU or memory was full".to_owned()
    } else {
        format!("{} of the requests left over 1 ms late", percent(summary.late_over_1ms_share))
    };
    Some(format!(
        "the generator was the limit{who}: {how}, which latency includes; use more cores or workers"
    ))
}

/// `asked 10,000/s, reached 8,120/s, dropped 18.8% (18,800): ...`.
fn dropped(workflow: &WorkflowSummary, summary: &Summary) -> Option<String> {
    let rounds = &workflow.iterations;
    if rounds.dropped == 0 {
        return None;
    }
    let part = share(rounds.dropped, rounds.due);
    let whose = if summary.workflows.len() > 1 { format!("{}: ", workflow.name) } else { String::new() };
    let why = why_dropped(workflow, summary.generator == "ok");
    let count = grouped(rounds.dropped);
    Some(match workflow.asked_rate_per_s {
        Some(wanted) => {
            // Over the schedule alone; the time that the last answers took is not in it.
            let reached = rate(wanted * ratio(rounds.started, rounds.due));
            let unit = if workflow.steps.len() > 1 { " iterations" } else { "" };
            format!(
                "{whose}asked {}{unit}/s, reached {reached}/s, dropped {part} ({count}): {why}",
                asked(wanted)
            )
        }
        None => format!("{whose}dropped {count} of {} iterations ({part}): {why}", grouped(rounds.due)),
    })
}

fn why_dropped(workflow: &WorkflowSummary, generator_ok: bool) -> String {
    let vus = grouped(u64::from(workflow.vus_max));
    match workflow.dropped_reason.as_deref() {
        Some("max_vus") => format!("all {vus} VUs were busy (max_vus)"),
        Some("max_wait") => format!("none of {vus} VUs was free within max_wait"),
        Some("unsent_at_end") if !generator_ok => "unsent at the end".to_owned(),
        Some("unsent_at_end") => format!("unsent at the end, all {vus} connections were busy"),
        Some("max_duration") => "max_duration came first".to_owned(),
        Some("cancelled") => "cancelled before they started".to_owned(),
        Some(other) => other.to_owned(),
        None => "no reason was given".to_owned(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Where most of the latency was spent before the request left, and the generator was not to blame.
fn waiting(summary: &Summary) -> Option<String> {
    let (latency, service) = (summary.latency_ms.mean?, summary.service_ms.mean?);
    let wait = latency - service;
    if summary.generator != "ok" || wait < service || wait < WAIT_MS_MIN {
        return None;
    }
    Some(format!(
        "waiting dominates: requests waited {} for a free connection and were served in {} (means); the target did \
         not keep up with the rate",
        time(wait),
        time(service)
    ))
}
