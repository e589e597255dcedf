#!/usr/bin/env bash
# What one core of a controller merges: the gate beside the controllers of other load generators that gather statistics
# of distributed workers, one after the other in each round. The controller is alone on core 0; on core 1 a driver speaks
# its workers' protocol over loopback TCP, as fast as it is taken, with messages made beforehand. An update is what one
# worker shard tells of a while: one endpoint, counts, a latency histogram of 30 values. Each twice: one update a message,
# and 100, which no peer's worker sends but its format allows. All that was sent must be in the controller's totals, or
# there is no figure.
#   Gate     StatsUpdate of one source, StatsSnapshot of 100. Each update has four histograms of 30: latency and service
#            time, of the step and of the workflow. Its totals keep a snapshot as it came, checked, and add up when asked.
#   Goose    the manager of a gaggle, 0.16, the last with gaggles: one histogram, a BTreeMap, added into a copy of the
#            total. 1,024 workers, since it sleeps 100 ms whenever it finds nothing to read.
#   Locust   its master: a dict of the endpoint and one of all endpoints, each added. 100 have one of all among them.
#   Tsung    the process that gathers what requests took. It has no histograms: 30 times become their count, mean,
#            variance and extremes.
# CPU is the controller's share of its core and the driver's of its own; "/s of CPU" is updates a second that the
# controller ran, for machines that do other work too.
#
# Needs two CPUs, python3 (3.8 or newer) and a release build. Peers are measured if they are there:
#   benches/peers/controllers.sh how FOLDER | sh      installs them into FOLDER (needs cargo, apt-get, python3)
#   PEERS=FOLDER benches/peers/controllers.sh [ROUNDS] [SECONDS]
set -euo pipefail
if [ "${1:-}" = how ]; then
  folder=$(realpath -m "${2:?"usage: $0 how FOLDER"}")
  cat <<HOW
set -e
mkdir -p '$folder/goose/src'
# Tsung, and cmake for Goose's messages. Goose had its gaggles until 0.16; later ones are alone.
apt-get install -y tsung cmake
python3 -m venv '$folder/locust'
'$folder/locust/bin/pip' install locust==2.47.0
cat >'$folder/goose/Cargo.toml' <<'FILE'
[package]
name = "goose-manager"
version = "0.0.0"
edition = "2021"
[dependencies]
goose = { version = "=0.16.4", features = ["gaggle"] }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
[profile.release]
lto = "fat"
codegen-units = 1
[workspace]
FILE
cat >'$folder/goose/src/main.rs' <<'FILE'
use goose::prelude::*;

async fn root(user: &mut GooseUser) -> TransactionResult {
    user.get("").await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), GooseError> {
    let scenario = scenario!("a").register_transaction(transaction!(root));
    let metrics = GooseAttack::initialize()?.register_scenario(scenario).execute().await?;
    for (name, of) in &metrics.requests {
        let times = &of.raw_data.times;
        let told: usize = times.values().sum();
        println!("merged {name}: {} requests, {told} times, {} buckets", of.raw_data.counter, times.len());
    }
    Ok(())
}
FILE
cd '$folder/goose' && CARGO_TARGET_DIR='$folder/goose/target' cargo build --release
HOW
  exit
fi
cd "$(dirname "$0")/../.."
binary=${HYPERSCALE:-${CARGO_TARGET_DIR:-target}/release/hyperscale}
[ -x "$binary" ] || { echo "$binary is missing: cargo build --release" >&2; exit 1; }
exec python3 - "$binary" "${PEERS:-}" "${1:-5}" "${2:-4}" <<'PYTHON'
import glob, json, os, re, resource, selectors, socket, statistics, struct, subprocess, sys, tempfile, threading, time
from contextlib import contextmanager
from urllib.request import urlopen

