"""Measures pushing from a filled queue in memory to a local application, the bare libmicrohttpd server that answers
202, by `concurrency` (slots)."""
import json
import time
import urllib.request

from measure import BENCH, Server, broker, check_ledger
from over_http import sidecar

SLOTS = (1, 16, 256)
BATCH = 1000


def ask(address, method, path, body=None, kind="application/json"):
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode() if body else None,
                                     {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def fill(http, count):
    ask(http, "PUT", "/v1/queues/bench", {"capacity": count, "capacity_bytes": "4GiB", "durability": "memory"})
    for first in range(0, count, BATCH):
        ask(http, "POST", "/v1/queues/bench/events",
            [{"specversion": "1.0", "id": str(i), "source": "/bench", "type": "bench", "datacontenttype": "text/plain",
              "data": "x" * 200} for i in range(first, first + BATCH)], "application/cloudevents-batch+json")


def pushes(figures, directory, transport, slots, count):
    count = -(-count // BATCH) * BATCH
    work = f"{slots} slots {transport}"
    application, b = Server(BENCH / "bench_bare_http"), broker(transport, directory)
    s = sidecar(b, "--app-name", "bench")
    http = s.ready["http"]
    try:
        fill(http, count)
        used, start = s.cpu(), time.monotonic()
        ask(http, "PUT", "/v1/subscriptions/bench", {"queue": "bench", "url": f"http://{application.ready['http']}/",
                                                     "concurrency": slots})
        while ask(http, "GET", "/v1/queues/bench/ledger")["acked"] < count:
            if time.monotonic() > start + 120:
                raise RuntimeError(str(ask(http, "GET", "/v1/subscriptions/bench")))
            time.sleep(0.01)
        figures.note("sluice push", work, "throughput", "events/s", count / (time.monotonic() - start))
        figures.note("sluice push", work, "sidecar CPU", "s/million", (s.cpu() - used) * 1e6 / count)
        figures.note("sluice push", work, "sidecar peak", "MiB", s.memory("VmHWM"))
    finally:
        s.stop()
        b.stop()
        application.stop()
    check_ledger(b.ledger(), count, count)
