"""Calls at the wrong moment: a queue that is deleted or purged while it is in use, late, repeated and forged receipts,
and a wall clock that is set while events wait. Each gets a clear answer, no event is lost, and the ledger balances.

Similar cases are tested with their subject: applications that answer garbage, never, or with a gigabyte
(test_push_answers.py); filters with unknown operators (test_topics.py, test_redrive.py, tests/proto/filter_test.c);
dead-letter queues that name themselves or form a cycle (test_dead_letters.py)."""
import concurrent.futures
import os
import struct

import pytest

from conftest import BIN, Process, balanced_ledger, until
from test_stream import Source

DURABILITIES = pytest.mark.parametrize("durability", ["memory", "disk"])


def described(sidecar, queue="q"):
    return sidecar.http("GET", f"/v1/queues/{queue}").json


def take(sidecar, queue="q", most=1):
    return sidecar.take(queue, max=most, wait="20s").json["events"]


def data_of(events):
    return [e["event"]["data"] for e in events]


def results(answer):
    return [r["result"] for r in answer.json["results"]]


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(8) as p:
        yield p


def delete(sidecar, queue="q"):
    held = sidecar.ops("DELETE", f"/v1/queues/{queue}")
    assert held.status == 409, held.body
    assert sidecar.ops("DELETE", f"/v1/queues/{queue}?force=true").status == 204


def check_redeclared(sidecar, queue="q", **settings):
    """Checks that the queue, declared again, is a new one that works."""
    sidecar.declare(queue, **settings)
    assert set(balanced_ledger(sidecar, queue).values()) <= {0, queue}
    assert sidecar.publish(queue, "new").json["sequence"] == 1
    [taken] = take(sidecar, queue)
    assert taken["event"]["data"] == "new" and results(sidecar.ack(queue, taken["receipt"])) == ["acked"]
    assert (balanced_ledger(sidecar, queue)["accepted"], balanced_ledger(sidecar, queue)["acked"]) == (1, 1)


# ---------------------------------------------------------------- a queue is deleted


@DURABILITIES
def test_deleting_a_queue_answers_its_waiting_publishers(sidecar, pool, durability):
    sidecar.declare("q", capacity=1, durability=durability)
    sidecar.publish("q", "in")
    waiting = [pool.submit(sidecar.publish, "q", f"waits {i}", query="?wait=50s") for i in range(3)]
    until(lambda: described(sidecar)["waiting_publishers"] >= 1)
    delete(sidecar)
    for answer in (w.result() for w in waiting):
        assert answer.status == 404 and answer.json["reason"] in ("deleted", "unknown_queue")
    assert any(w.result().json["reason"] == "deleted" for w in waiting)
    check_redeclared(sidecar, durability=durability)


@DURABILITIES
def test_deleting_a_queue_voids_its_outstanding_receipts(sidecar, durability):
    sidecar.declare("q", durability=durability)
    for i in range(2):
        sidecar.publish("q", str(i))
    first, second = take(sidecar, most=2)
    delete(sidecar)
    gone = sidecar.ack("q", first["receipt"])
    assert gone.status == 207 and results(gone)[0] in ("expired", "unknown")
    check_redeclared(sidecar, durability=durability)
    sidecar.publish("q", "another's")
    late = sidecar.http("POST", "/v1/queues/q/acks",
                        {"ack": [first["receipt"]], "nack": [{"receipt": second["receipt"]}]})
    assert late.status == 207 and set(results(late)) <= {"expired", "unknown"}
    assert data_of(take(sidecar)) == ["another's"]
    assert (balanced_ledger(sidecar)["acked"], balanced_ledger(sidecar)["remaining"]) == (1, 1)


