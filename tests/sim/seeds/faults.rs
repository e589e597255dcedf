//! What goes wrong, and when: a list drawn before the run. Each kind is on in half of the seeds, so that kinds meet in
//! all combinations and none drowns the others.

use std::fmt;
use std::slice;
use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_reliability::OverloadState;
use rand::Rng;
use rand::rngs::StdRng;

use super::scenario::names;
use crate::fleet::{Costs, Fleet, Shape};

/// One fault.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) at_ms: u64,
    pub(crate) lasts_ms: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// kill -9; started again at the end, with its old id or without.
    Kill {
        who: String,
        as_new: bool,
    },
    /// Its host dies: nobody hears of it.
    PowerLoss {
        who: String,
        as_new: bool,
    },
    /// SIGSTOP.
    Pause {
        who: String,
        timers_first: bool,
    },
    /// Its clock is ahead of what it was.
    ClockLeap {
        who: String,
        by_ms: u64,
    },
    Starve {
        who: String,
        cost_us: u64,
    },
    Partition {
        these: Vec<String>,
        those: Vec<String>,
    },
    OneWay {
        from: Vec<String>,
        to: Vec<String>,
    },
    /// Streams stand still one way; datagrams pass.
    Stall {
        from: String,
        to: String,
    },
    Reset {
        a: String,
        b: String,
    },
    Slow {
        from: String,
        to: String,
        times: f64,
    },
    /// Takes no more work and ends; started again.
    Drain {
        who: String,
    },
    /// Is as loaded as this, whatever it has to do.
    Load {
        who: String,
        state: OverloadState,
    },
    /// Asks for as few statistics as if it were as loaded as this, and sheds nothing.
    Asks {
        who: String,
        state: OverloadState,
    },
    /// Can take no more than so many frames a second.
    Weak {
        who: String,
        per_second: u32,
    },
}

impl What {
    /// Whether it ends a process of this role before its work is done.
    pub(crate) fn kills(&self, role: Role) -> bool {
        match self {
            Self::Kill { who, .. } | Self::PowerLoss { who, .. } => who.starts_with(&format!("{role}-")),
            _ => false,
        }
    }
}

fn one<'a>(of: &'a [String], rng: &mut StdRng) -> &'a String {
    &of[rng.random_range(0..of.len())]
}

/// Two different ones.
fn two(of: &[String], rng: &mut StdRng) -> (String, String) {
    let first = rng.random_range(0..of.len());
    let second = (first + rng.random_range(1..of.len())) % of.len();
    (of[first].clone(), of[second].clone())
}

/// How long, in ms: most are short, some are not.
fn lasting(rng: &mut StdRng) -> u64 {
    let power: f64 = rng.random_range(1.7..4.0);
    (10.0_f64.powf(power)) as u64
}

/// All faults of a run, in their order; none is left by `healed_ms`.
pub(super) fn draw(shape: &Shape, healed_ms: u64, rng: &mut StdRng) -> Vec<Fault> {
    let roles = [Role::Gate, Role::Manager, Role::Worker, Role::Client].map(|role| names(shape, role));
    let nodes: Vec<String> = roles[..3].concat();
    let all = roles.concat();
    let mut faults = Vec::new();
    for kind in 0..11 {
        // Whatever is off draws as much as what is on does, so that one kind's change leaves the others.
        let on = rng.random_bool(0.5);
        for _ in 0..rng.random_range(1..=2) {
            let (at_ms, lasts_ms) = (rng.random_range(200..healed_ms), lasting(rng));
            let what = one_of(kind, &nodes, &all, rng);
            let lasts_ms = lasts_ms.min(healed_ms - at_ms);
            if on && !beside_another_end(&faults, &what) {
                faults.push(Fault { at_ms, lasts_ms, what });
            }
        }
    }
    faults.sort_by_key(|fault: &Fault| fault.at_ms);
    faults
}

