//! A client that says what it wants, and a gate that answers what it wants, frame by frame.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use hyperscale_codec::{
    Encode, Encoder, FrameReader, HELLO_PREFIX, Head, Hello, Limits, NodeId, ProtocolVersion, RawFrame, Role,
    ShardId, Verdict, hello_len,
};

/// One end of a connection whose greetings are exchanged.
pub(crate) struct RawLink {
    stream: TcpStream,
    encoder: Encoder,
    reader: FrameReader,
    out: Vec<u8>,
}

impl RawLink {
    /// A client of this id at a gate.
    pub(crate) fn client(gate: &str, node: u128) -> Self {
        let mut link = Self::new(TcpStream::connect(gate).unwrap());
        link.greet(Role::Client, NodeId(node));
        let answer = link.greeting();
        assert_eq!((answer.verdict, answer.role), (Verdict::Welcome, Role::Gate), "{}", answer.text);
        link
    }

    /// A gate's end of the next connection.
    pub(crate) fn gate(listener: &TcpListener) -> Self {
        let mut link = Self::new(listener.accept().unwrap().0);
        assert_eq!(link.greeting().role, Role::Client);
        link.greet(Role::Gate, NodeId(1));
        link
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, encoder: Encoder::default(), reader: FrameReader::new(), out: Vec::new() }
    }

    fn greet(&mut self, role: Role, node: NodeId) {
        let version = ProtocolVersion::CURRENT;
        let hello = Hello {
            verdict: Verdict::Welcome,
            role,
            version,
            shards: 1,
            shard: ShardId(0),
            in_flight_max: 64,
            features: version.features(),
            node,
            boot: 1,
            core_max: Limits::default().core_max,
            idle_timeout_ms: 60_000,
            retry_after_ms: 0,
            node_version: String::new(),
            fleet: "default".to_owned(),
            text: String::new(),
            name: "raw".to_owned(),
            ports: Vec::new(),
            swim_port: 0,
            oob_port: 0,
        };
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    fn greeting(&mut self) -> Hello {
        let mut prefix = [0; HELLO_PREFIX];
        self.stream.read_exact(&mut prefix).unwrap();
        let mut bytes = vec![0; hello_len(&prefix).unwrap()];
        bytes[..HELLO_PREFIX].copy_from_slice(&prefix);
        self.stream.read_exact(&mut bytes[HELLO_PREFIX..]).unwrap();
        Hello::decode(&bytes).unwrap()
    }

    /// Puts a frame behind those that [`RawLink::flush`] sends at once.
    pub(crate) fn queue<M: Encode>(&mut self, head: Head, message: &M) {
        self.encoder.append(&mut self.out, head, message).unwrap();
    }

    pub(crate) fn flush(&mut self) {
        self.stream.write_all(&self.out).unwrap();
        self.out.clear();
    }

    /// Waits for the next frame and looks at it; `None`: the other end is done.
    pub(crate) fn hear<T>(&mut self, look: impl FnOnce(RawFrame<'_>) -> T) -> Option<T> {
        let limits = Limits::default();
        loop {
            // Asked twice, as the borrow of a frame would last over the read.
            let is_there = self.reader.next(&limits).unwrap().map(|frame| frame.bytes.to_vec());
            if let Some(bytes) = is_there {
                return Some(look(RawFrame::read(&bytes, &limits).unwrap()));
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes).unwrap() {
                0 => return None,
                n => self.reader.feed(&bytes[..n]),
            }
        }
    }
}
