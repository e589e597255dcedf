//! The server's protocol: each request's answer, in order, when it is due. Pure.

use std::collections::{BTreeSet, VecDeque};

use hyperscale_core::{ConnId, Instant, ServeHandler, ServeIo};

use crate::TargetConfig;
use crate::answer::{Answer, Content, Life, Renderer};
use crate::counts::{Counts, add};
use crate::request::{Asked, RequestReader, Step, Wish};

/// Answers of one connection that wait at most; beyond, it is closed.
const QUEUE_MAX: usize = 4096;

/// One shard of the target.
#[derive(Debug)]
pub struct Responder {
    config: TargetConfig,
    renderer: Renderer,
    counts: Counts,
    shard: usize,
    started: Instant,
    /// By slot.
    conns: Vec<Conn>,
    /// First answers of connections that wait for their time.
    waiting: BTreeSet<(Instant, ConnId)>,
    /// Share of errors owed.
    owed: f64,
    scratch: Vec<u8>,
}

#[derive(Debug, Default)]
struct Conn {
    id: Option<ConnId>,
    reader: RequestReader,
    /// Answers not sent yet, in order.
    queue: VecDeque<(Instant, Answer)>,
    sent: u64,
    /// Ends of counted answers that were sent and not wholly written: offset, whether an error.
    marks: VecDeque<(u64, bool)>,
    closing: bool,
}

impl Responder {
    /// The responder of one shard; `counts` has a row for it. Stalls are counted from `started`, on all shards alike.
    #[must_use]
    pub fn new(config: TargetConfig, counts: Counts, shard: usize, started: Instant) -> Self {
        Self {
            config,
            renderer: Renderer::new(config.body_bytes),
            counts,
            shard,
            started,
            conns: Vec::new(),
            waiting: BTreeSet::new(),
            owed: 0.0,
            scratch: Vec::new(),
        }
    }

    /// When an answer that could go at `at` goes: later if the server stalls then.
    fn after_stall(&self, at: Instant) -> Instant {
        let every = u64::try_from(self.config.stall_every.as_nanos()).unwrap_or(u64::MAX);
        let length = u64::try_from(self.config.stall_for.as_nanos()).unwrap_or(u64::MAX);
        let since = at.nanos_since(self.started);
        if every == 0 || length == 0 || since < every {
            return at;
        }
        let within = since % every;
        if within < length {
            at + (self.config.stall_for - std::time::Duration::from_nanos(within))
        } else {
            at
        }
    }

    fn answer(&mut self, now: Instant, asked: Asked) -> (Instant, Answer) {
        if asked.wish == Wish::Count {
            let answer =
                Answer { status: 200, content: Content::Count, head_only: asked.head, life: asked.life };
            return (now, answer);
        }
        add(&self.counts.row(self.shard).requests, 1);
        let mut due = now + self.config.delay;
        let mut status = 200;
        match asked.wish {
            Wish::Status(wished) => status = wished,
            Wish::Delay(delay) => due = due + delay,
            Wish::Usual | Wish::Count => {
                self.owed += self.config.error_rate;
                if self.owed >= 1.0 - 1e-9 {
                    self.owed -= 1.0;
                    status = 500;
                }
            }
        }
        let content = if status == 200 { Content::Body } else { Content::Nothing };
        (self.after_stall(due), Answer { status, content, head_only: asked.head, life: asked.life })
    }

    fn respond<I: ServeIo>(&mut self, io: &mut I, id: ConnId, asked: Asked) {
        let now = io.now();
        let (due, answer) = self.answer(now, asked);
        let conn = &mut self.conns[id.slot as usize];
        if due <= now && conn.queue.is_empty() {
            self.send(io, id, answer);
            return;
        }
        if conn.queue.is_empty() {
            self.waiting.insert((due, id));
        }
        conn.queue.push_back((due, answer));
        if conn.queue.len() > QUEUE_MAX {
            conn.closing = true;
            io.finish(id);
        }
    }

