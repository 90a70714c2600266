"""Answers SQL written by hand with ClickHouse's engine (`chdb` from PyPI), for comparison.

    python3 bench/chdb_by_hand.py <directory> <memory in megabytes> <threads>

The directory has `events.parquet` and `sessions.parquet`, `texts.parquet` too; they become tables in the order of time first.
Reads one statement a line, as a JSON string, from standard input. Answers each with one line of JSON: `rows`, and `ms`.
"""

import json
import pathlib
import sys
import time

from chdb import session

directory, memory_mb, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
ORDER = {"events": "site_id, timestamp_ms", "sessions": "site_id, started_at_ms", "texts": "site_id, field, code"}

engine = session.Session(str(directory / "clickhouse"))
engine.query(f"SET max_threads = {threads}, max_memory_usage = {memory_mb * 1_000_000}")
engine.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
engine.query("USE bench")
started = time.monotonic()
for table, order in ORDER.items():
    source = directory / f"{table}.parquet"
    engine.query(
        f"CREATE TABLE {table} ENGINE = MergeTree ORDER BY ({order}) AS SELECT * FROM file('{source}') "
        "SETTINGS schema_inference_make_columns_nullable = 0"
    )
print(json.dumps({"loaded_ms": (time.monotonic() - started) * 1000}), flush=True)
for line in sys.stdin:
    sql = json.loads(line)
    started = time.monotonic()
    answer = str(engine.query(sql, "JSONCompact"))
    ms = (time.monotonic() - started) * 1000
    # 64-bit numbers are texts in ClickHouse's JSON.
    number = lambda cell: int(cell) if isinstance(cell, str) and cell.lstrip("-").isdigit() else cell
    rows = [[number(cell) for cell in row] for row in json.loads(answer)["data"]]
    print(json.dumps({"ms": ms, "rows": rows}), flush=True)
