//! Versions and features (25-1 to 25-3): what two nodes have in common.

use std::fmt;

/// `major.minor` of the protocol. Same major: they can talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// Changes void the wire.
    pub major: u16,
    /// Changes only add.
    pub minor: u16,
}

impl ProtocolVersion {
    /// What this build speaks.
    pub const CURRENT: Self = Self { major: 1, minor: if cfg!(feature = "next-minor") { 5 } else { 4 } };

    /// Whether both can talk: same major.
    #[must_use]
    pub const fn is_compatible_with(self, other: Self) -> bool {
        self.major == other.major
    }

    /// Whether this version has the feature; an unknown feature, no.
    #[must_use]
    pub fn supports_feature(self, name: &str) -> bool {
        FEATURES.iter().any(|(_, known, since)| *known == name && self >= *since)
    }

    /// The features this version has.
    #[must_use]
    pub fn features(self) -> Features {
        let known = FEATURES.iter().filter(|(_, _, since)| self >= *since);
        known.fold(Features::default(), |all, (bit, _, _)| all.with(*bit))
    }

    /// `major << 16 | minor`, as it travels in registrations.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        ((self.major as u32) << 16) | self.minor as u32
    }

    /// Reads `major << 16 | minor`.
    #[must_use]
    pub const fn from_wire(number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self { major: u16::from_be_bytes([a, b]), minor: u16::from_be_bytes([c, d]) }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A set of optional abilities, one bit each; unknown bits are kept and mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(pub u64);

impl Features {
    /// Jobs can be cancelled. Since 1.0.
    pub const CANCELLATION: Self = Self(1);
    /// One statistics message may hold many sources and windows. Since 1.1.
    pub const BATCHED_STATS: Self = Self(1 << 1);
    /// A client may come back to its job. Since 1.2.
    pub const CLIENT_RECONNECTION: Self = Self(1 << 2);
    /// Orders carry fence tokens. Since 1.2.
    pub const FENCE_TOKENS: Self = Self(1 << 3);
    /// Refusals over a rate have their own message. Since 1.3.
    pub const RATE_LIMITING: Self = Self(1 << 4);
    /// A slow worker may ask for time. Since 1.4.
    pub const HEALTHCHECK_EXTENSIONS: Self = Self(1 << 5);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all bits of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

const fn v1(minor: u16) -> ProtocolVersion {
    ProtocolVersion { major: 1, minor }
}

/// Bit, name, first version that has it.
const FEATURES: &[(Features, &str, ProtocolVersion)] = &[
    (Features::CANCELLATION, "cancellation", v1(0)),
    (Features::BATCHED_STATS, "batched_stats", v1(1)),
    (Features::CLIENT_RECONNECTION, "client_reconnection", v1(2)),
    (Features::FENCE_TOKENS, "fence_tokens", v1(2)),
    (Features::RATE_LIMITING, "rate_limiting", v1(3)),
    (Features::HEALTHCHECK_EXTENSIONS, "healthcheck_extensions", v1(4)),
    #[cfg(feature = "next-minor")]
    (Features(1 << 6), "next_minor", v1(5)),
];

/// What one node says it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCapabilities {
    /// The version it speaks.
    pub protocol_version: ProtocolVersion,
    /// The features it has switched on.
    pub capabilities: Features,
    /// The build, for people.
    pub node_version: String,
}

/// What two nodes may use with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiatedCapabilities {
    /// The lower of both minors.
    pub common_version: ProtocolVersion,
    /// What both have, and the common version knows.
    pub features: Features,
}

impl NodeCapabilities {
    /// What both may use, or `None` when the majors differ. Symmetric.
    #[must_use]
    pub fn negotiate(&self, other: &Self) -> Option<NegotiatedCapabilities> {
        if !self.protocol_version.is_compatible_with(other.protocol_version) {
            return None;
        }
        let common_version = self.protocol_version.min(other.protocol_version);
        let features = self.capabilities.common(other.capabilities).common(common_version.features());
        Some(NegotiatedCapabilities { common_version, features })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u16, minor: u16) -> ProtocolVersion {
        ProtocolVersion { major, minor }
    }

    #[test]
    fn a_major_divides_and_a_minor_does_not() {
        assert!(version(1, 0).is_compatible_with(version(1, 9)));
        assert!(!version(1, 4).is_compatible_with(version(2, 4)));
    }

    #[test]
    fn a_feature_comes_with_its_version() {
        assert!(version(1, 1).supports_feature("batched_stats"));
        assert!(!version(1, 1).supports_feature("fence_tokens"));
        assert!(FEATURES.iter().all(|(_, name, _)| version(2, 0).supports_feature(name)));
        assert!(!version(2, 0).supports_feature("telepathy"));
    }

    #[test]
    fn negotiation_is_symmetric_and_ignores_unknown_bits() {
        let old = NodeCapabilities {
            protocol_version: version(1, 1),
            capabilities: Features(u64::MAX),
            node_version: String::new(),
        };
        let new = NodeCapabilities { protocol_version: version(1, 4), ..old.clone() };
        let common = old.negotiate(&new).unwrap();
        assert_eq!(Some(common), new.negotiate(&old));
        assert_eq!(common.common_version, version(1, 1));
        assert_eq!(common.features, Features::CANCELLATION.with(Features::BATCHED_STATS));
        let alien = NodeCapabilities { protocol_version: version(2, 0), ..old.clone() };
        assert_eq!(old.negotiate(&alien), None);
    }

    #[test]
    fn a_version_survives_its_number() {
        assert_eq!(ProtocolVersion::from_wire(version(1, 4).to_wire()), version(1, 4));
    }
}
