//! The connections of a server loop, over a private io_uring ring.

mod accepts;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use hyperscale_core::{ConnId, Instant, ServeHandler, ServeIo};
use io_uring::{opcode, types};
use socket2::Socket;

use super::{Listening, ServeCarrier};
use crate::clock;
use crate::load_socket::EVENTS_A_CLOCK_READ;
use crate::load_socket::uring::{Buffers, Completion, Lent, Uring};

const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 16 << 10;
/// Answers a peer does not take at most; beyond, nothing is read from it.
const OUT_MAX: usize = 256 << 10;

const ACCEPT: u64 = 0;
const SEND: u64 = 1;
const RECEIVE: u64 = 2;
const CANCEL: u64 = 3;

#[derive(Debug)]
pub(super) struct RingRows {
    io: RingRowsIo,
    buffers: Option<Buffers>,
    listening: Listening,
    connections_max: usize,
    paused_until: Option<Instant>,
    taken: Vec<Completion>,
    accepted: Vec<Completion>,
    written: Vec<(ConnId, u64)>,
}

#[derive(Debug)]
pub(super) struct RingRowsIo {
    uring: Uring,
    /// Accepts, apart: behind the requests of ten thousand connections a new one would wait for all of them.
    accepts: Uring,
    rows: Vec<Row>,
    free: Vec<u32>,
    open: usize,
    now: Instant,
    /// Rows with something to send or to end.
    touched: Vec<ConnId>,
}

#[derive(Debug, Default)]
struct Row {
    socket: Option<Socket>,
    generation: u32,
    under_way: u32,
    closed: bool,
    touched: bool,
    finishing: bool,
    broken: bool,
    receiving: bool,
    /// The receive was ended because the peer does not take its answers.
    paused: bool,
    total: u64,
    out: Vec<u8>,
    sending: Option<Lent<(Out, usize)>>,
}

/// What is being sent.
#[derive(Debug)]
enum Out {
    Own(Vec<u8>),
    Shared(Rc<[u8]>),
}

impl Out {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

fn token(slot: u32, operation: u64) -> u64 {
    u64::from(slot) << 2 | operation
}

impl RingRowsIo {
    fn open_row(&mut self, conn: ConnId) -> Option<&mut Row> {
        let row = self.rows.get_mut(conn.slot as usize)?;
        (row.generation == conn.generation && !row.closed && row.socket.is_some()).then_some(row)
    }

    fn touch(&mut self, conn: ConnId) {
        if let Some(row) = self.open_row(conn)
            && !std::mem::replace(&mut row.touched, true)
        {
            self.touched.push(conn);
        }
    }

    fn push_send(&mut self, slot: u32, out: Out, from: usize) {
        let row = &mut self.rows[slot as usize];
        let Some(socket) = &row.socket else { return };
        let left = &out.bytes()[from..];
        let len = u32::try_from(left.len()).unwrap_or(u32::MAX);
        let fd = types::Fd(socket.as_raw_fd());
        let entry = opcode::Send::new(fd, left.as_ptr(), len).flags(libc::MSG_NOSIGNAL).build();
        row.sending = Some(Lent::new((out, from)));
        row.under_way += 1;
        // SAFETY: the bytes are lent in the row until the completion; moving what owns them does not move them.
        unsafe { self.uring.push(&entry.user_data(token(slot, SEND))) };
    }

    fn receive(&mut self, slot: u32) {
        let row = &mut self.rows[slot as usize];
        let Some(socket) = &row.socket else { return };
        row.under_way += 1;
        (row.receiving, row.paused) = (true, false);
        self.uring.receive(socket.as_raw_fd(), token(slot, RECEIVE));
    }

    fn close_row(&mut self, slot: u32) {
        let row = &mut self.rows[slot as usize];
        row.closed = true;
        self.open -= 1;
        for (operation, under_way) in [(SEND, row.sending.is_some()), (RECEIVE, row.receiving)] {
            if under_way {
                self.rows[slot as usize].under_way += 1;
                self.uring.cancel(token(slot, operation), token(slot, CANCEL));
            }
        }
        self.free_if_done(slot);
    }

