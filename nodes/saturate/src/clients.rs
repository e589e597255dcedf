//! The clients that are played, and what every request has in common: its number, its answer, its refusal.

use std::time::Duration;

use hyperscale_codec::messages::{
    ArchivedJobAck, ArchivedJobStatusPush, ArchivedNodesResponse, ArchivedRegisterCallbackResponse,
    JobCancelRequest, JobListRequest, JobStatusRequest, NodeState, NodesRequest, RegisterCallback,
};
use hyperscale_codec::{Head, JobId, NodeId, Role};
use hyperscale_core::{Instant, LinkId};
use hyperscale_jobs::Member;
use rand::Rng as _;

use crate::core::{Later, Phase, SaturateCore, SaturateEffects};
use crate::job::{Job, Stage, submit};
use crate::open::{For, Open};
use crate::{Op, Target};

/// Ids drawn for one job until the ring gives it to the right shard.
const DRAWS_MAX: u32 = 100_000;
/// Before a refused request of the set-up is said again, where the gate does not say when.
const AGAIN: Duration = Duration::from_millis(100);

impl SaturateCore {
    /// Asks what is no load: to set up, and to end.
    pub(crate) fn ask(&mut self, what: For, effects: &mut SaturateEffects) {
        let (player, job) = match what {
            For::Load(_) => return,
            For::Fleet => (self.first_client(), JobId(0)),
            For::Registration(index) => (index, JobId(0)),
            For::Share(id, index) => (index, id),
            For::Job(id) | For::Result(id) => (self.jobs.get(&id).map_or(usize::MAX, |job| job.client), id),
            For::Figures(id) | For::End(id) => (self.jobs.get(&id).map_or(usize::MAX, |job| job.manager), id),
        };
        let Some(link) = self.players.get(player).and_then(|player| player.link) else { return };
        let open = Open { what, link, job, due: self.now, sent: self.now, step: 0, does: 1 };
        let Some(number) = self.open.insert(open) else { return self.after(AGAIN, Later::Ask(what)) };
        let head = Head::request(number);
        match what {
            For::Load(_) => {}
            For::Fleet => {
                effects.send(link, head, &NodesRequest { cursor: String::new(), limit: 0 });
            }
            For::Registration(index) => {
                let identity = self.players.get(index).map(|player| &player.identity);
                if let Some(identity) = identity.filter(|identity| identity.role == Role::Worker) {
                    effects.send(link, head, &identity.worker_registration(self.capacity()));
                } else if let Some(identity) = identity {
                    effects.send(link, head, &identity.manager_registration(1));
                }
            }
            For::Share(id, index) => self.send_end((id, index), number, link, effects),
            For::Job(id) if self.config.target == Target::Manager => {
                self.send_dispatch(id, number, link, effects);
            }
            For::Job(id) => {
                if let Some(job) = self.jobs.get(&id) {
                    effects.send(link, head, &job.submit);
                }
            }
            For::Result(id) => {
                let request =
                    RegisterCallback { job: id.to_bytes(), follow: true, ..RegisterCallback::default() };
                effects.send(link, head.job(id), &request);
            }
            For::Figures(id) => self.send_snapshot(id, number, link, true, effects),
            For::End(id) => {
                if let Some(told) = self.jobs.get(&id).map(|job| self.dc_final(id, job)) {
                    effects.send(link, head.job(id), &told);
                }
            }
        }
    }

    /// Who is in the fleet: who owns which job.
    pub(crate) fn on_nodes(
        &mut self,
        number: u32,
        page: &ArchivedNodesResponse,
        effects: &mut SaturateEffects,
    ) {
        if self.answered(number, effects) != Some(For::Fleet) {
            return;
        }
        self.is_fleet_known = true;
        if self.config.target == Target::Manager {
            return self.on_workers(page, effects);
        }
        for node in page.nodes.iter().filter(|node| node.role == Role::Gate as u8) {
            if NodeState::from_wire(node.state) == NodeState::Alive {
                let shards = u16::try_from(node.shards.to_native()).unwrap_or(1).max(1);
                self.ring.add_node(NodeId::from_bytes(node.node), shards);
            }
        }
        self.ring.add_node(self.node, self.node_shards);
        self.go_on(effects);
    }

