//! Which file holds which case in which style.

use std::path::{Path, PathBuf};

use hyperscale_report::{Style, render};

use super::cases;

/// Where the files are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/terminal")
}

/// Every case in a UTF-8 terminal of 80 columns and of 120; the first ones also in ASCII and in colour.
pub(crate) fn files() -> Vec<(PathBuf, String)> {
    let style = |color, unicode, width| Style { color, unicode, width };
    let styles = [
        ("80", style(false, true, 80)),
        ("120", style(false, true, 120)),
        ("80_ascii", style(false, false, 80)),
        ("80_color", style(true, true, 80)),
        ("120_color_ascii", style(true, false, 120)),
    ];
    let mut files = Vec::new();
    for (at, (case, summary)) in cases::all().into_iter().enumerate() {
        let used = if at < 3 { styles.len() } else { 2 };
        for (suffix, style) in &styles[..used] {
            files.push((folder().join(format!("{case}_{suffix}.txt")), render(&summary, *style)));
        }
    }
    files
}
