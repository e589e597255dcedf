//! An epoll set, asked without blocking.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Events taken at a time.
pub(crate) const EVENTS: usize = 128;

/// Edge-triggered, once for all: an edge of EPOLLOUT comes only when a connection is made or a full send buffer has
/// drained, so it costs nothing to ask for it always, and no registration is ever changed.
const CONNECTION: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
const LISTENER: i32 = libc::EPOLLIN;

/// A set of descriptors to be asked for readiness.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Box<[libc::epoll_event; EVENTS]>,
}

/// What is ready.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readiness {
    pub(crate) token: u64,
    flags: u32,
}

impl Readiness {
    fn has(self, flags: i32) -> bool {
        self.flags & flags.cast_unsigned() != 0
    }

    pub(crate) fn readable(self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    pub(crate) fn writable(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// The peer will send nothing more: read on until that shows.
    pub(crate) fn ending(self) -> bool {
        self.has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: Box::new([libc::epoll_event { events: 0, u64: 0 }; EVENTS]) })
    }

    /// A second handle on the set, to wait on.
    pub(crate) fn try_clone(&self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }

    /// Watches a connection; closing its descriptor ends that.
    pub(crate) fn add_connection(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.add(fd, token, CONNECTION)
    }

    /// Watches a listener, level-triggered, so that a bounded accept loop misses nobody.
    pub(crate) fn add_listener(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.add(fd, token, LISTENER)
    }

    /// Watches a descriptor no more.
    pub(crate) fn remove(&self, fd: RawFd) {
        // SAFETY: no memory is passed; a descriptor that is not in the set gives an error that changes nothing.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    fn add(&self, fd: RawFd, token: u64, flags: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags.cast_unsigned(), u64: token };
        // SAFETY: `event` is valid for the read.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes what is ready now; never blocks. Returns how many [`Poller::event`]s there are.
    pub(crate) fn poll(&mut self) -> usize {
        let max = i32::try_from(EVENTS).unwrap_or(i32::MAX);
        // SAFETY: the array holds `max` events, and the kernel writes at most so many.
        let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), max, 0) };
        // The only error a valid set gives is EINTR: nothing was ready.
        usize::try_from(n).unwrap_or(0)
    }

    pub(crate) fn event(&self, at: usize) -> Readiness {
        let event = self.events[at];
        Readiness { token: event.u64, flags: event.events }
    }
}