    fn free_if_done(&mut self, slot: u32) {
        let row = &mut self.rows[slot as usize];
        if row.closed && row.under_way == 0 {
            *row = Row { generation: row.generation.wrapping_add(1), ..Row::default() };
            self.free.push(slot);
        }
    }

    /// Sends what is there, unless a send is under way; says whether the connection is at its end.
    fn settle_row(&mut self, conn: ConnId) -> bool {
        let Some(row) = self.open_row(conn) else { return false };
        row.touched = false;
        if row.broken {
            return true;
        }
        if row.sending.is_some() {
            if row.out.len() > OUT_MAX && row.receiving && !row.paused {
                row.paused = true;
                row.under_way += 1;
                let (receive, cancel) = (token(conn.slot, RECEIVE), token(conn.slot, CANCEL));
                self.uring.cancel(receive, cancel);
            }
            return false;
        }
        if row.out.is_empty() {
            let ends = row.finishing;
            if !ends && row.paused && !row.receiving {
                self.receive(conn.slot);
            }
            return ends;
        }
        let bytes = std::mem::take(&mut row.out);
        self.push_send(conn.slot, Out::Own(bytes), 0);
        false
    }
}

impl ServeIo for RingRowsIo {
    #[inline]
    fn now(&self) -> Instant {
        self.now
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(row) = self.open_row(conn) {
            row.out.extend_from_slice(bytes);
            self.touch(conn);
        }
    }

    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>) {
        let Some(row) = self.open_row(conn) else { return };
        if row.sending.is_none() && row.out.is_empty() {
            self.push_send(conn.slot, Out::Shared(Rc::clone(bytes)), 0);
        } else {
            self.send(conn, bytes);
        }
    }

    fn finish(&mut self, conn: ConnId) {
        if let Some(row) = self.open_row(conn) {
            row.finishing = true;
            self.touch(conn);
        }
    }
}

impl RingRows {
    pub(super) fn new(listening: Listening, connections_max: usize) -> Result<Self, (Listening, io::Error)> {
        let made = Uring::new()
            .and_then(|uring| uring.beside(accepts::ACCEPTS).map(|accepts| (uring, accepts)))
            .and_then(|(uring, accepts)| uring.buffers(BUFFERS, BUFFER_BYTES).map(|b| (uring, accepts, b)));
        let (uring, accepts, buffers) = match made {
            Ok(made) => made,
            Err(error) => return Err((listening, error)),
        };
        let io = RingRowsIo {
            uring,
            accepts,
            rows: Vec::new(),
            free: Vec::new(),
            open: 0,
            now: clock::now(),
            touched: Vec::new(),
        };
        let (taken, accepted, written) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = Self {
            io,
            buffers: Some(buffers),
            listening,
            connections_max,
            paused_until: None,
            taken,
            accepted,
            written,
        };
        rows.accept();
        Ok(rows)
    }

    fn on_completion<H: ServeHandler>(&mut self, handler: &mut H, completion: Completion) {
        let Ok(slot) = u32::try_from(completion.token >> 2) else { return };
        let row = &mut self.io.rows[slot as usize];
        row.under_way -= u32::from(!completion.goes_on());
        let conn = ConnId { slot, generation: row.generation };
        match completion.token & 3 {
            SEND => self.on_sent(conn, completion),
            RECEIVE => self.on_received(handler, conn, completion),
            _ => self.io.free_if_done(slot),
        }
    }

    fn on_sent(&mut self, conn: ConnId, completion: Completion) {
        let row = &mut self.io.rows[conn.slot as usize];
        let Some((out, from)) = row.sending.take().map(Lent::take_back) else { return };
        let n = usize::try_from(completion.result).unwrap_or(0);
        row.total += u64::try_from(n).unwrap_or(0);
        if n > 0 {
            self.written.push((conn, row.total));
        }
        if row.closed {
            self.io.free_if_done(conn.slot);
            return;
        }
        if completion.result < 0 {
            row.broken = true;
        } else if from + n < out.bytes().len() {
            self.io.push_send(conn.slot, out, from + n);
            return;
        } else if row.out.is_empty() {
            if let Out::Own(mut bytes) = out {
                bytes.clear();
                row.out = bytes;
            }
            if !row.finishing && !row.paused {
                return;
            }
        }
        self.io.touch(conn);
    }

