//! Lines to the shards: all are asked at once, and none is waited for longer than a second.

use std::fmt;
use std::time::Duration;

use hyperscale_view::ShardView;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// A shard that does not answer within this counts as standing still.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Where a shard's answer goes. Dropping it says that there will be none.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<ShardView>);

impl Reply {
    /// Answers. Never waits.
    pub fn send(self, view: ShardView) {
        let _asker_gone = self.0.send(view);
    }
}

/// How one shard is asked for its view.
pub struct ShardLine {
    shard: u16,
    ask: Box<dyn Fn(Reply) + Send + Sync>,
}

impl ShardLine {
    /// A line to `shard`. `ask` hands the question on and does not wait.
    pub fn new(shard: u16, ask: impl Fn(Reply) + Send + Sync + 'static) -> Self {
        Self { shard, ask: Box::new(ask) }
    }

    fn question(&self) -> oneshot::Receiver<ShardView> {
        let (reply, answer) = oneshot::channel();
        (self.ask)(Reply(reply));
        answer
    }
}

impl fmt::Debug for ShardLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardLine({})", self.shard)
    }
}

/// Why there is no view of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("no answer within {} ms; its loop stands still or has not started", ANSWER_TIME.as_millis())]
    Late,
    #[error("it has ended, or has too many questions waiting")]
    Gone,
}

/// What one shard said, and how long it took.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) shard: u16,
    pub(crate) took: Duration,
    pub(crate) view: Result<ShardView, NoAnswer>,
}

/// Asks every shard; as many answers as lines.
pub(crate) async fn ask_all(lines: &[ShardLine]) -> Vec<Answer> {
    let asked = Instant::now();
    let questions: Vec<_> = lines.iter().map(|line| (line.shard, line.question())).collect();
    let mut answers = Vec::with_capacity(questions.len());
    for (shard, question) in questions {
        let view = match timeout_at(asked + ANSWER_TIME, question).await {
            Ok(Ok(view)) => Ok(view),
            Ok(Err(_dropped)) => Err(NoAnswer::Gone),
            Err(_elapsed) => Err(NoAnswer::Late),
        };
        answers.push(Answer { shard, took: asked.elapsed(), view });
    }
    answers
}
