//! What a host must allow before a node starts, checked first so that the message can say what to do.

use std::io;
use std::mem::MaybeUninit;

/// Memory that each executor locks for its rings.
pub const MEMLOCK_PER_SHARD: u64 = 512 << 10;
/// Descriptors of each shard: rings, timers, its listener, its spare.
pub const FILES_PER_SHARD: u64 = 8;
/// Descriptors of the process beside connections and shards: standard streams, logs, reports, names.
pub const FILES_BASE: u64 = 64;
/// What to do when the kernel refuses io_uring.
pub(crate) const IO_URING_REMEDY: &str = "io_uring is forbidden here: in a container allow it \
     (`--security-opt seccomp=...` with a profile that has io_uring_setup, io_uring_enter and io_uring_register); on the \
     host `sysctl kernel.io_uring_disabled=0`";

/// What this host does not allow, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// A CPU that the process may not use, or none at all.
    #[error("core {core} may not be used by this process; it may use {}", ranges(.allowed))]
    Core {
        /// The one asked for.
        core: usize,
        /// Those that would be right.
        allowed: Vec<usize>,
    },
    /// A CPU named twice.
    #[error("core {0} is listed twice; each shard needs one of its own")]
    CoreTwice(usize),
    /// The kernel forbids io_uring by its switch.
    #[error("kernel.io_uring_disabled is {0}; {IO_URING_REMEDY}")]
    IoUringDisabled(u32),
    /// The kernel refused a ring.
    #[error("io_uring_setup: {error}; {advice}")]
    IoUring {
        /// What the system said.
        error: String,
        /// What to do.
        advice: &'static str,
    },
    /// The kernel lacks an operation that the runtime uses.
    #[error("this kernel's io_uring has no {0}; Linux 5.11 or newer is needed")]
    IoUringOperation(&'static str),
    /// Too little memory may be locked.
    #[error(
        "locked memory limit is {} KiB, needed {} KiB ({} KiB per executor, {shards} executors, shared by all \
         processes of this user); raise `ulimit -l` or systemd `LimitMEMLOCK=`",
        .limit >> 10, .needed >> 10, MEMLOCK_PER_SHARD >> 10
    )]
    Memlock {
        /// Bytes allowed.
        limit: u64,
        /// Bytes needed.
        needed: u64,
        /// Executors to start.
        shards: usize,
    },
    /// Too few descriptors.
    #[error(
        "{connections} connections on {shards} shards need {needed} open files, the limit is {limit}; use fewer \
         connections, or raise `ulimit -n` (hard limit) or systemd `LimitNOFILE=`"
    )]
    Files {
        /// Connections planned.
        connections: u64,
        /// Shards planned.
        shards: usize,
        /// Descriptors needed.
        needed: u64,
        /// Descriptors allowed.
        limit: u64,
    },
}

/// The CPUs this process may use, ascending. Honours affinity and cpusets.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    let mut allowed: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    allowed.sort_unstable();
    allowed
}

/// Whether the process may run one shard on each of these CPUs.
///
/// # Errors
/// [`PreflightError::Core`] and [`PreflightError::CoreTwice`].
pub fn check_cores(cores: &[usize]) -> Result<(), PreflightError> {
    let allowed = allowed_cores();
    let mut seen = std::collections::BTreeSet::new();
    for &core in cores {
        if !allowed.contains(&core) {
            return Err(PreflightError::Core { core, allowed });
        }
        if !seen.insert(core) {
            return Err(PreflightError::CoreTwice(core));
        }
    }
    Ok(())
}

/// Whether the kernel gives this process rings with what the runtime uses.
///
/// # Errors
/// The `IoUring` variants of [`PreflightError`].
pub fn check_io_uring() -> Result<(), PreflightError> {
    // Missing before Linux 6.6, which had no such switch. 2 forbids it to all, 1 to all but a group and root.
    let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    if switch.trim() == "2" {
        return Err(PreflightError::IoUringDisabled(2));
    }
    let ring = io_uring::IoUring::new(8).map_err(|error| match switch.trim() {
        "1" => PreflightError::IoUringDisabled(1),
        _ => PreflightError::IoUring { advice: advice(&error), error: error.to_string() },
    })?;
    let mut probe = io_uring::Probe::new();
    let refused =
        |error: io::Error| PreflightError::IoUring { advice: advice(&error), error: error.to_string() };
    ring.submitter().register_probe(&mut probe).map_err(refused)?;
    let needed = [
        (io_uring::opcode::PollAdd::CODE, "POLL_ADD"),
        (io_uring::opcode::Timeout::CODE, "TIMEOUT"),
        (io_uring::opcode::Accept::CODE, "ACCEPT"),
        (io_uring::opcode::Connect::CODE, "CONNECT"),
        (io_uring::opcode::LinkTimeout::CODE, "LINK_TIMEOUT"),
        (io_uring::opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
        (io_uring::opcode::Shutdown::CODE, "SHUTDOWN"),
        (io_uring::opcode::Close::CODE, "CLOSE"),
    ];
    match needed.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(PreflightError::IoUringOperation(name)),
        None => Ok(()),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "the kernel has no io_uring: Linux 5.11 or newer is needed, with CONFIG_IO_URING"
        }
        Some(libc::ENOMEM) => "locked memory is used up: raise `ulimit -l` or systemd `LimitMEMLOCK=`",
        Some(libc::EMFILE | libc::ENFILE) => {
            "no descriptors are left: raise `ulimit -n` or systemd `LimitNOFILE=`"
        }
        _ => IO_URING_REMEDY,
    }
}

