"""What the application answers to a push, from 200 to garbage, and what that means for the event and the
subscription."""
import re
import threading

import pytest

from conftest import BIN, until
from pushing import (PATIENCE, application, blocked, get_subscription, gigabyte, ledger, named, subscribe, until_acked,
                     until_state)


# ------------------------------------------------------------------ the meaning of the status


def test_an_error_status_is_a_failure_and_the_event_is_redelivered_as_attempt_two(named, application):
    app = application(lambda h, n: h.respond(500 if n == 1 else 200))
    subscribe(named, app.url)
    named.publish("q")
    got = app.wait(2)
    assert [r.headers["Sluice-Attempt"] for r in got[:2]] == ["1", "2"]
    until_acked(named, 1)
    s = get_subscription(named)
    assert (s["results"]["failed"], s["results"]["acked"]) == (1, 1)
    assert s["last_error"] == "the application answered 500" and s["last_status"] == 200


def test_the_body_of_an_error_is_recorded_with_the_event(named, application):
    named.declare("q", max_deliveries=1)
    app = application(lambda h, n: h.respond(422, body="no such user: Zoë\n".encode() if n == 1 else b"\0" * 5000))
    subscribe(named, app.url)
    named.publish("q")
    named.publish("q")
    until(lambda: named.http("GET", "/v1/queues/q").json["dead"] == 2)
    errors = [e["trouble"]["error"] for e in named.http("GET", "/v1/queues/q/peek?state=dead").json["events"]]
    assert errors == ["the application answered 422: no such user: Zoë", "the application answered 422"]
    assert get_subscription(named)["last_error"] == "the application answered 422"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_by_the_whole_subscription(named, application, status):
    app = application(lambda h, n: h.respond(status, {"Retry-After": "2"}) if n == 1 else h.respond(200))
    subscribe(named, app.url)
    named.publish("q", "first")
    app.wait(1)
    s = until_state(named, "throttled")
    assert 0 < s["retry_in_seconds"] <= 2 and str(status) in s["detail"]
    told = until(lambda: (lambda e: e if e["state"] == "delayed" else None)(
        named.http("GET", "/v1/queues/q/events/1").json))
    [attempt] = told["attempts"]
    assert (attempt["outcome"], attempt["status"]) == ("deferred", status) and str(status) in attempt["error"]
    named.publish("q", "second")
    got = app.wait(3)
    assert got[1].at - got[0].at >= 1.9
    assert {r.body for r in got[1:]} == {b"first", b"second"}
    until_acked(named, 2)
    s = get_subscription(named)
    assert (s["results"]["throttled"], s["state"], s["detail"]) == (1, "active", None)
    logged = re.findall("subscription s is ([a-z]+)", named.log.read_text())
    assert logged == ["throttled", "active"]
    assert [r.headers["Sluice-Attempt"] for r in got if r.body == b"first"] == ["1", "2"]


def test_long_throttling_makes_no_event_dead(named, application):
    named.declare("q", max_deliveries=1)
    app = application(lambda h, n: h.respond(429, {"Retry-After": "0"}) if n <= 12 else h.respond(200))
    subscribe(named, app.url, concurrency=4)
    for i in range(4):
        named.publish("q", str(i))
    until_acked(named, 4)
    assert get_subscription(named)["results"]["throttled"] == 12
    totals = ledger(named)
    assert (totals["dead_lettered"], totals["remaining"]) == (0, 0)


def test_429_without_retry_after_is_an_ordinary_failure(named, application):
    app = application(lambda h, n: h.respond(429 if n == 1 else 200))
    subscribe(named, app.url)
    named.publish("q")
    app.wait(2)
    assert get_subscription(named)["results"]["failed"] == 1


def test_410_stops_the_subscription_until_it_is_put_again(named, application):
    app = application(lambda h, n: h.respond(410 if n == 1 else 200))
    subscribe(named, app.url)
    named.publish("q")
    app.wait(1)
    s = until_state(named, "stopped")
    assert (s["results"]["gone"], s["last_status"]) == (1, 410)
    until(lambda: named.http("GET", "/v1/queues/q").json["ready"] == 1)
    # The event was returned without counting an attempt.
    assert named.take("q", wait="10s").json["events"][0]["attempt"] == 1
    named.publish("q", "other")
    subscribe(named, app.url)
    assert app.wait(2)[1].body == b"other"


def test_a_redirect_is_not_followed(named, application):
    elsewhere = application()
    app = application(lambda h, n: h.respond(302, {"Location": elsewhere.url}) if n == 1 else h.respond(200))
    subscribe(named, app.url)
    named.publish("q")
    app.wait(2)
    until_acked(named, 1)
    assert elsewhere.requests == [] and get_subscription(named)["results"]["failed"] == 1


# ------------------------------------------------------------------ applications that misbehave


