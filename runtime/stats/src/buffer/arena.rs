//! Runs of bytes of any length in blocks of one size, so that a ring of windows neither fragments nor allocates a
//! window at a time. A chunk of blocks is allocated when all are in use; all chunks go when none is.

/// Bytes of a block, blocks of a chunk.
const BLOCK: usize = 512;
const CHUNK: usize = 512;
const NONE: u32 = u32::MAX;

/// Bytes that were stored: a chain of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    first: u32,
    len: u32,
}

#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Box<[u8]>>,
    /// The block after each one, in its run or in the list of free ones.
    next: Vec<u32>,
    free: u32,
    used: usize,
}

impl Default for Arena {
    fn default() -> Self {
        Self { chunks: Vec::new(), next: Vec::new(), free: NONE, used: 0 }
    }
}

impl Arena {
    /// Bytes of the blocks in use.
    pub(super) const fn bytes(&self) -> usize {
        self.used.saturating_mul(BLOCK)
    }

    pub(super) fn store(&mut self, bytes: &[u8]) -> Run {
        let (mut first, mut last) = (NONE, NONE);
        for piece in bytes.chunks(BLOCK) {
            let block = self.take();
            if let Some(to) = self.block_mut(block).and_then(|to| to.get_mut(..piece.len())) {
                to.copy_from_slice(piece);
            }
            if last == NONE {
                first = block;
            } else {
                self.set_next(last, block);
            }
            last = block;
        }
        Run { first, len: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
    }

    /// Replaces what is in `out`.
    pub(super) fn load(&self, run: Run, out: &mut Vec<u8>) {
        out.clear();
        let (mut block, mut left) = (run.first, usize::try_from(run.len).unwrap_or(usize::MAX));
        while block != NONE && left > 0 {
            let piece = self.block(block).and_then(|from| from.get(..left.min(BLOCK))).unwrap_or_default();
            out.extend_from_slice(piece);
            left = left.saturating_sub(BLOCK);
            block = self.next_of(block);
        }
    }

    pub(super) fn release(&mut self, run: Run) {
        let mut block = run.first;
        while block != NONE {
            let next = self.next_of(block);
            self.set_next(block, self.free);
            self.free = block;
            self.used = self.used.saturating_sub(1);
            block = next;
        }
        if self.used == 0 {
            *self = Self::default();
        }
    }

    /// A block whose chain ends with it.
    fn take(&mut self) -> u32 {
        if self.free == NONE {
            self.grow();
        }
        let block = self.free;
        self.free = self.next_of(block);
        self.set_next(block, NONE);
        self.used = self.used.saturating_add(1);
        block
    }

    fn grow(&mut self) {
        let from = self.next.len();
        self.chunks.push(vec![0; BLOCK.saturating_mul(CHUNK)].into_boxed_slice());
        for block in from..from.saturating_add(CHUNK) {
            let after = u32::try_from(block.saturating_add(1)).unwrap_or(NONE);
            self.next.push(after);
        }
        if let Some(last) = self.next.last_mut() {
            *last = NONE;
        }
        self.free = u32::try_from(from).unwrap_or(NONE);
    }

    fn next_of(&self, block: u32) -> u32 {
        index(block).and_then(|at| self.next.get(at)).copied().unwrap_or(NONE)
    }

    fn set_next(&mut self, block: u32, to: u32) {
        if let Some(next) = index(block).and_then(|at| self.next.get_mut(at)) {
            *next = to;
        }
    }

    fn block(&self, block: u32) -> Option<&[u8]> {
        let (chunk, from) = place(block)?;
        self.chunks.get(chunk)?.get(from..from.checked_add(BLOCK)?)
    }

    fn block_mut(&mut self, block: u32) -> Option<&mut [u8]> {
        let (chunk, from) = place(block)?;
        self.chunks.get_mut(chunk)?.get_mut(from..from.checked_add(BLOCK)?)
    }
}

fn index(block: u32) -> Option<usize> {
    usize::try_from(block).ok()
}

/// Chunk, and where in it.
fn place(block: u32) -> Option<(usize, usize)> {
    let at = index(block)?;
    Some((at.checked_div(CHUNK)?, at.checked_rem(CHUNK)?.checked_mul(BLOCK)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_and_their_blocks_are_used_again() {
        let mut arena = Arena::default();
        let bytes = |n: usize| (0..n).map(|i| u8::try_from(i % 251).unwrap()).collect::<Vec<u8>>();
        let (mut out, mut runs) = (Vec::new(), Vec::new());
        for n in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK * CHUNK, 7] {
            runs.push((n, arena.store(&bytes(n))));
        }
        for (n, run) in &runs {
            arena.load(*run, &mut out);
            assert_eq!(out, bytes(*n));
        }
        assert_eq!(arena.bytes(), (1 + 1 + 1 + 2 + CHUNK + 1) * BLOCK);
        let chunks = arena.chunks.len();
        let (_, large) = runs.remove(5);
        arena.release(large);
        let again = arena.store(&bytes(BLOCK * CHUNK));
        assert_eq!(arena.chunks.len(), chunks);
        arena.release(again);
        runs.into_iter().for_each(|(_, run)| arena.release(run));
        assert_eq!((arena.bytes(), arena.chunks.len()), (0, 0));
    }
}
