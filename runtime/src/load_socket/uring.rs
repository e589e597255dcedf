//! A private io_uring ring: what both loops need of it.
//!
//! Flags: completions are worked off only when we enter the kernel (`DEFER_TASKRUN`), so a burst of answers costs one
//! call and no interrupt; such a ring's own descriptor never becomes readable, hence the eventfd. In: operations with
//! a token each. Out: their completions. It counts the operations the kernel still has, and is freed only at zero.

mod buffers;
mod lent;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub(crate) use buffers::{Buffers, GROUP};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
pub(crate) use lent::Lent;

/// Operations that can be queued between two calls into the kernel; more are submitted in between.
const QUEUE: u32 = 1024;
/// Completions the kernel can post before they are taken; more are kept by it and cost a call.
const COMPLETIONS: u32 = 4096;

/// Completions waited for at a time when a ring ends.
const DRAINED: usize = 256;

#[derive(Debug)]
pub(crate) struct Uring {
    ring: Ring,
    event: OwnedFd,
    /// Operations the kernel still has.
    under_way: u64,
}

/// `IoUring` says nothing of itself.
struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IoUring")
    }
}

/// One completion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Completion {
    pub(crate) token: u64,
    /// What the call would have returned; below zero an error number.
    pub(crate) result: i32,
    flags: u32,
}

impl Completion {
    /// Whether the operation goes on and will complete again.
    pub(crate) fn goes_on(self) -> bool {
        cqueue::more(self.flags)
    }

    pub(crate) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    pub(crate) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(-self.result)
    }
}

impl Uring {
    /// # Errors
    /// When the kernel lacks a feature; the readiness loop needs none of them.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Self::waking(event, QUEUE, COMPLETIONS)
    }

    /// A second, small ring that wakes the same waiter. A ring works its operations off in their order; what must not
    /// stand in line behind thousands of answers goes here.
    pub(crate) fn beside(&self, queue: u32) -> io::Result<Self> {
        Self::waking(self.event.try_clone()?, queue, queue * 2)
    }

    fn waking(event: OwnedFd, queue: u32, completions: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(completions)
            .build(queue)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        Ok(Self { ring: Ring(ring), event, under_way: 0 })
    }

    /// Operations the kernel still has.
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Whether a turn would bring something: seen without a call into the kernel. A turn works off a few operations
    /// of many that are ready and the rest does not show here, so this is for looking in between, not instead.
    pub(crate) fn is_stirred(&mut self) -> bool {
        let queue = self.ring.0.submission();
        queue.taskrun() || !queue.is_empty()
    }

    pub(crate) fn buffers(&self, count: u16, size: usize) -> io::Result<Buffers> {
        Buffers::register(&self.ring.0, count, size)
    }

    pub(crate) fn wait_fd(&self) -> io::Result<OwnedFd> {
        self.event.try_clone()
    }

    /// Queues an operation whose memory, if it points to any, stays valid until its last completion.
    ///
    /// # Safety
    /// That is the caller's promise: [`Lent`] and [`Buffers`] keep it.
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) {
        self.under_way += 1;
        loop {
            // SAFETY: promised by the caller.
            if unsafe { self.ring.0.submission().push(entry) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    /// Receives again and again into the ring's buffers.
    pub(crate) fn receive(&mut self, fd: i32, token: u64) {
        let entry = opcode::RecvMulti::new(types::Fd(fd), GROUP).build().user_data(token);
        // SAFETY: it points to no memory but the registered buffers.
        unsafe { self.push(&entry) };
    }

    /// Ends one operation early. By its token, which the kernel finds at once; by descriptor it would look at all.
    pub(crate) fn cancel(&mut self, operation: u64, token: u64) {
        let entry = opcode::AsyncCancel::new(operation).build().user_data(token);
        // SAFETY: it points to no memory.
        unsafe { self.push(&entry) };
    }

    /// Hands over what is queued.
    pub(crate) fn submit(&mut self) {
        if !self.ring.0.submission().is_empty() {
            self.enter(0);
        }
    }

    fn enter(&mut self, flags: u32) {
        let queued = u32::try_from(self.ring.0.submission().len()).unwrap_or(u32::MAX);
        // SAFETY: no argument is passed. An error (EINTR, EBUSY) leaves the queue as it is for the next call.
        let _ = unsafe { self.ring.0.submitter().enter::<libc::sigset_t>(queued, 0, flags, None) };
    }

    /// Hands over what is queued, works off what is ready, and appends the completions. Never blocks.
    pub(crate) fn turn(&mut self, out: &mut Vec<Completion>) {
        const GETEVENTS: u32 = 1;
        self.enter(GETEVENTS);
        let before = out.len();
        for entry in self.ring.0.completion() {
            let completion =
                Completion { token: entry.user_data(), result: entry.result(), flags: entry.flags() };
            self.under_way -= u64::from(!completion.goes_on());
            out.push(completion);
        }
        debug_assert!(out.len() - before <= COMPLETIONS as usize, "more completions than the ring holds");
    }

    /// Forgets wakes so far; what completes from now on wakes anew.
    pub(crate) fn reset_event(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes are read into eight bytes. The only error is that nothing was there.
        unsafe { libc::read(self.event.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// Waits, at most about a second, until the kernel has let go of everything: all of it was cancelled or comes to
    /// its end by itself. Returns whether it has.
    pub(crate) fn drain(&mut self) -> bool {
        let mut taken = Vec::new();
        for _ in 0..10_000 {
            self.turn(&mut taken);
            taken.clear();
            if self.under_way == 0 {
                return true;
            }
            // A wait for one completion would work off only a few of thousands that are ready.
            let some = usize::try_from(self.under_way).map_or(DRAINED, |n| n.min(DRAINED));
            let wait = types::Timespec::new().nsec(100_000);
            let args = types::SubmitArgs::new().timespec(&wait);
            let _ = self.ring.0.submitter().submit_with_args(some, &args);
        }
        false
    }
}

#[cfg(test)]
mod tests;
