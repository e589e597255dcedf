//! What a core wants done, in order.
//!
//! Frames are encoded at once into one arena that is reused from batch to batch, so a warm core sends without
//! allocating; the driver copies each frame into its link's queue.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;

use hyperscale_codec::messages::ErrorReply;
use hyperscale_codec::{
    AdmitError, Encode, EncodeError, Encoder, ErrorCode, Extensions, Flags, Head, HeadPatch, RawFrame,
};

use crate::{DatagramPort, DialId, LinkId};

/// One thing to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<C> {
    /// Queue the frame [`Effects::frame`] shows at this range.
    Send { link: LinkId, range: Range<usize> },
    /// Send the bytes that [`Effects::frame`] shows at this range as one datagram; it may be lost.
    Datagram { port: DatagramPort, to: SocketAddr, range: Range<usize> },
    /// Connect; ends in `LinkUp` or `DialFailed`.
    Dial { dial: DialId, addr: SocketAddr },
    /// A frame of `kind` was refused; the driver counts it, and ends a link that sends too many such.
    Refused { link: LinkId, kind: u16, code: ErrorCode },
    /// Flush what is queued, then close.
    Close { link: LinkId },
    /// Something of the role's own.
    Command(C),
}

/// A batch of effects and the bytes they send.
#[derive(Debug)]
pub struct Effects<C> {
    encoder: Encoder,
    arena: Vec<u8>,
    list: Vec<Effect<C>>,
    failed: Option<EncodeError>,
    /// Links with much to send, and how much.
    unsent: BTreeMap<LinkId, usize>,
    unread: u64,
}

impl<C> Default for Effects<C> {
    fn default() -> Self {
        Self {
            encoder: Encoder::default(),
            arena: Vec::new(),
            list: Vec::new(),
            failed: None,
            unsent: BTreeMap::new(),
            unread: 0,
        }
    }
}

impl<C> Effects<C> {
    /// Encodes `message` for `link`. A message over its kind's limit is not sent; the driver logs it
    /// ([`Effects::take_failure`]).
    pub fn send<M: Encode>(&mut self, link: LinkId, head: Head, message: &M) {
        self.send_with(link, head, &Extensions::default(), message);
    }

    /// The same with extensions: what is left of the call's time, which attempt it is, its idempotency key.
    pub fn send_with<M: Encode>(&mut self, link: LinkId, head: Head, extensions: &Extensions, message: &M) {
        let start = self.arena.len();
        match self.encoder.append_with(&mut self.arena, head, extensions, message) {
            Ok(()) => self.list.push(Effect::Send { link, range: start..self.arena.len() }),
            Err(error) => {
                debug_assert!(false, "a core made a message that cannot be sent: {error}");
                self.arena.truncate(start);
                self.failed = Some(error);
            }
        }
    }

    /// Sends one datagram.
    pub fn datagram(&mut self, port: DatagramPort, to: SocketAddr, bytes: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.list.push(Effect::Datagram { port, to, range: start..self.arena.len() });
    }

    /// Passes a whole frame on as it came.
    pub fn forward(&mut self, link: LinkId, frame: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(frame);
        self.list.push(Effect::Send { link, range: start..self.arena.len() });
    }

    /// Passes a frame on by its header alone, as [`RawFrame::forward`] does.
    ///
    /// # Errors
    /// [`AdmitError::Hops`] when it has crossed as many nodes as a frame may; [`Effects::refuse`] it then.
    pub fn forward_as(
        &mut self,
        link: LinkId,
        frame: &RawFrame<'_>,
        patch: HeadPatch,
    ) -> Result<(), AdmitError> {
        let start = self.arena.len();
        frame.forward(&mut self.arena, patch)?;
        self.list.push(Effect::Send { link, range: start..self.arena.len() });
        Ok(())
    }

    /// Refuses a frame: says why if its sender waits for an answer, and has the driver count it in any case.
    pub fn refuse(&mut self, link: LinkId, frame: &RawFrame<'_>, code: ErrorCode, message: String) {
        let header = &frame.header;
        // A reply is never answered, or two nodes could argue for ever.
        if header.flags.contains(Flags::WANTS_REPLY) && !header.flags.contains(Flags::REPLY) {
            let reply = ErrorReply {
                code: code.to_wire(),
                message,
                retry_after_ms: 0,
                holder: [0; 16],
                holder_addr: String::new(),
                seen: 0,
            };
            self.send(link, Head { route: header.route, ..Head::reply(header.correlation) }, &reply);
        }
        // Behind the answer, which so goes out before a goodbye.
        self.list.push(Effect::Refused { link, kind: header.kind, code });
    }

    /// Refuses a frame whose kind is a newer minor's, which came because it is about a job.
    pub fn refuse_unknown(&mut self, link: LinkId, frame: &RawFrame<'_>) {
        let error = AdmitError::Kind { kind: frame.header.kind };
        self.refuse(link, frame, error.code(), error.to_string());
    }

    /// Bytes that a link's peer has yet to take, as the driver tells of links that have much to send; of others 0. A core
    /// that can do without sending asks first.
    #[must_use]
    pub fn unsent(&self, link: LinkId) -> usize {
        self.unsent.get(&link).copied().unwrap_or(0)
    }

