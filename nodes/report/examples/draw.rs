//! Draws every case of the golden files on this terminal: `draw [COLUMNS] [ascii] [color] [CASE]`.
//!
//! `draw golden` writes the golden files anew.
#![allow(clippy::print_stdout, reason = "drawing is what it is for")]
#![allow(clippy::cast_possible_truncation, clippy::indexing_slicing, reason = "made-up data")]

#[path = "../tests/cases/mod.rs"]
mod cases;
#[path = "../tests/golden/mod.rs"]
mod golden;

use hyperscale_report::{Style, render};

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    if has("golden") {
        std::fs::create_dir_all(golden::folder())?;
        for (path, drawn) in golden::files() {
            std::fs::write(path, drawn)?;
        }
        return Ok(());
    }
    let width = words.iter().find_map(|word| word.parse().ok()).unwrap_or(80);
    let style = Style { color: has("color"), unicode: !has("ascii"), width };
    let chosen = |case: &str| has(case) || !cases::all().iter().any(|(other, _)| has(other));
    for (case, summary) in cases::all().into_iter().filter(|(case, _)| chosen(case)) {
        println!("--- {case}\n{}", render(&summary, style));
    }
    Ok(())
}
