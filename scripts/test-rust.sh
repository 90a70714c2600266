#!/bin/sh
# Runs every Rust test. All of their output goes to target/test-rust.log; shown are results, what was not run, and what
# failed with its output: some tests provoke panics by the thousand, and whoever reads along may not keep up.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
log=target/test-rust.log
seconds_max=1800

$CARGO test --workspace --locked --no-run
$CARGO test --workspace --locked --no-fail-fast -- --show-output > "$log" 2>&1 < /dev/null &
tests=$!
trap 'kill "$tests" 2> /dev/null; exit 130' INT TERM
# Not every system has `timeout`. The clock ends with the tests.
(
  seconds=0
  while kill -0 "$tests" 2> /dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    if [ "$seconds" -ge "$seconds_max" ]; then
      echo "The tests did not end within $seconds_max s." >> "$log"
      kill "$tests"
    fi
  done
) > /dev/null 2>&1 &
status=0
wait "$tests" || status=$?

grep -hE '^(     Running |   Doc-tests |test result: |test .* FAILED$)' "$log" || true
grep -h '^NOT RUN:' "$log" >> target/not-run.log || true
[ "$status" = 0 ] && exit 0
echo "Tests failed; all they said is in $log. What failed:"
awk '/^failures:$/ { shown = 1 } /^test result: / { shown = 0 } shown' "$log" | tail -n 400
echo "Its end:"
tail -n 20 "$log"
exit "$status"
