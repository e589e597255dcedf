//! Names to addresses, off the shard: `getaddrinfo` blocks, so it runs on the shard's blocking threads.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::{BlockingPanicked, Shard, TimedOut};

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver refused, or knows no such name.
    #[error("resolving {host:?}: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name exists and has no address.
    #[error("resolving {host:?}: the name has no address")]
    Empty {
        /// The name.
        host: String,
    },
    /// The resolver did not answer in time. It goes on in the background.
    #[error("resolving {host:?}: {source}; is the name server reachable?")]
    TimedOut {
        /// The name.
        host: String,
        /// How long it had.
        source: TimedOut,
    },
    /// The lookup panicked.
    #[error("resolving {host:?}: {source}")]
    Panicked {
        /// The name.
        host: String,
        /// What it said.
        source: BlockingPanicked,
    },
}

impl Shard {
    /// All addresses of a name, or of a literal with or without brackets, in the resolver's order, each once. Try them
    /// in that order.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(
        &self,
        host: &str,
        port: u16,
        time: Duration,
    ) -> Result<Vec<SocketAddr>, ResolveError> {
        if let Some(literal) = literal(host) {
            return Ok(vec![SocketAddr::new(literal, port)]);
        }
        let name = host.to_owned();
        let lookup = self.blocking(move || Ok((name.as_str(), port).to_socket_addrs()?.collect::<Vec<_>>()));
        let host = || host.to_owned();
        let found = self.timeout(time, lookup).await;
        let found = found.map_err(|source| ResolveError::TimedOut { host: host(), source })?;
        let found = found.map_err(|source| ResolveError::Panicked { host: host(), source })?;
        let found = found.map_err(|source| ResolveError::Lookup { host: host(), source })?;
        let found = each_once(found);
        if found.is_empty() { Err(ResolveError::Empty { host: host() }) } else { Ok(found) }
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

fn each_once(mut addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = BTreeSet::new();
    addrs.retain(|addr| seen.insert(*addr));
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_order_and_come_once() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let given = [addr("[::1]:80"), addr("127.0.0.1:80"), addr("[::1]:80")];
        assert_eq!(each_once(given.to_vec()), [addr("[::1]:80"), addr("127.0.0.1:80")]);
    }

    #[test]
    fn a_literal_needs_no_resolver() {
        assert_eq!(literal("[::1]"), Some("::1".parse().unwrap()));
        assert_eq!(literal("10.0.0.1"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(literal("localhost"), None);
    }
}
