//! The folder with the records of finished jobs: a file a job, written so that it is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperscale_codec::JobId;
use hyperscale_gate::{ArchiveEntry, ArchiveRecord};

/// A record is no longer than its three messages may be; what is, is none.
const FILE_MAX: u64 = 8 << 20;
/// Files that are looked at: twice as many as are kept.
const FILES_MAX: usize = 20_000;
const ENDING: &str = "job";
const BESIDE: &str = "new";

/// What a folder had.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Jobs whose records are whole.
    pub entries: Vec<Arc<ArchiveEntry>>,
    /// Files that are no record, and why; they stay where they are.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it below a node's data folder, where it is not there yet.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(data: &Path) -> io::Result<Self> {
        let path = data.join("archive");
        fs::create_dir_all(&path)?;
        // Its name is in the folder above.
        File::open(data)?.sync_all()?;
        Ok(Self { path })
    }

    /// Reads what is there. Files that a crash left half written are removed: their jobs were not told to be kept.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn load(&self) -> io::Result<Loaded> {
        let mut loaded = Loaded::default();
        for file in fs::read_dir(&self.path)?.take(FILES_MAX) {
            let path = file?.path();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(BESIDE) => fs::remove_file(&path)?,
                Some(ENDING) => match self.entry(&path) {
                    Ok(entry) => loaded.entries.push(Arc::new(entry)),
                    Err(why) => loaded.unreadable.push((path, why)),
                },
                _ => {}
            }
        }
        Ok(loaded)
    }

    fn entry(&self, path: &Path) -> Result<ArchiveEntry, String> {
        let bytes = read(path).map_err(|error| error.to_string())?;
        let entry = ArchiveRecord::decode(&bytes).map_err(|error| error.to_string())?.entry;
        if self.file(entry.job()) == path {
            Ok(entry)
        } else {
            Err(format!("it is the record of job {}, under another's name", entry.job()))
        }
    }

    /// Where a job's record is.
    fn file(&self, job: JobId) -> PathBuf {
        self.path.join(format!("{job}.{ENDING}"))
    }

    /// Writes a record beside, makes it last, then puts it in its place. [`Folder::settle`] makes the place last.
    ///
    /// # Errors
    /// What the file system says; then what was there before still is.
    pub fn put(&self, job: JobId, bytes: &[u8]) -> io::Result<()> {
        let (file, beside) = (self.file(job), self.path.join(format!("{job}.{BESIDE}")));
        let written = write(&beside, bytes).and_then(|()| fs::rename(&beside, &file));
        if written.is_err() {
            let _was_not_begun = fs::remove_file(&beside);
        }
        written
    }

    /// Makes the names of all that was put last.
    ///
    /// # Errors
    /// What the file system says.
    pub fn settle(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// A record as it was put.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, job: JobId) -> io::Result<Vec<u8>> {
        read(&self.file(job))
    }

    /// Removes a record. One that comes back after a crash is dropped again.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, job: JobId) -> io::Result<()> {
        match fs::remove_file(self.file(job)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(io::Error::other(format!("it is longer than {} MiB, as no record is", FILE_MAX >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::record;

    #[test]
    fn what_was_put_is_there_after_a_restart_and_what_was_removed_is_not() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::open(data.path()).unwrap();
        for job in 1..=3 {
            folder.put(JobId(job), &record(JobId(job)).encode().unwrap()).unwrap();
        }
        folder.settle().unwrap();
        folder.remove(JobId(2)).unwrap();
        folder.remove(JobId(2)).unwrap();
        let loaded = Folder::open(data.path()).unwrap().load().unwrap();
        let mut jobs: Vec<u128> = loaded.entries.iter().map(|entry| entry.job().0).collect();
        jobs.sort_unstable();
        assert_eq!((jobs, loaded.unreadable), (vec![1, 3], Vec::new()));
        let read = ArchiveRecord::decode(&folder.read(JobId(3)).unwrap());
        assert_eq!(read, Ok(record(JobId(3))));
        assert!(folder.read(JobId(2)).is_err());
    }

    #[test]
    fn a_file_that_is_no_whole_record_is_reported_and_left_and_the_others_are_read() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::open(data.path()).unwrap();
        let bytes = record(JobId(1)).encode().unwrap();
        folder.put(JobId(1), &bytes).unwrap();
        folder.put(JobId(2), &bytes[..bytes.len() - 40]).unwrap();
        folder.put(JobId(3), &bytes).unwrap();
        folder.put(JobId(4), &[]).unwrap();
        // A crash in the middle of a write.
        fs::write(data.path().join("archive/00000000000000000000000000000005.new"), &bytes[..9]).unwrap();
        fs::write(data.path().join("archive/notes.txt"), "somebody else's").unwrap();
        let loaded = folder.load().unwrap();
        assert_eq!(loaded.entries.iter().map(|entry| entry.job()).collect::<Vec<_>>(), [JobId(1)]);
        let mut why: Vec<String> =
            loaded.unreadable.iter().map(|(path, why)| format!("{}: {why}", path.display())).collect();
        why.sort();
        assert_eq!(why.len(), 3, "{why:?}");
        assert!(why[0].contains("2.job: its checksum does not fit"), "{why:?}");
        assert!(why[1].contains("3.job: it is the record of job"), "{why:?}");
        assert!(why[2].contains("4.job: it does not begin"), "{why:?}");
        let left: Vec<_> = fs::read_dir(data.path().join("archive")).unwrap().collect();
        assert_eq!(left.len(), 5, "the half written one is gone: {left:?}");
    }

    #[test]
    fn a_disk_that_takes_nothing_leaves_what_was_there() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::open(data.path()).unwrap();
        folder.put(JobId(1), &record(JobId(1)).encode().unwrap()).unwrap();
        // A folder stands where the new file would be written.
        fs::create_dir(data.path().join("archive/00000000000000000000000000000001.new")).unwrap();
        assert!(folder.put(JobId(1), b"other").is_err());
        assert!(ArchiveRecord::decode(&folder.read(JobId(1)).unwrap()).is_ok());
    }
}
