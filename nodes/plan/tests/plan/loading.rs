//! Variables and body files: filled in once, and the text that travels gives the same plan.

use std::collections::BTreeMap;
use std::io;

use hyperscale_plan::{Loaded, Plan, PlanErrors, PlanText, Step, load, parse};
use proptest::collection::vec;
use proptest::prelude::*;

fn loaded(text: &str, variables: &[(&str, &str)], files: &[(&str, &[u8])]) -> Result<Loaded, PlanErrors> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load("plan.toml", text.as_bytes(), &variables, &mut |name| {
        let found = files.iter().find(|(known, _)| *known == name);
        found.map(|(_, content)| content.to_vec()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    })
}

fn body(plan: &Plan) -> &[u8] {
    match &plan.workflows[0].steps[0] {
        Step::Request(request) => &request.body,
        Step::Think(_) => panic!("a pause"),
    }
}

const POST: &str = "[workflows.w]\nvus = ${VUS:-2}\niterations = 1\n[[workflows.w.steps]]\n\
                    post = \"${SHOP:-http://127.0.0.1:8080}/order\"\nbody_file = \"order.json\"\n";

#[test]
fn the_text_that_travels_needs_no_variable_and_no_file() {
    let files: &[(&str, &[u8])] = &[("order.json", b"{\"price\": \"$${X}\"}\n")];
    let loaded = loaded(POST, &[("SHOP", "http://shop")], files).unwrap();
    assert_eq!(
        loaded.text.text,
        "[workflows.w]\nvus = 2\niterations = 1\n[[workflows.w.steps]]\npost = \"http://shop/order\"\n\
         body = \"{\\\"price\\\": \\\"$${X}\\\"}\\n\"\n"
    );
    assert_eq!(body(&loaded.plan), files[0].1);
    assert_eq!(parse("gate", &loaded.text.text).unwrap(), loaded.plan);
}

#[test]
fn the_hash_is_that_of_the_text() {
    let text = PlanText::new("abc".to_owned());
    let hex: String = text.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn an_error_points_to_what_the_user_wrote() {
    let text = "target = \"http://h\"\n[workflows.w] # ${NOT_READ}\nvus = ${A:-1}\nduration = \"${TIME}\"  # ü\n\
                steps = [{ get = \"${LONG}\", timeout = \"5 sec\" }]\n";
    let variables = [("TIME", "30 sec"), ("LONG", "/a/very/long/path/that/moves/every/column")];
    let shown = loaded(text, &variables, &[]).unwrap_err().to_string();
    assert_eq!(
        shown,
        "plan.toml:4:12: \"30 sec\" is not a duration; write \"30s\", \"1m30s\" or \"500ms\"\n  |\n\
         4 | duration = \"${TIME}\"  # ü\n  |            ^^^^^^^^^\n\n\
         plan.toml:5:39: \"5 sec\" is not a duration; write \"5s\", \"1m30s\" or \"500ms\"\n  |\n\
         5 | steps = [{ get = \"${LONG}\", timeout = \"5 sec\" }]\n  |                                       ^^^^^^^"
    );
}

#[test]
fn a_variable_that_is_not_set_is_told_with_its_place() {
    let shown = loaded("target = \"${SHOP}\"\n", &[], &[]).unwrap_err().to_string();
    assert_eq!(
        shown,
        "plan.toml:1:11: ${SHOP} is not set; give --set SHOP=VALUE, set it in the environment, or write \
         ${SHOP:-DEFAULT}\n  |\n1 | target = \"${SHOP}\"\n  |           ^^^^^^^"
    );
}

#[test]
fn a_value_cannot_add_keys_to_the_plan() {
    let text = "[workflows.w]\nvus = ${N}\niterations = 1\nsteps = [{ get = \"http://h/${P}\" }]\n";
    let shown = loaded(text, &[("N", "1\nrate = 5"), ("P", "")], &[]).unwrap_err().to_string();
    assert!(
        shown.starts_with("plan.toml:2:7: ${N} is \"1\\nrate = 5\" and stands outside of quotes"),
        "{shown}"
    );
    let shown = loaded(text, &[("N", "1"), ("P", "\" }]\nrate = 5 #")], &[]).unwrap_err().to_string();
    assert!(shown.contains("holds \"\\\"\"") || shown.contains("holds a space"), "{shown}");
}

#[test]
fn a_body_file_stays_in_the_plans_folder() {
    for name in ["../secret", "a/../../secret", "/etc/passwd"] {
        let shown = loaded(&POST.replace("order.json", name), &[], &[(name, b"x")]).unwrap_err().to_string();
        let expected = format!(
            "plan.toml:6:13: body_file \"{name}\" leaves the plan's folder; put the file beside the plan and write its name"
        );
        assert!(shown.starts_with(&expected), "{shown}");
    }
    for name in ["", "a\\u0000b"] {
        let shown = loaded(&POST.replace("order.json", name), &[], &[]).unwrap_err().to_string();
        assert!(shown.contains("is not a file's name"), "{shown}");
    }
}

#[test]
fn a_body_file_that_is_missing_or_too_large_is_told_at_its_key() {
    let shown = loaded(POST, &[], &[]).unwrap_err().to_string();
    assert!(shown.starts_with("plan.toml:6:13: body_file \"order.json\" cannot be read: "), "{shown}");
    let shown = loaded(POST, &[], &[("order.json", &vec![b'x'; (1 << 20) + 1])]).unwrap_err().to_string();
    assert!(shown.starts_with("plan.toml:6:13: body_file \"order.json\" is over 1 MiB"), "{shown}");
    let shown = loaded(POST, &[], &[("order.json", &vec![0; 900_000])]).unwrap_err().to_string();
    assert!(shown.starts_with("plan.toml:1:1: the plan is 1,200,1"), "{shown}");
}

#[test]
fn two_steps_with_files_keep_each_its_own() {
    let text = "target = \"http://h\"\n[workflows.w]\nvus = 1\niterations = 1\nsteps = [{ post = \"/a\", body_file = 'a' }, \
                { body_file = \"b\", put = \"/b\" }]";
    let loaded = loaded(text, &[], &[("a", b"\xff"), ("b", b"{{x}}")]).unwrap();
    assert_eq!(
        loaded.text.text.lines().last().unwrap(),
        "steps = [{ post = \"/a\", body_base64 = \"/w==\" }, { body_base64 = \"e3t4fX0=\", put = \"/b\" }]"
    );
    assert_eq!(parse("gate", &loaded.text.text).unwrap(), loaded.plan);
}

proptest! {
    #[test]
    fn any_body_and_any_value_travel_unchanged(content in vec(any::<u8>(), 0..300), value in "[^{]{0,40}") {
        let text = POST.replace("[[workflows.w.steps]]", "[[workflows.w.steps]]\nheaders = { x = \"${V}\" }");
        let Ok(loaded) = loaded(&text, &[("V", &value)], &[("order.json", &content)]) else {
            prop_assert!(value.chars().any(|c| c.is_ascii_control()), "refused without a reason: {:?}", value);
            return Ok(());
        };
        prop_assert_eq!(body(&loaded.plan), content.as_slice());
        prop_assert_eq!(parse("gate", &loaded.text.text).unwrap(), loaded.plan);
    }
}
