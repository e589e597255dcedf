//! `hyperscale target` as a process of its own, asked over its own `/_count`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::hyperscale;

pub(crate) struct Target {
    child: Child,
    addr: String,
}

impl Target {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let args = [&["target", "--listen", "127.0.0.1:0"], flags].concat();
        let mut child = hyperscale(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        Self { child, addr }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its count of what it served, errors among them, without the questions for it.
    pub(crate) fn count(&self, of: &str) -> u64 {
        let counts: Value = serde_json::from_str(&get(&self.addr, "/_count")).unwrap();
        counts[of].as_u64().unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The body that a path answers with.
pub(crate) fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
