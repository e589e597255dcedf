//! Reading a plan file with its variables and body files.

use std::collections::BTreeMap;
use std::path::Path;

use hyperscale_plan::Loaded;

use crate::exit::Failure;

/// Loads a plan; `set` are `NAME=VALUE`, and win over the environment.
pub(crate) fn load(path: &Path, set: &[String]) -> Result<Loaded, Failure> {
    let shown = path.display().to_string();
    let read = |path: &Path| {
        let facts = std::fs::metadata(path)?;
        if facts.is_dir() {
            return Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is a directory"));
        }
        std::fs::read(path)
    };
    let bytes = read(path).map_err(|error| {
        let fix = match shown.contains("://") {
            true => "a URL has no plan to read; drive load at it with `hyperscale run`",
            false => "name a plan file, such as plan.toml",
        };
        Failure::usage(format!("{shown}: {}; {fix}", words(&error)))
    })?;
    let mut variables: BTreeMap<String, String> = std::env::vars().collect();
    for pair in set {
        let (name, value) = pair
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::usage(format!("--set {pair:?}: write --set NAME=VALUE")))?;
        variables.insert(name.to_owned(), value.to_owned());
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let plainly = |error: std::io::Error| std::io::Error::new(error.kind(), words(&error));
    let mut body = |name: &str| read(&folder.join(name)).map_err(plainly);
    hyperscale_plan::load(&shown, &bytes, &variables, &mut body).map_err(Failure::usage)
}

/// An error of the system without its number.
pub(crate) fn words(error: &std::io::Error) -> String {
    let known = [
        (std::io::ErrorKind::NotFound, "there is no such file"),
        (std::io::ErrorKind::IsADirectory, "it is a directory"),
        (std::io::ErrorKind::PermissionDenied, "it may not be read"),
    ];
    let word = known.iter().find(|(kind, _)| *kind == error.kind());
    word.map_or_else(|| error.to_string(), |(_, word)| (*word).to_owned())
}
