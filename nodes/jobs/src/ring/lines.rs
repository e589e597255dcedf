//! The points once more, packed for look-ups: one cache line a range of hashes.
//!
//! Points lie evenly, so the top bits of a hash lead to a line of at most fifteen points in all but one case in a
//! hundred or fewer; the next sixteen bits tell which of them comes next, but for one case in ten thousand. All
//! fifteen are compared at once: to stop at the right one would cost a wrong guess of the processor each time. What
//! a line cannot tell, a search among all points does.

/// Points of one line; the place after the last is for the owner of what lies behind them.
const POINTS: usize = 15;
const PLACES: usize = POINTS + 1;

/// The points whose hashes begin alike, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(align(64))]
struct Line {
    /// The sixteen bits of each hash after those that led here. The largest where no point is; the smallest
    /// everywhere where there are more points than places, so that no place is found.
    next_bits: [u16; PLACES],
    /// Whose point it is; after the last, of whom the point after this line is.
    slots: [u16; PLACES],
}

/// A line a value of the hash's top bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines {
    lines: Vec<Line>,
    bits: u32,
}

impl Lines {
    /// Lines of these points: hash and owner's number, ascending by hash. None where a number needs more than 16 bits.
    pub(super) fn of(points: &[(u64, u32)]) -> Self {
        let Some(&(_, first)) = points.first() else { return Self::default() };
        if points.iter().any(|(_, slot)| u16::try_from(*slot).is_err()) {
            return Self::default();
        }
        // 4 to 8 points a line.
        let bits = (points.len() / 8).next_power_of_two().trailing_zeros().clamp(1, 40);
        let mut rest = points;
        let lines = (0..1_u64 << bits).map(|value| {
            let within = rest.iter().take_while(|(hash, _)| hash >> (64 - bits) == value).count();
            let (here, after) = rest.split_at(within);
            rest = after;
            Line::of(here, after.first().map_or(first, |(_, slot)| *slot), bits)
        });
        Self { lines: lines.collect(), bits }
    }

    /// The number of the owner of a hash, if its line can tell.
    #[inline]
    pub(super) fn slot(&self, hash: u64) -> Option<u16> {
        let line = usize::try_from(hash.checked_shr(64 - self.bits)?).ok()?;
        let Line { next_bits, slots } = self.lines.get(line)?;
        let wanted = next_sixteen(hash, self.bits);
        let before: u16 = next_bits.iter().map(|bits| u16::from(*bits < wanted)).sum();
        let place = usize::from(before);
        // Equal so far: the bits after these decide.
        if *next_bits.get(place)? == wanted { None } else { slots.get(place).copied() }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the sixteen bits that are left")]
const fn next_sixteen(hash: u64, bits: u32) -> u16 {
    (hash << bits >> 48) as u16
}

impl Line {
    #[allow(clippy::cast_possible_truncation, reason = "numbers above 16 bits have no lines")]
    fn of(points: &[(u64, u32)], after: u32, bits: u32) -> Self {
        if points.len() > POINTS {
            return Self { next_bits: [0; PLACES], slots: [0; PLACES] };
        }
        let mut line = Self { next_bits: [u16::MAX; PLACES], slots: [after as u16; PLACES] };
        for ((next_bits, slot), point) in line.next_bits.iter_mut().zip(&mut line.slots).zip(points) {
            (*next_bits, *slot) = (next_sixteen(point.0, bits), point.1 as u16);
        }
        line
    }
}
