//! Waiting for time to pass.
//!
//! A timer whose time has passed is ready at once and does not yield, so a loop over a computed delay would hang its
//! shard as soon as it is late. Every wait here lasts at least a microsecond. Long waits are cut into pieces, because
//! the executor's clock stands still while the host is suspended and ours does not.

use std::future::Future;
use std::time::Duration;

use hyperscale_core::Instant;

use crate::{Shard, clock};

/// The shortest wait.
const WAIT_MIN: Duration = Duration::from_micros(1);
/// The longest wait in one piece.
const PIECE_MAX: Duration = Duration::from_secs(1);

/// The time given to something ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done within {0:?}")]
pub struct TimedOut(pub Duration);

impl Shard {
    /// Now, on the node's clock.
    #[must_use]
    #[allow(clippy::unused_self, reason = "the shard is the licence to ask")]
    pub fn now(&self) -> Instant {
        clock::now()
    }

    /// Waits until `due`, or for a microsecond if that has passed. Other tasks run meanwhile in any case.
    pub async fn sleep_until(&self, due: Instant) {
        loop {
            let left = due.since(self.now());
            glommio::timer::sleep(left.clamp(WAIT_MIN, PIECE_MAX)).await;
            if self.now() >= due {
                return;
            }
        }
    }

    /// Waits for `time`, at least a microsecond.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    /// What the future gives, if it does within `time`. A result that is there at the deadline counts.
    ///
    /// # Errors
    /// [`TimedOut`]; the future is dropped.
    pub async fn timeout<T>(&self, time: Duration, future: impl Future<Output = T>) -> Result<T, TimedOut> {
        let late = async {
            self.sleep(time).await;
            Err(TimedOut(time))
        };
        futures_lite::future::or(async { Ok(future.await) }, late).await
    }

    /// Lets other tasks run if the executor asks for it; call it every 64 items of a long loop.
    pub async fn yield_if_needed(&self) {
        glommio::yield_if_needed().await;
    }
}
