//! Finding and checking a root across minors.
//!
//! A minor may append fields to a root; with `unaligned` each version's root is a prefix of the next one's. A newer
//! sender's tail is cut off; an older sender's root is extended with zeros, which must pass validation and mean
//! "absent" (see `kinds`: only types of which that is true may be appended).

use rkyv::Portable;
use rkyv::api::low::{LowValidator, access_pos};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;

use crate::RootError;

/// The root of `core`, told to be `told` bytes long, read as `T` whose released sizes are `sizes`, oldest first.
///
/// # Errors
/// [`RootError`]: a length that no release had, or bytes that are no such archive.
pub(crate) fn root<'a, T>(
    core: &'a [u8],
    told: usize,
    sizes: &[usize],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a T, RootError>
where
    T: Portable + for<'b> CheckBytes<LowValidator<'b, Failure>>,
{
    let mine = size_of::<T>();
    let bad = RootError::Length { told, core: core.len() };
    let Some(pos) = core.len().checked_sub(told) else { return Err(bad) };
    if told < mine && !sizes.contains(&told) {
        return Err(bad);
    }
    let end = pos.saturating_add(mine);
    let readable = if told >= mine {
        core.get(..end).ok_or(bad)?
    } else {
        // An older sender: positions do not move, so its pointers hold.
        scratch.clear();
        scratch.extend_from_slice(core);
        scratch.resize(end, 0);
        scratch.as_slice()
    };
    access_pos::<T, Failure>(readable, pos).map_err(|_invalid| RootError::Invalid)
}

#[cfg(test)]
mod tests {
    use rkyv::{Archive, Deserialize, Serialize};

    use super::*;

    #[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
    struct V0 {
        id: u64,
        name: String,
        counts: Vec<u32>,
    }

    #[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
    struct V1 {
        id: u64,
        name: String,
        counts: Vec<u32>,
        hi: u64,
        note: Option<String>,
    }

    const OLD: usize = size_of::<ArchivedV0>();
    const NEW: usize = size_of::<ArchivedV1>();

    fn v0() -> V0 {
        V0 { id: 7, name: "a name longer than a pointer".into(), counts: vec![1, 2, 3] }
    }

    fn v1() -> V1 {
        V1 { id: 7, name: v0().name, counts: vec![1, 2, 3], hi: 9, note: Some("appended out of line".into()) }
    }

    #[test]
    fn an_older_reader_cuts_off_what_was_appended() {
        let bytes = rkyv::to_bytes::<Failure>(&v1()).unwrap();
        let mut scratch = Vec::new();
        let seen = root::<ArchivedV0>(&bytes, NEW, &[OLD], &mut scratch).unwrap();
        assert_eq!((seen.id.to_native(), seen.name.as_str()), (7, v0().name.as_str()));
    }

    #[test]
    fn a_newer_reader_sees_absent_fields_as_absent() {
        let bytes = rkyv::to_bytes::<Failure>(&v0()).unwrap();
        let mut scratch = Vec::new();
        let seen = root::<ArchivedV1>(&bytes, OLD, &[OLD, NEW], &mut scratch).unwrap();
        assert_eq!((seen.hi.to_native(), seen.note.is_none(), seen.counts.len()), (0, true, 3));
    }

    #[test]
    fn a_root_cut_in_the_middle_of_a_field_is_refused() {
        let bytes = rkyv::to_bytes::<Failure>(&v0()).unwrap();
        for told in (0..OLD).chain(OLD + 1..NEW).chain([bytes.len() + 1]) {
            let mut scratch = Vec::new();
            let seen = root::<ArchivedV1>(&bytes, told, &[OLD, NEW], &mut scratch);
            assert!(matches!(seen, Err(RootError::Length { .. })), "{told}");
        }
    }
}
