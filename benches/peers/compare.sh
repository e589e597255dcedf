#!/usr/bin/env bash
# Requests per second and CPU per request beside wrk, and beside oha where it is installed (`cargo install --locked oha`,
# or OHA=path), all sides in one run, turn by turn.
# Needs two CPUs, wrk, and a release build. Usage: benches/peers/compare.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5} seconds=${2:-3} binary=${HYPERSCALE:-target/release/hyperscale}
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
[ -x "$binary" ] || { echo "$binary is missing: cargo build --release" >&2; exit 1; }
oha=${OHA:-$(command -v oha || true)}
[ -n "$oha" ] || echo "oha is missing, so it is left out: cargo install --locked oha" >&2

"$binary" target --listen 127.0.0.1:18099 --cores 1 --body-bytes 256 >/dev/null &
target=$!
trap 'kill -INT $target 2>/dev/null || true' EXIT
for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/18099) 2>/dev/null && break; sleep 0.05; done

url=http://127.0.0.1:18099/
median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
# CPU seconds of a command's children so far: user plus system.
timed() { local TIMEFORMAT='%U %S'; { time "$@" >"$out" 2>/dev/null; } 2>&1 | awk '{print $1+$2}'; }
out=$(mktemp)
printf '%-6s %14s %14s %8s %12s %12s %8s' conns "wrk req/s" "ours req/s" ratio "wrk us/req" "ours us/req" ratio
[ -z "$oha" ] || printf ' %12s %12s %14s' "oha req/s" "oha us/req" "ours per CPU-s"
echo
for connections in 1 64 512; do
  : >"$out.w"; : >"$out.o"; : >"$out.wc"; : >"$out.oc"; : >"$out.h"; : >"$out.hc"
  for _ in $(seq "$rounds"); do
    cpu=$(timed taskset -c 0 wrk -t1 -c"$connections" -d"${seconds}s" "$url")
    rate=$(awk '/Requests\/sec/ {print $2}' "$out"); echo "$rate" >>"$out.w"
    awk "BEGIN {print $cpu*1e6/($rate*$seconds)}" >>"$out.wc"
    cpu=$(timed "$binary" run "$url" -c "$connections" -d "${seconds}s" --cores 0 --quiet --json -)
    rate=$(grep -o '"rate_per_s":[0-9.]*' "$out" | head -1 | cut -d: -f2); echo "$rate" >>"$out.o"
    awk "BEGIN {print $cpu*1e6/($rate*$seconds)}" >>"$out.oc"
    [ -n "$oha" ] || continue
    cpu=$(timed taskset -c 0 "$oha" -z "${seconds}s" -c "$connections" --no-tui --output-format json "$url")
    rate=$(grep -o '"requestsPerSec": *[0-9.]*' "$out" | head -1 | grep -o '[0-9.]*$'); echo "$rate" >>"$out.h"
    awk "BEGIN {print $cpu*1e6/($rate*$seconds)}" >>"$out.hc"
  done
  w=$(median <"$out.w") o=$(median <"$out.o") wc=$(median <"$out.wc") oc=$(median <"$out.oc")
  awk "BEGIN {printf \"%-6s %14.0f %14.0f %8.2f %12.2f %12.2f %8.2f\", $connections, $w, $o, $o/$w, $wc, $oc, $oc/$wc}"
  if [ -n "$oha" ]; then
    h=$(median <"$out.h") hc=$(median <"$out.hc")
    # Requests per CPU-second, ours over theirs.
    awk "BEGIN {printf \" %12.0f %12.2f %14.2f\", $h, $hc, $hc/$oc}"
  fi
  echo
done
rm -f "$out" "$out".*
