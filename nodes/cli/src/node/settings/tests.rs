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
