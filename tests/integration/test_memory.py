"""Memory bounds of broker and sidecar, as resident size: idle, with many connections, per queued event, per remembered
id, and after a backlog is gone. Skipped under sanitizers, which need memory of their own."""
import http.client
import json
import re
import time

import pytest

from conftest import BIN

pytestmark = pytest.mark.skipif(re.search("asan|tsan", str(BIN)) is not None,
                                reason="sanitizers need memory of their own")

MB = 1000  # in kB, the unit of /proc


def resident(process, which="VmRSS"):
    with open(f"/proc/{process.popen.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(which + ":"))


def test_idle_processes_are_small(broker, sidecar):
    assert resident(sidecar) <= 6 * MB
    assert resident(broker) <= 10 * MB


def test_a_sidecar_under_64_connections_is_small(broker, sidecar):
    sidecar.declare("q", capacity=100000)
    connections = [http.client.HTTPConnection(sidecar.ready["http"], timeout=30) for _ in range(64)]
    for _ in range(50):
        for connection in connections:
            connection.request("POST", "/v1/queues/q/events?wait=10s", b"x" * 1024, {"Content-Type": "text/plain"})
        for connection in connections:
            answer = connection.getresponse()
            assert (answer.read() != b"", answer.status) == (True, 202)
    peak = resident(sidecar, "VmHWM")
    for connection in connections:
        connection.close()
    assert peak <= 12 * MB


def test_slow_uploads_of_large_bodies_stay_within_bounded_memory(broker, sidecar):
    sidecar.declare("q")
    size, head = 4 << 20, {"Content-Type": "application/cloudevents-batch+json"}
    connections = [http.client.HTTPConnection(sidecar.ready["http"], timeout=30) for _ in range(60)]
    for connection in connections: # send everything except the last bytes
        connection.putrequest("POST", "/v1/queues/q/events")
        connection.putheader("Content-Length", str(size))
        connection.putheader("Content-Type", head["Content-Type"])
        connection.endheaders(b" " * (size - 100))
    assert sidecar.publish("q", "small").status == 202 # other clients are not disturbed
    event = json.dumps([{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}]).encode()
    statuses = []
    for connection in connections:
        connection.send(event.rjust(100))
        answer = connection.getresponse()
        body = json.loads(answer.read())
        statuses.append(answer.status)
        if answer.status == 503:
            assert (body["reason"], answer.getheader("Retry-After")) == ("busy", "1")
    peak = resident(sidecar, "VmHWM")
    for connection in connections:
        connection.close()
    assert statuses.count(202) >= 3 and set(statuses) == {202, 503}
    assert peak <= 64 * MB
    assert sidecar.http("POST", "/v1/queues/q/events", b" " * (size - 100) + event.rjust(100), head).status == 202


@pytest.mark.parametrize("size", [16, 200, 1024])
def test_a_queued_event_costs_its_size_and_at_most_64_bytes_more(broker, sidecar, size):
    count, batch = 50000, 500
    sidecar.declare("q", capacity=count, capacity_bytes="1GiB", dedup_window="0s", durability="memory")
    body = json.dumps([{"specversion": "1.0", "id": f"{i:04d}", "source": "/memory", "type": "test",
                        "datacontenttype": "text/plain", "data": "x" * size} for i in range(batch)])
    before = resident(broker)
    for _ in range(count // batch):
        answer = sidecar.http("POST", "/v1/queues/q/events?wait=10s", body,
                              {"Content-Type": "application/cloudevents-batch+json"})
        assert answer.status == 202, answer.body
    state = sidecar.http("GET", "/v1/queues/q").json
    assert state["ready"] == count
    assert (resident(broker) - before) * 1024 <= state["bytes"] + 64 * count


def test_a_remembered_id_costs_at_most_80_bytes(broker, sidecar):
    count, batch = 50000, 500
    sidecar.declare("q", capacity=count, overflow="drop_oldest", durability="memory")
    before = resident(broker)
    for start in range(0, count, batch):
        body = json.dumps([{"specversion": "1.0", "id": f"{i}", "source": "/memory", "type": "test"}
                           for i in range(start, start + batch)])
        answer = sidecar.http("POST", "/v1/queues/q/events?wait=10s", body,
                              {"Content-Type": "application/cloudevents-batch+json"})
        assert answer.status == 202, answer.body
    state = sidecar.http("GET", "/v1/queues/q").json
    assert (state["ready"], state["duplicates"], state["dedup_evicted"]) == (count, 0, 0)
    assert (resident(broker) - before) * 1024 <= state["bytes"] + (64 + 80) * count


def test_memory_of_a_backlog_returns_to_the_system(broker, sidecar):
    count, batch, size = 60000, 1000, 1024
    sidecar.declare("q", capacity=count, capacity_bytes="1GiB", dedup_window="0s", durability="memory")
    before = resident(broker)
    body = json.dumps([{"specversion": "1.0", "id": f"{i:04d}", "source": "/memory", "type": "test", "data": "x" * size}
                       for i in range(batch)])
    for _ in range(count // batch):
        answer = sidecar.http("POST", "/v1/queues/q/events?wait=10s", body,
                              {"Content-Type": "application/cloudevents-batch+json"})
        assert answer.status == 202, answer.body
    assert resident(broker) - before >= count * size // 1024
    for i in range(50): # later allocations stay, so the heap cannot simply shrink from its end
        sidecar.declare(f"young{i}", durability="memory")
        assert sidecar.http("POST", f"/v1/queues/young{i}/events", "x" * 1024).status == 202
    assert sidecar.ops("POST", "/v1/queues/q/purge").json["purged"] == count
    deadline = time.monotonic() + 60
    while resident(broker) - before > 16 * MB and time.monotonic() < deadline:
        time.sleep(0.2)
    assert resident(broker) - before <= 16 * MB
