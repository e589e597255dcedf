//! Connections over a private io_uring ring: one operation a request, answers in batches.
//!
//! Each connection has one standing receive; a request is one send, queued and handed over with the others of its batch.
//! The slot of a connection is used again only after the kernel has completed all its operations.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use hyperscale_core::{Closed, ConnError, ConnId, Instant, LoadHandler, LoadIo};
use io_uring::{opcode, types};
use socket2::{SockAddr, Socket};

use super::socket::{conn_error, unconnected};
use super::uring::{Buffers, Completion, Lent, Uring};
use super::{Carrier, EVENTS_A_CLOCK_READ};
use crate::clock;

/// Receive buffers of a shard, and the bytes of each. A burst of more answers than buffers costs a new receive each.
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 16 << 10;

/// Handshakes queued between two calls into the kernel; more are submitted in between.
const HANDSHAKES: u32 = 128;

const CONNECT: u64 = 0;
const SEND: u64 = 1;
const RECEIVE: u64 = 2;
const CANCEL: u64 = 3;

/// The connections of a shard.
#[derive(Debug)]
pub(super) struct Ring {
    io: RingIo,
    buffers: Option<Buffers>,
    taken: Vec<Completion>,
    /// Completions of handshakes.
    made: Vec<Completion>,
    due: Vec<(ConnId, ConnError)>,
}

#[derive(Debug)]
pub(super) struct RingIo {
    uring: Uring,
    /// Handshakes, apart: behind the answers of ten thousand connections each would wait for all of them.
    handshakes: Uring,
    rows: Vec<Row>,
    free: Vec<u32>,
    now: Instant,
    /// Connects that failed at once.
    due: Vec<(ConnId, ConnError)>,
}

#[derive(Debug, Default)]
struct Row {
    socket: Option<Socket>,
    generation: u32,
    /// Operations the kernel has.
    under_way: u32,
    /// Nobody is told of it any more; it waits for its operations to complete.
    closed: bool,
    receiving: bool,
    broken: Option<ConnError>,
    addr: Option<Lent<Box<SockAddr>>>,
    /// What is being sent, from an offset.
    sending: Option<Lent<(Rc<[u8]>, usize)>>,
}

fn token(slot: u32, operation: u64) -> u64 {
    u64::from(slot) << 2 | operation
}

impl RingIo {
    fn open_row(&mut self, conn: ConnId) -> Option<&mut Row> {
        let row = self.rows.get_mut(conn.slot as usize)?;
        (row.generation == conn.generation && !row.closed).then_some(row)
    }

    fn connect_row(&mut self, slot: u32, addr: SocketAddr) -> io::Result<()> {
        let socket = unconnected(addr)?;
        let row = &mut self.rows[slot as usize];
        let addr = row.addr.insert(Lent::new(Box::new(SockAddr::from(addr)))).get();
        let fd = types::Fd(socket.as_raw_fd());
        let entry = opcode::Connect::new(fd, addr.as_ptr().cast(), addr.len()).build();
        row.socket = Some(socket);
        row.under_way += 1;
        // SAFETY: the address is lent in the row until the completion.
        unsafe { self.handshakes.push(&entry.user_data(token(slot, CONNECT))) };
        Ok(())
    }

    fn send_from(&mut self, slot: u32, bytes: Rc<[u8]>, from: usize) {
        let row = &mut self.rows[slot as usize];
        let Some(socket) = &row.socket else { return };
        debug_assert!(row.sending.is_none(), "two sends at a time on one connection");
        let left = &bytes[from..];
        let len = u32::try_from(left.len()).unwrap_or(u32::MAX);
        let fd = types::Fd(socket.as_raw_fd());
        let entry = opcode::Send::new(fd, left.as_ptr(), len).flags(libc::MSG_NOSIGNAL).build();
        row.sending = Some(Lent::new((bytes, from)));
        row.under_way += 1;
        // SAFETY: the bytes are lent in the row until the completion.
        unsafe { self.uring.push(&entry.user_data(token(slot, SEND))) };
    }

    fn receive(&mut self, slot: u32) {
        let row = &mut self.rows[slot as usize];
        let Some(socket) = &row.socket else { return };
        row.under_way += 1;
        row.receiving = true;
        self.uring.receive(socket.as_raw_fd(), token(slot, RECEIVE));
    }

