//! One node of the fleet, as another node sees it.

use serde::Serialize;

use crate::table::{Align, Column, age, table};

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It answers.
    Alive,
    /// It did not answer in time and may still refute that.
    Suspect,
    /// It did not refute.
    Dead,
    /// It said goodbye.
    Left,
    /// It ends what it has and takes nothing new.
    Draining,
}

/// How loaded a node says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overload {
    /// It takes everything.
    Healthy,
    /// It sheds what is only nice to have.
    Busy,
    /// It sheds what can be repeated.
    Stressed,
    /// It takes only what must not be lost.
    Overloaded,
}

/// Whether a node's work goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It has none.
    Idle,
    /// As fast as was expected.
    Normal,
    /// Slower than was expected.
    Slow,
    /// Much slower.
    Degraded,
    /// Not at all.
    Stuck,
}

macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),+ $(,)? })+) => { $(
        impl $name {
            /// The word that JSON and tables use.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    )+ };
}

words! {
    NodeState { Alive = "alive", Suspect = "suspect", Dead = "dead", Left = "left", Draining = "draining" }
    Overload { Healthy = "healthy", Busy = "busy", Stressed = "stressed", Overloaded = "overloaded" }
    Progress { Idle = "idle", Normal = "normal", Slow = "slow", Degraded = "degraded", Stuck = "stuck" }
}

/// One node; serializes as a row of `nodes --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeRow {
    /// What people call it; unique in a fleet.
    pub name: String,
    /// `gate`, `manager` or `worker`.
    pub role: String,
    /// Empty for a gate that belongs to none.
    pub datacenter: String,
    /// Made at its first start: 32 hex digits.
    pub node_id: String,
    /// Where it listens; empty if it does not.
    pub addr: String,
    /// Its admin port, if it has one.
    pub admin: Option<String>,
    /// Of the protocol: `1.4`.
    pub version: String,
    /// Of the program: `0.1.0`.
    pub build: String,
    /// Whether it is there.
    pub state: NodeState,
    /// How many executors it runs.
    pub shards: u16,
    /// Whether it takes new work.
    pub accepting: bool,
    /// How loaded it says it is.
    pub overload: Overload,
    /// Whether its work goes forward.
    pub progress: Progress,
    /// Jobs it has part in.
    pub jobs: u32,
    /// Seconds since `state` last changed.
    pub since_s: f64,
    /// Its wall clock minus ours, when measured.
    pub clock_offset_ms: Option<f64>,
    /// How wrong that may be, either way.
    pub clock_error_ms: Option<f64>,
}

/// The document of `nodes --json` and of `/nodes`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Nodes<'a> {
    /// Its rows.
    pub nodes: &'a [NodeRow],
    /// Shards that did not answer, so that their rows may be missing. Left out when there are none.
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    pub silent_shards: &'a [u16],
}

/// The rows for a terminal of 80 columns, under a header.
#[must_use]
pub fn nodes_table(rows: &[NodeRow]) -> String {
    const COLUMNS: [Column; 10] = [
        Column::shrinking("NAME", 6),
        Column::fixed("ROLE", Align::Left),
        Column::shrinking("DC", 4),
        Column::fixed("STATE", Align::Left),
        Column::fixed("VER", Align::Left),
        Column::fixed("CPU", Align::Right),
        Column::fixed("LOAD", Align::Left),
        Column::fixed("WORK", Align::Left),
        Column::fixed("JOBS", Align::Right),
        Column::fixed("FOR", Align::Right),
    ];
    let cells = rows.iter().map(|row| {
        // A node that takes nothing new says so where one looks for its load.
        let load = if row.accepting { row.overload.word() } else { "closed" };
        [
            row.name.clone(),
            row.role.clone(),
            row.datacenter.clone(),
            row.state.word().to_owned(),
            row.version.clone(),
            row.shards.to_string(),
            load.to_owned(),
            row.progress.word().to_owned(),
            row.jobs.to_string(),
            age(row.since_s),
        ]
    });
    table(&COLUMNS, cells)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(name: &str) -> NodeRow {
        NodeRow {
            name: name.to_owned(),
            role: "worker".to_owned(),
            datacenter: "dc-1".to_owned(),
            node_id: format!("{name:0>32}"),
            addr: String::new(),
            admin: None,
            version: "1.4".to_owned(),
            build: "0.1.0".to_owned(),
            state: NodeState::Alive,
            shards: 2,
            accepting: true,
            overload: Overload::Healthy,
            progress: Progress::Normal,
            jobs: 1,
            since_s: 73.5,
            clock_offset_ms: None,
            clock_error_ms: Some(0.25),
        }
    }

    #[test]
    fn the_json_has_the_keys_that_scripts_lean_on() {
        let rows = [row("worker-1")];
        let json = serde_json::to_value(Nodes { nodes: &rows, silent_shards: &[] }).unwrap();
        let node = &json["nodes"][0];
        for (key, value) in [
            ("name", serde_json::json!("worker-1")),
            ("role", "worker".into()),
            ("datacenter", "dc-1".into()),
            ("state", "alive".into()),
            ("version", "1.4".into()),
            ("shards", 2.into()),
            ("accepting", true.into()),
            ("overload", "healthy".into()),
            ("progress", "normal".into()),
            ("since_s", 73.5.into()),
            ("clock_offset_ms", serde_json::Value::Null),
        ] {
            assert_eq!(node.get(key), Some(&value), "{key}");
        }
        assert!(json.get("silent_shards").is_none());
    }

    #[test]
    fn words_are_the_same_in_json_and_in_tables() {
        let json = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        for state in
            [NodeState::Alive, NodeState::Suspect, NodeState::Dead, NodeState::Left, NodeState::Draining]
        {
            assert_eq!(json(serde_json::to_value(state).unwrap()), state.word());
        }
        for overload in [Overload::Healthy, Overload::Busy, Overload::Stressed, Overload::Overloaded] {
            assert_eq!(json(serde_json::to_value(overload).unwrap()), overload.word());
        }
        let all = [Progress::Idle, Progress::Normal, Progress::Slow, Progress::Degraded, Progress::Stuck];
        for progress in all {
            assert_eq!(json(serde_json::to_value(progress).unwrap()), progress.word());
        }
    }

    #[test]
    fn a_table_of_nodes_is_aligned() {
        let gate = NodeRow {
            role: "gate".to_owned(),
            datacenter: String::new(),
            state: NodeState::Draining,
            accepting: false,
            progress: Progress::Idle,
            since_s: 4.2,
            ..row("gate-1")
        };
        let expected = "\
NAME      ROLE    DC    STATE     VER  CPU  LOAD     WORK    JOBS    FOR
gate-1    gate    -     draining  1.4    2  closed   idle       1     4s
worker-1  worker  dc-1  alive     1.4    2  healthy  normal     1  1m13s
";
        assert_eq!(nodes_table(&[gate, row("worker-1")]), expected);
    }

    #[test]
    fn the_longest_words_fit_80_columns() {
        let long = NodeRow {
            role: "manager".to_owned(),
            datacenter: "datacenter-with-a-very-long-name".to_owned(),
            state: NodeState::Draining,
            version: "10.12".to_owned(),
            shards: 1024,
            overload: Overload::Overloaded,
            progress: Progress::Degraded,
            jobs: 1000,
            since_s: 1e7,
            ..row("a-name-that-nobody-would-want-to-read-in-a-table")
        };
        let text = nodes_table(&[long, row("w")]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains('…'), "{text}");
    }
}
