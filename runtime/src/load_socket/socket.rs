//! Sockets of a load loop: made without blocking, errors as the engine knows them.

use std::io;
use std::net::SocketAddr;

use hyperscale_core::ConnError;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A socket that has begun to connect.
pub(super) fn connecting(addr: SocketAddr) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    // Requests are whole when they are sent; waiting for more of them would only delay.
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&SockAddr::from(addr)) {
        Ok(()) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A socket to be connected by a ring, which waits by itself: it must not be non-blocking.
pub(super) fn unconnected(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// What an error of the kernel means.
pub(super) fn conn_error(error: &io::Error) -> ConnError {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => ConnError::Refused,
        Some(libc::ETIMEDOUT) => ConnError::TimedOut,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN) => {
            ConnError::Unreachable
        }
        // A full table of ports is EADDRNOTAVAIL for an automatic one, EAGAIN on some kernels.
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN) => ConnError::NoLocalPort,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => ConnError::TooManyFiles,
        Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED | libc::ENOTCONN) => ConnError::Reset,
        Some(number) => ConnError::Other(number),
        None => ConnError::Other(0),
    }
}
