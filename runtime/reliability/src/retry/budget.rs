//! Retries of all calls to one peer together: in the long run at most a tenth of its calls.

/// Of a fresh budget, in tenths of a token.
const START: u32 = 100;
const MAX: u32 = 1_000;
const EARNED_BY_CALL: u32 = 1;
const COST_OF_RETRY: u32 = 10;

/// Tokens in tenths: each first call earns one tenth, each retry costs ten. Integers, so that it cannot drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    tenths: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tenths: START }
    }
}

impl RetryBudget {
    /// A call is made for the first time.
    pub fn on_call(&mut self) {
        self.tenths = self.tenths.saturating_add(EARNED_BY_CALL).min(MAX);
    }

    /// Whether a retry would be let through.
    #[must_use]
    pub const fn allows(&self) -> bool {
        self.tenths >= COST_OF_RETRY
    }

    /// Takes a retry from the budget, if there is one left.
    pub fn withdraw(&mut self) -> bool {
        let left = self.tenths.checked_sub(COST_OF_RETRY);
        self.tenths = left.unwrap_or(self.tenths);
        left.is_some()
    }

    /// What is left, in tenths of a token.
    #[must_use]
    pub const fn tenths(&self) -> u32 {
        self.tenths
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_ten_failing_calls_that_wish_two_retries_each_eleven_retries_are_allowed() {
        let mut budget = RetryBudget::default();
        (0..10).for_each(|_| budget.on_call());
        let allowed = (0..20).filter(|_| budget.withdraw()).count();
        assert_eq!((allowed, 20 - allowed), (11, 9));
        assert_eq!(budget.tenths(), 0);
    }

    proptest! {
        #[test]
        fn retries_stay_under_a_tenth_of_the_calls_but_for_what_was_there_at_first(
            moves in prop::collection::vec(any::<bool>(), 0..5_000),
        ) {
            let mut budget = RetryBudget::default();
            let (mut calls, mut retries) = (0_u32, 0_u32);
            for is_call in moves {
                if is_call {
                    (calls, _) = (calls + 1, budget.on_call());
                } else {
                    let may = budget.allows();
                    prop_assert_eq!(budget.withdraw(), may);
                    retries += u32::from(may);
                }
                prop_assert!(retries * 10 <= 100 + calls);
                prop_assert!(budget.tenths() <= 1_000);
            }
        }
    }
}
