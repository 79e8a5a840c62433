"""Events that are delayed, expire, or are cancelled: over HTTP and in the CLI."""
import datetime
import json
import time

import pytest

from conftest import balanced_ledger, run, until

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
UTC = datetime.timezone.utc


def event(id, **more):
    return {"specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": id, **more}


def stamp(seconds):
    """The time `seconds` from now, in RFC 3339."""
    return (datetime.datetime.now(UTC) + datetime.timedelta(seconds=seconds)).isoformat()


def publish(s, *events, queue="q", **headers):
    answer = s.publish(queue, json.dumps(list(events)),
                       {**BATCH, **{k.replace("_", "-"): v for k, v in headers.items()}})
    assert answer.status == 202, answer.body
    return [e["sequence"] for e in answer.json["events"]]


def delayed(s, queue="q"):
    return s.http("GET", f"/v1/queues/{queue}/peek?state=delayed").json["events"]


def take(s, queue="q", wait="0s"):
    """Takes and acks what is ready. Returns the events' ids in order of arrival."""
    events = s.take(queue, max=100, wait=wait).json["events"]
    if events:
        assert s.ack(queue, *[e["receipt"] for e in events]).status == 200
    return [e["event"]["id"] for e in events]


def test_a_delayed_event_is_delivered_after_its_time_and_not_before(sidecar, durability):
    sidecar.declare("q", durability=durability)
    begin = time.time()
    publish(sidecar, event("late"), event("later"), Sluice_Delay="1500ms")
    publish(sidecar, event("now"))
    assert take(sidecar, wait="20s") == ["now"]
    first, second = delayed(sidecar)
    assert (first["sequence"], first["state"],
            first["event"]["id"]) == (1, "delayed", "late") and second["sequence"] == 2
    ready = datetime.datetime.fromisoformat(first["ready_at"].replace("Z", "+00:00")).timestamp()
    assert begin + 1.5 - 0.001 <= ready < begin + 20
    got = []
    while len(got) < 2:
        got += take(sidecar, wait="20s")
    assert got == ["late", "later"] and time.time() >= ready - 0.001
    assert delayed(sidecar) == [] and balanced_ledger(sidecar)["acked"] == 3


def test_a_not_before_time_delays_and_a_past_one_does_not(sidecar, durability):
    sidecar.declare("q", durability=durability)
    publish(sidecar, event("far"), Sluice_Not_Before="2099-01-02T09:00:00.5Z")
    publish(sidecar, event("passed"), Sluice_Not_Before="1999-01-02T09:00:00Z")
    assert take(sidecar, wait="20s") == ["passed"]
    [far] = delayed(sidecar)
    assert far["ready_at"] == "2099-01-02T09:00:00.5Z" and "expires_at" not in far
    told = sidecar.http("GET", "/v1/queues/q/events/1").json
    assert (told["blocked_by"], told["next"]["what"], told["ready_at"]) == ("delayed", "ready", far["ready_at"])


def test_an_expired_event_is_counted_and_not_delivered(sidecar, durability):
    sidecar.declare("q", durability=durability)
    publish(sidecar, event("gone", expirytime=stamp(-60)), event("soon", expirytime=stamp(1)), event("stays"),
            event("lasts", expirytime=stamp(3600)))
    publish(sidecar, event("held too long", expirytime=stamp(1)), Sluice_Delay="1h")
    until(lambda: balanced_ledger(sidecar)["expired"] == 3)
    assert take(sidecar, wait="20s") == ["stays", "lasts"] and delayed(sidecar) == []
    assert balanced_ledger(sidecar)["remaining"] == 0


