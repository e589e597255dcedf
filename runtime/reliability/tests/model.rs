//! The ring under the sample buffers, over every order in which a writer and a reader can meet, and every older value
//! that a relaxed load may still show. Loom runs the ring's own source with its atomics.
#![allow(clippy::unwrap_used, reason = "tests")]

mod sync {
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}
#[path = "../src/sample_buffer/ring.rs"]
mod ring;

/// Writes `count` numbers, each one's place in the order, beside `drains` drains and one after; what was read is what
/// was written, in order, and the rest was counted.
fn check<const N: usize>(count: u32, drains: u32) {
    let (writer, mut reader) = ring::ring::<N>();
    let writing = loom::thread::spawn(move || (1..=count).for_each(|number| writer.push(number)));
    let mut next = 1;
    let mut drain = |reader: &mut ring::Reader<N>| {
        let mut read = Vec::new();
        let skipped = reader.drain(|number| read.push(number));
        next += u32::try_from(skipped).unwrap();
        for number in read {
            assert_eq!(number, next, "another number than the one written here");
            next += 1;
        }
    };
    for _ in 0..drains {
        drain(&mut reader);
    }
    writing.join().unwrap();
    drain(&mut reader);
    assert_eq!(next, count + 1, "neither read nor counted");
}

#[test]
fn a_reader_beside_the_writer_reads_what_was_written_or_counts_it() {
    loom::model(|| check::<2>(3, 1));
    loom::model(|| check::<2>(5, 1));
    loom::model(|| check::<4>(7, 1));
}

#[test]
fn so_it_does_twice() {
    loom::model(|| check::<2>(4, 2));
    loom::model(|| check::<4>(5, 2));
}