    /// The driver's word on that; 0 for a link that is gone, or has little to send.
    pub fn set_unsent(&mut self, link: LinkId, bytes: usize) {
        if bytes > 0 {
            self.unsent.insert(link, bytes);
        } else if !self.unsent.is_empty() {
            self.unsent.remove(&link);
        }
    }

    /// Links with much to send, to be looked at again.
    pub fn unsent_mut(&mut self) -> &mut BTreeMap<LinkId, usize> {
        &mut self.unsent
    }

    /// Bytes that came in on all links and that the core has yet to be given, as the driver tells.
    #[must_use]
    pub const fn unread(&self) -> u64 {
        self.unread
    }

    /// The driver's word on that: of one link there were so many, and are so many now.
    pub fn set_unread(&mut self, before: usize, now: usize) {
        let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        self.unread = self.unread.saturating_sub(wide(before)).saturating_add(wide(now));
    }

    /// Asks for a connection.
    pub fn dial(&mut self, dial: DialId, addr: SocketAddr) {
        self.list.push(Effect::Dial { dial, addr });
    }

    /// Ends a link after what is queued for it has gone.
    pub fn close(&mut self, link: LinkId) {
        self.list.push(Effect::Close { link });
    }

    /// Asks the driver for something of the role's own.
    pub fn command(&mut self, command: C) {
        self.list.push(Effect::Command(command));
    }

    /// The bytes of a [`Effect::Send`].
    #[must_use]
    pub fn frame(&self, range: Range<usize>) -> &[u8] {
        self.arena.get(range).unwrap_or_default()
    }

    /// The effects in order; take them with [`Effects::take`] to carry them out.
    #[must_use]
    pub fn list(&self) -> &[Effect<C>] {
        &self.list
    }

    /// Takes the list out, leaving `spare` (emptied) in its place; the arena stays readable until
    /// [`Effects::clear`].
    pub fn take(&mut self, spare: &mut Vec<Effect<C>>) {
        spare.clear();
        std::mem::swap(&mut self.list, spare);
    }

    /// Forgets the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A message that could not be encoded since the last call.
    pub fn take_failure(&mut self) -> Option<EncodeError> {
        self.failed.take()
    }
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::messages::JobFinalResultAck;
    use hyperscale_codec::{HOPS_MAX, Limits, ShardId};

    use super::*;

    fn frame(head: Head) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, head, &JobFinalResultAck { job: [1; 16] }).unwrap();
        bytes
    }

    fn sent(effects: &Effects<()>, index: usize) -> RawFrame<'_> {
        let Some(Effect::Send { range, .. }) = effects.list().get(index) else {
            panic!("{:?}", effects.list())
        };
        RawFrame::read(effects.frame(range.clone()), &Limits::default()).unwrap()
    }

    #[test]
    fn a_frame_is_forwarded_until_it_crossed_too_many_nodes() {
        let (mut effects, patch) = (Effects::<()>::default(), HeadPatch::new(ShardId(2), 9));
        let bytes = frame(Head::request(7));
        let came = RawFrame::read(&bytes, &Limits::default()).unwrap();
        assert_eq!(effects.forward_as(LinkId(1), &came, patch), Ok(()));
        let goes = sent(&effects, 0).header;
        assert_eq!((goes.shard, goes.correlation, goes.flags.hops()), (ShardId(2), 9, 1));

        let bytes = frame(Head { flags: Flags::default().with_hops(HOPS_MAX - 1), ..Head::request(7) });
        let came = RawFrame::read(&bytes, &Limits::default()).unwrap();
        assert!(effects.forward_as(LinkId(1), &came, patch).is_err());
        assert_eq!(effects.list().len(), 1);
    }

    #[test]
    fn extensions_go_with_the_message() {
        let (mut effects, told) = (Effects::<()>::default(), JobFinalResultAck { job: [1; 16] });
        let extensions = Extensions { deadline_ms: Some(250), attempt: Some(2), ..Extensions::default() };
        effects.send_with(LinkId(1), Head::request(7), &extensions, &told);
        assert_eq!(sent(&effects, 0).extensions(), Ok(extensions));
        assert_eq!(sent(&effects, 0).to_owned::<JobFinalResultAck>(&mut Vec::new()), Ok(told));
    }

    #[test]
    fn a_refusal_is_told_to_who_waits_and_to_the_driver_in_any_case() {
        let refused = |head| {
            let (mut effects, bytes) = (Effects::<()>::default(), frame(head));
            let came = RawFrame::read(&bytes, &Limits::default()).unwrap();
            effects.refuse(LinkId(1), &came, ErrorCode::Malformed, "why".to_owned());
            effects
        };
        let waiting = refused(Head::request(7));
        assert_eq!(sent(&waiting, 0).header.correlation, 7);
        let told = Effect::Refused { link: LinkId(1), kind: 0x0025, code: ErrorCode::Malformed };
        assert_eq!(waiting.list()[1], told);
        for silent in
            [Head::default(), Head { flags: Flags::WANTS_REPLY.with(Flags::REPLY), ..Head::default() }]
        {
            assert_eq!(refused(silent).list(), std::slice::from_ref(&told));
        }
    }
}
