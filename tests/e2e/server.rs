//! Plain servers on threads of their own, one a connection: one that answers any request, and one that a test scripts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    port: u16,
    served: Arc<AtomicU64>,
}

/// What a script does with a request once it was read; false ends the connection.
pub(crate) type Script = fn(&mut TcpStream) -> bool;

impl Server {
    /// Answers 200 to anything, on kept connections.
    pub(crate) fn start() -> Self {
        Self::scripted(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok())
    }

    /// Reads requests and leaves the answers to `script`.
    pub(crate) fn scripted(script: Script) -> Self {
        Self::connections(move |stream, counter| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            while read_request(&mut reader) {
                counter.fetch_add(1, Ordering::SeqCst);
                if !script(&mut stream) {
                    return;
                }
            }
        })
    }

    /// Leaves each request unread in the kernel, so that the end of `script` resets the connection.
    pub(crate) fn resetting(script: Script) -> Self {
        Self::connections(move |mut stream, counter| {
            if stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                counter.fetch_add(1, Ordering::SeqCst);
                script(&mut stream);
            }
        })
    }

    fn connections(serve: impl Fn(TcpStream, &AtomicU64) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(AtomicU64::new(0));
        let (counter, serve) = (Arc::clone(&served), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_nodelay(true).unwrap();
                let (counter, serve) = (Arc::clone(&counter), Arc::clone(&serve));
                std::thread::spawn(move || serve(stream, &counter));
            }
        });
        Self { port, served }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// Waits until so many requests were served.
    pub(crate) fn wait_for(&self, requests: u64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.served() < requests {
            assert!(Instant::now() < deadline, "only {} requests came", self.served());
            std::thread::yield_now();
        }
    }
}

/// Reads one request with its body; false when there is none left.
fn read_request(reader: &mut BufReader<TcpStream>) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
        }
    }
    reader.read_exact(&mut vec![0; length]).is_ok()
}

/// A port where nobody listens.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
