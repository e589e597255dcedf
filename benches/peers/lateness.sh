#!/usr/bin/env bash
# Lateness of the open model beside a loop that only reads the clock, on the same core, turn by turn; medians in us.
# Needs two CPUs and a release build. Usage: benches/peers/lateness.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5} seconds=${2:-3} binary=${HYPERSCALE:-target/release/hyperscale}
bare=${BARE_CLOCK:-target/release/bare-clock}
[ -x "$binary" ] && [ -x "$bare" ] || { echo "missing: cargo build --release" >&2; exit 1; }

said=$(mktemp) out=$(mktemp)
"$binary" target --listen 127.0.0.1:0 --cores 1 --body-bytes 256 >"$said" &
target=$!
trap 'kill -INT $target 2>/dev/null || true; rm -f "$said" "$out" "$out".*' EXIT
for _ in $(seq 100); do url=$(grep -o 'http://[0-9.:]*/' "$said" || true); [ -n "$url" ] && break; sleep 0.05; done

# The middle line of each column.
median() { for n in 1 2 3; do sort -g -k$n,$n "$1" | awk "{v[NR]=\$$n} END {printf \"%s \", v[int((NR+1)/2)]}"; done; }
percentiles() {
  for p in p50 p99 p99_9; do
    grep -o '"lateness_ms":{[^}]*}' "$out" | head -1 | grep -o "\"$p\":[0-9.e-]*" | cut -d: -f2
  done | awk '{printf "%.1f ", $1 * 1000} END {print ""}'
}
printf '%-24s %10s %10s %10s\n' "" "p50 us" "p99 us" "p99.9 us"
for rate in 10000 50000; do
  : >"$out.bare"; : >"$out.poll"; : >"$out.sleep"
  for _ in $(seq "$rounds"); do
    taskset -c 0 "$bare" "$rate" "$seconds" >>"$out.bare"
    "$binary" run "$url" -c 64 -q "$rate" -d "${seconds}s" --cores 0 --busy-poll --quiet --json - >"$out"
    percentiles >>"$out.poll"
    "$binary" run "$url" -c 64 -q "$rate" -d "${seconds}s" --cores 0 --quiet --json - >"$out"
    percentiles >>"$out.sleep"
  done
  for side in bare poll sleep; do
    # shellcheck disable=SC2046
    printf '%-24s %10s %10s %10s\n' "$rate/s $side" $(median "$out.$side")
  done
done