/// Gates and managers that are loaded: a list of its own, so that the others stay what they were.
pub(super) fn draw_loads(shape: &Shape, healed_ms: u64, rng: &mut StdRng) -> Vec<Fault> {
    let nodes = [Role::Gate, Role::Manager].map(|role| names(shape, role)).concat();
    let mut faults = Vec::new();
    for kind in 0..2 {
        let on = rng.random_bool(0.6);
        for _ in 0..rng.random_range(1..=3) {
            let (at_ms, who) = (rng.random_range(200..healed_ms), one(&nodes, rng).clone());
            let lasts_ms = rng.random_range(300..6_000).min(healed_ms - at_ms);
            let state = OverloadState::ALL[rng.random_range(1..4)];
            let per_second = rng.random_range(20..300);
            if on {
                let what = if kind == 0 { What::Load { who, state } } else { What::Weak { who, per_second } };
                faults.push(Fault { at_ms, lasts_ms, what });
            }
        }
    }
    faults
}

/// Gates and managers whose receipts ask for less: a list of its own, too.
pub(super) fn draw_levels(shape: &Shape, healed_ms: u64, rng: &mut StdRng) -> Vec<Fault> {
    let nodes = [Role::Gate, Role::Manager].map(|role| names(shape, role)).concat();
    let many = if rng.random_bool(0.4) { rng.random_range(1..=3) } else { 0 };
    let fault = |rng: &mut StdRng| {
        let (at_ms, who) = (rng.random_range(200..healed_ms), one(&nodes, rng).clone());
        let lasts_ms = rng.random_range(300..6_000).min(healed_ms - at_ms);
        Fault { at_ms, lasts_ms, what: What::Asks { who, state: OverloadState::ALL[rng.random_range(1..4)] } }
    };
    (0..many).map(|_| fault(rng)).collect()
}

/// A node that is stopped and started twice at once would be neither.
fn beside_another_end(faults: &[Fault], what: &What) -> bool {
    let ended = |what: &What| match what {
        What::Kill { who, .. } | What::PowerLoss { who, .. } | What::Drain { who } => Some(who.clone()),
        _ => None,
    };
    let own = ended(what);
    own.is_some() && faults.iter().any(|fault| ended(&fault.what) == own)
}

fn one_of(kind: u32, nodes: &[String], all: &[String], rng: &mut StdRng) -> What {
    let who = one(nodes, rng).clone();
    match kind {
        0 => What::Kill { who, as_new: rng.random_bool(0.5) },
        1 => What::PowerLoss { who, as_new: rng.random_bool(0.5) },
        2 => What::Pause { who: one(all, rng).clone(), timers_first: rng.random_bool(0.5) },
        3 => What::ClockLeap { who, by_ms: lasting(rng) },
        4 => What::Starve { who, cost_us: rng.random_range(100..20_000) },
        5 => {
            let these: Vec<String> = all.iter().filter(|_| rng.random_bool(0.5)).cloned().collect();
            let those = all.iter().filter(|name| !these.contains(name)).cloned().collect();
            What::Partition { these, those }
        }
        6 => {
            let from = vec![one(all, rng).clone()];
            let to = all.iter().filter(|name| **name != from[0] && rng.random_bool(0.7)).cloned().collect();
            let (from, to) = if rng.random_bool(0.5) { (from, to) } else { (to, from) };
            What::OneWay { from, to }
        }
        7 => {
            let (from, to) = two(all, rng);
            What::Stall { from, to }
        }
        8 => {
            let (a, b) = two(all, rng);
            What::Reset { a, b }
        }
        9 => {
            let (from, to) = two(all, rng);
            What::Slow { from, to, times: rng.random_range(2.0..200.0) }
        }
        _ => What::Drain { who },
    }
}

