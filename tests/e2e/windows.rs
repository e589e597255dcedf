//! A job's windows, as `stats` shows them while it runs and after its end.

use serde_json::Value;

use crate::nodes::{Cluster, json, status, submit, wait_for};
use crate::target::Target;
use crate::{number, run, summary, text};

fn sum(rows: &Value, of: &str) -> u64 {
    rows.as_array().unwrap().iter().map(|row| number(&row[of])).sum()
}

#[test]
fn rows_are_told_while_a_job_runs_and_add_up_to_its_result_at_its_end() {
    let target = Target::start(&[]);
    let cluster = Cluster::start(&["--gates", "2", "--workers", "2"]);
    let gates = cluster.gates();
    let plan = cluster.plan("plan.toml", &format!(
        "target = \"{}\"\n[workflows.a]\nrate = \"100/s\"\nmax_vus = 20\nduration = \"6s\"\nsteps = [{{ get = \"/\" }}, {{ get = \"/x\" }}]\n\
         [workflows.b]\nrate = \"50/s\"\nmax_vus = 20\nduration = \"4s\"\nsteps = [{{ get = \"/\" }}]\n",
        target.url()
    ));
    let job = submit(&plan, gates[0]);
    let stats =
        |gate: &str, flags: &[&str]| json(&[&["stats", &job, "--gate", gate, "--json", "-"], flags].concat());
    // Both gates, of which one owns it, while it runs.
    for gate in &gates {
        let seen = wait_for("windows", || {
            let seen = stats(gate, &[]);
            (seen["windows"].as_array().unwrap().len() >= 2).then_some(seen)
        });
        assert_eq!(seen["schema"], "hyperscale.stats/1", "{seen}");
        assert_eq!((&seen["job_id"], &seen["window_s"]), (&job.as_str().into(), &1.0.into()), "{seen}");
        let first = &seen["windows"][0];
        assert_eq!((&first["tier"], number(&first["from"])), (&"hot".into(), 0), "{first}");
        assert!(first["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{first}");
    }
    let output = run(&["watch", &job, "--gate", gates[0], "--json", "-"]);
    let summary = summary(&output);
    assert_eq!(summary["status"], "completed", "{summary}");
    assert_eq!(status(&job, gates[1])["state"], "completed");
    for gate in &gates {
        let all = stats(gate, &[]);
        assert_eq!(all["state"], "completed", "{all}");
        for of in ["requests", "errors", "cancelled", "dropped", "bytes_in", "bytes_out"] {
            assert_eq!(sum(&all["windows"], of), number(&summary["totals"][of]), "{of}: {all}");
        }
        let counts = all["windows"].as_array().unwrap().iter().map(|row| number(&row["latency_ms"]["count"]));
        assert_eq!(counts.sum::<u64>(), number(&summary["latency_ms"]["count"]), "{all}");
    }
    let split = stats(gates[1], &["--workflows"]);
    for workflow in summary["workflows"].as_array().unwrap() {
        let rows = split["windows"].as_array().unwrap().iter();
        let rows = rows.filter(|row| row["workflow"] == workflow["name"]);
        let requests: u64 = rows.map(|row| number(&row["requests"])).sum();
        assert_eq!(requests, number(&workflow["totals"]["requests"]), "{split}");
    }
    let drawn = text(&run(&["stats", &job, "--gate", gates[0], "--workflows"]).stdout);
    assert_eq!(drawn.lines().next().unwrap().split_whitespace().count(), 11, "{drawn}");
    let some = stats(gates[0], &["--from", "1", "--to", "2"]);
    // A loaded gate has two windows in a row.
    let rows = some["windows"].as_array().unwrap();
    assert!((1..=2).contains(&rows.len()), "{some}");
    assert!(rows.iter().all(|row| number(&row["from"]) <= 2 && number(&row["to"]) >= 1), "{some}");
    let none = stats(gates[0], &["--tier", "cold"]);
    assert_eq!(none["windows"], Value::Array(Vec::new()));
    let drawn = text(&run(&["stats", &job, "--gate", gates[0]]).stdout);
    let lines: Vec<Vec<&str>> = drawn.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "WINDOWS AT LENGTH TIER REQUESTS RATE ERRORS P50 P99 MAX");
    assert!(lines[1][0].starts_with('0') && lines[1][3] == "hot", "{drawn}");
    assert!(drawn.lines().all(|line| line.chars().count() <= 80), "{drawn}");
}
