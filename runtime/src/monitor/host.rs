//! The host's figures: its files, found once and read again and again.

use std::path::Path;

use hyperscale_reliability::MemoryUse;

use super::figures::{Group, Version, cpus, group_of, has_others, keyed, limit, meminfo, number, some_avg10};
use super::kept_file::{KeptFile, Room};

/// What one process can read of its host. Files that are not there are looked for again when its groups change.
#[derive(Debug, Default)]
pub(super) struct Host {
    room: Room,
    groups: Option<KeptFile>,
    /// The text of `groups` for which the files below were opened.
    found_for: Option<String>,
    throttled: Option<(KeptFile, Version)>,
    quotas: Vec<Quota>,
    memory: Option<GroupMemory>,
    pressure: Vec<KeptFile>,
    meminfo: Option<KeptFile>,
    processes: Option<KeptFile>,
    /// The group of memory and pressure is not this process's alone.
    shared: bool,
}

/// What one level of the hierarchy may use of CPUs: one file in version 2, quota and period in version 1.
#[derive(Debug)]
struct Quota {
    quota: KeptFile,
    period: Option<KeptFile>,
}

/// The level of the hierarchy with the least limit.
#[derive(Debug)]
struct GroupMemory {
    limit: u64,
    version: Version,
    used: KeptFile,
    stat: Option<KeptFile>,
}

impl Host {
    /// Looks whether this process was put into other groups, and finds the files of those.
    pub(super) fn find(&mut self) {
        if self.groups.is_none() {
            self.groups = KeptFile::open(Path::new("/proc/self/cgroup"));
            self.meminfo = KeptFile::open(Path::new("/proc/meminfo"));
        }
        let groups = self.groups.as_ref().and_then(|file| file.read(&mut self.room)).unwrap_or_default();
        if self.found_for.as_deref() != Some(groups) {
            let groups = groups.to_owned();
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            self.open(&groups, &mounts);
            self.found_for = Some(groups);
        }
        let own = std::process::id();
        self.shared = match self.processes.as_ref().and_then(|file| file.read(&mut self.room)) {
            Some(processes) => has_others(processes, own),
            // The host itself.
            None => true,
        };
    }

    fn open(&mut self, groups: &str, mounts: &str) {
        let of_cpu = group_of(groups, mounts, "cpu");
        self.throttled = of_cpu.as_ref().and_then(|group| {
            KeptFile::open(&group.folder.join("cpu.stat")).map(|file| (file, group.version))
        });
        self.quotas = of_cpu.as_ref().map(quotas).unwrap_or_default();
        let of_memory = group_of(groups, mounts, "memory");
        self.memory = of_memory.as_ref().and_then(least_limit);
        // Pressure exists in version 2, and a root has none of its own: that of the host says little of this node.
        let pressed = of_memory.as_ref().filter(|group| group.version == Version::Two && group.is_own());
        self.pressure = pressed.map_or_else(Vec::new, |group| {
            let names = ["cpu.pressure", "memory.pressure", "io.pressure"];
            names.iter().filter_map(|name| KeptFile::open(&group.folder.join(name))).collect()
        });
        let limited = self.memory.is_some() || !self.pressure.is_empty();
        let own = of_memory.filter(|_| limited);
        self.processes = own.and_then(|group| KeptFile::open(&group.folder.join("cgroup.procs")));
    }

    /// Time that the process's group was held back by its quota, since its start; 0 where nothing holds it back.
    pub(super) fn throttled_ns(&mut self) -> u64 {
        let Some((file, version)) = &self.throttled else { return 0 };
        let Some(text) = file.read(&mut self.room) else { return 0 };
        match version {
            Version::One => keyed(text, "throttled_time").unwrap_or(0),
            Version::Two => keyed(text, "throttled_usec").unwrap_or(0).saturating_mul(1_000),
        }
    }

    /// CPUs' worth of time that the process's groups let it have; `None` where nothing limits it.
    pub(super) fn cpu_quota(&mut self) -> Option<f64> {
        let Self { room, quotas, .. } = self;
        let each = quotas.iter().filter_map(|level| {
            let text = level.quota.read(room)?.to_owned();
            match &level.period {
                Some(period) => cpus(text.trim(), period.read(room)?.trim()),
                None => text.trim().split_once(' ').and_then(|(quota, period)| cpus(quota, period)),
            }
        });
        each.reduce(f64::min)
    }

    /// Memory of the group, if it has a limit under the host's total; else of the host. `from`: the part in use from
    /// which it matters what of it are caches, which costs the kernel some time to tell.
    pub(super) fn memory(&mut self, from: f64) -> Option<MemoryUse> {
        let text = self.meminfo.as_ref()?.read(&mut self.room)?;
        let total_bytes = meminfo(text, "MemTotal")?;
        let free = meminfo(text, "MemAvailable");
        if let Some(group) = self.memory.as_ref().filter(|group| group.limit < total_bytes) {
            let used_bytes = number(group.used.read(&mut self.room)?)?;
            let mut memory = MemoryUse { used_bytes, total_bytes: group.limit };
            if memory.percent() >= from * 100.0 {
                let key = match group.version {
                    Version::One => "total_inactive_file",
                    Version::Two => "inactive_file",
                };
                let stat = group.stat.as_ref().and_then(|stat| stat.read(&mut self.room));
                let caches = stat.and_then(|text| keyed(text, key)).unwrap_or(0);
                memory.used_bytes = used_bytes.saturating_sub(caches);
            }
            return Some(memory);
        }
        Some(MemoryUse { used_bytes: total_bytes.saturating_sub(free?), total_bytes })
    }

    /// The worst of CPU, memory and disk.
    pub(super) fn pressure_percent(&mut self) -> Option<f64> {
        let percents = self.pressure.iter().filter_map(|file| some_avg10(file.read(&mut self.room)?));
        percents.reduce(f64::max)
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.shared
    }
}

/// Those of a group and of all above it.
fn quotas(group: &Group) -> Vec<Quota> {
    let levels = group.folder.ancestors().take_while(|folder| folder.starts_with(&group.mount));
    let quota = |folder: &Path| match group.version {
        Version::One => Some(Quota {
            quota: KeptFile::open(&folder.join("cpu.cfs_quota_us"))?,
            period: Some(KeptFile::open(&folder.join("cpu.cfs_period_us"))?),
        }),
        Version::Two => Some(Quota { quota: KeptFile::open(&folder.join("cpu.max"))?, period: None }),
    };
    levels.filter_map(quota).collect()
}

/// Of a group and those above it, the one with the least limit: it is the first to be full.
fn least_limit(group: &Group) -> Option<GroupMemory> {
    let (max, used) = match group.version {
        Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        Version::Two => ("memory.max", "memory.current"),
    };
    let levels = group.folder.ancestors().take_while(|folder| folder.starts_with(&group.mount));
    let limits = levels.filter_map(|folder| {
        let limit = limit(&std::fs::read_to_string(folder.join(max)).ok()?)?;
        let used = KeptFile::open(&folder.join(used))?;
        let stat = KeptFile::open(&folder.join("memory.stat"));
        Some(GroupMemory { limit, version: group.version, used, stat })
    });
    limits.min_by_key(|memory| memory.limit)
}
