//! The last few numbers, in a fixed place.

use super::WINDOW_MAX;

/// A ring of the last `size` numbers. No allocation.
#[derive(Debug, Clone)]
pub(super) struct Window {
    values: [f64; WINDOW_MAX],
    size: usize,
    len: usize,
    /// Where the next goes, which is where the oldest of a full one is.
    next: usize,
}

impl Window {
    /// Of so many numbers, 1 to [`WINDOW_MAX`].
    pub(super) fn new(size: usize) -> Self {
        Self { values: [0.0; WINDOW_MAX], size: size.clamp(1, WINDOW_MAX), len: 0, next: 0 }
    }

    /// Takes a number in; the one that leaves for it.
    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        let full = self.len >= self.size;
        let left = self.values.get_mut(self.next).map(|place| std::mem::replace(place, value));
        self.next = self.next.saturating_add(1);
        if self.next >= self.size {
            self.next = 0;
        }
        if full {
            return left;
        }
        self.len = self.len.saturating_add(1);
        None
    }

    pub(super) fn clear(&mut self) {
        (self.len, self.next) = (0, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.size
    }

    /// 0 without numbers.
    pub(super) fn mean(&self) -> f64 {
        // In lanes, as a chain of additions would wait for each other.
        let mut lanes = [0.0; 4];
        for values in self.values.get(..self.len).unwrap_or_default().chunks(lanes.len()) {
            lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane += value);
        }
        lanes.iter().sum::<f64>() / count(self.len.max(1))
    }

    /// Slope a number of the least-squares line through them, oldest first; 0 with fewer than two.
    pub(super) fn slope(&self) -> f64 {
        if self.len < 2 {
            return 0.0;
        }
        let n = count(self.len);
        // A ring that is not full begins at its front.
        let start = if self.is_full() { self.next } else { 0 };
        let (new, old) =
            self.values.get(..self.len).unwrap_or_default().split_at_checked(start).unwrap_or_default();
        // With places counted from the middle, the mean of the numbers falls out of the sum.
        let mut place = (1.0 - n) / 2.0;
        let mut sum = 0.0;
        for value in old.iter().chain(new) {
            sum += place * value;
            place += 1.0;
        }
        sum / (n * (n * n - 1.0) / 12.0)
    }
}

fn count(len: usize) -> f64 {
    f64::from(u32::try_from(len).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_last_few() {
        let mut window = Window::new(3);
        assert_eq!(window.mean(), 0.0);
        let left: Vec<_> = [1.0, 2.0, 3.0, 4.0, 5.0].into_iter().map(|value| window.push(value)).collect();
        assert_eq!(left, [None, None, None, Some(1.0), Some(2.0)]);
        assert_eq!((window.mean(), window.len(), window.is_full()), (4.0, 3, true));
        window.clear();
        assert_eq!((window.push(9.0), window.mean(), window.len()), (None, 9.0, 1));
    }

    #[test]
    fn the_slope_is_that_of_the_line_at_each_turn_of_the_ring() {
        let mut window = Window::new(5);
        for step in 0..23_u32 {
            let _left = window.push(7.0 + 0.5 * f64::from(step));
            let wanted = if step == 0 { 0.0 } else { 0.5 };
            assert!((window.slope() - wanted).abs() < 1e-12, "{step}: {}", window.slope());
        }
        // By hand: through (0, 1), (1, 3), (2, 2) goes the slope 0.5.
        let mut three = Window::new(10);
        for value in [1.0, 3.0, 2.0] {
            let _left = three.push(value);
        }
        assert!((three.slope() - 0.5).abs() < 1e-12);
    }
}