/// Whether this user may lock the memory of so many executors. Root's memory is not counted, but the runtime wants the
/// limit of one executor from it too.
///
/// # Errors
/// [`PreflightError::Memlock`].
pub fn check_memlock(shards: usize) -> Result<(), PreflightError> {
    // SAFETY: takes nothing, changes nothing.
    let root = unsafe { libc::geteuid() } == 0;
    let (limit, _hard) = limits(libc::RLIMIT_MEMLOCK);
    memlock_fits(if root { shards.min(1) } else { shards }, limit)
}

fn memlock_fits(shards: usize, limit: u64) -> Result<(), PreflightError> {
    let needed = MEMLOCK_PER_SHARD.saturating_mul(u64::try_from(shards).unwrap_or(u64::MAX));
    if limit >= needed { Ok(()) } else { Err(PreflightError::Memlock { limit, needed, shards }) }
}

/// Raises the limit of open files to the hard limit; gives what holds now.
#[must_use]
pub fn raise_files() -> u64 {
    let (soft, hard) = limits(libc::RLIMIT_NOFILE);
    if soft >= hard {
        return soft;
    }
    let raised = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: `raised` is a valid limit that lives through the call.
    let refused = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) };
    if refused == 0 { hard } else { soft }
}

/// The open files that so many connections on so many shards need.
#[must_use]
pub fn files_needed(connections: u64, shards: usize) -> u64 {
    let shards = u64::try_from(shards).unwrap_or(u64::MAX);
    connections.saturating_add(shards.saturating_mul(FILES_PER_SHARD)).saturating_add(FILES_BASE)
}

/// Whether the present limit of open files allows so many connections.
///
/// # Errors
/// [`PreflightError::Files`].
pub fn check_files(connections: u64, shards: usize) -> Result<(), PreflightError> {
    let (limit, _hard) = limits(libc::RLIMIT_NOFILE);
    let needed = files_needed(connections, shards);
    if limit >= needed { Ok(()) } else { Err(PreflightError::Files { connections, shards, needed, limit }) }
}

/// All checks of the host itself, and the files limit raised.
///
/// # Errors
/// The first [`PreflightError`].
pub fn check_host(shards: usize) -> Result<(), PreflightError> {
    let _files = raise_files();
    check_memlock(shards)?;
    check_io_uring()
}

/// The soft and the hard limit.
fn limits(resource: libc::__rlimit_resource_t) -> (u64, u64) {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the call writes the whole struct when it returns 0, and it is read only then.
    let limit = unsafe {
        if libc::getrlimit(resource, limit.as_mut_ptr()) != 0 {
            return (0, 0);
        }
        limit.assume_init()
    };
    (limit.rlim_cur, limit.rlim_max)
}

/// `0-3, 6` for people.
fn ranges(cores: &[usize]) -> String {
    let mut out = String::new();
    let mut rest = cores;
    while let Some((&first, tail)) = rest.split_first() {
        let run = tail.iter().zip(first.saturating_add(1)..).take_while(|(core, next)| *core == next).count();
        let separator = if out.is_empty() { "" } else { ", " };
        out.push_str(separator);
        out.push_str(&match run {
            0 => format!("{first}"),
            _ => format!("{first}-{}", first.saturating_add(run)),
        });
        rest = tail.get(run..).unwrap_or_default();
    }
    if out.is_empty() { "none".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_outside_the_mask_is_named_with_those_inside() {
        let refused = check_cores(&[usize::MAX]).unwrap_err().to_string();
        let allowed = ranges(&allowed_cores());
        assert!(refused.ends_with(&format!("it may use {allowed}")), "{refused}");
        let first = allowed_cores()[0];
        assert_eq!(check_cores(&[first, first]), Err(PreflightError::CoreTwice(first)));
        assert_eq!(check_cores(&allowed_cores()), Ok(()));
    }

    #[test]
    fn cores_are_written_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 3, 6, 8, 9]), "0-3, 6, 8-9");
        assert_eq!(ranges(&[]), "none");
    }

    #[test]
    fn too_little_locked_memory_says_how_much_is_needed() {
        let refused = memlock_fits(3, 64 << 10).unwrap_err().to_string();
        assert!(refused.starts_with("locked memory limit is 64 KiB, needed 1536 KiB (512 KiB per executor"));
        assert_eq!(memlock_fits(3, 1536 << 10), Ok(()));
    }

    #[test]
    fn more_connections_than_files_are_refused_with_the_number() {
        let limit = raise_files();
        let refused = check_files(limit, 2).unwrap_err();
        assert!(refused.to_string().contains(&format!("need {}", files_needed(limit, 2))), "{refused}");
        assert_eq!(check_files(1, 1), Ok(()));
    }

    #[test]
    fn this_host_gives_a_ring() {
        assert_eq!(check_io_uring(), Ok(()));
    }
}
