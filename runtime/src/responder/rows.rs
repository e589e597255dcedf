//! The connections of a server loop, over readiness.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use hyperscale_core::{ConnId, Instant, ServeHandler, ServeIo};
use socket2::Socket;

use super::{Listening, ServeCarrier};
use crate::clock;
use crate::load_socket::EVENTS_A_CLOCK_READ;
use crate::load_socket::poller::{Poller, Readiness};

const SCRATCH: usize = 64 << 10;
/// Reads of one connection before others get their turn.
const READS_MAX: usize = 16;
/// Connections accepted a turn.
const ACCEPTS_MAX: usize = 64;
/// How long accepting pauses at the limit of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The listener's token: no connection reaches that generation and slot.
const LISTENER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Rows {
    io: RowsIo,
    listening: Listening,
    connections_max: usize,
    paused_until: Option<Instant>,
    scratch: Box<[u8]>,
    due: Vec<ConnId>,
}

#[derive(Debug)]
struct RowsIo {
    poller: Poller,
    rows: Vec<Row>,
    free: Vec<u32>,
    open: usize,
    now: Instant,
    /// What the handler has sent in the present call, and to whom.
    batch: Vec<u8>,
    batch_for: Option<ConnId>,
    /// Written bytes to be told.
    written: Vec<(ConnId, u64)>,
    /// Connections to look at again without an edge.
    due: Vec<ConnId>,
}

#[derive(Debug, Default)]
struct Row {
    socket: Option<Socket>,
    generation: u32,
    /// What the kernel did not take yet, from an offset.
    rest: Vec<u8>,
    rest_from: usize,
    total: u64,
    finishing: bool,
    broken: bool,
    /// Something came while nothing was to be read.
    unread: bool,
}

impl RowsIo {
    fn row(&mut self, conn: ConnId) -> Option<&mut Row> {
        let row = self.rows.get_mut(conn.slot as usize)?;
        (row.generation == conn.generation && row.socket.is_some()).then_some(row)
    }

    /// Sends what the present call has gathered.
    fn flush(&mut self) {
        let Some(conn) = self.batch_for.take() else { return };
        let mut batch = std::mem::take(&mut self.batch);
        if let Some(row) = self.row(conn) {
            if row.rest.is_empty() {
                let n = row.write(&batch);
                if n < batch.len() {
                    row.rest.extend_from_slice(&batch[n..]);
                }
                let total = row.total;
                if n > 0 {
                    self.written.push((conn, total));
                }
            } else {
                row.rest.extend_from_slice(&batch);
            }
            self.end_if_flushed(conn);
        }
        batch.clear();
        self.batch = batch;
    }

    /// Sends on from where the last send stopped.
    fn write_rest(&mut self, conn: ConnId) {
        let Some(row) = self.row(conn) else { return };
        if row.rest.is_empty() {
            return;
        }
        let rest = std::mem::take(&mut row.rest);
        let n = row.write(&rest[row.rest_from..]);
        row.rest = rest;
        row.rest_from += n;
        if row.rest_from == row.rest.len() {
            (row.rest, row.rest_from) = (Vec::new(), 0);
        }
        let total = row.total;
        if n > 0 {
            self.written.push((conn, total));
        }
        self.end_if_flushed(conn);
    }

    fn end_if_flushed(&mut self, conn: ConnId) {
        if let Some(row) = self.row(conn)
            && ((row.finishing && row.rest.is_empty()) || row.broken || (row.unread && row.rest.is_empty()))
        {
            self.due.push(conn);
        }
    }
}

impl Row {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(socket) = &self.socket else { return 0 };
        match socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
            Ok(n) => {
                self.total += u64::try_from(n).unwrap_or(u64::MAX);
                n
            }
            Err(error) => {
                self.broken = error.kind() != io::ErrorKind::WouldBlock;
                0
            }
        }
    }
}

impl ServeIo for RowsIo {
    #[inline]
    fn now(&self) -> Instant {
        self.now
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        if self.batch_for != Some(conn) {
            self.flush();
            self.batch_for = Some(conn);
        }
        self.batch.extend_from_slice(bytes);
    }

    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>) {
        self.send(conn, bytes);
    }

    fn finish(&mut self, conn: ConnId) {
        if let Some(row) = self.row(conn) {
            row.finishing = true;
        }
        if self.batch_for != Some(conn) {
            self.end_if_flushed(conn);
        }
    }
}

