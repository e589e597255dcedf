//! What happens in a story: who submits what, who falls, who is cut off, who comes back.

use std::time::Duration;

use hyperscale_client::{Local as Wanted, Notice, Question};
use hyperscale_codec::messages::{JobStatusResponse, JobSubmit};
use hyperscale_codec::{JobId, Kind, Limits, RawFrame, Role};
use hyperscale_core::{Effects, Event, Instant};
use hyperscale_gate::GateCore;
use hyperscale_jobs::ConsistentHashRing;
use hyperscale_ledger::MemoryLedger;
use hyperscale_manager::ManagerCore;
use hyperscale_plan::PlanText;
use hyperscale_report::Summary;
use hyperscale_worker::WorkerCore;

use super::node::{Asked, Wish, wishes};
use super::shape::{Shape, job_id, node_id};
use super::{Brain, Fleet, Local, Place};
use crate::shards::LoadShard;

fn submission(job: JobId, plan: &str) -> JobSubmit {
    let text = PlanText::new(plan.to_owned());
    JobSubmit {
        plan: text.text,
        plan_sha256: text.sha256,
        idempotency: job.to_bytes(),
        follow: true,
        histograms: true,
    }
}

/// One gate, one manager, one client.
impl Fleet {
    /// Workers have `shards`, `shards + 1`, ... shards, so that no two are alike.
    pub(crate) fn new(workers: usize, shards: u16) -> Self {
        let datacenters = vec![("local", 1, workers)];
        Self::start(Shape { datacenters, shards, uneven: true, ..Shape::default() })
    }

    /// The same with the production engine on each shard, before a target in virtual time.
    pub(crate) fn with_engines(workers: usize, shards: u16) -> Self {
        let datacenters = vec![("local", 1, workers)];
        Self::start(Shape { datacenters, shards, uneven: true, engines: true, ..Shape::default() })
    }

    pub(crate) fn submit(&mut self, plan: &str) {
        self.submit_by("client-0", job_id(9), plan);
    }

    pub(crate) fn cancel(&mut self) {
        let reason = "the test says so".to_owned();
        self.want("client-0", Wanted::Cancel { reason });
    }

    pub(crate) fn notices(&self) -> &[Notice] {
        self.told_to("client-0")
    }

    /// A worker takes no more work, and says so.
    pub(crate) fn drain_worker(&mut self, worker: usize) {
        self.drain(&format!("worker-{worker}"));
    }

    pub(crate) fn crash_worker(&mut self, worker: usize) {
        self.crash(&format!("worker-{worker}"));
    }

    /// Cuts a worker's connections; it goes on, and dials again.
    pub(crate) fn cut_worker(&mut self, worker: usize) {
        self.cut(&format!("worker-{worker}"), "manager-0", Duration::ZERO);
    }

    pub(crate) fn recorded_by(&self, worker: usize) -> u64 {
        self.nodes[self.worker(worker)].recorded()
    }

    /// The manager knows at once that a worker takes no more work.
    pub(crate) fn move_shares_of(&mut self, worker: usize) {
        let node = node_id(Role::Worker, worker);
        let at = self.place("manager-0");
        let Some(Brain::Manager(core)) = &mut self.nodes[at].brain else { panic!("no manager runs") };
        let act = |core: &mut ManagerCore, out: &mut Effects<_>| core.move_shares_of(node, out);
        let wishes = wishes(&mut **core, Asked::Manager, act);
        self.carry_out_and_settle(at, wishes);
    }

    pub(crate) fn run_until_finished(&mut self) {
        self.run_until_finished_for("client-0");
    }
}

