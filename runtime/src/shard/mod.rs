//! Shards: one executor on one thread each, and what runs on them.
//!
//! Executors are built inside their own threads, and serve only when all of them could be built: a node with a shard
//! missing would look healthy and lose a share of its jobs. A [`Shard`] exists only inside its executor, so what needs
//! one (sockets, timers, tasks) cannot be made elsewhere.

mod options;
mod start;
mod supervise;
mod work;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use glommio::{Latency, Shares, TaskQueueHandle, executor};

use crate::causes::Causes;
use crate::counters::Counters;
use crate::notify::{Latch, Notify};
use crate::stop::{Stop, StopReason};
use crate::task::{TaskGroup, TaskHandle, TaskKind, Tasks, panic_message};

pub use options::{Placement, ShardOptions, StartError};
pub use start::start;
pub use supervise::{NodeError, Shards};
pub use work::ShardWork;

/// Where a task's turns come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Few and urgent: cores, links, timers. Served within a millisecond while the shard is saturated.
    Control,
    /// Few, and before all else: probes that ask whether this node lives. They wait for the slice that runs, of a
    /// millisecond, and one more, however many tasks the other queues have.
    Health,
    /// Many and patient: the load itself.
    Data,
}

/// This shard, inside its executor. Cheap to clone; cannot leave its thread.
#[derive(Debug, Clone)]
pub struct Shard(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u16,
    count: u16,
    control: TaskQueueHandle,
    health: TaskQueueHandle,
    data: TaskQueueHandle,
    tasks: Rc<Tasks>,
    /// Those who look whether they missed something, at each beat.
    looks: RefCell<Vec<Weak<Notify>>>,
    stop: Stop,
    stopping: Latch,
    counters: Arc<Counters>,
    causes: Arc<Causes>,
    exits: Exits,
}

/// What is done on the shard's thread after its executor ended, by a panic or not.
#[derive(Clone, Default)]
struct Exits(Rc<RefCell<Vec<Exit>>>);

type Exit = Box<dyn FnOnce()>;

impl std::fmt::Debug for Exits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exits({})", self.0.borrow().len())
    }
}

impl Exits {
    fn run(&self) {
        let exits = std::mem::take(&mut *self.0.borrow_mut());
        exits.into_iter().for_each(|exit| exit());
    }
}

impl Shard {
    /// Called inside the executor. `turn`: for how long runnable tasks keep it from looking at completions. Each queue
    /// says so, as the executor itself has no such limit.
    fn new(
        id: u16,
        count: u16,
        turn: Duration,
        stop: Stop,
        counters: Arc<Counters>,
        causes: Arc<Causes>,
        exits: Exits,
    ) -> Self {
        let soon = Latency::Matters(turn);
        let control = executor().create_task_queue(Shares::Static(1000), soon, "control");
        let health = executor().create_task_queue(Shares::Static(1000), soon, "health");
        let data = executor().create_task_queue(Shares::Static(200), soon, "data");
        let (tasks, stopping, looks) = (Rc::default(), Latch::default(), RefCell::default());
        Self(Rc::new(Inner {
            id,
            count,
            control,
            health,
            data,
            tasks,
            looks,
            stop,
            stopping,
            counters,
            causes,
            exits,
        }))
    }

    /// Its number in the node, from 0.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.0.id
    }

    /// How many shards the node has.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.0.count
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// What the node turned away, by cause; of all its shards.
    #[must_use]
    pub fn causes(&self) -> &Arc<Causes> {
        &self.0.causes
    }

    /// The node's stop.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        &self.0.stop
    }

    /// Waits until the node is to stop. Dropping the wait is safe.
    pub async fn stopping(&self) {
        self.0.stopping.opened().await;
    }

    /// Whether the node is to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.is_open() || self.0.stop.is_requested()
    }

    /// Starts a task among the urgent ones. It is cancelled and awaited when the shard ends; while the shard ends,
    /// the future is dropped at once.
    pub fn spawn(
        &self,
        name: &'static str,
        kind: TaskKind,
        future: impl Future<Output = ()> + 'static,
    ) -> TaskHandle {
        self.spawn_in(Queue::Control, TaskGroup::SHARD, name, kind, future)
    }

    /// Starts a task among the patient ones.
    pub fn spawn_data(
        &self,
        name: &'static str,
        kind: TaskKind,
        future: impl Future<Output = ()> + 'static,
    ) -> TaskHandle {
        self.spawn_in(Queue::Data, TaskGroup::SHARD, name, kind, future)
    }

    /// Starts a task of a group, in a queue.
    pub fn spawn_in(
        &self,
        queue: Queue,
        group: TaskGroup,
        name: &'static str,
        kind: TaskKind,
        future: impl Future<Output = ()> + 'static,
    ) -> TaskHandle {
        let queue = match queue {
            Queue::Control => self.0.control,
            Queue::Health => self.0.health,
            Queue::Data => self.0.data,
        };
        let (shard, stop, counters) = (self.0.id, self.0.stop.clone(), Arc::clone(&self.0.counters));
        self.0.tasks.spawn(queue, group, future, move |message| match kind {
            TaskKind::Connection => {
                counters.panics.add(1);
                tracing::error!(shard, task = name, message, "a connection's task panicked; it alone ended");
            }
            TaskKind::Service => {
                stop.request(StopReason::ServicePanicked { shard, task: name.to_owned(), message });
            }
        })
    }

    /// A new group of tasks, to be cancelled together.
    #[must_use]
    pub fn group(&self) -> TaskGroup {
        self.0.tasks.group()
    }

    /// Cancels the group's tasks and waits until they are dropped. Not from a task of that group.
    pub async fn cancel_group(&self, group: TaskGroup) {
        self.0.tasks.cancel_group(group).await;
    }

    /// Tasks running now.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.0.tasks.len()
    }

    /// Runs a blocking call on the shard's own few threads, behind other such calls. The call goes on to its end even
    /// if nobody waits for it any more.
    ///
    /// # Errors
    /// What the call said if it panicked.
    pub async fn blocking<R: Send + 'static>(
        &self,
        call: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, BlockingPanicked> {
        let caught = move || {
            catch_unwind(AssertUnwindSafe(call)).map_err(|payload| BlockingPanicked(panic_message(&*payload)))
        };
        executor().spawn_blocking(caught).await
    }

    /// Has `exit` called on this thread once the executor has ended, by a panic or not.
    pub(crate) fn on_exit(&self, exit: impl FnOnce() + 'static) {
        self.0.exits.0.borrow_mut().push(Box::new(exit));
    }

    /// Notified at each beat of the shard's heart, some four times a second, for whom a wake-up may be lost: it costs
    /// no wake-up of the shard's own. Ends with what is given.
    pub(crate) fn on_beat(&self) -> Rc<Notify> {
        let look = Rc::<Notify>::default();
        self.0.looks.borrow_mut().push(Rc::downgrade(&look));
        look
    }

    fn beat(&self) {
        self.0.looks.borrow_mut().retain(|look| match look.upgrade() {
            Some(look) => {
                look.notify();
                true
            }
            None => false,
        });
    }

    /// Hears the node's stop, from whatever thread it was asked.
    async fn watch_stop(self) {
        poll_fn(|cx| {
            if self.0.stop.is_requested() {
                return Poll::Ready(());
            }
            self.0.stop.arm(usize::from(self.0.id), cx.waker());
            if self.0.stop.is_requested() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.0.stopping.open();
    }

    async fn cancel_all(&self) {
        self.0.tasks.cancel_all().await;
    }
}

/// A blocking call panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a blocking call panicked: {0}")]
pub struct BlockingPanicked(pub String);
