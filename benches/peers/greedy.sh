#!/usr/bin/env bash
# What one greedy client takes from the others: clients within their rates ask a gate with default limits how jobs
# stand, at a fixed rate in all, with and without one that asks as fast as it is answered, or refused. Turn by turn;
# 99th percentiles, medians, and the median of each turn's ratio. The gate is alone on core 0. The greedy one shares
# core 1 with the others' driver and runs when that does not (SCHED_IDLE), so that it takes nothing from them but the
# gate. On a machine with other work neither does much: the figures are of a quiet one.
# Needs two CPUs, python3, and release builds: cargo build --release, and with -p hyperscale-benches --example
# gate-flood.
# Usage: benches/peers/greedy.sh [ROUNDS] [SECONDS] [CLIENTS] [QUESTIONS-A-SECOND-OF-EACH]
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
binary=${HYPERSCALE:-$target/release/hyperscale}
flood=${GATE_FLOOD:-$target/release/examples/gate-flood}
for needed in "$binary" "$flood"; do
  [ -x "$needed" ] || { echo "$needed is missing: see the top of $0" >&2; exit 1; }
done
exec python3 - "$binary" "$flood" "${1:-9}" "${2:-5}" "${3:-50}" "${4:-8}" <<'PYTHON'
import json, os, re, statistics, subprocess, sys, time
from contextlib import contextmanager

binary, flood = sys.argv[1:3]
rounds, seconds, clients, each = map(int, sys.argv[3:])


def start(args, core, **more):
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, {core}), **more)


@contextmanager
def gate():
    child = start([binary, "gate", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "0"], 0)
    try:
        yield re.search(r"listens on ([^;]+);", child.stdout.readline())[1]
    finally:
        child.terminate()
        child.wait()


def measure(greedy):
    # A gate of its own for each: buckets are full, and nobody is overloaded.
    with gate() as addr:
        # It outlasts the others' warm-up and time by a second at each end.
        asks = start(["chrt", "-i", "0", flood, addr, "1", str(seconds + 3)], 1) if greedy else None
        time.sleep(1)
        said, _ = start([binary, "saturate", "--gate", addr, "--mix", "status=100", "--clients", str(clients),
                         "--managers", "1", "--jobs", str(clients), "--rate", f"{clients * each}/s", "--warm-up",
                         "500ms", "--duration", f"{seconds}s", "--quiet", "--json", "-"], 1).communicate()
        told = json.loads(said)
        kind, = told["kinds"]
        assert not kind["refused"], f"those within their rates were refused: {kind}"
        assert kind["answered"] == kind["due"] > 0, f"not all were answered; is the machine busy? {kind}"
        rate, refused = 0, 0
        if asks:
            rate, refused = map(int, re.match(r"(\d+) answers/s, (\d+) refused", asks.communicate()[0]).groups())
            assert refused > 0, "the greedy client was within its rate"
            refused /= seconds + 3
        return {"p99": kind["latency_ms"]["p99"], "p50": kind["latency_ms"]["p50"], "rate": rate, "refused": refused,
                "late": told["steps"][-1]["lateness_p99_ms"], "service": told["steps"][-1]["service_p99_ms"]}


alone, beside = [], []
for turn in range(rounds):
    for greedy in ((True, False) if turn % 2 else (False, True)):
        (beside if greedy else alone).append(measure(greedy))
for name, of in (("alone", alone), ("beside a greedy one", beside)):
    middle = {key: statistics.median(one[key] for one in of) for key in of[0]}
    print(f"{clients} clients {name:20} p50 {middle['p50']:.3f} ms, p99 {middle['p99']:.3f} ms (from sent "
          f"{middle['service']:.3f}, sent late by {middle['late']:.3f})")
greedy = statistics.median(one["rate"] for one in beside)
print(f"the greedy one is answered {greedy:,.0f} times a second, of which "
      f"{statistics.median(one['refused'] for one in beside):,.0f} are refusals; its rate is 10")
for key, what in (("p99", "from due"), ("service", "from sent")):
    ratios = [one[key] / other[key] for one, other in zip(beside, alone)]
    print(f"p99 {what}, beside it over alone: median {statistics.median(ratios):.3f} "
          f"({min(ratios):.3f} to {max(ratios):.3f})")
PYTHON
