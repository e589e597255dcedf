//! Tables for a terminal of 80 columns.
//!
//! Columns are as wide as their widest cell. When a row would be longer than the terminal, columns that may shrink give
//! way, the widest first, and what is cut ends in `…`. Control characters, which strangers may have put in a name, do
//! not reach the terminal.

/// The narrowest terminal there is.
const WIDTH: usize = 80;
/// Between two columns.
const GAP: &str = "  ";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    align: Align,
    /// How narrow it may become.
    width_min: Option<usize>,
}

impl Column {
    pub(crate) const fn fixed(title: &'static str, align: Align) -> Self {
        Self { title, align, width_min: None }
    }

    pub(crate) const fn shrinking(title: &'static str, width_min: usize) -> Self {
        Self { title, align: Align::Left, width_min: Some(width_min) }
    }
}

/// Draws the header and the rows, each ended by a newline.
pub(crate) fn table<const N: usize>(
    columns: &[Column; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| clean(&cell))).collect();
    let header = columns.map(|column| column.title.to_owned());
    let mut widths = columns.map(|column| column.title.len());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    shrink(columns, &mut widths);
    let mut text = String::new();
    for row in std::iter::once(&header).chain(&rows) {
        draw(&mut text, columns, &widths, row);
    }
    text
}

fn shrink<const N: usize>(columns: &[Column; N], widths: &mut [usize; N]) {
    while widths.iter().sum::<usize>() + GAP.len() * N.saturating_sub(1) > WIDTH {
        let wider = widths
            .iter_mut()
            .zip(columns)
            .filter(|(width, column)| column.width_min.is_some_and(|width_min| **width > width_min));
        match wider.max_by_key(|(width, _)| **width) {
            Some((width, _)) => *width -= 1,
            None => return,
        }
    }
}

fn draw<const N: usize>(text: &mut String, columns: &[Column; N], widths: &[usize; N], row: &[String; N]) {
    let mut line = String::new();
    for ((column, &width), cell) in columns.iter().zip(widths).zip(row) {
        if !line.is_empty() {
            line.push_str(GAP);
        }
        let cell = fit(cell, width);
        line.push_str(&match column.align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn fit(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// An empty cell is drawn as `-`, so that columns can be told apart by `awk`.
fn clean(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Seconds as people say them, six columns at most: `42s`, `1m13s`, `5h02m`, `12d03h`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that does not fit becomes the nearest number that does"
)]
pub(crate) fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ if days < 100 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{}d", days.min(99_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let ages = [0.9, 59.9, 60.0, 3599.0, 18_120.0, 1_047_600.0, 1e9, 1e300, f64::NAN].map(age);
        assert_eq!(ages, ["0s", "59s", "1m00s", "59m59s", "5h02m", "12d03h", "11574d", "99999d", "0s"]);
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let columns = [Column::shrinking("NAME", 4)];
        assert_eq!(table(&columns, std::iter::once(["a\u{1b}[2Jb\n".to_owned()])), "NAME\na?[2Jb?\n");
    }
}
