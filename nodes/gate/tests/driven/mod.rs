//! A gate that a test drives frame by frame: with its ledger, and whoever the test speaks for.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperscale_codec::messages::{JobDispatch, JobDispatchAck, JobFinalResult, JobSubmit};
use hyperscale_codec::{
    Encode, Encoder, Extensions, FrameReader, Head, Hello, JobId, Kind, Limits, NodeId, RawFrame, Role,
    ShardId, Verdict,
};
use hyperscale_core::{Core, Effect, Effects, Event, Instant, LinkId, Peer, WallClock};
use hyperscale_fleet::Identity;
use hyperscale_gate::{
    ArchiveConfig, ArchiveOrder, ArchiveRecord, ArchiveTold, Command, GateConfig, GateCore, Local,
};
use hyperscale_ledger::MemoryLedger;
use hyperscale_plan::PlanText;
use hyperscale_report::Summary;

pub(crate) const CLIENT: LinkId = LinkId(1);
pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// A gate, its ledger, its clock, and what it sent last.
pub(crate) struct Driven {
    pub(crate) core: GateCore,
    ledger: MemoryLedger,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<(LinkId, Vec<u8>)>,
    /// Bytes that the client has yet to read.
    pub(crate) unsent: usize,
    pub(crate) closed: Vec<LinkId>,
    pub(crate) disk: BTreeMap<JobId, Vec<u8>>,
    /// What the disk was told, where it does nothing.
    pub(crate) hung: Option<Vec<ArchiveOrder>>,
}

impl Driven {
    /// A gate with these managers, and their worker shards.
    pub(crate) fn with(managers: &[(u64, u32)]) -> Self {
        Self::bounded(managers, hyperscale_gate::SNAPSHOTS_MAX)
    }

    /// The same, with so many bytes for snapshots.
    pub(crate) fn bounded(managers: &[(u64, u32)], snapshots_max: usize) -> Self {
        Self::of(managers, snapshots_max, None)
    }

    /// One with an archive, whose disk does at once what it is told.
    pub(crate) fn kept(managers: &[(u64, u32)], archive: ArchiveConfig) -> Self {
        Self::of(managers, hyperscale_gate::SNAPSHOTS_MAX, Some(archive))
    }

    fn of(managers: &[(u64, u32)], snapshots_max: usize, archive: Option<ArchiveConfig>) -> Self {
        let core = GateCore::new(GateConfig {
            identity: Identity::new(Role::Gate, NodeId(1), "gate"),
            shard: ShardId(0),
            addr: "127.0.0.1:1".to_owned(),
            seed: 7,
            wall: WallClock { unix_ms: 1_790_000_000_000, at: Instant::ZERO },
            dispatch_wait: WAIT,
            manager_wait: Duration::from_secs(10),
            snapshots_max,
            archive,
            membership: hyperscale_fleet::MembershipConfig::new("default", 1),
        });
        let mut gate = Self {
            core,
            ledger: MemoryLedger::default(),
            now: Instant(1),
            sent: Vec::new(),
            unsent: 0,
            closed: Vec::new(),
            disk: BTreeMap::new(),
            hung: None,
        };
        managers.iter().for_each(|(number, worker_shards)| gate.manager(*number, *worker_shards));
        gate
    }

    /// Carries out what a first event asks for: proposals are committed at once, frames kept.
    pub(crate) fn settle(&mut self, mut effects: Effects<Command>) {
        self.sent.clear();
        loop {
            let mut list = Vec::new();
            effects.take(&mut list);
            let mut next = Vec::new();
            for effect in list {
                match effect {
                    Effect::Send { link, range } => self.sent.push((link, effects.frame(range).to_vec())),
                    Effect::Command(Command::Propose(entry)) => {
                        next.push(Local::Committed(self.ledger.commit(entry)));
                    }
                    Effect::Command(Command::Archive(order)) => next.extend(self.order(order)),
                    Effect::Close { link } => self.closed.push(link),
                    Effect::Datagram { .. }
                    | Effect::Dial { .. }
                    | Effect::Refused { .. }
                    | Effect::Command(_) => {}
                }
            }
            effects.clear();
            if next.is_empty() {
                return;
            }
            for local in next {
                self.core.handle(self.now, Event::Local(local), &mut effects);
            }
        }
    }

    /// Does what a disk does.
    fn order(&mut self, order: ArchiveOrder) -> Option<Local> {
        if let Some(hung) = &mut self.hung {
            hung.push(order);
            return None;
        }
        Some(Local::Archive(match order {
            ArchiveOrder::Put { job, bytes } => {
                let record = ArchiveRecord::decode(&bytes).unwrap();
                self.disk.insert(job, bytes);
                ArchiveTold::Kept(Arc::new(record.entry))
            }
            ArchiveOrder::Read { job } => {
                let record = self.disk.get(&job).cloned().ok_or_else(|| "no such file".to_owned());
                ArchiveTold::Read { job, record }
            }
            ArchiveOrder::Drop { jobs } => {
                jobs.iter().for_each(|job| drop(self.disk.remove(job)));
                ArchiveTold::Dropped { jobs }
            }
        }))
    }

