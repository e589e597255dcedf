//! What waits to be told to a core by its own shard.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use hyperscale_core::{DialError, DialId, LinkDown, LinkId};

use crate::notify::Notify;

/// Most local events waiting for one core.
pub const LOCALS_MAX: usize = 65_536;

/// An event that owns what it says.
#[derive(Debug)]
pub(super) enum Posted<L> {
    Local(L),
    LinkDown(LinkId, LinkDown),
    DialFailed(DialId, DialError),
}

/// Filled from anywhere on the shard, emptied by the driver's pump.
pub(super) struct Post<L> {
    pub(super) waiting: RefCell<VecDeque<Posted<L>>>,
    pub(super) notify: Notify,
}

impl<L> Default for Post<L> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), notify: Notify::default() }
    }
}

impl<L> Post<L> {
    /// For what happens at most once a link or dial, so that their bounds bound it.
    pub(super) fn push(&self, posted: Posted<L>) {
        self.waiting.borrow_mut().push_back(posted);
        self.notify.notify();
    }

    pub(super) fn pop(&self) -> Option<Posted<L>> {
        self.waiting.borrow_mut().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }
}

/// The core is behind by [`LOCALS_MAX`] events; the event comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{LOCALS_MAX} local events wait for the core")]
pub struct LocalsFull<L>(pub L);

/// Tells a core something later, from a task of its shard.
pub struct LocalSender<L>(pub(super) Rc<Post<L>>);

impl<L> LocalSender<L> {
    /// Has `Event::Local` delivered in one of the next turns, in order.
    ///
    /// # Errors
    /// [`LocalsFull`].
    pub fn send(&self, local: L) -> Result<(), LocalsFull<L>> {
        if self.0.waiting.borrow().len() >= LOCALS_MAX {
            return Err(LocalsFull(local));
        }
        self.0.push(Posted::Local(local));
        Ok(())
    }
}

impl<L> Clone for LocalSender<L> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<L> fmt::Debug for LocalSender<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalSender({} waiting)", self.0.waiting.borrow().len())
    }
}
