"""Pushing events to an application: what arrives there, unreachable applications and brokers, concurrency, changes of a
subscription while it runs, drain and takeover. What the application's answers mean: test_push_answers.py."""
import http.client
import http.server
import json
import os
import threading
import time

import pytest

from conftest import BIN, free_port, until
from pushing import (PATIENCE, application, blocked, ledger, get_subscription, named, subscribe, until_acked,
                     until_state)


# ------------------------------------------------------------------ the request


def test_an_event_arrives_in_binary_mode_and_2xx_acks_it(named, application):
    app = application()
    made = subscribe(named, app.url)
    assert (made["state"], made["managed"], made["kept"]) == ("active", None, "by the broker")
    event = {"specversion": "1.0", "id": "ä 1%", "source": "/shop", "type": "order.placed", "subject": "a\"b",
             "time": "2024-05-06T07:08:09.120Z", "datacontenttype": "application/json", "n": 7, "empty": "",
             "data": {"item": 1.0}}
    assert named.http("POST", "/v1/queues/q/events", json.dumps(event),
                      {"Content-Type": "application/cloudevents+json"}).status == 202
    got = app.wait(1)[0]
    assert (got.method, got.path) == ("POST", "/events")
    expected = {"ce-specversion": "1.0", "ce-id": "%C3%A4%201%25", "ce-source": "/shop", "ce-type": "order.placed",
                "ce-subject": "a%22b", "ce-time": "2024-05-06T07:08:09.120Z", "ce-n": "7", "ce-empty": "",
                "Content-Type": "application/json", "Sluice-Queue": "q", "Sluice-Sequence": "1", "Sluice-Attempt": "1"}
    assert {name: got.headers[name] for name in expected} == expected
    assert int(got.headers["Sluice-Consumer-Epoch"]) >= 1 and got.headers["ce-datacontenttype"] is None
    assert got.headers["Expect"] is None and got.headers["WebHook-Request-Origin"] is None
    assert json.loads(got.body) == {"item": 1.0}
    until_acked(named, 1)
    after = get_subscription(named)
    assert after["results"]["acked"] == 1 and after["last_status"] == 204 and after["in_flight"] == 0


def test_a_thousand_events_are_pushed_in_order(named, application):
    app = application()
    subscribe(named, app.url)
    for first in range(0, 1000, 250):
        batch = [{"specversion": "1.0", "id": str(i), "source": "/s", "type": "t", "data": i}
                 for i in range(first, first + 250)]
        assert named.http("POST", "/v1/queues/q/events", json.dumps(batch),
                          {"Content-Type": "application/cloudevents-batch+json"}).status == 202
    assert [int(r.body) for r in app.wait(1000)] == list(range(1000))
    until_acked(named, 1000)
    assert app.most_at_once == 1


@pytest.mark.parametrize("size", [0, 1, 70000, 1000000])
def test_bodies_of_any_size_arrive_whole(named, application, size):
    app = application()
    subscribe(named, app.url)
    body = os.urandom(size)
    assert named.http("POST", "/v1/queues/q/events", body, {"Content-Type": "application/octet-stream"}).status == 202
    assert app.wait(1)[0].body == body
    until_acked(named, 1)


def test_a_plain_body_is_pushed_as_the_event_it_was_wrapped_into(named, application):
    app = application()
    subscribe(named, app.url)
    assert named.http("POST", "/v1/queues/q/events", "plain", {"Content-Type": "text/plain"}).status == 202
    got = app.wait(1)[0]
    assert (got.headers["ce-type"], got.headers["ce-source"], got.headers["Content-Type"]) == (
        "sluice.event", "/shop", "text/plain")


