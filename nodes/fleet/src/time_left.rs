//! How long the caller of a request waits, as the frame tells it. A core gets a frame when its bytes are read, so what is
//! left is counted from there.

use std::time::Duration;

use hyperscale_codec::{Flags, RawFrame};

/// What is left of a request's time; `None`: its caller did not say. What cannot be read is refused where its body is.
#[must_use]
pub fn time_left(frame: &RawFrame<'_>) -> Option<Duration> {
    if frame.header.ext_len == 0 {
        return None;
    }
    let left = frame.extensions().ok()?.deadline_ms?;
    Some(Duration::from_millis(left.into()))
}

/// Whether nobody waits for the answer to this request any more: doing it would be work for nothing.
#[must_use]
pub fn nobody_waits(frame: &RawFrame<'_>) -> bool {
    let flags = frame.header.flags;
    let is_request = flags.contains(Flags::WANTS_REPLY) && !flags.contains(Flags::REPLY);
    is_request && time_left(frame) == Some(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use hyperscale_codec::messages::JobStatusRequest;
    use hyperscale_codec::{Encoder, Extensions, Head, Limits};

    use super::*;

    fn judged(head: Head, deadline_ms: Option<u32>) -> (Option<Duration>, bool) {
        let (mut bytes, extensions) = (Vec::new(), Extensions { deadline_ms, ..Extensions::default() });
        let asked = JobStatusRequest { job: [1; 16] };
        Encoder::default().append_with(&mut bytes, head, &extensions, &asked).unwrap();
        let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
        (time_left(&frame), nobody_waits(&frame))
    }

    #[test]
    fn only_a_request_without_any_time_left_is_waited_for_by_nobody() {
        let (request, one_way, reply) = (Head::request(1), Head::default(), Head::reply(1));
        assert_eq!(judged(request, None), (None, false));
        assert_eq!(judged(request, Some(1)), (Some(Duration::from_millis(1)), false));
        assert_eq!(judged(request, Some(0)), (Some(Duration::ZERO), true));
        assert_eq!(judged(one_way, Some(0)), (Some(Duration::ZERO), false));
        assert_eq!(judged(reply, Some(0)), (Some(Duration::ZERO), false));
    }
}
