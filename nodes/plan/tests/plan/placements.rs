//! Where the load comes from: what a plan may say, and the words it gets back where it may not.

use hyperscale_plan::{Datacenters, NamedShare, Placement, describe, parse};

use crate::marked;

const REST: &str = "\n[workflows.w]\nvus = 1\niterations = 1\nsteps = [{ get = \"http://h/\" }]\n";

fn placement(lines: &str) -> Placement {
    parse("plan.toml", &format!("{lines}{REST}")).unwrap_or_else(|errors| panic!("{errors}")).placement
}

fn named(shares: &[(&str, u32)], fallback: bool) -> Placement {
    let shares = shares.iter().map(|&(name, weight)| NamedShare { name: name.to_owned(), weight });
    Placement { datacenters: Datacenters::Named(shares.collect()), fallback }
}

#[test]
fn every_way_to_place_a_load_is_read() {
    for (lines, expected) in [
        ("", Placement { datacenters: Datacenters::All, fallback: true }),
        ("[placement]", Placement { datacenters: Datacenters::All, fallback: true }),
        ("placement.fallback = false", Placement { datacenters: Datacenters::All, fallback: false }),
        ("placement.count = 2", Placement { datacenters: Datacenters::Best(2), fallback: true }),
        (
            "placement = { count = 2, fallback = false }",
            Placement { datacenters: Datacenters::Best(2), fallback: false },
        ),
        ("[placement]\ndatacenters = [\"dc-1\", \"dc-2\"]", named(&[("dc-1", 1), ("dc-2", 1)], false)),
        (
            "[placement]\ndatacenters = { dc-1 = \"60%\", dc-2 = \"40%\" }\nfallback = true",
            named(&[("dc-1", 60_000), ("dc-2", 40_000)], true),
        ),
        (
            "[placement.datacenters]\nfra = \"33.333%\"\niad = \"66.667%\"",
            named(&[("fra", 33_333), ("iad", 66_667)], false),
        ),
        ("[placement]\ndatacenters = { dc-1 = 3, dc-2 = 1 }", named(&[("dc-1", 3), ("dc-2", 1)], false)),
        ("[placement]\ndatacenters = { \"eu west\" = 8 }", named(&[("eu west", 8)], false)),
    ] {
        assert_eq!(placement(lines), expected, "{lines}");
    }
}

#[test]
fn a_placement_that_cannot_be_is_refused_in_its_place() {
    for (lines, under, message) in [
        ("placement = 3", "3", "placement must be a table, found a whole number"),
        (
            "[placement]\ndatacentres = [\"a\"]",
            "datacentres",
            "unknown key \"datacentres\" in placement; did you mean \"datacenters\"?",
        ),
        (
            "[placement]\ndatacenters = [\"a\"]\ncount = 1",
            "count",
            "placement has both \"datacenters\" and \"count\"; name the datacenters, or say how many",
        ),
        ("placement.datacenters = []", "[]", "\"datacenters\" names none; name one, or remove it"),
        ("placement.datacenters = {}", "{}", "\"datacenters\" names none; name one, or remove it"),
        (
            "placement.datacenters = \"dc-1\"",
            "\"dc-1\"",
            "\"datacenters\" must be a list of names, such as [\"dc-1\", \"dc-2\"], or a table of shares, such as \
             { dc-1 = \"60%\", dc-2 = \"40%\" }; found text",
        ),
        (
            "placement.datacenters = [\"a\", \"b\", \"a\"]",
            "\"a\"",
            "datacenters names \"a\" twice; once is enough",
        ),
        (
            "placement.datacenters = [\"a\", 2]",
            "2",
            "\"datacenters\" is a list of names in quotes; found a whole number",
        ),
        ("placement.datacenters = [\"\"]", "\"\"", "a datacenter's name has 1 to 128 characters, found 0"),
        (
            "placement.datacenters = { a = \"60%\", b = \"30%\" }",
            "{ a = \"60%\", b = \"30%\" }",
            "the shares of datacenters add up to 90%; they must be 100% together",
        ),
        (
            "placement.datacenters = { a = \"60%\", b = \"40.5%\" }",
            "{ a = \"60%\", b = \"40.5%\" }",
            "the shares of datacenters add up to 100.5%; they must be 100% together",
        ),
        (
            "placement.datacenters = { a = \"100%\", b = \"0%\" }",
            "\"0%\"",
            "the share of \"b\" is zero; remove it, or give it load",
        ),
        (
            "placement.datacenters = { a = 1, b = 0 }",
            "0",
            "the share of \"b\" is zero; remove it, or give it load",
        ),
        ("placement.datacenters = { a = -1 }", "-1", "the weight of \"a\" must be 1 to 1000000, found -1"),
        (
            "placement.datacenters = { a = 0.6, b = 4 }",
            "0.6",
            "the share of \"a\" must be \"60%\", or a weight such as 3; found a number",
        ),
        (
            "placement.datacenters = { a = \"60\" }",
            "\"60\"",
            "\"60\" is not a percentage; write \"60%\" or \"12.5%\"",
        ),
        (
            "placement.datacenters = { a = \"60%\", b = 40 }",
            "40",
            "datacenters mixes percentages and weights; write all of them as \"60%\", or all as 3",
        ),
        ("placement.count = 0", "0", "count must be 1 to 64, found 0"),
        ("placement.fallback = \"no\"", "\"no\"", "\"fallback\" must be true or false; found text"),
    ] {
        assert_eq!(marked(&format!("{lines}{REST}")), [(under.to_owned(), message.to_owned())], "{lines}");
    }
}

#[test]
fn a_place_for_every_datacenter_there_is_would_be_no_choice() {
    let names: Vec<String> = (0..65).map(|i| format!("\"dc-{i}\"")).collect();
    let text = format!("placement.datacenters = [{}]{REST}", names.join(", "));
    assert_eq!(crate::errors(&text), ["1:25: 65 datacenters; a plan names at most 64"]);
}

#[test]
fn a_description_says_where_the_load_comes_from() {
    for (lines, said) in [
        ("placement.count = 1", "the best datacenter; another one instead"),
        ("placement.count = 3", "the best 3 datacenters, by their worker shards; fewer instead"),
        ("placement.datacenters = { a = 3, b = 1 }", "75% from a, 25% from b; no others"),
        (
            "[placement]\ndatacenters = [\"a\", \"b\", \"c\"]\nfallback = true",
            "33.333% from a, 33.333% from b, 33.333% from c; others instead",
        ),
    ] {
        let plan = parse("plan.toml", &format!("{lines}{REST}")).unwrap();
        let shown = describe(&plan);
        assert!(shown.contains(&format!("\nplacement\n  {said}\n")), "{shown}");
    }
    let plan = parse("plan.toml", REST).unwrap();
    assert!(!describe(&plan).contains("placement"), "what is not said is not shown");
}
