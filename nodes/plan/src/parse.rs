//! The text of a plan (after substitution) to a checked [`Plan`], or all that is wrong with it.

use std::time::Duration;

use toml_edit::{Item, Value};

use crate::error::PlanErrors;
use crate::keys::Place;
use crate::limits::{
    CONNECT_TIMEOUT, DURATION_MIN, NAME_CHARS_MAX, PAUSE_MAX, STEPS_MAX, TEXT_BYTES_MAX, TIMEOUT, WINDOW,
    WINDOW_MAX, WINDOW_MIN, WORKFLOW_NAME_CHARS_MAX, WORKFLOWS_MAX,
};
use crate::load::Files;
use crate::model::{KeepAlive, Plan, Step, Url, Workflow};
use crate::order::resolve_after;
use crate::placement::parse_placement;
use crate::read::{Findings, Section, Span};
use crate::request::{Surroundings, read_headers};
use crate::source::Source;
use crate::syntax::parse_toml;
use crate::threshold::{Names, parse_thresholds};
use crate::url::parse_url;
use crate::words::{grouped, is_unsafe_to_show, quote};
use crate::workflow::parse_workflow;

const SMALLEST: &str = "the smallest plan: target = \"http://127.0.0.1:8080\", then [workflows.home] with \
                        vus = 10, duration = \"30s\" and steps = [{ get = \"/\" }]";

/// Reads a plan's text as it travels: variables filled in, body files inlined. `file` names it in errors.
///
/// The same text gives the same plan everywhere.
///
/// # Errors
/// Every mistake of the text, each with its place and its fix.
pub fn parse(file: &str, text: &str) -> Result<Plan, PlanErrors> {
    let source = Source::plain(text);
    parse_text(text, &mut Files::none()).map_err(|findings| to_errors(file, &source, findings))
}

pub(crate) fn to_errors(file: &str, source: &Source<'_>, findings: Findings) -> PlanErrors {
    PlanErrors::sorted(file, findings.found, findings.more, |(span, message, note)| {
        source.error_at(span, message, note)
    })
}

pub(crate) fn parse_text(text: &str, files: &mut Files<'_>) -> Result<Plan, Findings> {
    let mut findings = Findings::default();
    if text.len() > TEXT_BYTES_MAX {
        findings.error(0..0, too_large(text.len()));
        return Err(findings);
    }
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        findings.noted(0..0, "the plan is empty", SMALLEST);
        return Err(findings);
    }
    let document = match parse_toml(text) {
        Ok(document) => document,
        Err(errors) => {
            for (span, message) in errors {
                findings.error(span, message);
            }
            return Err(findings);
        }
    };
    let top = Section { table: document.as_table(), at: "the plan".to_owned(), span: 0..0 };
    match parse_top(&top, files, &mut findings) {
        Some(plan) if findings.found.is_empty() => Ok(plan),
        _ => Err(findings),
    }
}

pub(crate) fn too_large(bytes: usize) -> String {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    format!(
        "the plan is {} bytes; at most 1 MiB (1,048,576) can be sent, body files included",
        grouped(bytes)
    )
}

fn parse_top(top: &Section<'_>, files: &mut Files<'_>, findings: &mut Findings) -> Option<Plan> {
    top.check_keys(Place::Top, findings);
    let name = plan_name(top, findings);
    let window = top.duration("window", WINDOW_MIN..=WINDOW_MAX, findings);
    let mut around = Surroundings {
        target: parse_target(top, findings),
        target_given: top.has("target"),
        headers: Vec::new(),
        timeout: TIMEOUT,
        connect_timeout: CONNECT_TIMEOUT,
    };
    let keep_alive = parse_defaults(top, &mut around, findings);
    let placement = parse_placement(top, findings);
    let entries = workflow_sections(top, findings)?;
    let mut steps_left = STEPS_MAX;
    let mut parsed: Vec<Option<Workflow>> = Vec::new();
    for (name, section) in &entries {
        // Before they are read: reading compares names with each other.
        let count = section.item("steps").map_or(0, steps_in);
        let Some(left) = steps_left.checked_sub(count) else {
            findings.error(
                section.key_span("steps"),
                format!("the plan has more than {} steps; write fewer", grouped(STEPS_MAX as u64)),
            );
            return None;
        };
        steps_left = left;
        parsed.push(parse_workflow(name, section, &around, keep_alive, files, findings));
    }
    let after = resolve_after(&entries, findings);
    let names = Names::of(&entries, &parsed);
    let thresholds = parse_thresholds(top, &names, findings);
    let mut workflows: Vec<Workflow> = parsed.into_iter().collect::<Option<_>>()?;
    for (workflow, after) in workflows.iter_mut().zip(after) {
        workflow.after = after;
    }
    Some(Plan { name, workflows, thresholds, window: window.unwrap_or(WINDOW), placement })
}

fn plan_name(top: &Section<'_>, findings: &mut Findings) -> String {
    let Some(name) = top.text("name", "\"checkout\"", findings) else { return "plan".to_owned() };
    check_name(name, "name", top.value_span("name"), findings);
    name.to_owned()
}