    /// Ends the life of a row; its slot is free once the kernel has let go of it.
    fn close_row(&mut self, slot: u32) -> usize {
        let row = &mut self.rows[slot as usize];
        let unsent = row.unsent();
        row.closed = true;
        let standing =
            [(CONNECT, row.addr.is_some()), (SEND, row.sending.is_some()), (RECEIVE, row.receiving)];
        for (operation, under_way) in standing {
            if under_way {
                self.rows[slot as usize].under_way += 1;
                let ring = if operation == CONNECT { &mut self.handshakes } else { &mut self.uring };
                ring.cancel(token(slot, operation), token(slot, CANCEL));
            }
        }
        self.free_if_done(slot);
        unsent
    }

    fn free_if_done(&mut self, slot: u32) {
        let row = &mut self.rows[slot as usize];
        if row.closed && row.under_way == 0 {
            *row = Row { generation: row.generation.wrapping_add(1), ..Row::default() };
            self.free.push(slot);
        }
    }
}

impl Row {
    fn unsent(&self) -> usize {
        self.sending.as_ref().map_or(0, |lent| lent.get().0.len() - lent.get().1)
    }
}

impl LoadIo for RingIo {
    #[inline]
    fn now(&self) -> Instant {
        self.now
    }

    fn connect(&mut self, addr: SocketAddr) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row::default());
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        });
        let conn = ConnId { slot, generation: self.rows[slot as usize].generation };
        if let Err(error) = self.connect_row(slot, addr) {
            self.due.push((conn, conn_error(&error)));
        }
        conn
    }

    #[inline]
    fn send(&mut self, conn: ConnId, bytes: &Rc<[u8]>) {
        if self.open_row(conn).is_some() {
            self.send_from(conn.slot, Rc::clone(bytes), 0);
        }
    }

    #[inline]
    fn unsent(&self, conn: ConnId) -> usize {
        self.rows.get(conn.slot as usize).map_or(0, Row::unsent)
    }

    fn close(&mut self, conn: ConnId) -> usize {
        if self.open_row(conn).is_some() { self.close_row(conn.slot) } else { 0 }
    }
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let uring = Uring::new()?;
        let buffers = uring.buffers(BUFFERS, BUFFER_BYTES)?;
        let handshakes = uring.beside(HANDSHAKES)?;
        let io = RingIo {
            uring,
            handshakes,
            rows: Vec::new(),
            free: Vec::new(),
            now: clock::now(),
            due: Vec::new(),
        };
        Ok(Self { io, buffers: Some(buffers), taken: Vec::new(), made: Vec::new(), due: Vec::new() })
    }

    fn on_completion<H: LoadHandler>(&mut self, handler: &mut H, completion: Completion) {
        let Ok(slot) = u32::try_from(completion.token >> 2) else { return };
        let row = &mut self.io.rows[slot as usize];
        row.under_way -= u32::from(!completion.goes_on());
        let conn = ConnId { slot, generation: row.generation };
        match completion.token & 3 {
            CONNECT => {
                drop(row.addr.take().map(Lent::take_back));
                if row.closed {
                    self.io.free_if_done(slot);
                } else if completion.result < 0 {
                    self.io.close_row(slot);
                    handler.connected(&mut self.io, conn, Err(conn_error(&completion.error())));
                } else {
                    self.io.receive(slot);
                    handler.connected(&mut self.io, conn, Ok(()));
                }
            }
            SEND => self.on_sent(slot, completion),
            RECEIVE => self.on_received(handler, conn, completion),
            _ => self.io.free_if_done(slot),
        }
    }

    fn on_sent(&mut self, slot: u32, completion: Completion) {
        let row = &mut self.io.rows[slot as usize];
        let Some((bytes, from)) = row.sending.take().map(Lent::take_back) else { return };
        if row.closed {
            self.io.free_if_done(slot);
            return;
        }
        match usize::try_from(completion.result) {
            Ok(n) if from + n >= bytes.len() => {}
            Ok(n) => self.io.send_from(slot, bytes, from + n),
            Err(_) => {
                // What the peer said last may explain it; then the receive ends.
                row.broken = Some(conn_error(&completion.error()));
                if let Some(socket) = &row.socket {
                    let _ = socket.shutdown(std::net::Shutdown::Both);
                }
            }
        }
    }

    fn on_received<H: LoadHandler>(&mut self, handler: &mut H, conn: ConnId, completion: Completion) {
        let Some(buffers) = &mut self.buffers else { return };
        let row = &self.io.rows[conn.slot as usize];
        let (closed, broken) = (row.closed, row.broken);
        if let (Some(id), Ok(n)) = (completion.buffer(), usize::try_from(completion.result)) {
            let filled = buffers.filled(id, n);
            if n > 0 && !closed {
                handler.bytes(&mut self.io, conn, buffers.bytes(&filled));
            }
            buffers.give_back(filled);
        }
        if completion.goes_on() {
            return;
        }
        self.io.rows[conn.slot as usize].receiving = false;
        if self.io.open_row(conn).is_none() {
            self.io.free_if_done(conn.slot);
            return;
        }
        if completion.result > 0 || completion.result == -libc::ENOBUFS {
            self.io.receive(conn.slot);
            return;
        }
        let how = match broken {
            Some(error) => Closed::Error(error),
            None if completion.result == 0 => Closed::Eof,
            None => Closed::Error(conn_error(&completion.error())),
        };
        let unsent = self.io.close_row(conn.slot);
        handler.closed(&mut self.io, conn, how, unsent);
    }
}

