//! The Prometheus text format, version 0.0.4.
//!
//! The samples of one name stand together under one HELP and one TYPE line, in the order of their names.

use std::fmt::Write as _;

use crate::Gauge;

/// Of what [`exposition`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes samples as a monitor scrapes them.
#[must_use]
pub fn exposition(samples: &[Gauge]) -> String {
    let mut sorted: Vec<&Gauge> = samples.iter().collect();
    sorted.sort_by_key(|sample| sample.name);
    let mut text = String::new();
    let mut family: Option<&Gauge> = None;
    for sample in sorted {
        let head = family.filter(|head| head.name == sample.name);
        debug_assert!(head.is_none_or(|head| head.kind == sample.kind), "{} is of two kinds", sample.name);
        if head.is_none() {
            family = Some(sample);
            write_head(&mut text, sample);
        }
        write_sample(&mut text, sample);
    }
    text
}

fn write_head(text: &mut String, sample: &Gauge) {
    debug_assert!(is_name(sample.name), "{:?} is no name of a metric", sample.name);
    let help = sample.help.replace('\\', "\\\\").replace('\n', "\\n");
    let _a_string_grows = writeln!(text, "# HELP {} {help}", sample.name);
    let _a_string_grows = writeln!(text, "# TYPE {} {}", sample.name, sample.kind.word());
}

fn write_sample(text: &mut String, sample: &Gauge) {
    text.push_str(sample.name);
    let mut before = '{';
    for (label, value) in &sample.labels {
        debug_assert!(is_name(label), "{label:?} is no name of a label");
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _a_string_grows = write!(text, "{before}{label}=\"{value}\"");
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
    let _a_string_grows = writeln!(text, " {}", number(sample.value));
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_one_name_stand_under_one_head() {
        let samples = [
            Gauge::level("hyperscale_links_open", "Links that are up.", 3.0).label("shard", "0"),
            Gauge::counter("hyperscale_jobs_total", "Jobs accepted.", 12.0),
            Gauge::level("hyperscale_links_open", "Links that are up.", 4.0).label("shard", "1"),
        ];
        let expected = "\
# HELP hyperscale_jobs_total Jobs accepted.
# TYPE hyperscale_jobs_total counter
hyperscale_jobs_total 12
# HELP hyperscale_links_open Links that are up.
# TYPE hyperscale_links_open gauge
hyperscale_links_open{shard=\"0\"} 3
hyperscale_links_open{shard=\"1\"} 4
";
        assert_eq!(exposition(&samples), expected);
    }

    #[test]
    fn what_strangers_wrote_cannot_break_out_of_a_label() {
        let sample = Gauge::level("hyperscale_build_info", "Line one\nback\\slash.", 1.0)
            .label("name", "a\"} 1\nfake 2\\")
            .label("role", "gate");
        let text = exposition(&[sample]);
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                r"# HELP hyperscale_build_info Line one\nback\\slash.",
                "# TYPE hyperscale_build_info gauge",
                r#"hyperscale_build_info{name="a\"} 1\nfake 2\\",role="gate"} 1"#,
            ]
        );
    }

    #[test]
    fn numbers_are_written_as_the_format_wants_them() {
        let written = [0.0, 0.25, 1e9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(number);
        assert_eq!(written, ["0", "0.25", "1000000000", "NaN", "+Inf", "-Inf"]);
    }

    #[test]
    fn a_table_of_causes_is_one_counter() {
        let rows = [("rate", 2), ("too_large", 0)];
        let text = exposition(&Gauge::counters_by("hyperscale_refused_total", "Refused.", "cause", rows));
        assert!(text.contains("hyperscale_refused_total{cause=\"rate\"} 2\n"), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 1);
    }
}
