//! Local health (Lifeguard): how far this node distrusts itself, 0 to 8.

/// The worst there is.
pub(crate) const LHM_MAX: u8 = 8;

/// The score.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LocalHealth {
    score: u8,
    off: bool,
}

impl LocalHealth {
    /// One that stays 0 if Lifeguard's probe part is off.
    pub(crate) const fn new(on: bool) -> Self {
        Self { score: 0, off: !on }
    }

    pub(crate) const fn score(self) -> u8 {
        self.score
    }

    /// By what intervals and timeouts are stretched.
    pub(crate) const fn factor(self) -> u32 {
        self.score as u32 + 1
    }

    /// Something told that this node may be slow itself.
    pub(crate) fn worse(&mut self, by: u8) {
        if !self.off {
            self.score = self.score.saturating_add(by).min(LHM_MAX);
        }
    }

    /// A probe was answered in time.
    pub(crate) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_between_0_and_8() {
        let mut health = LocalHealth::new(true);
        health.better();
        assert_eq!(health.factor(), 1);
        health.worse(3);
        health.worse(200);
        assert_eq!(health.score(), LHM_MAX);
        health.better();
        assert_eq!(health.factor(), 8);
        let mut off = LocalHealth::new(false);
        off.worse(5);
        assert_eq!(off.score(), 0);
    }
}