impl Ring {
    /// Works off handshakes alone. Between answers too: while thousands of them come, those who have no connection
    /// yet would wait for all of them each time.
    fn turn_handshakes<H: LoadHandler>(&mut self, handler: &mut H) -> usize {
        if self.io.handshakes.under_way() == 0 {
            return 0;
        }
        self.io.handshakes.turn(&mut self.made);
        let n = self.made.len();
        if n > 0 {
            self.read_clock();
        }
        for at in 0..n {
            self.on_completion(handler, self.made[at]);
        }
        self.made.clear();
        n
    }

    /// Tells of connects that failed at once.
    fn tell_failed<H: LoadHandler>(&mut self, handler: &mut H) -> usize {
        std::mem::swap(&mut self.due, &mut self.io.due);
        let n = self.due.len();
        for at in 0..n {
            let (conn, error) = self.due[at];
            if self.io.open_row(conn).is_some() {
                self.io.close_row(conn.slot);
                handler.connected(&mut self.io, conn, Err(error));
            }
        }
        self.due.clear();
        n
    }
}

impl Carrier for Ring {
    type Io = RingIo;

    fn wait_fd(&self) -> io::Result<OwnedFd> {
        self.io.uring.wait_fd()
    }

    fn may_sleep<H: LoadHandler>(&mut self, handler: &mut H) -> bool {
        self.io.uring.reset_event();
        self.turn(handler) == 0
    }

    fn io(&mut self) -> &mut RingIo {
        &mut self.io
    }

    fn flush(&mut self) {
        self.io.uring.submit();
        self.io.handshakes.submit();
    }

    #[inline]
    fn read_clock(&mut self) -> Instant {
        self.io.now = clock::now();
        self.io.now
    }

    fn turn<H: LoadHandler>(&mut self, handler: &mut H) -> usize {
        self.io.uring.turn(&mut self.taken);
        let answers = self.taken.len();
        if answers > 0 {
            self.read_clock();
        }
        for at in 0..answers {
            if at > 0 && at % EVENTS_A_CLOCK_READ == 0 {
                self.io.uring.submit();
                let now = self.read_clock();
                if handler.next_due().is_some_and(|due| due <= now) {
                    handler.tick(&mut self.io);
                }
                self.turn_handshakes(handler);
            }
            self.on_completion(handler, self.taken[at]);
        }
        let n = answers + self.turn_handshakes(handler) + self.tell_failed(handler);
        self.taken.clear();
        n
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for slot in 0..self.io.rows.len() {
            if !self.io.rows[slot].closed {
                self.io.close_row(u32::try_from(slot).unwrap_or(u32::MAX));
            }
        }
        if self.io.handshakes.drain() && self.io.uring.drain() {
            for row in &mut self.io.rows {
                drop(row.sending.take().map(Lent::take_back));
                drop(row.addr.take().map(Lent::take_back));
            }
            if let Some(buffers) = self.buffers.take() {
                buffers.free();
            }
        } else {
            tracing::error!("the kernel did not let go of a ring's memory; it is leaked");
        }
    }
}
