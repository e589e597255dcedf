//! The plans of the guide parse, and mean what the guide says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hyperscale_plan::{describe, load, parse};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/examples")
}

#[test]
fn every_example_of_the_guide_loads_and_travels() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let loaded = load(&name, &fs::read(&path).unwrap(), &BTreeMap::new(), &mut |file| {
            fs::read(folder().join(file))
        })
        .unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(parse(&name, &loaded.text.text).unwrap(), loaded.plan, "{name}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen} examples");
}

/// The TOML blocks of a page that hold a whole plan.
fn plans_of(page: &str) -> Vec<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page)).unwrap();
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("[workflows.")).map(str::to_owned).collect()
}

#[test]
fn every_whole_plan_on_the_pages_loads() {
    for (page, least) in [("guide/plans.md", 2), ("reference/plan_file.md", 2)] {
        let plans = plans_of(page);
        assert!(plans.len() >= least, "{page} has {} plans", plans.len());
        for text in plans {
            load(page, text.as_bytes(), &BTreeMap::new(), &mut |file| fs::read(folder().join(file)))
                .unwrap_or_else(|errors| panic!("{errors}\n\n{text}"));
        }
    }
}

#[test]
fn the_reference_names_every_key() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/plan_file.md"))
            .unwrap();
    let unknown = "[workflows.w]\nzzzzzzzz = 1\nsteps = [{ zzzzzzzz = 1 }]\n[defaults]\nzzzzzzzz = 1\n[placement]\nzzzzzzzz = 1\n[zzzzzzzz]\n";
    let errors = parse("x", unknown).unwrap_err();
    let mut keys = 0;
    for message in errors.errors().iter().map(|error| &error.message) {
        let Some((_, known)) = message.split_once("; known: ") else { continue };
        for key in known.split(", ") {
            assert!(page.contains(&format!("`{key}`")), "{key} is not on the page");
            keys += 1;
        }
    }
    assert!(keys > 40, "{keys} keys");
}

#[test]
fn a_plan_is_described_in_a_few_lines() {
    let text = fs::read(folder().join("checkout.toml")).unwrap();
    let loaded =
        load("checkout.toml", &text, &BTreeMap::new(), &mut |file| fs::read(folder().join(file))).unwrap();
    let shown = describe(&loaded.plan);
    assert_eq!(shown, include_str!("checkout.txt"), "\n{shown}");
}
