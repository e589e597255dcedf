#!/usr/bin/env bash
# How old what a client sees of its job is at each level of backpressure, through a gate, a manager, a worker and a target
# as processes of their own on this machine; ages in benches/view_age.rs. The gate is told to take little CPU for a load, and is
# asked 6,400 questions a second beside.
# Needs python3 and release builds: cargo build --release, and with -p hyperscale-benches --example view-age.
# Usage: benches/ages.sh [LOADED_SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
binary=${HYPERSCALE:-$target/release/hyperscale}
follower=${VIEW_AGE:-$target/release/examples/view-age}
for needed in "$binary" "$follower"; do
  [ -x "$needed" ] || { echo "$needed is missing: see the top of $0" >&2; exit 1; }
done
exec python3 - "$binary" "$follower" "${1:-90}" <<'PYTHON'
import json, os, re, subprocess, sys, tempfile, time
from contextlib import ExitStack, contextmanager

binary, follower, loaded = sys.argv[1], sys.argv[2], int(sys.argv[3])
CALM = 12
LOW, FAR = 0.02, 1e9
LEVELS = {"none": [FAR] * 3, "throttle": [LOW, FAR, FAR], "batch": [LOW, LOW, FAR], "reject": [LOW] * 3}
folder = tempfile.TemporaryDirectory()


def file(name, text):
    path = os.path.join(folder.name, name)
    with open(path, "w") as out:
        out.write(text)
    return path


@contextmanager
def process(*args):
    child = subprocess.Popen([binary, *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield child.stdout.readline()
    finally:
        child.terminate()
        child.wait()


def node(role, *args):
    return process(role, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *args)


def listens(line):
    return re.search(r"listens on ([^;]+);", line)[1]


def run(level):
    far = f"[{FAR}, {FAR}, {FAR}]"
    quiet = f"delta_thresholds = {far}\nabsolute_bounds_ms = {far}\nmemory_thresholds = {far}\npressure_thresholds = {far}\n"
    config = lambda cpu: f"[overload]\n{quiet}cpu_thresholds = {cpu}\n[limits]\nexempt = [\"127.0.0.0/8\"]\n"
    gate_file, other = file("gate.toml", config(LEVELS[level])), file("other.toml", "[overload]\nenabled = false\n")
    with ExitStack() as running:
        target = running.enter_context(process("target", "--listen", "127.0.0.1:0"))
        url = re.search(r"http://[0-9.:]+", target)[0]
        gate = listens(running.enter_context(node("gate", "--config", gate_file, "--cores", "0")))
        manager = listens(running.enter_context(
            node("manager", "--config", other, "--datacenter", "dc-1", "--join", gate)))
        running.enter_context(node("worker", "--config", other, "--join", manager))
        deadline = time.time() + 60
        while time.time() < deadline:
            asked = subprocess.run([binary, "nodes", "--gate", gate, "--json"], capture_output=True, text=True)
            if asked.returncode == 0 and len(json.loads(asked.stdout)["nodes"]) == 3:
                break
            time.sleep(0.2)
        plan = file("plan.toml", f'target = "{url}"\n[workflows.a]\nrate = "200/s"\nmax_vus = 20\n'
                    f'duration = "{CALM + loaded + 15}s"\nsteps = [{{ get = "/" }}]\n')
        said = subprocess.run([follower, gate, plan, str(CALM), str(loaded)], capture_output=True, text=True)
        print(level, said.stdout, said.stderr, sep="\n", flush=True)


for level in LEVELS:
    run(level)
PYTHON
