//! Which requests a node refuses at which load: the least important first, never a critical one.

use hyperscale_codec::Priority;

use crate::OverloadState;

/// The class of a frame by its header's kind. A kind of this build has its class in the codec's table, which the build
/// compares with the number's two top bits; a kind of a newer minor is classed by those bits.
#[must_use]
pub const fn classify_request(kind: u16) -> Priority {
    Priority::of_number(kind)
}

/// Decides what is shed.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadShedder;

impl LoadShedder {
    /// The most important class that is refused in this state.
    #[must_use]
    pub const fn first_refused(state: OverloadState) -> Option<Priority> {
        match state {
            OverloadState::Healthy => None,
            OverloadState::Busy => Some(Priority::Low),
            OverloadState::Stressed => Some(Priority::Normal),
            OverloadState::Overloaded => Some(Priority::High),
        }
    }

    /// Whether a request of this class is refused in this state: none when healthy, low when busy, normal and low when
    /// stressed, all but critical when overloaded.
    #[must_use]
    pub const fn should_shed(self, priority: Priority, state: OverloadState) -> bool {
        let from = match state {
            OverloadState::Healthy => 4,
            OverloadState::Busy => Priority::Low as u8,
            OverloadState::Stressed => Priority::Normal as u8,
            OverloadState::Overloaded => Priority::High as u8,
        };
        priority as u8 >= from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{Critical, High, Low, Normal};

    #[test]
    fn each_state_refuses_its_classes() {
        let taken = |state| [Critical, High, Normal, Low].map(|class| !LoadShedder.should_shed(class, state));
        assert_eq!(taken(OverloadState::Healthy), [true, true, true, true]);
        assert_eq!(taken(OverloadState::Busy), [true, true, true, false]);
        assert_eq!(taken(OverloadState::Stressed), [true, true, false, false]);
        assert_eq!(taken(OverloadState::Overloaded), [true, false, false, false]);
    }

    #[test]
    fn what_matters_more_is_never_refused_before_what_matters_less_nor_in_a_better_state() {
        let refused = |class, state| u8::from(LoadShedder.should_shed(class, state));
        for state in OverloadState::ALL {
            for [more, less] in [[Critical, High], [High, Normal], [Normal, Low]] {
                assert!(refused(more, state) <= refused(less, state), "{more:?} and {less:?} in {state:?}");
            }
            assert_eq!(refused(Critical, state), 0);
        }
        for class in [Critical, High, Normal, Low] {
            for states in OverloadState::ALL.windows(2) {
                let [better, worse] = [0, 1].map(|n| states.get(n).copied().unwrap_or_default());
                assert!(
                    refused(class, better) <= refused(class, worse),
                    "{class:?} in {better:?} and {worse:?}"
                );
            }
        }
    }
}
