//! One port for datagrams, on its shard.
//!
//! The executor's own receive loses a datagram when it is cancelled. Here the executor only tells readiness, which
//! consumes nothing; reading and writing are plain calls that never block.
#![allow(clippy::disallowed_types, reason = "the socket is set to never block")]

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use glommio::io::{PollState, PollableFd};

use crate::notify::Notify;

/// The longest datagram taken or sent, in bytes.
pub const DATAGRAM_MAX: usize = 1_500;

/// A socket for datagrams.
#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    addr: SocketAddr,
}

/// What became of a datagram that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel took it.
    Gone,
    /// The kernel had no room for it.
    NoRoom,
    /// It is longer than [`DATAGRAM_MAX`].
    Oversized,
    /// The kernel refused it: no route, a filter.
    Refused,
}

impl Udp {
    /// `socket` does not block.
    pub(super) const fn new(socket: UdpSocket, addr: SocketAddr) -> Self {
        Self { socket, addr }
    }

    /// Where it is bound.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends one datagram now or never.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8]) -> Sent {
        if bytes.len() > DATAGRAM_MAX {
            return Sent::Oversized;
        }
        match self.socket.send_to(bytes, to) {
            Ok(_all) => Sent::Gone,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => Sent::NoRoom,
                _ => Sent::Refused,
            },
        }
    }
}

impl AsRawFd for Udp {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// What a look at a socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// A datagram, and where it says that it is from.
    Datagram(SocketAddr, &'a [u8]),
    /// One of more than [`DATAGRAM_MAX`] bytes.
    Oversized,
    /// Nothing is there.
    Nothing,
}

/// Takes what comes to a socket, into one buffer.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// Outlives a wait that ended otherwise, so that it is neither cancelled nor made anew.
    registered: PollState,
    socket: PollableFd<Rc<Udp>>,
    /// One byte more than may come, so that what is too long shows.
    buffer: Box<[u8]>,
    /// The last wait ended without a word from the executor.
    looking: bool,
}

impl Receiver {
    pub(crate) fn new(socket: Rc<Udp>) -> io::Result<Self> {
        let buffer = vec![0; DATAGRAM_MAX.saturating_add(1)].into_boxed_slice();
        let socket = PollableFd::new(socket).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { registered: PollState::new(), socket, buffer, looking: false })
    }

    /// Waits until something may be there, or until `look` says to look whether there is. Dropping the wait is safe.
    pub(crate) async fn readable(&mut self, look: &Notify) -> io::Result<()> {
        let mut look = pin!(look.wait());
        poll_fn(|cx| {
            // Both are polled whatever the other says, so that both keep this waker.
            let told = self.socket.poll_readable(cx, &mut self.registered);
            let look = look.as_mut().poll(cx).is_ready();
            self.looking = told.is_pending();
            match told {
                Poll::Ready(told) => Poll::Ready(told.map_err(io::Error::from)),
                Poll::Pending if look => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Takes one datagram, if one is there.
    ///
    /// # Errors
    /// Of the socket itself. What an earlier datagram came to is none of it, and skipped.
    pub(crate) fn receive(&mut self) -> io::Result<Received<'_>> {
        let taken = loop {
            match self.socket.get_ref().socket.recv_from(&mut self.buffer) {
                Ok(taken) => break taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
                // Each such report is taken away by being read, so this ends.
                Err(error) if is_report(&error) => {}
                Err(error) => return Err(error),
            }
        };
        if std::mem::take(&mut self.looking) {
            // The executor did not tell of it. It may have been about to, or never: make the registration anew.
            self.registered = PollState::new();
        }
        let (len, from) = taken;
        if len > DATAGRAM_MAX {
            return Ok(Received::Oversized);
        }
        Ok(Received::Datagram(from, self.buffer.get(..len).unwrap_or_default()))
    }
}

/// Whether this tells of something sent before, or of a signal, and nothing of the socket.
fn is_report(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN)
    )
}
