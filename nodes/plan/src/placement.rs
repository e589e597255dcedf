//! `[placement]`: where the load comes from.

use toml_edit::{Item, TableLike, Value};

use crate::keys::Place;
use crate::limits::{DATACENTERS_MAX, NAME_CHARS_MAX, WEIGHT_MAX};
use crate::model::{Datacenters, NamedShare, Placement};
use crate::read::{Findings, Section, Span, kind_of, kind_of_value};
use crate::units::{parse_percent, render_percent};
use crate::words::{is_unsafe_to_show, quote};

/// Parts that a whole has where shares are percentages: a thousandth of a percent is the least.
const WHOLE: u32 = 100_000;

pub(crate) fn parse_placement(top: &Section<'_>, findings: &mut Findings) -> Placement {
    let Some(item) = top.item("placement") else { return Placement::default() };
    let Some(section) = Section::of(item, "placement".to_owned(), top.key_span("placement"), findings) else {
        return Placement::default();
    };
    section.check_keys(Place::Placement, findings);
    if section.has("datacenters") && section.has("count") {
        findings.error(
            section.key_span("count"),
            "placement has both \"datacenters\" and \"count\"; name the datacenters, or say how many",
        );
        return Placement::default();
    }
    let datacenters = if let Some(item) = section.item("datacenters") {
        Datacenters::Named(read_datacenters(&section, item, findings))
    } else if let Some(count) = section.count("count", 1..=DATACENTERS_MAX as u64, findings) {
        Datacenters::Best(u32::try_from(count).unwrap_or(u32::MAX))
    } else {
        Datacenters::All
    };
    let named = matches!(datacenters, Datacenters::Named(_));
    let fallback = match section.item("fallback").map(Item::as_bool) {
        Some(Some(given)) => given,
        Some(None) => {
            section.wrong_type("fallback", "true or false", findings);
            false
        }
        None => !named,
    };
    Placement { datacenters, fallback }
}

fn read_datacenters(section: &Section<'_>, item: &Item, findings: &mut Findings) -> Vec<NamedShare> {
    let span = section.value_span("datacenters");
    let count = item.as_array().map(toml_edit::Array::len).or(item.as_table_like().map(TableLike::len));
    match count {
        None => section.wrong_type(
            "datacenters",
            "a list of names, such as [\"dc-1\", \"dc-2\"], or a table of shares, such as \
             { dc-1 = \"60%\", dc-2 = \"40%\" }",
            findings,
        ),
        Some(0) => findings.error(span, "\"datacenters\" names none; name one, or remove it"),
        Some(count) if count > DATACENTERS_MAX => {
            findings.error(span, format!("{count} datacenters; a plan names at most {DATACENTERS_MAX}"));
        }
        Some(_) => {
            return match (item.as_array(), item.as_table_like()) {
                (Some(names), _) => read_names(names, &span, findings),
                (None, Some(table)) => read_shares(table, section, findings),
                (None, None) => Vec::new(),
            };
        }
    }
    Vec::new()
}

/// A list of names: equal shares.
fn read_names(names: &toml_edit::Array, whole: &Span, findings: &mut Findings) -> Vec<NamedShare> {
    let mut shares: Vec<NamedShare> = Vec::new();
    for value in names {
        let span = value.span().unwrap_or_else(|| whole.clone());
        let Some(name) = value.as_str() else {
            let found = kind_of_value(value);
            findings.error(span, format!("\"datacenters\" is a list of names in quotes; found {found}"));
            continue;
        };
        if shares.iter().any(|share| share.name == name) {
            findings.error(span, format!("datacenters names {} twice; once is enough", quote(name)));
        } else {
            check_datacenter(name, span, findings);
            shares.push(NamedShare { name: name.to_owned(), weight: 1 });
        }
    }
    shares
}

/// How a share is written; all of a plan the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Percent,
    Weight,
}

/// A table of percentages or of weights.
fn read_shares(table: &dyn TableLike, section: &Section<'_>, findings: &mut Findings) -> Vec<NamedShare> {
    let before = findings.found.len();
    let mut shares = Vec::new();
    let mut first: Option<Written> = None;
    for (name, item) in table.iter() {
        let key_span = table.key(name).and_then(toml_edit::Key::span);
        let span = item.span().or(key_span.clone()).unwrap_or_else(|| section.value_span("datacenters"));
        check_datacenter(name, key_span.unwrap_or_else(|| span.clone()), findings);
        let Some((weight, written)) = read_share(name, item, span.clone(), findings) else { continue };
        if *first.get_or_insert(written) != written {
            findings.error(
                span,
                "datacenters mixes percentages and weights; write all of them as \"60%\", or all as 3",
            );
        }
        shares.push(NamedShare { name: name.to_owned(), weight });
    }
    let sum = shares.iter().fold(0, |sum: u32, share| sum.saturating_add(share.weight));
    if first == Some(Written::Percent) && sum != WHOLE && findings.found.len() == before {
        findings.error(
            section.value_span("datacenters"),
            format!(
                "the shares of datacenters add up to {}; they must be 100% together",
                render_percent(sum)
            ),
        );
    }
    shares
}

fn read_share(name: &str, item: &Item, span: Span, findings: &mut Findings) -> Option<(u32, Written)> {
    let (weight, written) = match item.as_value() {
        Some(Value::String(text)) => match parse_percent(text.value()) {
            Ok(thousandths) => (u64::from(thousandths), Written::Percent),
            Err(error) => {
                findings.error(span, error.to_string());
                return None;
            }
        },
        Some(Value::Integer(number)) => match u64::try_from(*number.value()) {
            Ok(weight) if weight <= WEIGHT_MAX => (weight, Written::Weight),
            _ => {
                let found = number.value();
                findings.error(
                    span,
                    format!("the weight of {} must be 1 to {WEIGHT_MAX}, found {found}", quote(name)),
                );
                return None;
            }
        },
        Some(
            Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::InlineTable(_),
        )
        | None => {
            let found = kind_of(item);
            findings.error(
                span,
                format!("the share of {} must be \"60%\", or a weight such as 3; found {found}", quote(name)),
            );
            return None;
        }
    };
    if weight == 0 {
        findings.error(span, format!("the share of {} is zero; remove it, or give it load", quote(name)));
        return None;
    }
    Some((u32::try_from(weight).unwrap_or(u32::MAX), written))
}

/// A manager's name for its datacenter: 1 to 128 characters, none of which moves a cursor.
fn check_datacenter(name: &str, span: Span, findings: &mut Findings) {
    let length = name.chars().count();
    if length == 0 || length > NAME_CHARS_MAX {
        let message = format!("a datacenter's name has 1 to {NAME_CHARS_MAX} characters, found {length}");
        findings.error(span, message);
    } else if name.chars().any(is_unsafe_to_show) {
        findings.error(span, format!("a datacenter's name holds a control character: {}", quote(name)));
    }
}