def test_no_answer_in_time_is_a_failure_and_holds_up_nothing_else(named, application):
    release = threading.Event()
    app, other = application(blocked(release)), application()
    named.declare("other")
    subscribe(named, app.url, timeout="300ms")
    subscribe(named, other.url, name="other", queue="other")
    named.publish("q")
    app.wait(1)
    named.publish("other")
    other.wait(1)
    assert [r.headers["Sluice-Attempt"] for r in app.wait(2)[:2]] == ["1", "2"]
    release.set()
    until_acked(named, 1)
    s = get_subscription(named)
    assert s["results"]["failed"] == 1 and "no answer in time" in s["last_error"]


def test_the_timeout_is_clipped_to_the_lease(named, application):
    release = threading.Event()
    app = application(blocked(release))
    named.declare("q", lease="600ms")
    subscribe(named, app.url, timeout="10m")
    named.publish("q")
    got = app.wait(2)
    release.set()
    until_acked(named, 1)
    assert get_subscription(named)["results"]["failed"] == 1 and got[1].headers["Sluice-Attempt"] == "2"


def endless_headers(handler, number):
    if number > 1:
        handler.respond(200)
        return
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(1 << 16):
        handler.wfile.write(b"X-%d: %s\r\n" % (i, b"x" * 1000))


def garbage(handler, number):
    if number > 1:
        handler.respond(200)
        return
    handler.wfile.write(bytes(range(256)) * 16)
    handler.close_connection = True


def half_an_answer(handler, number):
    if number > 1:
        handler.respond(200)
        return
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    handler.close_connection = True


def hang_up(handler, number):
    if number > 1:
        handler.respond(200)
        return
    handler.close_connection = True


def encoded(name):
    def behave(handler, number):
        if number > 1:
            handler.respond(200)
            return
        handler.respond(200, {"Transfer-Encoding": f"{name}, chunked"}, b"3\r\n\x1f\x8b\x08\r\n0\r\n\r\n")
        handler.close_connection = True
    return behave


def chunked(handler, number):
    handler.respond(200, {"Transfer-Encoding": "Chunked"}, b"3\r\nyes\r\n0\r\n\r\n")


def test_a_chunked_answer_is_understood(named, application):
    app = application(chunked)
    subscribe(named, app.url)
    named.publish("q", "1")
    named.publish("q", "2")
    until_acked(named, 2)
    assert len(app.requests) == 2


@pytest.mark.parametrize("behave", [gigabyte, endless_headers, garbage, half_an_answer, hang_up, encoded("gzip"),
                                    encoded("br"), encoded("zstd"), encoded("deflate")])
def test_an_invalid_or_oversized_answer_is_a_failure(named, application, behave):
    app = application(behave)
    subscribe(named, app.url)
    named.publish("q")
    got = app.wait(2)
    until_acked(named, 1)
    s = get_subscription(named)
    assert s["results"]["failed"] == 1 and got[1].headers["Sluice-Attempt"] == "2", s
    with open(f"/proc/{named.popen.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    assert peak < 20000 or "san" in str(BIN)


def test_an_event_lost_with_a_closing_connection_comes_as_another_attempt(named, application):
    """The application closes the connection after each answer without announcing it. It may have seen an event sent
    into such a connection, so the event must not be sent again under the same attempt."""
    def behave(handler, number):
        handler.respond(200)
        handler.close_connection = True
    app = application(behave)
    subscribe(named, app.url)
    for i in range(30):
        named.publish("q", str(i))
    until_acked(named, 30)
    seen = [(int(r.body), r.headers["Sluice-Attempt"]) for r in app.requests]
    assert len(seen) == len(set(seen)) and {body for body, _ in seen} == set(range(30))


def test_an_interim_answer_is_ignored(named, application):
    """Only the final answer counts; headers of interim (1xx) answers have no effect."""
    def behave(handler, number):
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nRetry-After: 3600\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        handler.respond(503 if number == 1 else 200)
    app = application(behave)
    subscribe(named, app.url)
    named.publish("q")
    until_acked(named, 1)
    assert [r.headers["Sluice-Attempt"] for r in app.requests] == ["1", "2"]
    assert get_subscription(named)["results"]["failed"] == 1


def test_an_unrequested_protocol_switch_is_a_failure(named, application):
    def behave(handler, number):
        if number > 1:
            handler.respond(200)
            return
        handler.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\nother")
        handler.close_connection = True
    app = application(behave)
    subscribe(named, app.url)
    named.publish("q")
    until_acked(named, 1)
    assert get_subscription(named)["results"]["failed"] == 1 and app.requests[1].headers["Sluice-Attempt"] == "2"


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_a_surplus_answer_does_not_count_for_a_later_event(named, application, late):
    """The application answers the first request twice and does not answer the second, whose connection it closes."""
    said = threading.Event()

    def behave(handler, number):
        if number == 1:
            handler.respond(200)
            if late:
                until_acked(named, 1)
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            said.set()
        elif number == 2:
            handler.close_connection = True
        else:
            handler.respond(200)
    app = application(behave)
    subscribe(named, app.url)
    named.publish("q", "1")
    assert said.wait(PATIENCE)
    named.publish("q", "2")
    got = app.wait(3)
    until_acked(named, 2)
    assert [(r.body, r.headers["Sluice-Attempt"]) for r in got] == [(b"1", "1"), (b"2", "1"), (b"2", "2")]
