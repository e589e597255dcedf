//! Datagrams that come twice: a window of 64 counters for each sender heard lately, in constant memory.
//!
//! Handling a datagram twice is harmless by design (claims are ordered, probes numbered), so this table may forget:
//! two senders that share a place push each other out.

use hyperscale_codec::NodeId;

use crate::hash::mix_id;

const PLACES: usize = 128;

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    sender: u64,
    instance: u64,
    newest: u64,
    /// Bit i: `newest - i` was seen.
    seen: u64,
}

/// Which counters of which senders were seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replays {
    /// Empty until the first datagram.
    places: Vec<Window>,
}

impl Replays {
    /// Marks a datagram whose seal holds; false if it came before, or is too old to tell.
    pub(crate) fn is_new(&mut self, sender: NodeId, instance: u64, counter: u64) -> bool {
        if self.places.is_empty() {
            self.places.resize(PLACES, Window::default());
        }
        let sender = mix_id(sender.0, 0x7265_706c_6179) | 1;
        let Some(window) = self.places.get_mut((sender >> 57) as usize) else { return true };
        if window.sender != sender || instance > window.instance {
            *window = Window { sender, instance, newest: counter, seen: 1 };
            return true;
        }
        if instance < window.instance {
            return false;
        }
        if counter > window.newest {
            let ahead = counter - window.newest;
            window.seen = if ahead < 64 { (window.seen << ahead) | 1 } else { 1 };
            window.newest = counter;
            return true;
        }
        let behind = window.newest - counter;
        if behind >= 64 || window.seen & (1 << behind) != 0 {
            return false;
        }
        window.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_taken_once_in_any_near_order() {
        let mut replays = Replays::default();
        let sender = NodeId(5);
        for counter in [10, 12, 11, 70, 40] {
            assert!(replays.is_new(sender, 1, counter), "{counter}");
            assert!(!replays.is_new(sender, 1, counter), "{counter}");
        }
        assert!(!replays.is_new(sender, 1, 3), "too old to tell");
        assert!(replays.is_new(sender, 2, 1), "a new instance counts anew");
        assert!(!replays.is_new(sender, 1, 71), "of an instance that is gone");
        assert!(replays.is_new(sender, 2, u64::MAX));
    }
}
