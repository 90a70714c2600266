"""Sends what standard input describes with Segment's Python library, and waits until it is sent."""

import json
import sys
from datetime import datetime

from segment.analytics.client import Client

plan = json.load(sys.stdin)
faults = []
client = Client(
    plan["key"],
    host=plan["host"],
    gzip=plan["gzip"],
    max_retries=0,
    on_error=lambda fault, batch: faults.append(str(fault)),
)
for message in plan["messages"]:
    call = message.pop("call")
    if "timestamp" in message:
        message["timestamp"] = datetime.fromisoformat(message["timestamp"].replace("Z", "+00:00"))
    getattr(client, call)(**message)
client.flush()
client.join()
if faults:
    sys.exit("\n".join(faults))
