//! The loop that carries the load engine's bytes, inside a shard's executor.
//!
//! One turn: take orders, take what sockets have for us, do what is due, pass reports on. While there is work the loop
//! goes on turning, and lets the executor's other tasks run as soon as it asks (`need_preempt`); without work it
//! waits for a socket, a due time or an order, never longer than 5 ms, because a readiness wait can be lost
//! (DataDog/glommio #326, #547). In: a [`LoadHandler`], orders. Out: reports.

mod epoll;
pub(crate) mod poller;
mod ring;
mod socket;
pub(crate) mod spin;
pub(crate) mod uring;
pub(crate) mod wait;

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use hyperscale_core::{Instant, LoadHandler, LoadIo};

use crate::counters::Counters;
use spin::{Look, Spin};
use wait::{Waiter, give_way};

/// Events handled between two reads of the clock.
pub(crate) const EVENTS_A_CLOCK_READ: usize = 32;
/// Turns without letting the executor look at its own ring.
const TURNS_MAX: usize = 64;

/// How a load loop runs.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Never sleep: the shard's core is used whole, arrivals leave within a few microseconds of their time.
    pub busy_poll: bool,
    /// How long to look for answers before sleeping while a request is in flight.
    pub spin: Duration,
    /// Use the readiness loop even where the kernel has all that the ring needs.
    pub readiness: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { busy_poll: false, spin: Duration::from_micros(20), readiness: false }
    }
}

/// What carries the bytes of a loop.
trait Carrier {
    type Io: LoadIo;
    /// What becomes readable when there is something for [`Carrier::turn`].
    fn wait_fd(&self) -> io::Result<OwnedFd>;
    /// Whether nothing can be missed by sleeping now until [`Carrier::wait_fd`] is readable.
    fn may_sleep<H: LoadHandler>(&mut self, handler: &mut H) -> bool;
    fn read_clock(&mut self) -> Instant;
    /// Hands over what the handler asked for since the last turn.
    fn flush(&mut self);
    fn io(&mut self) -> &mut Self::Io;
    /// Tells the handler what there is; never blocks. Returns how many events that were.
    fn turn<H: LoadHandler>(&mut self, handler: &mut H) -> usize;
}

/// Runs a load handler until its orders are closed. Must be called inside an executor.
///
/// `orders` appends what was ordered and is `Ready(true)`; `Ready(false)`, then and ever after, when no order
/// will come any more; else it keeps the waker and is pending. `reports` takes each report at once.
///
/// # Errors
/// When the kernel gives no epoll set.
pub async fn run_load<H: LoadHandler>(
    handler: &mut H,
    orders: impl FnMut(&mut Context<'_>, &mut Vec<H::Order>) -> Poll<bool>,
    reports: impl FnMut(H::Report),
    options: LoadOptions,
) -> io::Result<()> {
    run_load_counting(handler, orders, reports, options, &Counters::default()).await
}

/// As [`run_load`]; `counters` of its shard get the time for which it only looks for work.
///
/// # Errors
/// As [`run_load`].
pub async fn run_load_counting<H: LoadHandler>(
    handler: &mut H,
    orders: impl FnMut(&mut Context<'_>, &mut Vec<H::Order>) -> Poll<bool>,
    reports: impl FnMut(H::Report),
    options: LoadOptions,
    counters: &Counters,
) -> io::Result<()> {
    if options.readiness {
        return run(epoll::Epoll::new()?, handler, orders, reports, options, counters).await;
    }
    match ring::Ring::new() {
        Ok(ring) => run(ring, handler, orders, reports, options, counters).await,
        Err(error) => {
            tracing::info!(%error, "no private ring; using readiness");
            run(epoll::Epoll::new()?, handler, orders, reports, options, counters).await
        }
    }
}

async fn run<H: LoadHandler, C: Carrier>(
    mut carrier: C,
    handler: &mut H,
    mut orders: impl FnMut(&mut Context<'_>, &mut Vec<H::Order>) -> Poll<bool>,
    mut reports: impl FnMut(H::Report),
    options: LoadOptions,
    counters: &Counters,
) -> io::Result<()> {
    let mut waiter = Waiter::new(carrier.wait_fd()?)?;
    let mut spin = Spin::new(options.spin);
    let mut taken = Vec::new();
    loop {
        let open = poll_fn(|cx| match orders(cx, &mut taken) {
            Poll::Ready(open) => Poll::Ready(open),
            Poll::Pending => Poll::Ready(true),
        })
        .await;
        carrier.read_clock();
        for order in taken.drain(..) {
            handler.order(carrier.io(), order);
        }
        let spun = work(&mut carrier, handler, &mut spin, options.busy_poll);
        if !spun.is_zero() {
            counters.spun_ns.add(u64::try_from(spun.as_nanos()).unwrap_or(u64::MAX));
        }
        while let Some(report) = handler.next_report() {
            reports(report);
        }
        if !open {
            return Ok(());
        }
        let sleeps = !options.busy_poll && carrier.may_sleep(handler);
        let now = carrier.read_clock();
        let due = handler.next_due();
        if !sleeps || due.is_some_and(|due| due <= now) {
            give_way().await;
        } else {
            let awaits = handler.in_flight() > 0;
            waiter.wait(due.map(|due| due.since(now)), awaits, &mut orders, &mut taken).await;
        }
    }
}

/// Turns until there is nothing to do, or the executor wants to run others; how long it only looked for work.
fn work<H: LoadHandler, C: Carrier>(
    carrier: &mut C,
    handler: &mut H,
    spin: &mut Spin,
    busy_poll: bool,
) -> Duration {
    let executor = glommio::executor();
    let mut looked = Duration::ZERO;
    // Since when there has been nothing to do.
    let mut idle: Option<Instant> = None;
    for _ in 0..TURNS_MAX {
        let events = carrier.turn(handler);
        // Without events the turn had no need of the clock, but what is due has.
        if events == 0 {
            let now = carrier.read_clock();
            if busy_poll {
                looked = looked.saturating_add(idle.map_or(Duration::ZERO, |since| now.since(since)));
                idle = handler.next_due().is_none_or(|due| due > now).then_some(now);
            }
        } else {
            idle = None;
        }
        handler.tick(carrier.io());
        if executor.need_preempt() {
            carrier.flush();
            break;
        }
        if events == 0 && busy_poll {
            // A scheduler lets a thread that never sleeps run out its slice of milliseconds, while the kernel thread that
            // works off the network's interrupts waits for this very core. Offered at every empty look, it waits for none.
            std::thread::yield_now();
        } else if events == 0 {
            // Only what was sent can bring something.
            let worth = handler.in_flight() > 0;
            if !worth || !spin.until_work(|| look(carrier, handler)) {
                break;
            }
        }
    }
    looked.saturating_add(spin.take_spun())
}

fn look<H: LoadHandler, C: Carrier>(carrier: &mut C, handler: &mut H) -> Look {
    if carrier.turn(handler) > 0 {
        return Look::Work;
    }
    let now = carrier.read_clock();
    if handler.next_due().is_some_and(|due| due <= now) { Look::Work } else { Look::Nothing(now) }
}