def test_a_ttl_expires_every_event_of_its_request(sidecar):
    sidecar.declare("q", durability="disk")
    publish(sidecar, event("soon"), event("soon, too"), Sluice_TTL="1s")
    publish(sidecar, event("held too long"), Sluice_TTL="1s", Sluice_Not_Before="2099-01-02T09:00:00Z")
    publish(sidecar, event("lasts"), Sluice_TTL="12h")
    until(lambda: balanced_ledger(sidecar)["expired"] == 3)
    told = sidecar.http("GET", "/v1/queues/q/events/4").json
    assert told["state"] == "ready" and "expirytime" not in told["event"]
    [lasts] = sidecar.http("GET", "/v1/queues/q/peek").json["events"]
    left = datetime.datetime.fromisoformat(lasts["expires_at"].replace("Z", "+00:00")) - datetime.datetime.now(UTC)
    assert datetime.timedelta(hours=11) < left <= datetime.timedelta(hours=12)
    assert told["expires_at"] == lasts["expires_at"]
    assert take(sidecar, wait="20s") == ["lasts"] and delayed(sidecar) == []


def test_delays_expiries_and_cancels_survive_a_killed_broker(cluster):
    first = cluster.broker()
    s = cluster.sidecar(first)
    s.declare("q", durability="disk")
    publish(s, event("far"), event("cancelled"), Sluice_Not_Before="2099-01-02T09:00:00Z")
    publish(s, event("expires", expirytime=stamp(2)), event("far, expires", expirytime=stamp(2)), Sluice_Delay="1h")
    publish(s, event("late"), Sluice_Delay="1500ms")
    assert s.http("DELETE", "/v1/queues/q/events/2").status == 204
    first.kill()
    s.stop()
    s = cluster.sidecar(cluster.broker())
    assert take(s, wait="25s") == ["late"]
    until(lambda: balanced_ledger(s)["expired"] == 2)
    assert [(e["event"]["id"], e["ready_at"]) for e in delayed(s)] == [("far", "2099-01-02T09:00:00Z")]
    assert s.http("DELETE", "/v1/queues/q/events/2").status == 404
    assert s.http("DELETE", "/v1/queues/q/events/1").status == 204
    assert delayed(s) == []


def test_a_cancelled_event_is_never_delivered(sidecar, durability):
    def cancel(sequence):
        answer = sidecar.http("DELETE", f"/v1/queues/q/events/{sequence}")
        return answer.status, answer.json["reason"] if answer.body else None

    sidecar.declare("q", durability=durability)
    publish(sidecar, event("a"), event("b"), Sluice_Delay="1s")
    publish(sidecar, event("ready"))
    assert cancel(1) == (204, None)
    assert cancel(1) == (404, "unknown_event") and cancel(99) == (404, "unknown_event")
    assert cancel(3) == (409, "not_delayed")
    got = []
    while len(got) < 2:
        got += take(sidecar, wait="20s")
    assert got == ["ready", "b"] and cancel(2) == (404, "unknown_event")
    assert {k: v for k, v in balanced_ledger(sidecar).items() if k in ("accepted", "acked", "purged")} == {
        "accepted": 3, "acked": 2, "purged": 1}


def keyed(id, key="alice", **more):
    return event(id, partitionkey=key, **more)


@pytest.mark.parametrize("settings", [{"partitions": 4}, {"ordered": "key"}, {"ordered": "key", "partitions": 4}])
def test_in_an_ordered_queue_a_delayed_event_takes_its_place_when_due(sidecar, durability, settings):
    sidecar.declare("q", durability=durability, backoff="0s", **settings)
    began = time.monotonic()
    publish(sidecar, keyed("due second"), Sluice_Delay="1500ms")
    publish(sidecar, keyed("due first"), Sluice_Delay="1s")
    publish(sidecar, keyed("gone", expirytime=stamp(1)), Sluice_Delay="1h")
    publish(sidecar, keyed("cancelled"), Sluice_Not_Before="2099-01-02T09:00:00Z")
    publish(sidecar, keyed("now"), keyed("other", key="bob"))
    came = []
    while len(came) < 2:
        came += take(sidecar, wait="20s")
    in_time = time.monotonic() - began < 1  # on a slow machine other events may be due by now
    assert set(came) == {"now", "other"} or not in_time
    assert sidecar.http("DELETE", "/v1/queues/q/events/4").status == 204
    while len(came) < 4:
        came += take(sidecar, wait="20s")
    assert sorted(came) == ["due first", "due second", "now", "other"]
    assert came.index("due first") < came.index("due second") or not in_time
    until(lambda: balanced_ledger(sidecar)["expired"] == 1)
    assert {k: v for k, v in balanced_ledger(sidecar).items() if k in ("acked", "purged", "remaining")} == {
        "acked": 4, "purged": 1, "remaining": 0}


