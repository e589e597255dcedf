//! Listening sockets: several shards on one address, and nobody else.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that wait to be accepted at most.
const BACKLOG: i32 = 4096;

/// One shard's listening socket.
#[derive(Debug)]
pub struct Listening {
    pub(super) socket: Socket,
}

/// Listens on one address with a socket for each of `shards`. Returns the address, its port chosen where it was 0.
///
/// A second process on the same address would take half of the connections unnoticed, so the address is bound once
/// without sharing first.
///
/// # Errors
/// When the address is taken, or is none of this host's.
pub fn listen(addr: SocketAddr, shards: usize) -> io::Result<(SocketAddr, Vec<Listening>)> {
    let alone = bind(addr, false)?;
    let addr = alone.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no internet address"))?;
    drop(alone);
    let mut all = Vec::with_capacity(shards);
    for _ in 0..shards {
        let socket = bind(addr, true)?;
        socket.listen(BACKLOG)?;
        all.push(Listening { socket });
    }
    Ok((addr, all))
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    // Connections of an earlier run that wait in the kernel must not keep the port.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    if !shared {
        // With SO_REUSEADDR only a listener refuses a second one.
        socket.listen(1)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_somebody_listens_on_is_refused() {
        let (addr, held) = listen(SocketAddr::from(([127, 0, 0, 1], 0)), 2).unwrap();
        assert_ne!(addr.port(), 0);
        let error = listen(addr, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(held);
        assert!(listen(addr, 2).is_ok());
    }
}
