//! A plan file as it lies on disk: bytes, variables and body files become the text that travels, and the plan.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use crate::base64;
use crate::error::PlanErrors;
use crate::limits::TEXT_BYTES_MAX;
use crate::model::Plan;
use crate::parse::{parse, parse_text, to_errors, too_large};
use crate::read::{Findings, Span, placeholder};
use crate::source::Source;
use crate::substitute::{substitute, toml_string};
use crate::words::quote;

/// The text of a plan that travels: it needs no variable and no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanText {
    /// At most 1 MiB.
    pub text: String,
    /// SHA-256 of `text`.
    pub sha256: [u8; 32],
}

impl PlanText {
    /// The text with its hash.
    #[must_use]
    pub fn new(text: String) -> Self {
        let sha256 = Sha256::digest(text.as_bytes()).into();
        Self { text, sha256 }
    }
}

/// A plan and the text that gives it again anywhere: `parse(_, &text.text) == plan`.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Checked.
    pub plan: Plan,
    /// What is sent.
    pub text: PlanText,
}

/// Gives the content of a body file; the name is relative to the plan's folder and has no `..`.
/// It need not read more than 1 MiB + 1 bytes: more is refused.
pub type ReadFile<'a> = dyn FnMut(&str) -> io::Result<Vec<u8>> + 'a;

/// Reads a plan file: fills in `variables`, inlines body files through `read`, checks everything.
///
/// `file` names it in errors.
///
/// # Errors
/// Every mistake of the file, each with its place in what the user wrote and its fix.
pub fn load(
    file: &str,
    bytes: &[u8],
    variables: &BTreeMap<String, String>,
    read: &mut ReadFile<'_>,
) -> Result<Loaded, PlanErrors> {
    let written = decode(file, bytes)?;
    let substituted = substitute(written, variables).map_err(|errors| {
        let source = Source::plain(written);
        let findings = errors.into_iter().map(|(span, message)| (span, message, None)).collect();
        PlanErrors::sorted(file, findings, 0, |(span, message, note)| {
            source.error_at_written(span, message, note)
        })
    })?;
    let source = Source::substituted(written, &substituted.pieces);
    let mut files = Files { read: Some(read), edits: Vec::new() };
    let plan = parse_text(&substituted.text, &mut files).map_err(|found| to_errors(file, &source, found))?;
    let text = apply(&substituted.text, files.edits);
    if text.len() > TEXT_BYTES_MAX {
        let error = source.error_at(0..0, too_large(text.len()), None);
        return Err(PlanErrors::one(file, error));
    }
    debug_assert_eq!(parse(file, &text).as_ref(), Ok(&plan), "the text that travels gives another plan");
    Ok(Loaded { plan, text: PlanText::new(text) })
}

/// Bytes to text, or the place where they stop being text.
fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, PlanErrors> {
    let one = |text: &str, at: usize, message: String| {
        Err(PlanErrors::one(file, Source::plain(text).error_at(at..at, message, None)))
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return one("", 0, "the plan is UTF-16; save it as UTF-8".to_owned());
    }
    if bytes.len() > TEXT_BYTES_MAX {
        return one("", 0, too_large(bytes.len()));
    }
    std::str::from_utf8(bytes).or_else(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let text = std::str::from_utf8(valid).unwrap_or_default();
        one(text, text.len(), format!("byte 0x{byte:02x} is not UTF-8; is this a plan, and saved as UTF-8?"))
    })
}

/// Where body files come from, and what they become in the text.
pub(crate) struct Files<'a> {
    read: Option<&'a mut ReadFile<'a>>,
    edits: Vec<(Span, String)>,
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("edits", &self.edits).finish_non_exhaustive()
    }
}

impl Files<'_> {
    /// For a text that travelled: it has no files.
    pub(crate) fn none() -> Self {
        Self { read: None, edits: Vec::new() }
    }

    /// The content of `name`; notes how its key and value are to be replaced in the text.
    pub(crate) fn take(&mut self, name: &str, key: Span, value: Span) -> Result<Vec<u8>, String> {
        let shown = quote(name);
        check_name(name)?;
        let Some(read) = self.read.as_mut() else {
            return Err(format!(
                "body_file {shown} is read only where the plan's folder is; submit the plan from there"
            ));
        };
        let content = read(name).map_err(|error| {
            format!("body_file {shown} cannot be read: {error}; its path is relative to the plan's folder")
        })?;
        if content.len() > TEXT_BYTES_MAX {
            return Err(format!(
                "body_file {shown} is over 1 MiB, the most that a plan with its bodies may have"
            ));
        }
        let (new_key, new_value) = inlined(&content);
        self.edits.push((key, new_key.to_owned()));
        self.edits.push((value, new_value));
        Ok(content)
    }
}

/// Only downward from the plan's folder.
fn check_name(name: &str) -> Result<(), String> {
    let downward =
        Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || name.contains('\0') {
        return Err(format!("body_file {} is not a file's name", quote(name)));
    }
    if !downward {
        return Err(format!(
            "body_file {} leaves the plan's folder; put the file beside the plan and write its name",
            quote(name)
        ));
    }
    Ok(())
}

/// Text stays readable; what is not text, or would be read as a placeholder, becomes base64.
pub(crate) fn inlined(content: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(content) {
        Ok(text)
            if placeholder(text).is_none()
                && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') =>
        {
            ("body", toml_string(text))
        }
        _ => ("body_base64", format!("\"{}\"", base64::encode(content))),
    }
}

fn apply(text: &str, mut edits: Vec<(Span, String)>) -> String {
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0_usize;
    for (span, with) in edits {
        out.push_str(text.get(at..span.start).unwrap_or(""));
        out.push_str(&with);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or(""));
    out
}

/// For callers that have only findings to show.
impl Findings {
    pub(crate) fn messages(self) -> Vec<String> {
        self.found.into_iter().map(|(_, message, _)| message).collect()
    }
}
