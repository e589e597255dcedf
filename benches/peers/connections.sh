#!/usr/bin/env bash
# Many connections on one core: until the last has sent its first request, memory at most, rate, and wall time.
# Needs two CPUs, open files for all of them, and a release build.
# Usage: benches/peers/connections.sh [CONNECTIONS] [SECONDS] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
connections=${1:-10000} seconds=${2:-10} rounds=${3:-3} binary=${HYPERSCALE:-target/release/hyperscale}
[ -x "$binary" ] || { echo "$binary is missing: cargo build --release" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"

said=$(mktemp) out=$(mktemp)
"$binary" target --listen 127.0.0.1:0 --cores 1 >"$said" &
target=$!
trap 'kill -INT $target 2>/dev/null || true; rm -f "$said" "$out"' EXIT
for _ in $(seq 100); do url=$(grep -o 'http://[0-9.:]*/' "$said" || true); [ -n "$url" ] && break; sleep 0.05; done

memory() { awk '/VmHWM/ {print $2}' "/proc/$1/status" 2>/dev/null || true; }
# The latest first request of the closed model is the last connection's.
value() { grep -o "\"$1\":{[^}]*}" "$out" | head -1 | grep -o "\"$2\":[0-9.]*" | cut -d: -f2; }
for _ in $(seq "$rounds"); do
  start=$(date +%s%N)
  "$binary" run "$url" -c "$connections" -d "${seconds}s" --cores 0 --quiet --json - >"$out" &
  run=$! most=0
  while kill -0 $run 2>/dev/null; do most=$(memory $run | grep . || echo "$most"); sleep 0.2; done
  wait $run
  wall=$((($(date +%s%N) - start) / 1000000))
  rate=$(grep -o '"rate_per_s":[0-9.]*' "$out" | head -1 | cut -d: -f2)
  echo "all sent after $(value lateness_ms max) ms; connects $(value connect_ms count)," \
    "p50 $(value connect_ms p50) ms; $rate req/s; ours $most KiB, target $(memory $target) KiB; wall $wall ms"
done
