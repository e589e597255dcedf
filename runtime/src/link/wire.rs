//! The two directions of one link, carried by one task.
//!
//! Frames are handed out in place, in the receive buffer. Both directions are polled by the same task, so an answer
//! that a frame causes is written in the same turn.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyperscale_codec::{FrameError, FrameReader, Header, Limits, Next, RawFrame};
use hyperscale_core::{Instant, LinkDown};

use super::SendQueue;
use super::woken::Woken;
use crate::tcp::Stream;
use crate::{Cause, Shard, clock};

/// Frames handled between two looks at whether other tasks are due, and for one read of the clock.
const BATCH: usize = 64;
/// Frames of one link refused in a row, after which it is not read for [`REST`], if it is one that may wait.
const REFUSED_MAX: u32 = 64;
/// Who asks on and on for what is refused gets so little of the shard.
const REST: Duration = Duration::from_millis(5);
/// Pauses in which nothing came, after which a link that gathers is waited for as any other.
const EMPTY_MAX: u32 = 8;
/// So much of a frame must come within its timeout, or all of it: a long frame on a slow line is no attack.
const STRIDE: usize = 64 << 10;

/// What a link reads.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// The header of a frame whose body may not be there yet.
    Header(&'a Header),
    /// A frame in the receive buffer.
    Frame(RawFrame<'a>),
    /// A frame too long for its kind, which is skipped.
    Oversized(Header, FrameError),
    /// So many bytes of what was read waited, and so many wait now: they have had no turn, or are no whole frame.
    Waiting(usize, usize),
    /// What was read at once is handled, and took so long since it was due, its wait for this shard included.
    Handled(Duration),
    /// All that came is handled; whoever takes this sets for how long what comes next may gather.
    Done(&'a mut Duration),
}

/// What one turn of a link came to.
struct Batch {
    /// There may be more in the buffer.
    more: bool,
    /// A frame was given to the core.
    taken: bool,
}

/// One link's connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) queue: SendQueue,
    reader: RefCell<FrameReader>,
    pub(crate) last_read: Cell<Instant>,
    /// Since when a frame lacks its rest, and what of it came since.
    begun: Cell<Option<(Instant, usize)>>,
    /// A write was begun: if its wait is dropped, what follows would be out of step.
    writing: Cell<bool>,
    woken: Woken,
    /// The last read filled the buffer: what the next one finds may have been there already.
    full: Cell<bool>,
    /// Frames refused since one was taken.
    refused: Cell<u32>,
    /// Bytes that wait in the receive buffer, as last told.
    waiting: Cell<usize>,
    /// What came gathered up to then.
    gathered: Cell<Option<Instant>>,
    /// It rests when all it sends is refused; a peer whose heartbeats come on the same link must not.
    may_rest: bool,
}

impl Wire {
    pub(crate) fn new(stream: Stream, queue_max: usize, may_rest: bool) -> Rc<Self> {
        Rc::new(Self {
            woken: Woken::default(),
            full: Cell::new(false),
            refused: Cell::new(0),
            waiting: Cell::new(0),
            gathered: Cell::new(None),
            may_rest,
            stream,
            queue: SendQueue::new(queue_max),
            reader: RefCell::default(),
            last_read: Cell::new(clock::now()),
            begun: Cell::new(None),
            writing: Cell::new(false),
        })
    }

    /// Carries both directions until one ends, or until `flush` after the queue was closed. `sink` takes what is
    /// read, in order; its answer to a header says whether the rest of that frame is wanted.
    ///
    /// # Errors
    /// What the peer sent that voids the connection.
    pub(crate) async fn run(
        &self,
        shard: &Shard,
        limits: &Limits,
        flush: Duration,
        sink: impl FnMut(Instant, Incoming<'_>) -> bool,
    ) -> Result<LinkDown, FrameError> {
        let cut_off = async {
            self.queue.closing().await;
            shard.sleep(flush).await;
            Ok(LinkDown::Local)
        };
        let write = async { Ok(self.write().await) };
        let both = futures_lite::future::or(self.read(shard, limits, sink), write);
        futures_lite::future::or(both, cut_off).await
    }

    async fn read(
        &self,
        shard: &Shard,
        limits: &Limits,
        mut sink: impl FnMut(Instant, Incoming<'_>) -> bool,
    ) -> Result<LinkDown, FrameError> {
        loop {
            let behind = self.full.get().then(|| self.last_read.get());
            match self.fill().await {
                Ok(0) if self.reader.borrow().is_mid_frame() => {
                    shard.causes().count(Cause::FrameCut);
                    let why = "the peer closed the connection in the middle of a frame";
                    return Ok(LinkDown::Io(why.to_owned()));
                }
                Ok(0) => return Ok(LinkDown::Closed),
                Ok(n) => self.came(n),
                Err(error) => {
                    return Ok(LinkDown::Io(format!("reading from {}: {error}", self.stream.peer())));
                }
            }
            let mut now = clock::now();
            // Since when it waited for this shard, as far as can be known.
            let due = self.woken.at().or(self.gathered.take()).or(behind).unwrap_or(now);
            loop {
                self.last_read.set(now);
                let batch = self.batch(now, limits, &mut sink)?;
                let (before, waiting) = (self.waiting(), self.reader.borrow().waiting());
                if before != waiting {
                    self.waiting.set(waiting);
                    sink(now, Incoming::Waiting(before, waiting));
                }
                if batch.taken {
                    let done = clock::now();
                    sink(done, Incoming::Handled(done.since(due)));
                }
                if !batch.more {
                    self.pause(now);
                    self.rest(shard).await;
                    // A read that filled the buffer left something behind: that has gathered already.
                    if !self.full.get() {
                        let mut pause = Duration::ZERO;
                        sink(now, Incoming::Done(&mut pause));
                        self.gather(shard, pause).await;
                    }
                    break;
                }
                shard.yield_if_needed().await;
                self.rest(shard).await;
                now = clock::now();
            }
        }
    }

    /// Bytes that wait, as its reader was last told.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// `n` bytes came, which may be the rest of a frame.
    fn came(&self, n: usize) {
        let begun = self.begun.get().map(|(since, came)| (since, came.saturating_add(n)));
        self.begun.set(begun.filter(|(_, came)| *came < STRIDE));
    }

    /// All that came was handed out; more may be wanted of a frame that was begun.
    fn pause(&self, now: Instant) {
        if !self.reader.borrow().is_mid_frame() {
            self.begun.set(None);
        } else if self.begun.get().is_none() {
            self.begun.set(Some((now, 0)));
        }
    }

    /// For how long a frame that was begun has made no progress.
    pub(crate) fn stuck_for(&self, now: Instant) -> Duration {
        self.begun.get().map_or(Duration::ZERO, |(since, _)| now.since(since))
    }

    /// One read into the receive buffer.
    async fn fill(&self) -> io::Result<usize> {
        self.woken.begin();
        poll_fn(|cx| {
            let mut reader = self.reader.borrow_mut();
            let mut woken = Context::from_waker(self.woken.instead_of(cx.waker()));
            let space = reader.space();
            let room = space.len();
            let n = ready!(self.stream.poll_read(&mut woken, space))?;
            reader.filled(n);
            self.full.set(n == room);
            Poll::Ready(Ok(n))
        })
        .await
    }

    /// Hands out at most [`BATCH`] frames.
    fn batch(
        &self,
        now: Instant,
        limits: &Limits,
        sink: &mut impl FnMut(Instant, Incoming<'_>) -> bool,
    ) -> Result<Batch, FrameError> {
        let mut taken = false;
        let mut reader = self.reader.borrow_mut();
        for _ in 0..BATCH {
            match reader.next_judged(limits, |header| sink(now, Incoming::Header(header))) {
                Ok(Next::Frame(frame)) => {
                    self.begun.set(None);
                    self.refused.set(0);
                    taken = true;
                    sink(now, Incoming::Frame(frame));
                }
                Ok(Next::Refused) => {
                    self.begun.set(None);
                    self.refused.set(self.refused.get().saturating_add(1));
                }
                Ok(Next::Nothing) => return Ok(Batch { more: false, taken }),
                Err(error) => match error {
                    FrameError::TooLongForKind { header, .. } => {
                        self.begun.set(None);
                        sink(now, Incoming::Oversized(header, error));
                    }
                    FrameError::Magic(_)
                    | FrameError::HeaderChecksum { .. }
                    | FrameError::BodyChecksum { .. }
                    | FrameError::Major { .. }
                    | FrameError::TooLong { .. }
                    | FrameError::Partial { .. }
                    | FrameError::RootLength { .. } => return Err(error),
                },
            }
        }
        Ok(Batch { more: true, taken })
    }

    /// Lets a link wait that had nothing taken for long.
    async fn rest(&self, shard: &Shard) {
        if self.may_rest && self.refused.get() >= REFUSED_MAX {
            self.refused.set(0);
            shard.sleep(REST).await;
        }
    }

    /// Lets what comes gather. All links of a shard go on at the same moment, so that it wakes up once for all.
    async fn gather(&self, shard: &Shard, pause: Duration) {
        let pause_ns = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        for _ in 0..EMPTY_MAX {
            let now_ns = shard.now().0;
            let Some(passed_ns) = now_ns.checked_rem(pause_ns) else { return };
            let until = Instant(now_ns.saturating_add(pause_ns.saturating_sub(passed_ns)));
            shard.sleep_until(until).await;
            // Asked for and not awaited: a read that waits would wake the shard with the next frame.
            if self.stream.has_come() {
                self.gathered.set(Some(until));
                return;
            }
        }
    }

    /// Writes what is queued until the queue is closed and empty.
    async fn write(&self) -> LinkDown {
        let mut bytes = Vec::new();
        while poll_fn(|cx| self.queue.poll_take(cx, &mut bytes)).await {
            self.writing.set(true);
            let written = self.stream.write_all(&bytes).await;
            self.writing.set(false);
            if let Err(error) = written {
                return LinkDown::Io(format!("writing to {}: {error}", self.stream.peer()));
            }
        }
        LinkDown::Local
    }

    /// Sends what is still queued, then ends the connection in order; all within `time`.
    pub(crate) async fn finish(&self, shard: &Shard, time: Duration) {
        self.queue.close();
        if self.writing.get() {
            return;
        }
        if shard.timeout(time, self.write()).await == Ok(LinkDown::Local) {
            self.stream.finish(shard, time).await;
        }
    }

    /// Gives the receive buffer back while nothing comes.
    pub(crate) fn release(&self) {
        if let Ok(mut reader) = self.reader.try_borrow_mut() {
            reader.release();
        }
    }
}
