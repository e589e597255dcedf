//! The endpoints: what is asked, what is answered.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::routing::get;
use hyperscale_view::{Gauge, Jobs, NodeView, Nodes, exposition};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::AdminConfig;
use crate::lines::{Answer, ShardLine, ask_all};
use crate::probes::{Probe, Probes, Verdict, heard};
use crate::process;

const LIST: &str = "/metrics /livez /readyz /startupz (?verbose for reasons) /nodes /jobs\n";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What every endpoint may look at.
pub(crate) struct Node {
    pub(crate) config: AdminConfig,
    pub(crate) lines: Vec<ShardLine>,
    pub(crate) process: Box<dyn Fn() -> Vec<Gauge> + Send + Sync>,
    pub(crate) probes: Mutex<Probes>,
    /// What the probes' clock counts from.
    pub(crate) opened: Instant,
}

type Answered = (StatusCode, [(HeaderName, &'static str); 2], String);

pub(crate) fn router(node: Node) -> Router {
    Router::new()
        .route("/", get(|| async { answered(StatusCode::OK, TEXT, LIST.to_owned()) }))
        .route("/metrics", get(metrics))
        .route("/livez", get(async |State(node), uri| probe(node, Probe::Live, uri).await))
        .route("/readyz", get(async |State(node), uri| probe(node, Probe::Ready, uri).await))
        .route("/startupz", get(async |State(node), uri| probe(node, Probe::Startup, uri).await))
        .route("/nodes", get(nodes))
        .route("/jobs", get(jobs))
        .method_not_allowed_fallback(async || {
            answered(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned())
        })
        .fallback(async || {
            answered(StatusCode::NOT_FOUND, TEXT, format!("nothing is here; there are {LIST}"))
        })
        .with_state(Arc::new(node))
}

fn answered(status: StatusCode, content_type: &'static str, body: String) -> Answered {
    (status, [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")], body)
}

fn json(status: StatusCode, document: &impl Serialize) -> Answered {
    match serde_json::to_string(document) {
        Ok(text) => answered(status, JSON, text + "\n"),
        Err(error) => answered(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

/// What of several shards is one, and which said nothing.
fn merge(answers: Vec<Answer>) -> (NodeView, Vec<u16>) {
    let (mut views, mut silent) = (Vec::with_capacity(answers.len()), Vec::new());
    for answer in answers {
        match answer.view {
            Ok(view) => views.push(view),
            Err(_) => silent.push(answer.shard),
        }
    }
    (NodeView::merge(views), silent)
}

async fn probe(node: Arc<Node>, probe: Probe, uri: Uri) -> Answered {
    let verdict = verdict(&node, probe).await;
    let status = if verdict.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = uri.query().is_some_and(|query| query.split('&').any(is_verbose));
    if verbose { json(status, &verdict) } else { answered(status, TEXT, verdict.line()) }
}

fn is_verbose(parameter: &str) -> bool {
    matches!(parameter, "verbose" | "verbose=1" | "verbose=true")
}

async fn verdict(node: &Node, probe: Probe) -> Verdict {
    let asked = node.opened.elapsed();
    let answers = ask_all(&node.lines).await;
    let (heard, now) = (heard(&answers), node.opened.elapsed());
    let mut probes = node.probes.lock().await;
    probes.judge(
        hyperscale_core::Instant::ZERO + now,
        probe,
        now.saturating_sub(asked),
        heard,
        merge(answers).0,
    )
}

/// 200 with what there is: a listing of some shards is worth more than none, and it says what is missing.
async fn nodes(State(node): State<Arc<Node>>) -> Answered {
    let (view, silent) = merge(ask_all(&node.lines).await);
    json(StatusCode::OK, &Nodes { nodes: &view.nodes, silent_shards: &silent })
}

async fn jobs(State(node): State<Arc<Node>>) -> Answered {
    let (view, silent) = merge(ask_all(&node.lines).await);
    json(StatusCode::OK, &Jobs { jobs: &view.jobs, silent_shards: &silent })
}

async fn metrics(State(node): State<Arc<Node>>) -> Answered {
    let answers = ask_all(&node.lines).await;
    let mut samples = about(&node.config);
    samples.extend(process::gauges());
    samples.extend((node.process)());
    for answer in &answers {
        let up = if answer.view.is_ok() { 1.0 } else { 0.0 };
        let shard = answer.shard.to_string();
        samples.push(
            Gauge::level("hyperscale_shard_up", "Whether the shard answered within a second.", up)
                .label("shard", shard.clone()),
        );
        if answer.view.is_ok() {
            let took = answer.took.as_secs_f64();
            let help = "How long the shard took to answer this scrape.";
            samples.push(Gauge::level("hyperscale_shard_answer_seconds", help, took).label("shard", shard));
        }
    }
    samples.extend(merge(answers).0.gauges);
    answered(StatusCode::OK, hyperscale_view::CONTENT_TYPE, exposition(&samples))
}

fn about(config: &AdminConfig) -> Vec<Gauge> {
    let info = Gauge::level("hyperscale_build_info", "Always 1; the labels say what runs here.", 1.0)
        .label("version", config.build.as_str())
        .label("protocol", config.protocol.as_str())
        .label("role", config.role.as_str())
        .label("name", config.name.as_str())
        .label("datacenter", config.datacenter.as_str());
    vec![info]
}
