//! `hyperscale check`: what a plan would do, or everything that is wrong with it.

use std::io::Write as _;
use std::process::ExitCode;

use crate::args::Check;
use crate::commands::plan_file;
use crate::exit::Failure;

pub(crate) fn check(args: &Check) -> Result<ExitCode, Failure> {
    let loaded = plan_file::load(&args.plan, &args.set)?;
    let text = hyperscale_plan::describe(&loaded.plan);
    let _reader_gone = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(ExitCode::SUCCESS)
}
