//! What each way of writing a load means.

use std::time::Duration;

use hyperscale_plan::{
    Arrivals, Closed, Iterations, KeepAlive, LatePolicy, Load, Open, Plan, RateStage, Request, Step, Think,
    VuStage, parse,
};

use crate::home;

const SECOND: Duration = Duration::from_secs(1);

fn plan(text: &str) -> Plan {
    parse("plan.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn load(lines: &str) -> (Load, Option<Duration>) {
    let workflow = plan(&home(lines)).workflows.remove(0);
    (workflow.load, workflow.max_duration)
}

fn closed(start_vus: u32, stages: &[(u64, u32)], iterations: Iterations) -> Load {
    let stages =
        stages.iter().map(|(s, vus)| VuStage { duration: Duration::from_secs(*s), vus: *vus }).collect();
    Load::Closed(Closed { start_vus, stages, iterations, graceful_ramp_down: SECOND * 30 })
}

fn open(start_rate: f64, stages: &[(u64, f64)]) -> Open {
    let stages = stages.iter().map(|(s, rate)| RateStage { duration: Duration::from_secs(*s), rate: *rate });
    Open {
        start_rate,
        stages: stages.collect(),
        arrivals: Arrivals::Constant,
        max_vus: 1_000,
        late: LatePolicy::DropAfter(Duration::ZERO),
        total: None,
    }
}

#[test]
fn the_six_ways_to_load_are_those_of_the_reference() {
    let unlimited = Iterations::Unlimited;
    let ten_minutes = Some(SECOND * 600);
    for (lines, expected, max_duration) in [
        ("vus = 10\nduration = \"30s\"", closed(10, &[(30, 10)], unlimited), None),
        (
            "stages = [\"30s:100\", \"0s:5\", \"1m:0\"]",
            closed(1, &[(30, 100), (0, 5), (60, 0)], unlimited),
            None,
        ),
        ("start_vus = 0\nstages = [\"30s:100\"]", closed(0, &[(30, 100)], unlimited), None),
        ("rate = \"100/s\"\nduration = \"30s\"", Load::Open(open(100.0, &[(30, 100.0)])), None),
        ("rate = 0.5\nduration = \"30s\"", Load::Open(open(0.5, &[(30, 0.5)])), None),
        ("stages = [\"30s:100/s\", \"10s:0/s\"]", Load::Open(open(0.0, &[(30, 100.0), (10, 0.0)])), None),
        ("start_rate = \"30/m\"\nstages = [\"1s:1/s\"]", Load::Open(open(0.5, &[(1, 1.0)])), None),
        ("vus = 3\niterations = \"10k\"", closed(3, &[], Iterations::PerVu(10_000)), ten_minutes),
        ("vus = 3\ntotal_iterations = 7", closed(3, &[], Iterations::Total(7)), ten_minutes),
        (
            "vus = 3\ntotal_iterations = 7\nmax_duration = \"5s\"",
            closed(3, &[], Iterations::Total(7)),
            Some(SECOND * 5),
        ),
        (
            "vus = 3\ntotal_iterations = 7\nduration = \"5s\"",
            closed(3, &[(5, 3)], Iterations::Total(7)),
            None,
        ),
        (
            "rate = 10\ntotal_iterations = 7",
            Load::Open(Open { total: Some(7), ..open(10.0, &[(600, 10.0)]) }),
            ten_minutes,
        ),
    ] {
        assert_eq!(load(lines), (expected, max_duration), "{lines}");
    }
}

#[test]
fn the_open_model_says_what_becomes_of_late_arrivals() {
    for (lines, late) in [
        ("max_wait = \"2s\"", LatePolicy::DropAfter(SECOND * 2)),
        ("max_wait = \"0s\"", LatePolicy::DropAfter(Duration::ZERO)),
        ("max_wait = \"unlimited\"", LatePolicy::Wait),
    ] {
        let lines = format!("rate = 1\nduration = \"1s\"\narrivals = \"poisson\"\nmax_vus = 7\n{lines}");
        let expected = Open { arrivals: Arrivals::Poisson, max_vus: 7, late, ..open(1.0, &[(1, 1.0)]) };
        assert_eq!(load(&lines).0, Load::Open(expected));
    }
}

fn requests(plan: &Plan) -> Vec<&Request> {
    let steps = plan.workflows.iter().flat_map(|workflow| &workflow.steps);
    steps
        .filter_map(|step| match step {
            Step::Request(request) => Some(request),
            Step::Think(_) => None,
        })
        .collect()
}

#[test]
fn a_step_takes_what_it_does_not_say_from_its_workflow_and_the_defaults() {
    let plan = plan(
        "target = \"http://h/api\"\n[defaults]\ntimeout = \"5s\"\nconnect_timeout = \"1s\"\nkeep_alive = false\n\
         headers = { Accept = \"a\", x = \"default\" }\n\
         [workflows.w]\nvus = 1\niterations = 1\ntimeout = \"4s\"\nheaders = { X = \"workflow\" }\n\
         [[workflows.w.steps]]\nget = \"/a\"\n\
         [[workflows.w.steps]]\npost = \"http://other:81/b\"\ntimeout = \"3s\"\nheaders = { accept = [\"b\", \"c\"] }\n\
         json = { a = [1, true] }\n\
         [workflows.v]\nvus = 1\niterations = 1\nkeep_alive = \"iteration\"\n\
         steps = [{ method = \"PURGE\", url = \"/\", body = \"x\" }]\n",
    );
    let [first, second, third] = requests(&plan)[..] else { panic!("three requests") };
    let headers = |request: &Request| -> Vec<String> {
        request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    };
    assert_eq!(headers(first), ["Accept: a", "X: workflow"]);
    assert_eq!(headers(second), ["X: workflow", "accept: b", "accept: c", "content-type: application/json"]);
    assert_eq!(headers(third), ["Accept: a", "x: default"]);
    assert_eq!([first.timeout, second.timeout, third.timeout], [SECOND * 4, SECOND * 3, SECOND * 5]);
    assert_eq!((first.url.path.as_str(), first.url.authority.as_str()), ("/api/a", "h"));
    assert_eq!((second.url.path.as_str(), second.url.authority.as_str()), ("/b", "other:81"));
    assert_eq!((third.method.as_str(), third.body.as_slice()), ("PURGE", &b"x"[..]));
    assert_eq!(second.body, b"{\"a\":[1,true]}");
    assert!(requests(&plan).iter().all(|request| request.connect_timeout == SECOND));
    let kept: Vec<KeepAlive> = plan.workflows.iter().map(|workflow| workflow.keep_alive).collect();
    assert_eq!(kept, [KeepAlive::Never, KeepAlive::Iteration]);
}

#[test]
fn generated_names_are_numbered_around_those_that_were_given() {
    let plan = plan(
        "target = \"http://h\"\n[workflows.w]\nvus = 1\niterations = 1\nsteps = [{ get = \"/a\" }, { get = \"/a\" }, \
         { name = \"GET /a #2\", get = \"/b\" }, { think = \"1s..2s\" }, { get = \"/a\" }, { post = \"/a\" }]",
    );
    let names: Vec<&str> = plan.workflows[0].steps.iter().map(Step::name).collect();
    assert_eq!(names, ["GET /a", "GET /a #3", "GET /a #2", "think", "GET /a #4", "POST /a"]);
    assert_eq!(plan.workflows[0].steps[3], Step::Think(Think { from: SECOND, to: SECOND * 2 }));
}

#[test]
fn workflows_keep_the_order_of_the_file_and_after_counts_in_it() {
    let workflow = |name: &str, after: &str| {
        format!(
            "[workflows.{name}]\nvus = 1\nduration = \"10s\"\ngraceful_stop = \"1s\"\nafter = [{after}]\nsteps = [{{ get = \"http://h/\" }}]\n"
        )
    };
    let text = workflow("z", "\"b\"") + &workflow("a", "\"z\", \"b\"") + &workflow("b", "");
    let plan = plan(&text);
    let seen: Vec<(&str, &[usize])> =
        plan.workflows.iter().map(|w| (w.name.as_str(), w.after.as_slice())).collect();
    assert_eq!(seen, [("z", &[2][..]), ("a", &[0, 2][..]), ("b", &[][..])]);
    assert_eq!((plan.length_max(), plan.active_max()), (SECOND * 33, SECOND * 30));
}

#[test]
fn a_workflow_lasts_as_long_as_its_stages_or_its_cap() {
    for (lines, active) in [
        ("vus = 1\nduration = \"10s\"", 10),
        ("vus = 1\niterations = 5", 600),
        ("vus = 1\niterations = 5\nmax_duration = \"7s\"", 7),
        ("vus = 1\niterations = 5\nmax_duration = \"7s\"\nduration = \"9s\"", 7),
        ("stages = [\"10s:5/s\", \"5s:0/s\"]", 15),
    ] {
        let plan = plan(&home(lines));
        assert_eq!(plan.active_max(), SECOND * active, "{lines}");
        assert_eq!(plan.length_max(), SECOND * (active + 30), "{lines}");
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = home("vus = 1\niterations = 1");
    assert_eq!(plan(&format!("\u{feff}{}", text.replace('\n', "\r\n"))), plan(&text));
}
