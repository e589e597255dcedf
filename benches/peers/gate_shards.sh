#!/usr/bin/env bash
# How much statistics a gate takes on one core, and what a second shard adds. One run, turn by turn: a gate of one shard and
# one of two under the same closed load of `hyperscale saturate`, which tells snapshots of many worker shards. Where there is no
# core left for the second shard, the rate says little; the CPU time that the gate's shards spend on one update says what two
# cores would take: if it is the same, they share nothing. Beside it, how many frames crossed from one shard to the other.
# Needs python3, two CPUs and a release build: cargo build --release.
# Usage: benches/peers/gate_shards.sh [ROUNDS] [SECONDS] [CORES-OF-TWO, such as 0,1] [CORE-OF-DRIVER]
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${HYPERSCALE:-${CARGO_TARGET_DIR:-target}/release/hyperscale}
[ -x "$binary" ] || { echo "$binary is missing: see the top of $0" >&2; exit 1; }
exec python3 - "$binary" "${1:-7}" "${2:-3}" "${3:-0,1}" "${4:-1}" <<'PYTHON'
import glob, json, os, re, statistics, subprocess, sys, tempfile, urllib.request

binary, rounds, seconds, both, driver = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
folder = tempfile.TemporaryDirectory()
node = os.path.join(folder.name, "gate.toml")
with open(node, "w") as file:
    # A closed load keeps a core full: without this the gate would ask for less of it.
    file.write('[overload]\nenabled = false\n[limits]\nexempt = ["127.0.0.0/8"]\n')


def spent(pid):
    """CPU time of the shards' threads in ns."""
    total = 0
    for task in glob.glob(f"/proc/{pid}/task/*"):
        if open(f"{task}/comm").read().startswith("shard-"):
            total += int(open(f"{task}/schedstat").read().split()[0])
    return total


def crossed(admin):
    page = urllib.request.urlopen(f"http://{admin}/metrics").read().decode()
    rows = re.findall(r"^hyperscale_(?:stats_)?frames_crossed_total\S* (\d+)$", page, re.M)
    return sum(map(int, rows))


def measure(cores):
    gate = subprocess.Popen(
        [binary, "gate", "--config", node, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", cores],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = gate.stdout.readline()
        addr = re.search(r"listens on ([^;]+);", line)[1]
        admin = re.search(r"admin http:..([^/]+)", line)
        admin = admin[1] if admin else None
        before = spent(gate.pid)
        said = subprocess.run(
            ["taskset", "-c", driver, binary, "saturate", "--gate", addr, "--json", "-", "--mix", "snapshot=100",
             "--managers", "4", "--jobs", "1", "--workers", "32", "--worker-shards", "2", "--open-requests", "4",
             "--warm-up", "1ms", "-d", f"{seconds}s"],
            check=True, capture_output=True, text=True).stdout
        report = json.loads(said)
        updates = sum(kind["updates"] for kind in report["kinds"])
        assert report["exactness"]["exact"], report["exactness"]
        return {
            "rate": report["steps"][-1]["updates_per_s"],
            "cost": (spent(gate.pid) - before) / updates,
            "driver": report["steps"][-1]["driver_cpu"],
            "crossed": crossed(admin) if admin else 0,
        }
    finally:
        gate.terminate()
        gate.wait()


found = {cores: [] for cores in (both.split(",")[0], both)}
for _ in range(rounds):
    for cores, rows in found.items():
        rows.append(measure(cores))
middle = lambda rows, key: statistics.median(row[key] for row in rows)
print(f"{'cores':8} {'updates/s':>12} {'ns of CPU an update':>20} {'driver CPU':>11} {'frames crossed':>15}")
for cores, rows in found.items():
    print(f"{cores:8} {middle(rows, 'rate'):12,.0f} {middle(rows, 'cost'):20,.0f} {middle(rows, 'driver'):11.2f} "
          f"{max(row['crossed'] for row in rows):15}")
one, two = (middle(rows, "cost") for rows in found.values())
print(f"two shards of a core each take {2 * one / two:.2f} x what one takes, by CPU time an update")
PYTHON
