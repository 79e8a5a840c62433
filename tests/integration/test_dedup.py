"""Deduplication: an event published again with the same source and id within the window is one event with one sequence,
also after a crash of the broker."""
import json
import time

import pytest

from dead import settle, take_one
from test_metrics import scrape

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def event(id, source="/s", **more):
    return {"specversion": "1.0", "id": id, "source": source, "type": "t", **more}


def publish(sidecar, *arguments, **more):
    """Publishes as a publisher must: retries under the same id until the outcome is known."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = sidecar.publish("q", json.dumps(event(*arguments, **more)), STRUCTURED, "?wait=5s")
        if answer.status == 202:
            return answer.json["sequence"]
        assert answer.json["retryable"], answer.body
    raise AssertionError(answer.body)


def described(sidecar):
    return sidecar.http("GET", "/v1/queues/q").json


@pytest.fixture
def q(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    s.declare("q", capacity=100)
    return s


def test_a_duplicate_gets_the_sequence_of_the_first(q):
    first = publish(q, "a", data=1)
    assert publish(q, "a", data=2) == first
    assert publish(q, "a", "/other") == first + 1
    assert publish(q, "b") == first + 2
    d = described(q)
    assert (d["ready"], d["duplicates"], d["dedup_evicted"], d["ledger"]["accepted"]) == (3, 1, 0, 3)
    assert (d["dedup_window"], d["dedup_entries"]) == ("2m", 100000)
    assert scrape(q)["sluice_queue_duplicates_total", 'queue="q"'] == 1
    taken = q.take("q", max=9, wait="5s").json["events"]
    assert [e["event"]["id"] for e in taken] == ["a", "a", "b"] and taken[0]["event"]["data"] == 1
    q.ack("q", *[e["receipt"] for e in taken])
    assert publish(q, "a") == first  # still a duplicate after it was consumed


def test_a_duplicate_is_marked_in_the_answer(q):
    first = q.publish("q", json.dumps(event("a")), STRUCTURED).json
    assert "duplicate" not in first
    assert q.publish("q", json.dumps(event("a")), STRUCTURED).json == {**first, "duplicate": True}
    batch = q.publish("q", json.dumps([event("b"), event("a"), event("c")]), BATCH).json
    assert batch["events"] == [{"id": "b", "sequence": 2}, {"id": "a", "sequence": 1, "duplicate": True},
                               {"id": "c", "sequence": 3}]


def test_of_a_topic_it_is_a_duplicate_where_every_queue_has_it(q):
    q.declare("late")
    assert q.http("PUT", "/v1/topics/t").status == 201 and q.http("PUT", "/v1/topics/t/bindings/q").status == 200
    to_topic = {"topic": "t", "id": "a", "queues": {"q": 1}}
    for expected in (to_topic, {**to_topic, "duplicate": True}):
        assert q.http("POST", "/v1/topics/t/events", json.dumps(event("a")), STRUCTURED).json == expected
    assert q.http("PUT", "/v1/topics/t/bindings/late").status == 200
    both = {"id": "a", "queues": {"q": 1, "late": 1}}  # new in one of them
    for expected in (both, {**both, "duplicate": True}):
        answer = q.http("POST", "/v1/topics/t/events", json.dumps([event("a")]), BATCH).json
        assert answer == {"events": [expected]}


def test_a_dead_letter_sent_back_under_its_old_id_is_marked_as_a_duplicate(q):
    q.declare("dead")
    q.declare("q", max_deliveries=1, dead_letter="dead")
    publish(q, "a")
    settle(q, nack=[take_one(q)["receipt"]])
    letter = take_one(q, "dead")["event"]
    back = q.publish("q", json.dumps(letter), STRUCTURED)
    assert (back.status, back.json["duplicate"], described(q)["ready"]) == (202, True, 0)
    back = q.publish("q", json.dumps({**letter, "id": "a-again"}), STRUCTURED)
    assert (back.status, "duplicate" in back.json, described(q)["ready"]) == (202, False, 1)


def test_every_content_mode_of_an_event_is_the_same_event(q):
    first = publish(q, "a")
    binary = {"ce-specversion": "1.0", "ce-id": "a", "ce-source": "/s", "ce-type": "t"}
    assert q.publish("q", "x", binary).json["sequence"] == first
    encoded = b"\x0a\x01a\x12\x02/s\x1a\x031.0\x22\x01t"
    assert q.publish("q", encoded, {"Content-Type": "application/cloudevents+protobuf"}).json["sequence"] == first
    batch = q.publish("q", json.dumps([event("a"), event("b"), event("b"), event("c")]), BATCH)
    assert batch.status == 202
    assert [e["sequence"] for e in batch.json["events"]] == [first, first + 1, first + 1, first + 2]


def test_an_idempotency_key_is_an_id_and_generated_ids_never_repeat(q):
    keyed = [q.publish("q", "x", {"Content-Type": "text/plain", "Idempotency-Key": "k"}).json["sequence"]
             for _ in range(2)]
    assert keyed[0] == keyed[1]
    assert len({q.publish("q", "x").json["sequence"] for _ in range(3)}) == 3
    assert described(q)["duplicates"] == 1


def test_a_retry_through_another_sidecar_is_a_duplicate(cluster, broker, q):
    other = cluster.sidecar(broker)
    assert publish(other, "a") == publish(q, "a")


def test_after_the_dedup_window_an_id_is_new(q):
    q.declare("q", dedup_window="0s")
    assert [publish(q, "a") for _ in range(2)] == [1, 2]
    q.declare("q", dedup_window="1s")
    sequences = [publish(q, "b")]
    while sequences[-1] == sequences[0]:  # until the window of 1 s has passed
        sequences.append(publish(q, "b"))
    assert sequences[-1] == sequences[0] + 1


def test_a_full_queue_confirms_a_duplicate(q):
    q.declare("q", capacity=1)
    first = publish(q, "a")
    assert q.publish("q", json.dumps(event("b")), STRUCTURED, "?wait=0s").status == 429
    assert publish(q, "a") == first


def crash(cluster, broker):
    broker.kill()
    return cluster.broker("--ingress", broker.ready["ingress"], listen=broker.ready["broker"])


def test_on_disk_the_window_survives_crashes(cluster, broker, q):
    first = publish(q, "a")
    assert publish(q, "b") == first + 1
    broker = crash(cluster, broker)
    assert publish(q, "a") == first
    taken = q.take("q", max=9, wait="5s").json["events"]
    q.ack("q", *[e["receipt"] for e in taken])
    broker = crash(cluster, broker)
    assert publish(q, "a") == first and publish(q, "b") == first + 1
    assert publish(q, "c") == first + 2
    assert described(q)["ledger"]["accepted"] == 3


def test_on_disk_the_window_survives_orderly_restarts(cluster, broker, q):
    batch = q.publish("q", json.dumps([event(str(i)) for i in range(100)]), BATCH)
    sequences = [e["sequence"] for e in batch.json["events"]]
    for _ in range(2):
        assert broker.stop() == 0
        broker = cluster.broker("--ingress", broker.ready["ingress"], listen=broker.ready["broker"])
        assert [publish(q, str(i)) for i in range(99, 0, -33)] == sequences[99:0:-33]
        again = q.publish("q", json.dumps([event(str(i)) for i in range(100)]), BATCH)
        assert [e["sequence"] for e in again.json["events"]] == sequences
    assert described(q)["ledger"]["accepted"] == 100


def test_in_memory_a_restart_forgets_the_window(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q", durability="memory")
    assert publish(s, "a") == publish(s, "a") == 1
    broker.kill()
    cluster.broker("--ingress", broker.ready["ingress"], listen=broker.ready["broker"])
    assert publish(s, "a") == 1
    assert described(s)["ready"] == 1
