"""Partitions and order by key: several sidecars consume one queue at once, partitions change hands, sidecars die, and
each key keeps its order."""
import collections
import concurrent.futures
import threading
import time

import pytest

from conftest import run, until

KEYS = [f"customer-{i}" for i in range(12)]


def publish(s, key, number, queue="q"):
    headers = {"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/s", "ce-id": f"{key}/{number}",
               "ce-partitionkey": key, "content-type": "text/plain"}
    answer = s.publish(queue, str(number), headers, "?wait=20s")
    assert answer.status == 202, answer.body


def describe(s, queue="q"):
    return s.http("GET", f"/v1/queues/{queue}").json


def shares(s):
    """Waits until no partition is changing hands. Returns the number of partitions of each consumer."""
    deadline = time.monotonic() + 20
    while True:
        parts = describe(s)["shares"]
        if all(p["next_consumer"] is None for p in parts) or time.monotonic() > deadline:
            return collections.Counter(p["consumer"] for p in parts)


class Consumer(threading.Thread):
    """Takes and acks until told to stop. Appends what it took to `seen`, which all consumers share under `lock`."""

    def __init__(self, sidecar, seen, lock, most=5):
        super().__init__()
        self.sidecar, self.seen, self.lock, self.most = sidecar, seen, lock, most
        self.ending, self.count = threading.Event(), 0
        self.start()

    def run(self):
        while not self.ending.is_set():
            try:
                events = self.sidecar.take("q", max=self.most, wait="500ms").json["events"]
                with self.lock:
                    for e in events:
                        self.seen.append((e["event"]["partitionkey"], int(e["event"]["data"]), e["attempt"]))
                if events:
                    self.sidecar.ack("q", *(e["receipt"] for e in events))
                    self.count += len(events)
            except OSError:
                return  # its sidecar was killed

    def stop(self):
        self.ending.set()
        self.join(30)
        assert not self.is_alive()


def assert_in_order(seen):
    newest = collections.defaultdict(lambda: -1)
    for key, number, attempt in seen:
        if attempt == 1:
            assert number > newest[key], (key, number, newest[key])
        newest[key] = max(newest[key], number)


@pytest.mark.parametrize("durability", ["memory", "disk"])
def test_two_sidecars_consume_in_parallel_and_each_key_keeps_its_order(cluster, durability):
    broker = cluster.broker()
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q", partitions=6, durability=durability)
    seen, lock = [], threading.Lock()
    one = Consumer(first, seen, lock)
    for number in range(10):
        for key in KEYS:
            publish(first, key, number)
    two = Consumer(second, seen, lock)  # joins in the middle: partitions change hands
    for number in range(10, 30):
        for key in KEYS:
            publish(second, key, number)
    until(lambda: len(seen) >= 30 * len(KEYS), 40)
    one.stop(), two.stop()
    assert len(seen) == 30 * len(KEYS) and one.count and two.count
    assert_in_order(seen)
    totals = first.http("GET", "/v1/queues/q/ledger").json
    assert (totals["accepted"], totals["acked"], totals["remaining"]) == (360, 360, 0)


def test_partitions_are_shared_evenly_and_a_killed_sidecars_are_taken_over(cluster, broker):
    sidecars = [cluster.sidecar(broker) for _ in range(3)]
    sidecars[0].declare("q", partitions=6)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(s.take, "q", wait="25s", max=100) for s in sidecars]
        until(lambda: describe(sidecars[0])["active_consumers"] == 3)
        assert sorted(shares(sidecars[0]).values()) == [2, 2, 2]
        assert describe(sidecars[0])["standbys"] == 0
        shown = run("sluice", "queue", "show", "q",
                    environment={"SLUICE_URL": f"http://{sidecars[0].ready['http']}"}).stdout
        assert "shares.5" in shown and "next_consumer" in shown
        for s in sidecars[1:]:
            s.kill()
        until(lambda: describe(sidecars[0])["active_consumers"] == 1, 40)
        for number in range(3):
            for key in KEYS:
                publish(sidecars[0], key, number)
        taken = [w.result() for w in waiting[:1]]
        got = [e["event"]["partitionkey"] for e in taken[0].json["events"]]
        rest = sidecars[0].take("q", max=100, wait="10s").json["events"]
        got += [e["event"]["partitionkey"] for e in rest]
        assert set(got) == set(KEYS)
        for w in waiting[1:]:
            assert w.exception() is not None


