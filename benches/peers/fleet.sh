#!/usr/bin/env bash
# A fleet of processes on one machine: how close together its workers start, what it costs idle, how fast a node is in,
# and its rate beside `run` on the same core, turn by turn; medians.
# Needs two CPUs, python3, and a release build. Usage: benches/peers/fleet.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${HYPERSCALE:-target/release/hyperscale}
[ -x "$binary" ] || { echo "$binary is missing: cargo build --release" >&2; exit 1; }
exec python3 - "$binary" "${1:-5}" "${2:-2}" <<'PYTHON'
import json, os, selectors, signal, socket, statistics, subprocess, sys, tempfile, threading, time
from contextlib import contextmanager
from urllib.request import urlopen

binary, rounds, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
folder = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(folder.name, name)


@contextmanager
def process(args, **more):
    child = subprocess.Popen([binary, *args], stdin=subprocess.DEVNULL, **more)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()


@contextmanager
def cluster(workers, core=None):
    ready = path("ready.json")
    pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    args = ["cluster", "--workers", str(workers), "--quiet", "--ready-file", ready, "--log-dir", path("logs")]
    with process(args, stderr=subprocess.DEVNULL, preexec_fn=pin) as child:
        while not os.path.exists(ready):
            time.sleep(0.01)
        nodes = json.load(open(ready))["nodes"]
        os.remove(ready)
        yield child, nodes


def of(nodes, role):
    return [node for node in nodes if node["role"] == role]


def follow(plan, gate, core=None):
    with open(path("plan.toml"), "w") as file:
        file.write(plan)
    args = [binary, "submit", path("plan.toml"), "--gate", gate, "--follow", "--quiet", "--json", "-"]
    pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    return json.loads(subprocess.run(args, check=True, capture_output=True, preexec_fn=pin).stdout)


class Noting:
    """A server that notes when each connection's first request came."""

    def __init__(self):
        self.firsts, self.listener = [], socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        ready = selectors.DefaultSelector()
        ready.register(self.listener, selectors.EVENT_READ, False)
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        while True:
            for key, _ in ready.select():
                if key.fileobj is self.listener:
                    ready.register(self.listener.accept()[0], selectors.EVENT_READ, True)
                    continue
                now, data = time.monotonic(), key.fileobj.recv(65536)
                if not data:
                    ready.unregister(key.fileobj)
                    key.fileobj.close()
                    continue
                if key.data:
                    self.firsts.append(now)
                    ready.modify(key.fileobj, selectors.EVENT_READ, False)
                key.fileobj.sendall(answer)


def cpu(pid):
    fields = open("/proc/%d/stat" % pid).read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    rows = open("/proc/%d/status" % pid).read().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmRSS")) / 1024


def together(nodes):
    target, gate, spans = Noting(), of(nodes, "gate")[0]["listen"], []
    plan = 'target = "%s"\n[workflows.a]\nvus = 4\niterations = 20\nsteps = [{ get = "/" }]\n' % target.url
    for _ in range(rounds * 2):
        target.firsts.clear()
        summary = follow(plan, gate)
        assert len(target.firsts) == 4 and all(w["requests"] > 0 for w in summary["workers"]), summary["workers"]
        spans.append((max(target.firsts) - min(target.firsts)) * 1000)
    print("first requests of 4 workers apart     median %.2f ms, most %.2f ms (%d jobs)" %
          (statistics.median(spans), max(spans), len(spans)))


def idle(child, nodes):
    time.sleep(2)
    pids = [node["pid"] for node in nodes] + [child.pid]
    before, span = [cpu(pid) for pid in pids], 15
    time.sleep(span)
    shares = [(cpu(pid) - was) / span * 100 for pid, was in zip(pids, before)]
    for node, share in zip(nodes, shares):
        print("idle %-32s %.2f %% of a core, %.1f MiB" % (node["name"], share, memory(node["pid"])))
    print("idle, all nodes                       %.2f %% of a core; `cluster` itself %.2f %%" %
          (sum(shares[:-1]), shares[-1]))


def registered(nodes):
    manager, times = of(nodes, "manager")[0], []
    for at in range(rounds):
        name = "late-%d" % at
        args = ["worker", "--name", name, "--join", manager["listen"], "--cores", "unpinned"]
        args += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        began = time.monotonic()
        with process(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            while name not in urlopen("http://%s/nodes" % manager["admin"]).read().decode():
                time.sleep(0.002)
            times.append((time.monotonic() - began) * 1000)
    print("a worker from its start to the list   median %.0f ms, most %.0f ms" % (statistics.median(times), max(times)))


def rates(workers):
    with process(["target", "--listen", "127.0.0.1:0", "--cores", "1"], stdout=subprocess.PIPE, text=True) as target:
        url = target.stdout.readline().split()[2]
        plan = 'target = "%s"\n[workflows.a]\nvus = 64\nduration = "%ds"\nsteps = [{ get = "/" }]\n' % (url, seconds)
        fleet, alone = [], []
        with cluster(workers, core=0) as (_, nodes):
            gate = of(nodes, "gate")[0]["listen"]
            for _ in range(rounds):
                fleet.append(follow(plan, gate, core=0)["totals"]["rate_per_s"])
                args = [binary, "run", path("plan.toml"), "--cores", "0", "--quiet", "--json", "-"]
                run = subprocess.run(args, check=True, capture_output=True)
                alone.append(json.loads(run.stdout)["totals"]["rate_per_s"])
    fleet, alone = statistics.median(fleet), statistics.median(alone)
    print("%d worker(s) on core 0                 %.0f req/s, `run` %.0f req/s, ratio %.3f" %
          (workers, fleet, alone, fleet / alone))


with cluster(4) as (child, nodes):
    together(nodes)
    idle(child, nodes)
    registered(nodes)
rates(1)
rates(4)
PYTHON
