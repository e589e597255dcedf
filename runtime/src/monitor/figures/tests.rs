use super::*;

#[test]
fn lines_of_a_key_and_a_number_are_found_by_their_key() {
    let two = "usage_usec 8021\nuser_usec 4010\nsystem_usec 4011\nnr_periods 12\nnr_throttled 3\nthrottled_usec 91500\n";
    assert_eq!(keyed(two, "throttled_usec"), Some(91_500));
    assert_eq!(keyed("nr_periods 0\nnr_throttled 0\nthrottled_time 5\n", "throttled_time"), Some(5));
    assert_eq!(keyed("inactive_file 24576\ntotal_inactive_file 4775866368\n", "inactive_file"), Some(24_576));
    for garbage in [
        "",
        "\n",
        "throttled_usec",
        "throttled_usec x",
        "throttled_usec -1",
        "throttled_usecs 5",
        "\0\u{fffd}",
    ] {
        assert_eq!(keyed(garbage, "throttled_usec"), None, "{garbage:?}");
    }
}

#[test]
fn a_limit_is_a_number_or_none() {
    assert_eq!(limit("536870912\n"), Some(536_870_912));
    assert_eq!(limit("max\n"), None);
    assert_eq!(limit("9223372036854771712\n"), None, "version 1 without a limit");
    assert_eq!(limit(""), None);
    assert_eq!(number("99999999999999999999"), None);
}

#[test]
fn pressure_is_the_share_of_the_last_ten_seconds() {
    let text =
        "some avg10=12.34 avg60=1.00 avg300=0.10 total=5\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n";
    assert_eq!(some_avg10(text), Some(12.34));
    for garbage in
        ["", "some", "some avg60=1", "some avg10=", "some avg10=NaN", "full avg10=3.0", "some avg10=inf"]
    {
        assert_eq!(some_avg10(garbage), None, "{garbage:?}");
    }
}

#[test]
fn the_memory_of_the_host_is_read_in_bytes() {
    let text = "MemTotal:       24683656 kB\nMemFree:        16487948 kB\nMemAvailable:   23889696 kB\n";
    assert_eq!(meminfo(text, "MemTotal"), Some(24_683_656 * 1024));
    assert_eq!(meminfo(text, "MemAvailable"), Some(23_889_696 * 1024));
    for garbage in [
        "",
        "MemTotal",
        "MemTotal:",
        "MemTotal: x kB",
        "MemTotals: 5 kB",
        "MemTotal: 99999999999999999999 kB",
    ] {
        assert_eq!(meminfo(garbage, "MemTotal"), None, "{garbage:?}");
    }
}

#[test]
fn another_process_in_the_group_is_seen() {
    assert!(!has_others("4242\n", 4242));
    assert!(!has_others("", 4242));
    assert!(has_others("4242\n17\n", 4242));
    assert!(has_others("0\n4242\n", 4242), "one outside of this container");
}

const ONE: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
const TWO: &str = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

fn found(groups: &str, mounts: &str, controller: &str) -> Option<(Version, String, bool)> {
    let group = group_of(groups, mounts, controller)?;
    Some((group.version, group.folder.display().to_string(), group.is_own()))
}

#[test]
fn a_process_of_version_two_has_one_group_for_all() {
    let groups = "0::/system.slice/hyperscale-gate.service\n";
    let wanted = (Version::Two, "/sys/fs/cgroup/system.slice/hyperscale-gate.service".to_owned(), true);
    assert_eq!(found(groups, TWO, "memory"), Some(wanted.clone()));
    assert_eq!(found(groups, TWO, "cpu"), Some(wanted));
    // A container sees its own group as the root.
    assert_eq!(found("0::/\n", TWO, "cpu"), Some((Version::Two, "/sys/fs/cgroup".to_owned(), false)));
    let outside = found("0::/../other\n", TWO, "cpu");
    assert_eq!(outside, Some((Version::Two, "/sys/fs/cgroup".to_owned(), false)));
}

#[test]
fn a_controller_of_version_one_has_a_hierarchy_of_its_own() {
    let groups = "4:memory:/pods/abc\n2:cpu,cpuacct:/\n0::/\n";
    let memory = (Version::One, "/sys/fs/cgroup/memory/pods/abc".to_owned(), true);
    assert_eq!(found(groups, ONE, "memory"), Some(memory));
    assert_eq!(found(groups, ONE, "cpu"), Some((Version::One, "/sys/fs/cgroup/cpu".to_owned(), false)));
    // What version 1 does not have may be in version 2.
    let io = (Version::Two, "/sys/fs/cgroup/unified".to_owned(), false);
    assert_eq!(found(groups, ONE, "io"), Some(io));
    // Docker without a namespace: what is mounted is the group itself.
    let docker = "36 31 0:33 /docker/c1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    let wanted = (Version::One, "/sys/fs/cgroup/memory".to_owned(), false);
    assert_eq!(found("4:memory:/docker/c1\n", docker, "memory"), Some(wanted));
}

#[test]
fn garbage_names_no_group() {
    for groups in ["", "x", "1:memory", "::", "4:memory:/a"] {
        for mounts in
            ["", "-", " - ", "1 2 3 - cgroup", "1 2 3 / /m rw - tmpfs x rw,memory", "1 2 3 / /m - cgroup"]
        {
            assert_eq!(found(groups, mounts, "memory"), None, "{groups:?} {mounts:?}");
        }
    }
}
