//! What a production driver does with links beyond carrying them (`runtime/driver`): handshakes, links of an earlier
//! start, links that fell silent.

use std::time::Duration;

use hyperscale_codec::messages::Goodbye;
use hyperscale_codec::{Encoder, ErrorCode, Head, Hello, Role, Verdict};
use hyperscale_core::{DialId, Instant, LinkId};

use super::network::End;
use super::{DialError, Event, Fleet, LinkDown, Mail, Peer, Place};

/// A driver looks after its links so often.
pub(super) const SWEEP: Duration = Duration::from_secs(1);
/// TCP gives up a peer that it cannot reach after so long.
const GIVEN_UP: Duration = Duration::from_secs(30);
/// TCP asks a silent peer whether it is there after so long.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// When a node that was turned away may come back.
const RETRY_AFTER_MS: u32 = 1_000;

impl Fleet {
    pub(super) fn link_up(
        &mut self,
        at: Place,
        link: LinkId,
        dial: Option<DialId>,
        hello: Hello,
        peer: Place,
    ) {
        if let Some(dial) = dial
            && !self.network.dial_ends(at, dial, true)
        {
            return self.network.close(link);
        }
        let heard = self.local_now(at);
        if let Some(end) = self.network.end_mut(link) {
            end.heard = heard;
        }
        let peer = Peer { addr: self.nodes[peer].addr, hello };
        self.let_in(at, link, &peer);
        self.happen(at, Event::LinkUp { link, peer: &peer, dial });
    }

    /// A caller greets who listens.
    pub(super) fn greet(&mut self, at: Place, from: Place, dial: DialId, hello: Hello) {
        if !self.network.is_dialling(from, dial) {
            return;
        }
        let addr = self.nodes[at].addr;
        if let Some((verdict, text)) = self.refusal(at, &hello) {
            self.network.marks.hit("caller turned away");
            let error =
                DialError::Refused { addr, verdict: verdict as u8, text, retry_after_ms: RETRY_AFTER_MS };
            return self.network.turn_away(from, dial, at, error);
        }
        let (caller, own) = ((from, (hello.node, hello.boot)), (at, self.nodes[at].who()));
        let answer = Box::new(self.nodes[at].hello());
        let link = self.network.welcome(caller, dial, own, answer);
        self.link_up(at, link, None, hello, from);
    }

    /// Why this caller is turned away; accepted links of an earlier start of it end.
    fn refusal(&mut self, at: Place, hello: &Hello) -> Option<(Verdict, String)> {
        if self.nodes[at].identity.node == hello.node {
            return Some((Verdict::DuplicateNode, format!("{} has the id of this node", hello.name)));
        }
        let links = self.network.links_of(at);
        let same: Vec<_> =
            links.into_iter().filter(|(_, end)| end.accepted && end.who.0 == hello.node).collect();
        if same.iter().any(|(_, end)| end.who.1 > hello.boot) {
            return Some((Verdict::DuplicateNode, format!("a later start of {} is connected", hello.name)));
        }
        for (link, _) in same.into_iter().filter(|(_, end)| end.who.1 < hello.boot) {
            self.network.marks.hit("link of an earlier start replaced");
            self.end_link(at, link, LinkDown::Protocol("the node was started again".to_owned()));
        }
        None
    }

    fn end_link(&mut self, at: Place, link: LinkId, why: LinkDown) {
        self.say(at, || format!("ends link {}: {why}", link.0));
        self.network.close(link);
        self.end_of(at, link);
        self.happen(at, Event::LinkDown { link, why });
    }

    /// Ends links that are silent for too long, and lets TCP end those whose peer cannot be reached.
    pub(super) fn sweep(&mut self, at: Place) {
        let Some(idle) = self.idle else { return };
        self.network.post_local(at, SWEEP, Mail::Sweep);
        let (now, world) = (self.local_now(at), self.network.now);
        let stood_still = now.since(self.nodes[at].life.swept) >= 2 * SWEEP;
        self.nodes[at].life.swept = now;
        let own = self.nodes[at].identity.role;
        for (link, end) in self.network.links_of(at).into_iter().filter(|(_, end)| !end.within) {
            let gone = self.network.is_unreachable(&end);
            let since = end.unreachable.unwrap_or(world);
            if let Some(end) = self.network.end_mut(link) {
                end.unreachable = gone.then_some(since);
            }
            if gone && world.since(since) >= GIVEN_UP {
                self.network.marks.hit("TCP gave a peer up");
                self.end_link(at, link, LinkDown::Io("connection timed out".to_owned()));
                continue;
            }
            if gone && now.since(end.heard) >= KEEPALIVE {
                self.network.knock(link);
            }
            // Its handshake is not over here.
            if end.heard == Instant::ZERO {
                continue;
            }
            let must_beat = own != Role::Client && self.nodes[end.peer].identity.role != Role::Client;
            if !stood_still && must_beat && now.since(end.heard) >= idle {
                self.expel_silent(at, link, &end);
            }
        }
    }

    fn expel_silent(&mut self, at: Place, link: LinkId, end: &End) {
        self.network.marks.hit("silent link ended");
        let silent = self.local_now(at).since(end.heard);
        let text = format!("silent for {} ms", silent.as_millis());
        let goodbye =
            Goodbye { code: ErrorCode::DeadlineExceeded.to_wire(), text: text.clone(), retry_after_ms: 0 };
        let mut bytes = Vec::new();
        Encoder::default().append(&mut bytes, Head::default(), &goodbye).unwrap();
        let _last_words = self.network.send(link, bytes);
        self.end_link(at, link, LinkDown::Protocol(text));
    }
}
