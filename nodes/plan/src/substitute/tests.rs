use proptest::prelude::*;
use toml_edit::Document;

use super::*;

fn variables() -> BTreeMap<String, String> {
    [("HOST", "shop:8080"), ("N", "12"), ("Q", "a\"b\\c\nd"), ("E", ""), ("S", "it's"), ("ON", "true")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn filled(text: &str) -> String {
    substitute(text, &variables()).unwrap().text
}

fn refusals(text: &str) -> Vec<String> {
    substitute(text, &variables()).unwrap_err().into_iter().map(|(_, message)| message).collect()
}

#[test]
fn variables_are_filled_in_inside_strings_and_bare() {
    for (text, expected) in [
        (r#"a = "http://${HOST}/x""#, r#"a = "http://shop:8080/x""#),
        ("a = 'http://${HOST}/x'", "a = 'http://shop:8080/x'"),
        ("a = \"\"\"\n${HOST}\"\"\"", "a = \"\"\"\nshop:8080\"\"\""),
        ("a = '''\n${HOST}'''", "a = '''\nshop:8080'''"),
        ("vus = ${N}", "vus = 12"),
        ("vus = ${M:-7}", "vus = 7"),
        ("x = ${ON}", "x = true"),
        (r#"a = "${M:-default}""#, r#"a = "default""#),
        (r#"a = "${M:-}""#, r#"a = """#),
        (r#"a = "${E:-default}""#, r#"a = "default""#),
        (r#"a = "${E}b""#, r#"a = "b""#),
        (r#"a = "${M:-say \"hi\"}""#, r#"a = "say \"hi\"""#),
        (r#"a = "$$5 $${HOST}""#, r#"a = "$5 ${HOST}""#),
        (r#"a = "$5 costs $""#, r#"a = "$5 costs $""#),
        (r#"a = "${M:-$$5}""#, r#"a = "$5""#),
        ("# ${UNSET} $$\na = 1", "# ${UNSET} $$\na = 1"),
        ("a = \"\" # ${UNSET}", "a = \"\" # ${UNSET}"),
        ("a = \"x\\\"\" # ${UNSET}", "a = \"x\\\"\" # ${UNSET}"),
        ("a = \"\"\"x\"\"\"\"\" # ${UNSET}", "a = \"\"\"x\"\"\"\"\" # ${UNSET}"),
    ] {
        assert_eq!(filled(text), expected, "{text}");
    }
}

#[test]
fn a_value_cannot_leave_its_quotes() {
    let text = filled(r#"a = "${Q}""#);
    let document = Document::parse(text.as_str()).unwrap();
    assert_eq!(document.get("a").unwrap().as_str(), Some("a\"b\\c\nd"));
}

#[test]
fn a_refusal_says_what_would_be_right() {
    for (text, message) in [
        (
            r#"a = "${UNSET}""#,
            "${UNSET} is not set; give --set UNSET=VALUE, set it in the environment, or write ${UNSET:-DEFAULT}",
        ),
        (r#"a = "${HOST""#, r#""${" is not closed; write "${NAME}", or "$$" for a dollar sign"#),
        ("a = \"${HOST\n}\"", r#""${" is not closed; write "${NAME}", or "$$" for a dollar sign"#),
        (r#"a = "${}""#, r#""" is not a variable's name; write "${NAME}" or "${NAME:-default}""#),
        (r#"a = "${1X}""#, r#""1X" is not a variable's name; write "${NAME}" or "${NAME:-default}""#),
        (r#"a = "${A B}""#, r#""A B" is not a variable's name; write "${NAME}" or "${NAME:-default}""#),
        (r#"a = "${A:-${B}}""#, "a default cannot hold another variable; write its text"),
        (
            "a = ${HOST}",
            r#"${HOST} is "shop:8080" and stands outside of quotes, where only a number, true or false may; write "${HOST}""#,
        ),
        ("a = '${S}'", "the value of ${S} cannot stand in single quotes; use double quotes"),
    ] {
        assert_eq!(refusals(text), [message], "{text}");
    }
}

#[test]
fn every_unset_variable_is_told_at_once() {
    assert_eq!(refusals("a = \"${U1}\"\nb = \"${U2} ${HOST} ${U3}\"").len(), 3);
}

#[test]
fn a_result_past_the_bound_stops_there() {
    let variables = BTreeMap::from([("BIG".to_owned(), "x".repeat(100_000))]);
    let text = format!("a = \"{}\"", "${BIG}".repeat(1000));
    assert_eq!(
        substitute(&text, &variables).unwrap_err().first().unwrap().1,
        "the plan with its variables filled in is over 1 MiB"
    );
}

proptest! {
    #[test]
    fn any_value_arrives_in_the_string_unchanged(value in any::<String>()) {
        let variables = BTreeMap::from([("V".to_owned(), value.clone())]);
        for text in ["a = \"${V}\"", "a = \"\"\"${V}\"\"\""] {
            let filled = substitute(text, &variables).unwrap().text;
            let document = Document::parse(filled.as_str()).unwrap();
            prop_assert_eq!(document.get("a").unwrap().as_str(), Some(value.as_str()));
        }
    }

    #[test]
    fn no_text_panics_and_pieces_cover_it(text in "([a-z\"'#$\\\\{}:\n=-]|\\$\\{[A-Z]{1,2}\\}|.)*") {
        if let Ok(done) = substitute(&text, &variables()) {
            let mut end = 0;
            for piece in &done.pieces {
                prop_assert_eq!(piece.text.start, end);
                end = piece.text.end;
            }
            prop_assert_eq!(end, done.text.len());
        }
    }
}
