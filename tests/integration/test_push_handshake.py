"""The webhook handshake: a subscription with `handshake` asks the application for permission before it pushes
anything."""
import threading

from conftest import until
from pushing import PATIENCE, application, get_subscription, named, subscribe, until_acked, until_state


def test_the_handshake_comes_first_and_every_push_carries_its_origin(named, application):
    app = application(lambda h, n: h.respond(200, {"WebHook-Allowed-Origin": "shop", "WebHook-Allowed-Rate": "*"}))
    named.publish("q")
    subscribe(named, app.url, handshake=True)
    got = app.wait(2)
    assert [r.method for r in got] == ["OPTIONS", "POST"]
    assert [r.headers["WebHook-Request-Origin"] for r in got] == ["shop", "shop"]
    # No body: it would have come from the sidecar's standard input, which libcurl reads by default.
    assert not {"Content-Length", "Transfer-Encoding"} & set(got[0].headers)
    until_acked(named, 1)


def test_a_refused_handshake_is_retried_and_nothing_is_pushed(named, application):
    def behave(handler, number):
        handler.respond(200, {"WebHook-Allowed-Origin": "*"} if number > 2 else {})
    app = application(behave)
    named.publish("q")
    subscribe(named, app.url, handshake=True)
    s = until_state(named, "refused")
    assert "WebHook-Allowed-Origin" in s["detail"]
    assert [r.method for r in app.wait(4)] == ["OPTIONS", "OPTIONS", "OPTIONS", "POST"]
    until_acked(named, 1)


def hangs_on_options(release):
    def behave(handler, number):
        if handler.command == "OPTIONS":
            release.wait(PATIENCE)
        handler.respond(200, {"WebHook-Allowed-Origin": "*"})
    return behave


def test_a_hanging_handshake_is_cancelled_when_its_subscription_changes(named, application):
    late, later = threading.Event(), threading.Event()
    app, second = application(hangs_on_options(late)), application(hangs_on_options(later))
    named.publish("q")
    subscribe(named, app.url, handshake=True)
    app.wait(1)
    subscribe(named, second.url)
    second.wait(1)
    late.set()
    until(lambda: app.at_once == 0)
    # The first application's answer does not count for the second.
    assert [get_subscription(named)["state"] for _ in range(3)] == ["handshaking"] * 3
    assert named.http("DELETE", "/v1/subscriptions/s").status == 204
    assert named.http("GET", "/v1/subscriptions/s").status == 404
    subscribe(named, second.url, handshake=True)
    second.wait(2)
    later.set()
    until_acked(named, 1)
    assert [r.method for r in app.requests + second.requests] == ["OPTIONS"] * 3 + ["POST"]


def test_a_sidecar_stops_at_once_during_a_handshake(cluster, broker, application):
    release = threading.Event()
    app = application(hangs_on_options(release))
    s = cluster.sidecar(broker, "--app-name", "shop", "--drain-limit", "1h")
    s.declare("q")
    subscribe(s, app.url, handshake=True)
    app.wait(1)
    assert s.stop() == 0
    release.set()
