//! Receive buffers that the kernel chooses from (a provided buffer ring).
//!
//! A buffer belongs to the kernel from [`Buffers::give_back`] until a completion names it; then it is a [`Filled`],
//! ours alone, until it is given back. The memory is unmapped only after every operation that could write to it has
//! completed; the owner says so with [`Buffers::free`], else it is leaked.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The only group there is on a ring.
pub(crate) const GROUP: u16 = 0;

#[derive(Debug)]
pub(crate) struct Buffers {
    entries: Mapping,
    data: Mapping,
    count: u16,
    size: usize,
    tail: u16,
}

/// A buffer that holds `len` bytes and is ours until it is given back.
#[derive(Debug)]
#[must_use = "a buffer not given back is lost to the ring"]
pub(crate) struct Filled {
    id: u16,
    len: usize,
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping overlaps nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("a mapping at address 0"))?;
        Ok(Self { start, len })
    }

    fn free(self) {
        // SAFETY: the mapping is ours and `self` is the only way to it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

impl Buffers {
    /// Registers `count` (a power of two) buffers of `size` bytes. Pages are only used once something came into them.
    pub(crate) fn register(ring: &IoUring, count: u16, size: usize) -> io::Result<Self> {
        debug_assert!(count.is_power_of_two(), "the ring of buffers is masked");
        let entries = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let data = Mapping::new(usize::from(count) * size)?;
        let mut buffers = Self { entries, data, count, size, tail: 0 };
        let addr = buffers.entries.start.as_ptr() as u64;
        // SAFETY: the mapping is page-aligned, long enough for `count` entries, zeroed, and outlives the ring or is
        // leaked.
        unsafe { ring.submitter().register_buf_ring_with_flags(addr, count, GROUP, 0) }?;
        for id in 0..count {
            buffers.offer(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Takes over the buffer that a completion named.
    pub(crate) fn filled(&self, id: u16, len: usize) -> Filled {
        assert!(id < self.count && len <= self.size, "the kernel named a buffer that does not exist");
        Filled { id, len }
    }

    pub(crate) fn bytes(&self, filled: &Filled) -> &[u8] {
        let from = usize::from(filled.id) * self.size;
        // SAFETY: within the mapping (checked in `filled`); the kernel wrote it and leaves it alone until it is given
        // back, which takes the `Filled`.
        unsafe { std::slice::from_raw_parts(self.data.start.as_ptr().add(from), filled.len) }
    }

    pub(crate) fn give_back(&mut self, filled: Filled) {
        self.offer(filled.id);
        self.publish();
    }

    fn offer(&mut self, id: u16) {
        let at = usize::from(self.tail & (self.count - 1));
        // SAFETY: `at` is below `count`, so both pointers are within their mappings; entries beyond the published
        // tail are ours to write.
        unsafe {
            let data = self.data.start.as_ptr().add(usize::from(id) * self.size);
            let entry = &mut *self.entries.start.as_ptr().cast::<BufRingEntry>().add(at);
            entry.set_addr(data as u64);
            entry.set_len(u32::try_from(self.size).unwrap_or(u32::MAX));
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        let base = self.entries.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `base` is the first entry of a live ring; its tail is read by the kernel and written by us alone.
        let tail = unsafe { &*BufRingEntry::tail(base).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Gives the memory back. No operation that could write to it may be under way.
    pub(crate) fn free(self) {
        self.entries.free();
        self.data.free();
    }
}
