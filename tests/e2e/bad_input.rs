//! Whatever is typed wrongly ends with exit 2 and one message: the place, and what would be right.

use std::path::Path;

use crate::{hyperscale, run, text};

const URL: &str = "http://127.0.0.1:1/";

/// One line for a flag; for a plan what is wrong with it, each with its place.
fn refused(args: &[&str]) -> String {
    let output = run(args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}{}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{args:?}: {}", text(&output.stdout));
    assert!(stderr.starts_with("hyperscale: "), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{args:?}: {stderr}");
    assert!(!stderr.contains("os error"), "{args:?} speaks as the system does: {stderr}");
    stderr
}

#[test]
fn each_flag_of_run_says_what_would_be_right() {
    let cases: &[(&[&str], &str)] = &[
        (&["-c"], "--vus lacks its value"),
        (&["-c", ""], "write 200"),
        (&["-c", "0"], "1 to 1,000,000"),
        (&["-c", "-3"], "negative"),
        (&["-c", "1.5"], "not a whole number"),
        (&["-c", "2m"], "1 to 1,000,000"),
        (&["-c", "10 users"], "write 200"),
        (&["-d", "5"], "write \"5s\""),
        (&["-d", "0s"], "-d must be 1ms to 30d"),
        (&["-d", "31d"], "-d must be 1ms to 30d"),
        (&["-d", "-5s"], "negative"),
        (&["-d", "5 parsecs"], "write \"30s\""),
        (&["-n", "0"], "1 to 1,000,000,000,000"),
        (&["-n", "x"], "write 200"),
        (&["-n", "-1"], "negative"),
        (&["-n", "99999999999999999999999"], "too large"),
        (&["-q", "0"], "above 0"),
        (&["-q", "-5"], "negative"),
        (&["-q", "nan"], "write \"500/s\""),
        (&["-q", "5m"], "write \"5/m\""),
        (&["-q", "1g/s"], "write \"500/s\""),
        (&["--stages", "x"], "write \"30s:100\""),
        (&["--stages", "-1s:5"], "negative"),
        (&["--stages", "1s:5,1s:5/s"], "one kind"),
        (&["--stages", "1s:5", "-d", "1s"], "drop -d"),
        (&["--stages", "1s:5", "-q", "1"], "contradict"),
        (&["-m", "GE T"], "write for example \"GET\""),
        (&["-m", "get"], "write \"GET\""),
        (&["-m", "CONNECT"], "use another one"),
        (&["-H", "no colon"], "write \"Name: value\""),
        (&["-H", "a b: c"], "use letters"),
        (&["-H", "a: b\r\nc: d"], "remove it"),
        (&["-H", "content-length: 5"], "remove it"),
        (&["-H", "transfer-encoding: chunked"], "remove it"),
        (&["-b", "@/nowhere"], "name a file"),
        (&["-b", "@/tmp"], "directory"),
        (&["-t", "4"], "--cores"),
        (&["-t", "0s"], "1ms to 1d"),
        (&["-t", "-1s"], "negative"),
        (&["--connect-timeout", "-5s"], "negative"),
        (&["--connect-timeout", "5"], "write \"5s\""),
        (&["--set", "A=b"], "--set fills in a plan"),
        (&["--cores", "x"], "write 0-3"),
        (&["--cores", "-1"], "write 0-3"),
        (&["--cores", "3-1"], "write 0-3"),
        (&["--cores", "4096"], "no CPU 4096"),
        (&["--cores", "0-4095"], "it may use"),
        (&["--json", "/nowhere/x.json"], "there is no directory /nowhere"),
        (&["--json", "/tmp"], "is a directory"),
        (&["--json", ""], "name a file"),
        (&["--hlog", "/nowhere/x.hlog"], "there is no directory /nowhere"),
        (&["--json", "-", "--hlog", "-"], "name two files"),
        (&["--json", "/tmp/one", "--hlog", "/tmp/../tmp/./one"], "name two files"),
        (&["--quiet=3"], "takes no value"),
        (&["--jsn", "x"], "did you mean --json?"),
        (&["-x"], "--help"),
        (&["--demo"], "drop one"),
        (&["http://127.0.0.1:2/"], "one word too many"),
    ];
    for (flags, expected) in cases {
        let args = [&["run", URL], *flags].concat();
        let told = refused(&args);
        assert!(told.contains(expected), "{args:?} should say {expected:?}:\n{told}");
        assert_eq!(told.lines().count(), 1, "{args:?}: {told}");
    }
}

#[test]
fn each_flag_of_target_and_check_says_what_would_be_right() {
    let cases: &[(&[&str], &str)] = &[
        (&["target", "--listen", "x"], "write 127.0.0.1:8080"),
        (&["target", "--listen", "127.0.0.1:99999"], "0 to 65535"),
        (&["target", "--listen", "localhost:80"], "write 127.0.0.1:8080"),
        (&["target", "--cores", "4096"], "no CPU 4096"),
        (&["target", "--delay", "5"], "write \"5s\""),
        (&["target", "--delay", "-5s"], "negative"),
        (&["target", "--body-bytes", "-1"], "negative"),
        (&["target", "--body-bytes", "x"], "write \"512\""),
        (&["target", "--body-bytes", "65MiB"], "at most 64 MiB"),
        (&["target", "--error-rate", "-1%"], "0% to 100%"),
        (&["target", "--error-rate", "2"], "write 0 to 1"),
        (&["target", "--stall-every", "5s"], "--stall-for"),
        (&["target", "--stall-for", "5s"], "--stall-every"),
        (&["target", "--stall-every", "1s", "--stall-for", "2s"], "longer than --stall-every"),
        (&["target", "--stall-every", "0s", "--stall-for", "0s"], "write \"100ms\""),
        (&["target", "x"], "one word too many"),
        (&["check"], "<PLAN>"),
        (&["check", "/nowhere.toml"], "there is no such file; name a plan file"),
        (&["check", "http://127.0.0.1/"], "hyperscale run"),
        (&["check", "/nowhere.toml", "--sett", "a=b"], "did you mean --set?"),
        (&["run"], "--demo"),
        (&["runn"], "did you mean run?"),
    ];
    for (args, expected) in cases {
        let told = refused(args);
        assert!(told.contains(expected), "{args:?} should say {expected:?}:\n{told}");
        assert_eq!(told.lines().count(), 1, "{args:?}: {told}");
    }
}

#[test]
fn what_is_no_url_and_no_plan_is_refused_by_what_is_wrong_with_it() {
    for (what, expected) in [
        ("", "write \"http://HOST/\""),
        ("localhost:8080", "did you mean \"http://localhost:8080\"?"),
        ("http://", "no host"),
        ("http:///x", "no host"),
        ("http://x:0/", "1 to 65535"),
        ("http://x:99999/", "1 to 65535"),
        ("http://x:-1/", "1 to 65535"),
        ("http://u:p@x/", "send it as a header"),
        ("https://x/", "use http://"),
        ("ftp://x/", "use http://"),
        ("http://x y/", "a host has letters"),
        ("http://[::1/", "write \"[::1]:8080\""),
        ("http://256.1.1.1/", "write \"127.0.0.1\""),
        ("/tmp", "it is a directory; name a plan file"),
        ("none.toml", "there is no such file; name a plan file"),
        ("./none.tml", "there is no such file; name a plan file"),
    ] {
        let told = refused(&["run", what]);
        assert!(told.contains(expected), "{what:?} should say {expected:?}:\n{told}");
    }
}

#[test]
fn a_variable_of_the_environment_is_named_as_one() {
    let output = hyperscale(&["run", URL]).env("HYPERSCALE_VUS", "many").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.starts_with("hyperscale: HYPERSCALE_VUS in the environment: \"many\" is not a count"),
        "{told}"
    );
}

