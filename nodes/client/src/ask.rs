//! One question to the fleet, one answer.

use hyperscale_codec::messages::{
    JobCancelRequest, JobEntry, JobListRequest, JobListResponse, JobStatusRequest, NodeEntry, NodeWhyRequest,
    NodeWhyResponse, NodesRequest, NodesResponse,
};
use hyperscale_codec::{Encode, JobId};
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
        if let Some(asking) = self.begin() {
            effects.send_with(link, head(QUESTION), &asking.extensions, page);
        }
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
