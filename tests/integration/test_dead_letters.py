"""`dead_letter`: a queue that receives the dead letters of others, what happens when it is full, and which settings are
refused."""
import datetime

import pytest

from conftest import balanced_ledger as ledger, until
from dead import describe, make_dead, fail, peek, sync_to_disk, settle, take_one, until_figure


def said(event):
    return {k: v for k, v in event.items() if k.startswith("sluicedead") and
            k not in ("sluicedeadfirst", "sluicedeadlast")}


def test_dead_letters_go_to_the_named_queue_with_their_failure(sidecar, durability):
    sidecar.declare("dead", durability=durability)
    shown = sidecar.declare("q", durability=durability, max_deliveries=1, dead_letter="dead").json
    assert shown["dead_letter"] == "dead"
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "placed", "data": {"number": 1}}
    assert sidecar.http("POST", "/v1/queues/q/events", event,
                        {"Content-Type": "application/cloudevents+json"}).status == 202
    fail(sidecar, status=503, error="no luck:\t\u0085here")
    letter = take_one(sidecar, "dead")
    assert (letter["sequence"], letter["attempt"]) == (1, 1)
    assert said(letter["event"]) == {
        "sluicedeadqueue": "q", "sluicedeadsequence": "1", "sluicedeadreason": "max_deliveries",
        "sluicedeadattempts": 1,
        "sluicedeadfailures": 1, "sluicedeadcrashes": 0, "sluicedeadstatus": 503, "sluicedeaderror": "no luck:   here"}
    first, last = (datetime.datetime.fromisoformat(letter["event"][f"sluicedead{name}"]) for name in ("first", "last"))
    assert first == last and abs(datetime.datetime.now(datetime.timezone.utc) - last) < datetime.timedelta(seconds=60)
    assert {k: letter["event"][k] for k in event} == event
    assert (describe(sidecar)["dead"], ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"]) == (0, 1, 0)
    assert (ledger(sidecar, "dead")["accepted"], ledger(sidecar, "dead")["remaining"]) == (1, 1)
    assert sidecar.declare("q", dead_letter=None).json["dead_letter"] is None
    make_dead(sidecar)
    assert describe(sidecar)["dead"] == 1


def test_a_full_dead_letter_queue_holds_dead_letters_back_visibly(sidecar, durability):
    sidecar.declare("dead", durability=durability, capacity=1)
    sidecar.declare("q", durability=durability, max_deliveries=1, dead_letter="dead")
    make_dead(sidecar, 2)
    [held] = peek(sidecar, "delayed")
    assert (held["sequence"], held["trouble"]["reason"]) == (2, "dead_letter_full")
    assert describe(sidecar)["dead_letter_held"] == 1
    sidecar.ops("POST", "/v1/queues/dead/close")
    settle(sidecar, "dead", ack=[take_one(sidecar, "dead")["receipt"]])
    until(lambda: peek(sidecar, "delayed")[0]["trouble"]["reason"] == "dead_letter_closed", 40)
    sidecar.ops("POST", "/v1/queues/dead/open")
    until_figure(sidecar, "ready", 1, "dead")
    assert describe(sidecar)["dead_letter_held"] == 0


def test_drop_oldest_keeps_dropped_events_as_dead_letters_or_refuses_when_full(sidecar, durability):
    sidecar.declare("q", durability=durability, capacity=2, overflow="drop_oldest", dead_letter_dropped=True,
                    dead_capacity=1)
    assert [sidecar.publish("q", f"x{i}").status for i in range(4)] == [202, 202, 202, 429]
    [dropped] = peek(sidecar, "dead")
    assert (dropped["event"]["data"], dropped["trouble"]["reason"],
            dropped["trouble"]["failures"]) == ("x0", "dropped", 0)
    assert (ledger(sidecar)["dropped"], ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"]) == (1, 0, 2)


def test_a_dead_letter_queue_is_checked_at_declare_and_at_delete(sidecar):
    def refused(status, queue, sentence, **settings):
        answer = sidecar.http("PUT", f"/v1/queues/{queue}", settings)
        assert answer.status == status and sentence in answer.json["detail"], answer.body

    sidecar.declare("a")
    refused(404, "b", "there is no queue 'aa' for the dead letters of 'b'", dead_letter="aa")
    refused(400, "a", "queue 'a' cannot be its own dead_letter", dead_letter="a")
    refused(400, "a", "'dead_letter' must be a queue's name", dead_letter="no name")
    sidecar.declare("b", dead_letter="a")
    sidecar.declare("c", dead_letter="b")
    refused(409, "a", "a -> c -> b -> a", dead_letter="c")
    answer = sidecar.ops("DELETE", "/v1/queues/a")
    assert answer.status == 409 and "the dead letters of queue 'b' go to this queue" in answer.json["detail"]
    assert sidecar.ops("DELETE", "/v1/queues/a?force=true").status == 204
    refused(409, "a", "a -> c -> b -> a", dead_letter="c")


def test_dead_letters_on_disk_survive_a_kill_once_each(cluster):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("dead")
    s.declare("q", max_deliveries=1, dead_letter="dead")
    make_dead(s, 20)
    s.publish("q", "alive")
    sync_to_disk(s)
    broker.kill()
    s.stop()
    s = cluster.sidecar(cluster.broker())
    assert describe(s, "dead")["backlog"] == 20
    assert (ledger(s)["dead_lettered"], ledger(s)["remaining"], ledger(s, "dead")["accepted"]) == (20, 1, 20)
    letters = s.take("dead", wait="25s", max=100).json["events"]
    assert [e["event"]["sluicedeadsequence"] for e in letters] == [str(i) for i in range(1, 21)]
    assert take_one(s)["event"]["data"] == "alive"


def test_the_configuration_may_name_dead_letter_queues_in_any_order_but_not_in_a_cycle(cluster, tmp_path):
    config = tmp_path / "broker.yaml"
    config.write_text("queues:\n  a: {dead_letter: y}\n  y: {dead_letter: z}\n  z: {}\n")
    s = cluster.sidecar(cluster.broker("--config", str(config)))
    assert (describe(s, "a")["dead_letter"], describe(s, "y")["dead_letter"]) == ("y", "z")
    config.write_text("queues:\n  a: {dead_letter: z}\n  z: {dead_letter: a}\n")
    with pytest.raises(RuntimeError, match="dead letters would go in a circle: 'a' has dead_letter 'z'"):
        cluster.broker("--config", str(config))
