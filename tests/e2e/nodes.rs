//! Nodes as processes of their own: started, asked, told to end by their id, and gone when a test ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{hyperscale, run, text};

/// What is waited for comes within this time, on a machine that does much else.
const SOON: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until it is so.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: it did not come within {SOON:?}");
        std::thread::sleep(LOOK);
    }
}

/// Sends a signal to one process.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "{name} {pid}");
}

/// Whether a process is there and not only waits to be reaped.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// A port where nobody listens, below those that the system gives to connections: it stays free over a restart.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let from = u16::try_from(std::process::id() % 11_000).unwrap();
    (0..12_000)
        .map(|_| 20_000 + (from + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// A process that is killed where a test ends without having ended it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self { child: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its first line on stdout.
    pub(crate) fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    }

    /// Its next line on stderr; few are read, so what is buffered beyond it does not matter.
    pub(crate) fn next_note(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        let stderr = self.child.stderr.as_mut().unwrap();
        while stderr.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        text(&line)
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_for("the end of a process", || self.child.try_wait().unwrap())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, with what it wrote; for one that writes less than a pipe holds.
    pub(crate) fn output(mut self) -> Output {
        let status = self.ended();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        Output { status, stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A gate, manager or worker; its log goes to a file. A test that fails shows the log of one that nobody else reads.
pub(crate) struct Node {
    process: Process,
    pub(crate) listen: String,
    pub(crate) admin: String,
    unread: Option<tempfile::NamedTempFile>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(log) = self.unread.as_ref().filter(|_| std::thread::panicking()) {
            let log = std::fs::read_to_string(log.path()).unwrap_or_default();
            eprintln!("the log of the node at {}:\n{log}", self.listen);
        }
    }
}

impl Node {
    pub(crate) fn start(binary: &Path, args: &[&str], log: &Path) -> Self {
        let unread = (log == Path::new("/dev/null")).then(|| tempfile::NamedTempFile::new().unwrap());
        let log = unread.as_ref().map_or(log, tempfile::NamedTempFile::path);
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(binary);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process = Process { child: command.spawn().unwrap() };
        let line = process.first_line();
        let place = |after: &str| {
            let rest = line.split(after).nth(1).unwrap_or_else(|| panic!("{args:?} said {line:?}"));
            rest.trim_end().trim_end_matches('/').split(';').next().unwrap().to_owned()
        };
        Self { listen: place(" listens on "), admin: place("; admin http://"), process, unread }
    }

    /// A node on free ports that nobody restarts.
    pub(crate) fn anywhere(role: &str, name: &str, flags: &[&str]) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_hyperscale"));
        Self::start(binary, &anywhere(role, name, flags), Path::new("/dev/null"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn terminate(&self) {
        signal("-TERM", self.process.pid());
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.ended()
    }
}

/// The arguments of a node on free ports.
pub(crate) fn anywhere<'a>(role: &'a str, name: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "unpinned"];
    [&[role, "--name", name][..], &ports, flags].concat()
}

/// A fleet that `hyperscale cluster` runs.
pub(crate) struct Cluster {
    pub(crate) process: Process,
    folder: tempfile::TempDir,
    nodes: Value,
}

impl Cluster {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ready, logs) = (folder.path().join("ready.json"), folder.path().join("logs"));
        let files = ["--ready-file", ready.to_str().unwrap(), "--log-dir", logs.to_str().unwrap()];
        let mut process = Process::start(&mut hyperscale(&[&["cluster"], flags, &files].concat()));
        let nodes = wait_for("a fleet", || {
            assert!(!process.has_ended(), "the cluster ended at once");
            std::fs::read(&ready).ok()
        });
        Self { process, folder, nodes: serde_json::from_slice::<Value>(&nodes).unwrap()["nodes"].take() }
    }

    pub(crate) fn nodes(&self) -> &[Value] {
        self.nodes.as_array().unwrap()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes().iter().map(|node| u32::try_from(node["pid"].as_u64().unwrap()).unwrap()).collect()
    }

    /// Where its gates are, in the order of their names.
    pub(crate) fn gates(&self) -> Vec<&str> {
        let gates = self.nodes().iter().filter(|node| node["role"] == "gate");
        gates.map(|node| node["listen"].as_str().unwrap()).collect()
    }

    /// Where a node's log is.
    pub(crate) fn log(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("logs").join(format!("{name}.log"))
    }

    /// Writes a plan; its path.
    pub(crate) fn plan(&self, name: &str, body: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, body).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// What a command that succeeds says as JSON.
pub(crate) fn json(args: &[&str]) -> Value {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// How a job stands.
pub(crate) fn status(job: &str, gate: &str) -> Value {
    json(&["status", job, "--gate", gate, "--json"])
}

/// Submits; the job's id.
pub(crate) fn submit(plan: &str, gate: &str) -> String {
    json(&["submit", plan, "--gate", gate, "--json", "-"])["job_id"].as_str().unwrap().to_owned()
}

/// The names of the nodes that a gate knows to be alive.
pub(crate) fn alive(gate: &str) -> Vec<String> {
    let nodes = json(&["nodes", "--gate", gate, "--json"]);
    let alive = nodes["nodes"].as_array().unwrap().iter().filter(|node| node["state"] == "alive");
    alive.map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

/// Says these bytes and hears all that comes back.
pub(crate) fn exchange(addr: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A port that hangs up on bytes it did not read resets; what it said before counts.
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
