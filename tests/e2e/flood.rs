//! Clients that ask a gate for more than it can answer, by hand: they know the protocol and no manners.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyperscale_codec::messages::{ErrorReply, JobStatusRequest};
use hyperscale_codec::{
    Encoder, ErrorCode, FrameReader, Head, Hello, JobId, Kind, Limits, NodeId, ProtocolVersion, Role,
    ShardId, Verdict,
};

/// What the answers to all questions were.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The gate looked, and knows no such job.
    pub(crate) answered: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) limited: AtomicU64,
}

impl Answers {
    pub(crate) fn all(&self) -> u64 {
        [&self.answered, &self.overloaded, &self.limited].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn count(&self, reader: &mut FrameReader) {
        while let Some(frame) = reader.next(&Limits::default()).unwrap() {
            let told = match frame.kind() {
                Some(Kind::RateLimitResponse) => &self.limited,
                Some(Kind::ErrorReply) => {
                    let told = frame.to_owned::<ErrorReply>(&mut Vec::new()).unwrap();
                    match ErrorCode::from_wire(told.code) {
                        Some(ErrorCode::Overloaded) => &self.overloaded,
                        Some(ErrorCode::UnknownJob) => &self.answered,
                        other => panic!("{other:?}: {}", told.message),
                    }
                }
                other => panic!("{other:?} is no answer to a question about a job"),
            };
            told.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Connections that ask on and on, on threads of their own; each keeps so many questions open.
pub(crate) struct Flood {
    pub(crate) answers: Arc<Answers>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn start(gate: &str, connections: u64, open: usize) -> Self {
        let (answers, stop) = (Arc::<Answers>::default(), Arc::<AtomicBool>::default());
        let mut asking: Vec<Asking> = (0..connections).map(|at| Asking::connect(gate, at, open)).collect();
        let (counted, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
        let flood = move || {
            while !stopped.load(Ordering::Relaxed) {
                for client in &mut asking {
                    client.turn(&counted);
                }
            }
        };
        Self { answers, stop, threads: vec![std::thread::spawn(flood)] }
    }

    /// Hangs up.
    pub(crate) fn stop(mut self) -> Arc<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        Arc::clone(&self.answers)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One client of a flood.
struct Asking {
    stream: TcpStream,
    reader: FrameReader,
    question: Vec<u8>,
    /// Bytes of questions begun and not yet sent.
    unsent: Vec<u8>,
    asked: u64,
    answered: Arc<Answers>,
    open: u64,
}

impl Asking {
    fn connect(gate: &str, at: u64, open: usize) -> Self {
        let mut stream = TcpStream::connect(gate).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut hello = Vec::new();
        greeting(at).encode(&mut hello);
        stream.write_all(&hello).unwrap();
        let mut answer = vec![0; 10];
        stream.read_exact(&mut answer).unwrap();
        answer.resize(usize::from(u16::from_le_bytes([answer[8], answer[9]])), 0);
        stream.read_exact(&mut answer[10..]).unwrap();
        assert_eq!(Hello::decode(&answer).unwrap().verdict, Verdict::Welcome);
        stream.set_nonblocking(true).unwrap();
        let (job, mut question) = (JobId(u128::from(at) + 1), Vec::new());
        let asks = JobStatusRequest { job: job.to_bytes() };
        Encoder::default().append(&mut question, Head::request(1).job(job), &asks).unwrap();
        let open = u64::try_from(open).unwrap();
        let (reader, answered) = (FrameReader::new(), Arc::default());
        Self { stream, reader, question, unsent: Vec::new(), asked: 0, answered, open }
    }

    /// Sends what there is room for, and counts what came.
    fn turn(&mut self, all: &Answers) {
        while self.asked - self.answered.all() < self.open {
            self.unsent.extend_from_slice(&self.question);
            self.asked += 1;
        }
        match self.stream.write(&self.unsent) {
            Ok(n) => drop(self.unsent.drain(..n)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        match self.stream.read(self.reader.space()) {
            Ok(0) => panic!("the gate hung up"),
            Ok(n) => self.reader.filled(n),
            Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        let before = self.answered.snapshot();
        self.answered.count(&mut self.reader);
        let after = self.answered.snapshot();
        for (to, (now, then)) in
            [&all.answered, &all.overloaded, &all.limited].iter().zip(after.iter().zip(before))
        {
            to.fetch_add(now - then, Ordering::Relaxed);
        }
    }
}

impl Answers {
    fn snapshot(&self) -> [u64; 3] {
        [&self.answered, &self.overloaded, &self.limited].map(|count| count.load(Ordering::Relaxed))
    }
}

fn greeting(at: u64) -> Hello {
    Hello {
        verdict: Verdict::Welcome,
        role: Role::Client,
        version: ProtocolVersion::CURRENT,
        shards: 1,
        shard: ShardId(0),
        in_flight_max: 1,
        features: ProtocolVersion::CURRENT.features(),
        node: NodeId(u128::from(at) + 1_000_000),
        boot: 1,
        core_max: 4 << 20,
        idle_timeout_ms: 0,
        retry_after_ms: 0,
        node_version: String::new(),
        fleet: "default".to_owned(),
        text: String::new(),
        name: format!("flood-{at}"),
        ports: Vec::new(),
        swim_port: 0,
        oob_port: 0,
    }
}