def test_deleting_a_queue_ends_the_takes_of_its_consumer_and_of_a_standby(cluster, broker, pool):
    active, standby = cluster.sidecar(broker), cluster.sidecar(broker)
    active.declare("q")
    takes = [pool.submit(active.take, "q", wait="50s")]
    until(lambda: described(active)["consumer"])
    takes.append(pool.submit(standby.take, "q", wait="50s"))
    until(lambda: described(active)["standbys"] == 1)
    assert active.ops("DELETE", "/v1/queues/q").status == 204  # it is empty
    for answer in (t.result() for t in takes):
        assert (answer.status, answer.json["reason"]) == (404, "deleted")
    check_redeclared(standby)


def test_deleting_a_queue_ends_its_streams_at_its_consumer_and_at_a_standby(cluster, broker):
    active, standby = cluster.sidecar(broker), cluster.sidecar(broker)
    active.declare("q")
    active.publish("q", "in flight")
    with Source(active) as a:
        receipt = a.take()["receipt"]
        with Source(standby) as b:
            until(lambda: described(active)["standbys"] == 1)
            delete(active)
            for source in (a, b):
                event, data = source.next()
                assert event == "end" and '"deleted"' in data and source.next() is None
    assert results(active.ack("q", receipt))[0] in ("expired", "unknown")
    check_redeclared(active)


@DURABILITIES
def test_deleting_a_queue_that_a_topic_publish_waits_for_delivers_to_the_others(sidecar, pool, durability):
    for queue, capacity in (("audit", 10), ("full", 1)):
        sidecar.declare(queue, capacity=capacity, durability=durability)
    sidecar.http("PUT", "/v1/topics/all")
    for queue in ("audit", "full"):
        sidecar.http("PUT", f"/v1/topics/all/bindings/{queue}")
    text = {"Content-Type": "text/plain"}
    assert sidecar.http("POST", "/v1/topics/all/events", "one", text).json["queues"] == {"audit": 1, "full": 1}
    waits = pool.submit(sidecar.http, "POST", "/v1/topics/all/events?wait=50s", "two", text, timeout=60)
    until(lambda: sidecar.http("GET", "/v1/topics/all").json["waiting_publishers"] == 1)
    assert (balanced_ledger(sidecar, "audit")["accepted"], balanced_ledger(sidecar, "full")["accepted"]) == (1, 1)
    delete(sidecar, "full")
    answer = waits.result()
    assert (answer.status, answer.json["queues"]) == (202, {"audit": 2}), answer.body
    assert sidecar.http("GET", "/v1/topics/all").json["bindings"].keys() == {"audit"}
    assert data_of(take(sidecar, "audit", 2)) == ["one", "two"]
    assert balanced_ledger(sidecar, "audit")["accepted"] == 2


# ---------------------------------------------------------------- a queue is purged


@DURABILITIES
def test_a_purge_keeps_in_flight_events_and_admits_waiting_publishers(sidecar, pool, durability):
    sidecar.declare("q", capacity=6, durability=durability, backoff="0s")
    for i in range(4):
        sidecar.publish("q", str(i))
    acked, nacked = take(sidecar, most=2)
    for i in range(2):
        sidecar.publish("q", f"delayed {i}", {"Content-Type": "text/plain", "Sluice-Delay": "1h"})
    waits = pool.submit(sidecar.publish, "q", "waited", query="?wait=50s")
    until(lambda: described(sidecar)["waiting_publishers"] == 1)
    assert sidecar.ops("POST", "/v1/queues/q/purge").json["purged"] == 4
    assert waits.result().status == 202
    ledger = balanced_ledger(sidecar)
    assert (ledger["accepted"], ledger["purged"], ledger["remaining"]) == (7, 4, 3)
    answer = sidecar.http("POST", "/v1/queues/q/acks",
                          {"ack": [acked["receipt"]], "nack": [{"receipt": nacked["receipt"]}]})
    assert results(answer) == ["acked", "nacked"]
    again = take(sidecar, most=2)
    assert sorted((e["event"]["data"], e["attempt"]) for e in again) == [("1", 2), ("waited", 1)]
    sidecar.ack("q", *(e["receipt"] for e in again))
    ledger = balanced_ledger(sidecar)
    assert (ledger["acked"], ledger["purged"], ledger["remaining"]) == (3, 4, 0)


