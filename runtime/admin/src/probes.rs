//! Probes: is it alive, is it started, is it ready? Each is the sum of reasons, and one that is not ok is enough.

use hyperscale_view::{Checked, NodeView, Reason};
use serde::Serialize;

use crate::lines::Answer;

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Whether every shard answers; if not, the node should be started again.
    Live,
    /// Whether it answers and has done once what it must.
    Startup,
    /// Whether it answers and may be sent new work.
    Ready,
}

/// What a probe found; serializes as the document of `?verbose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) ok: bool,
    pub(crate) reasons: Vec<Checked>,
}

impl Verdict {
    /// One line: `ok`, or the first reason why not.
    pub(crate) fn line(&self) -> String {
        match self.reasons.iter().find(|checked| !checked.reason.ok) {
            None => "ok\n".to_owned(),
            Some(Checked { shard, reason }) => {
                format!("not ok: shard {shard}: {}: {}\n", reason.name, reason.detail)
            }
        }
    }
}

/// Judges what the shards said; `node` is what was merged of it.
pub(crate) fn judge(probe: Probe, heard: Vec<Checked>, node: NodeView) -> Verdict {
    let mut reasons = heard;
    match probe {
        Probe::Live => {}
        Probe::Startup => reasons.extend(node.startup),
        Probe::Ready => reasons.extend(node.ready),
    }
    Verdict { ok: reasons.iter().all(|checked| checked.reason.ok), reasons }
}

/// Whether each shard answered, as a reason. How long it took is said of those that did.
pub(crate) fn heard(answers: &[Answer]) -> Vec<Checked> {
    let reason = |answer: &Answer| match &answer.view {
        Ok(_) => Reason::new("answers", true, format!("after {:.1} ms", answer.took.as_secs_f64() * 1e3)),
        Err(why) => Reason::new("answers", false, why.to_string()),
    };
    answers.iter().map(|answer| Checked { shard: answer.shard, reason: reason(answer) }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyperscale_view::ShardView;

    use super::*;
    use crate::lines::NoAnswer;

    fn answers(second: Result<ShardView, NoAnswer>) -> Vec<Answer> {
        let first = ShardView {
            ready: vec![Reason::new("ledger", false, "no leader yet")],
            startup: vec![Reason::new("listening", true, "127.0.0.1:7000")],
            ..ShardView::new(0)
        };
        let took = Duration::from_micros(150);
        vec![Answer { shard: 0, took, view: Ok(first) }, Answer { shard: 1, took, view: second }]
    }

    fn verdict(probe: Probe, answers: Vec<Answer>) -> Verdict {
        let heard = heard(&answers);
        judge(probe, heard, NodeView::merge(answers.into_iter().filter_map(|a| a.view.ok()).collect()))
    }

    #[test]
    fn a_node_whose_shards_answer_lives_whatever_else_it_lacks() {
        let verdict = verdict(Probe::Live, answers(Ok(ShardView::new(1))));
        assert!(verdict.ok);
        assert_eq!(verdict.line(), "ok\n");
        assert_eq!(verdict.reasons.len(), 2);
    }

    #[test]
    fn each_probe_looks_at_its_own_reasons() {
        assert!(verdict(Probe::Startup, answers(Ok(ShardView::new(1)))).ok);
        let ready = verdict(Probe::Ready, answers(Ok(ShardView::new(1))));
        assert_eq!(ready.line(), "not ok: shard 0: ledger: no leader yet\n");
    }

    #[test]
    fn a_silent_shard_fails_every_probe_and_is_named() {
        for probe in [Probe::Live, Probe::Startup, Probe::Ready] {
            let verdict = verdict(probe, answers(Err(NoAnswer::Late)));
            assert!(!verdict.ok);
            assert!(verdict.line().starts_with("not ok: shard 1: answers: no answer within 1000 ms"));
        }
    }
}
