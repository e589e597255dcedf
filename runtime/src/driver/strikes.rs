//! Patience with a peer: a broken frame now and then is skipped, many in a minute end the link.

use std::time::Duration;

use hyperscale_core::Instant;

/// Malformed bodies of one link in [`WINDOW`] that end it.
const MALFORMED_MAX: usize = 8;
/// Kinds that its role may not send.
const FORBIDDEN_MAX: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);

/// What one link did lately.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    malformed: Recent<MALFORMED_MAX>,
    forbidden: Recent<FORBIDDEN_MAX>,
}

impl Strikes {
    /// One malformed body more; why the link is to end now, if it is.
    pub(super) fn malformed(&mut self, now: Instant) -> Option<String> {
        self.malformed.hit(now).then(|| format!("{MALFORMED_MAX} malformed frames in a minute"))
    }

    /// One forbidden kind more; why the link is to end now, if it is.
    pub(super) fn forbidden(&mut self, now: Instant) -> Option<String> {
        self.forbidden.hit(now).then(|| format!("{FORBIDDEN_MAX} forbidden frames in a minute"))
    }
}

/// When something happened the last `N` times.
#[derive(Debug)]
struct Recent<const N: usize> {
    at: [Option<Instant>; N],
}

impl<const N: usize> Default for Recent<N> {
    fn default() -> Self {
        Self { at: [None; N] }
    }
}

impl<const N: usize> Recent<N> {
    /// It happened again; whether that makes `N` times within the window.
    fn hit(&mut self, now: Instant) -> bool {
        self.at.rotate_left(1);
        if let Some(last) = self.at.last_mut() {
            *last = Some(now);
        }
        self.at.first().copied().flatten().is_some_and(|first| now.since(first) < WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(seconds.saturating_mul(1_000_000_000))
    }

    #[test]
    fn the_eighth_malformed_frame_in_a_minute_ends_a_link() {
        let mut strikes = Strikes::default();
        assert!((0..7).all(|second| strikes.malformed(at(second)).is_none()));
        assert_eq!(strikes.malformed(at(59)), Some("8 malformed frames in a minute".to_owned()));
    }

    #[test]
    fn malformed_frames_over_longer_than_a_minute_are_borne() {
        let mut strikes = Strikes::default();
        assert!((0..100).all(|n| strikes.malformed(at(n * 9)).is_none()));
    }

    #[test]
    fn the_third_forbidden_frame_in_a_minute_ends_a_link() {
        let mut strikes = Strikes::default();
        assert!(strikes.forbidden(at(0)).is_none() && strikes.forbidden(at(30)).is_none());
        assert!(strikes.forbidden(at(61)).is_none(), "the first is too long ago");
        assert!(strikes.forbidden(at(62)).is_some());
    }
}
