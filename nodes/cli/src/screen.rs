//! What this terminal can show.

use std::io::IsTerminal as _;

/// One variable of the environment, if it is text.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether colour may be used on stdout.
pub(crate) fn color(refused: bool) -> bool {
    let plain = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = environment("TERM").is_some_and(|term| term == "dumb");
    !refused && !plain && !dumb && std::io::stdout().is_terminal()
}

/// Whether the locale takes UTF-8; without any locale, yes.
pub(crate) fn unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| environment(name).filter(|v| !v.is_empty()));
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
