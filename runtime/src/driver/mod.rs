//! The loop that runs a core: carries, never decides.
//!
//! A core lives on one shard. Each link's task hands it frames straight from the receive buffer; what it wants done is
//! carried out before the next event, and frames go to the links' queues without an allocation. One pump task brings
//! the timer and what others on the shard have to say.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod connect;
mod datagrams;
mod guard;
mod node;
mod post;
mod pump;
mod refusals;
mod sibling;
mod strikes;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use hyperscale_core::{Core, DatagramPort, Instant, LinkId};
use hyperscale_reliability::IntakeCounts;

use crate::link::handshake::NodeConfig;
use crate::mailbox::Inbox;
use crate::notify::Notify;
use crate::stop::StopReason;
use crate::task::{TaskGroup, TaskKind, panic_message};
use crate::tcp::{BoundListener, ListenError, bind};
use crate::udp::{DatagramPorts, Udp};
use crate::{Queue, Shard};

use datagrams::Ports;
use node::Node;
use post::{Post, Posted};
use refusals::Refusals;

pub use guard::Guard;
pub use node::CommandCx;
pub use post::{LOCALS_MAX, LocalSender, LocalsFull};
pub use sibling::{Siblings, siblings};

/// Local events taken from a mailbox at once.
const FEED_MAX: usize = 256;

/// Runs a core on a shard.
pub struct NodeDriver<C: Core>(std::marker::PhantomData<C>);

impl<C: Core + 'static> NodeDriver<C> {
    /// Starts to run `core`, listening where the configuration says. `commands` carries out what the role wants of
    /// its own.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn start(
        shard: &Shard,
        config: NodeConfig,
        core: C,
        commands: impl FnMut(C::Command, &mut CommandCx<'_, C::Local>) + 'static,
    ) -> Result<NodeHandle<C>, ListenError> {
        let listeners = match config.listen {
            Some(addr) => bind(addr, 1)?,
            None => Vec::new(),
        };
        let guard = Guard::new(config.role);
        Ok(Self::start_on(shard, config, listeners, DatagramPorts::default(), guard, core, commands))
    }

    /// Starts to run `core` on sockets that are bound already, such as its shard's share of the node's address, a
    /// port of its own, and the node's ports for datagrams. Where those are on another shard, the configuration tells
    /// their numbers. `guard` stands before the core.
    pub fn start_on(
        shard: &Shard,
        mut config: NodeConfig,
        listeners: Vec<BoundListener>,
        datagrams: DatagramPorts,
        guard: Guard,
        core: C,
        commands: impl FnMut(C::Command, &mut CommandCx<'_, C::Local>) + 'static,
    ) -> NodeHandle<C> {
        let addrs = listeners.iter().map(BoundListener::addr).collect();
        if datagrams.membership.is_some() || datagrams.health.is_some() {
            (config.swim_port, config.oob_port) = (datagrams.swim_port(), datagrams.oob_port());
        }
        let ports = Ports::open(shard, datagrams);
        let post = Rc::<Post<C::Local>>::default();
        let driver = Rc::new_cyclic(|driver: &std::rc::Weak<Driver<C>>| {
            let dialler = driver.clone();
            let dial = Box::new(move |dial, addr| {
                if let Some(driver) = dialler.upgrade() {
                    driver.dial(dial, addr);
                }
            });
            let sender = LocalSender(Rc::clone(&post));
            let node = Node::new(shard.clone(), core, Box::new(commands), dial, sender, guard);
            Driver {
                shard: shard.clone(),
                group: shard.group(),
                config,
                node: RefCell::new(node),
                post,
                armed: Cell::new(None),
                next_link: Cell::new(0),
                handshakes: Cell::new(0),
                connections: Cell::new(0),
                carried: Cell::new(0),
                refusals: RefCell::default(),
                ended: Notify::default(),
                draining: Cell::new(false),
                silent: Cell::new(false),
            }
        });
        for listener in listeners {
            let accepting = Rc::clone(&driver).accept(listener.open(shard));
            driver.spawn("accept", TaskKind::Service, accepting);
        }
        driver.open_ports(&ports);
        driver.node.borrow_mut().ports = ports;
        driver.spawn("core", TaskKind::Service, Rc::clone(&driver).pump());
        driver.spawn("sweep", TaskKind::Service, Rc::clone(&driver).sweep());
        NodeHandle { driver, addrs }
    }
}

/// What the tasks of one driver share.
struct Driver<C: Core> {
    shard: Shard,
    group: TaskGroup,
    config: NodeConfig,
    node: RefCell<Node<C>>,
    post: Rc<Post<C::Local>>,
    /// What the pump's timer is set to.
    armed: Cell<Option<Instant>>,
    next_link: Cell<u64>,
    handshakes: Cell<usize>,
    /// Connection tasks of this driver, in handshake, up, or flushing.
    connections: Cell<usize>,
    /// Those past their handshake.
    carried: Cell<usize>,
    /// One of these ended.
    ended: Notify,
    draining: Cell<bool>,
    refusals: RefCell<Refusals>,
    /// The core is called no more: it panicked, or the node has stopped.
    silent: Cell<bool>,
}

