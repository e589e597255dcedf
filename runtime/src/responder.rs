//! The loop that carries a small server's bytes, inside a shard's executor: the other side of `load_socket`.
//!
//! In: listening sockets, a [`ServeHandler`]. Bounds: connections at most as given, one scratch buffer a shard; a peer
//! that does not take its answers is not read from. At the limit of open files accepting pauses, it never spins.

mod listener;
mod rows;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_lite::FutureExt;
use hyperscale_core::ServeHandler;

use crate::load_socket::spin::{Look, Spin};
use crate::load_socket::wait::Waiter;
pub use listener::{Listening, listen};
use rows::Rows;

/// Turns without letting the executor look at its own ring.
const TURNS_MAX: usize = 64;
/// How long to look for requests before sleeping, while connections are open.
const SPIN: Duration = Duration::from_micros(20);

/// Serves until `stop` is ready. Must be called inside an executor.
///
/// # Errors
/// When the kernel gives no epoll set.
pub async fn run_responder<H: ServeHandler>(
    listening: Listening,
    handler: &mut H,
    connections_max: usize,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut rows = Rows::new(listening, connections_max)?;
    let mut waiter = Waiter::new(rows.wait_fd()?)?;
    let mut spin = Spin::new(SPIN);
    let mut stop = pin!(stop);
    let mut none: Vec<()> = Vec::new();
    loop {
        work(&mut rows, handler, &mut spin);
        let now = rows.read_clock();
        let due = [handler.next_due(), rows.next_due()].into_iter().flatten().min();
        if rows.has_due() || due.is_some_and(|due| due <= now) {
            let stopped = std::future::poll_fn(|cx| Poll::Ready(stop.as_mut().poll(cx).is_ready())).await;
            if stopped {
                return Ok(());
            }
            glommio::yield_if_needed().await;
            continue;
        }
        let wait = async {
            waiter.wait(due.map(|due| due.since(now)), |_, _| Poll::Pending, &mut none).await;
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

fn work<H: ServeHandler>(rows: &mut Rows, handler: &mut H, spin: &mut Spin) {
    let executor = glommio::executor();
    for _ in 0..TURNS_MAX {
        let events = rows.turn(handler);
        if executor.need_preempt() {
            return;
        }
        if events == 0 && !rows.has_due() {
            let worth = rows.is_serving();
            if !worth || !spin.until_work(|| look(rows, handler)) {
                return;
            }
        }
    }
}

fn look<H: ServeHandler>(rows: &mut Rows, handler: &mut H) -> Look {
    if rows.turn(handler) > 0 {
        return Look::Work;
    }
    let now = rows.read_clock();
    if handler.next_due().is_some_and(|due| due <= now) { Look::Work } else { Look::Nothing(now) }
}
