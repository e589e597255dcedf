//! What a core wants done, in order.
//!
//! Frames are encoded at once into one arena that is reused from batch to batch, so a warm core sends without
//! allocating; the driver copies each frame into its link's queue.

use std::net::SocketAddr;
use std::ops::Range;

use hyperscale_codec::{Encode, EncodeError, Encoder, Head, HeadPatch, RawFrame};

use crate::{DialId, LinkId};

/// One thing to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<C> {
    /// Queue the frame [`Effects::frame`] shows at this range.
    Send { link: LinkId, range: Range<usize> },
    /// Connect; ends in `LinkUp` or `DialFailed`.
    Dial { dial: DialId, addr: SocketAddr },
    /// Flush what is queued, then close.
    Close { link: LinkId },
    /// Something of the role's own.
    Command(C),
}

/// A batch of effects and the bytes they send.
#[derive(Debug)]
pub struct Effects<C> {
    encoder: Encoder,
    arena: Vec<u8>,
    list: Vec<Effect<C>>,
    failed: Option<EncodeError>,
}

impl<C> Default for Effects<C> {
    fn default() -> Self {
        Self { encoder: Encoder::default(), arena: Vec::new(), list: Vec::new(), failed: None }
    }
}

impl<C> Effects<C> {
    /// Encodes `message` for `link`. A message over its kind's limit is not sent; the driver logs it
    /// ([`Effects::take_failure`]).
    pub fn send<M: Encode>(&mut self, link: LinkId, head: Head, message: &M) {
        let start = self.arena.len();
        match self.encoder.append(&mut self.arena, head, message) {
            Ok(()) => self.list.push(Effect::Send { link, range: start..self.arena.len() }),
            Err(error) => {
                debug_assert!(false, "a core made a message that cannot be sent: {error}");
                self.arena.truncate(start);
                self.failed = Some(error);
            }
        }
    }

    /// Passes a whole frame on as it came.
    pub fn forward(&mut self, link: LinkId, frame: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(frame);
        self.list.push(Effect::Send { link, range: start..self.arena.len() });
    }

    /// Passes a frame on by its header alone, one hop further. One that has crossed as many nodes as a frame may is not
    /// sent; then this is `false`.
    pub fn forward_as(&mut self, link: LinkId, frame: &RawFrame<'_>, patch: HeadPatch) -> bool {
        let start = self.arena.len();
        let passed = frame.forward(&mut self.arena, patch).is_ok();
        if passed {
            self.list.push(Effect::Send { link, range: start..self.arena.len() });
        }
        passed
    }

    /// Asks for a connection.
    pub fn dial(&mut self, dial: DialId, addr: SocketAddr) {
        self.list.push(Effect::Dial { dial, addr });
    }

    /// Ends a link after what is queued for it has gone.
    pub fn close(&mut self, link: LinkId) {
        self.list.push(Effect::Close { link });
    }

    /// Asks the driver for something of the role's own.
    pub fn command(&mut self, command: C) {
        self.list.push(Effect::Command(command));
    }

    /// The bytes of a [`Effect::Send`].
    #[must_use]
    pub fn frame(&self, range: Range<usize>) -> &[u8] {
        self.arena.get(range).unwrap_or_default()
    }

    /// The effects in order; take them with [`Effects::take`] to carry them out.
    #[must_use]
    pub fn list(&self) -> &[Effect<C>] {
        &self.list
    }

    /// Takes the list out, leaving `spare` (emptied) in its place; the arena stays readable until
    /// [`Effects::clear`].
    pub fn take(&mut self, spare: &mut Vec<Effect<C>>) {
        spare.clear();
        std::mem::swap(&mut self.list, spare);
    }

    /// Forgets the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A message that could not be encoded since the last call.
    pub fn take_failure(&mut self) -> Option<EncodeError> {
        self.failed.take()
    }
}