impl Rows {
    pub(super) fn new(listening: Listening, connections_max: usize) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add_listener(listening.socket.as_raw_fd(), LISTENER)?;
        let io = RowsIo {
            poller,
            rows: Vec::new(),
            free: Vec::new(),
            open: 0,
            now: clock::now(),
            batch: Vec::new(),
            batch_for: None,
            written: Vec::new(),
            due: Vec::new(),
        };
        let scratch = vec![0; SCRATCH].into_boxed_slice();
        Ok(Self { io, listening, connections_max, paused_until: None, scratch, due: Vec::new() })
    }

    fn accept<H: ServeHandler>(&mut self, handler: &mut H) {
        for _ in 0..ACCEPTS_MAX {
            match self.listening.socket.accept() {
                Ok((socket, _)) if self.io.open >= self.connections_max => drop(socket),
                Ok((socket, _)) => self.admit(handler, socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting pauses");
                    self.io.poller.remove(self.listening.socket.as_raw_fd());
                    self.paused_until = Some(self.io.now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn admit<H: ServeHandler>(&mut self, handler: &mut H, socket: Socket) {
        let slot = self.io.free.pop().unwrap_or_else(|| {
            self.io.rows.push(Row::default());
            u32::try_from(self.io.rows.len() - 1).unwrap_or(u32::MAX)
        });
        let row = &mut self.io.rows[slot as usize];
        let conn = ConnId { slot, generation: row.generation };
        let token = u64::from(conn.generation) << 32 | u64::from(slot);
        let ready = socket
            .set_nonblocking(true)
            .and_then(|()| socket.set_tcp_nodelay(true))
            .and_then(|()| self.io.poller.add_connection(socket.as_raw_fd(), token));
        if ready.is_err() {
            self.io.free.push(slot);
            return;
        }
        row.socket = Some(socket);
        self.io.open += 1;
        handler.accepted(&mut self.io, conn);
        self.settle(handler);
    }

    #[allow(clippy::cast_possible_truncation, reason = "the halves of a token are taken apart")]
    fn on_ready<H: ServeHandler>(&mut self, handler: &mut H, ready: Readiness) {
        let conn = ConnId { slot: ready.token as u32, generation: (ready.token >> 32) as u32 };
        if ready.writable() {
            self.io.write_rest(conn);
            self.settle(handler);
        }
        if ready.readable() {
            self.read(handler, conn, ready.ending());
        }
    }

    fn look_again<H: ServeHandler>(&mut self, handler: &mut H, conn: ConnId) {
        match self.io.row(conn) {
            Some(row) if row.broken || (row.finishing && row.rest.is_empty()) => self.close(handler, conn),
            Some(row) if row.unread => {
                row.unread = false;
                self.read(handler, conn, true);
            }
            Some(_) | None => {}
        }
    }

    fn read<H: ServeHandler>(&mut self, handler: &mut H, conn: ConnId, ending: bool) {
        for _ in 0..READS_MAX {
            let Some(row) = self.io.row(conn) else { return };
            if !row.rest.is_empty() || row.finishing {
                row.unread = true;
                return;
            }
            let Some(socket) = &row.socket else { return };
            let mut reader = socket;
            match reader.read(&mut self.scratch) {
                Ok(0) => return self.close(handler, conn),
                Ok(n) => {
                    handler.bytes(&mut self.io, conn, &self.scratch[..n]);
                    self.settle(handler);
                    if n < SCRATCH && !ending {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(handler, conn),
            }
        }
        if let Some(row) = self.io.row(conn) {
            row.unread = true;
            self.io.due.push(conn);
        }
    }

    /// Sends what a call of the handler left, and tells what was written.
    fn settle<H: ServeHandler>(&mut self, handler: &mut H) {
        self.io.flush();
        for (conn, total) in self.io.written.drain(..) {
            handler.written(conn, total);
        }
    }

    fn close<H: ServeHandler>(&mut self, handler: &mut H, conn: ConnId) {
        let Some(row) = self.io.row(conn) else { return };
        *row = Row { generation: row.generation.wrapping_add(1), ..Row::default() };
        self.io.free.push(conn.slot);
        self.io.open -= 1;
        handler.closed(conn);
    }
}

impl ServeCarrier for Rows {
    fn wait_fd(&self) -> io::Result<OwnedFd> {
        self.io.poller.try_clone()
    }

    fn read_clock(&mut self) -> Instant {
        self.io.now = clock::now();
        self.io.now
    }

    fn may_sleep<H: ServeHandler>(&mut self, _: &mut H) -> bool {
        self.io.due.is_empty()
    }

    // Sends go out at once.
    fn flush(&mut self) {}

    fn next_due(&self) -> Option<Instant> {
        self.paused_until
    }

    fn is_serving(&self) -> bool {
        self.io.open > 0
    }

    /// Does what there is; never blocks. Returns how many events that were.
    fn turn<H: ServeHandler>(&mut self, handler: &mut H) -> usize {
        let n = self.io.poller.poll();
        self.read_clock();
        for at in 0..n {
            if at > 0 && at % EVENTS_A_CLOCK_READ == 0 {
                self.read_clock();
            }
            let ready = self.io.poller.event(at);
            if ready.token == LISTENER {
                self.accept(handler);
            } else {
                self.on_ready(handler, ready);
            }
        }
        if handler.next_due().is_some_and(|due| due <= self.io.now) {
            handler.tick(&mut self.io);
            self.settle(handler);
        }
        if self.paused_until.is_some_and(|until| until <= self.io.now) {
            self.paused_until = None;
            let fd = self.listening.socket.as_raw_fd();
            if let Err(error) = self.io.poller.add_listener(fd, LISTENER) {
                tracing::warn!(%error, "accepting stays paused");
                self.paused_until = Some(self.io.now + ACCEPT_PAUSE);
            }
        }
        std::mem::swap(&mut self.due, &mut self.io.due);
        let looks = self.due.len();
        for at in 0..looks {
            self.look_again(handler, self.due[at]);
        }
        self.due.clear();
        n + looks
    }
}
