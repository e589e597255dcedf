//! What a node of the next minor sends, made from what this one's does.

use hyperscale_codec::{HEADER_LEN, Header, ProtocolVersion};

/// Bytes that a next minor appended to a root; no value of any known field.
const APPENDED: [u8; 25] = [0xa5; 25];
/// An extension that this version does not know, not critical: id 99, one byte.
const UNKNOWN: [u8; 5] = [99, 0, 1, 0, 7];

/// The same message with a longer root, and with an extension that nobody knows. One that it passes on as it came from
/// another stays as it is.
pub(crate) fn lengthen(frame: &[u8]) -> Vec<u8> {
    let header = Header::decode(frame.first_chunk().unwrap()).unwrap();
    if u16::from(header.minor) > ProtocolVersion::CURRENT.minor {
        return frame.to_vec();
    }
    let core_end = HEADER_LEN + header.core_len as usize;
    let mut body = frame[HEADER_LEN..core_end].to_vec();
    body.extend_from_slice(&APPENDED);
    body.extend_from_slice(&frame[core_end..]);
    body.extend_from_slice(&UNKNOWN);
    let longer = Header {
        minor: header.minor + 1,
        root_len: header.root_len + APPENDED.len() as u16,
        core_len: header.core_len + APPENDED.len() as u32,
        ext_len: header.ext_len + UNKNOWN.len() as u16,
        body_crc: crc32fast::hash(&body),
        ..header
    };
    [longer.encode().as_slice(), &body].concat()
}
