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
        let _nobody_listens = writeln!(std::io::stderr(), "hyperscale: {}", self.message.trim_end());
        ExitCode::from(self.code)
    }
}