def test_an_event_whose_lease_ends_after_a_purge_is_taken_by_the_next_purge(sidecar):
    sidecar.declare("q", lease="1s", backoff="1h", backoff_max="1h")
    sidecar.publish("q")
    [taken] = take(sidecar)
    assert sidecar.ops("POST", "/v1/queues/q/purge").json["purged"] == 0
    until(lambda: described(sidecar)["delayed"] == 1)
    assert sidecar.ops("POST", "/v1/queues/q/purge").json["purged"] == 1
    assert results(sidecar.ack("q", taken["receipt"]))[0] in ("expired", "unknown")
    ledger = balanced_ledger(sidecar)
    assert (ledger["purged"], ledger["acked"], ledger["remaining"]) == (1, 0, 0)


# ---------------------------------------------------------------- late, repeated and forged receipts; bad filters


@DURABILITIES
def test_a_repeated_ack_counts_once_and_gets_the_same_answer(sidecar, durability):
    sidecar.declare("q", durability=durability)
    sidecar.publish("q")
    [taken] = take(sidecar)
    r = taken["receipt"]
    assert results(sidecar.ack("q", r, r)) == ["acked", "acked"]
    assert results(sidecar.ack("q", r)) == ["acked"]
    nack = sidecar.http("POST", "/v1/queues/q/acks", {"nack": [{"receipt": r}], "drop": [r], "release": [r]})
    assert nack.status == 207 and not {"nacked", "dropped", "released"} & set(results(nack)), nack.body
    ledger = balanced_ledger(sidecar)
    assert (ledger["accepted"], ledger["acked"], ledger["dead_lettered"], ledger["remaining"]) == (1, 1, 0, 0)


@DURABILITIES
def test_a_late_ack_settles_nothing_and_leaves_the_redelivery_alone(sidecar, durability):
    sidecar.declare("q", lease="500ms", backoff="0s", durability=durability)
    sidecar.publish("q")
    [first] = take(sidecar)
    until(lambda: described(sidecar)["in_flight"] == 0)
    late = sidecar.ack("q", first["receipt"])
    assert (late.status, results(late)) == (207, ["expired"])
    [second] = take(sidecar)
    assert second["attempt"] == 2
    assert results(sidecar.ack("q", first["receipt"])) == ["expired"]
    assert balanced_ledger(sidecar)["remaining"] == 1
    assert results(sidecar.ack("q", second["receipt"])) == ["acked"]
    assert (balanced_ledger(sidecar)["acked"], balanced_ledger(sidecar)["remaining"]) == (1, 0)


def test_receipts_that_were_never_issued_settle_nothing(cluster, broker):
    sidecar, other = cluster.sidecar(broker), cluster.sidecar(broker)
    for queue in ("q", "r"):
        sidecar.declare(queue, lease="1m")
        for i in range(2):
            sidecar.publish(queue, str(i))
    mine, [theirs] = take(sidecar, most=1)[0]["receipt"], take(sidecar, "r")
    forged = mine[:-3] + ("A" if mine[-3] != "A" else "B") + mine[-2:]
    beyond = mine.rsplit(".", 1)[0] + ".7"
    answer = other.ack("q", forged, beyond, "x", "é" * 99)
    assert answer.status == 207 and results(answer) == ["unknown"] * 4, answer.body
    for nonsense in ("", "x" * 201, 7, None):  # the whole request is refused, with the position of the bad receipt
        answer = other.ack("q", mine, nonsense)
        assert answer.status == 400 and "ack[1]" in answer.json["detail"], answer.body
    for queue in ("q", "r"):
        assert (described(sidecar, queue)["in_flight"], balanced_ledger(sidecar, queue)["acked"]) == (1, 0)
    # Valid receipts work through any sidecar, and each one names its queue.
    assert results(other.ack("q", mine, theirs["receipt"])) == ["acked", "acked"]
    for queue in ("q", "r"):
        assert (balanced_ledger(sidecar, queue)["acked"], balanced_ledger(sidecar, queue)["remaining"]) == (1, 1)