/// Any fleet: nodes by their names.
impl Fleet {
    /// The first shard of a node.
    pub(crate) fn place(&self, name: &str) -> Place {
        self.nodes.iter().position(|node| node.identity.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// All shards of a node.
    pub(crate) fn places(&self, name: &str) -> Vec<Place> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].identity.name == name).collect()
    }

    pub(crate) fn worker(&self, worker: usize) -> Place {
        self.place(&format!("worker-{worker}"))
    }

    pub(crate) fn node_id(&self, name: &str) -> hyperscale_codec::NodeId {
        self.nodes[self.place(name)].identity.node
    }

    pub(crate) fn role_of(&self, at: Place) -> Role {
        self.nodes[at].identity.role
    }

    pub(crate) fn role(&self, name: &str) -> Role {
        self.nodes[self.place(name)].identity.role
    }

    pub(crate) fn names(&self, role: Role) -> Vec<String> {
        let all = self.nodes.iter().filter(|node| node.identity.role == role && node.shard.0 == 0);
        all.map(|node| node.identity.name.clone()).collect()
    }

    pub(crate) fn gate(&mut self, name: &str) -> &mut GateCore {
        let at = self.place(name);
        self.gate_at(at)
    }

    pub(crate) fn gate_at(&mut self, at: Place) -> &mut GateCore {
        match &mut self.nodes[at].brain {
            Some(Brain::Gate(core)) => core,
            Some(_) | None => panic!("no gate runs there"),
        }
    }

    pub(crate) fn manager_core(&mut self, name: &str) -> &mut ManagerCore {
        let at = self.place(name);
        match &mut self.nodes[at].brain {
            Some(Brain::Manager(core)) => core,
            Some(_) | None => panic!("{name} does not run"),
        }
    }

    pub(crate) fn worker_core(&mut self, name: &str) -> &mut WorkerCore {
        let at = self.place(name);
        match &mut self.nodes[at].brain {
            Some(Brain::Worker(core)) => core,
            Some(_) | None => panic!("{name} does not run"),
        }
    }

    pub(crate) fn client_core(&mut self, name: &str) -> &mut hyperscale_client::ClientCore {
        let at = self.place(name);
        match &mut self.nodes[at].brain {
            Some(Brain::Client(core)) => core,
            Some(_) | None => panic!("{name} does not run"),
        }
    }

    pub(crate) fn runs(&self, name: &str) -> bool {
        self.nodes[self.place(name)].brain.is_some()
    }

    pub(crate) fn drained(&self, name: &str) -> bool {
        self.places(name).iter().all(|at| self.nodes[*at].drained)
    }

    /// Why a node was not taken on.
    pub(crate) fn refused(&self, name: &str) -> Option<&str> {
        self.places(name).into_iter().find_map(|at| self.nodes[at].refused.as_deref())
    }

    /// Shares of a worker that have not ended.
    pub(crate) fn live_shares(&mut self, worker: &str) -> usize {
        self.worker_core(worker).live_shares()
    }

    /// The gate that has a job.
    pub(crate) fn owner(&self, job: JobId) -> Option<String> {
        let has = |brain: &Option<Brain>| matches!(brain, Some(Brain::Gate(core)) if core.jobs().any(|id| id == job));
        self.nodes.iter().find(|node| has(&node.brain)).map(|node| node.identity.name.clone())
    }

    /// The first job that the ring of so many gates gives to gate number `owner`, for each pair.
    pub(crate) fn job_owned(&self, owners: &[(usize, usize)]) -> JobId {
        let ring = |gates: usize| {
            let mut ring = ConsistentHashRing::default();
            (0..gates).for_each(|n| ring.add_node(node_id(Role::Gate, n), self.shape.gate_shards));
            ring
        };
        let rings: Vec<_> =
            owners.iter().map(|(gates, owner)| (ring(*gates), node_id(Role::Gate, *owner))).collect();
        let owned = |job: &JobId| {
            rings.iter().all(|(ring, gate)| ring.owner(*job).is_some_and(|owner| owner.node == *gate))
        };
        (100..).map(job_id).find(owned).unwrap()
    }

    pub(crate) fn want(&mut self, client: &str, wanted: Wanted) {
        let at = self.place(client);
        self.tell(at, Local::Client(wanted));
    }

    pub(crate) fn submit_by(&mut self, client: &str, job: JobId, plan: &str) {
        self.want(client, Wanted::Submit(Box::new(submission(job, plan))));
    }

    pub(crate) fn told_to(&self, client: &str) -> &[Notice] {
        &self.nodes[self.place(client)].notices
    }

    /// Asks how a job stands, and waits for the answer.
    pub(crate) fn status(&mut self, client: &str, job: JobId) -> Result<JobStatusResponse, String> {
        self.want(client, Wanted::Ask(Question::Status { job }));
        self.run_for_ms(1_000);
        match self.told_to(client).last() {
            Some(Notice::Status(status)) => Ok((**status).clone()),
            other => Err(format!("{other:?}")),
        }
    }

    /// Kinds of messages that a node sent, with repeats.
    pub(crate) fn sent_by(&self, name: &str) -> impl Iterator<Item = Kind> + '_ {
        let places = self.places(name);
        self.told.iter().filter(move |(from, _)| places.contains(from)).map(|(_, kind)| *kind)
    }

    pub(crate) fn drain(&mut self, name: &str) {
        for at in self.places(name) {
            let drain = self.nodes[at].drains();
            self.tell(at, drain);
        }
        // Who has nothing left goes at once.
        for at in std::mem::take(&mut self.leaving) {
            self.stop(at);
        }
    }

    pub(crate) fn crash(&mut self, name: &str) {
        self.places(name).into_iter().for_each(|at| self.stop(at));
    }

    /// Starts a node that does not run, with its old id and a higher boot number.
    pub(crate) fn restart(&mut self, name: &str) {
        for at in self.places(name) {
            assert!(self.nodes[at].brain.is_none(), "{name} still runs");
            let loads = u16::try_from(self.nodes[at].load.len()).unwrap();
            let fresh = (0..loads).map(|shard| self.shape.load(hyperscale_codec::ShardId(shard))).collect();
            let node = &mut self.nodes[at];
            node.recorded_before = node.recorded();
            (node.load, node.drained, node.refused) = (fresh, false, None);
            node.identity.boot += 1;
            node.ledger = MemoryLedger::starting_at(node.identity.boot << 32);
            self.boot(at);
        }
    }

    /// The same under a new id, as a node without a data directory does.
    pub(crate) fn restart_as_new(&mut self, name: &str) {
        for at in self.places(name) {
            let identity = &mut self.nodes[at].identity;
            (identity.node.0, identity.boot) = (identity.node.0 + (1 << 32), 0);
        }
        self.restart(name);
    }

    /// One more node joins; its name says its role and number.
    pub(crate) fn add(&mut self, role: Role, datacenter: &str) -> String {
        let n = self.names(role).len();
        let name = format!("{role}-{n}");
        self.shape.gates += usize::from(role == Role::Gate);
        let shards = if role == Role::Gate { self.shape.gate_shards } else { 1 };
        for shard in 0..shards {
            self.nodes.push(self.shape.node(role, n, datacenter, shard));
            self.due_of.push(None);
        }
        for at in self.places(&name) {
            self.boot(at);
        }
        name
    }

    /// The same under a name that may be in use.
    pub(crate) fn add_named(&mut self, role: Role, datacenter: &str, name: &str) -> Place {
        let n = self.names(role).len();
        let mut node = self.shape.node(role, n, datacenter, 0);
        name.clone_into(&mut node.identity.name);
        self.nodes.push(node);
        self.due_of.push(None);
        let at = self.nodes.len() - 1;
        self.boot(at);
        at
    }

    pub(crate) fn refusal_at(&self, at: Place) -> Option<&str> {
        self.nodes[at].refused.as_deref()
    }

    pub(crate) fn address(&self, name: &str) -> String {
        self.nodes[self.place(name)].identity.addr_text()
    }

    /// A node gets these bytes from another; what it wants done, which nobody does.
    pub(crate) fn receive(&mut self, at: Place, from: Place, bytes: &[u8]) -> Vec<Wish> {
        let link = self.network.link(at, from).unwrap();
        let frame = RawFrame::read(bytes, &Limits::default()).unwrap();
        let now = self.local_now(at);
        self.nodes[at].happen(now, Event::Frame { link, frame })
    }

    /// No connection between two nodes for so long.
    pub(crate) fn cut(&mut self, a: &str, b: &str, lasts: Duration) {
        for one in self.places(a) {
            for other in self.places(b) {
                self.network.cut(one, other, lasts);
            }
        }
    }

    /// No connection between a node and any other for so long.
    pub(crate) fn cut_off(&mut self, name: &str, lasts: Duration) {
        let own = self.places(name);
        for other in (0..self.nodes.len()).filter(|at| !own.contains(at)) {
            own.iter().for_each(|at| self.network.cut(*at, other, lasts));
        }
    }

    /// From now on every shard's times fill its histograms.
    pub(crate) fn spread_times(&mut self) {
        for load in self.nodes.iter_mut().flat_map(|node| &mut node.load) {
            if let LoadShard::Fake(fake) = load {
                fake.spread = true;
            }
        }
    }

    /// From now on a worker's load shards stand still, or go on; the worker itself answers.
    pub(crate) fn freeze_load_of(&mut self, worker: usize, frozen: bool) {
        let at = self.worker(worker);
        for load in &mut self.nodes[at].load {
            let LoadShard::Fake(fake) = load else { panic!("an engine cannot stand still") };
            fake.frozen = frozen;
        }
        self.refresh(at);
    }

    /// From now on nothing of a share is recorded in its first window.
    pub(crate) fn come_late(&mut self) {
        for load in self.nodes.iter_mut().flat_map(|node| &mut node.load) {
            if let LoadShard::Fake(fake) = load {
                fake.comes_late = true;
            }
        }
    }

    /// When the load of a worker's first job started, in the world's time.
    pub(crate) fn load_started(&self, worker: usize) -> Option<Instant> {
        let node = &self.nodes[self.worker(worker)];
        let local = node.load.iter().find_map(|load| match load {
            LoadShard::Fake(fake) => fake.job_start(),
            LoadShard::Engine(_) => None,
        })?;
        let ago = node.life.local(self.network.now).since(local);
        Some(Instant(self.network.now.since(Instant::ZERO + ago).as_nanos().try_into().unwrap()))
    }

    /// Requests that all shards recorded.
    pub(crate) fn recorded(&self) -> u64 {
        self.nodes.iter().map(super::Node::recorded).sum()
    }

    /// Whether a worker's shards were told to prepare something.
    pub(crate) fn dispatched(&self, worker: usize) -> bool {
        let mut loads = self.nodes[self.worker(worker)].load.iter();
        loads.any(|load| matches!(load, LoadShard::Engine(engine) if engine.has_orders()))
    }

    /// Runs until something holds.
    pub(crate) fn run_until(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) {
        let end = self.network.now + Duration::from_secs(60);
        while !holds(self) {
            assert!(self.step(end), "not within 60 s: {what}");
        }
    }

    pub(crate) fn run_until_finished_for(&mut self, client: &str) {
        let end = self.network.now + Duration::from_secs(120);
        while !self.told_to(client).iter().any(|notice| matches!(notice, Notice::Finished(_))) {
            let notices = self.told_to(client);
            let failed = notices.iter().find(|notice| matches!(notice, Notice::Failed { .. }));
            assert!(failed.is_none(), "{failed:?}");
            assert!(self.step(end), "nothing is left to happen, and the job has not ended");
        }
        // Acknowledgements settle; nothing new is told.
        self.run_for_ms(1_000);
    }

    /// The one final result that a client was told.
    pub(crate) fn summary_for(&self, client: &str) -> Summary {
        let finished = self.told_to(client).iter().filter_map(|notice| match notice {
            Notice::Finished(result) => Some(result),
            _ => None,
        });
        let results: Vec<_> = finished.collect();
        assert_eq!(results.len(), 1, "each end is told once: {:?}", self.told_to(client).last());
        let summary = Summary::from_json(&results[0].summary).unwrap();
        assert_eq!(
            summary.status,
            hyperscale_codec::messages::JobState::from_wire(results[0].outcome).as_str()
        );
        crate::assert_adds_up(&summary);
        summary
    }
}
