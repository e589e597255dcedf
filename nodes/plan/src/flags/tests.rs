use proptest::prelude::*;

use super::*;
use crate::model::{Closed, Iterations, LatePolicy, Load, Open, RateStage, Request, Step, VuStage};
use crate::parse::parse;
use crate::stage::parse_stages;

fn of(change: impl FnOnce(&mut RunFlags)) -> Result<Loaded, FlagErrors> {
    let mut flags = RunFlags { url: "http://127.0.0.1:8080/x".to_owned(), ..RunFlags::default() };
    change(&mut flags);
    from_flags(&flags)
}

fn load(change: impl FnOnce(&mut RunFlags)) -> (Load, Option<Duration>) {
    let workflow = of(change).unwrap().plan.workflows.remove(0);
    (workflow.load, workflow.max_duration)
}

fn refusals(change: impl FnOnce(&mut RunFlags)) -> Vec<String> {
    of(change).unwrap_err().0
}

fn request(change: impl FnOnce(&mut RunFlags)) -> Request {
    match of(change).unwrap().plan.workflows.remove(0).steps.remove(0) {
        Step::Request(request) => request,
        Step::Think(_) => panic!("a pause"),
    }
}

fn closed(start_vus: u32, stages: Vec<VuStage>, iterations: Iterations) -> Load {
    Load::Closed(Closed { start_vus, stages, iterations, graceful_ramp_down: Duration::from_secs(30) })
}

