//! One number for a monitor.

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows from 0 at the start of the node; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// Its word in the Prometheus text format.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One sample, and what it means.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// `hyperscale_*`, with the unit last: `_seconds`, `_bytes`, `_ratio`; counters then end in `_total`.
    pub name: &'static str,
    /// One sentence; the same for all samples of a name.
    pub help: &'static str,
    /// What tells this sample from the others of its name.
    pub labels: Vec<(&'static str, String)>,
    /// Its value now.
    pub value: f64,
    /// The same for all samples of a name.
    pub kind: Kind,
}

impl Gauge {
    /// A number that only grows.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), value, kind: Kind::Counter }
    }

    /// A number that goes up and down.
    #[must_use]
    pub const fn level(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, labels: Vec::new(), value, kind: Kind::Gauge }
    }

    /// The same with one label more.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }

    /// A table of counts as one counter: each row's name becomes the value of `label`, such as `cause`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
    pub fn counters_by(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        rows: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Vec<Self> {
        let sample = |(row, count): (&str, u64)| Self::counter(name, help, count as f64).label(label, row);
        rows.into_iter().map(sample).collect()
    }
}
