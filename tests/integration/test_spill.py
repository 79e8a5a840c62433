"""A key or partition that is blocked does not block others, even with a longer backlog on disk behind it than the
broker looks ahead."""
import json
import time

from conftest import SANITIZED, balanced_ledger
from test_memory import resident

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
STUCK = 70000  # events of the blocked key; the broker looks ahead over 65,536 events and 16 MiB
EVERY = 100  # after every 100 events of the blocked key comes one of another


def event(key, number):
    return {"specversion": "1.0", "type": "t", "source": "/spill", "id": f"{key}/{number}", "partitionkey": key,
            "datacontenttype": "text/plain", "data": f"{number}:" + "x" * 300}


def publish(s, events):
    for i in range(0, len(events), 1000):
        answer = s.http("POST", "/v1/queues/q/events?wait=20s", json.dumps(events[i:i + 1000]), BATCH)
        assert answer.status == 202, answer.body


def filled(s):
    """Fills the queue: an event that will fail, many of the same key behind it, and events of other keys among
    those."""
    s.declare("q", ordered="key", capacity=200000, capacity_bytes="1GiB", backoff="0s", lease="1h", dedup_window="0s")
    events = []
    for i in range(STUCK):
        events.append(event("stuck", i))
        if i % EVERY == 0:
            events.append(event(f"flows-{i % 700}", i))
    publish(s, events)


def take(s, count, wait="20s"):
    """Takes and acks `count` events. Returns (key, number, attempt) of each."""
    out = []
    while len(out) < count:
        taken = s.take("q", max=min(100, count - len(out)), wait=wait).json["events"]
        assert taken, f"{len(out)} of {count} came"
        out += [(e["event"]["partitionkey"], int(e["event"]["data"].split(":")[0]), e["attempt"]) for e in taken]
        s.ack("q", *(e["receipt"] for e in taken))
    return out


def nack_the_stuck(s):
    taken = s.take("q", max=1, wait="20s").json["events"]
    assert [e["event"]["partitionkey"] for e in taken] == ["stuck"]
    answer = s.http("POST", "/v1/queues/q/acks", {"nack": [{"receipt": taken[0]["receipt"], "delay": "1h"}]})
    assert answer.status == 200
    return taken[0]["sequence"]


def in_order(taken, attempt=None):
    newest = {}
    for key, number, attempts in taken:
        assert number > newest.get(key, -1)
        assert attempt is None or attempts == attempt
        newest[key] = number


def test_a_failed_key_blocks_no_other_key_however_long_its_backlog(cluster):
    broker = cluster.broker()
    filled(cluster.sidecar(broker))
    assert broker.stop() == 0
    broker = cluster.broker()  # after a start, no event is in memory
    s = cluster.sidecar(broker)
    before = resident(broker)
    failed = nack_the_stuck(s)
    flowing = take(s, STUCK // EVERY)
    assert {key for key, _, _ in flowing}.isdisjoint({"stuck"}) and len(flowing) == STUCK // EVERY
    in_order(flowing, attempt=1)
    assert SANITIZED or resident(broker, "VmHWM") - before < 64000  # kB; the broker keeps 16 MiB of what it read ahead
    assert s.take("q", wait="0s").json["events"] == []
    state = s.http("GET", "/v1/queues/q").json
    assert state["parked"] == {"keys": 1, "events": STUCK - 1} and state["ready"] == STUCK - 1

    explained = s.http("GET", f"/v1/queues/q/events/{STUCK // 2}").json
    assert explained["state"] == "ready" and explained["blocked_by"] == "key"
    publish(s, [event("late", 0), event("stuck", STUCK)])
    assert take(s, 1) == [("late", 0, 1)]

    assert s.http("DELETE", f"/v1/queues/q/events/{failed}").status == 204  # unblocks the key
    came = take(s, 300)
    assert [(key, number) for key, number, _ in came] == [("stuck", i) for i in range(1, 301)]
    in_order(came, attempt=1)
    broker.kill()
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    more = take(s, 100)  # the crash may have lost some acks
    assert {key for key, _, _ in more} == {"stuck"} and more[0][1] <= 301
    in_order(more)
    assert s.ops("POST", "/v1/queues/q/purge", "").status == 200
    assert balanced_ledger(s)["remaining"] == 0


def test_a_partition_without_takes_blocks_no_other_partition(cluster, broker):
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q", partitions=2, capacity=200000, capacity_bytes="1GiB", lease="1h", dedup_window="0s")
    publish(first, [event(f"key-{i % 50}", i) for i in range(10)])
    held = first.take("q", max=1, wait="5s").json["events"]
    deadline = time.monotonic() + 20
    other = []
    while not other and time.monotonic() < deadline:  # until the second sidecar has a partition of its own
        other = second.take("q", max=1, wait="1s").json["events"]
    assert held and other
    second.ack("q", *(e["receipt"] for e in other))
    publish(first, [event(f"key-{i % 50}", 10 + i) for i in range(2 * STUCK)])
    flowing = take(second, STUCK // 2)
    in_order(flowing)
    came = take(first, 1000)
    in_order(came)
    assert {key for key, _, _ in came}.isdisjoint({key for key, _, _ in flowing})
    first.ack("q", *(e["receipt"] for e in held))
    assert balanced_ledger(first)["remaining"] == 2 * STUCK + 10 - len(flowing) - len(came) - 2
