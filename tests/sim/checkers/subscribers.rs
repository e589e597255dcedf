//! Who follows a job is told of each window once and in order, of one end, and of nothing after it (I20). Windows may
//! be missing after a connection was lost.

use std::collections::BTreeMap;

use hyperscale_client::Notice;

use crate::fleet::Place;
use crate::marks::Marks;

#[derive(Debug, Default)]
struct Followed {
    seq: u64,
    to_ms: u64,
    ended: bool,
    away: bool,
}

/// By client and job.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    followed: BTreeMap<(Place, [u8; 16]), Followed>,
    away: BTreeMap<Place, bool>,
}

impl Subscribers {
    pub(crate) fn on_notice(&mut self, at: Place, name: &str, notice: &Notice, marks: &mut Marks) {
        match notice {
            Notice::Window(push) => {
                let followed = self.followed.entry((at, push.job)).or_default();
                assert!(!followed.ended, "I20: {name} is told of a window after the end");
                let (seq, from) = (push.seq, push.from_ms);
                assert!(seq > followed.seq, "I20: {name} is told of {seq} after {}", followed.seq);
                assert!(push.to_ms >= from, "I20: {name} is told of a window from {from} to {}", push.to_ms);
                // What a slow datacenter tells late goes out late, and is no repeat.
                if push.to_ms < followed.to_ms {
                    marks.hit("late window told");
                }
                followed.to_ms = followed.to_ms.max(push.to_ms);
                followed.seq = seq;
                if std::mem::take(&mut followed.away) || self.away.insert(at, false) == Some(true) {
                    marks.hit("client followed on after it reconnected");
                }
            }
            Notice::Finished(result) => {
                let followed = self.followed.entry((at, result.job)).or_default();
                assert!(!std::mem::replace(&mut followed.ended, true), "I20: {name} is told of two ends");
                marks.hit("client told of the end");
            }
            Notice::Reconnecting { .. } => {
                self.away.insert(at, true);
                marks.hit("client reconnecting");
            }
            Notice::Failed { .. } => marks.hit("client gave up or was refused"),
            Notice::Cancelled { success, .. } => {
                marks.hit(if *success { "cancel answered" } else { "cancel refused" });
            }
            Notice::Accepted { .. }
            | Notice::Status(_)
            | Notice::Nodes { .. }
            | Notice::Jobs { .. }
            | Notice::Stats(_)
            | Notice::Why { .. } => {}
        }
    }
}
