//! The latency distribution as bars on a log scale.

use crate::numbers::{grouped, share, short_time};
use crate::style::{Style, Tone, columns};
use crate::summary::{DistributionBar, Summary};

/// Rows at most, before the scale gets coarser.
const ROWS_MAX: usize = 14;
/// Empty bars in a row from which one mark stands for all.
const GAP_MIN: usize = 2;
/// Columns of a bound, such as `<= 3.15ms`.
const BOUND: usize = 10;
const SHARE: usize = 7;
const BAR_MAX: usize = 60;
/// Bounds within a decade, fine to coarse; each is part of the one before.
const SCALES: [&[f64]; 3] = [&[1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0], &[1.0, 2.0, 5.0], &[1.0]];

pub(super) fn distribution(out: &mut String, summary: &Summary, style: Style) {
    let rows = scaled(&summary.distribution);
    let Some(most) = rows.iter().flatten().map(|bar| bar.count).max().filter(|&most| most > 0) else {
        return;
    };
    let counts = columns(&grouped(most));
    // A space, the bound, ` |`, the bar, two spaces, the count, the share.
    let used = 1 + BOUND + 2 + 2 + counts + SHARE;
    let widest = style.width.saturating_sub(used).min(BAR_MAX);
    let (le, edge, gap) = if style.unicode { ("≤", "│", "⋮") } else { ("<=", "|", ":") };
    for row in &rows {
        let Some(bar) = row else {
            out.push_str(&format!(" {gap:>BOUND$} {}\n", style.paint(Tone::Faint, edge)));
            continue;
        };
        let drawn = drawn(bar.count, most, widest, style.unicode);
        let pad = " ".repeat(widest.saturating_sub(columns(&drawn)));
        let label = format!("{le} {}", short_time(bar.le_ms));
        let part = share(bar.count, summary.latency_ms.count);
        out.push_str(&format!(
            " {label:>BOUND$} {}{}{pad}  {:>counts$}{part:>SHARE$}\n",
            style.paint(Tone::Faint, edge),
            drawn,
            grouped(bar.count),
        ));
    }
}

/// The finest scale with few enough rows; `None` is a gap.
fn scaled(bars: &[DistributionBar]) -> Vec<Option<DistributionBar>> {
    let mut rows = Vec::new();
    for scale in SCALES {
        rows = with_gaps(on_scale(bars, scale));
        if rows.len() <= ROWS_MAX {
            break;
        }
    }
    rows
}

/// Empty bars in a row become one gap.
fn with_gaps(bars: Vec<DistributionBar>) -> Vec<Option<DistributionBar>> {
    let mut rows = Vec::with_capacity(bars.len());
    for group in bars.chunk_by(|one, next| (one.count == 0) == (next.count == 0)) {
        if group.first().is_some_and(|bar| bar.count == 0) && group.len() >= GAP_MIN {
            rows.push(None);
        } else {
            rows.extend(group.iter().cloned().map(Some));
        }
    }
    rows
}

/// Sums bars up to the bounds of a scale, with the empty ones between.
fn on_scale(bars: &[DistributionBar], scale: &[f64]) -> Vec<DistributionBar> {
    let decades = (-6..9).map(|power| 10_f64.powi(power));
    let mut bounds = decades.flat_map(|decade| scale.iter().map(move |bound| bound * decade));
    let mut scaled: Vec<DistributionBar> = Vec::new();
    for bar in bars {
        // Bounds come out of a product: compare with a little slack.
        let last = scaled.last_mut().filter(|last| bar.le_ms <= last.le_ms * (1.0 + 1e-9));
        if let Some(last) = last {
            last.count += bar.count;
            continue;
        }
        for bound in bounds.by_ref() {
            let reached = bar.le_ms <= bound * (1.0 + 1e-9);
            if reached || !scaled.is_empty() {
                scaled.push(DistributionBar { le_ms: bound, count: if reached { bar.count } else { 0 } });
            }
            if reached {
                break;
            }
        }
    }
    scaled
}

/// A bar of a share of `widest` columns, to an eighth of a column; something is never nothing.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bar has at most 60 columns"
)]
fn drawn(count: u64, most: u64, widest: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (count as f64 / most as f64 * widest as f64 * 8.0).round() as usize;
    let eighths = eighths.max(usize::from(count > 0)).min(widest * 8);
    if unicode {
        let tip = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
        return format!("{}{tip}", "█".repeat(eighths / 8));
    }
    match (eighths + 4) / 8 {
        0 if count > 0 => ".".to_owned(),
        whole => "#".repeat(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::distribution;
    use hyperscale_codec::Hist;

    #[test]
    fn every_scale_holds_every_value_once_and_stays_short() {
        for spread in [1_u64, 3, 30, 1_000, 100_000, 10_000_000_000] {
            let mut hist = Hist::new();
            (0..1_000).for_each(|n| hist.record(1_500 + n * spread));
            let rows = scaled(&distribution(&hist));
            assert_eq!(rows.iter().flatten().map(|bar| bar.count).sum::<u64>(), 1_000, "spread {spread}");
            assert!((1..=ROWS_MAX).contains(&rows.len()), "spread {spread}: {} rows", rows.len());
        }
    }

    #[test]
    fn a_lonely_outlier_does_not_coarsen_the_scale() {
        let mut hist = Hist::new();
        (1..=900).for_each(|n| hist.record(n * 1_000_000));
        hist.record(30_000_000_000);
        let rows = scaled(&distribution(&hist));
        let bounds: Vec<f64> = rows.iter().flatten().map(|bar| bar.le_ms.round()).collect();
        // The bucket of 1 ms ends above 1 ms, so it counts in the next bar.
        assert_eq!(bounds, [2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 50_000.0]);
        assert_eq!(rows.iter().position(Option::is_none), Some(9));
    }

    #[test]
    fn a_bar_of_something_is_never_empty_and_none_is_too_long() {
        assert_eq!(drawn(1, 1_000_000, 20, true), "▏");
        assert_eq!(drawn(1, 1_000_000, 20, false), ".");
        assert_eq!(drawn(0, 10, 20, true), "");
        assert_eq!(drawn(10, 10, 3, true), "███");
        assert_eq!(drawn(5, 10, 4, false), "##");
        assert_eq!(drawn(7, 16, 2, true), "▉");
    }
}
