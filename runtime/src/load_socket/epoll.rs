//! Connections over readiness: an epoll set polled from inside the executor.
//!
//! A send is tried at once and waits only when the kernel takes no more; a read stops at a short read, which saves the
//! call that would say "nothing more". All reads go through one scratch buffer, so an idle connection costs a row of a
//! table and nothing else.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use hyperscale_core::{Closed, ConnError, ConnId, Instant, LoadHandler, LoadIo};
use socket2::Socket;

use super::poller::Poller;
use super::socket::{conn_error, connecting};
use super::{Carrier, EVENTS_A_CLOCK_READ};
use crate::clock;

/// Bytes read at a time.
const SCRATCH: usize = 64 << 10;
/// Reads of one connection before others get their turn.
const READS_MAX: usize = 16;

/// The connections of a shard.
#[derive(Debug)]
pub(super) struct Epoll {
    io: EpollIo,
    scratch: Box<[u8]>,
    due: Vec<Due>,
}

#[derive(Debug)]
pub(super) struct EpollIo {
    poller: Poller,
    rows: Vec<Row>,
    free: Vec<u32>,
    now: Instant,
    /// What is to be told or read without waiting for an edge.
    due: Vec<Due>,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    /// A connect that failed at once.
    NotConnected(ConnId, ConnError),
    /// A read that stopped at its budget, or after a failed send: what the peer said last may explain it.
    Read(ConnId),
}

#[derive(Debug, Default)]
struct Row {
    socket: Option<Socket>,
    generation: u32,
    connected: bool,
    /// The send failed; the connection ends once all was read.
    broken: Option<ConnError>,
    /// What the kernel did not take yet, from an offset.
    rest: Option<(Rc<[u8]>, usize)>,
}

impl EpollIo {
    fn id(&self, slot: u32) -> ConnId {
        ConnId { slot, generation: self.rows.get(slot as usize).map_or(0, |row| row.generation) }
    }

    /// The row of a connection that is still open.
    fn row(&mut self, conn: ConnId) -> Option<&mut Row> {
        let row = self.rows.get_mut(conn.slot as usize)?;
        (row.generation == conn.generation).then_some(row)
    }

    fn open(&mut self, addr: SocketAddr, slot: u32) -> io::Result<Socket> {
        let socket = connecting(addr)?;
        self.poller.add_connection(socket.as_raw_fd(), token(self.id(slot)))?;
        Ok(socket)
    }

    /// Frees the row of a connection; its number of unsent bytes.
    fn take(&mut self, conn: ConnId) -> usize {
        let Some(row) = self.row(conn) else { return 0 };
        row.generation = row.generation.wrapping_add(1);
        row.socket = None;
        (row.connected, row.broken) = (false, None);
        let unsent = row.rest.take().map_or(0, |(bytes, from)| bytes.len() - from);
        self.free.push(conn.slot);
        unsent
    }

    /// Sends on from where the last send stopped.
    fn send_on(&mut self, conn: ConnId) {
        if let Some(row) = self.row(conn)
            && let Some((bytes, from)) = row.rest.take()
        {
            self.send_from(conn, &bytes, from);
        }
    }

    fn send_from(&mut self, conn: ConnId, bytes: &Rc<[u8]>, from: usize) {
        let Some(row) = self.row(conn) else { return };
        let Some(socket) = &row.socket else { return };
        let left = &bytes[from..];
        match socket.send_with_flags(left, libc::MSG_NOSIGNAL) {
            Ok(n) if n == left.len() => {}
            Ok(n) => row.rest = Some((Rc::clone(bytes), from + n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                row.rest = Some((Rc::clone(bytes), from))
            }
            Err(error) => {
                row.rest = Some((Rc::clone(bytes), from));
                row.broken = Some(conn_error(&error));
                self.due.push(Due::Read(conn));
            }
        }
    }
}

impl LoadIo for EpollIo {
    #[inline]
    fn now(&self) -> Instant {
        self.now
    }

