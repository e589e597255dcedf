//! Waiting inside the executor for a descriptor, a time or an order, whichever comes first.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::io::{PollState, PollableFd};
use glommio::timer::Timer;

/// Never wait for longer: a readiness wait was seen to be lost.
const WAIT_MAX: Duration = Duration::from_millis(5);
/// While nothing was sent and nothing is due: only an order can come then, and that wakes by itself.
const IDLE_MAX: Duration = Duration::from_millis(250);
/// A wait of no length would not yield.
const WAIT_MIN: Duration = Duration::from_micros(1);

/// How long an executor may sleep by mistake, see [`give_way`]. What is due meanwhile is late by as much.
const MISTAKE_MAX: Duration = Duration::from_micros(50);

/// Lets the executor's other tasks and its ring have a turn, if it asks for one.
///
/// An executor that is taken from its CPU between arming its preempt timer and looking at its queues finds the timer
/// expired, takes that for "nothing to run" and sleeps, with this task ready: seen on a busy host as a loop that stood
/// still until the next event of any kind. An armed timer is such an event.
pub(crate) async fn give_way() {
    if !glommio::executor().need_preempt() {
        return;
    }
    let mut timer = Timer::new(MISTAKE_MAX);
    poll_fn(|cx| Poll::Ready(Pin::new(&mut timer).poll(cx).is_ready())).await;
    glommio::executor().yield_task_queue_now().await;
}

/// A wait that is begun again and again on the same descriptor.
#[derive(Debug)]
pub(crate) struct Waiter {
    fd: PollableFd<OwnedFd>,
    /// The registration outlives a wait that ended otherwise, so that it is neither cancelled nor made anew.
    state: PollState,
}

impl Waiter {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let fd = PollableFd::new(fd).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { fd, state: PollState::new() })
    }

    /// Waits at most `time`; without one nothing is due. `awaits`: answers may come.
    pub(crate) async fn wait<T>(
        &mut self,
        time: Option<Duration>,
        awaits: bool,
        mut orders: impl FnMut(&mut Context<'_>, &mut Vec<T>) -> Poll<bool>,
        taken: &mut Vec<T>,
    ) {
        let most = if awaits { WAIT_MAX } else { IDLE_MAX };
        let mut timer = Timer::new(time.map_or(most, |time| time.clamp(WAIT_MIN, WAIT_MAX)));
        poll_fn(|cx| {
            // Each is polled whatever the others say, so that each keeps this waker.
            let fd = self.fd.poll_readable(cx, &mut self.state).is_ready();
            let orders = orders(cx, taken).is_ready();
            let time = Pin::new(&mut timer).poll(cx).is_ready();
            if fd || orders || time { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
