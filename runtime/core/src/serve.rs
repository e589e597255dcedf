//! The seam between a small server and the loop that carries its bytes; the other side of [`crate::LoadHandler`].

use std::rc::Rc;

use crate::{ConnId, Instant};

/// What a server may ask of its loop.
pub trait ServeIo {
    /// The time of the present batch of events.
    fn now(&self) -> Instant;

    /// Sends `bytes` after all that was sent before on this connection. Sends of one call of the handler go out
    /// together; what the peer does not take yet is kept, and nothing more is read from it meanwhile.
    fn send(&mut self, conn: ConnId, bytes: &[u8]);

    /// As [`ServeIo::send`], from memory that many connections share: it is not copied.
    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>);

    /// Closes once all was sent. Nothing more of what the peer sends is told.
    fn finish(&mut self, conn: ConnId);
}

/// A server, told of its connections by the loop.
pub trait ServeHandler {
    /// A connection was accepted.
    fn accepted<I: ServeIo>(&mut self, io: &mut I, conn: ConnId);

    /// Bytes arrived. They are gone after the call.
    fn bytes<I: ServeIo>(&mut self, io: &mut I, conn: ConnId, bytes: &[u8]);

    /// So many bytes of what was sent were handed to the kernel, in all since the connection was accepted.
    fn written(&mut self, conn: ConnId, total: u64);

    /// The connection is gone, by whichever side.
    fn closed(&mut self, conn: ConnId);

    /// Does what is due at [`ServeIo::now`].
    fn tick<I: ServeIo>(&mut self, io: &mut I);

    /// When [`ServeHandler::tick`] has something to do next.
    fn next_due(&self) -> Option<Instant>;
}
