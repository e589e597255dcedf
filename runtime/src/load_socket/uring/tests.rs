use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;

const STANDING: u64 = 300;

/// A ring with receives on as many sockets, and their other ends.
fn receiving() -> (Uring, Buffers, Vec<(UnixStream, UnixStream)>) {
    let mut uring = Uring::new().unwrap();
    let buffers = uring.buffers(512, 64).unwrap();
    let pairs: Vec<_> = (0..STANDING).map(|_| UnixStream::pair().unwrap()).collect();
    for (token, (socket, _)) in (0..).zip(&pairs) {
        uring.receive(socket.as_raw_fd(), token);
    }
    (uring, buffers, pairs)
}

#[test]
fn a_ring_drains_once_all_it_had_was_cancelled() {
    let (mut uring, buffers, _pairs) = receiving();
    let mut taken = Vec::new();
    uring.turn(&mut taken);
    assert!(taken.is_empty());
    assert_eq!(uring.under_way(), STANDING);
    (0..STANDING).for_each(|token| uring.cancel(token, u64::MAX));
    assert!(uring.drain());
    assert_eq!(uring.under_way(), 0);
    buffers.free();
}

#[test]
fn what_came_shows_without_a_call_and_a_turn_brings_it() {
    let (mut uring, buffers, mut pairs) = receiving();
    let mut taken = Vec::new();
    uring.turn(&mut taken);
    assert!(!uring.is_stirred());
    pairs[7].1.write_all(b"abc").unwrap();
    assert!(uring.is_stirred());
    uring.turn(&mut taken);
    let [completion] = taken[..] else { panic!("{taken:?}") };
    assert_eq!((completion.token, completion.result), (7, 3));
    assert!(completion.goes_on() && !uring.is_stirred());
    (0..STANDING).for_each(|token| uring.cancel(token, u64::MAX));
    assert!(uring.drain());
    buffers.free();
}
