//! One file that a run writes, checked before the load starts and put in place whole at its end.
//!
//! [`OutputFile::open`] finds whether the path can be written, with a temporary file beside it;
//! [`OutputFile::finish`] puts that in place by a rename. A run that ends early, or a disk that fills, leaves what was
//! there before. Standard output, devices and pipes are written directly: a rename would replace `/dev/null`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why a path cannot be written. Found before the load starts, but for the last two.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("{flag} {}: is a directory; name a file in it, such as {}", path.display(), path.join(file).display())]
    Directory { flag: &'static str, path: PathBuf, file: &'static str },
    #[error("{flag} {}: there is no directory {}; create it, or name a file elsewhere", path.display(), parent.display())]
    NoParent { flag: &'static str, path: PathBuf, parent: PathBuf },
    #[error("{flag} {}: {} is not a directory; name a file elsewhere", path.display(), parent.display())]
    ParentIsFile { flag: &'static str, path: PathBuf, parent: PathBuf },
    #[error("{flag}: the path is empty; name a file")]
    Empty { flag: &'static str },
    #[error("{flag} {}: no permission to write there; name a file elsewhere, or change the permissions", path.display())]
    Permission { flag: &'static str, path: PathBuf },
    #[error("{flag} {}: the file system is read-only; name a file elsewhere", path.display())]
    ReadOnly { flag: &'static str, path: PathBuf },
    #[error("{flag} {}: cannot be opened for writing ({source}); name a file elsewhere", path.display())]
    Open { flag: &'static str, path: PathBuf, source: io::Error },
    #[error("{flag} {}: writing failed ({source}); the file is as it was before", path.display())]
    Write { flag: &'static str, path: PathBuf, source: io::Error },
}

/// A file under construction, or a stream. Dropped unfinished, it leaves no trace of itself.
#[derive(Debug)]
pub(crate) struct OutputFile {
    flag: &'static str,
    path: PathBuf,
    to: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    /// A device or a pipe.
    Direct(BufWriter<File>),
    Temporary {
        writer: BufWriter<File>,
        at: PathBuf,
    },
    /// Finished, or failed and tidied up.
    Done,
}

impl OutputFile {
    /// Checks and prepares. `flag` is how the user named the path, such as `--json`; `example` a name for a file of
    /// its kind; `-` is standard output.
    ///
    /// # Errors
    /// [`OutputError`], which names the path and what would be right.
    pub(crate) fn open(flag: &'static str, path: &Path, example: &'static str) -> Result<Self, OutputError> {
        let opened = |to| Ok(Self { flag, path: path.to_owned(), to });
        if path == Path::new("-") {
            return opened(Sink::Stdout);
        }
        if path.as_os_str().is_empty() {
            return Err(OutputError::Empty { flag });
        }
        // The file behind a link is replaced, never the link.
        let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let there = std::fs::metadata(path).ok();
        if there.as_ref().is_some_and(std::fs::Metadata::is_dir) || ends_in_slash(path) {
            return Err(OutputError::Directory { flag, path: path.clone(), file: example });
        }
        check_parent(flag, path)?;
        let direct = there.as_ref().is_some_and(|there| !there.is_file());
        // A file that may not be written is refused, even where its directory would allow replacing it.
        if there.is_some() {
            let file =
                OpenOptions::new().write(true).open(path).map_err(|error| refused(flag, path, error))?;
            if direct {
                return opened(Sink::Direct(BufWriter::new(file)));
            }
        }
        let (file, at) = temporary(path).map_err(|error| refused(flag, path, error))?;
        if let Some(there) = there {
            // What the file may be read by stays as it was; without the right to say so, the default is no failure.
            let _default_stays = file.set_permissions(there.permissions());
        }
        Ok(Self { flag, path: path.clone(), to: Sink::Temporary { writer: BufWriter::new(file), at } })
    }

    /// Whether standard output is taken, and so must carry nothing else.
    pub(crate) const fn is_stdout(&self) -> bool {
        matches!(self.to, Sink::Stdout)
    }

    /// Puts the file in place.
    ///
    /// # Errors
    /// [`OutputError::Write`], when the disk refused the last bytes or the rename.
    pub(crate) fn finish(self) -> Result<(), OutputError> {
        self.finish_after(Ok(()))
    }

    /// Puts the file in place if all before went well.
    ///
    /// # Errors
    /// [`OutputError::Write`], for what went wrong before, or as [`OutputFile::finish`].
    pub(crate) fn finish_after(mut self, before: io::Result<()>) -> Result<(), OutputError> {
        let ended = match before.and_then(|()| self.put()) {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if self.is_stdout() && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            ended => ended,
        };
        if ended.is_ok() {
            self.to = Sink::Done;
        }
        ended.map_err(|source| OutputError::Write { flag: self.flag, path: self.path.clone(), source })
    }

    fn put(&mut self) -> io::Result<()> {
        match &mut self.to {
            Sink::Stdout => io::stdout().flush(),
            Sink::Direct(writer) => writer.flush(),
            Sink::Temporary { writer, at } => writer
                .flush()
                // The bytes before the name: a power cut must not leave an empty file under the old name.
                .and_then(|()| writer.get_ref().sync_data())
                .and_then(|()| std::fs::rename(at, &self.path)),
            Sink::Done => Ok(()),
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Sink::Stdout => io::stdout().write(bytes),
            Sink::Direct(writer) | Sink::Temporary { writer, .. } => writer.write(bytes),
            Sink::Done => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Sink::Stdout => io::stdout().flush(),
            Sink::Direct(writer) | Sink::Temporary { writer, .. } => writer.flush(),
            Sink::Done => Ok(()),
        }
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Sink::Temporary { at, .. } = &self.to {
            // Nobody is left to tell; what stays is a hidden file with our name in it.
            let _gone = std::fs::remove_file(at);
        }
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_parent(flag: &'static str, path: &Path) -> Result<(), OutputError> {
    let parent = parent_of(path);
    match std::fs::metadata(parent) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Err(OutputError::ParentIsFile { flag, path: path.to_owned(), parent: parent.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(OutputError::NoParent { flag, path: path.to_owned(), parent: parent.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(OutputError::ParentIsFile { flag, path: path.to_owned(), parent: parent.to_owned() })
        }
        Err(error) => Err(refused(flag, path, error)),
    }
}

/// A new file beside `path`: only within one file system is a rename whole or not at all.
fn temporary(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    let at = parent_of(path).join(&name);
    match OpenOptions::new().write(true).create_new(true).open(&at) {
        // Of a process of the same id that was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&at)?;
            OpenOptions::new().write(true).create_new(true).open(&at).map(|file| (file, at))
        }
        opened => opened.map(|file| (file, at)),
    }
}

fn refused(flag: &'static str, path: &Path, source: io::Error) -> OutputError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::PermissionDenied {
        OutputError::Permission { flag, path }
    } else if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
        OutputError::ReadOnly { flag, path }
    } else {
        OutputError::Open { flag, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let at = std::env::temp_dir().join(format!("hyperscale-output-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&at).unwrap();
            Self(at)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    fn open(path: &Path) -> Result<OutputFile, OutputError> {
        OutputFile::open("--json", path, "result.json")
    }

    #[test]
    fn the_file_appears_whole_and_only_when_it_is_finished() {
        let folder = Folder::new("whole");
        let path = folder.0.join("result.json");
        std::fs::write(&path, "before").unwrap();
        let mut output = open(&path).unwrap();
        output.write_all(b"after").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        output.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(folder.names(), ["result.json"]);
    }

    #[test]
    fn what_is_dropped_unfinished_leaves_what_was_there() {
        let folder = Folder::new("dropped");
        let path = folder.0.join("result.json");
        let mut output = open(&path).unwrap();
        output.write_all(b"half").unwrap();
        assert_eq!(folder.names().len(), 1);
        drop(output);
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_link_stays_a_link_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new("link");
        let (path, link) = (folder.0.join("real.json"), folder.0.join("link.json"));
        std::fs::write(&path, "before").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut output = open(&link).unwrap();
        output.write_all(b"after").unwrap();
        output.finish().unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn each_bad_path_is_named_with_its_fix() {
        let folder = Folder::new("bad");
        std::fs::write(folder.0.join("file"), "").unwrap();
        let at = folder.0.display();
        let cases = [
            (
                folder.0.clone(),
                format!("--json {at}: is a directory; name a file in it, such as {at}/result.json"),
            ),
            (
                folder.0.join("none/result.json"),
                format!(
                    "--json {at}/none/result.json: there is no directory {at}/none; create it, or name a file elsewhere"
                ),
            ),
            (
                folder.0.join("file/result.json"),
                format!("--json {at}/file/result.json: {at}/file is not a directory; name a file elsewhere"),
            ),
            (PathBuf::new(), "--json: the path is empty; name a file".to_owned()),
        ];
        for (path, message) in cases {
            assert_eq!(open(&path).unwrap_err().to_string(), message);
        }
        assert_eq!(folder.names(), ["file"]);
    }

    #[test]
    fn a_refusal_by_the_system_keeps_its_meaning() {
        let path = Path::new("/x/result.json");
        let kind = |kind| refused("--json", path, io::Error::from(kind));
        assert!(matches!(kind(io::ErrorKind::PermissionDenied), OutputError::Permission { .. }));
        assert!(matches!(kind(io::ErrorKind::ReadOnlyFilesystem), OutputError::ReadOnly { .. }));
        assert!(matches!(kind(io::ErrorKind::StorageFull), OutputError::Open { .. }));
        // The kernel refuses new files there to everyone.
        assert!(open(Path::new("/proc/result.json")).is_err());
    }

    #[test]
    fn a_device_is_written_directly_and_a_dash_is_standard_output() {
        let mut output = open(Path::new("/dev/null")).unwrap();
        assert!(!output.is_stdout());
        output.write_all(b"gone").unwrap();
        output.finish().unwrap();
        assert!(Path::new("/dev/null").exists());
        assert!(open(Path::new("-")).unwrap().is_stdout());
    }

    #[test]
    fn a_full_disk_is_an_error_at_the_end_and_nothing_else() {
        let mut output = open(Path::new("/dev/full")).unwrap();
        output.write_all(b"some").unwrap();
        assert!(matches!(output.finish(), Err(OutputError::Write { .. })));
    }
}
