//! A way between two processes that can be cut: their connections break, and the next ones go through again.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Passes bytes on to one address. Its threads end with their connections, or with the test.
pub(crate) struct Cut {
    pub(crate) addr: String,
    through: Arc<Through>,
}

#[derive(Default)]
struct Through {
    accepted: AtomicU32,
    ends: Mutex<Vec<TcpStream>>,
}

impl Cut {
    pub(crate) fn to(addr: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let (through, to) = (Arc::<Through>::default(), addr.to_owned());
        let kept = Arc::clone(&through);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                // Who listens behind it may be gone; then so is this connection.
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&to)) else { continue };
                for end in [&near, &far] {
                    end.set_nodelay(true).unwrap();
                    kept.ends.lock().unwrap().push(end.try_clone().unwrap());
                }
                pass_on(near.try_clone().unwrap(), far.try_clone().unwrap());
                pass_on(far, near);
                kept.accepted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { addr: own, through }
    }

    /// Connections that went through so far.
    pub(crate) fn accepted(&self) -> u32 {
        self.through.accepted.load(Ordering::Relaxed)
    }

    /// Breaks all connections.
    pub(crate) fn cut(&self) {
        for end in self.through.ends.lock().unwrap().drain(..) {
            let _broken_already = end.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _how_it_ended = std::io::copy(&mut from, &mut to);
        let _gone = to.shutdown(Shutdown::Both);
        let _gone = from.shutdown(Shutdown::Both);
    });
}
