//! Every parameter of the protocol, and three sets of them (`spec.md` 12).

use std::time::Duration;

/// Lifeguard's three parts, each of which can be switched off; without all of them this is plain SWIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifeguard {
    /// Local health: slow nodes probe slower, proxies say that they got no answer, standing still is noticed.
    pub probe: bool,
    /// Suspicion ends the sooner the more accusers there are; one accuser alone kills nobody.
    pub suspicion: bool,
    /// A ping tells a suspect first of all that it is suspected.
    pub buddy: bool,
}

impl Lifeguard {
    /// Everything on: the default.
    pub const ALL: Self = Self { probe: true, suspicion: true, buddy: true };
    /// Plain SWIM: a suspicion lasts its minimum.
    pub const NONE: Self = Self { probe: false, suspicion: false, buddy: false };
}

/// Parameters of one group. All members of a group should have the same.
#[derive(Debug, Clone, PartialEq)]
pub struct SwimConfig {
    /// Which group, and of which fleet: datagrams of another are refused.
    pub group: u64,
    /// Parts of Lifeguard in use.
    pub lifeguard: Lifeguard,
    /// Whether nodes tell how they are, and loaded ones get more time and less gossip.
    pub load_awareness: bool,
    /// One probe each; 500 ms.
    pub probe_interval: Duration,
    /// Until proxies are asked; 250 ms.
    pub probe_timeout: Duration,
    /// Cap of a probe timeout, however loaded both sides are; 5 s.
    pub probe_timeout_max: Duration,
    /// Shortest suspicion = alpha x max(1, log10 n) x interval; 5.
    pub suspicion_alpha: u32,
    /// Longest suspicion = beta x shortest; 6.
    pub suspicion_beta: u32,
    /// Confirmations after which a suspicion is shortest; 3.
    pub confirmations: u32,
    /// Proxies asked when a ping stays unanswered; 3.
    pub proxies: usize,
    /// Whether a TCP connection is tried beside the proxies.
    pub tcp_probe: bool,
    /// Between gossip while updates wait; 100 ms.
    pub gossip_interval: Duration,
    /// Members that each gossip goes to; 3.
    pub gossip_fanout: usize,
    /// Sends per update = this x ceil(log10(n + 1)); 4.
    pub sends_factor: u32,
    /// Between exchanges of whole lists; 15 s. Slower in groups over 32.
    pub push_pull_interval: Duration,
    /// Bytes of a datagram at most; 1,400.
    pub datagram_bytes_max: usize,
    /// Bytes of the health section of a datagram at most; 600.
    pub health_bytes_max: usize,
    /// Rows of the list of members at most; 16,384.
    pub members_max: usize,
    /// Newcomers that were never seen themselves at most; 1,024, the oldest are dropped.
    pub unverified_max: usize,
    /// Dead and left ones are remembered this long, so that old news cannot revive them; 120 s.
    pub forget_after: Duration,
    /// Timeout of an out-of-band probe sent beside proxies; 500 ms.
    pub out_of_band_timeout: Duration,
}

impl SwimConfig {
    /// One datacenter: a crash is known to all within 5 s.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            group: 0,
            lifeguard: Lifeguard::ALL,
            load_awareness: true,
            probe_interval: Duration::from_millis(500),
            probe_timeout: Duration::from_millis(250),
            probe_timeout_max: Duration::from_secs(5),
            suspicion_alpha: 5,
            suspicion_beta: 6,
            confirmations: 3,
            proxies: 3,
            tcp_probe: true,
            gossip_interval: Duration::from_millis(100),
            gossip_fanout: 3,
            sends_factor: 4,
            push_pull_interval: Duration::from_secs(15),
            datagram_bytes_max: 1_400,
            health_bytes_max: 600,
            members_max: 16_384,
            unverified_max: 1_024,
            forget_after: Duration::from_secs(120),
            out_of_band_timeout: Duration::from_millis(500),
        }
    }

    /// Members oceans apart.
    #[must_use]
    pub const fn wan() -> Self {
        Self {
            probe_interval: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(1),
            gossip_interval: Duration::from_millis(500),
            gossip_fanout: 4,
            push_pull_interval: Duration::from_secs(60),
            ..Self::lan()
        }
    }

    /// One host or one quiet switch; for tests too.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            probe_interval: Duration::from_millis(200),
            probe_timeout: Duration::from_millis(80),
            suspicion_alpha: 3,
            gossip_interval: Duration::from_millis(50),
            push_pull_interval: Duration::from_secs(10),
            ..Self::lan()
        }
    }
}

impl Default for SwimConfig {
    fn default() -> Self {
        Self::lan()
    }
}
