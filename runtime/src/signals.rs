//! SIGINT and SIGTERM as ordinary reads, on one shard.

use std::io;
use std::time::Duration;

use crate::Shard;

/// What was asked for from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// The service manager, or `kill`.
    Terminate,
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "interrupted",
            Self::Terminate => "terminated",
        })
    }
}

const WATCHED: [libc::c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// Blocks both signals for this thread and those it starts. The first thing in `main`: a thread that was started
/// before dies of them.
///
/// # Errors
/// As the system says.
pub fn block() -> io::Result<()> {
    glommio::signal::block(&WATCHED).map_err(io::Error::from)
}

/// Both signals, read on one shard: of two readers one would win.
#[derive(Debug)]
pub struct Signals {
    shard: Shard,
    signals: glommio::signal::Signals,
}

impl Signals {
    /// Starts to read them.
    ///
    /// # Errors
    /// As the system says, such as for want of a descriptor.
    pub fn open(shard: &Shard) -> io::Result<Self> {
        let signals = glommio::signal::Signals::new(&WATCHED).map_err(io::Error::from)?;
        Ok(Self { shard: shard.clone(), signals })
    }

    /// The next one. Keep asking during a drain: a second interrupt means "at once".
    ///
    /// # Errors
    /// As the system says.
    pub async fn next(&self) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.signals.try_recv().map_err(io::Error::from)? {
                return Ok(if signal == libc::SIGINT { Signal::Interrupt } else { Signal::Terminate });
            }
            // Readiness is a hint: a lost one costs half a second, not the shutdown.
            match self.shard.timeout(Duration::from_millis(500), self.signals.recv()).await {
                Ok(Ok(libc::SIGINT)) => return Ok(Signal::Interrupt),
                Ok(Ok(_)) => return Ok(Signal::Terminate),
                Ok(Err(error)) => return Err(io::Error::from(error)),
                Err(_late) => {}
            }
        }
    }
}
