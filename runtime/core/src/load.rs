//! The seam between the load engine and the loop that carries its bytes.
//!
//! The loop owns sockets, the clock and all buffers; the engine decides. A [`LoadHandler`] is told what happened on
//! its connections and answers through a [`LoadIo`]; no call blocks, none re-enters the handler: what a call of
//! [`LoadIo`] brings about, an error of it too, is told later in the same or a following turn. The same engine so runs
//! over a readiness loop, over an io_uring ring, and in tests over a fake in virtual time.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::Instant;

/// One connection of a loop.
///
/// Slots are dense and used again, so a handler may index a table of its own by them. The generation
/// grows with each use of a slot; the loop tells nothing more of a connection once it was closed by either side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId {
    /// Index of the connection among those of its loop.
    pub slot: u32,
    /// How often the slot was used before.
    pub generation: u32,
}

/// Why a connection could not be made, or ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The kernel gave up waiting.
    #[error("timed out")]
    TimedOut,
    /// No route to it.
    #[error("unreachable")]
    Unreachable,
    /// All local ports are taken; more source addresses or kept connections help.
    #[error("no local port is free")]
    NoLocalPort,
    /// The limit on open files is reached.
    #[error("too many open files")]
    TooManyFiles,
    /// The peer reset it.
    #[error("connection reset")]
    Reset,
    /// Another error number of the kernel.
    #[error("error {0} of the kernel")]
    Other(i32),
}

/// How a connection ended that had been made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The peer will send nothing more; all it sent was delivered.
    Eof,
    /// It broke.
    Error(ConnError),
}

/// What a handler may ask of its loop.
pub trait LoadIo {
    /// The time of the present batch of events: a clock read at most some tens of events old.
    fn now(&self) -> Instant;

    /// Starts connecting; told by [`LoadHandler::connected`].
    fn connect(&mut self, addr: SocketAddr) -> ConnId;

    /// Sends all of `bytes`, over as many turns as it takes. The loop holds on to them until then. One send at a
    /// time a connection: the next one is asked for when the former was answered.
    fn send(&mut self, conn: ConnId, bytes: &Rc<[u8]>);

    /// Bytes of the last send that have not gone yet.
    fn unsent(&self, conn: ConnId) -> usize;

    /// Closes at once, a connection being made too. Nothing more is told of it. Returns how many bytes of the last
    /// send had not gone.
    fn close(&mut self, conn: ConnId) -> usize;
}

/// What drives load: told of its connections by the loop, called by nobody else.
pub trait LoadHandler {
    /// What its owner tells it.
    type Order;
    /// What it tells its owner.
    type Report;

    /// Takes one order.
    fn order<I: LoadIo>(&mut self, io: &mut I, order: Self::Order);

    /// A connection is made, or was not: then it is gone.
    fn connected<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, result: Result<(), ConnError>);

    /// Bytes arrived. They are in the loop's own memory and gone after the call.
    fn bytes<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, bytes: &[u8]);

    /// A connection that had been made is gone; `unsent` bytes of its last send never went.
    fn closed<I: LoadIo>(&mut self, io: &mut I, conn: ConnId, how: Closed, unsent: usize);

    /// Does what is due at [`LoadIo::now`]. Called at least once a turn.
    fn tick<I: LoadIo>(&mut self, io: &mut I);

    /// When [`LoadHandler::tick`] has something to do next, if at all.
    fn next_due(&self) -> Option<Instant>;

    /// Requests sent and not yet answered; while there are some, the loop may spin a little before it sleeps.
    fn in_flight(&self) -> usize;

    /// The oldest report not yet taken.
    fn next_report(&mut self) -> Option<Self::Report>;
}
