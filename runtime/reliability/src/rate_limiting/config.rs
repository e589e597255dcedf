//! How often at most, by operation, and whom that does not concern.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Operation;

/// One row: a bucket of `size` requests, of which `per_second` come back each second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Requests at once at most.
    pub size: u32,
    /// Requests for long.
    pub per_second: f64,
}

/// The limits of one client at one node.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimitConfig {
    limits: [Option<RateLimit>; Operation::COUNT],
    /// Clients at addresses in these nets have no limit.
    pub exempt: Vec<IpNet>,
    /// Clients with buckets of their own at most.
    pub clients_max: usize,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        let row = |operation| match operation {
            Operation::StatsUpdate => (500, 50.0),
            Operation::ProgressUpdate => (300, 30.0),
            Operation::Heartbeat | Operation::Cancel => (200, 20.0),
            Operation::JobSubmit => (50, 5.0),
            Operation::JobStatus
            | Operation::Nodes
            | Operation::List
            | Operation::Default
            | Operation::WorkflowDispatch => (100, 10.0),
            Operation::Reconnect => (10, 1.0),
        };
        let limits = Operation::ALL.map(row).map(|(size, per_second)| Some(RateLimit { size, per_second }));
        Self { limits, exempt: Vec::new(), clients_max: 10_000 }
    }
}

impl RateLimitConfig {
    /// No limit at all.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { limits: [None; Operation::COUNT], ..Self::default() }
    }

    /// The limit of an operation; `None` for none.
    #[must_use]
    pub fn limit(&self, operation: Operation) -> Option<RateLimit> {
        self.limits.get(operation.index()).copied().flatten()
    }

    /// Sets it.
    pub fn set(&mut self, operation: Operation, limit: Option<RateLimit>) {
        if let Some(row) = self.limits.get_mut(operation.index()) {
            *row = limit;
        }
    }

    pub(super) fn is_exempt(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.exempt.iter().any(|net| net.contains(&addr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_specification() {
        let table = RateLimitConfig::default();
        let row = |operation| table.limit(operation).map(|limit| (limit.size, limit.per_second));
        for (operation, size, per_second) in [
            (Operation::StatsUpdate, 500, 50.0),
            (Operation::ProgressUpdate, 300, 30.0),
            (Operation::Heartbeat, 200, 20.0),
            (Operation::JobSubmit, 50, 5.0),
            (Operation::JobStatus, 100, 10.0),
            (Operation::Nodes, 100, 10.0),
            (Operation::List, 100, 10.0),
            (Operation::Default, 100, 10.0),
            (Operation::WorkflowDispatch, 100, 10.0),
            (Operation::Reconnect, 10, 1.0),
            (Operation::Cancel, 200, 20.0),
        ] {
            assert_eq!(row(operation), Some((size, per_second)), "{operation:?}");
        }
    }

    #[test]
    fn a_net_exempts_its_addresses_however_they_are_written() {
        let mut config = RateLimitConfig::default();
        config.exempt.push("10.1.0.0/16".parse().unwrap());
        config.exempt.push("fd00::/8".parse().unwrap());
        let exempt = |addr: &str| config.is_exempt(addr.parse().unwrap());
        assert_eq!(
            ["10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "fd12::1", "fe80::1"].map(exempt),
            [true, true, false, true, false]
        );
    }
}
