//! The loop that carries a small server's bytes, inside a shard's executor: the other side of `load_socket`.
//!
//! In: listening sockets, a [`ServeHandler`]. Bounds: connections at most as given, one scratch buffer a shard; a peer
//! that does not take its answers is not read from. At the limit of open files accepting pauses, it never spins.

mod listener;
mod ring_rows;
mod rows;

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_lite::FutureExt;
use hyperscale_core::{Instant, ServeHandler};

use crate::load_socket::spin::{Look, Spin};
use crate::load_socket::wait::{Waiter, give_way};
pub use listener::{Listening, listen};
use ring_rows::RingRows;
use rows::Rows;

/// Turns without letting the executor look at its own ring.
const TURNS_MAX: usize = 64;
/// How long to look for requests before sleeping, while connections are open: longer than a generator takes between
/// an answer and its next request, so that the target does not add its own wake to what is measured.
const SPIN: Duration = Duration::from_micros(100);

/// What carries the bytes of a server loop.
trait ServeCarrier {
    /// What becomes readable when there is something for [`ServeCarrier::turn`].
    fn wait_fd(&self) -> io::Result<OwnedFd>;
    /// Whether nothing can be missed by sleeping now.
    fn may_sleep<H: ServeHandler>(&mut self, handler: &mut H) -> bool;
    fn read_clock(&mut self) -> Instant;
    /// Hands over what the handler asked for since the last turn.
    fn flush(&mut self);
    /// When the carrier itself has something to do.
    fn next_due(&self) -> Option<Instant>;
    fn is_serving(&self) -> bool;
    /// Does what there is; never blocks. Returns how many events that were.
    fn turn<H: ServeHandler>(&mut self, handler: &mut H) -> usize;
}

/// Serves until `stop` is ready. Must be called inside an executor.
///
/// # Errors
/// When the kernel gives neither a ring nor an epoll set.
pub async fn run_responder<H: ServeHandler>(
    listening: Listening,
    handler: &mut H,
    connections_max: usize,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    match RingRows::new(listening, connections_max) {
        Ok(rows) => run(rows, handler, stop).await,
        Err((listening, error)) => {
            tracing::info!(%error, "no private ring; using readiness");
            run(Rows::new(listening, connections_max)?, handler, stop).await
        }
    }
}

async fn run<H: ServeHandler, C: ServeCarrier>(
    mut rows: C,
    handler: &mut H,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut waiter = Waiter::new(rows.wait_fd()?)?;
    let mut spin = Spin::new(SPIN);
    let mut stop = pin!(stop);
    let mut none: Vec<()> = Vec::new();
    loop {
        work(&mut rows, handler, &mut spin);
        let sleeps = rows.may_sleep(handler);
        let now = rows.read_clock();
        let due = [handler.next_due(), rows.next_due()].into_iter().flatten().min();
        if !sleeps || due.is_some_and(|due| due <= now) {
            let stopped = std::future::poll_fn(|cx| Poll::Ready(stop.as_mut().poll(cx).is_ready())).await;
            if stopped {
                return Ok(());
            }
            give_way().await;
            continue;
        }
        let wait = async {
            waiter.wait(due.map(|due| due.since(now)), true, |_, _| Poll::Pending, &mut none).await;
            false
        };
        let stopped = async {
            stop.as_mut().await;
            true
        };
        if stopped.or(wait).await {
            return Ok(());
        }
    }
}

/// Turns until there is nothing to do, or the executor wants to run others.
fn work<H: ServeHandler, C: ServeCarrier>(rows: &mut C, handler: &mut H, spin: &mut Spin) {
    let executor = glommio::executor();
    for _ in 0..TURNS_MAX {
        let events = rows.turn(handler);
        if executor.need_preempt() {
            rows.flush();
            return;
        }
        if events == 0 && !(rows.is_serving() && spin.until_work(|| look(rows, handler))) {
            return;
        }
    }
}

fn look<H: ServeHandler, C: ServeCarrier>(rows: &mut C, handler: &mut H) -> Look {
    if rows.turn(handler) > 0 {
        return Look::Work;
    }
    let now = rows.read_clock();
    if handler.next_due().is_some_and(|due| due <= now) { Look::Work } else { Look::Nothing(now) }
}