impl Fault {
    pub(crate) fn begin(&self, fleet: &mut Fleet) {
        let lasts = Duration::from_millis(self.lasts_ms);
        match &self.what {
            What::Kill { who, .. } if fleet.runs(who) => {
                fleet.mark("killed");
                fleet.crash(who);
            }
            What::PowerLoss { who, .. } if fleet.runs(who) => {
                fleet.mark("host lost its power");
                fleet.vanish(who);
            }
            What::Kill { .. } | What::PowerLoss { .. } => {}
            What::Pause { who, timers_first } => {
                fleet.mark("paused");
                fleet.pause(who, lasts, *timers_first);
            }
            What::ClockLeap { who, by_ms } => {
                fleet.mark("clock leapt");
                fleet.leap(who, Duration::from_millis(*by_ms));
            }
            What::Starve { who, cost_us } => {
                fleet.mark("starved");
                fleet.starve(who, Duration::from_micros(*cost_us));
            }
            What::Partition { these, those } => {
                fleet.mark("partitioned");
                fleet.block(these, those, false);
                fleet.block(those, these, false);
            }
            What::OneWay { from, to } => {
                fleet.mark("cut one way");
                fleet.block(from, to, false);
            }
            What::Stall { from, to } => {
                fleet.mark("stream stalled");
                fleet.block(slice::from_ref(from), slice::from_ref(to), true);
            }
            What::Reset { a, b } => {
                if fleet.reset(a, b) > 0 {
                    fleet.mark("link reset");
                }
            }
            What::Slow { from, to, times } => {
                fleet.mark("slow one way");
                fleet.slow_down(slice::from_ref(from), slice::from_ref(to), Some(*times));
            }
            What::Drain { who } if fleet.runs(who) => {
                fleet.mark("drained");
                fleet.drain(who);
            }
            What::Drain { .. } => {}
            What::Load { who, state } => {
                fleet.mark("loaded");
                fleet.load(who, *state);
            }
            What::Asks { who, state } => {
                fleet.mark("asked for less");
                fleet.ask(who, *state);
            }
            What::Weak { who, per_second } => {
                fleet.mark("weak");
                let frame = Duration::from_secs(1) / *per_second;
                let (event, refusal) = (frame / 20, frame / 20);
                fleet.cost(who, &Costs { frame, event, refusal, ails: true, ..Costs::default() });
            }
        }
    }

    pub(crate) fn end(&self, fleet: &mut Fleet) {
        match &self.what {
            What::Kill { who, as_new } | What::PowerLoss { who, as_new } => start(fleet, who, *as_new),
            What::Drain { who } => {
                fleet.mark(if fleet.runs(who) { "drain cut short" } else { "drained to the end" });
                fleet.crash(who);
                start(fleet, who, false);
            }
            What::Starve { who, .. } => fleet.starve(who, Duration::ZERO),
            What::Partition { these, those } => {
                fleet.unblock(these, those);
                fleet.unblock(those, these);
            }
            What::OneWay { from, to } => fleet.unblock(from, to),
            What::Stall { from, to } => fleet.unblock(slice::from_ref(from), slice::from_ref(to)),
            What::Slow { from, to, .. } => fleet.slow_down(slice::from_ref(from), slice::from_ref(to), None),
            What::Load { who, .. } => fleet.load(who, None),
            What::Asks { who, .. } => fleet.ask(who, OverloadState::Healthy),
            What::Weak { who, .. } => fleet.cost(who, &Costs::default()),
            What::Pause { .. } | What::ClockLeap { .. } | What::Reset { .. } => {}
        }
    }
}

/// Starts a node that does not run.
pub(super) fn start(fleet: &mut Fleet, who: &str, as_new: bool) {
    if fleet.runs(who) {
        return;
    }
    if as_new {
        fleet.mark("started without memory");
        fleet.restart_as_new(who);
    } else {
        fleet.mark("started with memory");
        fleet.restart(who);
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.at_ms + self.lasts_ms;
        write!(f, "{:?}, until {until} ms", self.what)
    }
}
