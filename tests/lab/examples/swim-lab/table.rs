//! Markdown, and the figures in it.

use hyperscale_lab::{Nanos, SECOND};

/// Prints a table; the first column is left, the others right.
pub(crate) fn print(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::len);
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::from("|");
        for (column, cell) in cells.enumerate() {
            let width = widths[column];
            text += &if column == 0 { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") };
        }
        text
    };
    println!("\n{title}\n");
    println!("{}", line(&mut head.iter().copied()));
    let rule = widths.iter().enumerate().map(|(column, width)| {
        if column == 0 { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) }
    });
    println!("|{}|", rule.collect::<Vec<_>>().join("|"));
    for row in rows {
        println!("{}", line(&mut row.iter().map(String::as_str)));
    }
}

/// A quantile of sorted times.
pub(crate) fn quantile(sorted: &[Nanos], part: f64) -> Option<Nanos> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((part * last as f64).ceil() as usize).copied()
}

/// Seconds with two digits; a dash for none.
pub(crate) fn seconds(time: Option<Nanos>) -> String {
    time.map_or_else(|| "-".into(), |time| format!("{:.2}", time as f64 / SECOND as f64))
}

/// `value` over `of`, in per cent.
pub(crate) fn percent(value: f64, of: f64) -> String {
    if of > 0.0 { format!("{:.2} %", 100.0 * value / of) } else { "-".into() }
}
