//! A process held to a part of one CPU, as an operator's limits would: by a control group of its own.

use std::path::{Path, PathBuf};

/// Holds a process until it is dropped.
pub(crate) struct Held {
    group: PathBuf,
    parent: PathBuf,
}

impl Held {
    /// Holds it to so many percent of one CPU. `None`, said aloud, where this machine does not let us.
    pub(crate) fn to_percent(pid: u32, percent: u32) -> Option<Self> {
        let tried = Self::by_version_2(pid, percent).or_else(|| Self::by_version_1(pid, percent));
        if tried.is_none() {
            eprintln!(
                "SKIPPED: no control group for CPUs can be made here; run as root on a host with cgroups"
            );
        }
        tried
    }

    fn by_version_2(pid: u32, percent: u32) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        std::fs::read_to_string(root.join("cgroup.controllers")).ok().filter(|all| all.contains("cpu"))?;
        std::fs::write(root.join("cgroup.subtree_control"), "+cpu").ok()?;
        Self::make(root, pid, &[("cpu.max", format!("{} 100000", percent * 1_000))])
    }

    fn by_version_1(pid: u32, percent: u32) -> Option<Self> {
        let quota = (percent * 1_000).to_string();
        Self::make(Path::new("/sys/fs/cgroup/cpu"), pid, &[("cpu.cfs_quota_us", quota)])
    }

    fn make(parent: &Path, pid: u32, settings: &[(&str, String)]) -> Option<Self> {
        let held =
            Self { group: parent.join(format!("hyperscale-test-{pid}")), parent: parent.to_path_buf() };
        std::fs::create_dir(&held.group).ok()?;
        for (file, value) in settings {
            std::fs::write(held.group.join(file), value).ok()?;
        }
        std::fs::write(held.group.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let procs = std::fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines() {
            let _ended_meanwhile = std::fs::write(self.parent.join("cgroup.procs"), pid);
        }
        let _was_never_made = std::fs::remove_dir(&self.group);
    }
}
