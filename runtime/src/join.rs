//! Addresses by name: looked up until they are known, and again from time to time, because names move.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::{ResolveError, Shard};

/// For one look-up.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Between two tries while a name is not known.
const SOON: Duration = Duration::from_secs(1);
/// Between two looks at names that are known.
const LATER: Duration = Duration::from_secs(30);

/// A host and a port of the fleet, as a user writes them: `host:port`, `10.0.0.1:7000`, `[fd00::1]:7000`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JoinAddr {
    host: String,
    port: u16,
}

/// Why a text is no address to join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address; write HOST:PORT, such as gate-1.example:7000 or [fd00::1]:7000")]
pub struct JoinAddrError {
    text: String,
}

impl FromStr for JoinAddr {
    type Err = JoinAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || JoinAddrError { text: text.to_owned() };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let plain = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:%".contains(c))
            && (bare.is_some() || !host.contains(':'));
        plain.then(|| Self { host: host.to_owned(), port }).ok_or_else(wrong)
    }
}

impl JoinAddr {
    /// All its addresses.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn look_up(&self, shard: &Shard) -> Result<Vec<SocketAddr>, ResolveError> {
        shard.resolve(&self.host, self.port, LOOK_UP).await
    }
}

impl From<SocketAddr> for JoinAddr {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl fmt::Display for JoinAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Looks `names` up and tells what they are; for as long as `tell` says that somebody listens.
pub async fn keep_resolving(shard: Shard, names: Vec<JoinAddr>, tell: impl Fn(Vec<SocketAddr>) -> bool) {
    if names.is_empty() {
        return;
    }
    loop {
        let mut all_known = true;
        let mut found = Vec::with_capacity(names.len());
        for name in &names {
            match name.look_up(&shard).await {
                Ok(addrs) => found.extend(addrs),
                Err(error) => {
                    tracing::warn!(%name, %error, "a name to join is not known yet");
                    all_known = false;
                }
            }
        }
        if !tell(found) {
            return;
        }
        shard.sleep(if all_known { LATER } else { SOON }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for good in ["localhost:7000", "10.0.0.1:1", "[fd00::1]:7000", "gate-1.eu_west.example:65535"] {
            assert_eq!(good.parse::<JoinAddr>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "host",
            "host:",
            ":7000",
            "host:0",
            "host:65536",
            "fd00::1:7000",
            "a b:1",
            "[::1]7000",
            "http://h:1",
        ] {
            let error = bad.parse::<JoinAddr>().unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{bad}: {error}");
        }
    }
}