binary, peers, rounds, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
folder = tempfile.TemporaryDirectory()
BATCH, WARM_UP = 100, 1.0
# One report: so many requests of each latency, in ms.
TIMES = {ms: ms * 7 % 5 + 1 for ms in range(1, 31)}
REQUESTS, MS = sum(TIMES.values()), sum(ms * count for ms, count in TIMES.items())
CONTROLLER, DRIVER = {0}, {1}
os.sched_setaffinity(0, DRIVER)
socket.setdefaulttimeout(20)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(ready, what, patience=60):
    end = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < end, f"{what} did not happen within {patience} s"
        time.sleep(0.02)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(args, cores=CONTROLLER, **more):
    # A folder of its own: some leave logs where they stand.
    child = subprocess.Popen(args, preexec_fn=lambda: os.sched_setaffinity(0, cores), text=True, cwd=folder.name,
                             **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL,
                                **more})
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def cpu(pid):
    """Seconds that all threads of a process ran."""
    return sum(int(open(f"{task}/schedstat").read().split()[0]) for task in glob.glob(f"/proc/{pid}/task/*")) / 1e9


class Figure:
    """Updates merged in so many seconds, in which the controller ran so long and the driver so long."""

    def __init__(self, updates, span, ran, drove):
        self.rate, self.cpu, self.driver, self.per_cpu = updates / span, ran / span, drove / span, updates / ran


# ---- messages, as the peers' workers write them

def number(value, small, majors):
    if value < small:
        return None
    for limit, lead, pack in majors:
        if value < limit:
            return bytes([lead]) + struct.pack(pack, value)


def cbor(value):
    def head(major, n):
        major <<= 5
        return number(n, 24, [(1 << 8, major | 24, ">B"), (1 << 16, major | 25, ">H"), (1 << 32, major | 26, ">I"),
                              (1 << 64, major | 27, ">Q")]) or bytes([major | n])
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        return head(3, len(value)) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(of) for key, of in value.items())


def msgpack(value):
    def head(n, small, fix, leads):
        return number(n, small, leads) or bytes([fix | n])
    if value is None:
        return b"\xc0"
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, int):
        return head(value, 128, 0, [(1 << 8, 0xCC, ">B"), (1 << 16, 0xCD, ">H"), (1 << 32, 0xCE, ">I"),
                                    (1 << 64, 0xCF, ">Q")])
    if isinstance(value, str):
        return head(len(value), 32, 0xA0, [(1 << 8, 0xD9, ">B"), (1 << 16, 0xDA, ">H")]) + value.encode()
    if isinstance(value, list):
        return head(len(value), 16, 0x90, [(1 << 16, 0xDC, ">H")]) + b"".join(map(msgpack, value))
    return head(len(value), 16, 0x80, [(1 << 16, 0xDE, ">H")]) + b"".join(
        msgpack(key) + msgpack(of) for key, of in value.items())


# ---- a driver: connections with a few turns under way on each

class Connection:
    """`turn(n)` is the n-th message that is answered and what goes before it; `answered(data)` finds the last answer's
    number in what came, and how much of it is read."""

    def __init__(self, sock, turn, answered, window):
        self.sock, self.turn, self.answered, self.window = sock, turn, answered, window
        self.sent = self.done = 0
        self.came, self.left = b"", b""
        sock.setblocking(False)

    def write(self):
        while self.left or self.sent - self.done < self.window:
            if not self.left:
                self.sent += 1
                self.left = self.turn(self.sent)
            try:
                self.left = self.left[self.sock.send(self.left):]
            except BlockingIOError:
                return

    def read(self):
        data = self.sock.recv(1 << 16)
        assert data, "the controller closed a connection"
        self.came += data
        last, read = self.answered(self.came)
        self.came = self.came[read:]
        self.done = max(self.done, last or 0)


