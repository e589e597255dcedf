//! New connections of a server loop, on a ring of their own: behind the requests of ten thousand connections each would
//! wait for all of them.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use hyperscale_core::{ConnId, ServeHandler};
use io_uring::{opcode, types};
use socket2::Socket;

use super::{ACCEPT, RingRows, Row};
use crate::load_socket::uring::Completion;

/// Accepts and their cancels queued; twice as many connections are taken at a time.
pub(super) const ACCEPTS: u32 = 128;
/// How long accepting pauses at the limit of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl RingRows {
    /// Admits those who have come, between requests too.
    pub(super) fn turn_accepts<H: ServeHandler>(&mut self, handler: &mut H) -> usize {
        self.io.accepts.turn(&mut self.accepted);
        let n = self.accepted.len();
        for at in 0..n {
            let completion = self.accepted[at];
            if completion.token == ACCEPT {
                self.on_accepted(handler, completion);
            }
        }
        self.accepted.clear();
        self.settle(handler);
        n
    }

    pub(super) fn accept(&mut self) {
        let fd = types::Fd(self.listening.socket.as_raw_fd());
        let entry = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: it points to no memory.
        unsafe { self.io.accepts.push(&entry.user_data(ACCEPT)) };
    }

    fn on_accepted<H: ServeHandler>(&mut self, handler: &mut H, completion: Completion) {
        if completion.result >= 0 {
            // SAFETY: the completion hands over a descriptor that nobody else has.
            let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(completion.result) });
            if self.io.open < self.connections_max && socket.set_tcp_nodelay(true).is_ok() {
                self.admit(handler, socket);
            }
        }
        if completion.goes_on() {
            return;
        }
        if completion.result >= 0 || completion.result == -libc::ECONNABORTED {
            self.accept();
        } else {
            tracing::warn!(error = %completion.error(), "accepting pauses");
            self.paused_until = Some(self.io.now + ACCEPT_PAUSE);
        }
    }

    fn admit<H: ServeHandler>(&mut self, handler: &mut H, socket: Socket) {
        let slot = self.io.free.pop().unwrap_or_else(|| {
            self.io.rows.push(Row::default());
            u32::try_from(self.io.rows.len() - 1).unwrap_or(u32::MAX)
        });
        let row = &mut self.io.rows[slot as usize];
        row.socket = Some(socket);
        let conn = ConnId { slot, generation: row.generation };
        self.io.open += 1;
        self.io.receive(slot);
        handler.accepted(&mut self.io, conn);
    }
}
