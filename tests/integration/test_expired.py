"""`dead_letter_expired`: expired events become dead letters, over HTTP, in the CLI and in the configuration file."""
import datetime
import json
import re

import conftest
import pytest

from conftest import run, until

UTC = datetime.timezone.utc


def publish(s, *ids, queue="q", expires=None, delay=None):
    """Publishes events with these ids that expire in `expires` seconds. Returns their sequences."""
    stamp = {} if expires is None else {
        "expirytime": (datetime.datetime.now(UTC) + datetime.timedelta(seconds=expires)).isoformat()}
    events = [{"specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": id, **stamp} for id in ids]
    headers = {"Content-Type": "application/cloudevents-batch+json", **({"Sluice-Delay": delay} if delay else {})}
    answer = s.publish(queue, json.dumps(events), headers)
    assert answer.status == 202, answer.body
    return [e["sequence"] for e in answer.json["events"]]


def peek(s, state, queue="q"):
    return s.http("GET", f"/v1/queues/{queue}/peek?state={state}&max=100").json["events"]


def describe(s, queue="q"):
    return s.http("GET", f"/v1/queues/{queue}").json


def expired_and_remaining(s, queue="q"):
    """Returns (expired, remaining) of a ledger that balances. Expired events do not count as dead-lettered."""
    ledger = conftest.balanced_ledger(s, queue)
    assert ledger["dead_lettered"] == 0
    return ledger["expired"], ledger["remaining"]


def take(s, queue="q"):
    """Takes and acks what is ready. Returns the events."""
    events = s.take(queue, max=100, wait="20s").json["events"]
    assert s.ack(queue, *[e["receipt"] for e in events]).status == 200
    return [e["event"] for e in events]


def test_an_expired_event_is_dead_and_can_be_redriven(sidecar, durability):
    sidecar.declare("q", durability=durability, dead_letter_expired=True)
    publish(sidecar, "late", expires=-60)
    publish(sidecar, "soon", expires=1)
    publish(sidecar, "held too long", expires=1, delay="1h")
    publish(sidecar, "stays")
    until(lambda: expired_and_remaining(sidecar) == (3, 1))
    dead = peek(sidecar, "dead")
    assert [(e["event"]["id"], e["attempt"], e["trouble"]["reason"]) for e in dead] == [
        (id, 0, "expired") for id in ("late", "soon", "held too long")]
    assert describe(sidecar)["dead"] == 3 and describe(sidecar)["delayed"] == 0
    answer = sidecar.ops("POST", "/v1/queues/q/redrive", {"reason": "expired", "sequences": [2, 4]})
    assert answer.json == {"redriven": 1, "left": 0}
    assert [e["id"] for e in take(sidecar)] == ["stays", "soon"]  # a redriven event does not expire again
    assert expired_and_remaining(sidecar) == (3, 0) and describe(sidecar)["dead"] == 2


def test_without_dead_letter_expired_an_expired_event_is_only_counted(sidecar, durability):
    sidecar.declare("q", durability=durability, ttl="10ms")
    publish(sidecar, "gone")
    until(lambda: expired_and_remaining(sidecar) == (1, 0))
    assert peek(sidecar, "dead") == []
    sidecar.declare("q", dead_letter_expired=True)
    publish(sidecar, "kept")
    until(lambda: expired_and_remaining(sidecar) == (2, 0))
    assert [e["event"]["id"] for e in peek(sidecar, "dead")] == ["kept"]


def test_an_expired_event_goes_to_the_dead_letter_queue_with_its_reason(sidecar, durability):
    sidecar.declare("dead", durability=durability)
    sidecar.declare("q", durability=durability, dead_letter="dead", ttl="300ms", dead_letter_expired=True)
    publish(sidecar, "a", "b")
    letters = take(sidecar, "dead")
    letters += take(sidecar, "dead") if len(letters) < 2 else []
    assert [(e["id"], e["data"], e["sluicedeadreason"], e["sluicedeadqueue"], e["sluicedeadattempts"])
            for e in letters] == [
        (id, id, "expired", "q", 0) for id in ("a", "b")]
    assert expired_and_remaining(sidecar) == (2, 0) and expired_and_remaining(sidecar, "dead") == (0, 0)


def test_a_full_dead_store_holds_expired_events_visibly_in_their_queue(cluster, broker, durability):
    s = cluster.sidecar(broker, "--operations")
    s.declare("q", durability=durability, ttl="10ms", dead_letter_expired=True, dead_capacity=1)
    publish(s, "first", "held")
    until(lambda: describe(s)["dead_letter_held"] == 1)
    assert expired_and_remaining(s) == (1, 1)
    [held] = peek(s, "delayed")
    assert (held["event"]["id"], held["trouble"]["reason"],
            held["trouble"]["failures"]) == ("held", "dead_letter_full", 0)
    since = datetime.datetime.fromisoformat(held["trouble"]["last"])
    assert abs(datetime.datetime.now(UTC) - since) < datetime.timedelta(seconds=60) and "ready_at" not in held
    told = s.http("GET", "/v1/queues/q/events/2").json
    assert (told["blocked_by"], told["next"]["what"], told["trouble"]["reason"]) == (
        "dead_letter", "dead_letter", "dead_letter_full")
    assert told["next"]["in_seconds"] <= 5 and "no room for it as a dead event" in told["explanation"]
    text = s.ops("GET", "/metrics").body.decode()
    for line in ('dead_letter_held{queue="q"} 1', 'expired_total{queue="q"} 1', 'dead_lettered_total{queue="q"} 0',
                 'died_total{queue="q",reason="expired"} 1', 'died_total{queue="q",reason="max_deliveries"} 0'):
        assert f"sluice_queue_{line}\n" in text, text
    assert s.take("q", wait="1s").json["events"] == []
    s.declare("q", dead_capacity=2)
    until(lambda: expired_and_remaining(s) == (2, 0))
    assert [e["event"]["id"] for e in peek(s, "dead")] == ["first", "held"] and describe(s)["dead_letter_held"] == 0


