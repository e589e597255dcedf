//! Before and after the load: everybody connected and the jobs running; last figures, results, the report.

use std::time::Duration;

use hyperscale_codec::messages::{JobCancelRequest, JobFinalResult, JobFinalResultAck, RegisterCallback};
use hyperscale_codec::{Head, JobId};
use hyperscale_core::LinkId;

use crate::Target;
use crate::core::{Command, Phase, SaturateCore, SaturateEffects};
use crate::figures::of_all;
use crate::job::Stage;
use crate::open::For;
use crate::report::{BoundRow, KindRow, Report, SCHEMA, Setup, millis};

/// For all results to come.
const END: Duration = Duration::from_secs(60);

impl SaturateCore {
    /// What comes next of the set-up.
    pub(crate) fn go_on(&mut self, effects: &mut SaturateEffects) {
        if !matches!(self.phase, Phase::Preparing { .. }) || !self.is_fleet_known {
            return;
        }
        if self.players.iter().any(|player| player.link.is_none() || !player.ready) {
            return;
        }
        if self.long.is_empty() {
            return self.submit_long(effects);
        }
        let runs = |id: &JobId| self.jobs.get(id).is_some_and(|job| job.stage == Stage::Running);
        if self.long.iter().all(runs) {
            self.subscribe(effects);
            self.phase = Phase::Running;
            self.second = crate::tally::Tally::default();
            effects.command(Command::Ready);
            self.begin_step(effects);
        }
    }

    fn submit_long(&mut self, effects: &mut SaturateEffects) {
        if self.config.target == Target::Manager {
            for _ in 0..self.config.jobs {
                let id = self.new_part(true);
                self.long.push(id);
                self.ask(For::Job(id), effects);
            }
            return;
        }
        let (jobs, managers) = (usize::from(self.config.jobs), usize::from(self.config.managers));
        for nth in 0..jobs * managers {
            let manager = nth % managers.max(1);
            let client = self.client_of(manager, nth / managers.max(1));
            let Some(id) = self.new_job(manager, client, true, self.config.subscribers > 0) else {
                let error = "no job id belongs to the gate's shard; is the gate on its own ring?".to_owned();
                return self.fail(error, effects);
            };
            self.long.push(id);
            self.ask(For::Job(id), effects);
        }
    }

    /// More clients than the one that submitted are pushed each window.
    fn subscribe(&mut self, effects: &mut SaturateEffects) {
        for id in self.long.clone() {
            let Some(manager) = self.jobs.get(&id).map(|job| job.manager) else { continue };
            for nth in 1..usize::from(self.config.subscribers) {
                let client = self.client_of(manager, nth);
                let Some(link) = self.players.get(client).and_then(|player| player.link) else { continue };
                let request =
                    RegisterCallback { job: id.to_bytes(), follow: true, ..RegisterCallback::default() };
                effects.send(link, Head::default().job(id), &request);
            }
        }
    }

    /// What the set-up waited for in vain.
    pub(crate) fn what_lacks(&self) -> String {
        let linked = self.players.iter().filter(|player| player.link.is_some() && player.ready).count();
        let running = self.jobs.values().filter(|job| job.stage == Stage::Running).count();
        let (word, addr) = (self.config.target.word(), self.config.addr);
        let (jobs, hint) = match self.config.target {
            Target::Gate => (
                u32::from(self.config.managers) * u32::from(self.config.jobs),
                "is it reachable, and are its limits for job_submit high enough?".to_owned(),
            ),
            Target::Manager => {
                let gate = self.listening.map_or_else(String::new, |addr| addr.to_string());
                (u32::from(self.config.jobs), format!("does it reach the gate that is played, at {gate}?"))
            }
        };
        format!(
            "the set-up is not done after a minute: {linked} of {} links are up and registered, {running} of {jobs} jobs \
             run at {word} {addr}; {hint}",
            self.players.len(),
        )
    }

    /// Ends in order, with what there is.
    pub(crate) fn stop(&mut self, effects: &mut SaturateEffects) {
        self.stopping = true;
        match self.phase {
            Phase::Running | Phase::Resting { .. } => {
                if let Some(step) = self.step.take() {
                    self.total.merge(&step.tally);
                }
                self.begin_ending(effects);
            }
            Phase::Preparing { .. } => self.begin_ending(effects),
            Phase::Idle => self.finish(effects),
            Phase::Ending { .. } | Phase::Done => {}
        }
    }

    /// No more load: last figures of every job.
    pub(crate) fn begin_ending(&mut self, effects: &mut SaturateEffects) {
        self.phase = Phase::Ending { until: self.now + END };
        self.step = None;
        effects.command(Command::Ending);
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in jobs {
            let Some(job) = self.jobs.get(&id) else { continue };
            match (job.stage, job.followed) {
                (Stage::Running, true) => self.end(id, effects),
                (Stage::Running | Stage::Ending, false) => self.ask(For::Result(id), effects),
                (Stage::New | Stage::Ending, _) => {}
            }
        }
        self.finish_if_ended(effects);
    }

