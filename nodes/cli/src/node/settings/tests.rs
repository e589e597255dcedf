use hyperscale_reliability::Operation;

use super::*;

fn file(text: &str) -> (tempfile::TempDir, NodeFlags) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    let flags = NodeFlags { config: Some(path), ..NodeFlags::default() };
    (folder, flags)
}

fn refused(role: Role, text: &str) -> String {
    let (_folder, flags) = file(text);
    format!("{:?}", Settings::new(role, &flags).unwrap_err())
}

#[test]
fn a_file_says_everything_and_flags_win_over_it() {
    let text = "name = \"m\"\ndatacenter = \"eu\"\nlisten = \"127.0.0.1:1\"\nadmin = \"[::1]:2\"\njoin = [\"g:3\", \"h:4\"]\n\
                cores = \"unpinned\"\nfleet = \"f\"\ndrain_timeout = \"5s\"\ndata_dir = \"/tmp/x\"\n";
    let (_folder, mut flags) = file(text);
    flags.name = Some("n".to_owned());
    let settings = Settings::new(Role::Manager, &flags).unwrap();
    assert_eq!(
        (settings.name.as_str(), settings.datacenter.as_str(), settings.fleet.as_str()),
        ("n", "eu", "f")
    );
    assert_eq!((settings.listen.port(), settings.admin.port(), settings.join.len()), (1, 2, 2));
    assert_eq!((settings.shards.len(), settings.drain_timeout), (1, Duration::from_secs(5)));
}

#[test]
fn the_detector_of_overload_is_on_unless_a_file_says_otherwise() {
    let overload = |text: &str| {
        let (_folder, flags) = file(text);
        Settings::new(Role::Gate, &flags).unwrap().overload
    };
    assert_eq!(overload(""), Some(OverloadConfig::default()));
    assert_eq!(overload("[overload]\nenabled = false\nhold_ticks = 5"), None);
    let own = overload("[overload]\nabsolute_bounds_ms = [20, 50, 200]\nhold_ticks = 5").unwrap();
    assert_eq!((own.absolute_bounds_ms, own.hold_ticks), ([20.0, 50.0, 200.0], 5));
}

#[test]
fn what_cannot_be_is_refused_with_its_place_and_the_fix() {
    for (role, text, words) in [
        (Role::Gate, "nmae = \"g\"", &["node.toml:1", "nmae", "name"][..]),
        (Role::Gate, "name = \"g\"\nlisten = 7", &["node.toml:2"]),
        (Role::Gate, "listen = \"0.0.0.0:7001\"", &["listen", "not loopback", "--insecure"]),
        (Role::Gate, "admin = \"10.0.0.1:9001\"", &["admin", "not loopback"]),
        (Role::Gate, "listen = \"7001\"", &["listen", "127.0.0.1:7001"]),
        (Role::Gate, "datacenter = \"x\"", &["datacenter"]),
        (Role::Gate, "capacity_vus = 5", &["capacity_vus", "only a worker"]),
        (Role::Worker, "", &["join", "managers"]),
        (Role::Manager, "", &["join", "gates"]),
        (Role::Worker, "join = [\"h\"]", &["join", "HOST:PORT"]),
        (Role::Worker, "join = [\"h:1\"]\ncapacity_vus = 0", &["capacity_vus"]),
        (Role::Manager, "join = [\"h:1\"]\ncores = \"0-1\"", &["cores", "one core"]),
        (Role::Gate, "cores = \"x\"", &["cores", "0-3"]),
        (Role::Gate, "drain_timeout = \"5 parsecs\"", &["drain_timeout"]),
        (Role::Gate, "name = \"\"", &["name", "1 to 64"]),
        (Role::Gate, "name = [", &["node.toml:1"]),
        (Role::Manager, "join = [\"h:1\"]\n[limits]\nnodes = \"unlimited\"", &["limits", "only a gate"]),
        (Role::Gate, "[limits]\njob_statsu = \"unlimited\"", &["limits.job_statsu", "job_status"]),
        (
            Role::Gate,
            "[limits]\nheartbeat = \"unlimited\"",
            &["limits.heartbeat", "not of clients", "job_submit"],
        ),
        (Role::Gate, "[limits]\nnodes = 7", &["limits.nodes", "7", "{ size = 100, per_second = 10 }"]),
        (Role::Gate, "[limits]\nnodes = \"none\"", &["limits.nodes", "none", "unlimited"]),
        (Role::Gate, "[limits]\nnodes = { size = 0 }", &["limits.nodes.size", "0", "1 to 1000000"]),
        (Role::Gate, "[limits]\nnodes = { size = 1.5 }", &["limits.nodes.size", "1.5"]),
        (Role::Gate, "[limits]\nnodes = { per_second = -1 }", &["limits.nodes.per_second", "-1", "0.001 to"]),
        (Role::Gate, "[limits]\nnodes = { per_second = nan }", &["limits.nodes.per_second", "nan"]),
        (Role::Gate, "[limits]\nnodes = { per_minute = 1 }", &["limits.nodes.per_minute", "per_second"]),
        (Role::Gate, "[limits]\nexempt = \"10.0.0.0/8\"", &["limits.exempt", "[\\\"10.0.0.0/8\\\"]"]),
        (Role::Gate, "[limits]\nexempt = [\"10.0.0.0/33\"]", &["limits.exempt", "10.0.0.0/33", "fd00::/8"]),
        (Role::Gate, "[overload]\nenbled = false", &["node.toml:2", "enbled", "enabled"]),
        (Role::Gate, "[overload]\ncpu_thresholds = [0.7, 0.8]", &["node.toml:2"]),
        (
            Role::Gate,
            "[overload]\ncpu_thresholds = [0.9, 0.8, 1]",
            &["overload.cpu_thresholds", "not decrease"],
        ),
    ] {
        let why = refused(role, text);
        assert!(words.iter().all(|word| why.contains(word)), "{text}: {why}");
    }
}

#[test]
fn a_gate_s_limits_are_those_of_its_file_and_else_the_defaults() {
    let text = "[limits]\njob_status = { size = 7, per_second = 0.5 }\nnodes = \"unlimited\"\n\
                cancel = { per_second = 30 }\nexempt = [\"10.0.0.0/8\", \"192.0.2.7\", \"fd00::/8\"]\n";
    let (_folder, flags) = file(text);
    let limits = Settings::new(Role::Gate, &flags).unwrap().limits;
    let row = |operation| limits.limit(operation).map(|limit| (limit.size, limit.per_second));
    assert_eq!(row(Operation::JobStatus), Some((7, 0.5)));
    assert_eq!(row(Operation::Nodes), None);
    assert_eq!(row(Operation::Cancel), Some((200, 30.0)));
    assert_eq!(row(Operation::JobSubmit), Some((50, 5.0)));
    assert_eq!(
        limits.exempt.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]
    );
    let limits = Settings::new(Role::Gate, &NodeFlags::default()).unwrap().limits;
    assert_eq!(limits, RateLimitConfig::default());
}
