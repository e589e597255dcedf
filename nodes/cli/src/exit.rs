//! The only exit codes: 0 passed; 1 could not run, or the job failed; 2 usage; 99 a threshold failed; 130 interrupted.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;
const COULD_NOT_RUN: u8 = 1;
const USAGE: u8 = 2;

/// Why a command ends without doing what it is for: one message, one code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// What the user wrote cannot be: exit 2.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), code: USAGE }
    }

    /// The host, the network or the target do not allow it: exit 1.
    pub(crate) fn could_not_run(message: impl Display) -> Self {
        Self { message: message.to_string(), code: COULD_NOT_RUN }
    }

    /// Says so and gives the code.
    pub(crate) fn report(self) -> ExitCode {
        let message = without_numbers(&self.message);
        let _nobody_listens = writeln!(std::io::stderr(), "hyperscale: {}", message.trim_end());
        ExitCode::from(self.code)
    }
}

/// What the system says, without the number by which only it knows it.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(rest.strip_prefix(')').unwrap_or(rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_system_s_errors_are_left_out() {
        assert_eq!(without_numbers("a: refused (os error 111); b (os error 2)"), "a: refused; b");
        assert_eq!(without_numbers("plain (text)"), "plain (text)");
    }
}
