//! What a seed stands for: a fleet, what is asked of it, and everything that goes wrong, as lists made before the run.

use std::fmt;
use std::time::Duration;

use hyperscale_codec::Role;
use hyperscale_reliability::{Operation, RateLimit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::faults::{self, Fault};
use crate::fleet::Shape;
use crate::fleet::weather::Mishaps;
use crate::hash::mix_text;

/// One stream of draws: another one's length does not change it.
pub(crate) fn stream(seed: u64, name: &str) -> StdRng {
    StdRng::seed_from_u64(mix_text(seed, name))
}

/// How far apart the sites are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Profile {
    Loopback,
    Lan,
    /// Between two sites, one way, in ms; the other way takes another time.
    Wan(u64, u64),
}

/// One thing that a client wants.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) at_ms: u64,
    pub(crate) client: String,
    /// Which job; two tasks with one number are the same submission through two clients.
    pub(crate) number: u128,
    pub(crate) plan: String,
    pub(crate) lasts_ms: u64,
    /// Whether its schedule tells how long it lasts.
    pub(crate) cancel_after_ms: Option<u64>,
}

/// A run.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
    pub(crate) profile: Profile,
    pub(crate) mishaps: Mishaps,
    pub(crate) tasks: Vec<Task>,
    pub(crate) faults: Vec<Fault>,
    /// Whether the load of nodes is measured, and obeyed.
    pub(crate) measured: bool,
    /// From then on nothing goes wrong.
    pub(crate) healed_ms: u64,
}

const SITES: [&str; 2] = ["eu", "us"];

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = stream(seed, "shape");
        let gates = rng.random_range(1..=3);
        let sites = rng.random_range(1..=2);
        let datacenters =
            (0..sites).map(|site| (SITES[site], rng.random_range(1..=2), rng.random_range(1..=4))).collect();
        let mut shape = Shape {
            gates,
            gate_shards: rng.random_range(1..=2),
            datacenters,
            clients: rng.random_range(1..=3),
            shards: rng.random_range(1..=2),
            uneven: rng.random_bool(0.5),
            engines: rng.random_bool(0.3),
            ..Shape::default()
        };
        let mut network = stream(seed, "profile");
        let profile = match network.random_range(0..4) {
            0 => Profile::Loopback,
            1 | 2 => Profile::Lan,
            _ => Profile::Wan(network.random_range(20..=150), network.random_range(20..=150)),
        };
        let calm = network.random_bool(0.5);
        let mut up_to = |most: f64| if calm { 0.0 } else { network.random_range(0.0..most) };
        let mishaps = Mishaps { loss: up_to(0.05), twice: up_to(0.1), late: up_to(0.2), flip: up_to(0.02) };
        let tasks = tasks(&shape, &mut stream(seed, "workload"));
        let healed_ms = 12_000;
        // One seed in twenty has a fleet that nothing ails, and must do well at once.
        let quiet = seed % 20 == 19;
        let mut faults = Vec::new();
        if !quiet {
            faults = faults::draw(&shape, healed_ms, &mut stream(seed, "faults"));
        }
        if !quiet {
            faults.extend(faults::draw_levels(&shape, healed_ms, &mut stream(seed, "levels")));
            faults.sort_by_key(|fault: &Fault| fault.at_ms);
        }
        let mut load = stream(seed, "load");
        let (measured, tight) = (load.random_bool(0.5), load.random_bool(0.5));
        let loads = faults::draw_loads(&shape, healed_ms, &mut load);
        if measured && !quiet {
            faults.extend(loads);
            faults.sort_by_key(|fault: &Fault| fault.at_ms);
            if tight {
                // What is asked again soon is too much.
                let few = Some(RateLimit { size: 1, per_second: 1.0 });
                Operation::ALL.into_iter().for_each(|operation| shape.limits.set(operation, few));
            }
        }
        let mishaps = if quiet { Mishaps::default() } else { mishaps };
        Self { seed, shape, profile, mishaps, tasks, faults, measured, healed_ms }
    }

    /// Whether nothing goes wrong at all.
    pub(crate) fn is_quiet(&self) -> bool {
        self.faults.is_empty() && self.mishaps == Mishaps::default()
    }

    /// The longest that any of its jobs lasts.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_millis(self.tasks.iter().map(|task| task.lasts_ms).max().unwrap_or(0))
    }
}

