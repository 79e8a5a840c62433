"""Compatibility with Dapr: its dialect of pushing events, and its call to publish them."""
import json

from pushing import application, gigabyte, ledger, get_subscription, named, subscribe, until_acked


def test_the_dapr_dialect_sends_structured_events_and_reads_the_status_in_the_body(named, application):
    words = {1: b'{"status": "RETRY"}', 2: b'{"status": "SUCCESS"}', 3: b'{"status": "DROP"}', 4: b"ok",
             5: b'{"status": "?"}'}
    app = application(lambda h, n: h.respond(200, {"Content-Type": "application/json"}, words.get(n, b"")))
    named.declare("q", backoff="0s")
    subscribe(named, app.url, dialect="dapr")
    assert named.http("POST", "/v1.0/publish/sluice/q", {"n": 1}, {"Content-Type": "application/json"}).status == 204
    got = app.wait(2)
    assert got[0].headers["Content-Type"] == "application/cloudevents+json" and got[0].body == got[1].body
    event = json.loads(got[0].body)
    assert (event["type"], event["topic"], event["pubsubname"]) == ("com.dapr.event.sent", "q", "sluice")
    assert event["data"] == {"n": 1} and event["source"] == "shop"
    assert [r.headers["Sluice-Attempt"] for r in got] == ["1", "2"]
    for data in ("dropped", "fine", "again"):
        named.publish("q", data)
    app.wait(6)
    until_acked(named, 3)
    totals = ledger(named)
    assert (totals["dead_lettered"], totals["remaining"]) == (1, 0)
    dead = named.http("GET", "/v1/queues/q/peek?state=dead").json["events"][0]
    assert dead["event"]["data"] == "dropped" and dead["trouble"]["reason"] == "dropped_by_app"
    assert dead["trouble"]["error"] == "the application answered 200, status DROP"
    results = get_subscription(named)["results"]
    assert (results["acked"], results["dropped"],
            results["failed"]) == (3, 1, 2) and get_subscription(named)["dialect"] == "dapr"


def test_the_dapr_dialect_makes_404_a_dead_letter_and_a_gigabyte_a_failure(named, application):
    app = application(lambda h, n: gigabyte(h, n) if n == 1 else h.respond(404 if n == 2 else 200))
    named.declare("q", backoff="0s")
    subscribe(named, app.url, dialect="dapr")
    named.publish("q", "nobody's")
    named.publish("q", "mine")
    until_acked(named, 1)
    dead = named.http("GET", "/v1/queues/q/peek?state=dead").json["events"][0]
    assert (dead["trouble"]["status"], dead["trouble"]["reason"], dead["attempt"]) == (404, "dropped_by_app", 2)


def test_dapr_clients_can_publish(named):
    def publish(path, body, kind="application/json"):
        return named.http("POST", "/v1.0/publish/" + path, body, {"Content-Type": kind} if kind else {})

    event = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "data": [1]}
    assert publish("sluice/q", event, "application/cloudevents+json").status == 204
    assert publish("sluice/q?metadata.rawPayload=true", "raw", "text/plain").status == 204
    first, second = named.take("q", max=2, wait="20s").json["events"]
    assert (first["event"]["id"], first["event"]["topic"]) == ("7", "q") and second["event"]["data"] == "raw"
    for path, status, code in (("pubsub/q", 404, "ERR_PUBSUB_NOT_FOUND"),
                               ("sluice/nowhere", 404, "ERR_PUBSUB_NOT_FOUND"),
                               ("sluice/q?metadata.ttlInSeconds=5s", 400, "ERR_PUBSUB_REQUEST_METADATA")):
        answer = publish(path, "x")
        assert (answer.status, answer.json["errorCode"]) == (status, code) and answer.json["message"]
    named.declare("tiny", capacity=1, overflow="reject")
    assert publish("sluice/tiny", "x").status == 204
    full = publish("sluice/tiny", "x")
    assert (full.status, full.json["errorCode"]) == (500, "ERR_PUBSUB_PUBLISH_MESSAGE") and full.headers["Retry-After"]


def test_a_dapr_topic_may_be_a_topic(named):
    assert named.http("PUT", "/v1/topics/news", {}).status == 201
    assert named.http("PUT", "/v1/topics/news/bindings/q", {}).status in (200, 201)
    answer = named.http("POST", "/v1.0/publish/sluice/news", "x", {"Content-Type": "text/plain"})
    assert answer.status == 204
    event = named.take("q", wait="20s").json["events"][0]["event"]
    assert (event["data"], event["topic"]) == ("x", "news")