def test_in_an_ordered_queue_delays_and_back_offs_survive_a_killed_broker(cluster):
    first = cluster.broker()
    s = cluster.sidecar(first)
    s.declare("q", ordered="key", partitions=4, delay="1h", ttl="2h")
    publish(s, keyed("far"))
    publish(s, keyed("expires", expirytime=stamp(1)), Sluice_Delay="30m")
    publish(s, keyed("failed"), keyed("behind"), keyed("free", key="bob"), Sluice_Not_Before="1999-01-02T09:00:00Z")
    taken = {e["event"]["id"]: e["receipt"] for e in s.take("q", max=1, wait="20s").json["events"]}
    while "failed" not in taken:
        taken.update({e["event"]["id"]: e["receipt"] for e in s.take("q", max=1, wait="20s").json["events"]})
    assert set(taken) <= {"failed", "free"}
    nack = {"nack": [{"receipt": taken["failed"], "delay": "10m"}]}
    assert s.http("POST", "/v1/queues/q/acks", nack).status == 200
    publish(s, keyed("one more"), Sluice_Delay="1h")  # once this is confirmed, everything before it is on disk, too
    first.kill()
    s.stop()
    s = cluster.sidecar(cluster.broker())
    assert take(s, wait="25s") == ["free"]
    until(lambda: balanced_ledger(s)["expired"] == 1)
    assert take(s) == []
    state = s.http("GET", "/v1/queues/q").json
    assert (state["delayed"], state["ready"], state["parked"]) == (3, 1, {"keys": 1, "events": 1})
    [told] = [e for e in delayed(s) if e["event"]["id"] == "failed"]
    assert s.http("DELETE", f"/v1/queues/q/events/{told['sequence']}").status == 204
    assert take(s, wait="20s") == ["behind"]
    assert [e["event"]["id"] for e in delayed(s)] == ["far", "one more"]


def test_malformed_times_are_refused(sidecar):
    sidecar.declare("q")
    for headers, says in (({"Sluice-Delay": "soon"}, "'Sluice-Delay'"),
                          ({"Sluice-Not-Before": "noon"}, "'Sluice-Not-Before'"),
                          ({"Sluice-Delay": "1s", "Sluice-Not-Before": stamp(9)}, "give one of them"),
                          ({"Sluice-TTL": "0s"}, "'Sluice-TTL'"),
                          ({"Sluice-Dealy": "1s"}, "did you mean 'Sluice-Delay'?"),
                          ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t",
                            "ce-expirytime": "noon"}, "'expirytime'")):
        refused = sidecar.publish("q", "x", headers)
        assert refused.status == 400 and says in refused.json["detail"], refused.body
    assert balanced_ledger(sidecar)["accepted"] == 0


def test_a_topic_passes_delay_and_expiry_to_every_queue(sidecar):
    assert sidecar.http("PUT", "/v1/topics/all", {}).status == 201
    for queue in ("a", "b"):
        sidecar.declare(queue)
        sidecar.http("PUT", f"/v1/topics/all/bindings/{queue}", {})
    expires = event("x", expirytime=stamp(1))
    for body, headers in ((event("far"), {"Sluice-Not-Before": "2099-01-02T09:00:00Z"}),
                          (expires, {"Sluice-Delay": "1h"}),
                          (event("now"), {})):
        answer = sidecar.http("POST", "/v1/topics/all/events", json.dumps(body), {**STRUCTURED, **headers})
        assert answer.status == 202 and set(answer.json["queues"]) == {"a", "b"}, answer.body
    for queue in ("a", "b"):
        assert take(sidecar, queue, wait="20s") == ["now"]
        until(lambda: balanced_ledger(sidecar, queue)["expired"] == 1)
        assert [e["ready_at"] for e in delayed(sidecar, queue)] == ["2099-01-02T09:00:00Z"]
    sidecar.declare("parts", partitions=2)
    sidecar.http("PUT", "/v1/topics/all/bindings/parts", {})
    answer = sidecar.http("POST", "/v1/topics/all/events", json.dumps(event("y")), {**STRUCTURED, "Sluice-Delay": "1h"})
    assert answer.status == 202 and [e["event"]["id"] for e in delayed(sidecar, "parts")] == ["y"], answer.body