@DURABILITIES
def test_filters_with_unknown_operators_are_refused_and_change_nothing(sidecar, durability):
    """Neither bindings nor dead letters change."""
    sidecar.declare("q", max_deliveries=1, durability=durability)
    sidecar.http("PUT", "/v1/topics/all")
    good = {"exact": {"type": "sluice.event"}}
    assert sidecar.http("PUT", "/v1/topics/all/bindings/q", {"filter": good}).status in (200, 201)
    assert sidecar.http("POST", "/v1/topics/all/events", "x").json["queues"] == {"q": 1}
    [taken] = take(sidecar)
    assert sidecar.http("POST", "/v1/queues/q/acks", {"drop": [taken["receipt"]]}).status == 200
    for bad, place in (({"sql": "type = 'x'"}, "filter: unknown operator 'sql'"), ({}, "filter"),
                       ({"not": {"any": [good, {"EXACT": {"type": "x"}}]}},
                        "filter.not.any[1]: unknown operator 'EXACT'"),
                       ({"exact": {"type": 7}}, "filter"), ({**good, "like": {"type": "x"}}, "filter")):
        for method, path in (("PUT", "/v1/topics/all/bindings/q"), ("POST", "/v1/queues/q/redrive")):
            answer = sidecar.ops(method, path, {"filter": bad})
            assert answer.status == 400 and place in answer.json["detail"], answer.body
    assert sidecar.http("GET", "/v1/topics/all").json["bindings"]["q"]["filter"] == good
    assert (balanced_ledger(sidecar)["dead_lettered"], described(sidecar)["dead"],
            balanced_ledger(sidecar)["accepted"]) == (1, 1, 1)
    assert sidecar.ops("POST", "/v1/queues/q/redrive", {"filter": good}).json["redriven"] == 1
    assert balanced_ledger(sidecar)["remaining"] == 1


# ---------------------------------------------------------------- the clock is set


