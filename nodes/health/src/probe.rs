//! What monitors ask a node (19-9): is it alive, started, ready?
//!
//! A probe is told the outcome of each check and changes its mind only after several in a row that say otherwise.
//! `draining` ends readiness at once. In: checks. Out: [`HealthProbe::is_ok`], and why.

use std::time::Duration;

use hyperscale_core::Instant;

/// How a probe judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeConfig {
    /// A check that took longer has failed.
    pub timeout: Duration,
    /// Checks are so far apart at least; what comes sooner changes nothing.
    pub period: Duration,
    /// So many failed checks in a row are a no.
    pub failure_threshold: u32,
    /// So many good ones are a yes.
    pub success_threshold: u32,
}

/// Why a probe says yes or no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReason {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    pub took: Duration,
    /// One that is not ok is enough.
    pub reasons: Vec<ProbeReason>,
    /// The node takes nothing new from now on: no threshold applies.
    pub draining: bool,
}

impl Observed {
    fn passed(&self, timeout: Duration) -> bool {
        self.took <= timeout && self.reasons.iter().all(|reason| reason.ok)
    }
}

/// One question that is asked again and again.
pub trait HealthProbe {
    /// `liveness`.
    fn name(&self) -> &'static str;

    /// How it judges.
    fn config(&self) -> ProbeConfig;

    /// A check was made.
    fn observe(&mut self, now: Instant, observed: &Observed);

    /// The answer by all checks so far.
    fn is_ok(&self) -> bool;

    /// Failed checks in a row that count.
    fn failures(&self) -> u32;

    /// What the last check found, and how the thresholds stand.
    fn reasons(&self) -> Vec<ProbeReason>;
}

/// What all probes keep.
#[derive(Debug, Clone)]
struct Streak {
    ok: bool,
    failures: u32,
    successes: u32,
    counted: Option<Instant>,
    last: Observed,
}

impl Streak {
    fn new(ok: bool) -> Self {
        Self { ok, failures: 0, successes: 0, counted: None, last: Observed::default() }
    }

    fn observe(&mut self, config: ProbeConfig, now: Instant, observed: &Observed) {
        self.last.clone_from(observed);
        if observed.draining {
            (self.ok, self.successes) = (false, 0);
            return;
        }
        let passed = observed.passed(config.timeout);
        if passed {
            (self.failures, self.counted) = (0, Some(now));
            self.successes = self.successes.saturating_add(1);
        } else {
            self.successes = 0;
            // Checks that crowd within one period are one.
            if self.failures == 0 || self.counted.is_none_or(|at| now.since(at) >= config.period) {
                self.failures = self.failures.saturating_add(1);
                self.counted = Some(now);
            }
        }
        if self.successes >= config.success_threshold {
            self.ok = true;
        } else if self.failures >= config.failure_threshold {
            self.ok = false;
        }
    }

    fn reasons(&self, config: ProbeConfig) -> Vec<ProbeReason> {
        let mut reasons = self.last.reasons.clone();
        let reason = |name: &str, ok, detail| ProbeReason { name: name.to_owned(), ok, detail };
        if self.last.took > config.timeout {
            let detail = format!("the check took more than {} ms", config.timeout.as_millis());
            reasons.push(reason("timeout", false, detail));
        }
        if self.last.draining {
            reasons.push(reason("draining", false, "it takes nothing new".to_owned()));
        } else if self.failures > 0 {
            let detail = format!("{} of {} checks in a row failed", self.failures, config.failure_threshold);
            reasons.push(reason("failures", self.ok, detail));
        }
        reasons
    }
}

macro_rules! probes {
    ($($(#[$doc:meta])* $name:ident($word:literal, first $first:literal, $timeout:literal, $period:literal,
        $failures:literal, $successes:literal);)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            config: ProbeConfig,
            streak: Streak,
        }

        impl $name {
            /// How it judges by default.
            pub const CONFIG: ProbeConfig = ProbeConfig {
                timeout: Duration::from_secs($timeout),
                period: Duration::from_secs($period),
                failure_threshold: $failures,
                success_threshold: $successes,
            };
        }

        impl $name {
            /// One that judges otherwise.
            #[must_use]
            pub fn new(config: ProbeConfig) -> Self {
                Self { config, streak: Streak::new($first) }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(Self::CONFIG)
            }
        }

        impl HealthProbe for $name {
            fn name(&self) -> &'static str {
                $word
            }

            fn config(&self) -> ProbeConfig {
                self.config
            }

            fn observe(&mut self, now: Instant, observed: &Observed) {
                self.streak.observe(self.config, now, observed);
            }

            fn is_ok(&self) -> bool {
                self.streak.ok
            }

            fn failures(&self) -> u32 {
                self.streak.failures
            }

            fn reasons(&self) -> Vec<ProbeReason> {
                self.streak.reasons(self.config)
            }
        }
    )+ };
}

probes! {
    /// Every shard runs its loop. Yes, until it is otherwise: if not, start the node again.
    LivenessProbe("liveness", first true, 1, 10, 3, 1);
    /// It may be sent new work.
    ReadinessProbe("readiness", first false, 2, 10, 3, 1);
    /// It has done once what it must: it listens, and joined.
    StartupProbe("startup", first false, 5, 5, 30, 1);
}

