//! Randomness from the operating system: seeds for cores, and identities.

use rand::TryRngCore;
use rand::rngs::OsRng;

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct EntropyError(String);

/// A seed for one core's own random numbers.
///
/// # Errors
/// When the operating system has none to give, which only a broken sandbox does.
pub fn seed() -> Result<u64, EntropyError> {
    OsRng.try_next_u64().map_err(|error| EntropyError(error.to_string()))
}

/// A number nobody else has drawn, for node and job ids. Never zero.
///
/// # Errors
/// As [`seed`].
pub fn unique() -> Result<u128, EntropyError> {
    let (high, low) = (seed()?, seed()?);
    Ok(((u128::from(high) << 64) | u128::from(low)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
        assert_ne!(unique().unwrap(), unique().unwrap());
    }
}
