//! What one event may lead to is bounded (I11), and so is a datagram.

use crate::fleet::node::Wish;
use crate::marks::Marks;

/// Effects of one event. The most that a fleet of the simulator's size ever asked for at once was a twentieth of it.
const WISHES_MAX: usize = 4_096;
/// Bytes that one event sends.
const BYTES_MAX: usize = 64 << 20;
/// As the network takes it in one piece.
const DATAGRAM_MAX: usize = 1_400;

#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// The most so far.
    pub(crate) wishes_most: usize,
    pub(crate) datagrams: u64,
    /// The most that waited to be read at one shard.
    pub(crate) waiting_most: usize,
}

impl Bounds {
    pub(crate) fn on_wishes(&mut self, name: &str, wishes: &[Wish], marks: &mut Marks) {
        self.wishes_most = self.wishes_most.max(wishes.len());
        assert!(wishes.len() <= WISHES_MAX, "I11: {name} wants {} things done at once", wishes.len());
        let mut bytes = 0;
        for wish in wishes {
            match wish {
                Wish::Send(_, frame) => bytes += frame.len(),
                Wish::Refused(_) => marks.hit("frame refused"),
                _ => {}
            }
        }
        assert!(bytes <= BYTES_MAX, "I11: {name} sends {bytes} bytes at once");
    }

    pub(crate) fn on_datagram(&mut self, bytes: &[u8]) {
        self.datagrams += 1;
        assert!(bytes.len() <= DATAGRAM_MAX, "a datagram of {} bytes", bytes.len());
    }
}
