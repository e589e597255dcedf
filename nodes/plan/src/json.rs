//! A TOML value as JSON text: `json = { user = "ann" }` is the body `{"user":"ann"}`. Keys keep their order.

use toml_edit::{Item, TableLike, Value};

use crate::read::Span;

/// The text, or the place of a value that JSON has no word for, and why.
///
/// # Errors
/// Infinite and not-a-number floats, and dates.
pub(crate) fn to_json(item: &Item) -> Result<String, (Option<Span>, String)> {
    let mut out = String::new();
    write_item(item, &mut out)?;
    Ok(out)
}

// The depth is bounded by the TOML parser (80).
fn write_item(item: &Item, out: &mut String) -> Result<(), (Option<Span>, String)> {
    match item {
        Item::None => out.push_str("null"),
        Item::Value(value) => write_value(value, out)?,
        Item::Table(table) => write_table(table, out)?,
        Item::ArrayOfTables(tables) => {
            out.push('[');
            for (i, table) in tables.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_table(table, out)?;
            }
            out.push(']');
        }
    }
    Ok(())
}

fn write_value(value: &Value, out: &mut String) -> Result<(), (Option<Span>, String)> {
    match value {
        Value::String(text) => write_text(text.value(), out),
        Value::Integer(number) => out.push_str(&number.value().to_string()),
        Value::Float(number) if number.value().is_finite() => {
            out.push_str(&format!("{:?}", number.value()));
        }
        Value::Float(_) => {
            return Err((value.span(), "JSON has no infinity and no NaN; write a number".to_owned()));
        }
        Value::Boolean(truth) => out.push_str(if *truth.value() { "true" } else { "false" }),
        Value::Datetime(_) => {
            return Err((value.span(), "JSON has no dates; put it in quotes".to_owned()));
        }
        Value::Array(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(value, out)?;
            }
            out.push(']');
        }
        Value::InlineTable(table) => write_table(table, out)?,
    }
    Ok(())
}

fn write_table(table: &dyn TableLike, out: &mut String) -> Result<(), (Option<Span>, String)> {
    out.push('{');
    for (i, (key, item)) in table.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write_item(item, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use toml_edit::Document;

    use super::*;

    fn json(text: &str) -> Result<String, String> {
        let document = Document::parse(text.to_owned()).unwrap();
        to_json(document.get("x").unwrap()).map_err(|(_, message)| message)
    }

    #[test]
    fn every_kind_of_value_has_its_json() {
        for (toml, expected) in [
            (r#"x = "a\"\\\n\u0001ü""#, r#""a\"\\\n\u0001ü""#),
            ("x = -5", "-5"),
            ("x = 1.0", "1.0"),
            ("x = 1e300", "1e300"),
            ("x = true", "true"),
            ("x = []", "[]"),
            ("x = [1, [2], { a = 3 }]", r#"[1,[2],{"a":3}]"#),
            ("x = { b = 1, a = { c = \"d\" } }", r#"{"b":1,"a":{"c":"d"}}"#),
            ("[x]\nb = 1\n[x.y]\nc = 2", r#"{"b":1,"y":{"c":2}}"#),
            ("[[x]]\nb = 1\n[[x]]\nb = 2", r#"[{"b":1},{"b":2}]"#),
        ] {
            assert_eq!(json(toml).unwrap(), expected, "{toml}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        assert_eq!(json("x = inf").unwrap_err(), "JSON has no infinity and no NaN; write a number");
        assert_eq!(json("x = { a = [nan] }").unwrap_err(), "JSON has no infinity and no NaN; write a number");
        assert_eq!(json("x = 2026-01-01").unwrap_err(), "JSON has no dates; put it in quotes");
    }
}