    /// A client's handshake, with all that this version can do.
    pub(crate) fn come(&mut self, link: LinkId) {
        let identity = Identity::new(Role::Client, NodeId(2), "client");
        let hello = Hello {
            verdict: Verdict::Welcome,
            role: Role::Client,
            version: identity.version,
            shards: 1,
            shard: ShardId(0),
            in_flight_max: 64,
            features: identity.features,
            node: identity.node,
            boot: 1,
            core_max: 4 << 20,
            idle_timeout_ms: 0,
            retry_after_ms: 0,
            node_version: String::new(),
            fleet: "default".to_owned(),
            text: String::new(),
            name: "client".to_owned(),
            ports: Vec::new(),
            swim_port: 0,
            oob_port: 0,
        };
        let peer = Peer { addr: ([127, 0, 0, 1], 2).into(), hello };
        let mut effects = self.effects();
        self.core.handle(self.now, Event::LinkUp { link, peer: &peer, dial: None }, &mut effects);
        self.settle(effects);
    }

    /// Something that the driver tells.
    pub(crate) fn local(&mut self, local: Local) {
        let mut effects = self.effects();
        self.core.handle(self.now, Event::Local(local), &mut effects);
        self.settle(effects);
    }

    pub(crate) fn tell<M: Encode>(&mut self, link: LinkId, message: &M) {
        self.tell_with(link, Head::request(1), &Extensions::default(), message);
    }

    pub(crate) fn tell_with<M: Encode>(
        &mut self,
        link: LinkId,
        head: Head,
        extensions: &Extensions,
        message: &M,
    ) {
        let (mut bytes, mut effects) = (Vec::new(), self.effects());
        Encoder::default().append_with(&mut bytes, head, extensions, message).unwrap();
        let mut reader = FrameReader::new();
        reader.feed(&bytes);
        let frame = reader.next(&Limits::default()).unwrap().unwrap();
        self.core.handle(self.now, Event::Frame { link, frame }, &mut effects);
        self.settle(effects);
    }

    fn effects(&self) -> Effects<Command> {
        let mut effects = Effects::default();
        effects.set_unsent(CLIENT, self.unsent);
        effects
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut effects = self.effects();
        self.core.handle(self.now, Event::Timer, &mut effects);
        self.settle(effects);
    }

    /// Manager 203 is one of `dc-2`; its link and its node have its number.
    pub(crate) fn manager(&mut self, number: u64, worker_shards: u32) {
        let identity = Identity {
            datacenter: format!("dc-{}", number / 100),
            ..Identity::new(Role::Manager, NodeId(number.into()), format!("m-{number}"))
        };
        self.tell(LinkId(number), &identity.manager_registration(worker_shards));
    }

    /// As long as a job waits, while these managers say that they live.
    pub(crate) fn wait_with(&mut self, managers: &[(u64, u32)]) {
        for _ in 0..2 {
            self.wait(WAIT / 3);
            managers.iter().for_each(|(number, worker_shards)| self.manager(*number, *worker_shards));
        }
        self.wait(WAIT / 3);
    }

    pub(crate) fn submit(&mut self, placement: &str) -> JobId {
        self.submit_over(CLIENT, placement)
    }

    pub(crate) fn submit_over(&mut self, link: LinkId, placement: &str) -> JobId {
        self.submit_as(link, placement, 9)
    }

    /// Under a key of such bytes, which is the job's id.
    pub(crate) fn submit_as(&mut self, link: LinkId, placement: &str, key: u8) -> JobId {
        let plan = PlanText::new(format!(
            "{placement}\n[workflows.w]\nvus = 10\nduration = \"9s\"\nsteps = [{{ get = \"http://h/\" }}]\n"
        ));
        let (plan, plan_sha256) = (plan.text, plan.sha256);
        self.tell(
            link,
            &JobSubmit { plan, plan_sha256, idempotency: [key; 16], follow: true, histograms: false },
        );
        JobId::from_bytes([key; 16])
    }

    pub(crate) fn refuse(&mut self, link: u64, job: JobId) {
        let (job, error) = (job.to_bytes(), "no room".to_owned());
        self.tell(LinkId(link), &JobDispatchAck { job, attempt: 1, accepted: false, dc_token: 0, error });
    }

    pub(crate) fn frames(&self, kind: Kind) -> Vec<(LinkId, RawFrame<'_>)> {
        let read = |(link, bytes): &'_ (LinkId, Vec<u8>)| {
            (*link, RawFrame::read(bytes, &Limits::default()).unwrap().kind())
        };
        let of_kind = self.sent.iter().filter(|sent| read(sent).1 == Some(kind));
        of_kind.map(|(link, bytes)| (*link, RawFrame::read(bytes, &Limits::default()).unwrap())).collect()
    }

    /// Links, datacenters, units and attempts of the dispatches just sent.
    pub(crate) fn dispatched(&self) -> Vec<(u64, String, [u32; 3], u32)> {
        let frames = self.frames(Kind::JobDispatch);
        let row = |(link, frame): (LinkId, RawFrame<'_>)| {
            let told = frame.to_owned::<JobDispatch>(&mut Vec::new()).unwrap();
            let units = [told.unit_from, told.unit_count, told.units];
            (link.0, told.datacenter, units, told.attempt)
        };
        frames.into_iter().map(row).collect()
    }

    /// The result just sent to the client.
    pub(crate) fn result(&self) -> Option<Summary> {
        let (_, frame) = self.frames(Kind::JobFinalResult).into_iter().find(|(link, _)| *link == CLIENT)?;
        let told = frame.to_owned::<JobFinalResult>(&mut Vec::new()).unwrap();
        Some(Summary::from_json(&told.summary).unwrap())
    }
}