def test_an_idle_push_connection_does_not_block_a_single_connection_application(named):
    served = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # it keeps its only connection until the other end closes it

        def do_POST(self):
            served.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
        do_GET = lambda self: self.send_error(404)
        log_message = lambda *_: None
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as app:
        threading.Thread(target=app.serve_forever, daemon=True).start()
        address = "127.0.0.1:%d" % app.server_address[1]
        subscribe(named, f"http://{address}/")
        for event in (b"first", b"second"):
            named.publish("q", event)
            until(lambda: served[-1:] == [event])
            probe = http.client.HTTPConnection(address, timeout=PATIENCE)
            probe.request("GET", "/", headers={"Connection": "close"})
            assert probe.getresponse().status == 404
        until_acked(named, 2)
        app.shutdown()


def test_attributes_too_large_for_headers_are_a_failure_and_hold_up_nothing(named, application):
    app = application()
    named.declare("q", max_deliveries=1)
    # Each é takes six bytes in a header.
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "long": "é" * 300000}
    assert named.http("POST", "/v1/queues/q/events", json.dumps(event, ensure_ascii=False),
                      {"Content-Type": "application/cloudevents+json"}).status == 202
    named.publish("q", "next")
    subscribe(named, app.url)
    assert app.wait(1)[0].body == b"next"
    dead = named.http("GET", "/v1/queues/q/peek?state=dead").json["events"]
    assert "too large for an HTTP request's headers" in dead[0]["trouble"]["error"]


# ------------------------------------------------------------------ the application, queue or broker is away


def test_a_refused_connection_is_not_counted_as_a_failure(named, application):
    port = free_port()
    subscribe(named, f"http://127.0.0.1:{port}/x", concurrency=4)
    for i in range(6):
        named.publish("q", str(i))
    until(lambda: get_subscription(named)["results"]["unreachable"] >= 2)
    s = get_subscription(named)
    assert s["state"] == "unreachable" and "onnect" in s["detail"], s
    app = application(address=("127.0.0.1", port))
    got = app.wait(6)
    until_acked(named, 6)
    assert {r.headers["Sluice-Attempt"] for r in got} == {"1"}
    s = get_subscription(named)
    assert s["results"]["failed"] == 0 and s["state"] == "active" and s["detail"] is None


def test_a_slow_dns_lookup_holds_up_nothing_else(cluster, broker, tmp_path):
    library, resolved = BIN.parent / "lib/libslow_resolver.so", tmp_path / "resolved"
    assert library.exists()
    s = cluster.sidecar(broker, "--app-name", "shop", "--push-allow", "slow.test", environment={
        "LD_PRELOAD": str(library), "SLOW_RESOLVER": str(resolved), "ASAN_OPTIONS": "verify_asan_link_order=0"})
    try:
        s.declare("q")
        subscribe(s, "http://slow.test/", timeout="100ms", concurrency=2)
        s.publish("q")
        assert "Resolving timed out" in until_state(s, "unreachable")["detail"]
        assert s.publish("q").status == 202
    finally:
        resolved.touch()
    assert s.stop() == 0


def test_a_missing_queue_is_waited_for(named, application):
    app = application()
    subscribe(named, app.url, queue="later")
    s = until_state(named, "no_queue")
    assert s["detail"] == "there is no queue 'later'; declare it first; if that is a topic, name a queue bound to it"
    named.declare("later")
    until(lambda: get_subscription(named)["state"] == "active")
    assert get_subscription(named)["detail"] is None
    named.publish("later")
    app.wait(1)
    until_acked(named, 1, "later")
    s = get_subscription(named)
    assert (s["state"], s["detail"]) == ("active", None)


def test_a_missing_queue_is_logged_once_and_so_is_its_arrival(named, application):
    app = application()
    subscribe(named, app.url, queue="later")

    def logged(what):
        return [line for line in named.log.read_text().splitlines() if f"subscription s is {what}" in line]
    until_state(named, "no_queue")
    time.sleep(2)  # it is looked for after 0.25 s, doubling
    assert len(logged("no_queue")) == 1 and logged("active") == []
    named.declare("later")
    for number in (1, 2):
        named.publish("later")
        app.wait(number)
    until_acked(named, 2, "later")
    assert (len(logged("no_queue")), len(logged("active"))) == (1, 1)
    assert named.ops("DELETE", "/v1/queues/later").status == 204
    until_state(named, "no_queue")  # again: this is news
    assert len(logged("no_queue")) >= 2


