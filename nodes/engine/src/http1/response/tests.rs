use proptest::prelude::*;

use super::*;

/// Feeds pieces; the outcome and how many bytes the answer had.
fn read(pieces: &[&[u8]], to_head: bool, end: bool) -> (Progress, usize) {
    let (mut reader, mut pool) = (ResponseReader::default(), HeadPool::default());
    reader.start(to_head);
    let mut before = 0;
    for piece in pieces {
        match reader.feed(piece, &mut pool) {
            Progress::More => before += piece.len(),
            Progress::Done(answer) => return (Progress::Done(answer), before + answer.used),
            failed @ Progress::Failed(_) => return (failed, before),
        }
    }
    (if end { reader.end(&mut pool) } else { Progress::More }, before)
}

fn done(progress: Progress) -> (u16, bool) {
    match progress {
        Progress::Done(answer) => (answer.status, answer.keep_alive),
        other @ (Progress::More | Progress::Failed(_)) => panic!("not whole: {other:?}"),
    }
}

/// Answers that are legal but awkward: the bytes, whether it answers a HEAD, whether the peer closes, then the status
/// and whether the connection may be kept.
const AWKWARD: [(&str, bool, bool, u16, bool); 14] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, false, 200, true),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0\r\nA: b\r\n\r\n",
        false,
        false,
        200,
        true,
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
        false,
        false,
        201,
        true,
    ),
    ("HTTP/1.0 200 OK\r\n\r\nuntil the end", false, true, 200, false),
    ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", false, true, 200, false),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n", false, false, 204, true),
    ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", false, false, 304, true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", true, false, 200, true),
    ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, false, 200, true),
    ("\r\nHTTP/1.1 404 Not Found\nContent-Length: 2\n\nno", false, false, 404, true),
    (
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\nContent-Length: 0\r\n\r\n",
        false,
        false,
        200,
        false,
    ),
    ("HTTP/1.1 200 OK\r\nX:\r\nY: ä\r\nContent-Length:   1\r\n\r\nx", false, false, 200, true),
    ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", false, false, 200, true),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n00000000\r\n\r\n",
        false,
        false,
        200,
        true,
    ),
];

#[test]
fn legal_answers_are_whole_one_byte_at_a_time_and_in_any_two_pieces() {
    for (text, to_head, end, status, keep) in AWKWARD {
        let bytes = text.as_bytes();
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let (progress, length) = read(&single, to_head, end);
        assert_eq!((done(progress), length), ((status, keep), bytes.len()), "{text:?} byte by byte");
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            let (progress, length) = read(&[a, b], to_head, end);
            assert_eq!((done(progress), length), ((status, keep), bytes.len()), "{text:?} cut at {cut}");
        }
    }
}

#[test]
fn an_answer_cut_short_is_closed_early() {
    for (text, to_head, end, ..) in AWKWARD {
        let bytes = text.as_bytes();
        for cut in 0..bytes.len() {
            let head_ends = text.find("\r\n\r\n").map_or(usize::MAX, |at| at + 4);
            if end && cut >= head_ends {
                continue;
            }
            let (progress, _) = read(&[&bytes[..cut]], to_head, true);
            assert_eq!(progress, Progress::Failed(ErrorKind::ClosedEarly), "{text:?} cut at {cut}");
        }
    }
}

#[test]
fn what_follows_an_answer_is_not_taken() {
    let (progress, length) = read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1"], false, false);
    assert_eq!((done(progress), length), ((200, true), 40));
}

#[test]
fn junk_is_a_bad_response_at_its_first_bytes_however_it_comes() {
    for junk in
        ["SSH-2.0-x\r\n", "GET / HTTP/1.1\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0\0"]
    {
        assert_eq!(
            read(&[junk.as_bytes()], false, false).0,
            Progress::Failed(ErrorKind::BadResponse),
            "{junk:?}"
        );
    }
    let (progress, taken) = read(&[b"S", b"S", b"H"], false, false);
    assert_eq!((progress, taken), (Progress::Failed(ErrorKind::BadResponse), 0));
    let (progress, _) = read(&[b"H", b"TX"], false, false);
    assert_eq!(progress, Progress::Failed(ErrorKind::BadResponse));
    let (progress, _) = read(&[b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], false, false);
    assert_eq!(progress, Progress::Failed(ErrorKind::BadResponse));
}

#[test]
fn heads_without_end_are_too_large_whole_or_in_pieces() {
    let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    head.resize(HEAD_BYTES_MAX + 10, b'y');
    assert_eq!(read(&[&head], false, false).0, Progress::Failed(ErrorKind::TooLarge));
    let pieces: Vec<&[u8]> = head.chunks(1000).collect();
    assert_eq!(read(&pieces, false, false).0, Progress::Failed(ErrorKind::TooLarge));
    head.extend_from_slice(b"\r\n\r\n");
    assert_eq!(read(&[&head], false, false).0, Progress::Failed(ErrorKind::TooLarge));
}

#[test]
fn interim_answers_without_end_are_a_bad_response() {
    let many = "HTTP/1.1 100 Continue\r\n\r\n".repeat(usize::from(INTERIM_MAX) + 1);
    assert_eq!(read(&[many.as_bytes()], false, false).0, Progress::Failed(ErrorKind::BadResponse));
}

#[test]
fn a_head_in_pieces_uses_one_pooled_buffer_again_and_again() {
    let mut pool = HeadPool::default();
    let mut reader = ResponseReader::default();
    for _ in 0..10 {
        reader.start(false);
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nContent-", &mut pool), Progress::More);
        assert!(pool.spare.is_empty());
        assert!(matches!(reader.feed(b"Length: 0\r\n\r\n", &mut pool), Progress::Done(_)));
        assert_eq!(pool.spare.len(), 1);
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_never_panic_and_mean_the_same(
        start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]),
        tail in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'5'), Just(b';'), Just(b':'),
        ], 0..200),
        cuts in prop::collection::vec(0..250_usize, 0..6),
    ) {
        let mut bytes = start.as_bytes().to_vec();
        bytes.extend(tail);
        let mut edges: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        edges.extend([0, bytes.len()]);
        edges.sort_unstable();
        let pieces: Vec<&[u8]> = edges.windows(2).map(|edge| &bytes[edge[0]..edge[1]]).collect();
        let (whole, whole_length) = read(&[&bytes], false, false);
        let (split, split_length) = read(&pieces, false, false);
        match (whole, split) {
            (Progress::Done(a), Progress::Done(b)) => {
                prop_assert_eq!((a.status, a.keep_alive, whole_length), (b.status, b.keep_alive, split_length));
            }
            // A fault inside a head that has not ended yet is told at once or at its end, but never taken for an answer.
            (Progress::Failed(_), other) | (other, Progress::Failed(_)) => {
                prop_assert!(!matches!(other, Progress::Done(_)));
            }
            (a, b) => prop_assert_eq!(a, b),
        }
    }
}
