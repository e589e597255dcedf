//! What this terminal can show.

use std::io::IsTerminal as _;

use hyperscale_report::Style;

/// One variable of the environment, if it is text.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How the summary is drawn on stdout.
pub(crate) fn summary(no_color: bool) -> Style {
    let stdout = std::io::stdout();
    let columns = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    Style::decide(stdout.is_terminal(), columns, no_color, environment)
}

/// How progress is drawn on stderr.
pub(crate) fn progress(no_color: bool) -> Style {
    Style::decide(std::io::stderr().is_terminal(), None, no_color, environment)
}
