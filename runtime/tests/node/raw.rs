//! A client by hand, which may send anything, and the gate it calls.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hyperscale_codec::messages::{ErrorReply, Goodbye};
use hyperscale_codec::{
    Flags, FrameReader, Header, Hello, Kind, Limits, Message, NodeId, ProtocolVersion, Role, ShardId, Verdict,
};
use hyperscale_runtime::{NodeConfig, NodeHandle, Shard};

use crate::node;
use crate::support::*;

/// A client by hand: greeted and welcomed, then free to send anything.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    reader: FrameReader,
}

impl Raw {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let (raw, answer) = Self::greet(addr, &greeting());
        assert_eq!(answer.verdict, Verdict::Welcome);
        raw
    }

    /// Greets with any Hello; what the node answered.
    pub(crate) fn greet(addr: SocketAddr, hello: &Hello) -> (Self, Hello) {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        // In two pieces, as a network may deliver it.
        let (first, second) = bytes.split_at(7);
        stream.write_all(first).unwrap();
        stream.write_all(second).unwrap();
        let mut answer = vec![0; 10];
        stream.read_exact(&mut answer).unwrap();
        answer.resize(usize::from(u16::from_le_bytes([answer[8], answer[9]])), 0);
        stream.read_exact(&mut answer[10..]).unwrap();
        (Self { stream, reader: FrameReader::new() }, Hello::decode(&answer).unwrap())
    }

    pub(crate) fn send(&mut self, header: Header, body: &[u8]) {
        self.stream.write_all(&header.encode()).unwrap();
        self.stream.write_all(body).unwrap();
    }

    /// Sends byte by byte until the node answers; never the last byte.
    pub(crate) fn send_slowly(&mut self, bytes: &[u8]) {
        self.stream.set_nodelay(true).unwrap();
        let (all_but_last, _) = bytes.split_at(bytes.len() - 1);
        let pause = Duration::from_millis(20);
        for byte in all_but_last {
            self.stream.write_all(&[*byte]).unwrap();
            self.stream.set_read_timeout(Some(pause)).unwrap();
            if self.stream.peek(&mut [0]).is_ok() {
                break;
            }
        }
        self.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }

    /// The next frame's correlation and error code.
    pub(crate) fn reply(&mut self) -> (u32, u16) {
        loop {
            if let Some(frame) = self.reader.next(&Limits::default()).unwrap() {
                let mut scratch = Vec::new();
                return match frame.kind() {
                    Some(Kind::ErrorReply) => {
                        let reply = frame.to_owned::<ErrorReply>(&mut scratch).unwrap();
                        (frame.header.correlation, reply.code)
                    }
                    Some(Kind::Goodbye) => (0, frame.to_owned::<Goodbye>(&mut scratch).unwrap().code),
                    other => panic!("{other:?}"),
                };
            }
            let n = self.stream.read(self.reader.space()).unwrap();
            assert_ne!(n, 0, "the connection ended");
            self.reader.filled(n);
        }
    }

    /// The next frame, which is of this kind; its correlation.
    pub(crate) fn next<M: Message>(&mut self) -> (u32, M) {
        loop {
            if let Some(frame) = self.reader.next(&Limits::default()).unwrap() {
                return (frame.header.correlation, frame.to_owned::<M>(&mut Vec::new()).unwrap());
            }
            let n = self.stream.read(self.reader.space()).unwrap();
            assert_ne!(n, 0, "the connection ended");
            self.reader.filled(n);
        }
    }

    pub(crate) fn refusal(&mut self) -> (u32, ErrorReply) {
        self.next()
    }

    pub(crate) fn ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 16]), Ok(0))
    }
}

/// What a well-behaved client says first.
pub(crate) fn greeting() -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role: Role::Client,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 1,
        features: ProtocolVersion::CURRENT.features(),
        node: NodeId(99),
        boot: 1,
        core_max: 4 << 20,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: "raw".to_owned(),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
}

/// The causes met so far, in the order of their table.
pub(crate) fn counted(shard: &Shard) -> Vec<(&'static str, u64)> {
    shard.causes().values().filter(|(_, value)| *value > 0).collect()
}

pub(crate) fn header(kind: u16, flags: Flags, correlation: u32, body: &[u8]) -> Header {
    Header {
        major: 1,
        minor: 9,
        kind,
        flags,
        root_len: 16,
        core_len: u32::try_from(body.len()).unwrap(),
        ext_len: 0,
        shard: ShardId::ANY,
        correlation,
        route: 0,
        // The checksum of 16 zero bytes, which is what the frames here carry.
        body_crc: 0xecbb_4b55,
    }
}

/// Runs a gate, and `body` as its client on a blocking thread.
pub(crate) fn with_gate<T: Send + 'static>(
    limits: impl Fn(&mut NodeConfig) + Send + Sync + 'static,
    body: impl Fn(SocketAddr) -> T + Send + Sync + Clone + 'static,
    look: impl Fn(&Shard, &NodeHandle<Scribe>) + Send + Sync + Copy + 'static,
) -> T {
    let mut config = listening(Role::Gate, 1);
    limits(&mut config);
    run_one(move |shard| {
        let (config, body) = (config.clone(), body.clone());
        async move {
            let gate = node(&shard, config, Scribe::default());
            let addr = gate.addr().unwrap();
            let result = shard.blocking(move || body(addr)).await.unwrap();
            look(&shard, &gate);
            gate.stop().await;
            result
        }
    })
}