    fn connect(&mut self, addr: SocketAddr) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row::default());
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        });
        let conn = self.id(slot);
        match self.open(addr, slot) {
            Ok(socket) => self.rows[slot as usize].socket = Some(socket),
            Err(error) => self.due.push(Due::NotConnected(conn, conn_error(&error))),
        }
        conn
    }

    #[inline]
    fn send(&mut self, conn: ConnId, bytes: &Rc<[u8]>) {
        self.send_from(conn, bytes, 0);
    }

    #[inline]
    fn unsent(&self, conn: ConnId) -> usize {
        self.rows
            .get(conn.slot as usize)
            .and_then(|row| row.rest.as_ref())
            .map_or(0, |(b, from)| b.len() - from)
    }

    fn close(&mut self, conn: ConnId) -> usize {
        self.take(conn)
    }
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        let io = EpollIo {
            poller: Poller::new()?,
            rows: Vec::new(),
            free: Vec::new(),
            now: clock::now(),
            due: Vec::new(),
        };
        Ok(Self { io, scratch: vec![0; SCRATCH].into_boxed_slice(), due: Vec::new() })
    }

    fn on_ready<H: LoadHandler>(&mut self, handler: &mut H, ready: super::poller::Readiness) {
        let conn = conn_of(ready.token);
        let Some(row) = self.io.row(conn) else { return };
        if !row.connected {
            if !ready.writable() {
                return;
            }
            let error = row.socket.as_ref().and_then(|socket| socket.take_error().unwrap_or_else(Some));
            if let Some(error) = error {
                self.io.take(conn);
                handler.connected(&mut self.io, conn, Err(conn_error(&error)));
                return;
            }
            row.connected = true;
            handler.connected(&mut self.io, conn, Ok(()));
        } else if row.rest.is_some() && ready.writable() {
            self.io.send_on(conn);
        }
        if ready.readable() {
            self.read(handler, conn, ready.ending());
        }
    }

    /// Reads until a short read, or, where the peer is known to have ended, until that shows.
    fn read<H: LoadHandler>(&mut self, handler: &mut H, conn: ConnId, ending: bool) {
        for _ in 0..READS_MAX {
            let Some(row) = self.io.row(conn) else { return };
            let Some(socket) = &row.socket else { return };
            let mut reader = socket;
            let how = match reader.read(&mut self.scratch) {
                Ok(0) => row.broken.map_or(Closed::Eof, Closed::Error),
                Ok(n) => {
                    handler.bytes(&mut self.io, conn, &self.scratch[..n]);
                    if n < SCRATCH && !ending {
                        return;
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match row.broken {
                    Some(error) => Closed::Error(error),
                    None => return,
                },
                Err(error) => Closed::Error(conn_error(&error)),
            };
            let unsent = self.io.take(conn);
            handler.closed(&mut self.io, conn, how, unsent);
            return;
        }
        self.io.due.push(Due::Read(conn));
    }

    /// Tells what waits from earlier calls.
    fn run_due<H: LoadHandler>(&mut self, handler: &mut H) -> usize {
        std::mem::swap(&mut self.due, &mut self.io.due);
        let n = self.due.len();
        for at in 0..n {
            match self.due[at] {
                Due::NotConnected(conn, error) => {
                    if self.io.row(conn).is_some() {
                        self.io.take(conn);
                        handler.connected(&mut self.io, conn, Err(error));
                    }
                }
                Due::Read(conn) => self.read(handler, conn, true),
            }
        }
        self.due.clear();
        n
    }
}

impl Carrier for Epoll {
    type Io = EpollIo;

    fn wait_fd(&self) -> io::Result<OwnedFd> {
        self.io.poller.try_clone()
    }

    fn may_sleep<H: LoadHandler>(&mut self, _: &mut H) -> bool {
        self.io.due.is_empty()
    }

    // Sends go out at once.
    fn flush(&mut self) {}

    #[inline]
    fn read_clock(&mut self) -> Instant {
        self.io.now = clock::now();
        self.io.now
    }

    fn io(&mut self) -> &mut EpollIo {
        &mut self.io
    }

    fn turn<H: LoadHandler>(&mut self, handler: &mut H) -> usize {
        let n = self.io.poller.poll();
        if n > 0 {
            self.read_clock();
        }
        for at in 0..n {
            if at > 0 && at % EVENTS_A_CLOCK_READ == 0 {
                let now = self.read_clock();
                if handler.next_due().is_some_and(|due| due <= now) {
                    handler.tick(&mut self.io);
                }
            }
            let ready = self.io.poller.event(at);
            self.on_ready(handler, ready);
        }
        n + self.run_due(handler)
    }
}

fn token(conn: ConnId) -> u64 {
    u64::from(conn.generation) << 32 | u64::from(conn.slot)
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of a token are taken apart")]
fn conn_of(token: u64) -> ConnId {
    ConnId { slot: token as u32, generation: (token >> 32) as u32 }
}
