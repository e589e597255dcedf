//! What happened, in numbers that only grow.

/// Counts since the start. All are datagrams, probes or members, unless the name ends in `_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwimCounters {
    /// Pings of own rounds.
    pub probes: u64,
    /// Rounds that nobody answered.
    pub probes_failed: u64,
    /// Answers to own pings.
    pub acks: u64,
    /// Proxies that got no answer and said so.
    pub nacks: u64,
    /// Requests to proxies.
    pub indirect: u64,
    /// TCP connections tried because a ping stayed unanswered.
    pub tcp_fallbacks: u64,
    /// Out-of-band probes sent.
    pub oob_probes: u64,
    /// Out-of-band probes not sent: too many in all, or too soon after the last.
    pub oob_limited: u64,
    /// Suspicions that started here, by own probes or others' claims.
    pub suspicions: u64,
    /// Suspicions of this node, or news of its death, that it refuted.
    pub refutations: u64,
    /// Refutations that were merged into a later one.
    pub refutations_merged: u64,
    /// Members that this node declared dead itself.
    pub deaths: u64,
    /// Gossip datagrams sent for themselves.
    pub gossip_sends: u64,
    /// Lists received over TCP.
    pub push_pulls: u64,
    /// Times that this node noticed it had stood still.
    pub standstills: u64,
    /// Datagrams that came in, both ports.
    pub datagrams_in: u64,
    /// Datagrams that went out, both ports.
    pub datagrams_out: u64,
    /// Bytes that came in.
    pub in_bytes: u64,
    /// Bytes that went out.
    pub out_bytes: u64,
    /// Refused: empty, too short, too long, not of this protocol, or cut off inside.
    pub rejected_malformed: u64,
    /// Refused: the seal does not hold (other fleet, other group, flipped bits).
    pub rejected_seal: u64,
    /// Refused: sealed with an unknown key, or not at all.
    pub rejected_key: u64,
    /// Refused: another major version.
    pub rejected_version: u64,
    /// Refused: seen before, or so old that nobody could tell.
    pub rejected_replay: u64,
    /// Refused: this node's own id as sender.
    pub rejected_own: u64,
    /// Refused: a request to probe a stranger, or one proxy request too many.
    pub rejected_stranger: u64,
    /// Claims refused: incarnation too far ahead, boot out of range, or a sender that may not say so.
    pub claims_refused: u64,
    /// Newcomers or unverified members dropped for want of room.
    pub members_dropped: u64,
}