/// Names of all nodes of a role.
pub(crate) fn names(shape: &Shape, role: Role) -> Vec<String> {
    let sum = |count: fn(&(&'static str, usize, usize)) -> usize| shape.datacenters.iter().map(count).sum();
    let count: usize = match role {
        Role::Gate => shape.gates,
        Role::Manager => sum(|datacenter| datacenter.1),
        Role::Worker => sum(|datacenter| datacenter.2),
        Role::Client => shape.clients,
    };
    (0..count).map(|n| format!("{role}-{n}")).collect()
}

fn tasks(shape: &Shape, rng: &mut StdRng) -> Vec<Task> {
    let mut tasks = Vec::new();
    for client in 0..shape.clients {
        let number = 100 + client as u128;
        let (plan, lasts_ms) = plan(shape.engines, rng);
        let task = Task {
            at_ms: rng.random_range(0..6_000),
            client: format!("client-{client}"),
            number,
            plan,
            lasts_ms,
            cancel_after_ms: rng.random_bool(0.2).then(|| rng.random_range(0..5_000)),
        };
        tasks.push(task);
    }
    // The same submission through two clients is one job.
    if tasks.len() > 1 && rng.random_bool(0.3) {
        let (number, plan, lasts_ms) = (tasks[0].number, tasks[0].plan.clone(), tasks[0].lasts_ms);
        (tasks[1].number, tasks[1].plan, tasks[1].lasts_ms) = (number, plan, lasts_ms);
    }
    tasks
}

/// A plan, and how long it lasts at most.
fn plan(engines: bool, rng: &mut StdRng) -> (String, u64) {
    let first = "target = \"http://127.0.0.1:1\"\n";
    let ms = |rng: &mut StdRng| rng.random_range(5..80) * 100_u64;
    if engines && rng.random_bool(0.7) {
        let (rate, duration) = (rng.random_range(10..60), ms(rng));
        let steps = "[workflows.home]\nsteps = [{ get = \"/\" }]\n";
        let text = match rng.random_range(0..3) {
            0 => format!("rate = {rate}\nduration = \"{duration}ms\"\nmax_vus = 90\n"),
            1 => format!("vus = 12\ntotal_iterations = {}\n", rate * 20),
            _ => format!("rate = {rate}\ntotal_iterations = {}\nmax_vus = 90\n", rate * 4),
        };
        return (format!("{first}{steps}{text}"), duration.max(8_000));
    }
    let workflow = |name: &str, after: &str, duration: u64| {
        let vus = if engines { "rate = 20\nmax_vus = 90" } else { "vus = 8" };
        format!(
            "[workflows.{name}]\n{after}{vus}\nduration = \"{duration}ms\"\nsteps = [{{ get = \"/{name}\" }}]\n"
        )
    };
    let (a, b, c) = (ms(rng), ms(rng), ms(rng));
    if rng.random_bool(0.5) {
        return (format!("{first}{}", workflow("home", "", a)), a);
    }
    let after = |names: &str| format!("after = [{names}]\n");
    let text = workflow("first", "", a)
        + &workflow("left", &after("\"first\""), b)
        + &workflow("right", &after("\"first\""), c)
        + &workflow("last", &after("\"left\", \"right\""), 700);
    (format!("{first}{text}"), a + b.max(c) + 700)
}

impl fmt::Display for Scenario {
    /// A time line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = &self.shape;
        writeln!(
            f,
            "seed {}: {} gates of {} shards, {:?}, {} clients, {} load, {:?}, {:?}",
            self.seed,
            shape.gates,
            shape.gate_shards,
            shape.datacenters,
            shape.clients,
            if shape.engines { "engine" } else { "counted" },
            self.profile,
            self.mishaps
        )?;
        let mut lines: Vec<(u64, String)> = Vec::new();
        for task in &self.tasks {
            let cancel =
                task.cancel_after_ms.map_or(String::new(), |ms| format!(", cancels it {ms} ms later"));
            let what = format!("{} submits job {} of {} ms{cancel}", task.client, task.number, task.lasts_ms);
            lines.push((task.at_ms, what));
        }
        lines.extend(self.faults.iter().map(|fault| (fault.at_ms, fault.to_string())));
        lines.push((self.healed_ms, "all is healed".to_owned()));
        lines.sort();
        lines.iter().try_for_each(|(at, what)| writeln!(f, "{at:>7} ms  {what}"))
    }
}
