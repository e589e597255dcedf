#!/usr/bin/env bash
# CPU time per request of one process with two shards beside two processes of one shard each, turn by turn on the same
# two cores: what shards shared on the way of a request would show as a difference. The target shares core 1 with both
# sides. Medians in us. Needs two CPUs and a release build. Usage: benches/peers/shards.sh [ROUNDS] [REQUESTS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5} requests=${2:-200000} binary=${HYPERSCALE:-target/release/hyperscale}
[ -x "$binary" ] || { echo "missing: cargo build --release" >&2; exit 1; }

said=$(mktemp) out=$(mktemp)
"$binary" target --listen 127.0.0.1:0 --cores 1 --body-bytes 256 >"$said" &
target=$!
trap 'kill -INT $target 2>/dev/null || true; rm -f "$said" "$out" "$out".*' EXIT
for _ in $(seq 100); do url=$(grep -o 'http://[0-9.:]*/' "$said" || true); [ -n "$url" ] && break; sleep 0.05; done

load() { "$binary" run "$url" -c "$1" -n "$2" --cores "$3" --quiet --json - >/dev/null; }
two_shards() { load 64 "$requests" 0,1; }
two_processes() {
  load 32 $((requests / 2)) 0 &
  load 32 $((requests / 2)) 1
  wait $!
}
# Seconds of user and system time of all that a side started, as us a request.
TIMEFORMAT='%U %S'
cpu() { { time "$1"; } 2>&1 | tail -1 | awk -v n="$requests" '{printf "%.2f\n", ($1 + $2) * 1e6 / n}'; }
for _ in $(seq "$rounds"); do
  cpu two_shards >>"$out.shards"
  cpu two_processes >>"$out.processes"
done
for side in shards processes; do
  printf 'two %-10s %8s us of CPU a request\n' "$side" "$(sort -g "$out.$side" | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}')"
done