def test_more_sidecars_than_partitions_stand_by(cluster, broker):
    sidecars = [cluster.sidecar(broker) for _ in range(3)]
    sidecars[0].declare("q", partitions=2)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(s.take, "q", wait="20s") for s in sidecars[:2]]
        until(lambda: describe(sidecars[0])["active_consumers"] == 2)
        last = sidecars[2].take("q")
        assert last.headers["Sluice-Consumer"] == "standby" and last.json["events"] == []
        for key in KEYS:  # each partition gets some, so both takes end
            publish(sidecars[2], key, 0)
        assert [w.result().headers["Sluice-Consumer"] for w in waiting] == ["active", "active"]


def test_a_failed_key_is_parked_and_others_go_on(sidecar):
    sidecar.declare("q", ordered="key", backoff="0s")
    for number in range(3):
        for key in ("alice", "bob"):
            publish(sidecar, key, number)
    taken = sidecar.take("q", max=10, wait="5s").json["events"]
    assert [(e["event"]["partitionkey"], e["event"]["data"]) for e in taken] == [("alice", "0"), ("bob", "0")]
    answer = sidecar.http("POST", "/v1/queues/q/acks",
                          {"nack": [{"receipt": taken[0]["receipt"], "delay": "10m"}], "ack": [taken[1]["receipt"]]})
    assert answer.status == 200
    bob = sidecar.take("q", max=10, wait="5s").json["events"]
    assert [(e["event"]["partitionkey"], e["event"]["data"]) for e in bob] == [("bob", "1")]
    state = describe(sidecar)
    assert (state["ordered"], state["parked"]) == ("key", {"keys": 1, "events": 2})
    ready = sidecar.http("GET", "/v1/queues/q/peek?state=ready").json["events"]
    behind = {e["event"]["partitionkey"]: e.get("parked_behind") for e in ready}
    assert behind == {"alice": taken[0]["sequence"], "bob": bob[0]["sequence"]}
    assert sidecar.ops("POST", "/v1/queues/q/purge", "").json == {"purged": 4}
    assert describe(sidecar)["parked"] == {"keys": 0, "events": 0}


def test_partitions_and_order_change_only_while_the_queue_is_empty(sidecar):
    sidecar.declare("q", partitions=2)
    publish(sidecar, "alice", 0)
    for change in ({"partitions": 3}, {"ordered": "key"}):
        answer = sidecar.http("PUT", "/v1/queues/q", change)
        assert answer.status == 409 and answer.json["reason"] == "conflict" and "empty" in answer.json["detail"]
    taken = sidecar.take("q", wait="5s").json["events"]
    sidecar.ack("q", taken[0]["receipt"])
    assert sidecar.http("PUT", "/v1/queues/q", {"partitions": 3, "ordered": "key"}).status == 200
    assert describe(sidecar)["partitions"] == 3
    for wrong in ({"partitions": 0}, {"partitions": 129}, {"ordered": "queue"}):
        assert sidecar.http("PUT", "/v1/queues/q", wrong).status == 400


def test_the_fencing_token_grows_as_partitions_come_back(cluster, broker):
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q", partitions=2)
    publish(first, "a", 0)
    held = first.take("q", wait="5s")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        other = pool.submit(second.take, "q", wait="5s")
        until(lambda: describe(first)["active_consumers"] == 2)
        other_token = None
        for key in KEYS:
            publish(first, key, 1)
        answer = other.result()
        other_token = int(answer.headers["Sluice-Consumer-Epoch"])
        second.ack("q", *(e["receipt"] for e in answer.json["events"]))
    assert second.ops("POST", "/v1/drain", "").status == 200
    first.ack("q", *(e["receipt"] for e in held.json["events"]))
    until(lambda: set(shares(first)) == {describe(first)["consumer"]} and describe(first)["active_consumers"] == 1)
    again = first.take("q", max=100, wait="5s")
    assert again.json["events"] and int(again.headers["Sluice-Consumer-Epoch"]) > other_token
