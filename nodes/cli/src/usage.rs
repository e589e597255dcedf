//! What the parser of the command line found, as one message in the words of all others: the place, what is wrong
//! with it, and what would be right.

use std::error::Error as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::Arguments;
use crate::exit::Failure;
use crate::screen;

/// Prints help and version, which are no errors; says what is wrong with the rest.
pub(crate) fn told(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage(message(error)).report();
    }
    let _nobody_listens = error.print();
    if error.use_stderr() {
        Failure::usage(format!("name a command: {}", commands())).report()
    } else {
        ExitCode::SUCCESS
    }
}

fn message(error: &clap::Error) -> String {
    let argument = context(error, ContextKind::InvalidArg).unwrap_or_default();
    // `--vus <VUS>` is the flag `--vus`.
    let flag = argument.split(" <").next().unwrap_or_default();
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the parser's list may grow; its own first line serves"
    )]
    match error.kind() {
        ErrorKind::ValueValidation => match error.source() {
            Some(why) => format!("{}: {why}", place(flag, &value)),
            None => first_line(error),
        },
        ErrorKind::InvalidValue if value.is_empty() => format!("{flag} lacks its value; write {argument}"),
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("{argument} is no flag of this command; {}", nearest(error, ContextKind::SuggestedArg))
        }
        ErrorKind::UnknownArgument => {
            format!("{argument:?} is one word too many; quote a word with spaces, or drop it")
        }
        ErrorKind::InvalidSubcommand => {
            let word = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = nearest(error, ContextKind::SuggestedSubcommand);
            format!("{word:?} is no command; {near}")
        }
        ErrorKind::MissingRequiredArgument => missing(&argument),
        ErrorKind::ArgumentConflict => {
            let other = context(error, ContextKind::PriorArg).unwrap_or_default();
            match argument == other {
                true => format!("{flag} is given twice; drop one"),
                false => format!("{argument} and {other} exclude each other; drop one"),
            }
        }
        ErrorKind::TooManyValues => format!("{flag} takes no value; drop {value:?}"),
        _ => first_line(error),
    }
}

/// The flag, or the variable that stands in for it.
fn place(flag: &str, value: &str) -> String {
    let variable = format!("HYPERSCALE_{}", flag.trim_start_matches('-').to_ascii_uppercase());
    let typed = std::env::args_os().any(|word| word.to_string_lossy().ends_with(value));
    if !typed && screen::environment(&variable).is_some_and(|set| set == value) {
        return format!("{variable} in the environment");
    }
    flag.to_owned()
}

fn commands() -> String {
    let all = Arguments::command();
    all.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>().join(", ")
}

fn missing(argument: &str) -> String {
    if argument.contains("URL") {
        return "run what? name a URL or a plan: hyperscale run http://HOST[:PORT]/, or hyperscale run PLAN.toml, or \
                try hyperscale run --demo"
            .to_owned();
    }
    if argument.starts_with("--gate") {
        return "which fleet? name its gates: --gate HOST:PORT,... or HYPERSCALE_GATE".to_owned();
    }
    format!("{argument} is missing; add it")
}

fn nearest(error: &clap::Error, kind: ContextKind) -> String {
    match context(error, kind) {
        Some(near) => format!("did you mean {near}?"),
        None => "--help lists what there is".to_owned(),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let value = error.get(kind)?;
    if let ContextValue::Strings(texts) = value {
        return Some(texts.join(", "));
    }
    if let ContextValue::String(text) = value { Some(text.clone()) } else { None }
}

/// For what has no words of ours.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    format!("{}; --help lists what there is", line.trim_start_matches("error: "))
}
