//! Frames of a newer minor and broken bodies, at every role's core.

use std::fmt::Debug;

use hyperscale_codec::messages::{ErrorReply, Goodbye};
use hyperscale_codec::{Encoder, ErrorCode, Flags, HEADER_LEN, Head, Header, JobId, Kind, Limits, RawFrame};
use hyperscale_core::{Core, Effect, Effects, Event, Instant, LinkId};

use crate::fleet::Fleet;

/// A frame with another kind and root than it was made with.
fn frame(head: Head, kind: u16, root_len: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message =
        Goodbye { code: 0, text: "a text that does not fit its root".to_owned(), retry_after_ms: 0 };
    Encoder::default().append(&mut bytes, head, &message).unwrap();
    let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
    bytes[..HEADER_LEN].copy_from_slice(&Header { kind, root_len, ..header }.encode());
    bytes
}

/// What a core says to a frame: the code of its answer, and the code its driver hears.
fn meet<C: Core<Command: Debug>>(core: &mut C, bytes: &[u8]) -> (Option<u16>, Option<ErrorCode>) {
    let (mut effects, frame) = (Effects::default(), RawFrame::read(bytes, &Limits::default()).unwrap());
    core.handle(Instant(2), Event::Frame { link: LinkId(77), frame }, &mut effects);
    let (mut answered, mut told) = (None, None);
    for effect in effects.list() {
        match effect {
            Effect::Send { range, .. } => {
                let reply = RawFrame::read(effects.frame(range.clone()), &Limits::default()).unwrap();
                answered = Some(reply.to_owned::<ErrorReply>(&mut Vec::new()).unwrap().code);
            }
            Effect::Refused { code, .. } => told = Some(*code),
            _ => {}
        }
    }
    (answered, told)
}

#[test]
fn a_kind_of_a_newer_minor_about_a_job_is_answered_by_every_role() {
    let mut fleet = Fleet::new(1, 1);
    let waiting = frame(Head::request(7).job(JobId(5)), 0x7ffe, 8);
    let one_way = frame(Head::default().job(JobId(5)), 0x7ffe, 8);
    let told = Some(ErrorCode::Unsupported);
    let answered = (Some(ErrorCode::Unsupported.to_wire()), told);
    for (bytes, want) in [(waiting, answered), (one_way, (None, told))] {
        assert_eq!(meet(fleet.gate("gate-0"), &bytes), want);
        assert_eq!(meet(fleet.manager_core("manager-0"), &bytes), want);
        assert_eq!(meet(fleet.client_core("client-0"), &bytes), want);
        assert_eq!(meet(fleet.worker_core("worker-0"), &bytes), want);
    }
}

#[test]
fn a_body_that_is_no_such_message_is_told_to_the_driver_even_when_nobody_waits() {
    let mut fleet = Fleet::new(1, 1);
    let told = Some(ErrorCode::Malformed);
    let answered = (Some(ErrorCode::Malformed.to_wire()), told);
    for (flags, want) in [(Flags::WANTS_REPLY, answered), (Flags::default(), (None, told))] {
        let head = Head { flags, ..Head::default() };
        let submit = frame(head, Kind::JobSubmit.to_wire(), 9);
        assert_eq!(meet(fleet.gate("gate-0"), &submit), want);
        let dispatch = frame(head, Kind::JobDispatch.to_wire(), 9);
        assert_eq!(meet(fleet.manager_core("manager-0"), &dispatch), want);
        let dispatch = frame(head, Kind::WorkflowDispatch.to_wire(), 9);
        assert_eq!(meet(fleet.worker_core("worker-0"), &dispatch), want);
        let ack = frame(head, Kind::JobAck.to_wire(), 9);
        assert_eq!(meet(fleet.client_core("client-0"), &ack), want);
    }
}
