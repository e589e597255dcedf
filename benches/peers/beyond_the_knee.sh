#!/usr/bin/env bash
# How a gate behaves beyond what it can take: its knee by `saturate --ramp`, then open loads of 0.5, 1, 2 and 5 times
# that, each against a gate of its own, told in one table: goodput beside the best, latency by kind, what was shed,
# memory, and how soon the gate is well again. The gate is held to a part of a core by a control group (version 1 or 2,
# so run it as root), in periods of a few ms: a node that waits 90 ms for its next share has no p99 of 5 ms.
# Obedient loads do as receipts ask and merge windows; loud ones (--ignore-levels) send all the same.
# Needs two CPUs, python3, a release build: cargo build --release -p hyperscale-cli
# Usage: benches/peers/beyond_the_knee.sh [PERCENT OF A CORE] [SECONDS] [MIX] [KNEE, to skip the ramp]
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${HYPERSCALE:-${CARGO_TARGET_DIR:-target}/release/hyperscale}
[ -x "$binary" ] || { echo "$binary is missing: see the top of $0" >&2; exit 1; }
exec python3 - "$binary" "${1:-25}" "${2:-20}" "${3:-status=40,stats=30,snapshot=4,heartbeat=4,cancel=4,submit=4,list=10,nodes=4}" "${4:-0}" <<'PYTHON'
import ctypes, json, os, re, signal, struct, subprocess, sys, tempfile, threading, time, urllib.request

binary, percent, seconds, mix, knee = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], float(sys.argv[5])
QUOTA_US = 1000
PERIOD_US = QUOTA_US * 100 // percent
FACTORS = [float(factor) for factor in os.environ.get("FACTORS", "0.5 1 2 5").split()]
MANNERS = os.environ.get("MANNERS", "obedient loud").split()
folder = tempfile.TemporaryDirectory()
config = os.path.join(folder.name, "gate.toml")
with open(config, "w") as file:
    file.write("[limits]\nexempt = [\"127.0.0.0/8\"]\n")


class Group:
    """A control group with a quota, or with none and a weight that keeps others' work from disturbing."""

    def __init__(self, name, quota):
        self.two = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        self.parent = "/sys/fs/cgroup" if self.two else "/sys/fs/cgroup/cpu"
        self.path = f"{self.parent}/hyperscale-{name}-{os.getpid()}"
        try:
            if self.two:
                self.write("+cpu", f"{self.parent}/cgroup.subtree_control")
            os.mkdir(self.path)
            if self.two:
                self.write("10000", f"{self.path}/cpu.weight")
                if quota:
                    self.write(f"{QUOTA_US} {PERIOD_US}", f"{self.path}/cpu.max")
            else:
                self.write("100000", f"{self.path}/cpu.shares")
                if quota:
                    self.write(str(PERIOD_US), f"{self.path}/cpu.cfs_period_us")
                    self.write(str(QUOTA_US), f"{self.path}/cpu.cfs_quota_us")
        except OSError as error:
            sys.exit(f"no control group for CPUs can be made here: {error}; run as root on a host with cgroups")

    def write(self, text, path):
        with open(path, "w") as file:
            file.write(text)

    def take(self, pid):
        self.write(str(pid), f"{self.path}/cgroup.procs")

    def drop(self):
        for pid in open(f"{self.path}/cgroup.procs").read().split():
            self.write(pid, f"{self.parent}/cgroup.procs")
        os.rmdir(self.path)


def short_slices():
    """Asks for short turns on its CPU, and so for soon ones, where the kernel knows them (6.12): others' work is in the way less."""
    attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, 0, 0, 100_000, 0, 0)
    ctypes.CDLL(None).syscall(314, 0, ctypes.create_string_buffer(attributes, 48), 0)


