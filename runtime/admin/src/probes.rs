//! Probes: is it alive, is it started, is it ready? Each is the sum of reasons, and one that is not ok fails a check;
//! several failed checks in a row are a no (`spec.md` 3). Who asks has a check made.

use std::time::Duration;

use hyperscale_core::Instant;
use hyperscale_health::{
    HealthProbe, LivenessProbe, Observed, ProbeConfig, ProbeReason, ReadinessProbe, StartupProbe,
};
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
    /// How many checks in a row have failed, while some have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl Verdict {
    /// One line: `ok`, or the first reason why not.
    pub(crate) fn line(&self) -> String {
        if self.ok {
            return "ok\n".to_owned();
        }
        match self.reasons.iter().find(|checked| !checked.reason.ok) {
            None => "not ok: a check took too long\n".to_owned(),
            Some(Checked { shard, reason }) => {
                format!("not ok: shard {shard}: {}: {}\n", reason.name, reason.detail)
            }
        }
    }
}

/// A node's three probes.
#[derive(Debug)]
pub(crate) struct Probes {
    live: LivenessProbe,
    startup: StartupProbe,
    ready: ReadinessProbe,
}

impl Probes {
    /// `patient`: as the specification has it; else one failed check is a no.
    pub(crate) fn new(patient: bool) -> Self {
        let config = |config: ProbeConfig| {
            if patient { config } else { ProbeConfig { failure_threshold: 1, ..config } }
        };
        Self {
            live: LivenessProbe::new(config(LivenessProbe::CONFIG)),
            startup: StartupProbe::new(config(StartupProbe::CONFIG)),
            ready: ReadinessProbe::new(config(ReadinessProbe::CONFIG)),
        }
    }

    /// Takes in what the shards said at `now`, after `took`; `node` is what was merged of it.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        probe: Probe,
        took: Duration,
        heard: Vec<Checked>,
        node: NodeView,
    ) -> Verdict {
        let mut reasons = heard;
        let probe: &mut dyn HealthProbe = match probe {
            Probe::Live => &mut self.live,
            Probe::Startup => {
                reasons.extend(node.startup);
                &mut self.startup
            }
            Probe::Ready => {
                let started = reasons.iter().chain(&node.startup).cloned().collect::<Vec<_>>();
                self.startup.observe(now, &observed(took, &started));
                // Before it has started it is not ready, whatever else.
                if !self.startup.is_ok() {
                    reasons.extend(node.startup);
                }
                reasons.extend(node.ready);
                &mut self.ready
            }
        };
        probe.observe(now, &observed(took, &reasons));
        let (failures, most) = (probe.failures(), probe.config().failure_threshold);
        let failed = (failures > 0).then(|| format!("{failures} of {most} checks in a row"));
        Verdict { ok: probe.is_ok(), reasons, failed }
    }
}

/// A check as a probe takes it.
fn observed(took: Duration, reasons: &[Checked]) -> Observed {
    let reason = |Checked { shard, reason }: &Checked| ProbeReason {
        name: format!("shard {shard}: {}", reason.name),
        ok: reason.ok,
        detail: reason.detail.clone(),
    };
    let draining = reasons.iter().any(|checked| checked.reason.name == "accepting" && !checked.reason.ok);
    Observed { took, reasons: reasons.iter().map(reason).collect(), draining }
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

    fn ask(probes: &mut Probes, seconds: u64, probe: Probe, answers: Vec<Answer>) -> Verdict {
        let (now, heard) = (Instant::ZERO + Duration::from_secs(seconds), heard(&answers));
        let node = NodeView::merge(answers.into_iter().filter_map(|a| a.view.ok()).collect());
        probes.judge(now, probe, Duration::from_micros(150), heard, node)
    }

    fn verdict(probe: Probe, answers: Vec<Answer>) -> Verdict {
        ask(&mut Probes::new(false), 0, probe, answers)
    }

    fn view(ready: Reason) -> Vec<Answer> {
        let view = ShardView { ready: vec![ready], ..ShardView::new(0) };
        vec![Answer { shard: 0, took: Duration::from_micros(150), view: Ok(view) }]
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

    #[test]
    fn a_patient_node_stays_ready_for_two_failed_checks_and_says_that_they_failed() {
        let mut probes = Probes::new(true);
        let managers = |ok| view(Reason::new("managers", ok, "none is linked"));
        assert!(ask(&mut probes, 0, Probe::Ready, managers(true)).ok);
        for (seconds, ok, failed) in
            [(10, true, "1 of 3"), (11, true, "1 of 3"), (20, true, "2 of 3"), (30, false, "3 of 3")]
        {
            let verdict = ask(&mut probes, seconds, Probe::Ready, managers(false));
            assert_eq!(
                (verdict.ok, verdict.failed),
                (ok, Some(format!("{failed} checks in a row"))),
                "{seconds} s"
            );
        }
        assert!(ask(&mut probes, 31, Probe::Ready, managers(true)).ok);
    }

    #[test]
    fn who_drains_is_not_ready_at_once() {
        let mut probes = Probes::new(true);
        assert!(ask(&mut probes, 0, Probe::Ready, view(Reason::new("accepting", true, "takes jobs"))).ok);
        let verdict = ask(&mut probes, 1, Probe::Ready, view(Reason::new("accepting", false, "draining")));
        assert_eq!(verdict.line(), "not ok: shard 0: accepting: draining\n");
        assert!(ask(&mut probes, 2, Probe::Live, view(Reason::new("accepting", false, "draining"))).ok);
    }

    #[test]
    fn who_has_not_started_is_not_ready_and_lives() {
        let starting = || {
            let startup = vec![Reason::new("registered", false, "with a gate, once")];
            let view = ShardView { startup, ..ShardView::new(0) };
            vec![Answer { shard: 0, took: Duration::ZERO, view: Ok(view) }]
        };
        let mut probes = Probes::new(true);
        assert!(ask(&mut probes, 0, Probe::Live, starting()).ok);
        assert!(!ask(&mut probes, 0, Probe::Startup, starting()).ok);
        let ready = ask(&mut probes, 0, Probe::Ready, starting());
        assert_eq!(ready.line(), "not ok: shard 0: registered: with a gate, once\n");
    }
}
