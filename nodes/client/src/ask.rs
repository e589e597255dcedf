//! One question to the fleet, one answer.

use hyperscale_codec::messages::{
    JobCancelRequest, JobEntry, JobListRequest, JobListResponse, JobStatusRequest, NodeEntry, NodeWhyRequest,
    NodeWhyResponse, NodesRequest, NodesResponse, StatsEntry, StatsQuery, StatsResponse,
};
use hyperscale_codec::{Encode, Head, JobId};
use hyperscale_core::LinkId;
use hyperscale_fleet::Asking;

use crate::core::{CANCEL, ClientCore, ClientEffects, Goal, Notice, QUESTION, head};

/// What the user wants to know, or wants done once.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// How does this job stand?
    Status { job: JobId },
    /// Stop this job.
    Cancel { job: JobId, reason: String },
    /// Who is in the fleet?
    Nodes {
        /// Rows that came so far; empty at first.
        so_far: Vec<NodeEntry>,
    },
    /// Which jobs are there?
    Jobs {
        /// Rows that came so far, and gates that did not tell; empty at first.
        so_far: Vec<JobEntry>,
        missing: Vec<String>,
    },
    /// Why is the node of this name judged as it is?
    Why { name: String },
    /// What was recorded in a job's windows?
    Stats(Box<Windows>),
}

/// Which windows are asked for, and what came of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    pub job: JobId,
    /// Of one tier, by its number; 0: of all.
    pub tier: u8,
    pub from: u32,
    pub to: u32,
    /// A row a workflow, instead of one for all.
    pub by_workflow: bool,
    /// Rows that came so far; empty at first.
    pub so_far: Vec<StatsEntry>,
    /// The window that is asked for next; `from` at first.
    pub next: u32,
    /// Times that all was asked for again because the windows moved on meanwhile; 0 at first.
    pub again: u32,
}

/// Windows that move on between two pages so often are not read to their end.
const AGAIN_MAX: u32 = 5;

impl Windows {
    fn query(&self) -> StatsQuery {
        StatsQuery {
            job: self.job.to_bytes(),
            tier: self.tier,
            from: self.next,
            to: self.to,
            by_workflow: self.by_workflow,
            limit: 0,
        }
    }

    pub(crate) fn start_over(&mut self) {
        self.so_far.clear();
        self.next = self.from;
    }
}

impl Question {
    pub(crate) fn send(&self, link: LinkId, asking: &Asking, effects: &mut ClientEffects) {
        let extensions = &asking.extensions;
        match self {
            Self::Status { job } => {
                let request = JobStatusRequest { job: job.to_bytes() };
                effects.send_with(link, head(QUESTION).job(*job), extensions, &request);
            }
            Self::Cancel { job, reason } => {
                let request = JobCancelRequest {
                    job_id: job.to_bytes(),
                    requester_id: [0; 16],
                    timestamp: 0,
                    fence_token: 0,
                    reason: reason.clone(),
                    ..JobCancelRequest::default()
                };
                effects.send_with(link, head(CANCEL).job(*job), extensions, &request);
            }
            Self::Stats(windows) => {
                effects.send_with(link, head(QUESTION).job(windows.job), extensions, &windows.query());
            }
            Self::Why { name } => {
                effects.send_with(link, head(QUESTION), extensions, &NodeWhyRequest { name: name.clone() });
            }
            Self::Jobs { .. } => {
                let first = JobListRequest { after: [0; 16], limit: 0 };
                effects.send_with(link, head(QUESTION), extensions, &first);
            }
            Self::Nodes { .. } => effects.send_with(link, head(QUESTION), extensions, &first_page()),
        }
    }
}

fn first_page() -> NodesRequest {
    NodesRequest { cursor: String::new(), limit: 0 }
}

impl ClientCore {
    /// Asks for the next page; if it does not come, for all of them again.
    fn ask_on<M: Encode>(&mut self, link: LinkId, page: &M, effects: &mut ClientEffects) {
        self.ask_on_with(link, head(QUESTION), page, effects);
    }

    fn ask_on_with<M: Encode>(&mut self, link: LinkId, head: Head, page: &M, effects: &mut ClientEffects) {
        if let Some(asking) = self.begin() {
            effects.send_with(link, head, &asking.extensions, page);
        }
    }

    pub(crate) fn on_stats(&mut self, link: LinkId, page: StatsResponse, effects: &mut ClientEffects) {
        let Goal::Answer(Question::Stats(windows)) = &mut self.goal else { return };
        if JobId::from_bytes(page.job) != windows.job {
            return;
        }
        // Joined with some that were told: they would count twice.
        let moved = !windows.so_far.is_empty() && page.entries.iter().any(|entry| entry.from < windows.next);
        let gets_on = page.next == 0 || page.next > windows.next;
        if moved || !gets_on {
            windows.start_over();
            windows.again = windows.again.saturating_add(1);
            if windows.again > AGAIN_MAX {
                let job = windows.job;
                return self
                    .fail(effects, format!("the windows of job {job} move on faster than they are read"));
            }
        } else {
            windows.so_far.extend_from_slice(&page.entries);
            windows.next = page.next;
            if page.next == 0 {
                let entries = std::mem::take(&mut windows.so_far);
                self.goal = Goal::Done;
                return self.notify(effects, Notice::Stats(Box::new(StatsResponse { entries, ..page })));
            }
        }
        let (job, query) = (windows.job, windows.query());
        self.ask_on_with(link, head(QUESTION).job(job), &query, effects);
    }

    pub(crate) fn on_verdicts(&mut self, answer: NodeWhyResponse, effects: &mut ClientEffects) {
        if !matches!(self.goal, Goal::Answer(Question::Why { .. })) {
            return;
        }
        self.goal = Goal::Done;
        let NodeWhyResponse { verdicts, missing } = answer;
        self.notify(effects, Notice::Why { verdicts, missing });
    }

    pub(crate) fn on_jobs(&mut self, link: LinkId, page: JobListResponse, effects: &mut ClientEffects) {
        let Goal::Answer(Question::Jobs { so_far, missing }) = &mut self.goal else { return };
        so_far.extend(page.jobs);
        missing.extend(page.missing);
        if page.next == [0; 16] {
            let (jobs, mut missing) = (std::mem::take(so_far), std::mem::take(missing));
            missing.sort_unstable();
            missing.dedup();
            self.goal = Goal::Done;
            self.notify(effects, Notice::Jobs { jobs, missing });
        } else {
            self.ask_on(link, &JobListRequest { after: page.next, limit: 0 }, effects);
        }
    }

    pub(crate) fn on_nodes(&mut self, link: LinkId, page: NodesResponse, effects: &mut ClientEffects) {
        let Goal::Answer(Question::Nodes { so_far }) = &mut self.goal else { return };
        so_far.extend(page.nodes);
        if page.next.is_empty() {
            let (nodes, missing) = (std::mem::take(so_far), page.missing);
            self.goal = Goal::Done;
            self.notify(effects, Notice::Nodes { nodes, missing });
        } else {
            self.ask_on(link, &NodesRequest { cursor: page.next, limit: 0 }, effects);
        }
    }
}