class Gate:
    def __enter__(self):
        self.held = Group("gate", True)
        args = [binary, "gate", "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                "--cores", "0"]
        log = open(os.environ.get("GATE_LOG", os.devnull), "ab")
        self.child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=log, text=True,
                                      preexec_fn=short_slices)
        said = self.child.stdout.readline()
        self.addr = re.search(r"listens on ([^;\s]+)", said)[1]
        self.admin = re.search(r"http://([^/\s,;]+)", said)[1]
        self.held.take(self.child.pid)
        return self

    def __exit__(self, *_):
        # Its end shall not take minutes of a few percent.
        self.held.drop()
        self.child.send_signal(signal.SIGTERM)
        self.child.wait()

    def rss_mib(self):
        status = open(f"/proc/{self.child.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def cpu_s(self):
        fields = open(f"/proc/{self.child.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self):
        text = urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=30).read().decode()
        return [(line.rsplit(" ", 1)[0], float(line.rsplit(" ", 1)[1])) for line in text.splitlines()
                if line and not line.startswith("#")]


def summed(metrics, name, *labels):
    return sum(value for key, value in metrics if key.startswith(name) and all(label in key for label in labels))


def worst(metrics, name):
    return max((value for key, value in metrics if key.startswith(name)), default=0)


class Watch(threading.Thread):
    """Looks at a gate ten times a second: when its load ended, when it was well again."""

    def __init__(self, gate, rate):
        super().__init__(daemon=True)
        self.gate, self.rate, self.over, self.rows = gate, rate, threading.Event(), []

    def run(self):
        while not self.over.is_set():
            at, told = time.monotonic(), self.gate.metrics()
            came = summed(told, "hyperscale_requests_total")
            self.rows.append((at, came, worst(told, "hyperscale_overload_state"),
                              worst(told, "hyperscale_backpressure_level"), self.gate.rss_mib()))
            self.over.wait(0.1)

    def end_of_load(self):
        loaded = [b[0] for a, b in zip(self.rows, self.rows[1:]) if b[1] - a[1] > 0.3 * self.rate * (b[0] - a[0])]
        return loaded[-1] if loaded else self.rows[0][0]

    def well_after(self, column):
        end = self.end_of_load()
        bad = [row[0] for row in self.rows if row[column] > 0]
        return max(0.0, max(bad, default=0.0) - end)

    def seconds_in(self, column):
        counts = [0.0] * 4
        for a, b in zip(self.rows, self.rows[1:]):
            counts[int(a[column])] += b[0] - a[0]
        return counts


def drive(gate, driver, *args):
    command = ["taskset", "-c", "1", binary, "saturate", "--gate", gate.addr, "--mix", mix, "--quiet", "--json", "-"]
    child = subprocess.Popen([*command, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             preexec_fn=short_slices)
    driver.take(child.pid)
    out, err = child.communicate()
    if not out:
        sys.exit(f"saturate {args}: {err}")
    return json.loads(out)


def load(factor, loud, driver):
    rate = max(1.0, knee * factor)
    with Gate() as gate:
        time.sleep(1)
        watch = Watch(gate, rate)
        before = gate.rss_mib()
        watch.start()
        cpu = gate.cpu_s()
        told = drive(gate, driver, "--rate", f"{rate:.0f}/s", "-d", f"{seconds}s", "--warm-up", "2s",
                     *(["--ignore-levels"] if loud else []))
        cpu = gate.cpu_s() - cpu
        time.sleep(10)
        watch.over.set()
        watch.join()
        metrics = gate.metrics()
        rss = [row[4] for row in watch.rows]
        third = len(rss) // 3
        return {"factor": factor, "loud": loud, "rate": rate, "told": told, "watch": watch, "rss": (before, max(rss[:third]), max(rss)), "cpu": cpu / (seconds + 2),
                "shed": {name: summed(metrics, "hyperscale_shed_total", f'priority="{name}"')
                         for name in ("critical", "high", "normal", "low")}}


driver = Group("driver", False)
try:
    if knee == 0:
        with Gate() as gate:
            time.sleep(1)
            ramp = drive(gate, driver, "--ramp", "--rate", "200/s", "-d", "3s", "--repeats", "3")
        for step in ramp["steps"]:
            print(f"# {step['phase']:7} {step['rate_per_s'] or 0:9,.0f}/s  {step['goodput'] * 100:5.1f} %  p99 {step['latency_ms']['p99']:.2f} ms {step['why']}")
        knee = ramp["knee"]["rate_per_s"] if ramp["knee"] else 0
        print(f"knee {knee:,.0f}/s ({ramp['verdict']}), mix {mix}, gate held to {QUOTA_US} us in each {PERIOD_US} us", flush=True)
        if not knee:
            sys.exit("no knee was found")
    rows = [load(factor, loud, driver) for loud in (manner == "loud" for manner in MANNERS) for factor in FACTORS]
finally:
    driver.drop()

for row in rows:
    step = row["told"]["steps"][-1]
    row["answered"], row["reported"] = step["answered_per_s"], step.get("told_per_s", step["answered_per_s"])
peak, peak_told = max(row["answered"] for row in rows), max(row["reported"] for row in rows)
print("| load | due/s | answered/s | of the peak | told/s | of its peak | p50, p99 ms | sent to answer p99 | critical p99 | shed high, normal, low | "
      "critical shed | gate CPU | driver late p99 | MiB before, in, at the end | healthy, level none after s | s healthy to overloaded | exact |")
print("|---" * 17 + "|")
for row in rows:
    told, step = row["told"], row["told"]["steps"][-1]
    critical = max((kind["latency_ms"]["p99"] for kind in told["kinds"]
                    if kind["class"] == "critical" and kind["kind"] != "heartbeat"), default=0)
    shed, exact = row["shed"], told["exactness"]
    print(f"| {row['factor']:g}x {'loud' if row['loud'] else 'obedient'} | {row['rate']:,.0f} | {row['answered']:,.0f} "
          f"| {row['answered'] / peak * 100:.1f} % | {row['reported']:,.0f} | {row['reported'] / peak_told * 100:.1f} % | {step['latency_ms']['p50']:.2f}, {step['latency_ms']['p99']:.2f} | {step['service_p99_ms']:.2f} | {critical:.2f} "
          f"| {shed['high']:,.0f}, {shed['normal']:,.0f}, {shed['low']:,.0f} | {shed['critical']:.0f} | {row['cpu'] * 100:.1f} % | {step['lateness_p99_ms']:.2f} "
          f"| {', '.join(f'{mib:.1f}' for mib in row['rss'])} | {row['watch'].well_after(2):.1f}, {row['watch'].well_after(3):.1f} | {', '.join(f'{s:.0f}' for s in row['watch'].seconds_in(2))} "
          f"| {'exact' if exact['exact'] else 'NOT exact'} {exact['equal']} of {exact['jobs']} |")
print()
for row in rows:
    print(f"{row['factor']:g}x {'loud' if row['loud'] else 'obedient'}")
    for kind in row["told"]["kinds"]:
        if kind["due"]:
            print(f"    {kind['kind']:10} {kind['class']:8} due {kind['due']:9,} answered {kind['answered']:9,} merged {kind['merged']:9,} "
                  f"unsent {kind['unsent']:7,} unanswered {kind['unanswered']:6,} p50 {kind['latency_ms']['p50']:8.2f} p99 {kind['latency_ms']['p99']:8.2f} {kind['refused'] or ''}")
PYTHON