class Clock:
    """The wall clock of the processes that are started with its `environment` (stepping_clock.c)."""

    def __init__(self, path):
        path.write_bytes(bytes(8))
        self.fd = os.open(path, os.O_WRONLY)
        library = BIN.parent / "lib/libstepping_clock.so"
        assert library.exists()  # otherwise the clock would never be set, and the tests would prove nothing
        self.environment = {"LD_PRELOAD": str(library), "STEPPING_CLOCK": str(path),
                            "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def be_off(self, seconds):
        os.pwrite(self.fd, struct.pack("=q", seconds * 1_000_000_000), 0)


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


@pytest.fixture
def stepping(cluster, clock, tmp_path):
    """A sidecar and its broker, both started with `clock`."""
    broker = Process(tmp_path, "stepping",
                     ["sluice-broker", "--listen", "tcp://127.0.0.1:0", "--data", str(tmp_path / "data")],
                     clock.environment)
    cluster.processes.append(broker)
    return cluster.sidecar(broker, environment=clock.environment)


DAY = 86400


@DURABILITIES
@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_setting_the_clock_affects_no_lease_and_no_turn(stepping, clock, durability, seconds):
    stepping.declare("q", lease="1h", durability=durability)
    for i in range(3):
        stepping.publish("q", str(i))
    first, second = take(stepping, most=2)
    clock.be_off(seconds)
    stepping.publish("q", "3")
    assert described(stepping)["in_flight"] == 2
    assert data_of(rest := take(stepping, most=2)) == ["2", "3"] and {e["attempt"] for e in rest} == {1}
    assert results(stepping.ack("q", *(e["receipt"] for e in (first, second, *rest)))) == ["acked"] * 4
    clock.be_off(0)
    stepping.publish("q", "4")
    [last] = take(stepping)
    assert results(stepping.ack("q", last["receipt"])) == ["acked"]
    ledger = balanced_ledger(stepping)
    assert (ledger["accepted"], ledger["acked"], ledger["remaining"]) == (5, 5, 0)


@DURABILITIES
def test_setting_the_clock_forward_makes_delayed_events_due(stepping, clock, durability):
    stepping.declare("q", durability=durability)
    stepping.declare("ends", durability=durability, ttl="12h")
    stepping.publish("q", "delayed", {"Content-Type": "text/plain", "Sluice-Delay": "12h"})
    stepping.publish("ends", "too old")
    assert stepping.take("q").json["events"] == [] and described(stepping)["delayed"] == 1
    clock.be_off(DAY)
    assert data_of(take(stepping)) == ["delayed"]
    until(lambda: balanced_ledger(stepping, "ends")["expired"] == 1)
    assert balanced_ledger(stepping)["remaining"] == 1


@DURABILITIES
def test_setting_the_clock_back_delays_events_longer_and_loses_none(stepping, clock, durability):
    stepping.declare("q", durability=durability)
    stepping.publish("q", "delayed", {"Content-Type": "text/plain", "Sluice-Delay": "1h"})
    stepping.publish("q", "ready")
    clock.be_off(-DAY)
    [ready] = take(stepping)
    assert ready["event"]["data"] == "ready" and results(stepping.ack("q", ready["receipt"])) == ["acked"]
    assert (described(stepping)["delayed"], balanced_ledger(stepping)["remaining"]) == (1, 1)
    clock.be_off(2 * 3600)
    [delayed] = take(stepping)
    assert results(stepping.ack("q", delayed["receipt"])) == ["acked"]
    assert (balanced_ledger(stepping)["accepted"], balanced_ledger(stepping)["acked"]) == (2, 2)


def test_a_retry_is_still_a_duplicate_after_the_clock_is_set(stepping, clock):
    """The dedup window is measured in elapsed time, not by the wall clock."""
    stepping.declare("q", dedup_window="1h")
    publish = lambda: stepping.publish("q", "x", {"Content-Type": "text/plain", "Idempotency-Key": "once"})
    assert publish().json["sequence"] == 1
    for seconds in (-DAY, DAY, 0):
        clock.be_off(seconds)
        assert (publish().status, publish().json["sequence"]) == (202, 1)
    assert (balanced_ledger(stepping)["accepted"], described(stepping)["ready"]) == (1, 1)


@pytest.mark.parametrize("seconds", [-DAY, DAY])
def test_a_broker_restarted_under_another_clock_loses_nothing(cluster, clock, tmp_path, seconds):
    def start(name):
        broker = Process(tmp_path, name,
                         ["sluice-broker", "--listen", "tcp://127.0.0.1:0", "--data", str(tmp_path / "data")],
                         clock.environment)
        cluster.processes.append(broker)
        return broker, cluster.sidecar(broker)

    broker, sidecar = start("before")
    sidecar.declare("q", lease="1h")
    for i in range(10):
        sidecar.publish("q", str(i))
    [taken] = take(sidecar)
    assert results(sidecar.ack("q", taken["receipt"])) == ["acked"]
    take(sidecar, most=2)
    broker.kill()
    sidecar.stop()
    clock.be_off(seconds)
    _, sidecar = start("after")
    again = take(sidecar, most=20)
    assert set(data_of(again)) >= {str(i) for i in range(1, 10)}
    sidecar.ack("q", *(e["receipt"] for e in again))
    ledger = balanced_ledger(sidecar)
    assert (ledger["accepted"], ledger["remaining"]) == (10, 0)
