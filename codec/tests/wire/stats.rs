//! The check of a statistics message names the first thing that does not hold together.

use hyperscale_codec::messages::{ROWS_MAX, StatsColumns, StatsUpdate};
use hyperscale_codec::{Encoder, Head, Limits, RawFrame, StatsError};

use crate::samples;

fn check(breaking: impl FnOnce(&mut StatsColumns)) -> Result<(), StatsError> {
    let mut columns = samples::columns(9);
    breaking(&mut columns);
    let mut bytes = Vec::new();
    Encoder::default().append(&mut bytes, Head::default(), &StatsUpdate(columns)).unwrap();
    let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
    frame.decode::<StatsUpdate>(&mut Vec::new()).unwrap().0.check()
}

#[test]
fn columns_that_hold_together_pass() {
    assert_eq!(check(|_| ()), Ok(()));
}

macro_rules! shortened {
    ($($column:ident of $want:literal),+ $(,)?) => { [$({
        let refused = check(|columns| { columns.$column.pop(); });
        let (column, want) = (stringify!($column), $want);
        assert_eq!(refused, Err(StatsError::ColumnLength { column, len: want - 1, want }), "{column}");
    }),+] };
}

#[test]
fn a_short_column_is_named() {
    shortened!(
        source_shard of 2, source_epoch of 2, source_sequence of 2, source_cells of 2,
        cell_workflow of 3, cell_step of 3, count of 3, errors of 3, cancelled of 3, dropped of 3, due of 3,
        started of 3, late of 3, bytes_in of 3, bytes_out of 3, in_flight of 3, latency of 3, service of 3,
        lateness of 3, connect of 3, status_code of 3, status_count of 3, error_kind of 2, error_count of 2,
    );
}

#[test]
fn a_row_that_points_to_nothing_is_named() {
    let dangling = |column, row, target, len| Err(StatsError::Dangling { column, row, target, len });
    assert_eq!(check(|c| c.cell_source[2] = 2), dangling("cell_source", 2, 2, 2));
    assert_eq!(check(|c| c.status_cell[1] = 3), dangling("status_cell", 1, 3, 3));
    assert_eq!(check(|c| c.error_cell[0] = u16::MAX), dangling("error_cell", 0, 65_535, 3));
}

#[test]
fn rows_out_of_order_are_named() {
    let order = |column, row, target, before| Err(StatsError::Order { column, row, target, before });
    assert_eq!(check(|c| c.cell_source.swap(1, 2)), order("cell_source", 2, 0, 1));
    assert_eq!(check(|c| c.status_cell.swap(1, 2)), order("status_cell", 2, 0, 2));
    assert_eq!(check(|c| c.error_cell.swap(0, 1)), order("error_cell", 1, 0, 2));
}

#[test]
fn a_source_with_more_cells_than_it_tells_is_named() {
    assert_eq!(check(|c| c.source_cells[0] = 1), Err(StatsError::Cells { row: 0, told: 1, here: 2 }));
    assert_eq!(check(|c| c.source_cells[1] = 0), Err(StatsError::Cells { row: 1, told: 0, here: 1 }));
}

#[test]
fn windows_run_forwards_and_last_a_tenth_of_a_second_to_ten() {
    let wrong = |from, to, window_ms| Err(StatsError::Window { from, to, window_ms });
    assert_eq!(check(|c| c.k_from = 13), wrong(13, 12, 1000));
    assert_eq!(check(|c| c.window_ms = 99), wrong(10, 12, 99));
    assert_eq!(check(|c| c.window_ms = 10_001), wrong(10, 12, 10_001));
    assert_eq!(check(|c| c.window_ms = 100), Ok(()));
}

#[test]
fn more_sources_than_a_message_may_carry_are_refused() {
    let many = |n: usize| {
        move |c: &mut StatsColumns| {
            c.source_worker.resize(n, [0; 16]);
            c.source_shard.resize(n, 0);
            c.source_epoch.resize(n, 0);
            c.source_sequence.resize(n, 0);
            c.source_cells.resize(n, 0);
        }
    };
    assert_eq!(check(many(ROWS_MAX)), Ok(()));
    let refused = StatsError::TooMany { what: "sources", len: ROWS_MAX + 1, max: ROWS_MAX };
    assert_eq!(check(many(ROWS_MAX + 1)), Err(refused));
}
