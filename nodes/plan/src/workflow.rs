//! One `[workflows.NAME]`: its load, its steps and how it ends.

use std::time::Duration;

use toml_edit::{Item, Value};

use crate::keys::Place;
use crate::limits::{GRACEFUL_STOP, PAUSE_MAX};
use crate::load::Files;
use crate::load_model::parse_load;
use crate::model::{KeepAlive, Step, Workflow};
use crate::parse::{read_keep_alive, read_timeout};
use crate::read::{Findings, Section, kind_of_value};
use crate::request::{Surroundings, layered, parse_step, read_headers};

/// The workflow, without `after`; `None` when something is wrong with it.
pub(crate) fn parse_workflow(
    name: &str,
    section: &Section<'_>,
    around: &Surroundings,
    keep_alive: KeepAlive,
    files: &mut Files<'_>,
    findings: &mut Findings,
) -> Option<Workflow> {
    section.check_keys(Place::Workflow, findings);
    let load = parse_load(section, findings);
    let graceful_stop = section.duration("graceful_stop", Duration::ZERO..=PAUSE_MAX, findings);
    let keep_alive = read_keep_alive(section, findings).unwrap_or(keep_alive);
    let around = Surroundings {
        headers: layered(&around.headers, read_headers(section, findings)),
        timeout: read_timeout(section, "timeout", findings).unwrap_or(around.timeout),
        ..around.clone()
    };
    let steps = parse_steps(section, &around, files, findings);
    let (load, max_duration) = load?;
    Some(Workflow {
        name: name.to_owned(),
        after: Vec::new(),
        load,
        steps: steps?,
        graceful_stop: graceful_stop.unwrap_or(GRACEFUL_STOP),
        max_duration,
        keep_alive,
    })
}

fn parse_steps(
    section: &Section<'_>,
    around: &Surroundings,
    files: &mut Files<'_>,
    findings: &mut Findings,
) -> Option<Vec<Step>> {
    let Some(item) = section.item("steps") else {
        findings.error(
            section.span.clone(),
            format!("{} has no steps; add steps = [{{ get = \"/\" }}]", section.at),
        );
        return None;
    };
    let tables = step_sections(section, item, findings);
    let failed_before = findings.found.len();
    let mut steps = Vec::new();
    let mut given: Vec<&str> = Vec::new();
    let mut places = Vec::new();
    for table in &tables {
        let Some(step) = parse_step(table, around, files, findings) else { continue };
        let name = table.item("name").and_then(Item::as_str);
        if let Some(name) = name {
            if given.contains(&name) {
                findings.error(
                    table.value_span("name"),
                    format!("two steps of {} are called \"{name}\"; give each its own name", section.at),
                );
            }
            given.push(name);
        }
        places.push(name.is_some());
        steps.push(step);
    }
    // A step that needs a broken target is missing without an error of its own.
    if findings.found.len() > failed_before || tables.is_empty() || steps.len() < tables.len() {
        return None;
    }
    if !steps.iter().any(|step| matches!(step, Step::Request(_))) {
        findings.error(
            section.key_span("steps"),
            format!("{} only pauses; add a request, such as {{ get = \"/\" }}", section.at),
        );
        return None;
    }
    make_names_distinct(&mut steps, &places);
    Some(steps)
}

fn step_sections<'a>(section: &Section<'a>, item: &'a Item, findings: &mut Findings) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    let place = |number: usize| format!("step {} of {}", number.saturating_add(1), section.at);
    if let Some(tables) = item.as_array_of_tables() {
        for (i, table) in tables.iter().enumerate() {
            let span = table.span().unwrap_or_else(|| section.key_span("steps"));
            sections.push(Section { table, at: place(i), span });
        }
    } else if let Some(values) = item.as_array() {
        for (i, value) in values.iter().enumerate() {
            let span = value.span().unwrap_or_else(|| section.key_span("steps"));
            match value {
                Value::InlineTable(table) => sections.push(Section { table, at: place(i), span }),
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_) => findings.error(
                    span,
                    format!(
                        "{} must be a table, such as {{ get = \"/\" }}; found {}",
                        place(i),
                        kind_of_value(value)
                    ),
                ),
            }
        }
        if values.is_empty() {
            findings.error(
                section.value_span("steps"),
                format!("{} has no steps; write steps = [{{ get = \"/\" }}]", section.at),
            );
        }
    } else {
        section.wrong_type("steps", "a list of tables, such as [{ get = \"/\" }]", findings);
    }
    for step in &mut sections {
        if let Some(name) = step.item("name").and_then(Item::as_str) {
            step.at = format!("step {} of {}", crate::words::quote(name), section.at);
        }
    }
    sections
}

/// A generated name that is taken gets ` #2`, ` #3`; a given name is never changed.
fn make_names_distinct(steps: &mut [Step], given: &[bool]) {
    let mut taken: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    for (step, given) in steps.iter().zip(given) {
        if *given {
            taken.insert(step.name().to_owned());
        }
    }
    for (step, given) in steps.iter_mut().zip(given) {
        let Step::Request(request) = step else { continue };
        if *given || taken.insert(request.name.clone()) {
            continue;
        }
        // At most 1,024 steps, so one of these is free.
        let numbered = (2_u32..).map(|number| format!("{} #{number}", request.name));
        if let Some(free) = numbered.take(2_000).find(|name| !taken.contains(name)) {
            taken.insert(free.clone());
            request.name = free;
        }
    }
}
