//! What was asked for.

use hyperscale_lab::Wake;

use crate::rows::Row;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) experiment: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) seeds: Option<u64>,
    pub(crate) first_seed: u64,
    pub(crate) nodes: Option<Vec<usize>>,
    pub(crate) full: bool,
    pub(crate) node_hours: f64,
    pub(crate) threads: usize,
    pub(crate) check: bool,
    pub(crate) wake: Wake,
    pub(crate) held: bool,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            experiment: words.next()?,
            rows: Vec::new(),
            seeds: None,
            first_seed: 1,
            nodes: None,
            full: false,
            node_hours: 100.0,
            threads: 1,
            check: false,
            wake: Wake::TimersFirst,
            held: false,
        };
        let (mut rows, mut alpha, mut swim_alpha) = (None, None, None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rows" => rows = Some(words.next()?),
                "--seeds" => options.seeds = Some(words.next()?.parse().ok()?),
                "--seed" => options.first_seed = words.next()?.parse().ok()?,
                "--nodes" => {
                    let sizes: Result<_, _> = words.next()?.split(',').map(str::parse).collect();
                    options.nodes = Some(sizes.ok()?);
                }
                "--alpha" => alpha = Some(words.next()?.parse().ok()?),
                "--swim-alpha" => swim_alpha = Some(words.next()?.parse().ok()?),
                "--full" => options.full = true,
                "--node-hours" => options.node_hours = words.next()?.parse().ok()?,
                "--threads" => options.threads = words.next()?.parse().ok()?,
                "--messages-first" => options.wake = Wake::MessagesFirst,
                "--held" => options.held = true,
                "--check" => options.check = true,
                _ => return None,
            }
        }
        let rows = rows.unwrap_or_else(|| Row::NAMES.join(","));
        options.rows = rows
            .split(',')
            .map(|name| Row::named(name, alpha, swim_alpha.or(alpha)))
            .collect::<Option<Vec<_>>>()?;
        Some(options)
    }

    pub(crate) fn seeds_or(&self, default: u64) -> impl Iterator<Item = u64> + Clone + use<> {
        self.first_seed..self.first_seed + self.seeds.unwrap_or(default)
    }
}