    /// A job of this manager's, that the ring gives to the shard where the manager is.
    pub(crate) fn new_job(
        &mut self,
        manager: usize,
        client: usize,
        is_long: bool,
        follow: bool,
    ) -> Option<JobId> {
        let player = self.players.get(manager)?;
        let member = Member { node: self.node, shard: player.shard };
        let datacenter = player.identity.datacenter.clone();
        for _ in 0..DRAWS_MAX {
            let id = JobId(self.rng.random());
            if self.ring.owner(id) == Some(member) {
                let plan = submit(id, &datacenter, self.config.steps, self.config.sources(), follow);
                self.jobs.insert(id, Job::new(id, manager, client, is_long, plan));
                return Some(id);
            }
        }
        None
    }

    pub(crate) fn on_job_ack(&mut self, number: u32, ack: &ArchivedJobAck, effects: &mut SaturateEffects) {
        let id = JobId::from_bytes(ack.job);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.followed = ack.following;
        }
        self.answered(number, effects);
    }

    pub(crate) fn on_called_back(
        &mut self,
        number: u32,
        answer: &ArchivedRegisterCallbackResponse,
        effects: &mut SaturateEffects,
    ) {
        let Some(For::Result(id)) = self.answered(number, effects) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !answer.success {
            tracing::warn!(job = %id, owner = answer.owner_addr.as_str(), "a job is not where it should be");
            return;
        }
        job.followed = true;
        // What the gate showed of it, before the last figures put everything right.
        if job.stage == Stage::Running {
            job.viewed = job.viewed.max(Some(answer.requests.to_native()));
            self.end_job(id, effects);
        }
    }

    pub(crate) fn on_push(&mut self, push: &ArchivedJobStatusPush) {
        self.second.pushes += 1;
        if let Some(step) = &mut self.step {
            step.tally.pushes += 1;
        }
        if let Some(job) = self.jobs.get_mut(&JobId::from_bytes(push.job)) {
            job.viewed = job.viewed.max(Some(push.total_requests.to_native()));
        }
    }

    /// Says one request.
    pub(crate) fn say(
        &mut self,
        op: Op,
        number: u32,
        link: LinkId,
        job: JobId,
        effects: &mut SaturateEffects,
    ) {
        let (head, id) = (Head::request(number), job.to_bytes());
        match op {
            Op::Status => effects.send(link, head.job(job), &JobStatusRequest { job: id }),
            Op::Nodes => effects.send(link, head, &NodesRequest { cursor: String::new(), limit: 100 }),
            Op::List => effects.send(link, head, &JobListRequest { after: [0; 16], limit: 100 }),
            Op::Reconnect => {
                let request = RegisterCallback { job: id, ..RegisterCallback::default() };
                effects.send(link, head.job(job), &request);
            }
            Op::Submit => {
                if let Some(job) = self.jobs.get(&job) {
                    effects.send(link, head, &job.submit);
                }
            }
            Op::Cancel => {
                let reason = "saturate".to_owned();
                let timestamp = self.config.wall.unix_ms(self.now);
                // A client has no token; a gate's is checked, and that of a job that has ended was no higher.
                let known = self.jobs.get_mut(&job).filter(|_| self.config.target == Target::Manager);
                let fence_token = known.map_or(self.last_token, |job| {
                    job.cancelled = true;
                    job.token
                });
                let request = JobCancelRequest {
                    job_id: id,
                    timestamp,
                    fence_token,
                    reason,
                    ..JobCancelRequest::default()
                };
                effects.send(link, head.job(job), &request);
            }
            Op::Stats => match self.config.target {
                Target::Gate => self.send_update(job, number, link, effects),
                Target::Manager => self.send_share_update(job, number, link, effects),
            },
            Op::Snapshot => self.say_snapshot(job, number, link, effects),
            Op::Dispatch => self.send_dispatch(job, number, link, effects),
            Op::Heartbeat => {}
        }
    }

    /// A snapshot is of one window more than the last.
    fn say_snapshot(&mut self, job: JobId, number: u32, link: LinkId, effects: &mut SaturateEffects) {
        let now = self.now;
        match (self.config.target, self.player_of(link).map(|(index, _)| index)) {
            (Target::Manager, Some(index)) => {
                let share = self.jobs.get_mut(&job).and_then(|job| job.shares.get_mut(&index));
                share.into_iter().for_each(|share| share.record(now));
                self.send_totals((job, index), (number, link), false, effects);
            }
            (Target::Gate | Target::Manager, _) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.tell_pending();
                }
                self.send_snapshot(job, number, link, false, effects);
            }
        }
    }

    /// The request of this number, which is over.
    pub(crate) fn take(&mut self, number: u32) -> Option<Open> {
        let open = self.open.take(number)?;
        self.let_go(&open);
        Some(open)
    }

    pub(crate) fn let_go(&mut self, open: &Open) {
        if matches!(open.what, For::Load(_)) {
            self.load_open = self.load_open.saturating_sub(1);
            let player = self.of_link.get(&open.link).and_then(|index| self.players.get_mut(*index));
            if let Some(player) = player {
                player.open = player.open.saturating_sub(1);
            }
        }
    }

    /// A request was answered as asked; what it was for.
    pub(crate) fn answered(&mut self, number: u32, effects: &mut SaturateEffects) -> Option<For> {
        let open = self.take(number)?;
        if let For::Load(op) = open.what {
            let now = self.now;
            let (latency, service) = (now.nanos_since(open.due), now.nanos_since(open.sent));
            let updates = self.updates_of(op);
            self.count(open.step, op, |tally| {
                tally.op(op).answered += 1;
                tally.op(op).updates += updates;
                tally.op(op).told += u64::from(open.does);
                tally.op(op).latency.record(latency);
                tally.service.record(service);
            });
            self.fire_after(None, effects);
        } else if let For::Figures(id) = open.what {
            self.ask(For::End(id), effects);
        }
        Some(open.what)
    }

    /// A request was refused, or not answered.
    pub(crate) fn refused(
        &mut self,
        number: u32,
        reason: &'static str,
        wait: Duration,
        effects: &mut SaturateEffects,
    ) {
        let Some(open) = self.take(number) else { return };
        self.on_refused(&open, reason, wait, effects);
    }

    pub(crate) fn on_refused(
        &mut self,
        open: &Open,
        reason: &'static str,
        wait: Duration,
        effects: &mut SaturateEffects,
    ) {
        let For::Load(op) = open.what else {
            let is_over = matches!(self.phase, Phase::Done | Phase::Idle);
            if !is_over {
                self.after(wait.max(AGAIN), Later::Ask(open.what));
            }
            return;
        };
        self.count(open.step, op, |tally| match reason {
            UNANSWERED => tally.op(op).unanswered += 1,
            _ => *tally.op(op).refused.entry(reason).or_default() += 1,
        });
        if matches!(op, Op::Submit | Op::Dispatch) && reason != UNANSWERED {
            self.jobs.remove(&open.job);
        }
        self.fire_after(Some(wait), effects);
    }

    /// Counts a receipt by the level that it tells.
    pub(crate) fn count_level(&mut self, level: u8) {
        let step = self.step.as_mut().map(|step| &mut step.tally);
        for tally in [step, Some(&mut self.second)].into_iter().flatten() {
            if let Some(count) = tally.levels.get_mut(usize::from(level)) {
                *count += 1;
            }
        }
    }

    /// Counts in the step that the request belongs to, and in this second.
    pub(crate) fn count(&mut self, step: u32, op: Op, mut count: impl FnMut(&mut crate::tally::Tally)) {
        debug_assert!(op.index() < crate::op::OPS);
        if step > 0
            && let Some(current) = self.step.as_mut().filter(|current| current.number == step)
        {
            count(&mut current.tally);
        }
        count(&mut self.second);
    }

    /// Requests that wait for too long have no answer.
    pub(crate) fn give_up_unanswered(&mut self, before: Instant, effects: &mut SaturateEffects) {
        let over = |open: &Open| matches!(open.what, For::Load(_)) && open.sent <= before;
        for open in self.open.take_where(over) {
            self.let_go(&open);
            self.on_refused(&open, UNANSWERED, Duration::ZERO, effects);
        }
    }
}

/// The reason of what nobody answered.
pub(crate) const UNANSWERED: &str = "unanswered";
