//! Why a node is judged as it is: one judge after another, signal by signal.

use serde::Serialize;

/// One signal behind a judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignalRow {
    /// Such as `liveness`.
    pub name: String,
    /// Its value and its bound, in words.
    pub value: String,
    /// Whether it speaks for the node.
    pub ok: bool,
}

/// One node's judgement of another, or what a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictRow {
    /// Who judges.
    pub observer: String,
    /// `gate`, `manager` or `worker`.
    pub role: String,
    /// Empty for a gate.
    pub datacenter: String,
    /// 32 hex digits.
    pub node_id: String,
    /// `route`, `drain`, `investigate` or `evict`; empty for a node that speaks of itself.
    pub decision: String,
    /// What led to it.
    pub signals: Vec<SignalRow>,
}

/// The document of `nodes --why NAME --json`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Why<'a> {
    /// The name that was asked for.
    pub node: &'a str,
    /// Everybody's judgement.
    pub verdicts: &'a [VerdictRow],
}

/// For a terminal: each node of that name, each of its judges, each signal; `!` marks what speaks against it.
#[must_use]
pub fn verdicts_text(name: &str, rows: &[VerdictRow]) -> String {
    let mut text = String::new();
    let mut last = None;
    for row in rows {
        if last != Some(&row.node_id) {
            let place =
                if row.datacenter.is_empty() { String::new() } else { format!(" of {}", row.datacenter) };
            text.push_str(&format!("{} {name}{place}  {}\n", row.role, row.node_id));
            last = Some(&row.node_id);
        }
        match row.decision.as_str() {
            "" => text.push_str("  says of itself\n"),
            decision => text.push_str(&format!("  {} says: {decision}\n", row.observer)),
        }
        let width = row.signals.iter().map(|signal| signal.name.chars().count()).max().unwrap_or_default();
        for SignalRow { name, value, ok } in &row.signals {
            let mark = if *ok { ' ' } else { '!' };
            text.push_str(&format!("  {mark} {name:<width$}  {value}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_against_a_node_is_marked_and_its_judges_are_named() {
        let signal = |name: &str, value: &str, ok| SignalRow { name: name.into(), value: value.into(), ok };
        let row = |observer: &str, decision: &str, signals| VerdictRow {
            observer: observer.into(),
            role: "worker".into(),
            datacenter: "dc-1".into(),
            node_id: "0123".into(),
            decision: decision.into(),
            signals,
        };
        let rows = [
            row(
                "manager-1",
                "investigate",
                vec![
                    signal("liveness", "heard 0.2 s ago", true),
                    signal("progress", "slow: 0.40 of what was expected", false),
                ],
            ),
            row("manager-2", "route", vec![signal("liveness", "heard 0.3 s ago", true)]),
        ];
        let expected = "\
worker w-1 of dc-1  0123
  manager-1 says: investigate
    liveness  heard 0.2 s ago
  ! progress  slow: 0.40 of what was expected
  manager-2 says: route
    liveness  heard 0.3 s ago
";
        assert_eq!(verdicts_text("w-1", &rows), expected);
    }
}
