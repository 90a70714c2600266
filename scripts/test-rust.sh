#!/bin/sh
# Runs every Rust test. All of their output goes to target/test-rust.log; shown are results, what was not run, and what
# failed with its output: some tests provoke panics by the thousand, and whoever reads along may not keep up.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
log=target/test-rust.log
seconds_max=1800
mkdir -p target
: > target/not-run.log

"$CARGO" test --workspace --locked --no-run
within=
command -v timeout >/dev/null 2>&1 && within="timeout --kill-after=10 $seconds_max"
status=0
$within "$CARGO" test --workspace --locked --no-fail-fast -- --show-output > "$log" 2>&1 < /dev/null || status=$?

grep -hE '^(     Running |   Doc-tests |test result: |test .* FAILED$)' "$log" || true
grep -h '^NOT RUN:' "$log" >> target/not-run.log || true
[ "$status" = 0 ] && exit 0
if [ "$status" = 124 ] || [ "$status" = 137 ]; then
  echo "The tests did not end within $seconds_max s. The end of $log:"
  tail -n 40 "$log"
else
  echo "Tests failed. Their output, from $log:"
  awk '/^failures:$/ { shown = 1 } /^test result: / { shown = 0 } shown' "$log" | tail -n 400
fi
exit "$status"
