//! "Did you mean": the nearest of the known names, if one is near enough to be a slip.

/// Names longer than this are not compared; the cost is their product.
const NAME_CHARS_MAX: usize = 32;

/// Known names that are looked at; the cost is their product with the names that are asked for.
const KNOWN_MAX: usize = 256;

/// The nearest of `known` to `name`: at most one edit in three characters, and at most three.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().take(NAME_CHARS_MAX.saturating_add(1)).collect();
    if wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    let allowed = wanted.len().div_ceil(3).clamp(1, 3);
    known
        .into_iter()
        .take(KNOWN_MAX)
        .map(|candidate| (distance(&wanted, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= allowed && *edits < candidate.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean "X"?`, or nothing.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |found| format!("; did you mean \"{found}\"?"))
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment); case counts as nothing.
fn distance(from: &[char], to: &str) -> usize {
    let mut two_ago: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=from.len()).collect();
    let mut previous: Option<char> = None;
    for (j, b) in to.chars().take(NAME_CHARS_MAX).enumerate() {
        let mut next = vec![j.saturating_add(1)];
        for (i, a) in from.iter().enumerate() {
            let at = |cells: &[usize], k: usize| cells.get(k).copied().unwrap_or(usize::MAX);
            let same = a.eq_ignore_ascii_case(&b);
            let mut best = at(&row, i).saturating_add(usize::from(!same));
            best = best.min(at(&row, i.saturating_add(1)).saturating_add(1));
            best = best.min(at(&next, i).saturating_add(1));
            if let Some(k) = i.checked_sub(1)
                && from.get(k).is_some_and(|c| c.eq_ignore_ascii_case(&b))
                && previous.is_some_and(|c| c.eq_ignore_ascii_case(a))
            {
                best = best.min(at(&two_ago, k).saturating_add(1));
            }
            next.push(best);
        }
        two_ago = std::mem::replace(&mut row, next);
        previous = Some(b);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["duration", "vus", "stages", "steps", "max_vus"];

    #[test]
    fn slips_find_the_name_that_was_meant() {
        for (slip, meant) in [
            ("durration", "duration"),
            ("Duration", "duration"),
            ("druation", "duration"),
            ("vu", "vus"),
            ("stage", "stages"),
            ("step", "steps"),
            ("maxvus", "max_vus"),
        ] {
            assert_eq!(nearest(slip, KNOWN), Some(meant), "{slip}");
        }
    }

    #[test]
    fn a_name_that_is_far_from_all_gets_no_suggestion() {
        for name in ["", "x", "colour", "think_time_ms", &"v".repeat(1000)] {
            assert_eq!(nearest(name, KNOWN), None, "{name}");
        }
    }

    #[test]
    fn swapped_neighbours_are_one_edit() {
        assert_eq!(distance(&['w', 'r', 'a', 'm'], "warm"), 1);
        assert_eq!(distance(&[], "abc"), 3);
        assert_eq!(distance(&['a', 'b', 'c'], ""), 3);
    }
}
