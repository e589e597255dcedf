//! One connection, read and written by the same or by two tasks of its shard.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

use crate::Shard;

/// A silent peer is probed after this, and given up after three probes without an answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBE: Duration = Duration::from_secs(5);
/// What was sent and not acknowledged for so long ends the connection.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A TCP connection.
#[derive(Debug)]
pub struct Stream {
    stream: RefCell<TcpStream>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Stream {
    /// Sets what every connection has: no Nagle delay, not inherited by children, dead peers noticed.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        // SAFETY: the descriptor is the stream's, which outlives this borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let socket = SockRef::from(&fd);
        socket.set_cloexec(true)?;
        socket.set_tcp_nodelay(true)?;
        let probing = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_PROBE).with_retries(3);
        socket.set_tcp_keepalive(&probing)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok(Self { stream: RefCell::new(stream), peer, local })
    }

    /// Whether a read would give something now: bytes, the end, an error.
    pub(crate) fn has_come(&self) -> bool {
        let stream = self.stream.borrow();
        // SAFETY: the descriptor is the stream's, which outlives this borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        let peeked = SockRef::from(&fd).recv_with_flags(&mut [MaybeUninit::uninit()], flags);
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Connects to one address, within `time`.
    ///
    /// # Errors
    /// As the system says; `TimedOut` when the time is over.
    pub async fn connect(_shard: &Shard, addr: SocketAddr, time: Duration) -> io::Result<Self> {
        let connected = TcpStream::connect_timeout(addr, time.max(Duration::from_millis(1))).await;
        let stream = Self::new(connected.map_err(io::Error::from)?)?;
        if stream.local == stream.peer {
            // Without a listener, a dial from the very port it dials connects to itself.
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        Ok(stream)
    }

    /// The other end.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Reads what is there into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// As the system says.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buffer)
    }

    /// Reads what is there into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    /// As the system says.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// As the system says; `UnexpectedEof` when the stream ends before.
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let n = self.read(buffer).await?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            buffer = buffer.get_mut(n..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes all of it. If the wait is dropped, nobody knows how much went: close the connection then.
    ///
    /// # Errors
    /// As the system says.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        poll_fn(|cx| {
            while !rest.is_empty() {
                let n = ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, rest))?;
                if n == 0 {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero)));
                }
                rest = rest.get(n..).unwrap_or_default();
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Ends what we send and reads to the peer's end, at most for `time`, so that a close with unread input does not
    /// reset away what was sent last.
    pub async fn finish(&self, shard: &Shard, time: Duration) {
        // SAFETY: the descriptor is the stream's, which outlives this borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(self.stream.borrow().as_raw_fd()) };
        if SockRef::from(&fd).shutdown(std::net::Shutdown::Write).is_err() {
            return;
        }
        let _late = shard
            .timeout(time, async {
                let mut unread = [0; 4096];
                while matches!(self.read(&mut unread).await, Ok(1..)) {}
            })
            .await;
    }
}
