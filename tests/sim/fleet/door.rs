//! What stands between a shard's links and its core, as in the production driver (`runtime/driver`): a frame is judged
//! by its header; one that is refused never reaches the core.

use std::collections::BTreeMap;
use std::time::Duration;

use hyperscale_codec::{Header, Priority, Role};
use hyperscale_core::{LinkId, Peer};
use hyperscale_reliability::{
    Admission, Answer, Caller, Intake, IntakeCounts, LoadGauge, NodeRateLimiter, SampleReader, SampleWriter,
    sample_buffer,
};

use super::{Fleet, Place};

/// One shard's.
#[derive(Debug)]
pub(crate) struct Door {
    /// These two are shared by all shards of the node.
    pub(super) gauge: LoadGauge,
    limits: NodeRateLimiter,
    intake: Intake,
    callers: BTreeMap<LinkId, Caller>,
    /// What frames took, and where the monitor reads it.
    samples: SampleWriter,
    pub(super) read: SampleReader,
}

impl Door {
    fn new(role: Role, (gauge, limits): (LoadGauge, NodeRateLimiter), seed: u64) -> Self {
        let intake = Intake::new(role, gauge.clone(), seed).limited_by(limits.clone());
        let (samples, read) = sample_buffer();
        Self { gauge, limits, intake, callers: BTreeMap::new(), samples, read }
    }

    pub(super) fn record(&self, took: Duration) {
        self.samples.record(took);
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        self.callers.remove(&link);
    }
}

impl Fleet {
    /// A shard starts: it shares the gauge and the limits of the shards of its node that run.
    pub(super) fn open_door(&mut self, at: Place) {
        let (node, boot) = self.nodes[at].who();
        let mut same = self.nodes.iter().filter(|other| other.identity.node == node);
        let (role, seed) = (self.nodes[at].identity.role, (boot << 32) + at as u64);
        let shared = same.find_map(|other| other.door.as_ref());
        let shared = shared.map(|door| (door.gauge.clone(), door.limits.clone())).unwrap_or_else(|| {
            let gauge = LoadGauge::default();
            (gauge.clone(), NodeRateLimiter::new(self.shape.limits.clone(), gauge, seed))
        });
        let door = Door::new(role, shared, seed);
        self.nodes[at].door = Some(door);
    }

    /// A link to another node is up.
    pub(super) fn let_in(&mut self, at: Place, link: LinkId, peer: &Peer) {
        let now = self.local_now(at);
        let node = &mut self.nodes[at];
        let both = node.identity.features.common(peer.hello.features);
        if let Some(door) = &mut node.door {
            let caller = door.intake.caller(now, peer.addr, &peer.hello, both);
            door.callers.insert(link, caller);
        }
    }

    /// Whether a frame is taken. Who waits for one that is not has been answered.
    pub(super) fn judge(&mut self, at: Place, link: LinkId, header: &Header, from: Place) -> bool {
        let (now, crowd) = (self.local_now(at), self.nodes[from].is_crowd());
        let Some(door) = &mut self.nodes[at].door else { return true };
        // Another shard of this node has judged what it passes on.
        let Some(caller) = door.callers.get_mut(&link) else { return true };
        let state = door.gauge.state();
        let admission = door.intake.admit(now, header, caller);
        let (checker, marks) = (&mut self.checkers.intake, &mut self.network.marks);
        let Admission::Refuse(answer) = admission else {
            if !crowd {
                checker.on_taken(from, header, marks);
            }
            return true;
        };
        if !crowd {
            checker.on_sent_away(from, header, answer.as_ref());
        }
        self.network.marks.hit("frame shed or limited");
        let sender = self.nodes[from].identity.role;
        self.checkers.intake.on_refused(header, sender, state, answer.as_ref(), &mut self.network.marks);
        if let Some(answer) = answer {
            self.answer(at, link, header, &answer);
        }
        false
    }

    fn answer(&mut self, at: Place, link: LinkId, to: &Header, answer: &Answer) {
        self.say(at, || format!("-> refuses {:#06x}: {answer:?}", to.kind));
        let mut bytes = Vec::new();
        self.answers.append(&mut bytes, to, answer).unwrap();
        self.send(at, link, bytes);
        self.settle();
    }

    /// What each shard of a role took and refused since it started.
    pub(crate) fn intake_counts(&self, role: Role) -> impl Iterator<Item = &IntakeCounts> {
        let nodes = self.nodes.iter().filter(move |node| node.identity.role == role);
        nodes.filter_map(|node| node.door.as_ref()).map(|door| door.intake.counts())
    }
}

/// In every simulation, whatever it was about: what nodes counted says that nothing critical was shed.
impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for counts in
            [Role::Gate, Role::Manager, Role::Worker].into_iter().flat_map(|role| self.intake_counts(role))
        {
            assert_eq!(counts.shed(Priority::Critical), 0, "{:?}", counts.rows().collect::<Vec<_>>());
        }
    }
}