/// 1 to 128 characters, none of which moves a cursor.
pub(crate) fn check_name(name: &str, key: &str, span: Span, findings: &mut Findings) {
    let length = name.chars().count();
    if length == 0 || length > NAME_CHARS_MAX {
        findings.error(span, format!("\"{key}\" must have 1 to {NAME_CHARS_MAX} characters, found {length}"));
    } else if name.chars().any(is_unsafe_to_show) {
        findings.error(span, format!("\"{key}\" holds a control character: {}; remove it", quote(name)));
    }
}

fn parse_target(top: &Section<'_>, findings: &mut Findings) -> Option<Url> {
    let text = top.text("target", "\"http://127.0.0.1:8080\"", findings)?;
    match parse_url(text) {
        Ok(url) if url.path.contains('?') => {
            findings.error(
                top.value_span("target"),
                format!("target {} has a query; write it in the steps", quote(text)),
            );
            None
        }
        Ok(url) => Some(url),
        Err(error) => {
            findings.error(top.value_span("target"), error.to_string());
            None
        }
    }
}

fn parse_defaults(top: &Section<'_>, around: &mut Surroundings, findings: &mut Findings) -> KeepAlive {
    let Some(item) = top.item("defaults") else { return KeepAlive::Always };
    let Some(section) = Section::of(item, "defaults".to_owned(), top.key_span("defaults"), findings) else {
        return KeepAlive::Always;
    };
    section.check_keys(Place::Defaults, findings);
    around.headers = read_headers(&section, findings);
    if let Some(timeout) = read_timeout(&section, "timeout", findings) {
        around.timeout = timeout;
    }
    if let Some(timeout) = read_timeout(&section, "connect_timeout", findings) {
        around.connect_timeout = timeout;
    }
    read_keep_alive(&section, findings).unwrap_or_default()
}

pub(crate) fn read_timeout(section: &Section<'_>, key: &str, findings: &mut Findings) -> Option<Duration> {
    section.duration(key, DURATION_MIN..=PAUSE_MAX, findings)
}

pub(crate) fn read_keep_alive(section: &Section<'_>, findings: &mut Findings) -> Option<KeepAlive> {
    let item = section.item("keep_alive")?;
    let value = match (item.as_bool(), item.as_str()) {
        (Some(true), _) | (_, Some("true")) => Some(KeepAlive::Always),
        (Some(false), _) | (_, Some("false")) => Some(KeepAlive::Never),
        (_, Some("iteration")) => Some(KeepAlive::Iteration),
        _ => None,
    };
    if value.is_none() {
        findings.error(
            section.value_span("keep_alive"),
            format!(
                "\"keep_alive\" must be true, false or \"iteration\", found {}",
                item.as_str().map_or_else(|| crate::read::kind_of(item).to_owned(), quote)
            ),
        );
    }
    value
}

/// The workflows in the order of the file; `None` where there is none or there are too many.
fn workflow_sections<'a>(top: &Section<'a>, findings: &mut Findings) -> Option<Vec<(&'a str, Section<'a>)>> {
    let Some(item) = top.item("workflows") else {
        findings.noted(0..0, "the plan has no workflow; add [workflows.NAME]", SMALLEST);
        return None;
    };
    if item.is_array_of_tables() || item.is_array() {
        findings.error(
            top.key_span("workflows"),
            "\"workflows\" is a table of named workflows; write [workflows.NAME] instead of [[workflows]]",
        );
        return None;
    }
    let all = Section::of(item, "workflows".to_owned(), top.key_span("workflows"), findings)?;
    let count = all.table.len();
    if count == 0 {
        findings.noted(all.span, "the plan has no workflow; add [workflows.NAME]", SMALLEST);
        return None;
    }
    if count > WORKFLOWS_MAX {
        findings.error(
            all.span,
            format!(
                "{} workflows; a plan has at most {WORKFLOWS_MAX}",
                grouped(u64::try_from(count).unwrap_or(u64::MAX))
            ),
        );
        return None;
    }
    let mut entries = Vec::new();
    for (name, item) in all.table.iter() {
        let span = all.key_span(name);
        check_workflow_name(name, span.clone(), findings);
        if let Some(section) = Section::of(item, format!("workflows.{name}"), span, findings) {
            entries.push((name, section));
        }
    }
    Some(entries)
}

/// Bare TOML keys only, so that `workflows.NAME.latency.p99` reads one way.
fn check_workflow_name(name: &str, span: Span, findings: &mut Findings) {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !plain || name.is_empty() || name.len() > WORKFLOW_NAME_CHARS_MAX {
        findings.error(
            span,
            format!(
                "{} is not a workflow's name; use 1 to {WORKFLOW_NAME_CHARS_MAX} letters, digits, \"-\" and \"_\"",
                quote(name)
            ),
        );
    }
}

fn steps_in(item: &Item) -> usize {
    match item {
        Item::ArrayOfTables(tables) => tables.len(),
        Item::Value(Value::Array(values)) => values.len(),
        Item::Value(
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::InlineTable(_),
        )
        | Item::None
        | Item::Table(_) => 0,
    }
}

impl Plan {
    /// Request steps over all workflows.
    #[must_use]
    pub fn request_steps(&self) -> usize {
        let requests = |workflow: &Workflow| {
            workflow.steps.iter().filter(|step| matches!(step, Step::Request(_))).count()
        };
        self.workflows.iter().map(requests).fold(0, usize::saturating_add)
    }
}
