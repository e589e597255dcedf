//! A client's connection to a gate, of a program that does nothing else meanwhile.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use hyperscale_codec::{
    FrameReader, HELLO_PREFIX, Hello, Limits, NodeId, ProtocolVersion, Role, ShardId, Verdict, hello_len,
};

pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    pub(crate) reader: FrameReader,
}

/// Connects as client number `at`.
pub(crate) fn connect(gate: &str, at: u32) -> Result<Link, Box<dyn Error>> {
    let mut stream = TcpStream::connect(gate)?;
    stream.set_nodelay(true)?;
    let version = ProtocolVersion::CURRENT;
    let hello = Hello {
        verdict: Verdict::Welcome,
        role: Role::Client,
        version,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 64,
        features: version.features(),
        node: NodeId(1_000_000 + u128::from(at)),
        boot: 1,
        core_max: Limits::default().core_max,
        idle_timeout_ms: 60_000,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: format!("flood-{at}"),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    };
    let mut bytes = Vec::new();
    hello.encode(&mut bytes);
    stream.write_all(&bytes)?;
    let mut answer = vec![0; HELLO_PREFIX];
    stream.read_exact(&mut answer)?;
    let prefix = answer.as_slice().try_into()?;
    let len = hello_len(&prefix)?;
    answer.resize(len, 0);
    stream.read_exact(answer.get_mut(HELLO_PREFIX..).unwrap_or_default())?;
    let greeting = Hello::decode(&answer)?;
    if greeting.verdict != Verdict::Welcome {
        return Err(greeting.text.into());
    }
    Ok(Link { stream, reader: FrameReader::new() })
}
