//! Memory that the kernel may read until an operation has completed.

use std::mem::ManuallyDrop;

/// What an operation under way points into. Taken back when the operation has completed; dropped before, it is leaked:
/// a leak is a fault that can be lived with, memory that the kernel reads after it was freed is not.
#[derive(Debug)]
pub(crate) struct Lent<T>(ManuallyDrop<T>);

impl<T> Lent<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }

    pub(crate) fn get(&self) -> &T {
        &self.0
    }

    /// The completion of the operation was seen.
    pub(crate) fn take_back(self) -> T {
        ManuallyDrop::into_inner(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn what_was_lent_is_freed_when_taken_back_and_never_before() {
        let bytes: Rc<[u8]> = Rc::from(&b"abc"[..]);
        {
            let _dropped_here = Lent::new(Rc::clone(&bytes));
        }
        assert_eq!(Rc::strong_count(&bytes), 2, "dropped while the kernel had it");
        let lent = Lent::new(Rc::clone(&bytes));
        assert_eq!(lent.get().len(), 3);
        drop(lent.take_back());
        assert_eq!(Rc::strong_count(&bytes), 2);
    }
}