#[test]
fn more_connections_than_open_files_are_refused_before_the_first() {
    let limited = format!("ulimit -n 200; exec {} run {URL} -c 1000", env!("CARGO_BIN_EXE_hyperscale"));
    let output = std::process::Command::new("sh").args(["-c", &limited]).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("hyperscale: -c: 1000 connections") && told.contains("ulimit -n"), "{told}");
}

struct Plans(tempfile::TempDir);

impl Plans {
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Both commands refuse it; gives what they say.
    fn refused(&self, content: impl AsRef<[u8]>) -> String {
        let path = self.write("plan.toml", content);
        let told = refused(&["check", &path]);
        assert_eq!(refused(&["run", &path]), told);
        assert!(told.contains("plan.toml"), "{told}");
        told
    }
}

#[test]
fn a_file_that_is_no_plan_is_refused_by_what_it_is() {
    let plans = Plans(tempfile::tempdir().unwrap());
    assert!(plans.refused([0, 159, 146, 150, 0]).contains("UTF-8"));
    assert!(plans.refused("").contains("empty"));
    assert!(plans.refused("this is no toml").contains(":1:"));
    assert!(plans.refused("target = \"http://x\"\n").contains("workflows"));
    assert!(plans.refused(vec![b'#'; 2 << 20]).contains("1 MiB"));
    let cycle = plans.refused(
        "target = \"http://127.0.0.1:1\"\n[workflows.a]\nafter = [\"b\"]\nvus = 1\nduration = \"1s\"\nsteps = [{ get = \"/\" }]\n\
         [workflows.b]\nafter = [\"a\"]\nvus = 1\nduration = \"1s\"\nsteps = [{ get = \"/\" }]\n",
    );
    assert!(cycle.contains("a -> b -> a"), "{cycle}");
    let typo = plans.refused(good("", "", "vus = 1", "durration = \"1s\"", "get = \"/\""));
    assert!(typo.contains("did you mean \"duration\"?"), "{typo}");
    let good = plans.write("good.toml", good("", "", "vus = 1", "duration = \"1s\"", "get = \"/\""));
    assert!(refused(&["run", &good, "-c", "3"]).contains("-c goes with a URL"));
    assert!(refused(&["run", &good, "--set", "x"]).contains("--set NAME=VALUE"));
    assert!(Path::new(&good).exists());
}

