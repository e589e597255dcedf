//! Nobody gives work to a node that is gone for longer than it takes to know that.

use std::time::Duration;

use hyperscale_codec::{Kind, Limits, RawFrame};
use hyperscale_core::Instant;

/// A silent link ends after 5 s, looked at once a second; work for its peer may be on its way until then.
const KNOWN: Duration = Duration::from_secs(7);

#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// Orders that were judged.
    pub(crate) orders: u64,
}

impl Routing {
    /// A node sends a frame to a peer that has been gone since then, if it is.
    pub(crate) fn on_frame(&mut self, now: Instant, bytes: &[u8], gone_since: Option<Instant>, who: &str) {
        let frame = RawFrame::read(bytes, &Limits::default()).ok();
        let work = [Kind::JobDispatch, Kind::WorkflowDispatch, Kind::WorkflowStart];
        let Some(kind) = frame.and_then(|frame| frame.kind()).filter(|kind| work.contains(kind)) else {
            return;
        };
        self.orders += 1;
        let gone = gone_since.map_or(Duration::ZERO, |since| now.since(since));
        assert!(gone < KNOWN, "{kind:?} goes to {who}, which has been gone for {gone:?}");
    }
}
