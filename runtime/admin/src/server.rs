//! The thread that serves, bounded: at most [`CONNECTIONS_MAX`] connections, each of one request and a limited time.
//!
//! Past the bound nothing is accepted: callers wait in the kernel's queue for at most [`CONNECTION_TIME`], or give up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use futures_lite::future;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use hyperscale_view::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::endpoints::{Node, router};
use crate::lines::ShardLine;
use crate::probes::Probes;
use crate::{AdminConfig, AdminError};

/// Monitors are few; more are a mistake or an attack.
const CONNECTIONS_MAX: usize = 64;
/// For the whole header to arrive.
const HEADER_TIME: Duration = Duration::from_secs(2);
/// The least that the HTTP library takes.
const HEADER_BYTES_MAX: usize = 8192;
const HEADERS_MAX: usize = 64;
/// From accept to close: also ends those who read slowly.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Answers under way when the port is stopped get so long: a little more than a shard may take.
const LAST_ANSWERS: Duration = Duration::from_millis(1200);
/// Before accepting again when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running port. Ends when stopped or dropped.
#[derive(Debug)]
pub struct AdminServer {
    addr: SocketAddr,
    running: Option<(oneshot::Sender<Infallible>, JoinHandle<()>)>,
}

/// Opens the port and serves it on a thread of its own, which inherits this thread's CPU affinity: do not call it on a
/// shard. `process` gives what the process counts as a whole, such as refusals by cause; it is called on that thread,
/// once a scrape.
///
/// # Errors
/// [`AdminError`]; nothing was started then.
pub fn start(
    config: AdminConfig,
    lines: Vec<ShardLine>,
    process: impl Fn() -> Vec<Gauge> + Send + Sync + 'static,
) -> Result<AdminServer, AdminError> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| AdminError::Thread { source })?;
    let addr = config.listen;
    let refused = |source| AdminError::Listen { addr, source };
    let listener = runtime.block_on(TcpListener::bind(addr)).map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    let probes = Mutex::new(Probes::new(config.patient));
    let router = router(Node { config, lines, process: Box::new(process), probes, opened: Instant::now() });
    let (stop, stopped) = oneshot::channel();
    let serve = move || run(&runtime, listener, router, stopped);
    let thread = thread::Builder::new()
        .name("admin".to_owned())
        .spawn(serve)
        .map_err(|source| AdminError::Thread { source })?;
    tracing::info!(%addr, "the admin port is open");
    Ok(AdminServer { addr, running: Some((stop, thread)) })
}

impl AdminServer {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the port, lets answers under way out, and joins the thread: a little over a second at most.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the admin port's thread had panicked");
            }
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The whole life of the thread.
fn run(runtime: &Runtime, listener: TcpListener, router: Router, stopped: oneshot::Receiver<Infallible>) {
    runtime.block_on(async {
        let mut connections = JoinSet::new();
        let stopped = async {
            // Its other end says nothing and is dropped.
            let _dropped = stopped.await;
        };
        future::or(stopped, accept(&listener, &router, &mut connections)).await;
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        let _cut_off = timeout(LAST_ANSWERS, all).await;
        connections.shutdown().await;
    });
}

async fn accept(listener: &TcpListener, router: &Router, connections: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept; if descriptors ran out, raise `ulimit -n`");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let serving = serve(stream, router.clone());
        connections.spawn(async move {
            let _too_slow = timeout(CONNECTION_TIME, serving).await;
            drop(permit);
        });
        // Forgets those that ended, so that the set is bounded too.
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a caller of the admin port was not served");
    }
}
