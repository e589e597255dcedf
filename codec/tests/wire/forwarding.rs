//! A frame passed on by its header alone: which bytes change, and that no other does.

use hyperscale_codec::{
    AdmitError, Flags, HEADER_LEN, HOPS_MAX, HeadPatch, Header, JobId, Limits, RawFrame, ShardId,
};
use proptest::prelude::*;

/// A whole frame of any kind and content, sealed.
fn sealed(header: Header, body: &[u8]) -> Vec<u8> {
    let mut bytes = Header { body_crc: crc32fast::hash(body), ..header }.encode().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn header(kind: u16, flags: Flags, core_len: u32, ext_len: u16) -> Header {
    let (shard, correlation, route) = (ShardId(1), 77, 5);
    Header {
        major: 1,
        minor: 9,
        kind,
        flags,
        root_len: 8,
        core_len,
        ext_len,
        shard,
        correlation,
        route,
        body_crc: 0,
    }
}

fn forwarded(bytes: &[u8], patch: HeadPatch) -> Result<Vec<u8>, AdmitError> {
    let mut out = Vec::new();
    RawFrame::read(bytes, &Limits::default()).unwrap().forward(&mut out, patch)?;
    Ok(out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An unknown kind with an unknown flag, an unknown minor and an unknown extension.
fn stranger() -> Vec<u8> {
    sealed(header(0x7ffe, Flags(0x0022), 8, 5), &[1, 2, 3, 4, 5, 6, 7, 8, 99, 0, 1, 0, 7])
}

#[test]
fn a_forwarded_frame_has_exactly_these_bytes() {
    let body = "01020304050607086300010007";
    let came = "894853430109fe7f220008000800000005000100\
                4d00000005000000000000000000000000000000";
    assert_eq!(hex(&stranger())[..80], *came);
    assert_eq!(hex(&stranger())[96..], *body);
    let goes = "894853430109fe7f221008000800000005000300\
                d204000005000000000000000000000000000000";
    let onward = forwarded(&stranger(), HeadPatch::new(ShardId(3), 1234)).unwrap();
    assert_eq!(hex(&onward), format!("{goes}c1c5e84aba201562{body}"));
    let goes = "894853430109fe7f261008000800000005000300\
                d204000009000000000000000000000000000000";
    let onward = forwarded(&stranger(), HeadPatch::new(ShardId(3), 1234).job(JobId(9))).unwrap();
    assert_eq!(hex(&onward), format!("{goes}c1c5e84ac6457389{body}"));
}

#[test]
fn a_frame_is_forwarded_seven_times_and_then_refused() {
    let (mut bytes, mut times) = (stranger(), 0);
    let refused = loop {
        match forwarded(&bytes, HeadPatch::new(ShardId::ANY, times)) {
            Ok(onward) => (bytes, times) = (onward, times + 1),
            Err(error) => break error,
        }
    };
    assert_eq!((refused, times), (AdmitError::Hops { kind: 0x7ffe }, u32::from(HOPS_MAX) - 1));
}

#[test]
fn a_refused_forward_appends_nothing() {
    let bytes = sealed(header(0x7ffe, Flags::default().with_hops(HOPS_MAX), 8, 0), &[0; 8]);
    let mut out = vec![7];
    let frame = RawFrame::read(&bytes, &Limits::default()).unwrap();
    assert!(frame.forward(&mut out, HeadPatch::new(ShardId::ANY, 1)).is_err());
    assert_eq!(out, [7]);
}

proptest! {
    #[test]
    fn nothing_but_hops_shard_correlation_and_seal_changes(
        kind in 1_u16..,
        flags in 0_u16..0x7000,
        minor: u8,
        root_len in 1_u16..=64,
        route: u128,
        body in prop::collection::vec(any::<u8>(), 64..512),
        ext_len in 0_u16..64,
        to: u16,
        correlation: u32,
        job in prop::option::of(any::<u128>()),
    ) {
        let core_len = u32::try_from(body.len()).unwrap() - u32::from(ext_len);
        let root_len = root_len.min(u16::try_from(core_len).unwrap_or(u16::MAX)).max(1);
        prop_assume!(core_len > 0);
        let header = Header { minor, root_len, route, ..header(kind, Flags(flags), core_len, ext_len) };
        let bytes = sealed(header, &body);
        let patch = HeadPatch { shard: ShardId(to), correlation, job: job.map(JobId) };
        let onward = forwarded(&bytes, patch).unwrap();
        let mut want = header;
        want.flags = Flags(flags).with_hops(Flags(flags).hops() + 1);
        (want.shard, want.correlation) = (ShardId(to), correlation);
        if let Some(job) = job {
            (want.flags, want.route) = (want.flags.with(Flags::ROUTE_JOB), job);
        }
        let got = RawFrame::read(&onward, &Limits::default()).unwrap();
        want.body_crc = got.header.body_crc;
        prop_assert_eq!(got.header, want);
        prop_assert_eq!(onward.len(), bytes.len());
        // Hops and flags, shard and correlation, a job's route, the seal: no other byte differs.
        let may = |at: usize| matches!(at, 8 | 9 | 18..24 | 44..48) || (job.is_some() && matches!(at, 24..40));
        for (at, (old, new)) in bytes.iter().zip(&onward).enumerate() {
            prop_assert!(old == new || may(at), "byte {} of {}", at, HEADER_LEN);
        }
    }
}
