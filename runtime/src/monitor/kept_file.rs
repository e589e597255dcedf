//! A file of the kernel that is kept open and read again from its start.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Longest text that is read; a list of a group's processes may be longer, and its start says enough.
const TEXT_MAX: usize = 16 << 10;
/// A read that gives less was the last: the kernel fills a page before it stops.
const PAGE_HALF: usize = 2048;

/// Room for one text, used for all files in turn.
#[derive(Debug)]
pub(super) struct Room(Box<[u8]>);

impl Default for Room {
    fn default() -> Self {
        Self(vec![0; TEXT_MAX].into_boxed_slice())
    }
}

#[derive(Debug)]
pub(super) struct KeptFile(File);

impl KeptFile {
    pub(super) fn open(path: &Path) -> Option<Self> {
        File::open(path).ok().map(Self)
    }

    /// Its text now.
    pub(super) fn read<'a>(&self, room: &'a mut Room) -> Option<&'a str> {
        let mut len = 0;
        while let Some(rest) = room.0.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, u64::try_from(len).ok()?) {
                Ok(0) => break,
                Ok(read) => {
                    len = len.saturating_add(read);
                    if read < PAGE_HALF {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let text = room.0.get(..len)?;
        // A list that was cut off ends in the middle of a line, but never of a character: all are ASCII.
        std::str::from_utf8(text).ok()
    }
}
