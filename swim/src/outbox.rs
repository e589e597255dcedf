//! Outputs in order, and the bytes of datagrams, in memory that is used again from batch to batch.

use std::net::SocketAddr;
use std::ops::Range;

use hyperscale_core::DatagramPort;

use crate::Output;

/// A batch of outputs.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    list: Vec<Output>,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The outputs in order.
    #[must_use]
    pub fn list(&self) -> &[Output] {
        &self.list
    }

    /// The bytes of an [`Output::Datagram`].
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.arena.get(range).unwrap_or_default()
    }

    /// Takes the list out, leaving `spare` (emptied) in its place; bytes stay readable until [`Outbox::clear`].
    pub fn take(&mut self, spare: &mut Vec<Output>) {
        spare.clear();
        std::mem::swap(&mut self.list, spare);
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.list.push(output);
    }

    /// Where a datagram is being made; it starts at the arena's present end.
    pub(crate) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// The arena's bytes from `start` on are one datagram.
    pub(crate) fn datagram(&mut self, port: DatagramPort, to: SocketAddr, start: usize) {
        let range = start..self.arena.len();
        self.list.push(Output::Datagram { port, to, range });
    }
}
