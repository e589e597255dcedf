//! The plan file: bytes of a user, and the text that travels.

use std::collections::BTreeMap;
use std::io;

use hyperscale_plan::{load, parse};

use crate::{Rng, Shown, Tally, repository, rounds};

/// What makes a plan another, and what makes it none.
const WORDS: [&str; 20] = [
    "0",
    "-1",
    "1e18",
    "99999999999999999999",
    "nan",
    "inf",
    "true",
    "\"",
    "'''",
    "[[workflows.a.steps]]",
    "[x]",
    "${A}",
    "${A:",
    "$",
    "{{",
    "}}",
    "after = [\"a\"]",
    "= ",
    "\u{feff}",
    "\r\n",
];

#[test]
fn no_bytes_panic_the_plan_parser_and_a_taken_plan_travels_unchanged() {
    let folder = repository().join("docs/guide/examples");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    names.sort();
    let seeds: Vec<Vec<u8>> = names.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    let (mut rng, mut tally) = (Rng(0x914), Tally::default());
    rounds(1_500, |round| {
        let (seed, other) = (rng.pick(&seeds), rng.pick(&seeds));
        let mut bad = match rng.below(3) {
            0 => rng.mutate(seed, other),
            _ => seed.clone(),
        };
        for _ in 0..rng.below(3) {
            let at = rng.below(bad.len());
            let end = (at + rng.below(8)).min(bad.len());
            bad.splice(at..end, rng.pick(&WORDS).bytes());
        }
        let _shown = Shown(round, &bad);
        let mut read = |name: &str| match name.len() % 2 {
            0 => Ok(vec![b'x'; 100]),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let loaded = load("plan.toml", &bad, &variables, &mut read);
        tally.note(loaded.is_ok());
        match loaded {
            Ok(loaded) => assert_eq!(parse("plan.toml", &loaded.text.text), Ok(loaded.plan)),
            Err(errors) => assert!(errors.to_string().contains("plan.toml"), "{errors}"),
        }
        // As it would come from another node, which has no files and no variables.
        let _parsed = parse("plan", &String::from_utf8_lossy(&bad));
    });
}