def test_a_drained_subscription_reports_no_detail_of_its_state_before(named, application):
    subscribe(named, application().url, queue="later")
    until_state(named, "no_queue")
    assert named.ops("POST", "/v1/drain").status == 200
    assert until_state(named, "draining")["detail"] is None


def test_it_survives_a_restart_of_the_broker(cluster, application, tmp_path):
    app = application()
    broker = cluster.broker()
    s = cluster.sidecar(broker, "--app-name", "shop")
    s.declare("q")
    subscribe(s, app.url)
    s.publish("q", "before")
    app.wait(1)
    until_acked(s, 1)
    broker.kill()
    cluster.broker("--ingress", broker.ready["ingress"], listen=broker.ready["broker"])
    s.wait_attached()
    assert s.publish("q", "after", query="?wait=20s").status == 202
    app.wait(2)
    until(lambda: s.http("GET", "/v1/queues/q").json["backlog"] == 0)


# ------------------------------------------------------------------ concurrency, the turn, changes while it runs


def test_an_answer_given_while_the_broker_is_away_settles_the_event_later(cluster, application, tmp_path):
    listen = f"ipc://{tmp_path}/broker"
    broker = cluster.broker(listen=listen)
    s = cluster.sidecar(broker, "--app-name", "shop")
    s.declare("q", lease="5m")
    release = threading.Event()
    app = application(blocked(release))
    subscribe(s, app.url)
    s.publish("q", "once")
    app.wait(1)
    broker.kill()
    release.set()
    until(lambda: get_subscription(s)["results"]["acked"] == 1)
    # An ack by HTTP is answered as unknown after 5 s. The push's ack was sent before it and has waited longer.
    assert s.ack("q", "AQEB.0").json["results"][0]["result"] == "unknown"
    cluster.broker(listen=listen)
    s.wait_attached()
    s.publish("q", "next")
    until_acked(s, 2)
    assert [(r.body, r.headers["Sluice-Attempt"]) for r in app.requests] == [(b"once", "1"), (b"next", "1")]


def test_concurrency_limits_parallel_pushes_and_nothing_beyond_is_fetched(named, application):
    release = threading.Event()

    def behave(handler, number):
        release.wait(PATIENCE)
        handler.respond(200)
    app = application(behave)
    subscribe(named, app.url, concurrency=5)
    for i in range(20):
        named.publish("q", str(i))
    app.wait(5)
    queue = named.http("GET", "/v1/queues/q").json
    assert (queue["in_flight"], queue["ready"]) == (5, 15)
    assert get_subscription(named)["in_flight"] == 5
    release.set()
    until_acked(named, 20)
    assert app.most_at_once == 5


def test_takes_and_subscriptions_share_the_turn(named, application):
    release = threading.Event()
    app = application(blocked(release))
    subscribe(named, app.url)
    named.publish("q", "pushed")
    app.wait(1)
    named.publish("q", "taken")
    taken = named.take("q", wait="10s").json["events"]
    assert [e["event"]["data"] for e in taken] == ["taken"]
    release.set()


def test_settings_can_change_while_a_subscription_runs(named, application):
    release = threading.Event()
    app, second = application(blocked(release)), application()
    subscribe(named, app.url)
    named.publish("q", "old")
    app.wait(1)
    changed = subscribe(named, second.url, concurrency=2)
    assert (changed["url"], changed["in_flight"]) == (second.url, 1)
    named.publish("q", "new")
    assert second.wait(1)[0].body == b"new"
    release.set()
    until_acked(named, 2)