def test_a_dapr_ttl_is_an_expiry(sidecar):
    sidecar.declare("q")
    for ttl in (1, 3600):
        assert sidecar.http("POST", f"/v1.0/publish/sluice/q?metadata.ttlInSeconds={ttl}", json.dumps(ttl),
                            {"Content-Type": "application/json"}).status == 204
    until(lambda: balanced_ledger(sidecar)["expired"] == 1)
    [left] = sidecar.take("q", max=9, wait="20s").json["events"]
    assert left["event"]["data"] == 3600


def test_the_cli_delays_and_cancels_events(cluster, broker):
    s = cluster.sidecar(broker)
    shell = {"SLUICE_URL": "http://" + s.ready["http"], "SLUICE_OPS_URL": "http://" + s.ready["ops"]}

    def sluice(*arguments, status=0):
        done = run("sluice", *arguments, environment=shell)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    s.declare("q")
    assert "2 confirmed" in sluice("pub", "q", "--delay", "1h", "one", "two")
    assert "1 confirmed" in sluice("pub", "q", "--not-before", "2099-01-02T09:00:00Z", "three")
    begin = time.time()
    assert "1 confirmed" in sluice("pub", "q", "--ttl", "2h", "four")
    seen = sluice("queue", "peek", "q", "--state", "delayed")
    assert seen.count(" until 20") == 3 and "until 2099-01-02T09:00:00Z" in seen
    [four] = s.http("GET", "/v1/queues/q/peek").json["events"]
    expiry = datetime.datetime.fromisoformat(four["event"]["expirytime"].replace("Z", "+00:00")).timestamp()
    assert begin + 7199 < expiry < time.time() + 7201
    assert sluice("queue", "cancel", "q", "2") == "cancelled #2 of q\n"
    assert sluice("queue", "cancel", "q", "1", "--json") == '{"cancelled":true}\n'
    assert "settled: event 2 of queue 'q' was acknowledged, cancelled" in sluice("queue", "cancel", "q", "2", status=1)
    assert "not delayed any more" in sluice("queue", "cancel", "q", "4", status=1)
    assert "above 0" in sluice("queue", "cancel", "q", "x", status=2)
    assert "unexpected argument '4'" in sluice("queue", "cancel", "q", "3", "4", status=2)
    refused = sluice("pub", "q", "--delay", "1h", "--ttl", "30m", "x", status=2)
    assert "--ttl 30m includes --delay 1h and must be longer: these events would expire undelivered" in refused
    for nothing in ("0s", "0", "0.1ns"):  # they would expire as they arrive
        refused = sluice("pub", "q", "--ttl", nothing, "x", status=2)
        assert refused == "sluice: --ttl must be a duration above 0 like 1500ms, 30s or 2h, at most 3660d\n"
    assert "is not a duration; write it like 250ms, 2s or 1m, at most 3660d" in sluice(
        "pub", "q", "--ttl", "4000d", "x", status=2)
    answer = s.publish("q", "x", {"Sluice-TTL": "30m", "Sluice-Delay": "1h"})
    assert answer.status == 400 and answer.json["detail"] == (
        "Sluice-TTL 30m includes Sluice-Delay 1h and must be longer: these events would expire undelivered")
    assert "give one of them" in sluice("pub", "q", "--delay", "1s", "--not-before", stamp(1), "x", status=2)
    assert "--not-before" in sluice("pub", "q", "--not-before", "noon", "x", status=2)
    assert [e["sequence"] for e in delayed(s)] == [3] and balanced_ledger(s)["purged"] == 2
