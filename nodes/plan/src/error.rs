//! Every error of a plan at once, each with its place, the source line, the cause and the fix.

use std::fmt;

use crate::limits::ERRORS_MAX;
use crate::read::Finding;

/// One mistake in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Cause and fix: `unknown key "durration" in workflows.buy; did you mean "duration"?`.
    pub message: String,
    /// More about it, below the source line.
    pub note: Option<String>,
    /// The source line as shown.
    pub(crate) source: String,
    /// Columns before the carets.
    pub(crate) indent: usize,
    pub(crate) carets: usize,
}

/// All mistakes of a plan, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanErrors {
    file: String,
    errors: Vec<PlanError>,
    /// Found, but not listed.
    more: usize,
}

impl PlanErrors {
    /// One error that stands for the whole file.
    pub(crate) fn one(file: &str, error: PlanError) -> Self {
        Self { file: file.to_owned(), errors: vec![error], more: 0 }
    }

    /// The first of `findings` in the order of the file; `describe` gives each its line, which costs a look
    /// through the text, so the rest is cut before. `more` were found and not kept.
    pub(crate) fn sorted(
        file: &str,
        mut findings: Vec<Finding>,
        more: usize,
        describe: impl Fn(Finding) -> PlanError,
    ) -> Self {
        findings.sort_by_key(|(span, _, _)| span.start);
        findings.dedup();
        let more = more.saturating_add(findings.len().saturating_sub(ERRORS_MAX));
        findings.truncate(ERRORS_MAX);
        Self { file: file.to_owned(), errors: findings.into_iter().map(describe).collect(), more }
    }

    /// The errors, sorted by place; at most 100.
    #[must_use]
    pub fn errors(&self) -> &[PlanError] {
        &self.errors
    }

    /// Each error in one line, without the source: what travels in an answer. At most `max` errors.
    #[must_use]
    pub fn brief(&self, max: usize) -> String {
        let lines = self.errors.iter().take(max).map(|e| format!("{}:{}: {}", e.line, e.column, e.message));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl std::error::Error for PlanErrors {}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{}:", self.file)?;
            error.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\n\n{}: and {} more errors", self.file, self.more)?;
        }
        Ok(())
    }
}

/// `4:1: message`, then the source line and the carets.
impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.source)?;
        write!(f, "{gutter} | {}{}", " ".repeat(self.indent), "^".repeat(self.carets))?;
        match &self.note {
            Some(note) => write!(f, "\n{gutter} = {note}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn an_error_shows_its_line_with_carets_below() {
        let text = "[workflows.buy]\nvus = 1\n\ndurration = \"30s\"\n";
        let error = Source::plain(text).error_at(25..34, "unknown key".to_owned(), Some("more".to_owned()));
        assert_eq!(
            PlanErrors::one("plan.toml", error).to_string(),
            "plan.toml:4:1: unknown key\n  |\n4 | durration = \"30s\"\n  | ^^^^^^^^^\n  = more"
        );
    }

    #[test]
    fn errors_are_sorted_and_those_past_the_bound_are_counted() {
        let text = "x\n".repeat(150);
        let source = Source::plain(&text);
        let findings = (0..150).rev().map(|i| (i * 2..i * 2 + 1, format!("e{i}"), None)).collect();
        let describe = |(span, message, note)| source.error_at(span, message, note);
        let errors = PlanErrors::sorted("p", findings, 3, describe);
        assert_eq!(errors.errors().first().unwrap().message, "e0");
        assert_eq!(errors.errors().len(), ERRORS_MAX);
        assert!(errors.to_string().ends_with("p: and 53 more errors"));
        assert_eq!(errors.brief(2), "1:1: e0\n2:1: e1");
    }
}
