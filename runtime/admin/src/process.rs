//! What the kernel says of this process: `/proc/self`. What cannot be read is left out.

use std::fs;

use hyperscale_view::Gauge;

/// `USER_HZ`: what the kernel counts CPU time in towards programs, on every architecture Linux has in use.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn gauges() -> Vec<Gauge> {
    let mut gauges = Vec::new();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if let Some(Stat { cpu_s, started_s }) = stat(&read("/proc/self/stat")) {
        gauges.push(Gauge::counter(
            "hyperscale_process_cpu_seconds_total",
            "CPU time of all threads, user and system.",
            cpu_s,
        ));
        if let Some(host_s) = read("/proc/uptime").split(' ').next().and_then(|text| text.parse::<f64>().ok())
        {
            let uptime_s = (host_s - started_s).max(0.0);
            gauges.push(Gauge::level("hyperscale_uptime_seconds", "Since the process started.", uptime_s));
        }
    }
    if let Some(bytes) = resident(&read("/proc/self/status")) {
        gauges.push(Gauge::level(
            "hyperscale_process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            bytes,
        ));
    }
    if let Some(count) = open_files() {
        gauges.push(Gauge::level("hyperscale_process_open_fds", "Descriptors open.", count));
    }
    if let Some(limit) = files_max(&read("/proc/self/limits")) {
        gauges.push(Gauge::level("hyperscale_process_max_fds", "Descriptors allowed.", limit));
    }
    gauges
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_s: f64,
    /// Since the host started.
    started_s: f64,
}

/// proc_pid_stat(5). The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
fn stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The fields after the name begin with the third.
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_s: (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND,
        started_s: ticks(22)? / TICKS_PER_SECOND,
    })
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "descriptors are far fewer than 2^52")]
fn open_files() -> Option<f64> {
    // One of them is the folder being read.
    fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1) as f64)
}

fn files_max(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_cannot_shift_the_fields() {
        let text = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 12345 1000000 250 0";
        assert_eq!(stat(text), Some(Stat { cpu_s: 2.0, started_s: 123.45 }));
        assert_eq!(stat("42 (short) S 1"), None);
        assert_eq!(stat(""), None);
    }

    #[test]
    fn lines_of_the_kernel_are_read_and_others_are_not() {
        assert_eq!(resident("VmSize:\t  10 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident("VmRSS: many"), None);
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024    4096    files\n";
        assert_eq!(files_max(limits), Some(1024.0));
        assert_eq!(files_max("Max open files unlimited unlimited files"), None);
    }

    #[test]
    fn this_process_has_them_all() {
        let names: Vec<&str> = gauges().iter().map(|gauge| gauge.name).collect();
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds"] {
            assert!(names.iter().any(|found| found.ends_with(name)), "{name} of {names:?}");
        }
        assert!(gauges().iter().all(|gauge| gauge.value >= 0.0));
    }
}
