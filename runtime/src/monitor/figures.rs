//! What the kernel's files say: text to numbers. A text that is not as expected says nothing.

use std::path::{Path, PathBuf};

/// The value of a line `key value`, as in `cpu.stat` and `memory.stat`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    lines.find_map(|mut words| (words.next() == Some(key)).then(|| words.next()?.parse().ok())?)
}

/// A file of one number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// A limit: a number, or `max` for none. Version 1 writes none as the largest number of pages.
pub(super) fn limit(text: &str) -> Option<u64> {
    number(text).filter(|bytes| *bytes < 1 << 62)
}

/// CPUs' worth of time in a quota and its period, both in microseconds; none where there is no quota.
pub(super) fn cpus(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    let cpus = quota / period;
    (quota > 0.0 && cpus.is_finite()).then_some(cpus)
}

/// `avg10` of the line `some` of a pressure file, in percent.
pub(super) fn some_avg10(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent: f64 =
        line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()?;
    percent.is_finite().then_some(percent)
}

/// Bytes of a line of `/proc/meminfo`, which counts in kB.
pub(super) fn meminfo(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    rest.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether a process but this one is in `cgroup.procs`.
pub(super) fn has_others(procs: &str, own: u32) -> bool {
    procs.lines().any(|line| line.trim().parse() != Ok(own))
}

/// How a control group is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// A control group's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) version: Version,
    /// Where its hierarchy is mounted; the folder of a group is at or below it.
    pub(super) mount: PathBuf,
    pub(super) folder: PathBuf,
}

impl Group {
    /// Its own name in the hierarchy is more than `/`: it was made for somebody.
    pub(super) fn is_own(&self) -> bool {
        self.folder != self.mount
    }
}

/// The process's group that a controller works on: in a hierarchy of its own where there is one (version 1), else in the
/// one of version 2. `groups`: `/proc/self/cgroup`; `mounts`: `/proc/self/mountinfo`.
pub(super) fn group_of(groups: &str, mounts: &str, controller: &str) -> Option<Group> {
    let find = |version, named: &dyn Fn(&str) -> bool| {
        let path = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            named(controllers).then_some(path)
        })?;
        let (root, mount) = mounts.lines().find_map(|line| mounted(line, version, controller))?;
        Some(Group { version, mount: mount.clone(), folder: folder(&mount, &root, path) })
    };
    let of_one = |controllers: &str| controllers.split(',').any(|one| one == controller);
    find(Version::One, &of_one).or_else(|| find(Version::Two, &str::is_empty))
}

/// Root and place of a line that mounts a hierarchy of this version; of version 1, with this controller.
fn mounted(line: &str, version: Version, controller: &str) -> Option<(PathBuf, PathBuf)> {
    let (left, right) = line.split_once(" - ")?;
    let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
    let (root, place) = (left.next()?, left.next()?);
    let (kind, options) = (right.next()?, right.nth(1)?);
    let wanted = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == controller),
        Version::Two => kind == "cgroup2",
    };
    wanted.then(|| (PathBuf::from(root), PathBuf::from(place)))
}

/// Where a group is. One outside of what is mounted, as seen from a container, is what is mounted.
fn folder(mount: &Path, root: &Path, path: &str) -> PathBuf {
    match Path::new(path).strip_prefix(root) {
        Ok(below) if below.components().all(|part| matches!(part, std::path::Component::Normal(_))) => {
            if below.as_os_str().is_empty() {
                mount.to_path_buf()
            } else {
                mount.join(below)
            }
        }
        _ => mount.to_path_buf(),
    }
}

#[cfg(test)]
mod tests;
