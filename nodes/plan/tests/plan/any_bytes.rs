//! Whatever the bytes: an answer, never a panic.

use std::collections::BTreeMap;

use hyperscale_plan::{load, parse};
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of plans: joined at random they reach deeper than random letters.
const PIECES: [&str; 40] = [
    "target = ",
    "name = ",
    "thresholds = ",
    "[defaults]\n",
    "[workflows.a]\n",
    "[workflows.b]\n",
    "[[workflows.a.steps]]\n",
    "vus = ",
    "rate = ",
    "duration = ",
    "stages = ",
    "after = ",
    "steps = ",
    "headers = ",
    "get = ",
    "think = ",
    "json = ",
    "body = ",
    "body_file = ",
    "iterations = ",
    "\n",
    "\"http://h\"",
    "\"30s\"",
    "\"30s:5/s\"",
    "5",
    "-1",
    "nan",
    "1e300",
    "[",
    "]",
    "{ ",
    " }",
    ", ",
    "\"/\"",
    "\"a\"",
    "\"latency.p99 < 1s\"",
    "${X}",
    "'''",
    "\"\"\"",
    "\u{feff}\0é",
];

fn load_any(bytes: &[u8]) {
    let variables = BTreeMap::from([("X".to_owned(), "1".to_owned())]);
    match load("plan.toml", bytes, &variables, &mut |_| Ok(b"body".to_vec())) {
        Ok(loaded) => assert_eq!(parse("plan.toml", &loaded.text.text).unwrap(), loaded.plan),
        Err(errors) => {
            assert!(!errors.errors().is_empty());
            assert!(errors.to_string().starts_with("plan.toml:"));
        }
    }
}

#[test]
fn awkward_bytes_are_refused_with_a_place() {
    let nested = format!("a = {}", "[".repeat(500_000));
    let keys = format!("{}a = 1", "a.".repeat(500_000));
    for (bytes, expected) in [
        (&b"\xff\xfea\0"[..], "plan.toml:1:1: the plan is UTF-16; save it as UTF-8"),
        (
            b"a = 1\nb = \"\xc3\xbc\xff\"",
            "plan.toml:2:7: byte 0xff is not UTF-8; is this a plan, and saved as UTF-8?",
        ),
        (b"\x7fELF\x02\x01\x01\0", "plan.toml:1:1: not TOML: "),
        (b"\x1f\x8b\x08", "plan.toml:1:2: byte 0x8b is not UTF-8"),
        (nested.as_bytes(), "plan.toml:1:"),
        (keys.as_bytes(), "plan.toml:1:"),
    ] {
        let shown =
            load("plan.toml", bytes, &BTreeMap::new(), &mut |_| Ok(Vec::new())).unwrap_err().to_string();
        assert!(shown.starts_with(expected), "{expected}: {}", shown.chars().take(300).collect::<String>());
        assert!(shown.len() < 2_000, "{} bytes for {expected}", shown.len());
    }
}

#[test]
fn a_mebibyte_of_mistakes_is_answered_with_the_first_hundred() {
    // Each would take minutes if every mistake cost a look through the text.
    let mut keys = String::new();
    for i in 0..80_000 {
        keys.push_str(&format!("key{i} = 1\n"));
    }
    let variables: String = (0..100_000).map(|i| format!("${{V{i}}}")).collect();
    for text in [keys, "a = =\n".repeat(170_000), format!("a = \"{variables}\"")] {
        let errors =
            load("plan.toml", text.as_bytes(), &BTreeMap::new(), &mut |_| Ok(Vec::new())).unwrap_err();
        assert_eq!(errors.errors().len(), 100);
        assert!(errors.to_string().ends_with(" more errors"));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        load_any(&bytes);
    }

    #[test]
    fn random_pieces_never_panic(picks in vec(0..PIECES.len(), 0..60)) {
        load_any(picks.iter().map(|pick| PIECES[*pick]).collect::<String>().as_bytes());
    }

    #[test]
    fn a_plan_with_a_few_wrong_bytes_never_panics(edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = include_bytes!("../../../../docs/guide/examples/checkout.toml").to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        load_any(&bytes);
    }

    #[test]
    fn a_plan_cut_anywhere_never_panics(at in any::<prop::sample::Index>()) {
        let bytes = include_bytes!("../../../../docs/guide/examples/checkout.toml");
        load_any(&bytes[..at.index(bytes.len())]);
    }
}