fn open(rate: f64, duration: Duration, max_vus: u32, total: Option<u64>) -> Load {
    Load::Open(Open {
        start_rate: rate,
        stages: vec![RateStage { duration, rate }],
        arrivals: Arrivals::Constant,
        max_vus,
        late: LatePolicy::Wait,
        total,
    })
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_url_alone_is_fifty_vus_for_ten_seconds_cut_at_the_end() {
    let plan = of(|_| {}).unwrap().plan;
    assert_eq!(plan.name, "http://127.0.0.1:8080/x");
    let workflow = plan.workflows.first().unwrap();
    let stages = vec![VuStage { duration: SECOND * 10, vus: 50 }];
    assert_eq!(workflow.load, closed(50, stages, Iterations::Unlimited));
    assert_eq!((workflow.graceful_stop, workflow.max_duration), (Duration::ZERO, None));
    let request = request(|_| {});
    assert_eq!((request.method.as_str(), request.url.path.as_str()), ("GET", "/x"));
    assert_eq!((request.timeout, request.connect_timeout), (SECOND * 30, SECOND * 5));
}

#[test]
fn a_count_alone_runs_until_it_is_done() {
    assert_eq!(load(|f| f.requests = Some(7)), (closed(50, vec![], Iterations::Total(7)), Some(DAY)));
}

#[test]
fn a_count_and_a_duration_end_at_whichever_comes_first() {
    let stages = vec![VuStage { duration: SECOND, vus: 3 }];
    let change = |f: &mut RunFlags| {
        (f.vus, f.requests, f.duration) = (Some(3), Some(7), Some(SECOND));
    };
    assert_eq!(load(change), (closed(3, stages, Iterations::Total(7)), None));
}

#[test]
fn a_rate_makes_the_model_open_and_late_arrivals_wait() {
    assert_eq!(load(|f| f.rate = Some(100.5)).0, open(100.5, SECOND * 10, 50, None));
    let change = |f: &mut RunFlags| (f.rate, f.requests, f.vus) = (Some(10.0), Some(5), Some(2));
    assert_eq!(load(change), (open(10.0, DAY, 2, Some(5)), Some(DAY)));
}

#[test]
fn stages_are_vus_or_rates() {
    let vus = parse_stages("30s:100,0s:0").unwrap();
    let expected =
        vec![VuStage { duration: SECOND * 30, vus: 100 }, VuStage { duration: Duration::ZERO, vus: 0 }];
    assert_eq!(load(|f| f.stages = Some(vus)).0, closed(1, expected, Iterations::Unlimited));
    let rates = parse_stages("30s:100/s").unwrap();
    let change = |f: &mut RunFlags| (f.stages, f.vus) = (Some(rates), Some(9));
    let Load::Open(open) = load(change).0 else { panic!("closed") };
    assert_eq!((open.start_rate, open.max_vus, open.late), (0.0, 9, LatePolicy::Wait));
}

#[test]
fn a_body_makes_it_a_post_and_arrives_byte_for_byte() {
    for body in [&b"{\"a\":1}"[..], b"\0\xff\r\n", b"{{token}}", b"${HOME} $$", b""] {
        let request = request(|f| f.body = Some(body.to_vec()));
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", body));
    }
    let put = request(|f| (f.body, f.method) = (Some(b"x".to_vec()), Some("PUT".to_owned())));
    assert_eq!(put.method, "PUT");
}

#[test]
fn headers_keep_their_order_and_repeats() {
    let given = [("X-A", "1"), ("accept", "*/*"), ("x-a", "\"2\" \\")];
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers = request(|f| f.headers = given.to_vec()).headers;
    let shown: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(shown, ["X-A: 1", "X-A: \"2\" \\", "accept: */*"]);
}

#[test]
fn a_contradiction_names_both_flags() {
    let stages = |text: &str| Some(parse_stages(text).unwrap());
    for (errors, message) in [
        (
            refusals(|f| (f.stages, f.duration) = (stages("1s:1"), Some(SECOND))),
            "-d and --stages contradict each other: the stages say how long; drop -d",
        ),
        (
            refusals(|f| (f.stages, f.rate) = (stages("1s:1"), Some(1.0))),
            "-q and --stages contradict each other: write the rates as stages, such as --stages 30s:100/s",
        ),
        (
            refusals(|f| (f.stages, f.vus) = (stages("1s:1"), Some(1))),
            "-c and --stages contradict each other: the stages say how many VUs; drop -c",
        ),
        (refusals(|f| f.arrivals = Some(Arrivals::Poisson)), "--arrivals needs a rate; add -q 100/s"),
    ] {
        assert_eq!(errors, [message]);
    }
}

#[test]
fn a_value_out_of_range_names_its_flag_and_all_are_told_at_once() {
    for (errors, message) in [
        (refusals(|f| f.vus = Some(0)), "-c must be 1 to 1,000,000, found 0"),
        (refusals(|f| f.vus = Some(u32::MAX)), "-c must be 1 to 1,000,000, found 4294967295"),
        (refusals(|f| f.requests = Some(0)), "-n must be 1 to 1,000,000,000,000, found 0"),
        (refusals(|f| f.rate = Some(0.0)), "-q must be above 0 and at most 10,000,000/s, found 0"),
        (refusals(|f| f.rate = Some(f64::NAN)), "-q must be above 0 and at most 10,000,000/s, found NaN"),
        (
            refusals(|f| f.rate = Some(1e18)),
            "-q must be above 0 and at most 10,000,000/s, found 1000000000000000000",
        ),
        (refusals(|f| f.duration = Some(Duration::ZERO)), "-d must be 1ms to 30d, found 0s"),
        (refusals(|f| f.timeout = Some(Duration::ZERO)), "-t must be 1ms to 1d, found 0s"),
        (
            refusals(|f| f.method = Some("post".to_owned())),
            "-m: method \"post\" is written in capitals; write \"POST\"",
        ),
        (
            refusals(|f| f.method = Some("G T".to_owned())),
            "-m: \"G T\" is not a method; write for example \"GET\"",
        ),
        (
            refusals(|f| f.headers = vec![("a".to_owned(), "b\r\nc: d".to_owned())]),
            "-H: the value of header \"a\" holds a carriage return; remove it",
        ),
        (
            refusals(|f| f.url = "https://h/".to_owned()),
            "URL: https is not supported yet; use http:// (\"https://h/\")",
        ),
        (
            refusals(|f| f.thresholds = vec!["latancy.p99 < 1s".to_owned()]),
            "threshold \"latancy.p99 < 1s\": no metric \"latancy\"; did you mean \"latency\"?",
        ),
    ] {
        assert_eq!(errors, [message]);
    }
    let both = refusals(|f| (f.vus, f.requests) = (Some(0), Some(0)));
    assert_eq!(both.len(), 2);
}

#[test]
fn a_body_that_cannot_travel_is_refused() {
    let errors = refusals(|f| f.body = Some(vec![0; 1 << 20]));
    let first = errors.first().unwrap();
    assert!(first.starts_with("-b: with this body the plan has 1,398,"), "{first}");
}

proptest! {
    #[test]
    fn any_flags_give_a_plan_that_its_text_gives_again(
        vus in proptest::option::of(1..=1_000_000_u32),
        millis in proptest::option::of(1..100_000_u64),
        requests in proptest::option::of(1..=1_000_000_000_000_u64),
        rate in proptest::option::of(0.001..1e7_f64),
        body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64)),
        value in "[ -~ü]{0,30}",
        path in "[!-\"$-z|~]{0,30}",
    ) {
        let loaded = of(|f| {
            f.url = format!("http://h/{path}");
            f.vus = vus;
            f.duration = millis.map(Duration::from_millis);
            f.requests = requests;
            f.rate = rate;
            f.body = body.clone();
            f.headers = vec![("x".to_owned(), value.clone())];
        });
        prop_assume!(!value.contains("{{"));
        let loaded = loaded.unwrap();
        prop_assert_eq!(parse("url", &loaded.text.text).unwrap(), loaded.plan);
    }
}