@pytest.mark.parametrize("status,headers", [(410, {}), (429, {"Retry-After": "600"})])
def test_a_late_answer_from_an_earlier_url_does_not_change_the_state(named, application, status, headers):
    release = threading.Event()

    def behave(handler, number):
        release.wait(PATIENCE)
        handler.respond(status, headers)
    app, second = application(behave), application()
    subscribe(named, app.url)
    named.publish("q", "old")
    app.wait(1)
    subscribe(named, second.url, concurrency=2)
    release.set()
    until(lambda: get_subscription(named)["in_flight"] == 0)
    assert get_subscription(named)["state"] == "active"
    named.publish("q", "new")
    assert b"new" in [r.body for r in second.wait(1 if status == 429 else 2)]


def test_a_late_answer_from_before_the_handshake_starts_no_pushes(named, application):
    release = threading.Event()

    def behave(handler, number):
        if handler.command == "OPTIONS":
            handler.respond(200)
            return
        release.wait(PATIENCE)
        handler.respond(429, {"Retry-After": "0"})
    app = application(behave)
    subscribe(named, app.url)
    named.publish("q", "old")
    app.wait(1)
    subscribe(named, app.url, handshake=True)
    until_state(named, "refused")
    release.set()
    until(lambda: get_subscription(named)["results"]["throttled"] == 1)
    asked = app.wait(len(app.requests) + 2)
    assert [r.method for r in asked].count("POST") == 1


def test_delete_lets_pushes_under_way_end(named, application):
    release = threading.Event()
    app = application(blocked(release))
    subscribe(named, app.url)
    named.publish("q", "one")
    app.wait(1)
    named.publish("q", "two")
    assert named.http("DELETE", "/v1/subscriptions/s").status == 204
    assert named.http("GET", "/v1/subscriptions/s").status == 404
    release.set()
    until_acked(named, 1)
    assert named.http("GET", "/v1/queues/q").json["ready"] == 1 and len(app.requests) == 1


# ------------------------------------------------------------------ drain, shutdown and takeover


def test_a_drain_lets_pushes_end_and_starts_none(cluster, broker, application):
    release = threading.Event()
    app = application(blocked(release))
    s = cluster.sidecar(broker, "--app-name", "shop", "--drain-limit", "20s")
    s.declare("q")
    subscribe(s, app.url)
    for i in range(3):
        s.publish("q", str(i))
    app.wait(1)
    answers = []
    drain = threading.Thread(target=lambda: answers.append(s.ops("POST", "/v1/drain")))
    drain.start()
    until_state(s, "draining")
    assert s.http("PUT", "/v1/subscriptions/t", {"queue": "q", "url": app.url}).json["reason"] == "draining"
    release.set()
    drain.join()
    assert answers[0].json["drained"] is True
    state = s.http("GET", "/v1/queues/q").json
    assert (state["ready"], state["in_flight"], state["ledger"]["acked"]) == (2, 0, 1) and len(app.requests) == 1


def test_shutdown_waits_for_the_applications_answer(cluster, broker, application):
    release = threading.Event()
    app = application(blocked(release))
    s, watcher = cluster.sidecar(broker, "--app-name", "shop", "--drain-limit", "20s"), cluster.sidecar(broker)
    s.declare("q")
    subscribe(s, app.url)
    s.publish("q")
    app.wait(1)
    s.popen.terminate()
    release.set()
    assert s.wait(PATIENCE) == 0
    assert ledger(watcher)["acked"] == 1


def test_a_second_sidecar_stands_by_and_takes_over(cluster, broker, application):
    app = application()
    first, second = (cluster.sidecar(broker, "--app-name", "shop") for _ in range(2))
    first.declare("q")
    subscribe(first, app.url)
    first.publish("q", "one")
    app.wait(1)
    subscribe(second, app.url)
    until_state(second, "standby")
    assert first.stop() == 0
    second.publish("q", "two")
    app.wait(2)
    until_state(second, "active")
