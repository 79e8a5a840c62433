"""Events that fail: they are redelivered after a back-off, become dead letters after too many failures, can be peeked
with their errors, and survive restarts of the broker."""
import datetime

import pytest

from conftest import balanced_ledger as ledger
from dead import describe, make_dead, fail, peek, sync_to_disk, redrive, settle, take_one, until_figure

TEXT = "no luck: Grüße an 🐇 \"quoted\"\n"


# ------------------------------------------------------------------ failures and dead letters

def test_an_event_nacked_too_often_is_dead_and_can_be_peeked_and_redriven(sidecar, durability):
    shown = sidecar.declare("q", durability=durability, max_deliveries=2, backoff="0s").json
    assert (shown["max_deliveries"], shown["backoff"], shown["backoff_max"], shown["dead"]) == (2, "0s", "5m", 0)
    sidecar.publish("q", "x")
    assert fail(sidecar, status=500, error="first")["attempt"] == 1
    assert fail(sidecar, status=503, error=TEXT)["attempt"] == 2
    assert (describe(sidecar)["dead"], describe(sidecar)["backlog"], describe(sidecar)["delayed"]) == (1, 0, 0)
    [event] = peek(sidecar, "dead")
    trouble = event["trouble"]
    assert (event["sequence"], event["state"], event["attempt"], event["event"]["data"]) == (1, "dead", 2, "x")
    assert {k: trouble[k] for k in ("failures", "crashes", "reason", "status", "error")} == {
        "failures": 2, "crashes": 0, "reason": "max_deliveries", "status": 503, "error": TEXT}
    first, last = (datetime.datetime.fromisoformat(trouble[name]) for name in ("first", "last"))
    assert datetime.timedelta() <= last - first <= datetime.timedelta(seconds=60)
    assert abs(datetime.datetime.now(datetime.timezone.utc) - last) < datetime.timedelta(seconds=60)
    assert (ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"]) == (1, 0)
    assert sidecar.take("q").json["events"] == []
    assert redrive(sidecar, {"dry_run": True}) == {"would_redrive": 1} and describe(sidecar)["dead"] == 1
    assert redrive(sidecar) == {"redriven": 1, "left": 0}
    again = take_one(sidecar)
    assert (again["sequence"], again["attempt"], again["event"]) == (2, 1, event["event"])
    assert "trouble" not in peek(sidecar, "in_flight")[0]
    sidecar.ack("q", again["receipt"])
    totals = ledger(sidecar)
    assert (totals["accepted"], totals["acked"], totals["dead_lettered"], totals["remaining"]) == (2, 1, 1, 0)


def test_an_event_shows_its_failure_while_it_waits_for_its_retry(sidecar, durability):
    sidecar.declare("q", durability=durability)
    sidecar.publish("q", "fine")
    sidecar.publish("q", "failed")
    fine = take_one(sidecar)
    fail(sidecar, delay="1h", status=7, error="later")
    settle(sidecar, release=[fine["receipt"]])
    [delayed] = peek(sidecar, "delayed")
    assert (delayed["event"]["data"], delayed["trouble"]["failures"],
            delayed["trouble"]["error"]) == ("failed", 1, "later")
    assert "reason" not in delayed["trouble"]
    [ready] = peek(sidecar, "ready")
    assert ready["event"]["data"] == "fine" and "trouble" not in ready


def test_a_nack_without_a_delay_waits_for_the_back_off(sidecar):
    sidecar.declare("q", backoff="12h", backoff_max="12h", max_deliveries=250)
    sidecar.publish("q")
    fail(sidecar, delay="0s")
    fail(sidecar, delay="1ms")
    fail(sidecar)
    assert describe(sidecar)["delayed"] == 1


def test_a_released_event_is_redelivered_at_once_and_counts_no_failure(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1, max_crashes=1, backoff="12h", backoff_max="12h")
    sidecar.publish("q")
    for _ in range(3):
        taken = take_one(sidecar)
        assert taken["attempt"] == 1 and settle(sidecar, release=[taken["receipt"]]) == ["released"]
    late = sidecar.http("POST", "/v1/queues/q/acks", {"release": [taken["receipt"]]})
    assert late.status == 207 and late.json["results"][0]["result"] == "expired"
    assert "trouble" not in peek(sidecar, "ready")[0]


def test_a_lease_that_runs_out_is_a_failure(sidecar, durability):
    sidecar.declare("q", durability=durability, lease="200ms", max_deliveries=1)
    sidecar.publish("q")
    take_one(sidecar)
    until_figure(sidecar, "dead", 1)
    trouble = peek(sidecar, "dead")[0]["trouble"]
    assert (trouble["reason"], trouble["failures"], trouble["error"]) == ("max_deliveries", 1, "the lease ran out")


def test_a_consumer_that_vanishes_counts_a_failure_and_one_that_leaves_does_not(cluster, broker, durability):
    leaving, watching = cluster.sidecar(broker), cluster.sidecar(broker)
    watching.declare("q", durability=durability, lease="10m", max_deliveries=1, max_crashes=2)
    watching.publish("q")
    take_one(leaving)
    assert leaving.stop() == 0
    taken = take_one(watching)
    assert "trouble" not in peek(watching, "in_flight")[0]
    assert settle(watching, release=[taken["receipt"]]) == ["released"]
    watching.ops("POST", "/v1/drain")
    for crashes in (1, 2):
        killed = cluster.sidecar(broker)
        take_one(killed)
        assert [e.get("trouble", {}).get("crashes", 0) for e in peek(watching, "in_flight")] == [crashes - 1]
        killed.kill()
        until_figure(watching, "in_flight", 0)
    [event] = peek(watching, "dead")
    assert (event["trouble"]["reason"], event["trouble"]["failures"],
            event["trouble"]["crashes"]) == ("crash_loop", 0, 2)
    assert ledger(watching)["dead_lettered"] == 1


def test_a_full_dead_store_holds_events_in_their_queue_until_there_is_room(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1, dead_capacity=1, backoff="0s")
    make_dead(sidecar, 2)
    assert (describe(sidecar)["dead"], describe(sidecar)["delayed"]) == (1, 1)
    assert [(e["sequence"], e["trouble"]["failures"]) for e in peek(sidecar, "delayed")] == [(2, 1)]
    assert sidecar.ops("POST", "/v1/queues/q/purge?state=dead").json == {"purged": 1}
    until_figure(sidecar, "dead", 1)
    assert [e["sequence"] for e in peek(sidecar, "dead")] == [2]
    assert (ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"], ledger(sidecar)["purged"]) == (2, 0, 0)


def test_an_error_is_kept_up_to_250_bytes_and_never_half_a_character(sidecar):
    sidecar.declare("q", max_deliveries=1)
    make_dead(sidecar, error="x" + "🐇" * 100)
    assert peek(sidecar, "dead")[0]["trouble"]["error"] == "x" + "🐇" * 62


# ------------------------------------------------------------------ across restarts

@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_dead_and_failing_events_survive_a_restart_of_the_broker(cluster, how):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("q", max_deliveries=2, backoff="0s")
    s.publish("q", "dead")
    fail(s, error="first")
    fail(s, status=503, error=TEXT)
    s.publish("q", "failing")
    fail(s, delay="1h", error="one more")
    before, totals = peek(s, "dead"), ledger(s)
    sync_to_disk(s)
    if how == "killed":
        broker.kill()
    assert s.stop() == 0 and (how == "killed" or broker.stop() == 0)
    s = cluster.sidecar(cluster.broker())
    assert peek(s, "dead") == before and before[0]["trouble"]["error"] == TEXT
    assert ledger(s) == totals and describe(s)["dead"] == 1
    [waiting] = [e for state in ("ready", "delayed") for e in peek(s, state)]
    assert (waiting["event"]["data"], waiting["trouble"]["failures"],
            waiting["trouble"]["error"]) == ("failing", 1, "one more")
    s.declare("elsewhere")
    assert redrive(s, {"to": "elsewhere"}) == {"redriven": 1, "left": 0}
    assert take_one(s, "elsewhere")["event"]["data"] == "dead" and describe(s)["dead"] == 0


def test_redriven_and_purged_events_stay_so_after_a_kill(cluster):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("q", max_deliveries=1)
    s.declare("r", max_deliveries=1)
    make_dead(s, 3)
    make_dead(s, 2, "r")
    assert redrive(s, {"sequences": [3, 1]}) == {"redriven": 2, "left": 0}
    assert s.ops("POST", "/v1/queues/r/purge?state=dead").json == {"purged": 2}
    totals = ledger(s), ledger(s, "r")
    broker.kill()
    s.stop()
    s = cluster.sidecar(cluster.broker())
    assert [e["sequence"] for e in peek(s, "dead")] == [2] and peek(s, "dead", "r") == []
    assert [e["event"]["data"] for e in peek(s, "ready")] == ["x0", "x2"]
    assert (ledger(s), ledger(s, "r")) == totals


def test_an_event_dropped_by_its_consumer_is_dead_at_once_with_its_reason(sidecar, durability):
    assert sidecar.declare("q", durability=durability).status == 201
    for data in ("never", "later"):
        sidecar.publish("q", data)
    events = sidecar.take("q", max=2, wait="25s").json["events"]
    never, later = (e["receipt"] for e in events)
    said = {"receipt": never, "status": 404, "error": "no such user"}
    assert settle(sidecar, drop=[said], defer=[{"receipt": later, "delay": "300ms"}]) == ["deferred", "dropped"]
    dead = peek(sidecar, "dead")[0]["trouble"]
    assert (dead["reason"], dead["status"], dead["error"]) == ("dropped_by_app", 404, "no such user")
    assert describe(sidecar)["delayed"] == 1
    again = take_one(sidecar)
    assert (again["sequence"], again["attempt"]) == (2, 2) and "trouble" not in peek(sidecar, "in_flight")[0]
    sidecar.ack("q", again["receipt"])
    answer = sidecar.http("POST", "/v1/queues/q/acks", {"drop": [never, again["receipt"]]})
    assert answer.status == 207 and [r["result"] for r in answer.json["results"]] == ["expired", "expired"]
    totals = ledger(sidecar)
    assert (totals["acked"], totals["dead_lettered"], totals["remaining"]) == (1, 1, 0)


def test_a_queue_with_dead_letters_is_deleted_only_when_forced(sidecar):
    sidecar.declare("q", max_deliveries=1)
    make_dead(sidecar)
    assert sidecar.ops("DELETE", "/v1/queues/q").json["reason"] == "not_empty"
    assert sidecar.ops("DELETE", "/v1/queues/q?force=true").status == 204


def test_dead_letters_are_counted_in_the_metrics(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    s.declare("q", max_deliveries=1)
    make_dead(s, 2)
    redrive(s, {"sequences": [1]})
    s.declare("full", max_deliveries=1, dead_capacity=0)
    make_dead(s, 1, "full")
    text = s.ops("GET", "/metrics").body.decode()
    for line in ('sluice_queue_dead_letter_held{queue="full"} 1', 'sluice_queue_dead{queue="q"} 1',
                 'sluice_queue_dead_lettered_total{queue="q"} 2'):
        assert line in text, text
