#!/usr/bin/env bash
# Point selects through the proxy with hooks and without, in turns in one run: transactions per second and the 99th percentile.
# Needs pgbench and a PostgreSQL server: PENSTOCK_TEST_POSTGRES_URL=postgres://… examples/gateway/bench.sh [SECONDS] [ROUNDS]
set -euo pipefail
seconds="${1:-5}" rounds="${2:-3}" clients="${CLIENTS:-4}"
url="${PENSTOCK_TEST_POSTGRES_URL:?names no server}"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
program="${GATEWAY:-target/release/gateway}" # another build of it, for a quick look
[ -n "${GATEWAY:-}" ] || cargo build --quiet --release --locked -p gateway
work="$(mktemp -d)"
pids=()
finish() { kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT
# TLS is the same work with and without hooks, and would only hide the difference.
export PGPASSWORD=benchpass PGSSLMODE=disable
start() { # name, more arguments
    local name="$1"; shift
    "$program" --backend "$url" --user bench:benchpass --pg-listen 127.0.0.1:0 \
        --data-dir "$work/$name" "$@" 2>"$work/$name.log" &
    pids+=($!)
    for _ in $(seq 100); do
        port="$(sed -n 's/^postgres listens on 127.0.0.1://p' "$work/$name.log")"
        [ -n "$port" ] && return
        sleep 0.1
    done
    cat "$work/$name.log" >&2
    exit 1
}
start hooks; with="$port"
start plain --no-hooks; without="$port"
sql() { psql -X -q -h 127.0.0.1 -p "$without" -U bench -d bench -v ON_ERROR_STOP=1 -c "$1"; }
sql "DROP TABLE IF EXISTS penstock_bench; CREATE TABLE penstock_bench (id int PRIMARY KEY, name text, stock int);
     INSERT INTO penstock_bench SELECT i, 'item ' || i, i % 97 FROM generate_series(1, 100000) i; ANALYZE penstock_bench"
printf '\\set id random(1, 100000)\nSELECT name, stock FROM penstock_bench WHERE id = :id;\n' >"$work/point.sql"
measure() { # name, port, mode
    rm -f "$work"/log.*
    pgbench -n -h 127.0.0.1 -p "$2" -U bench -M "$3" -f "$work/point.sql" -c "$clients" -j 1 -T "$seconds" \
        -l --log-prefix="$work/log" bench >"$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
    local tps p99
    tps="$(sed -n 's/^tps = \([0-9.]*\) (without.*/\1/p' "$work/out")"
    p99="$(cat "$work"/log.* | awk '{print $3}' | sort -n | awk '{a[NR]=$1} END {print a[int(NR*0.99)]}')"
    echo "$1 $3 $tps $p99" | tee -a "$work/results"
}
echo "hooks mode tps p99_us"
for mode in simple prepared; do
    for _ in $(seq "$rounds"); do
        measure off "$without" "$mode"
        measure on "$with" "$mode"
    done
done
sql "DROP TABLE penstock_bench"
awk '{n[$1 $2]++; t[$1 $2]+=$3; p[$1 $2]+=$4}
     END {for (m in n) if (m ~ /^on/) {s = substr(m, 3); o = "off" s;
          printf "%s: throughput ratio on/off %.3f, p99 ratio %.3f\n", s, t[m]/t[o], p[m]/p[o]}}' "$work/results"