/// Several probes as one: yes if all say yes; its times are the worst of theirs.
#[derive(Default)]
pub struct CompositeProbe(pub Vec<Box<dyn HealthProbe + Send>>);

impl std::fmt::Debug for CompositeProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|part| (part.name(), part.is_ok()))).finish()
    }
}

impl HealthProbe for CompositeProbe {
    fn name(&self) -> &'static str {
        "composite"
    }

    fn config(&self) -> ProbeConfig {
        let none = ProbeConfig {
            timeout: Duration::ZERO,
            period: Duration::ZERO,
            failure_threshold: 0,
            success_threshold: 0,
        };
        self.0.iter().map(|part| part.config()).fold(none, |worst, part| ProbeConfig {
            timeout: worst.timeout.max(part.timeout),
            period: worst.period.max(part.period),
            failure_threshold: worst.failure_threshold.max(part.failure_threshold),
            success_threshold: worst.success_threshold.max(part.success_threshold),
        })
    }

    fn observe(&mut self, now: Instant, observed: &Observed) {
        self.0.iter_mut().for_each(|part| part.observe(now, observed));
    }

    fn is_ok(&self) -> bool {
        self.0.iter().all(|part| part.is_ok())
    }

    fn failures(&self) -> u32 {
        self.0.iter().map(|part| part.failures()).max().unwrap_or(0)
    }

    /// Names the parts that fail.
    fn reasons(&self) -> Vec<ProbeReason> {
        let part = |part: &dyn HealthProbe| {
            let mut why = part.reasons().into_iter().filter(|reason| !reason.ok);
            let detail = why.next().map_or_else(String::new, |why| format!("{}: {}", why.name, why.detail));
            ProbeReason { name: part.name().to_owned(), ok: part.is_ok(), detail }
        };
        self.0.iter().map(|probe| part(probe.as_ref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn check(ok: bool) -> Observed {
        let reason = ProbeReason { name: "ledger".to_owned(), ok, detail: "no leader yet".to_owned() };
        Observed { took: Duration::from_millis(3), reasons: vec![reason], draining: false }
    }

    fn ready() -> ReadinessProbe {
        let mut probe = ReadinessProbe::default();
        assert!(!probe.is_ok());
        probe.observe(at(0), &check(true));
        assert!(probe.is_ok());
        probe
    }

    #[test]
    fn three_failed_checks_in_a_row_and_no_fewer_change_a_yes() {
        let mut probe = ready();
        let after = [(10, false, true), (20, false, true), (30, true, true), (40, false, true)];
        for (seconds, ok, is_ok) in after {
            probe.observe(at(seconds), &check(ok));
            assert_eq!(probe.is_ok(), is_ok, "{seconds} s");
        }
        probe.observe(at(50), &check(false));
        assert!(probe.reasons().iter().any(|reason| reason.detail == "2 of 3 checks in a row failed"));
        probe.observe(at(60), &check(false));
        assert!(!probe.is_ok());
        probe.observe(at(61), &check(true));
        assert!(probe.is_ok(), "one good check is a yes");
    }

    #[test]
    fn checks_that_crowd_within_a_period_are_one() {
        let mut probe = ready();
        (10..20).for_each(|seconds| probe.observe(at(seconds), &check(false)));
        assert!(probe.is_ok());
        probe.observe(at(20), &check(false));
        probe.observe(at(30), &check(false));
        assert!(!probe.is_ok());
    }

    #[test]
    fn draining_is_a_no_at_once() {
        let mut probe = ready();
        probe.observe(at(1), &Observed { draining: true, ..check(true) });
        assert!(!probe.is_ok());
        assert_eq!(probe.reasons().last().map(|reason| reason.name.clone()), Some("draining".to_owned()));
    }

    #[test]
    fn a_check_over_its_timeout_has_failed() {
        let mut probe = LivenessProbe::default();
        let slow = Observed { took: Duration::from_millis(1_001), ..check(true) };
        for seconds in [0, 10] {
            probe.observe(at(seconds), &slow);
            assert!(probe.is_ok());
        }
        probe.observe(at(20), &slow);
        assert!(!probe.is_ok());
        assert!(probe.reasons().iter().any(|reason| reason.name == "timeout"));
    }

    #[test]
    fn a_node_that_starts_is_alive_and_nothing_else() {
        let first: [&dyn HealthProbe; 3] =
            [&LivenessProbe::default(), &ReadinessProbe::default(), &StartupProbe::default()];
        assert_eq!(
            first.map(|probe| (probe.name(), probe.is_ok())),
            [("liveness", true), ("readiness", false), ("startup", false)]
        );
    }

    #[test]
    fn several_probes_are_as_good_and_as_patient_as_the_worst() {
        let mut both =
            CompositeProbe(vec![Box::new(LivenessProbe::default()), Box::new(StartupProbe::default())]);
        assert!(!both.is_ok());
        let config = both.config();
        assert_eq!(
            (config.timeout.as_secs(), config.period.as_secs(), config.failure_threshold),
            (5, 10, 30)
        );
        both.observe(at(0), &check(false));
        let failing: Vec<_> = both.reasons().into_iter().filter(|reason| !reason.ok).collect();
        assert_eq!((failing.len(), failing[0].name.as_str()), (1, "startup"));
        assert_eq!(failing[0].detail, "ledger: no leader yet");
        both.observe(at(1), &check(true));
        assert!(both.is_ok());
    }
}
