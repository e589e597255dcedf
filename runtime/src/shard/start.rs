//! Starting all shards of a node, or none.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::{
    GlommioError, Latency, LocalExecutor, LocalExecutorBuilder, PoolPlacement, Shares, executor,
    spawn_local_into,
};

use super::supervise::{Heart, Shards, Watchdog};
use super::{Exits, Placement, Shard, ShardOptions, ShardWork, StartError};
use crate::causes::Causes;
use crate::clock::ThreadClock;
use crate::counters::Counters;
use crate::preflight;
use crate::stop::{Notice, Stop, StopReason};
use crate::task::{TaskKind, panic_message};

/// As many as the wire's shard numbers leave room for with a wide margin.
const SHARDS_MAX: usize = 1024;
/// The preempt timer of an executor's first turn: none, in effect.
///
/// The executor arms its preempt timer, then looks for tasks to run. If the timer has fired by then, because the thread
/// was taken off its CPU in between, it runs none, and goes to sleep although some could run; whatever next wakes it
/// runs them. On its first turn nothing is there that could: no task has run yet, so no timer is armed and nobody has a
/// waker. It would sleep for ever. The timer that counts later is that of the queues, see [`ShardOptions`].
const FIRST_TURN: Duration = Duration::from_hours(1);

/// Starts one shard per entry, each running `body` to its end; or none, and says why.
///
/// # Errors
/// [`StartError`] of the first shard that could not start.
pub fn start<T, F, Fut>(options: &[ShardOptions], body: F) -> Result<Shards<T>, StartError>
where
    T: Send + 'static,
    F: Fn(Shard) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = T> + 'static,
{
    check(options)?;
    let count = u16::try_from(options.len()).map_err(|_many| StartError::TooMany(options.len()))?;
    let (notices, heard) = mpsc::channel();
    let stop = Stop::new(options.len(), notices.clone());
    let body = Arc::new(body);
    let causes = Arc::<Causes>::default();
    let mut starting: Vec<Starting<T>> = Vec::with_capacity(options.len());
    let mut failed = None;
    for (id, options) in (0..count).zip(options) {
        let seat = Seat {
            id,
            count,
            options: options.clone(),
            stop: stop.clone(),
            counters: Arc::default(),
            causes: Arc::clone(&causes),
            heart: Arc::default(),
            notices: notices.clone(),
        };
        match seat.start(Arc::clone(&body)) {
            Ok(started) => starting.push(started),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let mut work = Vec::with_capacity(starting.len());
    for shard in &starting {
        match shard.made.recv().unwrap_or(Err(StartError::Vanished { shard: shard.id })) {
            Ok(clock) => work.push(ShardWork::new(clock, Arc::clone(&shard.counters))),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let (tell, progress) = mpsc::channel();
    let watchdog = Watchdog {
        hearts: starting
            .iter()
            .map(|shard| (Arc::clone(&shard.heart), Arc::clone(&shard.counters)))
            .collect(),
        notices: heard,
        progress: tell,
        stop: stop.clone(),
    };
    if failed.is_none() {
        let watching = thread::Builder::new().name("watchdog".to_owned()).spawn(move || watchdog.run());
        failed = watching.map_err(|source| StartError::Thread { shard: count, source }).err();
    }
    for shard in &starting {
        let _gone = shard.go.send(failed.is_none());
    }
    if let Some(error) = failed {
        for shard in starting.into_iter().rev() {
            let _ended = shard.thread.join();
        }
        return Err(error);
    }
    let counters = starting.iter().map(|shard| Arc::clone(&shard.counters)).collect();
    let threads = starting.into_iter().map(|shard| shard.thread).collect();
    Ok(Shards { threads, counters, work, causes, stop, progress })
}

fn check(options: &[ShardOptions]) -> Result<(), StartError> {
    if options.is_empty() {
        return Err(StartError::NoShards);
    }
    if options.len() > SHARDS_MAX {
        return Err(StartError::TooMany(options.len()));
    }
    let pinned: Vec<usize> = options
        .iter()
        .filter_map(|options| match options.placement {
            Placement::Unbound => None,
            Placement::Pinned(cpu) => Some(cpu),
        })
        .collect();
    // The executor would set an affinity that the process was denied.
    Ok(preflight::check_cores(&pinned)?)
}

struct Starting<T> {
    id: u16,
    thread: thread::JoinHandle<Option<T>>,
    made: mpsc::Receiver<Result<Option<ThreadClock>, StartError>>,
    go: mpsc::Sender<bool>,
    counters: Arc<Counters>,
    heart: Arc<Heart>,
}

/// What one shard's thread is given.
struct Seat {
    id: u16,
    count: u16,
    options: ShardOptions,
    stop: Stop,
    counters: Arc<Counters>,
    causes: Arc<Causes>,
    heart: Arc<Heart>,
    notices: mpsc::Sender<Notice>,
}

impl Seat {
    fn start<T, F, Fut>(self, body: Arc<F>) -> Result<Starting<T>, StartError>
    where
        T: Send + 'static,
        F: Fn(Shard) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (tell, made) = mpsc::channel();
        let (go, gate) = mpsc::channel();
        let (id, counters, heart) = (self.id, Arc::clone(&self.counters), Arc::clone(&self.heart));
        let main = move || match make(id, &self.options) {
            Ok(executor) => {
                let _starter = tell.send(Ok(ThreadClock::of_this_thread()));
                // A starter that is gone counts as a refusal.
                if gate.recv().unwrap_or(false) { self.run(&executor, &body) } else { None }
            }
            Err(error) => {
                let _starter = tell.send(Err(error));
                None
            }
        };
        let builder = thread::Builder::new().name(format!("shard-{id}"));
        let thread = builder.spawn(main).map_err(|source| StartError::Thread { shard: id, source })?;
        Ok(Starting { id, thread, made, go, counters, heart })
    }

    /// The whole life of a shard's executor.
    fn run<T, F, Fut>(self, executor: &LocalExecutor, body: &Arc<F>) -> Option<T>
    where
        T: 'static,
        F: Fn(Shard) -> Fut,
        Fut: Future<Output = T> + 'static,
    {
        let Self { id, count, stop, counters, causes, heart, notices, options } = self;
        let exits = Exits::default();
        let root = async {
            let turn = options.preempt_timer;
            let shard = Shard::new(id, count, turn, stop.clone(), counters, causes, exits.clone());
            shard.spawn("stop", TaskKind::Service, shard.clone().watch_stop());
            shard.spawn("heartbeat", TaskKind::Service, heart.beat(shard.clone()));
            let ended = main(body, shard.clone(), turn).await;
            if let Err(payload) = &ended {
                let (task, message) = ("main".to_owned(), panic_message(payload.as_ref()));
                stop.request(StopReason::ServicePanicked { shard: id, task, message });
            }
            shard.cancel_all().await;
            // Sockets are closed by the reactor: give it the turns to do so.
            shard.sleep(Duration::from_millis(1)).await;
            ended.ok()
        };
        let ended = catch_unwind(AssertUnwindSafe(|| executor.run(root)));
        exits.run();
        let result = match ended {
            Ok(result) => result,
            Err(payload) => {
                let message = panic_message(payload.as_ref());
                stop.request(StopReason::ShardPanicked { shard: id, message });
                None
            }
        };
        let _supervisor = notices.send(Notice::Ended(usize::from(id)));
        result
    }
}

/// Runs the body in a queue of its own: that of the root has no preempt timer worth the name.
async fn main<T, F, Fut>(body: &Arc<F>, shard: Shard, turn: Duration) -> thread::Result<T>
where
    F: Fn(Shard) -> Fut,
    Fut: Future<Output = T> + 'static,
    T: 'static,
{
    let queue = executor().create_task_queue(Shares::Static(1000), Latency::Matters(turn), "main");
    let body = catch_unwind(AssertUnwindSafe(|| body(shard)))?;
    match spawn_local_into(AssertUnwindSafe(body).catch_unwind(), queue) {
        Ok(body) => body.await,
        // The queue was made three lines up, so this is a defect of ours.
        Err(error) => Err(Box::new(format!("no queue for the body: {error}"))),
    }
}

fn make(shard: u16, options: &ShardOptions) -> Result<LocalExecutor, StartError> {
    let placement = match options.placement {
        Placement::Unbound => glommio::Placement::Unbound,
        Placement::Pinned(cpu) => glommio::Placement::Fixed(cpu),
    };
    let mut builder = LocalExecutorBuilder::new(placement)
        .name(&format!("shard-{shard}"))
        .preempt_timer(FIRST_TURN)
        .io_memory(options.io_memory)
        .ring_depth(options.ring_depth)
        // Not on the shard's own CPU, where a slow call would take turns from it.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(options.blocking_threads));
    if let Some(spin) = options.busy_poll {
        builder = builder.spin_before_park(spin);
    }
    builder.make().map_err(|error: GlommioError<()>| match preflight::check_memlock(1) {
        // The executor refuses too small a limit in words of its own.
        Err(refused) => StartError::Preflight(refused),
        Ok(()) => StartError::Executor { shard, message: error.to_string(), errno: error.raw_os_error() },
    })
}