def drive(connections, pid):
    """Turns done, CPU time of the controller and of this driver, and the seconds in which. At the end all that was sent
    is answered."""
    ready = selectors.DefaultSelector()
    for connection in connections:
        ready.register(connection.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)
    done = lambda: sum(connection.done for connection in connections)
    begin, marks = time.monotonic(), []
    end, heard = begin + WARM_UP + seconds, begin
    while True:
        now = time.monotonic()
        if now >= (begin + WARM_UP, end, float("inf"))[len(marks)]:
            marks.append((now, done(), cpu(pid), time.process_time()))
        stopped = len(marks) == 2
        if stopped and all(c.done == c.sent and not c.left for c in connections):
            break
        if stopped and now - heard > 1:
            # An answer may be lost where its sender was busy; one more asks for it.
            assert now - end < 60, f"{sum(c.sent for c in connections) - done()} messages were not answered"
            for c in connections:
                c.window = c.sent - c.done + 1
                c.write()
                c.window = 0
            heard = now
        for key, events in ready.select(0.05):
            c, heard = key.data, now
            if stopped:
                c.window = 0
            if events & selectors.EVENT_READ:
                c.read()
            c.write()
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if c.left else 0)
            if key.events != wanted:
                ready.modify(c.sock, wanted, c)
    ready.close()
    return [after - before for before, after in zip(*marks)][1:] + [marks[1][0] - marks[0][0]]


def exactly(sock, length):
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        assert part, "the controller closed a connection"
        data += part
    return data


# ---- the gate, under closed load of `saturate`

