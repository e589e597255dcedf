//! Connections: made when a request needs one, a bounded number at a time, all addresses in turn.

use hyperscale_codec::messages::ErrorKind;
use hyperscale_core::{ConnError, ConnId, Instant, LoadIo};

use super::record::{Outcome, connect_error};
use super::share::{RequestSpec, Share, StepSpec};
use super::vu::{Conn, ConnState, NONE, Vu, VuState};
use super::{EngineShard, HANDSHAKES_MAX};

impl EngineShard {
    /// Connects for VU `v`'s request, now or when a handshake becomes free.
    pub(super) fn want_connection<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        if self.handshakes < HANDSHAKES_MAX {
            self.begin_connect(io, v);
        } else {
            self.vus[v as usize].state = VuState::Queued;
            self.queue.push_back(v);
        }
    }

    /// Begins a handshake; its time-outs count from here.
    fn begin_connect<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let vu = &mut self.vus[v as usize];
        let share = &mut self.shares[vu.share as usize];
        let Some(spec) = request_of(share, vu.step) else { return };
        let origin = usize::from(spec.origin);
        vu.request_deadline = io.now() + spec.timeout;
        let addresses = &mut share.origins[origin];
        vu.addr = addresses.next;
        addresses.next = addresses.next.wrapping_add(1);
        vu.tried = 0;
        self.handshakes += 1;
        self.open_connection(io, v);
    }

    /// Tries the next address of a handshake that was counted already.
    fn open_connection<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let now = io.now();
        let vu = &mut self.vus[v as usize];
        let share = &self.shares[vu.share as usize];
        let Some(spec) = request_of(share, vu.step) else { return };
        let all = &share.origins[usize::from(spec.origin)].all;
        let at = (vu.addr as usize).wrapping_add(usize::from(vu.tried)) % all.len();
        let id = io.connect(all[at]);
        let slot = id.slot as usize;
        if slot >= self.conns.len() {
            self.conns.resize_with(slot + 1, Conn::default);
        }
        let conn = &mut self.conns[slot];
        debug_assert_eq!(conn.state, ConnState::Free, "a slot was given out twice");
        (conn.id, conn.state, conn.reused) = (id, ConnState::Connecting, false);
        (conn.origin, conn.vu, conn.bytes_in) = (spec.origin, v, 0);
        vu.tried = vu.tried.saturating_add(1);
        (vu.conn, vu.state, vu.connect) = (id.slot, VuState::Connecting, now);
        vu.deadline = vu.request_deadline.min(now + spec.connect_timeout);
        self.timers.arm(v, vu.deadline);
    }

    pub(super) fn on_connected<I: LoadIo>(&mut self, io: &mut I, id: ConnId, result: Result<(), ConnError>) {
        let conn = &mut self.conns[id.slot as usize];
        debug_assert_eq!(
            (conn.id, conn.state),
            (id, ConnState::Connecting),
            "told of a connection not asked for"
        );
        let v = conn.vu;
        match result {
            Ok(()) => {
                self.handshakes -= 1;
                let now = io.now();
                let vu = &self.vus[v as usize];
                let (s, step, took) = (vu.share as usize, vu.step, now.nanos_since(vu.connect));
                self.turn_window(s, now);
                self.shares[s].cells.step_mut(usize::from(step)).connect.record(took);
                self.send_request(io, v);
            }
            Err(error) => {
                conn.state = ConnState::Free;
                self.on_connect_failed(io, v, error);
            }
        }
        self.serve_queue(io);
    }

    /// A handshake came to nothing: the next address, or the end of the request.
    pub(super) fn on_connect_failed<I: LoadIo>(&mut self, io: &mut I, v: u32, error: ConnError) {
        let now = io.now();
        let vu = &mut self.vus[v as usize];
        vu.conn = NONE;
        let share = &self.shares[vu.share as usize];
        let addresses =
            request_of(share, vu.step).map_or(0, |spec| share.origins[usize::from(spec.origin)].all.len());
        // This host's own want of ports or files is the same for every address.
        let own = matches!(error, ConnError::NoLocalPort | ConnError::TooManyFiles);
        if !own && usize::from(vu.tried) < addresses && now < vu.request_deadline {
            self.open_connection(io, v);
            return;
        }
        vu.pause = own;
        self.handshakes -= 1;
        self.end_request(io, v, Outcome::Failed(connect_error(error)), 0, 0);
    }

    /// A connect took too long.
    pub(super) fn on_connect_timeout<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let slot = self.vus[v as usize].conn as usize;
        io.close(self.conns[slot].id);
        self.conns[slot].state = ConnState::Free;
        self.on_connect_failed(io, v, ConnError::TimedOut);
        self.serve_queue(io);
    }

    /// Begins handshakes for those that wait, as long as some are free.
    pub(super) fn serve_queue<I: LoadIo>(&mut self, io: &mut I) {
        while self.handshakes < HANDSHAKES_MAX {
            let Some(v) = self.queue.pop_front() else { return };
            if self.vus[v as usize].state == VuState::Queued {
                self.begin_connect(io, v);
            }
        }
    }

    /// Sends VU `v`'s request on the connection it has.
    pub(super) fn send_request<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let now = io.now();
        let vu = &mut self.vus[v as usize];
        let share = &self.shares[vu.share as usize];
        let Some(spec) = request_of(share, vu.step) else { return };
        let conn = &mut self.conns[vu.conn as usize];
        conn.state = ConnState::Busy;
        conn.bytes_in = 0;
        conn.reader.start(spec.to_head);
        (vu.state, vu.sent) = (VuState::Waiting, now);
        if conn.reused {
            vu.request_deadline = now + spec.timeout;
        }
        vu.deadline = vu.request_deadline;
        self.waiting += 1;
        self.timers.arm(v, vu.deadline);
        io.send(conn.id, &spec.bytes);
    }

    /// Closes the connection in `slot`. Returns how much of its last send had not gone.
    pub(super) fn drop_connection<I: LoadIo>(&mut self, io: &mut I, slot: u32) -> usize {
        let unsent = io.close(self.conns[slot as usize].id);
        self.forget_connection(slot);
        unsent
    }

    /// The connection in `slot` is gone.
    pub(super) fn forget_connection(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        conn.reader.forget(&mut self.heads);
        self.waiting -= usize::from(conn.state == ConnState::Busy);
        conn.state = ConnState::Free;
        let vu = &self.vus[conn.vu as usize];
        let place = place_of(&self.shares[vu.share as usize], vu, conn.origin);
        self.shares[vu.share as usize].kept[place] = NONE;
    }

    /// Closes all connections that VU `v` keeps.
    pub(super) fn close_kept<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let vu = &self.vus[v as usize];
        let (s, origins) = (vu.share as usize, self.shares[vu.share as usize].origins.len());
        for origin in 0..origins {
            let place = vu_place(&self.shares[s], v, &self.vus, origin);
            let slot = self.shares[s].kept[place];
            if (slot as usize) < self.conns.len() {
                self.drop_connection(io, slot);
            }
            self.shares[s].kept[place] = NONE;
        }
    }

    /// Ends VU `v`'s request because its time ran out.
    pub(super) fn on_request_timeout<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        let slot = self.vus[v as usize].conn;
        let bytes_in = self.conns[slot as usize].bytes_in;
        let unsent = self.drop_connection(io, slot);
        let out = self.sent_bytes(v, unsent);
        self.end_request(io, v, Outcome::TimedOut, bytes_in, out);
    }

    /// How much of VU `v`'s request went out.
    pub(super) fn sent_bytes(&self, v: u32, unsent: usize) -> u64 {
        let vu = &self.vus[v as usize];
        let length = request_of(&self.shares[vu.share as usize], vu.step).map_or(0, |spec| spec.bytes.len());
        u64::try_from(length.saturating_sub(unsent)).unwrap_or(u64::MAX)
    }

    /// Something came that nobody had asked for, on an idle connection.
    pub(super) fn on_early_bytes<I: LoadIo>(&mut self, io: &mut I, slot: u32, bytes: &[u8]) {
        let conn = &self.conns[slot as usize];
        let vu = &self.vus[conn.vu as usize];
        let (s, place) = (vu.share as usize, place_of(&self.shares[vu.share as usize], vu, conn.origin));
        self.drop_connection(io, slot);
        // A server may say 408 when it closes an idle connection: that is no answer, but a close.
        let goodbye = bytes.get(8..12) == Some(b" 408");
        self.shares[s].kept[place] = if goodbye { NONE } else { super::vu::EARLY };
    }

    /// Ends VU `v`'s request without sending it: its answer came before.
    pub(super) fn refuse_early<I: LoadIo>(&mut self, io: &mut I, v: u32) {
        self.vus[v as usize].sent = Instant::MAX;
        self.end_request(io, v, Outcome::Failed(ErrorKind::BadResponse), 0, 0);
    }
}

/// The request of a step.
#[inline]
pub(super) fn request_of(share: &Share, step: u16) -> Option<&RequestSpec> {
    match share.steps.get(usize::from(step)) {
        Some(StepSpec::Request(spec)) => Some(spec),
        Some(StepSpec::Think { .. }) | None => {
            debug_assert!(false, "a VU sends at a step that is no request");
            None
        }
    }
}

/// Where a share keeps the connection of a VU to an origin.
#[inline]
pub(super) fn place_of(share: &Share, vu: &Vu, origin: u16) -> usize {
    vu.local as usize * share.origins.len() + usize::from(origin)
}

fn vu_place(share: &Share, v: u32, vus: &[Vu], origin: usize) -> usize {
    vus[v as usize].local as usize * share.origins.len() + origin
}
