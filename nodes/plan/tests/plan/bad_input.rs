//! What a user gets wrong, and the exact words he gets back.

use crate::{errors, home};

/// Lines of a workflow that has a target and a step; and its only error.
fn assert_refused(cases: &[(&str, &str)]) {
    for (lines, expected) in cases {
        assert_eq!(errors(&home(lines)), [*expected], "{lines}");
    }
}

#[test]
fn keys_that_may_not_stand_there() {
    assert_refused(&[
        (
            "vus = 1\ndurration = \"30s\"\niterations = 1",
            r#"4:1: unknown key "durration" in workflows.home; did you mean "duration"?"#,
        ),
        (
            "vus = 1\niterations = 1\nwarmup = true",
            r#"5:1: "warmup" in workflows.home is not supported yet; remove it"#,
        ),
        (
            "vus = 1\niterations = 1\njson = 1",
            r#"5:1: unknown key "json" in workflows.home; it belongs in a step"#,
        ),
    ]);
    for (text, expected) in [
        ("tls = { ca = \"x\" }", r#"1:1: "tls" in the plan is not supported yet; remove it"#),
        ("[data.users]\ncsv = \"x\"", r#"1:2: "data" in the plan is not supported yet; remove it"#),
        ("[placement]\nworkers = 4", r#"2:1: "workers" in placement is not supported yet; remove it"#),
        ("vus = 10", r#"1:1: unknown key "vus" in the plan; it belongs in [workflows.NAME]"#),
        (
            "[defaults]\ntimeuot = \"5s\"",
            r#"2:1: unknown key "timeuot" in defaults; did you mean "timeout"?"#,
        ),
        ("[defaults]\ntls = {}", r#"2:1: "tls" in defaults is not supported yet; remove it"#),
    ] {
        let rest = "\n[workflows.w]\nvus = 1\niterations = 1\nsteps = [{ get = \"http://h/\" }]";
        assert_eq!(errors(&format!("{text}{rest}")), [expected], "{text}");
    }
}

#[test]
fn values_of_a_wrong_type_unit_or_range() {
    assert_refused(&[
        ("vus = 0\niterations = 1", "3:7: vus must be 1 to 1,000,000, found 0"),
        ("vus = -5\niterations = 1", "3:7: vus must be 1 to 1,000,000, found -5"),
        ("vus = 1000001\niterations = 1", "3:7: vus must be 1 to 1,000,000, found 1000001"),
        ("vus = \"2m\"\niterations = 1", "3:7: vus must be 1 to 1,000,000, found 2000000"),
        ("vus = \"ten\"\niterations = 1", r#"3:7: "ten" is not a count; write 200, "10k" or "1.5m""#),
        (
            "vus = 1.5\niterations = 1",
            r#"3:7: "vus" must be a whole number, such as 10 or "10k"; found a number"#,
        ),
        (
            "vus = true\niterations = 1",
            r#"3:7: "vus" must be a whole number, such as 10 or "10k"; found true or false"#,
        ),
        (
            "vus = []\niterations = 1",
            r#"3:7: "vus" must be a whole number, such as 10 or "10k"; found a list"#,
        ),
        (
            "vus = 1\nduration = \"30 sec\"",
            r#"4:12: "30 sec" is not a duration; write "30s", "1m30s" or "500ms""#,
        ),
        (
            "vus = 1\nduration = \"10 minutes\"",
            r#"4:12: "10 minutes" is not a duration; write "10m", "1m30s" or "500ms""#,
        ),
        ("vus = 1\nduration = 30", r#"4:12: "duration" has no unit; write "30s" or "30ms""#),
        ("vus = 1\nduration = 1.5", r#"4:12: "duration" has no unit; write "1.5s" or "1.5ms""#),
        ("vus = 1\nduration = \"0s\"", r#"4:12: "duration" must be 1ms to 30d, found "0s""#),
        ("vus = 1\nduration = \"31d\"", r#"4:12: "duration" must be 1ms to 30d, found "31d""#),
        (
            "vus = 1\nduration = false",
            r#"4:12: "duration" must be a duration in quotes, such as "30s"; found true or false"#,
        ),
        ("vus = 1\niterations = 0", "4:14: iterations must be 1 to 1,000,000,000,000, found 0"),
        (
            "vus = 1\ntotal_iterations = \"2000000m\"",
            "4:20: total_iterations must be 1 to 1,000,000,000,000, found 2000000000000",
        ),
        (
            "rate = -5\nduration = \"1s\"",
            r#"3:8: rate must be above 0, found -5; for a pause use a stage "30s:0/s""#,
        ),
        (
            "rate = 0\nduration = \"1s\"",
            r#"3:8: rate must be above 0, found 0; for a pause use a stage "30s:0/s""#,
        ),
        (
            "rate = nan\nduration = \"1s\"",
            r#"3:8: rate must be above 0, found NaN; for a pause use a stage "30s:0/s""#,
        ),
        (
            "rate = 1e18\nduration = \"1s\"",
            "3:8: rate must be at most 10,000,000/s, found 1000000000000000000",
        ),
        ("rate = \"11m/s\"\nduration = \"1s\"", r#"3:8: rate must be at most 10,000,000/s, found "11m/s""#),
        (
            "rate = \"fast\"\nduration = \"1s\"",
            r#"3:8: "fast" is not a rate; write "500/s", "30/m" or "1.5k/s""#,
        ),
        ("start_rate = -1\nstages = [\"1s:1/s\"]", "3:14: start_rate must be 0/s to 10,000,000/s, found -1"),
        (
            "rate = 1\nduration = \"1s\"\narrivals = \"gauss\"",
            r#"5:12: "arrivals" must be "constant" or "poisson", found "gauss""#,
        ),
        (
            "vus = 1\niterations = 1\nkeep_alive = \"yes\"",
            r#"5:14: "keep_alive" must be true, false or "iteration", found "yes""#,
        ),
        (
            "vus = 1\niterations = 1\ngraceful_stop = \"2d\"",
            r#"5:17: "graceful_stop" must be 0s to 1d, found "2d""#,
        ),
        ("vus = 1\niterations = 1\ntimeout = \"0s\"", r#"5:11: "timeout" must be 1ms to 1d, found "0s""#),
        ("stages = \"30s:1\"", r#"3:10: "stages" must be a list, such as ["30s:100", "2m:100"]; found text"#),
        ("stages = []", r#"3:10: "stages" is empty; write for example ["30s:100", "2m:100"]"#),
        ("stages = [30]", r#"3:11: a stage is text in quotes, such as "30s:100"; found a whole number"#),
        (
            "stages = [\"30s\"]",
            r#"3:11: "30s" is not a stage; write "30s:100" for VUs or "30s:100/s" for a rate"#,
        ),
        (
            "stages = [\"1s:1\", \"1s:1/s\"]",
            r#"3:10: the stages mix VUs ("30s:100") and rates ("30s:100/s"); write all of one kind"#,
        ),
        ("start_vus = 0\nstages = [\"1s:0\"]", "4:1: the stages of workflows.home never leave 0 VUs"),
        ("stages = [\"1s:0/s\"]", "3:1: the stages of workflows.home never leave 0/s"),
    ]);
}

#[test]
fn load_keys_that_do_not_fit_together() {
    assert_refused(&[
        (
            "",
            "2:12: workflows.home has no load; add vus = 10 with duration = \"30s\", or rate = \"100/s\" with a duration, or stages",
        ),
        ("max_vus = 5", "2:12: workflows.home has \"max_vus\" but no rate; add rate = \"100/s\" or stages"),
        ("vus = 1", "3:1: workflows.home has no end; add duration = \"30s\" or total_iterations = 1000"),
        ("rate = 1", "3:1: workflows.home has no end; add duration = \"30s\" or total_iterations = 1000"),
        (
            "vus = 1\nrate = 1\nduration = \"1s\"",
            "3:1: workflows.home has both \"rate\" and \"vus\", but there iterations arrive at a rate; the limit of VUs is \"max_vus\"",
        ),
        (
            "vus = 1\nduration = \"1s\"\nmax_vus = 3",
            "5:1: workflows.home has both \"vus\" and \"max_vus\", but there virtual users loop (vus); keep one",
        ),
        (
            "rate = 1\niterations = 3",
            "4:1: workflows.home has both \"rate\" and \"iterations\", but there iterations arrive at a rate; use \"total_iterations\"",
        ),
        (
            "stages = [\"1s:1\"]\nvus = 1",
            "4:1: workflows.home has both \"stages\" and \"vus\"; the VUs at the start are \"start_vus\"",
        ),
        (
            "stages = [\"1s:1/s\"]\nrate = 1",
            "4:1: workflows.home has both \"stages\" and \"rate\"; the rate at the start is \"start_rate\"",
        ),
        (
            "stages = [\"1s:1\"]\nduration = \"1s\"",
            "4:1: workflows.home has both \"stages\" and \"duration\"; the stages say how long",
        ),
        (
            "start_vus = 1\nduration = \"1s\"",
            "3:1: workflows.home has \"start_vus\" but no stages; a constant load is \"vus\"",
        ),
        (
            "vus = 1\niterations = 1\ntotal_iterations = 1",
            "5:1: workflows.home has both \"iterations\" (of each VU) and \"total_iterations\" (of all); keep one",
        ),
        (
            "vus = 1\nduration = \"1s\"\nmax_duration = \"1m\"",
            "5:1: workflows.home has \"max_duration\" but no count; it caps \"iterations\" or \"total_iterations\": use \"duration\"",
        ),
    ]);
}

#[test]
fn a_path_without_a_target_and_a_target_that_is_broken() {
    let rest = "[workflows.w]\nvus = 1\niterations = 1\nsteps = [{ name = \"pay\", post = \"/pay\" }, { get = \"/x\" }]";
    assert_eq!(
        errors(rest),
        [
            "4:33: step \"pay\" of workflows.w has a path but the plan has no target; add target = \"http://HOST\" or write a full URL",
            "4:51: step 2 of workflows.w has a path but the plan has no target; add target = \"http://HOST\" or write a full URL",
        ]
    );
    for (target, expected) in [
        (
            "\"127.0.0.1:8080\"",
            r#"1:10: "127.0.0.1:8080" has no scheme; did you mean "http://127.0.0.1:8080"?"#,
        ),
        ("\"http://\"", r#"1:10: "http://" has no host; write "http://HOST/""#),
        ("\"http://h:99999\"", r#"1:10: port "99999" is not one; a port is 1 to 65535"#),
        ("\"http://h/?a\"", r#"1:10: target "http://h/?a" has a query; write it in the steps"#),
        (
            "80",
            r#"1:10: "target" must be text in quotes, such as "http://127.0.0.1:8080"; found a whole number"#,
        ),
    ] {
        assert_eq!(errors(&format!("target = {target}\n{rest}")), [expected]);
    }
}

/// Three workflows with these `after` lists.
fn ordered(first: &str, second: &str, third: &str) -> String {
    let workflow = |name: &str, after: &str| {
        format!(
            "[workflows.{name}]\nvus = 1\niterations = 1\nsteps = [{{ get = \"http://h/\" }}]\nafter = {after}\n"
        )
    };
    workflow("buy", first) + &workflow("warm", second) + &workflow("end", third)
}

#[test]
fn an_order_that_never_starts() {
    for (text, expected) in [
        (
            ordered("[\"warm\"]", "[\"buy\"]", "[]"),
            "5:9: workflows wait for each other: buy -> warm -> buy; remove one \"after\"",
        ),
        (
            ordered("[]", "[\"end\"]", "[\"buy\", \"warm\"]"),
            "10:9: workflows wait for each other: warm -> end -> warm; remove one \"after\"",
        ),
        (
            ordered("[\"wram\"]", "[]", "[]"),
            "5:10: after names \"wram\", which is not a workflow; did you mean \"warm\"?",
        ),
        (ordered("[\"buy\"]", "[]", "[]"), "5:10: workflows.buy waits for itself; remove \"buy\" from after"),
        (ordered("[\"end\", \"end\"]", "[]", "[]"), "5:17: after names \"end\" twice; once is enough"),
        (ordered("\"warm\"", "[]", "[]"), "5:9: \"after\" must be a list, such as [\"warm\"]; found text"),
        (ordered("[5]", "[]", "[]"), "5:10: \"after\" is a list of names in quotes; found a whole number"),
    ] {
        assert_eq!(errors(&text), [expected]);
    }
}

#[test]
fn thresholds_that_cannot_be_judged() {
    for (thresholds, expected) in [
        ("5", "1:14: \"thresholds\" must be a list, such as [\"latency.p99 < 250ms\"]; found a whole number"),
        ("[5]", "1:15: a threshold is text, such as \"latency.p99 < 250ms\"; found a whole number"),
        (
            "[\"latancy.p99 < 1s\"]",
            "1:15: threshold \"latancy.p99 < 1s\": no metric \"latancy\"; did you mean \"latency\"?",
        ),
        (
            "[{ expression = \"errors < 1\", abort_after = \"10s\" }]",
            "1:44: \"abort_after\" in a threshold is not supported yet; remove it",
        ),
        (
            "[{ over = \"10s\", expression = \"errors < 1\" }]",
            "1:17: \"over\" in a threshold is not supported yet; remove it",
        ),
        ("[{ }]", "1:15: a threshold's table has no expression; add expression = \"latency.p99 < 250ms\""),
    ] {
        let text = format!("thresholds = {thresholds}\n{}", home("vus = 1\niterations = 1"));
        assert_eq!(errors(&text), [expected], "{thresholds}");
    }
}

#[test]
fn files_that_are_no_plan() {
    for (text, expected) in [
        ("", "1:1: the plan is empty"),
        (" \n\t\n", "1:1: the plan is empty"),
        ("\u{feff}", "1:1: the plan is empty"),
        ("# nothing\n", "1:1: the plan has no workflow; add [workflows.NAME]"),
        ("[workflows]", "1:2: the plan has no workflow; add [workflows.NAME]"),
        (
            "[[workflows]]\nvus = 1",
            "1:3: \"workflows\" is a table of named workflows; write [workflows.NAME] instead of [[workflows]]",
        ),
        ("workflows = 5", "1:13: workflows must be a table, found a whole number"),
        ("workflows.a = 5", "1:15: workflows.a must be a table, found a whole number"),
        ("\0\0\0", "1:1: not TOML: a NUL byte; is this a binary file?"),
        ("a = 1\na = 2", "2:1: \"a\" is set twice; keep one"),
    ] {
        assert_eq!(errors(text), [expected], "{text:?}");
    }
    let odd = home("vus = 1\niterations = 1").replace("workflows.home", "workflows.\"a b\"");
    assert_eq!(
        errors(&odd),
        ["2:12: \"a b\" is not a workflow's name; use 1 to 64 letters, digits, \"-\" and \"_\""]
    );
    let odd = format!("window = \"20s\"\nname = \"\"\n{}", home("vus = 1\niterations = 1"));
    assert_eq!(
        errors(&odd),
        [
            "1:10: \"window\" must be 100ms to 10s, found \"20s\"",
            "2:8: \"name\" must have 1 to 128 characters, found 0"
        ]
    );
}

#[test]
fn plans_past_a_bound() {
    let many: String = (0..10_000).map(|i| format!("[workflows.w{i}]\n")).collect();
    assert_eq!(errors(&many), ["1:2: 10,000 workflows; a plan has at most 256"]);
    let steps = vec!["{ get = \"/\" }"; 1025].join(", ");
    let text = format!("target = \"http://h\"\n[workflows.w]\nvus = 1\niterations = 1\nsteps = [{steps}]");
    assert_eq!(errors(&text), ["5:1: the plan has more than 1,024 steps; write fewer"]);
    let large = format!("# {}", "x".repeat(1 << 20));
    assert_eq!(
        errors(&large),
        ["1:1: the plan is 1,048,578 bytes; at most 1 MiB (1,048,576) can be sent, body files included"]
    );
    let thresholds = vec!["\"errors < 1\""; 257].join(", ");
    let text = format!("thresholds = [{thresholds}]\n{}", home("vus = 1\niterations = 1"));
    assert_eq!(errors(&text), ["1:1: 257 thresholds; a plan has at most 256"]);
    let headers: String = (0..129).map(|i| format!("h{i} = \"\", ")).collect();
    let text = home(&format!("vus = 1\niterations = 1\nheaders = {{ {headers}x = \"\" }}"));
    assert_eq!(errors(&text), ["5:1: headers of workflows.home are more than 128; send fewer"]);
    let after = "\"x\", ".repeat(257);
    assert_eq!(
        errors(&home(&format!("vus = 1\niterations = 1\nafter = [{after}]"))),
        ["5:1: after names 257 workflows; a plan has at most 256"]
    );
    let value = "x".repeat(70_000);
    let text = home(&format!("vus = 1\niterations = 1\nheaders = {{ a = \"{value}\" }}"));
    assert_eq!(errors(&text), ["6:10: the headers of step 1 of workflows.home are over 64 KiB together"]);
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_their_lines() {
    let text = "\
name = \"shop\"
target = \"http://h:0\"
thresholds = [\"latancy.p99 < 1s\"]

[workflows.buy]
after = [\"wram\"]
vus = 0
duration = \"30 sec\"
durration = 1
steps = [{ get = \"x\" }]

[workflows.warm]
rate = -5
duration = \"1s\"
steps = [{ get = \"/\" }]
";
    let shown = hyperscale_plan::parse("plan.toml", text).unwrap_err().to_string();
    let expected = include_str!("all_at_once.txt");
    assert_eq!(shown.trim_end(), expected.trim_end(), "\n{shown}");
}
