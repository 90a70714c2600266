#!/bin/sh
# All benches: what each needs is said at its top. Figures are ratios against a named peer in the same run.
set -eu
cd "$(dirname "$0")/.."
for program in nginx wrk; do
  command -v "$program" >/dev/null 2>&1 || { echo "make bench needs $program (Debian, Ubuntu: sudo apt-get install nginx-light wrk)." >&2; exit 1; }
done
node bench/ingest.mjs
cargo build --quiet --release --manifest-path bench/offered/Cargo.toml --target-dir bench/offered/target
node bench/full_load.mjs "${CAIRN_BENCH_HOLD_SECONDS:-60}"
