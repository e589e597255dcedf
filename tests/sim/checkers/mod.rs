//! What must hold in every run, whatever happens: one small file each, fed by the simulator at every step.

pub(crate) mod bounds;
pub(crate) mod facts;
pub(crate) mod intake;
pub(crate) mod members;
pub(crate) mod routing;
pub(crate) mod subscribers;
pub(crate) mod totals;

use hyperscale_engine::orders::Report;

use crate::fleet::Place;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    pub(crate) bounds: bounds::Bounds,
    pub(crate) facts: facts::Facts,
    pub(crate) intake: intake::IntakeChecker,
    pub(crate) members: members::Members,
    pub(crate) routing: routing::Routing,
    pub(crate) subscribers: subscribers::Subscribers,
    pub(crate) totals: totals::Totals,
}

impl Checkers {
    pub(crate) fn on_report(&mut self, at: Place, report: &Report) {
        self.totals.on_report(at, report);
    }
}
