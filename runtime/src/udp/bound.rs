//! Sockets for datagrams on their way to their shard.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::Udp;
use crate::Shard;
use crate::tcp::{BoundListener, ListenError, bind};

/// Bytes the kernel is asked to keep for us until we read; it gives less where `net.core.rmem_max` is less.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Free frame ports tried for one whose number is free for datagrams too.
const TWINS_MAX: u32 = 16;

/// A bound socket for datagrams.
#[derive(Debug)]
pub struct BoundUdp {
    socket: Socket,
    addr: SocketAddr,
}

impl BoundUdp {
    /// Where it is bound; the port that was chosen, if 0 was asked for.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves it on this shard.
    pub(crate) fn open(self, _shard: &Shard) -> Udp {
        Udp::new(self.socket.into(), self.addr)
    }
}

/// A node's ports for datagrams, each if it has one.
#[derive(Debug, Default)]
pub struct DatagramPorts {
    /// Membership: probes and gossip.
    pub membership: Option<BoundUdp>,
    /// Health probes that pass by everything else.
    pub health: Option<BoundUdp>,
}

impl DatagramPorts {
    /// The membership port's number as it travels; 0 if there is none.
    #[must_use]
    pub fn swim_port(&self) -> u16 {
        self.membership.as_ref().map_or(0, |bound| bound.addr.port())
    }

    /// The health port's number as it travels; 0 if there is none.
    #[must_use]
    pub fn oob_port(&self) -> u16 {
        self.health.as_ref().map_or(0, |bound| bound.addr.port())
    }
}

/// Binds a socket for datagrams.
///
/// # Errors
/// [`ListenError::DatagramsInUse`] or [`ListenError::Datagrams`].
pub fn bind_udp(addr: SocketAddr) -> Result<BoundUdp, ListenError> {
    bound(addr).map_err(|source| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => ListenError::DatagramsInUse(addr),
        _ => ListenError::Datagrams { addr, source },
    })
}

/// Binds all that a node is reached through, for as many shards: frames, membership under the same number, and health
/// probes on a free port of the same address. Asked for port 0, it takes one that is free for both.
///
/// # Errors
/// [`ListenError`]; then nothing is bound.
pub fn bind_ports(addr: SocketAddr, count: u16) -> Result<(Vec<BoundListener>, DatagramPorts), ListenError> {
    let mut tries = 1;
    loop {
        let listeners = bind(addr, count)?;
        let frames = listeners.first().map_or(addr, BoundListener::addr);
        let membership = match bind_udp(frames) {
            Err(ListenError::DatagramsInUse(_)) if addr.port() == 0 && tries < TWINS_MAX => {
                tries = tries.saturating_add(1);
                continue;
            }
            bound => bound?,
        };
        let health = bind_udp(SocketAddr::new(frames.ip(), 0))?;
        return Ok((listeners, DatagramPorts { membership: Some(membership), health: Some(health) }));
    }
}

/// Close-on-exec, as every socket that is made so.
fn bound(addr: SocketAddr) -> io::Result<BoundUdp> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&addr.into())?;
    let addr = socket.local_addr()?.as_socket().unwrap_or(addr);
    Ok(BoundUdp { socket, addr })
}
