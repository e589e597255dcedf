//! Datagrams between a core and its ports.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyperscale_core::{Core, DatagramPort, Event};

use super::Driver;
use crate::notify::Notify;
use crate::stop::StopReason;
use crate::task::TaskKind;
use crate::udp::{BoundUdp, DatagramPorts, Received, Receiver, Sent, Udp};
use crate::{Cause, Queue, Shard};

/// Datagrams taken between two looks at whether other tasks are due, and for one read of the clock.
const BATCH: usize = 64;
/// The rest of a port that the system has no memory for.
const SHORTAGE_WAIT: Duration = Duration::from_millis(50);

/// A node's ports for datagrams, open on its shard.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub(super) membership: Option<Rc<Udp>>,
    pub(super) health: Option<Rc<Udp>>,
}

impl Ports {
    pub(super) fn open(shard: &Shard, bound: DatagramPorts) -> Self {
        let open = |bound: Option<BoundUdp>| bound.map(|bound| Rc::new(bound.open(shard)));
        Self { membership: open(bound.membership), health: open(bound.health) }
    }

    /// Sends a datagram now or never, and counts what became of it.
    pub(super) fn send(&self, shard: &Shard, port: DatagramPort, to: SocketAddr, bytes: &[u8]) {
        let socket = match port {
            DatagramPort::Membership => &self.membership,
            DatagramPort::Health => &self.health,
        };
        let cause = match socket.as_ref().map_or(Sent::Refused, |socket| socket.send(to, bytes)) {
            Sent::Gone => {
                shard.counters().datagrams_out.add(1);
                shard.counters().datagram_bytes_out.add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                return;
            }
            Sent::NoRoom => Cause::DatagramDropped,
            Sent::Oversized => Cause::DatagramOversized,
            Sent::Refused => Cause::DatagramRefused,
        };
        shard.causes().count(cause);
    }
}

impl<C: Core + 'static> Driver<C> {
    /// Starts to take what comes to these ports.
    pub(super) fn open_ports(self: &Rc<Self>, ports: &Ports) {
        let all = [
            (&ports.health, DatagramPort::Health, Queue::Health, "health datagrams"),
            (&ports.membership, DatagramPort::Membership, Queue::Control, "datagrams"),
        ];
        for (socket, port, queue, name) in all {
            let Some(socket) = socket else { continue };
            let taking = Rc::clone(self).take_datagrams(port, Rc::clone(socket));
            let _ends_with_its_group =
                self.shard.spawn_in(queue, self.group, name, TaskKind::Service, taking);
        }
    }

    /// Brings the core what comes to a port, as long as the node runs.
    async fn take_datagrams(self: Rc<Self>, port: DatagramPort, socket: Rc<Udp>) {
        let addr = socket.addr();
        let Err(error) = self.take_all(port, socket).await else { return };
        let (shard, task) = (self.shard.id(), "datagrams".to_owned());
        let message = format!("UDP {addr}: {error}");
        self.shard.stop().request(StopReason::ServiceEnded { shard, task, message });
    }

    /// Ends only with the socket, or with the core.
    async fn take_all(&self, port: DatagramPort, socket: Rc<Udp>) -> io::Result<()> {
        let (look, mut receiver) = (self.shard.on_beat(), Receiver::new(socket)?);
        while !self.silent.get() {
            let taken = self.take_next(port, &mut receiver, &look).await;
            match taken.as_ref().map_err(io::Error::raw_os_error) {
                Err(Some(libc::ENOMEM | libc::ENOBUFS)) => self.shard.sleep(SHORTAGE_WAIT).await,
                _ => taken?,
            }
        }
        Ok(())
    }

    /// Waits for datagrams and takes all that are there.
    async fn take_next(&self, port: DatagramPort, receiver: &mut Receiver, look: &Notify) -> io::Result<()> {
        receiver.readable(look).await?;
        while self.take_batch(port, receiver)? == BATCH {
            self.shard.yield_if_needed().await;
        }
        Ok(())
    }

    /// Takes at most a batch; how many it took.
    fn take_batch(&self, port: DatagramPort, receiver: &mut Receiver) -> io::Result<usize> {
        let now = self.shard.now();
        for taken in 0..BATCH {
            match receiver.receive()? {
                Received::Nothing => return Ok(taken),
                Received::Oversized => self.shard.causes().count(Cause::DatagramOversized),
                Received::Datagram(from, bytes) => {
                    let counters = self.shard.counters();
                    counters.datagrams_in.add(1);
                    counters.datagram_bytes_in.add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                    self.enter(|node| node.deliver(now, Event::Datagram { port, from, bytes }));
                }
            }
        }
        Ok(BATCH)
    }
}
