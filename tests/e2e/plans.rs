//! Plans against the built-in target: the order of workflows, and counts step by step.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::target::Target;
use crate::{assert_adds_up, number, run, summary, text};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/examples")
}

fn requests_of(workflow: &Value, step: usize) -> u64 {
    number(&workflow["steps"][step]["totals"]["requests"])
}

#[test]
fn the_guides_three_workflows_run_in_their_order_and_are_counted_step_by_step() {
    let target = Target::start(&[]);
    let plan = examples().join("three_workflows.toml");
    let set = format!("SHOP={}", target.url());
    let output = run(&["run", plan.to_str().unwrap(), "--set", &set, "--json", "-", "--quiet"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary = summary(&output);
    assert_adds_up(&summary);
    let served = target.count("served");
    let (requests, cancelled) =
        (number(&summary["totals"]["requests"]), number(&summary["totals"]["cancelled"]));
    assert!(requests <= served && served <= requests + cancelled, "{served}: {summary}");
    let workflows = summary["workflows"].as_array().unwrap();
    let names: Vec<&str> = workflows.iter().map(|workflow| workflow["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["warm", "buy", "browse"]);
    assert!(workflows.iter().all(|workflow| workflow["status"] == "completed"), "{summary}");

    let [warm, buy, browse] = workflows.as_slice() else { panic!("{summary}") };
    assert_eq!(requests_of(warm, 0), 200, "20 by each of 10 users");
    // 1 s up to 40/s, 1 s of it, 1 s down to nothing: the area under the rate.
    assert_eq!(buy["iterations"]["due"], 80);
    let started = number(&buy["iterations"]["started"]);
    assert_eq!(requests_of(buy, 0), started, "each who came logged in");
    assert!(requests_of(buy, 1) <= started);
    assert!(number(&buy["iterations"]["completed"]) <= requests_of(buy, 1));
    assert!(requests_of(browse, 0) >= requests_of(browse, 1), "nobody searches who did not look");
    assert!(requests_of(browse, 1) > 0, "{browse}");
    // One after the other: warm, and then the 3 s of the longer two.
    let seconds = |workflow: &Value| workflow["duration_s"].as_f64().unwrap();
    let whole = summary["duration_s"].as_f64().unwrap();
    assert!(whole >= seconds(warm) + seconds(buy).max(seconds(browse)) - 0.01, "{summary}");
}

/// The first user comes 2 s after the second workflow began: its first windows have nothing in them.
#[test]
fn a_workflow_whose_first_windows_are_empty_is_counted_to_the_last_request() {
    let target = Target::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("late.toml");
    let body = format!(
        "target = \"{}\"\n\
         [workflows.first]\nvus = 1\niterations = 1\nsteps = [{{ get = \"/\" }}]\n\
         [workflows.late]\nafter = [\"first\"]\nstart_vus = 0\nstages = [\"2s:1\", \"1s:2\"]\n\
         steps = [{{ get = \"/\" }}, {{ think = \"50ms\" }}]\n",
        target.url()
    );
    std::fs::write(&plan, body).unwrap();
    let output = run(&["run", plan.to_str().unwrap(), "--json", "-", "--quiet"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary = summary(&output);
    assert_adds_up(&summary);
    assert_eq!(summary["partial"], false, "{summary}");
    assert!(number(&summary["workflows"][1]["iterations"]["due"]) > 0, "{summary}");
    let (requests, cancelled) =
        (number(&summary["totals"]["requests"]), number(&summary["totals"]["cancelled"]));
    let served = target.count("served");
    assert!(requests <= served && served <= requests + cancelled, "{served}: {summary}");
}

#[test]
fn every_example_of_the_guide_is_a_plan() {
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "toml") {
            let output = run(&["check", path.to_str().unwrap()]);
            assert!(output.status.success(), "{}: {}", path.display(), text(&output.stderr));
        }
    }
}

#[test]
fn a_workflow_whose_forerunner_failed_is_skipped_and_the_run_is_exit_1() {
    let target = Target::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("skipped.toml");
    let body = format!(
        "target = \"{}\"\n\
         [workflows.first]\nvus = 1\niterations = 1\nsteps = [{{ get = \"http://no.invalid/\" }}]\n\
         [workflows.second]\nafter = [\"first\"]\nvus = 1\niterations = 1\nsteps = [{{ get = \"/\" }}]\n",
        target.url()
    );
    std::fs::write(&plan, body).unwrap();
    let output = run(&["run", plan.to_str().unwrap(), "--json", "-", "--quiet"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let summary = summary(&output);
    assert_eq!(summary["workflows"][0]["status"], "failed", "{summary}");
    assert_eq!(summary["workflows"][1]["status"], "skipped", "{summary}");
    assert_eq!(target.count("served"), 0);
}

#[test]
fn a_threshold_that_fails_is_exit_99_and_the_report_names_it() {
    let target = Target::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("threshold.toml");
    let body = format!(
        "target = \"{}\"\nthresholds = [\"requests == 11\", \"errors == 0\"]\n\
         [workflows.a]\nvus = 1\ntotal_iterations = 10\nsteps = [{{ get = \"/\" }}]\n",
        target.url()
    );
    std::fs::write(&plan, body).unwrap();
    let output = run(&["run", plan.to_str().unwrap(), "--quiet"]);
    assert_eq!(output.status.code(), Some(99), "{}", text(&output.stderr));
    let screen = text(&output.stdout);
    assert!(screen.contains("✗ requests == 11 (10)") && screen.contains("✓ errors == 0"), "{screen}");
}