    fn on_received<H: ServeHandler>(&mut self, handler: &mut H, conn: ConnId, completion: Completion) {
        let Some(buffers) = &mut self.buffers else { return };
        let row = &self.io.rows[conn.slot as usize];
        let silent = row.closed || row.finishing;
        if let (Some(id), Ok(n)) = (completion.buffer(), usize::try_from(completion.result)) {
            let filled = buffers.filled(id, n);
            if n > 0 && !silent {
                handler.bytes(&mut self.io, conn, buffers.bytes(&filled));
            }
            buffers.give_back(filled);
        }
        if completion.goes_on() {
            return;
        }
        self.io.rows[conn.slot as usize].receiving = false;
        let Some(row) = self.io.open_row(conn) else {
            self.io.free_if_done(conn.slot);
            return;
        };
        if row.paused && completion.result == -libc::ECANCELED {
            self.io.touch(conn);
        } else if completion.result > 0 || completion.result == -libc::ENOBUFS {
            self.io.receive(conn.slot);
        } else {
            self.io.close_row(conn.slot);
            handler.closed(conn);
        }
    }

    /// Sends what calls of the handler left, tells what was written, ends what is to end.
    fn settle<H: ServeHandler>(&mut self, handler: &mut H) {
        for (conn, total) in self.written.drain(..) {
            if self.io.rows[conn.slot as usize].generation == conn.generation {
                handler.written(conn, total);
            }
        }
        while let Some(conn) = self.io.touched.pop() {
            if self.io.settle_row(conn) {
                self.io.close_row(conn.slot);
                handler.closed(conn);
            }
        }
    }
}

impl ServeCarrier for RingRows {
    fn wait_fd(&self) -> io::Result<OwnedFd> {
        self.io.uring.wait_fd()
    }

    fn read_clock(&mut self) -> Instant {
        self.io.now = clock::now();
        self.io.now
    }

    fn may_sleep<H: ServeHandler>(&mut self, handler: &mut H) -> bool {
        self.io.uring.reset_event();
        self.turn(handler) == 0
    }

    fn flush(&mut self) {
        self.io.uring.submit();
        self.io.accepts.submit();
    }

    fn next_due(&self) -> Option<Instant> {
        self.paused_until
    }

    fn is_serving(&self) -> bool {
        self.io.open > 0
    }

    fn turn<H: ServeHandler>(&mut self, handler: &mut H) -> usize {
        self.io.uring.turn(&mut self.taken);
        let n = self.taken.len();
        self.read_clock();
        for at in 0..n {
            if at > 0 && at % EVENTS_A_CLOCK_READ == 0 {
                self.io.uring.submit();
                self.read_clock();
                if self.io.accepts.is_stirred() {
                    self.turn_accepts(handler);
                }
            }
            self.on_completion(handler, self.taken[at]);
            self.settle(handler);
        }
        self.taken.clear();
        let accepted = if n == 0 || self.io.accepts.is_stirred() { self.turn_accepts(handler) } else { 0 };
        if handler.next_due().is_some_and(|due| due <= self.io.now) {
            handler.tick(&mut self.io);
            self.settle(handler);
        }
        if self.paused_until.is_some_and(|until| until <= self.io.now) {
            self.paused_until = None;
            self.accept();
        }
        n + accepted
    }
}

impl Drop for RingRows {
    fn drop(&mut self) {
        for slot in 0..self.io.rows.len() {
            let row = &self.io.rows[slot];
            if row.socket.is_some() && !row.closed {
                self.io.close_row(u32::try_from(slot).unwrap_or(u32::MAX));
            }
        }
        self.io.accepts.cancel(ACCEPT, CANCEL);
        if self.io.accepts.drain() && self.io.uring.drain() {
            for row in &mut self.io.rows {
                drop(row.sending.take().map(Lent::take_back));
            }
            if let Some(buffers) = self.buffers.take() {
                buffers.free();
            }
        } else {
            tracing::error!("the kernel did not let go of a ring's memory; it is leaked");
        }
    }
}
