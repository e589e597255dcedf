//! Listeners: several of one node share its address, none of two nodes do.
//!
//! With SO_REUSEPORT a second node of the same user would start on the address of the first and take half of its
//! connections. So the first socket is bound and listening without it, which the kernel refuses while anybody else has
//! the address; only then is it opened to further sockets of this node.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use glommio::net::TcpListener;
use hyperscale_core::Instant;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Stream;
use crate::{Cause, Shard, clock};

/// Connections the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;
/// How long `accept` rests when there is no descriptor for a connection.
const SHORTAGE_WAIT: Duration = Duration::from_millis(50);
/// The least time between two log lines about that.
const SHORTAGE_LOG: Duration = Duration::from_secs(1);

/// Why a node cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("{0} is in use; is this node running already? Otherwise choose another port")]
    InUse(SocketAddr),
    /// Anything else.
    #[error("listening on {addr}: {source}")]
    Io {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody takes the datagrams there.
    #[error("UDP {0} is in use; a node needs its frame port's number for UDP too. Choose another port")]
    DatagramsInUse(SocketAddr),
    /// Anything else about datagrams.
    #[error("UDP {addr}: {source}")]
    Datagrams {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A listening socket on its way to its shard.
#[derive(Debug)]
pub struct BoundListener {
    socket: Socket,
    addr: SocketAddr,
}

impl BoundListener {
    /// Where it listens; the port that was chosen, if 0 was asked for.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves it on this shard.
    #[must_use]
    pub fn open(self, shard: &Shard) -> Listener {
        let fd = self.socket.into_raw_fd();
        // SAFETY: the descriptor is a listening socket that nobody else owns.
        let listener = unsafe { TcpListener::from_raw_fd(fd) };
        let (spare, logged) = (RefCell::new(spare()), Cell::new(Instant::ZERO));
        Listener { shard: shard.clone(), listener, fd, addr: self.addr, spare, logged }
    }
}

/// Binds `count` sockets to one address, for as many shards of one node. The kernel spreads connections over them, so
/// have all of them before the node says that it is ready.
///
/// # Errors
/// [`ListenError`]; then nothing listens.
pub fn bind(addr: SocketAddr, count: u16) -> Result<Vec<BoundListener>, ListenError> {
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => ListenError::InUse(addr),
        _ => ListenError::Io { addr, source },
    };
    let first = listening(addr, false).map_err(failed)?;
    let addr = first.addr;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(listening(addr, true).map_err(failed)?);
    }
    Ok(all)
}

fn listening(addr: SocketAddr, shared: bool) -> io::Result<BoundListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier start that linger in the kernel do not count as somebody else.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // An address means itself: `[::]` would otherwise also take every IPv4 connection.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(true)?;
    let addr = socket.local_addr()?.as_socket().unwrap_or(addr);
    Ok(BoundListener { socket, addr })
}

/// Accepts connections on one shard.
#[derive(Debug)]
pub struct Listener {
    shard: Shard,
    listener: TcpListener,
    fd: RawFd,
    addr: SocketAddr,
    /// Kept to be given up when none is left, so that a connection can be taken and closed.
    spare: RefCell<Option<OwnedFd>>,
    logged: Cell<Instant>,
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection. For want of descriptors or buffers it rests, and turns callers away meanwhile; dropping the
    /// wait loses no connection.
    ///
    /// # Errors
    /// Only what ends the listener.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let error = match self.listener.accept().await {
                Ok(accepted) => match Stream::new(accepted) {
                    Ok(stream) => {
                        self.shard.counters().accepted.add(1);
                        return Ok(stream);
                    }
                    // It was gone before we looked.
                    Err(_gone) => continue,
                },
                Err(error) => io::Error::from(error),
            };
            match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => self.rest(&error).await,
                Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK) => return Err(error),
                // The connection's own trouble, such as ECONNABORTED; a yield keeps a flood of them fair.
                _ => self.shard.sleep(Duration::ZERO).await,
            }
        }
    }

    /// No descriptor: turn one caller away with the spare one, so that it does not wait in vain, then rest.
    async fn rest(&self, error: &io::Error) {
        self.shard.counters().accept_failures.add(1);
        let now = clock::now();
        if now.since(self.logged.get()) >= SHORTAGE_LOG {
            self.logged.set(now);
            tracing::warn!(listen = %self.addr, %error, "accepting is out of resources; raise `ulimit -n`");
        }
        let given_up = self.spare.borrow_mut().take();
        if given_up.is_some() {
            drop(given_up);
            // SAFETY: the descriptor is the listener's, which outlives this borrow.
            let listener = unsafe { BorrowedFd::borrow_raw(self.fd) };
            let turned_away = SockRef::from(&listener).accept();
            if turned_away.is_ok() {
                self.shard.causes().count(Cause::NoDescriptor);
            }
        }
        let again = spare();
        *self.spare.borrow_mut() = again;
        self.shard.sleep(SHORTAGE_WAIT).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // An accept that the ring still holds keeps the socket open after the close, and would take one more
        // connection into nowhere. Shut down, it listens no more from this line on.
        // SAFETY: the descriptor is the listener's, dropped after this.
        let listener = unsafe { BorrowedFd::borrow_raw(self.fd) };
        let _closing = SockRef::from(&listener).shutdown(std::net::Shutdown::Both);
    }
}

fn spare() -> Option<OwnedFd> {
    File::open("/dev/null").ok().map(OwnedFd::from)
}
