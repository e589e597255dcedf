//! The screen, as files: `tests/golden/terminal`.
//!
//! After a wanted change, look at every case in a terminal and write the files anew:
//! `cargo run -p hyperscale-report --example draw -- golden`.

mod cases;
mod golden;

#[test]
fn the_screen_is_as_the_golden_files_have_it() {
    let mut wrong = Vec::new();
    for (path, drawn) in golden::files() {
        match std::fs::read_to_string(&path) {
            Ok(kept) if kept == drawn => {}
            Ok(kept) => wrong.push(difference(&path, &kept, &drawn)),
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{}\nwanted? see the head of tests/terminal.rs", wrong.join("\n"));
}

#[test]
fn no_golden_file_is_left_over() {
    let drawn: Vec<_> = golden::files().into_iter().map(|(path, _)| path).collect();
    for entry in std::fs::read_dir(golden::folder()).unwrap() {
        let path = entry.unwrap().path();
        assert!(drawn.contains(&path), "{} belongs to no case", path.display());
    }
}

/// The first line that differs, both ways, with the escapes visible.
fn difference(path: &std::path::Path, kept: &str, drawn: &str) -> String {
    let lines = kept.lines().map(Some).chain(std::iter::repeat(None));
    let (at, (kept, drawn)) = lines
        .zip(drawn.lines().map(Some).chain(std::iter::repeat(None)))
        .enumerate()
        .find(|(_, (kept, drawn))| kept != drawn || kept.is_none())
        .unwrap_or_default();
    format!("{}:{}:\n  kept  {kept:?}\n  drawn {drawn:?}", path.display(), at + 1)
}
