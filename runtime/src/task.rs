//! Tasks of one shard, supervised.
//!
//! A panic would unwind through the executor and end the shard, and what is still pending when an executor ends is
//! never dropped. So every task is wrapped and kept in a set: a panic ends that task alone (a connection) or stops the
//! node in order (a service), and shutdown cancels and awaits all of them, which closes their sockets. A panic in a
//! destructor that runs because its task is cancelled would abort the whole process; the wrapper catches it too.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use glommio::{Task, TaskQueueHandle, spawn_local_into};

/// What a panic of the task means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Handles one connection's bytes: a panic is logged and counted, and ends this task alone.
    Connection,
    /// Keeps state that others rely on: a panic stops the node in order.
    Service,
}

/// Tasks that are cancelled together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskGroup(u64);

impl TaskGroup {
    /// Tasks that belong to the shard itself.
    pub(crate) const SHARD: Self = Self(0);
}

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: RefCell<BTreeMap<(TaskGroup, u64), Task<()>>>,
    next: Cell<u64>,
    next_group: Cell<u64>,
    closed: Cell<bool>,
}

impl Tasks {
    pub(crate) fn group(&self) -> TaskGroup {
        let id = self.next_group.get().saturating_add(1);
        self.next_group.set(id);
        TaskGroup(id)
    }

    /// Starts a task whose panic is told to `panicked`. Once the set is closed the future is dropped instead.
    pub(crate) fn spawn(
        self: &Rc<Self>,
        queue: TaskQueueHandle,
        group: TaskGroup,
        future: impl Future<Output = ()> + 'static,
        panicked: impl FnOnce(String) + Unpin + 'static,
    ) -> TaskHandle {
        let id = self.next.get();
        self.next.set(id.saturating_add(1));
        let handle = TaskHandle { tasks: Rc::downgrade(self), key: (group, id) };
        if self.closed.get() {
            return handle;
        }
        let (tasks, key) = (Rc::downgrade(self), handle.key);
        let future = Supervised { future: Some(Box::pin(future)), panicked: Some(panicked) };
        let supervised = async move {
            future.await;
            Self::forget(&tasks, key);
        };
        match spawn_local_into(supervised, queue) {
            Ok(task) => {
                self.running.borrow_mut().insert(handle.key, task);
            }
            // The queues live as long as the shard, so this is a defect of ours.
            Err(error) => debug_assert!(false, "a task could not be started: {error}"),
        }
        handle
    }

    /// Drops the handle of a task that comes to its end by itself.
    fn forget(tasks: &Weak<Self>, key: (TaskGroup, u64)) {
        if let Some(tasks) = tasks.upgrade() {
            let ended = tasks.running.borrow_mut().remove(&key);
            if let Some(task) = ended {
                // Detached, not dropped: a drop would cancel the task that is running this line.
                drop(task.detach());
            }
        }
    }

    /// Cancels the tasks of a group and waits until they are dropped, those they started meanwhile included.
    pub(crate) async fn cancel_group(&self, group: TaskGroup) {
        loop {
            let first =
                self.running.borrow().range((group, 0)..=(group, u64::MAX)).next().map(|(key, _)| *key);
            let Some(key) = first else { break };
            self.cancel(key).await;
        }
    }

    /// Refuses further tasks, cancels all and waits until they are dropped.
    pub(crate) async fn cancel_all(&self) {
        self.closed.set(true);
        loop {
            let last = self.running.borrow().keys().next_back().copied();
            let Some(key) = last else { break };
            self.cancel(key).await;
        }
    }

    async fn cancel(&self, key: (TaskGroup, u64)) {
        let task = self.running.borrow_mut().remove(&key);
        if let Some(task) = task {
            task.cancel().await;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.running.borrow().len()
    }
}

/// A task's future, whose panics are told instead of unwinding: while it runs, and while it is dropped.
struct Supervised<F, P: FnOnce(String)> {
    future: Option<Pin<Box<F>>>,
    panicked: Option<P>,
}

impl<F, P: FnOnce(String)> Supervised<F, P> {
    fn caught<T>(&mut self, payload: std::thread::Result<T>) -> Option<T> {
        match payload {
            Ok(value) => Some(value),
            Err(payload) => {
                if let Some(panicked) = self.panicked.take() {
                    panicked(panic_message(payload.as_ref()));
                }
                None
            }
        }
    }

    fn drop_future(&mut self) {
        let future = self.future.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        self.caught(dropped);
    }
}

impl<F: Future<Output = ()>, P: FnOnce(String) + Unpin> Future for Supervised<F, P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.future else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        if self.caught(polled) == Some(Poll::Pending) {
            return Poll::Pending;
        }
        self.drop_future();
        Poll::Ready(())
    }
}

impl<F, P: FnOnce(String)> Drop for Supervised<F, P> {
    fn drop(&mut self) {
        self.drop_future();
    }
}

/// A running task. Dropping this leaves it running; it ends by itself, by [`TaskHandle::cancel`], or with its shard.
#[derive(Debug)]
pub struct TaskHandle {
    tasks: Weak<Tasks>,
    key: (TaskGroup, u64),
}

impl TaskHandle {
    /// Cancels the task and waits until it is dropped. A task must not cancel itself.
    pub async fn cancel(self) {
        if let Some(tasks) = self.tasks.upgrade() {
            tasks.cancel(self.key).await;
        }
    }

    /// Whether it runs no more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.tasks.upgrade().is_none_or(|tasks| !tasks.running.borrow().contains_key(&self.key))
    }
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else {
        "a panic without a message".to_owned()
    }
}
