//! Columns of statistics and the histograms in them: checked as a whole, then merged from the archive.

use hyperscale_codec::messages::{StatsSnapshot, StatsUpdate};
use hyperscale_codec::{Header, Hist, RawFrame, WorkflowId};
use hyperscale_stats::{Totals, WindowMerge};

use crate::{Rng, Shown, Tally, golden, rounds, whole};

/// Calls `meet` with frames of one golden file whose core lies.
fn lies(name: &str, seed: u64, usual: u32, mut meet: impl FnMut(&RawFrame<'_>)) {
    let good = golden(name);
    let (good, other, mut rng) = (whole(&good), golden("StatsFinal"), Rng(seed));
    rounds(usual, |round| {
        let core = rng.mutate(good.core(), &other);
        let mut bytes = good.header.encode().to_vec();
        bytes.extend_from_slice(&core);
        let _shown = Shown(round, &core);
        let core_len = u32::try_from(core.len()).unwrap();
        meet(&RawFrame { header: Header { core_len, ext_len: 0, ..good.header }, bytes: &bytes });
    });
}

/// Steps of each workflow of the plan that the columns are said to be of.
const STEPS: [usize; 3] = [3; 3];
/// Sources that lie about who they are would fill the totals.
const FRESH_EVERY: u64 = 64;

#[test]
fn no_columns_that_pass_the_check_panic_the_merge_of_windows_and_totals() {
    let (mut checked, mut merged, mut scratch) = (Tally::default(), Tally::default(), Vec::new());
    let (mut totals, mut windows) = (Totals::new(STEPS.to_vec()), WindowMerge::<u8>::new(&STEPS));
    lies("StatsUpdate", 0x57a7, 3_000, |frame| {
        let Ok(update) = frame.decode::<StatsUpdate>(&mut scratch) else { return };
        let columns = &update.0;
        checked.note(columns.check().is_ok());
        if columns.check().is_err() {
            return;
        }
        if checked.taken % FRESH_EVERY == 0 {
            (totals, windows) = (Totals::new(STEPS.to_vec()), WindowMerge::new(&STEPS));
        }
        merged.note(windows.take(1, columns).is_ok());
        let _refused = totals.take_delta(columns, |_, _, _| {});
        // What was taken is added up over sources.
        let (_level, _sum) = (windows.in_flight(), totals.sum(WorkflowId(0)));
    });
}

#[test]
fn no_snapshot_that_passes_the_check_panics_the_totals() {
    let (mut taken, mut scratch) = (Tally::default(), Vec::new());
    let mut totals = Totals::new(STEPS.to_vec());
    lies("StatsSnapshot", 0x54a9, 3_000, |frame| {
        let Ok(snapshot) = frame.decode::<StatsSnapshot>(&mut scratch) else { return };
        if snapshot.0.check().is_err() {
            return;
        }
        if (taken.taken + taken.refused) % FRESH_EVERY == 0 {
            totals = Totals::new(STEPS.to_vec());
        }
        taken.note(totals.take_snapshot(&snapshot.0, false, |_, _, _| {}).is_ok());
        let sums = (0..3).map(|workflow| totals.sum(WorkflowId(workflow)).sum_of_steps());
        assert_eq!(sums.count(), STEPS.len());
    });
}

#[test]
fn a_refused_histogram_changes_nothing_and_a_taken_one_adds_up() {
    let (mut tally, mut scratch) = (Tally::default(), Vec::new());
    let mut into = Hist::new();
    lies("StatsFinal", 0x4157, 2_000, |frame| {
        // Every histogram that bytecheck lets through, whatever the columns around it say.
        let Ok(update) = RawFrame { header: Header { kind: 0x8020, ..frame.header }, ..*frame }
            .decode::<StatsUpdate>(&mut scratch)
        else {
            return;
        };
        for sparse in update.0.latency.iter().chain(update.0.connect.iter()) {
            let before = into.clone();
            let merged = into.merge_archived(sparse);
            tally.note(merged.is_ok());
            if merged.is_err() {
                assert_eq!(into, before);
            } else {
                assert_eq!(into.count(), before.count() + sparse.count.to_native());
                assert_eq!(into.counts().iter().sum::<u64>(), into.count());
            }
        }
        if into.count() > u64::MAX / 4 {
            into.clear();
        }
    });
}
