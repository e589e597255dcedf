//! Which rare situations a run has reached: a run that tests nothing shows.

use std::collections::BTreeMap;

/// How often each was reached.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Marks(BTreeMap<&'static str, u64>);

impl Marks {
    pub(crate) fn hit(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    pub(crate) fn hits(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, hits)| *self.0.entry(name).or_default() += hits);
    }

    /// A table, for people: hits, and in how many runs.
    pub(crate) fn table(&self, runs: &Self) -> String {
        let rows = self.0.iter().map(|(name, hits)| format!("{hits:>9} {:>6}  {name}\n", runs.hits(name)));
        format!("     hits  seeds  mark\n{}", rows.collect::<String>())
    }

    /// One for each mark that was hit.
    pub(crate) fn once(&self) -> Self {
        Self(self.0.keys().map(|name| (*name, 1)).collect())
    }
}