def test_held_expired_events_can_be_cancelled_and_purged(sidecar, durability):
    sidecar.declare("q", durability=durability, ttl="10ms", dead_letter_expired=True, dead_capacity=0)
    publish(sidecar, "a", "b", "c")
    until(lambda: describe(sidecar)["dead_letter_held"] == 3)
    assert sidecar.http("DELETE", "/v1/queues/q/events/2").status == 204
    assert sidecar.ops("POST", "/v1/queues/q/purge").json == {"purged": 2}
    assert expired_and_remaining(sidecar) == (0, 0) and describe(sidecar)["dead_letter_held"] == 0


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_expired_events_survive_the_broker_wherever_they_are(cluster, how):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("dead", capacity=1)
    s.declare("sent", dead_letter="dead", dead_letter_expired=True)
    s.declare("q", dead_letter_expired=True, dead_capacity=2)
    publish(s, "alive", queue="sent")
    publish(s, "dead", "dead, too", "held", expires=0.2)
    publish(s, "expires", queue="q", expires=2)
    s.http("PUT", "/v1/queues/sent", {"ttl": "10ms"})
    publish(s, "letter", "held", queue="sent")
    until(lambda: describe(s)["dead_letter_held"] >= 1 and describe(s, "sent")["dead_letter_held"] == 1)
    s.ops("POST", "/v1/queues/q/resume")  # answered once everything before it is on disk
    if how == "killed":
        broker.kill()
    assert s.stop() == 0 and (how == "killed" or broker.stop() == 0)
    s = cluster.sidecar(cluster.broker())
    until(lambda: (describe(s)["dead_letter_held"], describe(s, "sent")["dead_letter_held"]) == (2, 1))
    assert (expired_and_remaining(s), expired_and_remaining(s, "sent")) == ((2, 2), (1, 2))
    assert [e["event"]["id"] for e in peek(s, "dead")] == ["dead", "dead, too"]
    assert [e["event"]["id"] for e in peek(s, "delayed")] == ["held", "expires"]
    assert [e["id"] for e in take(s, "dead")] == ["letter"]
    s.declare("q", dead_capacity=9)
    until(lambda: (expired_and_remaining(s), expired_and_remaining(s, "sent")) == ((4, 0), (2, 1)))
    assert [(e["id"], e["sluicedeadreason"]) for e in take(s, "dead")] == [("held", "expired")]
    assert [e["event"]["id"] for e in peek(s, "dead")] == ["dead", "dead, too", "held", "expires"]
    assert [e["id"] for e in take(s, "sent")] == ["alive"]


def test_the_cli_declares_shows_and_redrives_expired_events(sidecar):
    shell = {"SLUICE_URL": f"http://{sidecar.ready['http']}", "SLUICE_OPS_URL": f"http://{sidecar.ready['ops']}"}
    done = run("sluice", "queue", "declare", "q", "ttl=10ms", "dead_letter_expired=true", environment=shell)
    assert done.returncode == 0, done.stderr
    run("sluice", "pub", "q", "too late", environment=shell)
    until(lambda: expired_and_remaining(sidecar) == (1, 0))
    shown = run("sluice", "queue", "peek", "q", "--state", "dead", environment=shell).stdout
    assert re.search(r"#1 +dead .*too late\n +expired: failures 0, crashes 0", shown), shown
    assert re.search(r"^dead_letter_expired +yes$", run("sluice", "queue", "show", "q", environment=shell).stdout, re.M)
    said = run("sluice", "queue", "redrive", "q", "--reason", "crash_loop", "--json", environment=shell).stdout
    assert json.loads(said)["redriven"] == 0
    run("sluice", "queue", "declare", "again", environment=shell)
    said = run("sluice", "queue", "redrive", "q", "--reason", "expired", "--to", "again",
               "--json", environment=shell).stdout
    assert json.loads(said) == {"redriven": 1, "left": 0}
    assert run("sluice", "sub", "again", "--count", "1", environment=shell).stdout == "too late\n"


def test_the_configuration_has_the_setting_and_refuses_a_non_boolean(cluster, tmp_path):
    config = tmp_path / "broker.yaml"
    config.write_text("queues:\n  q: {ttl: 10ms, dead_letter_expired: true}\n")
    s = cluster.sidecar(cluster.broker("--config", str(config)))
    assert describe(s)["dead_letter_expired"] is True
    publish(s, "kept")
    until(lambda: len(peek(s, "dead")) == 1)
    refused = s.http("PUT", "/v1/queues/other", {"dead_letter_expired": "perhaps"})
    assert refused.status == 400 and "'dead_letter_expired'" in refused.json["detail"]