def gate(sources):
    path = os.path.join(folder.name, "gate.toml")
    with open(path, "w") as file:
        # A closed load keeps a core full: without this the gate would ask for less of it.
        file.write("[overload]\nenabled = false\n[limits]\nexempt = [\"127.0.0.0/8\"]\n")
    args = [binary, "gate", "--config", path, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "0"]
    with process(args) as child:
        addr = re.search(r"listens on ([^;]+);", child.stdout.readline())[1]
        mix, workers, shards, window = ("stats", 1, 1, 256) if sources == 1 else ("snapshot", sources // 2, 2, 16)
        args = [binary, "saturate", "--gate", addr, "--mix", f"{mix}=100", "--workers", str(workers), "--worker-shards",
                str(shards), "--open-requests", str(window), "--duration", f"{seconds:g}s", "--warm-up", f"{WARM_UP:g}s",
                "--quiet", "--json", "-"]
        with process(args, DRIVER) as driver:
            # The middle of what it measures.
            time.sleep(WARM_UP + seconds * 0.2)
            began, ran = time.monotonic(), cpu(child.pid)
            time.sleep(seconds * 0.6)
            share = (cpu(child.pid) - ran) / (time.monotonic() - began)
            told = json.loads(driver.communicate()[0])
    exact = told["exactness"]
    assert exact["exact"] and exact["requests_reported"] == exact["requests_sent"] > 0, exact
    assert told["setup"]["buckets"] == 30 and told["setup"]["sources_per_job"] == sources, told["setup"]
    return Figure(sum(of["updates"] for of in told["kinds"]), seconds, share * seconds,
                  told["steps"][-1]["driver_cpu"] * seconds)


# ---- Goose: SP over TCP (REQ to REP), CBOR

def goose_report():
    data = {"times": TIMES, "minimum_time": 1, "maximum_time": 30, "total_time": MS, "counter": REQUESTS}
    request = {"path": "/", "method": "Get", "raw_data": data, "coordinated_omission_data": None,
               "status_code_counts": {200: REQUESTS}, "success_count": REQUESTS, "fail_count": 0, "load_test_hash": 0}
    return {"Requests": {"GET /": request}}


def goose(reports, workers):
    port = free_port()
    args = [f"{peers}/goose/target/release/goose-manager", "--manager", "--expect-workers", str(workers), "--users",
            str(workers), "--host", "http://127.0.0.1:9", "--no-hash-check", "--no-transaction-metrics",
            "--no-scenario-metrics", "--no-error-summary", "--quiet", "--quiet", "--manager-bind-host", "127.0.0.1",
            "--manager-bind-port", str(port)]
    body = cbor([goose_report()] * reports)

    def frame(nth, body):
        return struct.pack(">QI", len(body) + 4, 1 << 31 | nth) + body

    def answered(data):
        at, last = 0, None
        while len(data) - at >= 12:
            length, = struct.unpack_from(">Q", data, at)
            if len(data) - at < 8 + length:
                break
            last = struct.unpack_from(">I", data, at + 8)[0] & 0x7FFFFFFF
            at += 8 + length
        return last, at

    def ask(sock, nth, body):
        sock.sendall(frame(nth, body))
        return exactly(sock, struct.unpack(">Q", exactly(sock, 8))[0])[4:]

    # It says more than a pipe holds.
    said_file = os.path.join(folder.name, "goose.log")
    with open(said_file, "w") as log, process(args, stdout=log) as child:
        until(lambda: listens(port), "Goose's manager listening")
        socks, init = [], cbor([{"WorkerInit": 0}])
        for _ in range(workers):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(b"\0SP\0\0\x30\0\0")
            assert exactly(sock, 8) == b"\0SP\0\0\x31\0\0"
            socks.append(sock)
        # It counts a connection a moment after it hears it, and ends if it hears more than it counts.
        time.sleep(0.5)
        for sock in socks:
            sock.sendall(frame(1 << 30, init))
        for sock in socks:
            exactly(sock, struct.unpack(">Q", exactly(sock, 8))[0])
        until(lambda: ask(socks[0], 1 << 30, init) == cbor("Run"), "Goose's start")
        connections = [Connection(sock, lambda nth: frame(nth, body), answered, 4) for sock in socks]
        turns, ran, drove, span = drive(connections, child.pid)
        sent = sum(connection.sent for connection in connections) * reports
        for sock in socks:
            sock.close()
        child.wait(60)
    with open(said_file) as log:
        merged = re.search(r"merged GET /: (\d+) requests, (\d+) times, (\d+) buckets", log.read()).groups()
    assert list(map(int, merged)) == [sent * REQUESTS, sent * REQUESTS, 30], (merged, sent * REQUESTS)
    return Figure(turns * reports, span, ran, drove)


# ---- Locust: ZMTP over TCP (DEALER to ROUTER), msgpack

def locust_entry(name, method, times):
    now = time.time()
    return {"name": name, "method": method, "last_request_timestamp": now, "start_time": now - 3,
            "num_requests": sum(times.values()), "num_none_requests": 0, "num_failures": 0,
            "total_response_time": sum(ms * count for ms, count in times.items()), "max_response_time": 30,
            "min_response_time": 1, "total_content_length": 256 * sum(times.values()), "response_times": times,
            "num_reqs_per_sec": {int(now) - at: sum(times.values()) // 3 for at in (2, 1, 0)}, "num_fail_per_sec": {}}


def locust_version():
    return said([f"{peers}/locust/bin/locust", "--version"]).split()[1]


def locust(reports, workers):
    port, web = free_port(), free_port()
    file = os.path.join(folder.name, "locustfile.py")
    with open(file, "w") as out:
        out.write("from locust import HttpUser, task\nclass A(HttpUser):\n    @task\n    def root(self):\n"
                  "        self.client.get('/')\n")
    args = [f"{peers}/locust/bin/locust", "-f", file, "--master", "--host", "http://127.0.0.1:9", "--master-bind-host",
            "127.0.0.1", "--master-bind-port", str(port), "--web-host", "127.0.0.1", "--web-port", str(web),
            "--loglevel", "ERROR"]
    each = max(1, 200 // reports)

    def frame(body):
        return (bytes([0, len(body)]) if len(body) < 256 else struct.pack(">BQ", 2, len(body))) + body

    def worker(nth):
        name = f"worker-{nth}"
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31))
        exactly(sock, 64)
        meta = b"".join(bytes([len(key)]) + key + struct.pack(">I", len(of)) + of
                        for key, of in ((b"Socket-Type", b"DEALER"), (b"Identity", name.encode())))
        ready = b"\x05READY" + meta
        sock.sendall(bytes([4, len(ready)]) + ready)
        exactly(sock, exactly(sock, 2)[1])
        say = lambda what, of: frame(msgpack([what, of, name]))
        sock.sendall(say("client_ready", locust_version()))
        exactly(sock, exactly(sock, 2)[1])
        total = {ms: count * reports for ms, count in TIMES.items()}
        stats = say("stats", {"stats": [locust_entry("/", "GET", TIMES)] * reports, "errors": {}, "user_count": 1,
                              "user_classes_count": {"A": 1}, "stats_total": locust_entry("Aggregated", "", total)})
        # The answer to the heartbeat tells that all before it is merged.
        turn = stats * each + say("heartbeat", {"state": "running", "current_cpu_usage": 50, "current_memory_usage": 1})
        answer = frame(msgpack(["heartbeat", None, name]))
        seen = [0]

        def answered(data):
            came = len(data) // len(answer)
            assert data[:len(answer)] == answer[:len(data)], data
            seen[0] += came
            return seen[0], came * len(answer)
        return Connection(sock, lambda _: turn, answered, 2)

    with process(args, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}) as child:
        until(lambda: listens(port) and listens(web), "Locust's master listening")
        connections = [worker(nth) for nth in range(workers)]
        turns, ran, drove, span = drive(connections, child.pid)
        sent = sum(connection.sent for connection in connections) * each * reports
        # Its figures are kept for two seconds.
        until(lambda: shown(web) == [sent * REQUESTS] * 2, "Locust's totals being all that was sent", 10)
    return Figure(turns * each * reports, span, ran, drove)


def shown(web):
    said = json.load(urlopen(f"http://127.0.0.1:{web}/stats/requests"))
    return [of["num_requests"] for of in said["stats"]]


# ---- Tsung: Erlang's distribution over TCP

TSUNG = max(glob.glob("/usr/lib/*/tsung") + glob.glob("/usr/lib/tsung"), default=None)
ERLANG_DRIVER = """
    Node = '%(node)s', true = net_kernel:connect_node(Node), ok = global:sync(),
    {Reports, Each, Warm, Span} = {%(reports)d, %(each)d, %(warm)d, %(span)d},
    Values = [float(V) || V <- lists:seq(1, 30)],
    List = lists:append(lists:duplicate(Reports, Values)),
    Done = counters:new(1, []), Stop = atomics:new(1, []), Me = self(),
    Turn = fun() -> [ts_stats_mon:add(List, request) || _ <- lists:seq(1, Each)], ts_stats_mon:status(request),
        counters:add(Done, 1, Each * Reports) end,
    Loop = fun(L) -> case atomics:get(Stop, 1) of 0 -> Turn(), L(L); _ -> Me ! done end end,
    [spawn(fun() -> Loop(Loop) end) || _ <- lists:seq(1, 4)],
    timer:sleep(Warm), io:format("~p~n", [counters:get(Done, 1)]),
    timer:sleep(Span), io:format("~p~n", [counters:get(Done, 1)]),
    atomics:put(Stop, 1, 1), [receive done -> ok end || _ <- lists:seq(1, 4)],
    io:format("~p ~p~n", [counters:get(Done, 1), ts_stats_mon:status(request)]), halt().
"""


def tsung(reports, _):
    port = free_port()
    environment = {**os.environ, "ERL_EPMD_PORT": str(port), "HOME": folder.name}
    code = [part for path in glob.glob(f"{TSUNG}/*/ebin") for part in ("-pa", path)]
    erl = ["erl", "-noshell", "-setcookie", "peers", "-start_epmd", "false", "+K", "true", "+A", "8", "+S", "1",
           "-kernel", "inet_dist_use_interface", "{127,0,0,1}", *code]
    # Its own process for the statistics of requests, as its controller starts it, and no text of it but errors.
    start = ("application:load(tsung), application:load(tsung_controller), application:set_env(tsung, debug_level, 2), "
             "application:set_env(tsung_controller, debug_level, 2), "
             "{ok, _} = ts_stats_mon:start(request), io:format(\"ready~n\").")
    host = subprocess.run(["hostname", "-s"], capture_output=True, text=True).stdout.strip()
    driver = ERLANG_DRIVER % {"node": f"tsung_controller@{host}", "reports": reports, "each": max(1, 200 // reports),
                              "warm": WARM_UP * 1000, "span": seconds * 1000}
    with process(["epmd", "-port", str(port), "-address", "127.0.0.1"], DRIVER, env=environment, stdout=None) as _:
        until(lambda: listens(port), "epmd listening")
        with process([*erl, "-sname", "tsung_controller", "-eval", start], env=environment) as child:
            until(lambda: child.stdout.readline() in ("ready\n", ""), "Tsung's statistics starting")
            with process([*erl, "-sname", "driver", "-eval", driver], DRIVER, env=environment) as other:
                marks = []
                for _ in range(2):
                    line = other.stdout.readline()
                    marks.append((time.monotonic(), int(line), cpu(child.pid), cpu(other.pid)))
                sent, merged = map(int, other.stdout.readline().split())
    assert merged == sent * 30, (merged, sent * 30)
    span, updates, ran, drove = (after - before for before, after in zip(*marks))
    return Figure(updates, span, ran, drove)


# ---- the table

def said(args):
    return subprocess.run(args, capture_output=True, text=True).stdout.strip()


version = said([binary, "--version"]).split()[1]
sides = [("Hyperscale gate", version, reports, lambda reports=reports: gate(reports)) for reports in (1, BATCH)]
missing = []


def peer(name, there, version, run, workers):
    if not there:
        missing.append(name)
        return
    for reports in (1, BATCH):
        sides.append((name, version(), reports, lambda reports=reports: run(reports, workers[reports])))


peer("Goose manager", peers and os.path.exists(f"{peers}/goose/target/release/goose-manager"), lambda: "0.16.4", goose,
     {1: int(os.environ.get("GOOSE_WORKERS", 1024)), BATCH: 64})
peer("Locust master", peers and os.path.exists(f"{peers}/locust/bin/locust"),
     locust_version, locust, {1: 8, BATCH: 4})
peer("Tsung ts_stats_mon", TSUNG, lambda: re.search(r"tsung-([\d.]+)", " ".join(glob.glob(f"{TSUNG}/*")))[1], tsung,
     {1: 0, BATCH: 0})
only = os.environ.get("ONLY")
sides = [side for side in sides if not only or re.search(only, side[0])]
figures = {side[:3]: [] for side in sides}
for turn in range(rounds):
    for *side, run in sides[turn % len(sides):] + sides[:turn % len(sides)]:
        figures[tuple(side)].append(run())
        print(".", end="", file=sys.stderr, flush=True)
print(file=sys.stderr)

median = lambda side, of: statistics.median(getattr(figure, of) for figure in figures[side])
ours = {side[2]: side for side in figures if side[0].startswith("Hyperscale")}
print(f"{'controller':20} {'version':8} {'a message':>9} {'updates/s':>11} {'least':>11} {'most':>11} "
      f"{'gate is':>8} {'CPU':>5} {'driver':>6} {'/s of CPU':>11} {'gate is':>8}")
for side, of in figures.items():
    rates = [figure.rate for figure in of]
    times = {what: f"{median(ours[side[2]], what) / median(side, what):.2f} x" if ours else ""
             for what in ("rate", "per_cpu")}
    print(f"{side[0]:20} {side[1]:8} {side[2]:9} {median(side, 'rate'):11,.0f} {min(rates):11,.0f} {max(rates):11,.0f} "
          f"{times['rate']:>8} {median(side, 'cpu'):5.0%} {median(side, 'driver'):6.0%} {median(side, 'per_cpu'):11,.0f} "
          f"{times['per_cpu']:>8}")
print(f"{rounds} rounds of {seconds:g} s, medians; every controller's totals were all that it was sent")
for name in missing:
    print(f"{name} is not here, so not measured; benches/peers/controllers.sh how FOLDER | sh brings it")
PYTHON
