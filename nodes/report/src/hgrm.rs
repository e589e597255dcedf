//! Percentiles as text in HdrHistogram's own layout (`.hgrm`), which its plotting tools read. Values in ms.

use std::fmt::Write as _;

use hyperscale_codec::Hist;

use crate::hlog::{HlogError, to_hdr};
use crate::numbers::ms;

/// Steps until the distance to 100 % is halved.
const TICKS: u32 = 5;

/// The table of percentiles, and the exact mean, deviation, maximum and count below it.
///
/// # Errors
/// [`HlogError`], when hdrhistogram refuses a bucket.
pub fn percentiles(hist: &Hist) -> Result<String, HlogError> {
    let hdr = to_hdr(hist)?;
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut seen = 0;
    for step in hdr.iter_quantiles(TICKS) {
        seen += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = ms(step.value_iterated_to().min(hist.max().unwrap_or_default()));
        // A string takes everything that is written to it.
        let _ = write!(text, "{value:>12.6} {quantile:>2.12} {seen:>10}");
        let _ = match quantile < 1.0 {
            true => writeln!(text, " {:>14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(text),
        };
    }
    let (mean, deviation) =
        (hist.mean_ns().unwrap_or_default() / 1e6, hist.stdev_ns().unwrap_or_default() / 1e6);
    let _ = writeln!(text, "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]");
    let max = ms(hist.max().unwrap_or_default());
    let _ = writeln!(text, "#[Max     = {max:>12.6}, Total count    = {:>12}]", hist.count());
    let _ = writeln!(text, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", 37, 256);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_at_the_exact_maximum_with_all_values_counted() {
        let mut hist = Hist::new();
        (1..=1_000).for_each(|n| hist.record(n * 10_000));
        let text = percentiles(&hist).unwrap();
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        assert_eq!(last.split_whitespace().collect::<Vec<_>>(), ["10.000000", "1.000000000000", "1000"]);
        assert!(text.contains("#[Mean    =     5.005000"));
    }

    #[test]
    fn no_samples_give_a_table_without_rows() {
        let text = percentiles(&Hist::new()).unwrap();
        assert!(text.contains("Total count    =            0]"));
    }
}