    fn send<I: ServeIo>(&mut self, io: &mut I, id: ConnId, answer: Answer) {
        let conn = &mut self.conns[id.slot as usize];
        let length = if let Some(bytes) = self.renderer.usual(answer) {
            io.send_shared(id, bytes);
            bytes.len()
        } else {
            let count =
                if answer.content == Content::Count { self.counts.sum().to_json() } else { String::new() };
            self.scratch.clear();
            self.renderer.render(answer, &count, &mut self.scratch);
            io.send(id, &self.scratch);
            self.scratch.len()
        };
        conn.sent += u64::try_from(length).unwrap_or(u64::MAX);
        if answer.content != Content::Count {
            conn.marks.push_back((conn.sent, answer.status >= 400));
        }
        if answer.life == Life::Close {
            conn.closing = true;
            io.finish(id);
        }
    }

    /// Sends what waits on one connection and is due, and says when the next is.
    fn send_due<I: ServeIo>(&mut self, io: &mut I, id: ConnId) {
        let now = io.now();
        loop {
            let conn = &mut self.conns[id.slot as usize];
            if conn.id != Some(id) || conn.closing {
                return;
            }
            match conn.queue.front() {
                Some(&(due, answer)) if due <= now => {
                    conn.queue.pop_front();
                    self.send(io, id, answer);
                }
                Some(&(due, _)) => {
                    self.waiting.insert((due, id));
                    return;
                }
                None => return,
            }
        }
    }
}

impl ServeHandler for Responder {
    fn accepted<I: ServeIo>(&mut self, _: &mut I, conn: ConnId) {
        let slot = conn.slot as usize;
        if slot >= self.conns.len() {
            self.conns.resize_with(slot + 1, Conn::default);
        }
        self.conns[slot] = Conn { id: Some(conn), ..Conn::default() };
        let row = self.counts.row(self.shard);
        add(&row.connections, 1);
        add(&row.open, 1);
    }

    fn bytes<I: ServeIo>(&mut self, io: &mut I, conn: ConnId, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.conns[conn.slot as usize].closing {
            match self.conns[conn.slot as usize].reader.feed(&mut rest) {
                Step::More => {
                    if rest.is_empty() {
                        return;
                    }
                }
                Step::Continue => {
                    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
                    self.conns[conn.slot as usize].sent += u64::try_from(CONTINUE.len()).unwrap_or(0);
                    io.send(conn, CONTINUE);
                }
                Step::Whole(asked) => self.respond(io, conn, asked),
                Step::Bad(status) => {
                    let life = Life::Close;
                    self.send(io, conn, Answer { status, content: Content::Nothing, head_only: false, life });
                }
            }
        }
    }

    fn written(&mut self, conn: ConnId, total: u64) {
        let conn = &mut self.conns[conn.slot as usize];
        let (mut served, mut errors) = (0, 0);
        while let Some(&(end, error)) = conn.marks.front()
            && end <= total
        {
            conn.marks.pop_front();
            served += 1;
            errors += u64::from(error);
        }
        let row = self.counts.row(self.shard);
        add(&row.served, served);
        add(&row.errors, errors);
    }

    fn closed(&mut self, conn: ConnId) {
        let row = &mut self.conns[conn.slot as usize];
        if let Some(&(due, _)) = row.queue.front() {
            self.waiting.remove(&(due, conn));
        }
        *row = Conn::default();
        let row = self.counts.row(self.shard);
        add(&row.open, u64::MAX);
    }

    fn tick<I: ServeIo>(&mut self, io: &mut I) {
        let now = io.now();
        while let Some(&(due, conn)) = self.waiting.first()
            && due <= now
        {
            self.waiting.pop_first();
            self.send_due(io, conn);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|&(due, _)| due)
    }
}

#[cfg(test)]
mod tests;
