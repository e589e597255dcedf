//! Questions to a shard from plain threads, such as the admin port's.
//!
//! Made before the shards start, like a mailbox: a shard that has not opened its end yet does not answer, and one that
//! has ended drops what it is asked, which tells the asker at once. Questions that wait together get one answer, so that
//! asking often costs the shard no more than asking once a turn.

use std::fmt;

use crate::mailbox::{Receiver, Sender, mailbox};
use crate::{Shard, TaskKind};

/// Most questions waiting for one shard.
const QUESTIONS_MAX: usize = 256;

type Reply<R> = Box<dyn FnOnce(R) + Send>;

/// The end that asks; from any thread.
pub struct Ask<R: 'static>(Sender<Reply<R>>);

/// The end that answers, on its way to its shard.
pub struct Answer<R: 'static>(Receiver<Reply<R>>);

/// A line to one shard.
#[must_use]
pub fn ask<R: Clone + 'static>() -> (Ask<R>, Answer<R>) {
    let (sender, receiver) = mailbox(QUESTIONS_MAX);
    (Ask(sender), Answer(receiver))
}

impl<R: Clone + 'static> Ask<R> {
    /// Asks. `reply` is called on the shard, and must be short; it is dropped instead if the shard has ended, or if so
    /// many questions wait that it looks as if it had.
    pub fn ask(&self, reply: impl FnOnce(R) + Send + 'static) {
        let _dropped_to_say_no = self.0.try_send(Box::new(reply));
    }
}

impl<R: Clone + 'static> Answer<R> {
    /// Answers on this shard until it ends, or until nobody is left to ask. `view` runs between two events of
    /// whatever core it looks at.
    pub fn open(self, shard: &Shard, mut view: impl FnMut() -> R + 'static) {
        let mut inbox = self.0.open(shard);
        let answering = async move {
            let mut waiting = Vec::new();
            while inbox.drain(&mut waiting, QUESTIONS_MAX).await {
                let answer = view();
                waiting.drain(..).for_each(|reply| reply(answer.clone()));
            }
        };
        let _ends_with_the_shard = shard.spawn("answer", TaskKind::Service, answering);
    }
}

impl<R: 'static> Clone for Ask<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: 'static> fmt::Debug for Ask<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

impl<R: 'static> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