impl<C: Core + 'static> Driver<C> {
    fn spawn(&self, name: &'static str, kind: TaskKind, future: impl Future<Output = ()> + 'static) {
        let _ends_with_its_group = self.shard.spawn_in(Queue::Control, self.group, name, kind, future);
    }

    /// Calls into the core. A panic there leaves its state unknown: it is never called again, and the node stops.
    fn enter(&self, call: impl FnOnce(&mut Node<C>)) {
        if self.silent.get() {
            return;
        }
        let Ok(mut node) = self.node.try_borrow_mut() else {
            debug_assert!(false, "a core was entered from within itself");
            return;
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(&mut node))) {
            self.silent.set(true);
            let NodeConfig { role, name, .. } = &self.config;
            let message = panic_message(payload.as_ref());
            let task = format!("core of {role} {name}");
            self.shard.stop().request(StopReason::ServicePanicked { shard: self.shard.id(), task, message });
            return;
        }
        // A deadline that moved forward must not wait for the old one.
        let due = node.core.next_deadline();
        if due.is_some_and(|due| self.armed.get().is_none_or(|armed| due < armed)) {
            self.post.notify.notify();
        }
    }

    /// Link ids tell their shard, so that no two shards of a node use the same.
    fn new_link(&self) -> LinkId {
        let count = self.next_link.get().saturating_add(1);
        self.next_link.set(count);
        LinkId((u64::from(self.shard.id()) << 48) | count)
    }
}

/// A running driver. Dropping this leaves it running until its shard ends.
pub struct NodeHandle<C: Core> {
    driver: Rc<Driver<C>>,
    addrs: Vec<SocketAddr>,
}

impl<C: Core> fmt::Debug for NodeHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeHandle({:?}, {} connections)", self.addrs, self.driver.connections.get())
    }
}

impl<C: Core + 'static> NodeHandle<C> {
    /// Where it listens, if it does; the first of several.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addrs.first().copied()
    }

    /// Where the core's datagrams of this kind come to, if it has such a port.
    #[must_use]
    pub fn datagram_addr(&self, port: DatagramPort) -> Option<SocketAddr> {
        let ports = &self.driver.node.borrow().ports;
        let socket = match port {
            DatagramPort::Membership => ports.membership.as_deref(),
            DatagramPort::Health => ports.health.as_deref(),
        };
        socket.map(Udp::addr)
    }

    /// To tell the core something, from a task of this shard.
    #[must_use]
    pub fn local(&self) -> LocalSender<C::Local> {
        LocalSender(Rc::clone(&self.driver.post))
    }

    /// Tells the core what comes out of a mailbox, from other shards, until its senders are gone. Backpressure is the
    /// mailbox's: it is emptied only as fast as the core takes events.
    pub fn feed(&self, inbox: Inbox<C::Local>)
    where
        C::Local: Send,
    {
        let driver = Rc::clone(&self.driver);
        self.driver.spawn("feed", TaskKind::Service, driver.feed(inbox));
    }

    /// Looks at the core, between two events. Not from within a command.
    pub fn with_core<R>(&self, look: impl FnOnce(&C) -> R) -> R {
        look(&self.driver.node.borrow().core)
    }

    /// What was taken and refused so far.
    #[must_use]
    pub fn intake_counts(&self) -> IntakeCounts {
        self.driver.node.borrow().guard.intake.counts().clone()
    }

    /// Links that are up.
    #[must_use]
    pub fn links(&self) -> usize {
        self.driver.node.borrow().links.len()
    }

    /// Stops in order: refuses newcomers, closes the listeners and the ports for datagrams, sends what is queued, closes the links, and ends every
    /// task. The core is not called any more. Not from a task that the driver started.
    pub async fn stop(self) {
        let Self { driver, .. } = self;
        driver.draining.set(true);
        driver.enter(|node| node.say_goodbye(&format!("{} has stopped", driver.config.name)));
        driver.silent.set(true);
        // With its task's, its last holders.
        driver.node.borrow_mut().ports = Ports::default();
        let links = std::mem::take(&mut driver.node.borrow_mut().links);
        for entry in links.values() {
            entry.carrier.close();
            driver.shard.counters().links_open.sub(1);
        }
        drop(links);
        let flushed = async {
            while driver.carried.get() > 0 {
                driver.ended.wait().await;
            }
        };
        // Twice: to send what is queued, and to hear the peer's end.
        let time = driver.config.limits.flush_timeout.saturating_mul(2);
        if driver.shard.timeout(time, flushed).await.is_err() {
            tracing::warn!(
                left = driver.connections.get(),
                "connections did not end in time; they are cut off"
            );
        }
        driver.shard.cancel_group(driver.group).await;
        // Descriptors are closed by the reactor: give it a turn.
        driver.shard.sleep(std::time::Duration::from_millis(1)).await;
    }
}