fn good(top: &str, defaults: &str, load: &str, workflow: &str, step: &str) -> String {
    format!(
        "{top}\ntarget = \"http://127.0.0.1:1\"\n[defaults]\n{defaults}\n[workflows.a]\n{load}\n{workflow}\n\
         [[workflows.a.steps]]\n{step}\n"
    )
}

/// Each key with values of a wrong type, sign, unit and range, and typos. The message shows the line it is in.
#[test]
fn each_key_of_a_plan_is_refused_in_its_place() {
    let plans = Plans(tempfile::tempdir().unwrap());
    let (vus, timed, get) = ("vus = 1", "duration = \"1s\"", "get = \"/\"");
    let check = |content: String, wrong: &str| {
        let told = plans.refused(&content);
        let line = content.lines().position(|line| line == wrong).unwrap() + 1;
        assert!(told.contains(&format!("plan.toml:{line}:")), "{wrong} is in line {line}:\n{told}");
        assert_eq!(told.matches("plan.toml:").count(), 1, "{wrong} should be one message:\n{told}");
        let words = told.lines().next().unwrap();
        assert!(words.len() > "hyperscale: :1:1: ".len() + wrong.len(), "{told}");
    };
    for wrong in [
        "name = 5",
        "name = \"\"",
        "thresholds = 5",
        "thresholds = [\"nonsense\"]",
        "thresholds = [\"latency.p99 < 5\"]",
        "thresholds = [\"errors.rate < 200%\"]",
        "window = \"1\"",
        "window = \"5ms\"",
        "window = 5",
        "nmae = \"x\"",
        "tls = {}",
    ] {
        check(good(wrong, "", vus, timed, get), wrong);
    }
    for wrong in [
        "headers = 5",
        "headers = { \"a b\" = \"c\" }",
        "headers = { a = 5 }",
        "headers = { a = \"b\\nc\" }",
        "timeout = 5",
        "timeout = \"5\"",
        "timeout = \"0s\"",
        "timeout = \"-1s\"",
        "timeout = \"2d\"",
        "connect_timeout = true",
        "connect_timeout = \"0s\"",
        "keep_alive = \"sometimes\"",
        "keep_alive = 1",
        "timeuot = \"1s\"",
    ] {
        check(good("", wrong, vus, timed, get), wrong);
    }
    for wrong in [
        "vus = 0",
        "vus = -1",
        "vus = 1.5",
        "vus = \"x\"",
        "vus = 2000000",
        "vus = true",
        "rate = 0",
        "rate = -5",
        "rate = \"5m\"",
        "rate = \"100000000/s\"",
        "rate = \"x\"",
        "rate = []",
    ] {
        check(good("", "", wrong, timed, get), wrong);
    }
    for wrong in [
        "duration = 1",
        "duration = \"1\"",
        "duration = \"0s\"",
        "duration = \"-1s\"",
        "duration = \"31d\"",
        "iterations = 0",
        "iterations = -1",
        "iterations = \"x\"",
        "total_iterations = 0",
        "total_iterations = \"1.5\"",
    ] {
        check(good("", "", vus, wrong, get), wrong);
    }
    for wrong in [
        "max_duration = \"0s\"",
        "graceful_stop = 5",
        "graceful_stop = \"2d\"",
        "after = \"b\"",
        "after = [5]",
        "after = [\"nobody\"]",
        "after = [\"a\"]",
        "keep_alive = 5",
        "timeout = \"-1s\"",
        "headers = []",
        "arrivals = \"poisson\"",
        "max_vus = 5",
    ] {
        check(good("", "", vus, &format!("iterations = 1\n{wrong}"), get), wrong);
    }
    for wrong in [
        "arrivals = \"random\"",
        "max_vus = 0",
        "max_vus = \"x\"",
        "max_wait = \"-1s\"",
        "max_wait = \"forever\"",
        "start_rate = \"1/s\"",
    ] {
        check(good("", "", "rate = 5", &format!("{timed}\n{wrong}"), get), wrong);
    }
    for wrong in [
        "stages = 5",
        "stages = []",
        "stages = [\"x\"]",
        "stages = [\"1s:-5\"]",
        "stages = [\"1s:5\", \"1s:5/s\"]",
        "stages = [\"1s:2000000\"]",
        "stages = [\"0s:5\"]",
        "stages = [\"31d:5\"]",
    ] {
        check(good("", "", wrong, "", get), wrong);
    }
    for wrong in [
        "get = 5",
        "get = \"\"",
        "get = \"ftp://x/\"",
        "get = \"http://x:0/\"",
        "think = \"1\"",
        "think = 5",
        "think = \"3s..1s\"",
        "think = \"-1s\"",
    ] {
        check(good("", "", vus, timed, &format!("get = \"/\"\n[[workflows.a.steps]]\n{wrong}")), wrong);
    }
    for wrong in [
        "name = 5",
        "name = \"\"",
        "headers = 5",
        "timeout = \"0s\"",
        "timeout = 5",
        "body = 5",
        "body_file = \"none.json\"",
        "body_file = \"../x\"",
        "body_file = 5",
        "body_base64 = \"!\"",
        "put = \"/\"",
        "checks = []",
    ] {
        check(good("", "", vus, timed, &format!("post = \"/\"\n{wrong}")), wrong);
    }
}
