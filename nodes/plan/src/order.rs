//! `after`: names to indexes; nobody waits for himself, directly or through others.

use crate::limits::WORKFLOWS_MAX;
use crate::read::{Findings, Section};
use crate::suggest::did_you_mean;
use crate::words::quote;

/// Indexes of the workflows each one waits for, in the order of the file.
pub(crate) fn resolve_after(entries: &[(&str, Section<'_>)], findings: &mut Findings) -> Vec<Vec<usize>> {
    let names: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
    let after: Vec<Vec<usize>> =
        entries.iter().map(|(name, section)| read_after(name, section, &names, findings)).collect();
    for cycle in cycles(&after) {
        let shown: Vec<&str> =
            cycle.iter().chain(cycle.first()).filter_map(|index| names.get(*index).copied()).collect();
        if let Some((_, section)) = cycle.first().and_then(|first| entries.get(*first)) {
            findings.error(
                section.value_span("after"),
                format!("workflows wait for each other: {}; remove one \"after\"", shown.join(" -> ")),
            );
        }
    }
    after
}

fn read_after(name: &str, section: &Section<'_>, names: &[&str], findings: &mut Findings) -> Vec<usize> {
    let mut indexes = Vec::new();
    let Some(array) = section.array("after", "[\"warm\"]", findings) else { return indexes };
    if array.len() > WORKFLOWS_MAX {
        let message = format!("after names {} workflows; a plan has at most {WORKFLOWS_MAX}", array.len());
        findings.error(section.key_span("after"), message);
        return indexes;
    }
    for value in array {
        let span = value.span().unwrap_or_else(|| section.value_span("after"));
        let Some(wanted) = value.as_str() else {
            findings.error(
                span,
                format!(
                    "\"after\" is a list of names in quotes; found {}",
                    crate::read::kind_of_value(value)
                ),
            );
            continue;
        };
        match names.iter().position(|known| *known == wanted) {
            _ if wanted == name => {
                findings
                    .error(span, format!("{} waits for itself; remove \"{name}\" from after", section.at));
            }
            Some(index) if indexes.contains(&index) => {
                findings.error(span, format!("after names {} twice; once is enough", quote(wanted)));
            }
            Some(index) => indexes.push(index),
            None => {
                let others = names.iter().copied().filter(|other| *other != name);
                let hint = did_you_mean(wanted, others);
                findings.error(span, format!("after names {}, which is not a workflow{hint}", quote(wanted)));
            }
        }
    }
    indexes
}

/// Cycles, each from its first workflow in the file; one for each way back that a search in depth finds.
fn cycles(after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut search = Search { after, path: Vec::new(), done: vec![false; after.len()], found: Vec::new() };
    for start in 0..after.len() {
        search.visit(start);
    }
    search.found
}

struct Search<'a> {
    after: &'a [Vec<usize>],
    path: Vec<usize>,
    done: Vec<bool>,
    found: Vec<Vec<usize>>,
}

impl Search<'_> {
    /// At most 256 deep: no workflow stands twice on the path.
    fn visit(&mut self, index: usize) {
        if self.done.get(index).copied().unwrap_or(true) {
            return;
        }
        if let Some(from) = self.path.iter().position(|on_path| *on_path == index) {
            let mut cycle = self.path.get(from..).unwrap_or_default().to_vec();
            let first =
                cycle.iter().enumerate().min_by_key(|(_, workflow)| **workflow).map_or(0, |(at, _)| at);
            cycle.rotate_left(first);
            self.found.push(cycle);
            return;
        }
        self.path.push(index);
        for next in self.after.get(index).into_iter().flatten() {
            self.visit(*next);
        }
        self.path.pop();
        if let Some(done) = self.done.get_mut(index) {
            *done = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cycle_is_found_and_starts_with_its_first_workflow() {
        assert_eq!(cycles(&[vec![1], vec![0]]), [[0, 1]]);
        assert_eq!(cycles(&[vec![], vec![2], vec![1, 0]]), [[1, 2]]);
        assert_eq!(cycles(&[vec![2], vec![0], vec![1]]), [[0, 2, 1]]);
        assert_eq!(cycles(&[vec![1], vec![0], vec![3], vec![2]]), [[0, 1], [2, 3]]);
        // Entered at its second workflow, from one that is not part of it.
        assert_eq!(cycles(&[vec![2], vec![2], vec![1]]), [[1, 2]]);
    }

    #[test]
    fn a_diamond_is_no_cycle() {
        assert!(cycles(&[vec![], vec![0], vec![0], vec![1, 2]]).is_empty());
    }

    #[test]
    fn a_search_over_the_densest_order_ends() {
        let after: Vec<Vec<usize>> = (0..256).map(|i| (0..i).collect()).collect();
        assert!(cycles(&after).is_empty());
    }
}