    /// Ends one job.
    pub(crate) fn end(&mut self, id: JobId, effects: &mut SaturateEffects) {
        match self.config.target {
            Target::Gate => self.end_job(id, effects),
            Target::Manager => self.end_shares(id, effects),
        }
    }

    /// Says that everybody lives who must.
    pub(crate) fn beat(&mut self, effects: &mut SaturateEffects) {
        match self.config.target {
            Target::Gate => self.manager_beats(effects),
            Target::Manager => {
                self.gate_beat(effects);
                self.worker_beats(effects);
            }
        }
    }

    pub(crate) fn on_result(&mut self, link: LinkId, result: &JobFinalResult, effects: &mut SaturateEffects) {
        let id = JobId::from_bytes(result.job);
        effects.send(link, Head::default().job(id), &JobFinalResultAck { job: result.job });
        let Some(job) = self.jobs.remove(&id) else { return };
        let all = of_all(&job.windows, self.config.sources());
        let (sent, latency) = (self.figures.counts(&all), self.figures.latency(&all));
        self.exactness.check(id, result, sent, &latency);
        if job.is_long {
            self.exactness.requests_viewed += job.viewed.unwrap_or(0);
            let told = of_all(&job.in_updates, self.config.sources());
            self.exactness.requests_in_windows += self.figures.counts(&told).requests;
        } else {
            self.last_ended = Some(id);
        }
        self.short.retain(|short| *short != id);
        self.finish_if_ended(effects);
    }

    pub(crate) fn finish_if_ended(&mut self, effects: &mut SaturateEffects) {
        if matches!(self.phase, Phase::Ending { .. }) && self.jobs.is_empty() {
            self.finish(effects);
        }
    }

    /// It cannot go on.
    pub(crate) fn fail(&mut self, error: String, effects: &mut SaturateEffects) {
        if self.is_done() {
            return;
        }
        self.error = error;
        if let Some(step) = self.step.take() {
            self.total.merge(&step.tally);
        }
        // As far as the node can still be told.
        for (id, job) in &self.jobs {
            let link = self.players.get(job.client).and_then(|player| player.link);
            let reason = "saturate ended early".to_owned();
            let fence_token = if self.config.target == Target::Manager { job.token } else { 0 };
            let request = JobCancelRequest {
                job_id: id.to_bytes(),
                fence_token,
                reason,
                ..JobCancelRequest::default()
            };
            if let Some(link) = link {
                effects.send(link, Head::default().job(*id), &request);
            }
        }
        self.finish(effects);
    }

    /// Tells the result.
    pub(crate) fn finish(&mut self, effects: &mut SaturateEffects) {
        self.phase = Phase::Done;
        for (id, job) in std::mem::take(&mut self.jobs) {
            let why = match job.stage {
                Stage::New if self.config.target == Target::Manager => "it was never given to the workers",
                Stage::New => "it was submitted and never given to its manager",
                Stage::Running => "it was not ended",
                Stage::Ending => "its last figures were sent, and no result came",
            };
            let sent = self.sent_of(&job);
            self.exactness.miss(id, sent, why);
        }
        self.exactness.settle();
        let report = self.report();
        effects.command(Command::Done(Box::new(report)));
    }

    fn report(&self) -> Report {
        let config = &self.config;
        let knee = self.knee.as_ref().map(|knee| knee.found());
        Report {
            schema: SCHEMA,
            target: config.target.word(),
            gate: config.addr.to_string(),
            gate_version: self.node_version.clone(),
            gate_shards: self.node_shards,
            verdict: self.verdict(),
            relinks: self.relinks,
            error: self.error.clone(),
            setup: Setup {
                load: config.load.word(),
                mix: config.mix.to_string(),
                managers: config.managers,
                clients: config.clients,
                workers: if config.target == Target::Manager { config.workers } else { 0 },
                jobs: u32::from(config.jobs) * u32::from(config.managers.max(1)),
                sources_per_job: config.sources(),
                steps_per_job: config.steps,
                buckets: config.buckets,
                subscribers: config.subscribers,
                obeys_levels: config.obeys,
            },
            bound: BoundRow { p99_ms: millis(config.bound.p99), goodput: config.bound.goodput },
            knee: knee.map(Into::into),
            exactness: self.exactness.clone(),
            kinds: self
                .total
                .ops()
                .filter(|(_, op)| op.due > 0)
                .map(|(op, tally)| KindRow::of(op, config.target, tally))
                .collect(),
            steps: self.steps.clone(),
            seconds: self.seconds.clone(),
        }
    }

    fn verdict(&self) -> &'static str {
        if !self.error.is_empty() {
            return "failed";
        }
        if self.stopping {
            return "interrupted";
        }
        let Some(knee) = self.knee.as_ref().map(|knee| knee.found()) else {
            return match self.steps.last() {
                Some(step) if step.holds => "held",
                Some(step) if step.why == "driver" => "driver_limited",
                Some(_) | None => "not_held",
            };
        };
        let broke = |step: &&crate::StepRow| step.rate_per_s == knee.above && !step.holds;
        match self.steps.iter().filter(broke).any(|step| step.why == "driver") {
            true => "driver_limited",
            false if knee.rate > 0.0 => "knee",
            false => "no_knee",
        }
    }
}
