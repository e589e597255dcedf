#!/usr/bin/env bash
# What overload detection costs a gate: its answers a second with the detector on and off, turn by turn; medians. And
# what an idle node's detector takes of a CPU. The detector measures all, but its thresholds are out of reach: a gate
# that refuses does other work than one that answers.
# Needs two CPUs, python3, and release builds: cargo build --release, and with -p hyperscale-benches --example gate-flood.
# Usage: benches/peers/detector.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
binary=${HYPERSCALE:-$target/release/hyperscale}
flood=${GATE_FLOOD:-$target/release/examples/gate-flood}
for needed in "$binary" "$flood"; do
  [ -x "$needed" ] || { echo "$needed is missing: see the top of $0" >&2; exit 1; }
done
exec python3 - "$binary" "$flood" "${1:-9}" "${2:-3}" <<'PYTHON'
import glob, os, re, statistics, subprocess, sys, tempfile, time
from contextlib import contextmanager

binary, flood, rounds, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
folder = tempfile.TemporaryDirectory()
far = "[1e9, 1e9, 1e9]"
files = {
    "on": f"[overload]\ndelta_thresholds = {far}\nabsolute_bounds_ms = {far}\ncpu_thresholds = {far}\n"
          f"memory_thresholds = {far}\n",
    "off": "[overload]\nenabled = false\n",
}


@contextmanager
def gate(how):
    path = os.path.join(folder.name, f"{how}.toml")
    with open(path, "w") as file:
        file.write(files[how] + "[limits]\nexempt = [\"127.0.0.0/8\"]\n")
    args = [binary, "gate", "--config", path, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "0"]
    child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield child, re.search(r"listens on ([^;]+);", child.stdout.readline())[1]
    finally:
        child.terminate()
        child.wait()


def rate(how):
    with gate(how) as (_, addr):
        said = subprocess.run(["taskset", "-c", "1", flood, addr, "8", str(seconds)], check=True,
                              capture_output=True, text=True).stdout
        answers, refused = re.match(r"(\d+) answers/s, (\d+) refused", said).groups()
        assert refused == "0", said
        return int(answers)


def idle():
    with gate("on") as (child, _):
        time.sleep(1)
        threads = glob.glob(f"/proc/{child.pid}/task/*")
        own = next(t for t in threads if open(f"{t}/comm").read().strip() == "overload")
        ran = lambda: int(open(f"{own}/schedstat").read().split()[0])
        before = ran()
        time.sleep(10)
        return (ran() - before) / 10 / 1e6


rates = {"on": [], "off": []}
for turn in range(rounds):
    for how in (("on", "off") if turn % 2 else ("off", "on")):
        rates[how].append(rate(how))
on, off = (statistics.median(rates[how]) for how in ("on", "off"))
for how in rates:
    print(f"detector {how}: {statistics.median(rates[how]):,.0f} answers/s ({min(rates[how]):,} to {max(rates[how]):,})")
print(f"on is {(on / off - 1) * 100:+.2f} % of off")
print(f"idle: the detector's thread runs {idle():.3f} ms a second")
PYTHON
