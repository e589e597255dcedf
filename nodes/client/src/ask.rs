//! One question to the fleet, one answer.

use hyperscale_codec::messages::{
    JobCancelRequest, JobEntry, JobListRequest, JobListResponse, JobStatusRequest, NodeEntry, NodeWhyRequest,
    NodeWhyResponse, NodesRequest, NodesResponse,
};
use hyperscale_codec::{Head, JobId};
use hyperscale_core::LinkId;

use crate::core::{CANCEL, ClientCore, ClientEffects, Goal, Notice, QUESTION};

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
    pub(crate) fn send(&self, link: LinkId, effects: &mut ClientEffects) {
        match self {
            Self::Status { job } => {
                let request = JobStatusRequest { job: job.to_bytes() };
                effects.send(link, Head::request(QUESTION).job(*job), &request);
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
                effects.send(link, Head::request(CANCEL).job(*job), &request);
            }
            Self::Why { name } => {
                effects.send(link, Head::request(QUESTION), &NodeWhyRequest { name: name.clone() });
            }
            Self::Jobs { .. } => {
                effects.send(link, Head::request(QUESTION), &JobListRequest { after: [0; 16], limit: 0 });
            }
            // From the start: what came before a lost connection may have changed.
            Self::Nodes { .. } => effects.send(link, Head::request(QUESTION), &first_page()),
        }
    }
}

fn first_page() -> NodesRequest {
    NodesRequest { cursor: String::new(), limit: 0 }
}

impl ClientCore {
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
            effects.send(link, Head::request(QUESTION), &JobListRequest { after: page.next, limit: 0 });
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
            effects.send(link, Head::request(QUESTION), &NodesRequest { cursor: page.next, limit: 0 });
        }
    }
}
