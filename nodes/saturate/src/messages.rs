//! What the node says: one match, each arm's room is a file of its own. Neither of a gate and a manager says what the
//! other one does to those that are played to it.

use std::time::Duration;

use hyperscale_codec::messages::{
    DcFinalResult, DcFinalResultAck, ErrorReply, GateHeartbeat, Goodbye, JobAck, JobCancelRequest,
    JobCancelResponse, JobDispatch, JobDispatchAck, JobFinalResult, JobStatusPush, ManagerHeartbeat,
    ManagerPeerRegistration, ManagerPeerRegistrationResponse, NodeWhyResponse, NodesResponse,
    RateLimitResponse, RegisterCallbackResponse, RegistrationResponse, ShareRevision, StatsAck, StatsFinal,
    StatsSnapshot, StatsUpdate, WorkflowCancelRequest, WorkflowDispatch, WorkflowFinalResultAck,
    WorkflowStart,
};
use hyperscale_codec::{DecodeError, ErrorCode, Head, Kind, RawFrame};
use hyperscale_core::LinkId;

use crate::Target;
use crate::core::{SaturateCore, SaturateEffects};

impl SaturateCore {
    pub(crate) fn on_message(
        &mut self,
        kind: Kind,
        link: LinkId,
        frame: RawFrame<'_>,
        scratch: &mut Vec<u8>,
        effects: &mut SaturateEffects,
    ) -> Result<(), DecodeError> {
        let number = frame.header.correlation;
        match kind {
            Kind::StatsAck => {
                let ack = frame.decode::<StatsAck>(scratch)?;
                match self.config.target {
                    Target::Gate => self.on_stats_ack(number, ack, effects),
                    Target::Manager => self.on_share_ack(link, number, ack, effects),
                }
            }
            Kind::JobAck => self.on_job_ack(number, frame.decode::<JobAck>(scratch)?, effects),
            Kind::NodesResponse => {
                self.on_nodes(number, frame.decode::<NodesResponse>(scratch)?, effects);
            }
            Kind::JobStatusResponse | Kind::JobListResponse => {
                self.answered(number, effects);
            }
            Kind::RegisterCallbackResponse => {
                self.on_called_back(number, frame.decode::<RegisterCallbackResponse>(scratch)?, effects);
            }
            Kind::JobCancelResponse => {
                let answer = frame.decode::<JobCancelResponse>(scratch)?;
                if answer.success {
                    self.answered(number, effects);
                } else {
                    self.refused(number, ErrorCode::UnknownJob.as_str(), Duration::ZERO, effects);
                }
            }
            Kind::ErrorReply => {
                let reply = frame.decode::<ErrorReply>(scratch)?;
                let wait = Duration::from_millis(reply.retry_after_ms.to_native().into());
                let code = ErrorCode::from_wire(reply.code.to_native());
                let reason = code.map_or("unknown", ErrorCode::as_str);
                tracing::debug!(reason, message = reply.message.as_str(), "refused");
                self.refused(number, reason, wait, effects);
            }
            Kind::RateLimitResponse => {
                let told = frame.decode::<RateLimitResponse>(scratch)?;
                let wait = Duration::from_millis(told.retry_after_ms.to_native().into());
                self.refused(number, ErrorCode::RateLimited.as_str(), wait, effects);
            }
            Kind::ManagerPeerRegistrationResponse => {
                let answer = frame.decode::<ManagerPeerRegistrationResponse>(scratch)?;
                self.on_registered(number, answer, effects);
            }
            Kind::JobDispatch => {
                self.on_dispatch(link, number, frame.decode::<JobDispatch>(scratch)?, effects);
            }
            Kind::JobCancelRequest => {
                self.on_cancel(link, number, frame.decode::<JobCancelRequest>(scratch)?, effects);
            }
            // A gate asks its managers for their workers; these have none, and say so at once.
            Kind::NodesRequest => {
                let none = NodesResponse { nodes: Vec::new(), next: String::new(), missing: Vec::new() };
                effects.send(link, Head::reply(number), &none);
            }
            Kind::NodeWhyRequest => {
                let none = NodeWhyResponse { verdicts: Vec::new(), missing: Vec::new() };
                effects.send(link, Head::reply(number), &none);
            }
            Kind::DcFinalResultAck => {
                let _job = frame.decode::<DcFinalResultAck>(scratch)?;
                self.answered(number, effects);
            }
            Kind::JobStatusPush => {
                let push = frame.decode::<JobStatusPush>(scratch)?;
                self.on_push(push);
            }
            Kind::JobFinalResult => {
                let result = frame.decode::<JobFinalResult>(scratch)?;
                let result = hyperscale_codec::to_owned::<JobFinalResult>(result)?;
                self.on_result(link, &result, effects);
            }
            Kind::GateHeartbeat => {
                self.overload = frame.decode::<GateHeartbeat>(scratch)?.health.overload_state;
            }
            Kind::ManagerHeartbeat => {
                self.overload = frame.decode::<ManagerHeartbeat>(scratch)?.health.overload_state;
            }
            Kind::ManagerPeerRegistration => {
                let told = frame.decode::<ManagerPeerRegistration>(scratch)?;
                self.on_manager(link, number, told, effects);
            }
            Kind::RegistrationResponse => {
                self.on_worker_registered(number, frame.decode::<RegistrationResponse>(scratch)?, effects);
            }
            Kind::JobDispatchAck => {
                self.on_taken_on(number, frame.decode::<JobDispatchAck>(scratch)?, effects);
            }
            Kind::WorkflowDispatch => {
                self.on_share(link, number, frame.decode::<WorkflowDispatch>(scratch)?, effects);
            }
            Kind::WorkflowStart => {
                self.on_share_started(link, number, frame.decode::<WorkflowStart>(scratch)?, effects);
            }
            Kind::WorkflowCancelRequest => {
                let told = frame.decode::<WorkflowCancelRequest>(scratch)?;
                self.on_share_cancelled(link, number, told, effects);
            }
            Kind::ShareRevision => {
                self.on_revision(link, number, frame.decode::<ShareRevision>(scratch)?, effects);
            }
            Kind::WorkflowFinalResultAck => {
                let _share = frame.decode::<WorkflowFinalResultAck>(scratch)?;
                self.answered(number, effects);
            }
            Kind::StatsUpdate => {
                self.on_windows(link, &frame, &frame.decode::<StatsUpdate>(scratch)?.0, effects);
            }
            Kind::StatsSnapshot => {
                self.on_totals(link, &frame, &frame.decode::<StatsSnapshot>(scratch)?.0, false, effects);
            }
            Kind::StatsFinal => {
                self.on_totals(link, &frame, &frame.decode::<StatsFinal>(scratch)?.0, true, effects);
            }
            Kind::DcFinalResult => {
                self.on_part_ended(link, number, frame.decode::<DcFinalResult>(scratch)?, effects);
            }
            Kind::Goodbye => {
                let text = frame.decode::<Goodbye>(scratch)?.text.as_str().to_owned();
                tracing::info!(text, "the node said goodbye");
            }
            // What a node sends others, or sends without need of an answer.
            Kind::WorkerHeartbeat
            | Kind::PushPull
            | Kind::WorkflowCancelResponse
            | Kind::WorkflowFinalResult
            | Kind::JobFinalResultAck
            | Kind::StatsFinalAck
            | Kind::HealthcheckExtensionRequest
            | Kind::HealthcheckExtensionResponse
            | Kind::JobSubmit
            | Kind::WorkflowDispatchAck
            | Kind::WorkflowStatus
            | Kind::ShareRevisionAck
            | Kind::WorkerRegistration
            | Kind::GatePeerRegistration
            | Kind::GatePeerRegistrationResponse
            | Kind::JobProgress
            | Kind::JobProgressAck
            | Kind::JobStatusRequest
            | Kind::RegisterCallback
            | Kind::NodeWhyResponse
            | Kind::StatsQuery
            | Kind::StatsResponse
            | Kind::JobListRequest => {}
        }
        Ok(())
    }
}
