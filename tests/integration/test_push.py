"""Push to the application: a real broker and sidecar, and an application that does what each test wants of it."""
import collections
import contextlib
import http.server
import json
import os
import re
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from conftest import BIN, call, run

PATIENCE = 30


class Application:
    """Answers each request as `behave` says and keeps what it got. `behave(handler, number)` is called with the request's
    number from 1; it answers by handler.say(status, headers, body), or does what it likes with handler.connection."""

    def __init__(self, behave=None, address=("127.0.0.1", 0), start=True):
        self.behave = behave or (lambda handler, number: handler.say(204))
        self.requests = []
        self.changed = threading.Condition()
        self.at_once = self.most_at_once = 0
        self.address = address
        self.server = None
        if start:
            self.start()

    def start(self):
        application = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = isinstance(application.address, tuple)

            def address_string(self):
                return "application"

            def log_message(self, *_):
                pass

            def say(self, status, headers=None, body=b""):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                if not {"Content-Length", "Transfer-Encoding"} & set(headers or {}) and status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                number = application.enter(self.command, self.path, self.headers, body)
                try:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        application.behave(self, number)
                finally:
                    application.leave()

            do_POST = do_OPTIONS = do_GET = handle_any

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 128
            address_family = socket.AF_INET if isinstance(application.address, tuple) else socket.AF_UNIX

            def server_bind(self):
                socketserver.TCPServer.server_bind(self)

            def handle_error(self, *_):
                pass

        self.server = Server(self.address, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    @property
    def url(self):
        return "http://127.0.0.1:%d/events" % self.server.server_address[1]

    def enter(self, method, path, headers, body):
        with self.changed:
            self.requests.append(Request(method, path, headers, body, time.monotonic()))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.changed.notify_all()
            return len(self.requests)

    def leave(self):
        with self.changed:
            self.at_once -= 1
            self.changed.notify_all()

    def wait(self, count, patience=PATIENCE):
        """Until it got so many requests; they."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, patience), self.requests
            return list(self.requests)

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()


Request = collections.namedtuple("Request", "method path headers body at")


@pytest.fixture
def application():
    made = []

    def make(*arguments, **more):
        made.append(Application(*arguments, **more))
        return made[-1]
    yield make
    for a in made:
        a.stop()


@pytest.fixture
def named(cluster, broker):
    s = cluster.sidecar(broker, "--app-name", "shop")
    s.declare("q")
    return s


def subscribe(sidecar, url, name="s", **settings):
    answer = sidecar.http("PUT", "/v1/subscriptions/" + name, {"queue": "q", "url": url, **settings})
    assert answer.status in (200, 201), answer.body
    return answer.json


def look(sidecar, name="s"):
    return sidecar.http("GET", "/v1/subscriptions/" + name).json


def until(question, what="nothing of the kind"):
    """Asks until the answer is true; it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(what)


def until_state(sidecar, state, name="s"):
    return until(lambda: (lambda s: s if s["state"] == state else None)(look(sidecar, name)), f"never {state}")


def ledger(sidecar, queue="q"):
    return sidecar.http("GET", f"/v1/queues/{queue}/ledger").json


def until_acked(sidecar, count, queue="q"):
    until(lambda: ledger(sidecar, queue)["acked"] == count, f"never {count} acked")


# ------------------------------------------------------------------ what is pushed


def test_an_event_arrives_in_binary_mode_and_2xx_acks_it(named, application):
    app = application()
    made = subscribe(named, app.url)
    assert (made["state"], made["managed"], made["kept"]) == ("active", None, "by the broker")
    event = {"specversion": "1.0", "id": "ä 1%", "source": "/shop", "type": "order.placed", "subject": "a\"b",
             "time": "2024-05-06T07:08:09.120Z", "datacontenttype": "application/json", "n": 7, "data": {"item": 1.0}}
    assert named.http("POST", "/v1/queues/q/events", json.dumps(event),
                      {"Content-Type": "application/cloudevents+json"}).status == 202
    got = app.wait(1)[0]
    assert (got.method, got.path) == ("POST", "/events")
    expected = {"ce-specversion": "1.0", "ce-id": "%C3%A4%201%25", "ce-source": "/shop", "ce-type": "order.placed",
                "ce-subject": "a%22b", "ce-time": "2024-05-06T07:08:09.120Z", "ce-n": "7",
                "Content-Type": "application/json", "Sluice-Queue": "q", "Sluice-Sequence": "1", "Sluice-Attempt": "1"}
    assert {name: got.headers[name] for name in expected} == expected
    assert int(got.headers["Sluice-Consumer-Epoch"]) >= 1 and got.headers["ce-datacontenttype"] is None
    assert got.headers["Expect"] is None and got.headers["WebHook-Request-Origin"] is None
    assert json.loads(got.body) == {"item": 1.0}
    until_acked(named, 1)
    after = look(named)
    assert after["results"]["acked"] == 1 and after["last_status"] == 204 and after["in_flight"] == 0


def test_order_and_a_thousand_events(named, application):
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


# ------------------------------------------------------------------ what the status decides


def test_an_error_is_a_failure_and_comes_again_with_attempt_two(named, application):
    app = application(lambda h, n: h.say(500 if n == 1 else 200))
    subscribe(named, app.url)
    named.publish("q")
    got = app.wait(2)
    assert [r.headers["Sluice-Attempt"] for r in got[:2]] == ["1", "2"]
    until_acked(named, 1)
    s = look(named)
    assert (s["results"]["failed"], s["results"]["acked"]) == (1, 1)
    assert s["last_error"] == "the application answered 500" and s["last_status"] == 200


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_by_the_whole_subscription(named, application, status):
    app = application(lambda h, n: h.say(status, {"Retry-After": "2"}) if n == 1 else h.say(200))
    subscribe(named, app.url)
    named.publish("q", "first")
    app.wait(1)
    s = until_state(named, "throttled")
    assert 0 < s["retry_in_seconds"] <= 2 and str(status) in s["detail"]
    named.publish("q", "second")
    got = app.wait(3)
    assert got[1].at - got[0].at >= 1.9
    assert {r.body for r in got[1:]} == {b"first", b"second"}
    until_acked(named, 2)
    assert look(named)["results"]["throttled"] == 1 and look(named)["state"] == "active"
    assert [r.headers["Sluice-Attempt"] for r in got if r.body == b"first"] == ["1", "2"]


def test_an_application_that_throttles_for_long_loses_nothing_to_the_dead(named, application):
    named.declare("q", max_deliveries=1)
    app = application(lambda h, n: h.say(429, {"Retry-After": "0"}) if n <= 12 else h.say(200))
    subscribe(named, app.url, concurrency=4)
    for i in range(4):
        named.publish("q", str(i))
    until_acked(named, 4)
    assert look(named)["results"]["throttled"] == 12
    books = ledger(named)
    assert (books["dead_lettered"], books["remaining"]) == (0, 0)


def test_429_without_retry_after_is_a_failure_like_others(named, application):
    app = application(lambda h, n: h.say(429 if n == 1 else 200))
    subscribe(named, app.url)
    named.publish("q")
    app.wait(2)
    assert look(named)["results"]["failed"] == 1


def test_410_stops_the_subscription_until_it_is_put_again(named, application):
    app = application(lambda h, n: h.say(410 if n == 1 else 200))
    subscribe(named, app.url)
    named.publish("q")
    app.wait(1)
    s = until_state(named, "stopped")
    assert (s["results"]["gone"], s["last_status"]) == (1, 410)
    until(lambda: named.http("GET", "/v1/queues/q").json["ready"] == 1)
    assert named.take("q", wait="10s").json["events"][0]["attempt"] == 1  # it went back uncounted
    named.publish("q", "other")
    subscribe(named, app.url)
    assert app.wait(2)[1].body == b"other"


def test_a_redirect_is_not_followed(named, application):
    elsewhere = application()
    app = application(lambda h, n: h.say(302, {"Location": elsewhere.url}) if n == 1 else h.say(200))
    subscribe(named, app.url)
    named.publish("q")
    app.wait(2)
    until_acked(named, 1)
    assert elsewhere.requests == [] and look(named)["results"]["failed"] == 1


# ------------------------------------------------------------------ applications that misbehave


def blocked(release):
    def behave(handler, number):
        if number == 1:
            release.wait(PATIENCE)
        handler.say(200)
    return behave


def test_no_answer_in_time_is_a_failure_and_disturbs_nobody(named, application):
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
    s = look(named)
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
    assert look(named)["results"]["failed"] == 1 and got[1].headers["Sluice-Attempt"] == "2"


def gigabyte(handler, number):
    if number > 1:
        handler.say(200)
        return
    handler.say(200, {"Content-Length": str(1 << 30)})
    for _ in range(1 << 10):
        handler.wfile.write(b"x" * (1 << 20))


def endless_headers(handler, number):
    if number > 1:
        handler.say(200)
        return
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for i in range(1 << 16):
        handler.wfile.write(b"X-%d: %s\r\n" % (i, b"x" * 1000))


def garbage(handler, number):
    if number > 1:
        handler.say(200)
        return
    handler.wfile.write(bytes(range(256)) * 16)
    handler.close_connection = True


def half_an_answer(handler, number):
    if number > 1:
        handler.say(200)
        return
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    handler.close_connection = True


def hang_up(handler, number):
    if number > 1:
        handler.say(200)
        return
    handler.close_connection = True


def encoded(name):
    def behave(handler, number):
        if number > 1:
            handler.say(200)
            return
        handler.say(200, {"Transfer-Encoding": f"{name}, chunked"}, b"3\r\n\x1f\x8b\x08\r\n0\r\n\r\n")
        handler.close_connection = True
    return behave


def chunked(handler, number):
    handler.say(200, {"Transfer-Encoding": "Chunked"}, b"3\r\nyes\r\n0\r\n\r\n")


def test_an_answer_in_chunks_is_one(named, application):
    app = application(chunked)
    subscribe(named, app.url)
    named.publish("q", "1")
    named.publish("q", "2")
    until_acked(named, 2)
    assert len(app.requests) == 2


@pytest.mark.parametrize("behave", [gigabyte, endless_headers, garbage, half_an_answer, hang_up, encoded("gzip"),
                                    encoded("br"), encoded("zstd"), encoded("deflate")])
def test_what_is_no_answer_is_a_failure_and_bounded(named, application, behave):
    app = application(behave)
    subscribe(named, app.url)
    named.publish("q")
    got = app.wait(2)
    until_acked(named, 1)
    s = look(named)
    assert s["results"]["failed"] == 1 and got[1].headers["Sluice-Attempt"] == "2", s
    with open(f"/proc/{named.popen.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    assert peak < 20000 or "san" in str(BIN)


def test_what_was_lost_with_a_closing_connection_comes_as_another_attempt(named, application):
    """The application closes behind each answer without saying so: what went into such a connection may have been seen, so
    it never comes again under the same attempt."""
    def behave(handler, number):
        handler.say(200)
        handler.close_connection = True
    app = application(behave)
    subscribe(named, app.url)
    for i in range(30):
        named.publish("q", str(i))
    until_acked(named, 30)
    seen = [(int(r.body), r.headers["Sluice-Attempt"]) for r in app.requests]
    assert len(seen) == len(set(seen)) and {body for body, _ in seen} == set(range(30))


# ------------------------------------------------------------------ nobody there


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_refused_connection_is_no_failure(named, application):
    port = free_port()
    subscribe(named, f"http://127.0.0.1:{port}/x", concurrency=4)
    for i in range(6):
        named.publish("q", str(i))
    until(lambda: look(named)["results"]["unreachable"] >= 2)
    s = look(named)
    assert s["state"] == "unreachable" and "onnect" in s["detail"], s
    app = application(address=("127.0.0.1", port))
    got = app.wait(6)
    until_acked(named, 6)
    assert {r.headers["Sluice-Attempt"] for r in got} == {"1"}
    s = look(named)
    assert s["results"]["failed"] == 0 and s["state"] == "active" and s["detail"] is None


def test_a_queue_that_is_not_there_is_waited_for(named, application):
    app = application()
    subscribe(named, app.url, queue="later")
    s = until_state(named, "no_queue")
    assert "later" in s["detail"]
    named.declare("later")
    named.publish("later")
    app.wait(1)
    until_acked(named, 1, "later")


def test_a_broker_s_restart_is_outlived(cluster, application, tmp_path):
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


# ------------------------------------------------------------------ slots


def test_concurrency_is_what_is_at_the_application_at_once_and_nothing_beyond_is_fetched(named, application):
    release = threading.Event()

    def behave(handler, number):
        release.wait(PATIENCE)
        handler.say(200)
    app = application(behave)
    subscribe(named, app.url, concurrency=5)
    for i in range(20):
        named.publish("q", str(i))
    app.wait(5)
    queue = named.http("GET", "/v1/queues/q").json
    assert (queue["in_flight"], queue["ready"]) == (5, 15)
    assert look(named)["in_flight"] == 5
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


def test_settings_change_while_it_runs(named, application):
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


def test_delete_lets_what_is_under_way_end(named, application):
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


# ------------------------------------------------------------------ handshake


def test_the_handshake_comes_first_and_its_origin_with_every_push(named, application):
    app = application(lambda h, n: h.say(200, {"WebHook-Allowed-Origin": "shop", "WebHook-Allowed-Rate": "*"}))
    named.publish("q")
    subscribe(named, app.url, handshake=True)
    got = app.wait(2)
    assert [r.method for r in got] == ["OPTIONS", "POST"]
    assert [r.headers["WebHook-Request-Origin"] for r in got] == ["shop", "shop"]
    until_acked(named, 1)


def test_without_leave_nothing_is_pushed_and_it_is_asked_again(named, application):
    def behave(handler, number):
        handler.say(200, {"WebHook-Allowed-Origin": "*"} if number > 2 else {})
    app = application(behave)
    named.publish("q")
    subscribe(named, app.url, handshake=True)
    s = until_state(named, "refused")
    assert "WebHook-Allowed-Origin" in s["detail"]
    assert [r.method for r in app.wait(4)] == ["OPTIONS", "OPTIONS", "OPTIONS", "POST"]
    until_acked(named, 1)


# ------------------------------------------------------------------ drain and the end


def test_a_drain_lets_pushes_end_and_begins_none(cluster, broker, application):
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


def test_stopping_waits_for_the_application_s_answer(cluster, broker, application):
    release = threading.Event()
    app = application(blocked(release))
    s, watcher = cluster.sidecar(broker, "--app-name", "shop", "--drain-limit", "20s"), cluster.sidecar(broker)
    s.declare("q")
    subscribe(s, app.url)
    s.publish("q")
    app.wait(1)
    s.popen.terminate()
    release.set()
    assert s.popen.wait(PATIENCE) == 0
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


# ------------------------------------------------------------------ where to


def test_a_unix_socket(named, application, tmp_path):
    path = str(tmp_path / "app.sock")
    app = application(address=path)
    subscribe(named, f"unix:{path}:/in?x=1")
    named.publish("q", "by socket")
    got = app.wait(1)[0]
    assert (got.path, got.body, got.headers["Host"]) == ("/in?x=1", b"by socket", "localhost")
    until_acked(named, 1)


@pytest.mark.parametrize("url,says", [
    ("http://example.com/", "push.allow"), ("http://10.0.0.1/", "push.allow"), ("http://[::2]/", "push.allow"),
    ("http://127.evil.example/", "push.allow"), ("http://127.0.0.1@example.com/", "user or password"),
    ("https://127.0.0.1/", "TLS"), ("file:///etc/passwd", "http://"), ("http://127.0.0.1:99999/", "http://"),
    ("http://127.0.0.1/#x", "percent-encoded"), ("http://127.0.0.1/a b", "percent-encoded"), ("unix:x", "unix:/SOCKET"),
    ("http://example.com\\@127.0.0.1/", "percent-encoded"), ("", "1 to 2048"),
])
def test_urls_that_are_refused(named, url, says):
    answer = named.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": url})
    assert answer.status == 400 and says in answer.json["detail"], answer.body


def test_a_host_beyond_loopback_that_is_listed(cluster, broker):
    s = cluster.sidecar(broker, "--app-name", "shop", "--push-allow", "example.invalid:81")
    assert s.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": "http://example.invalid:82/"}).status == 400
    assert subscribe(s, "http://example.invalid:81/")["state"] == "active"


# ------------------------------------------------------------------ calls


def test_calls_and_what_they_refuse(named, application):
    app = application()
    path = "/v1/subscriptions/"
    url = {"queue": "q", "url": app.url}
    assert named.http("PUT", path + "b", url).status == 201
    assert named.http("PUT", path + "b", url).status == 200
    assert named.http("PUT", path + "a", {**url, "concurrency": 7, "timeout": "2s"}).status == 201
    kept = named.http("PUT", path + "a", {"concurrency": 8}).json
    assert (kept["concurrency"], kept["timeout"], kept["url"]) == (8, "2s", app.url)
    both = named.http("GET", "/v1/subscriptions").json
    assert list(both["subscriptions"]) == ["a", "b"] and both["next"] is None
    page = named.http("GET", "/v1/subscriptions?limit=1").json
    assert list(page["subscriptions"]) == ["a"] and page["next"] == "a"
    assert list(named.http("GET", "/v1/subscriptions?after=a").json["subscriptions"]) == ["b"]
    for body, says in [({"queue": "q"}, "'url' is missing"), ({"url": app.url}, "'queue' is missing"),
                       ({**url, "concurency": 1}, "did you mean 'concurrency'"), ({**url, "concurrency": 0}, "between 1"),
                       ({**url, "timeout": 5}, "duration"), ({**url, "dialect": "soap"}, "cloudevents or dapr"), ({**url, "dialect": "dapr", "handshake": True}, "dapr has none"),
                       ({**url, "handshake": 1}, "true or false"), ({**url, "handshake": None}, "null"), ([], "JSON object"),
                       ({**url, "queue": "a b"}, "name"), ("{", "JSON object"), ({**url, "url": True}, "string")]:
        answer = named.http("PUT", path + "c", body)
        assert answer.status == 400 and says in answer.json["detail"], answer.body
    assert named.http("PUT", path + "c", url, {"If-None-Match": "*"}).status == 400
    assert named.http("PUT", path + "c%20c", url).status == 400
    assert named.http("GET", "/v1/subscriptions?limit=0").status == 400
    assert named.http("GET", path + "c").status == named.http("DELETE", path + "c").status == 404


def test_a_sidecar_without_a_name_has_no_subscriptions(sidecar):
    answer = sidecar.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": "http://127.0.0.1:1/"})
    assert answer.status == 400 and "app.name" in answer.json["detail"]
    assert sidecar.http("GET", "/v1/subscriptions").json == {"subscriptions": {}, "next": None}


# ------------------------------------------------------------------ by configuration


def test_subscriptions_of_the_configuration_file(cluster, broker, application, tmp_path):
    app = application()
    file = tmp_path / "sidecar.yaml"
    file.write_text("app: {name: shop}\nsubscriptions:\n  in.q:\n    queue: q\n"
                    f"    url: {app.url}\n    concurrency: 3\n    timeout: 5s\n    dialect: cloudevents\n    handshake: false\n")
    s = cluster.sidecar(broker, "--config", str(file))
    s.declare("q")
    s.publish("q")
    app.wait(1)
    shown = look(s, "in.q")
    assert (shown["managed"], shown["concurrency"], shown["timeout"]) == ("config", 3, "5s")
    for method, body in (("PUT", {"concurrency": 1}), ("DELETE", None)):
        answer = s.http(method, "/v1/subscriptions/in.q", body)
        assert (answer.status, answer.json["reason"]) == (409, "managed"), answer.body


@pytest.mark.parametrize("text,says", [
    ("app: {name: a}\nsubscriptions: {s: {queue: q, concurency: 1, url: 'http://127.0.0.1/'}}", "2: unknown key 'concurency'; did you mean 'concurrency'?"),
    ("app: {name: a}\nsubscriptions: {s: {queue: q}}", "subscription 's': 'url' is missing"),
    ("app: {name: a}\nsubscriptions: {s: {queue: q, url: 'http://example.com/'}}", "push.allow"),
    ("subscriptions: {s: {queue: q, url: 'http://127.0.0.1/'}}", "app.name"),
    ("app: {name: a}\nsubscriptions: {s: 5}", "2: a subscription's keys are expected"),
    ("app: {name: a}\nsubscriptions: {s: {concurrency: many}}", "2: 'concurrency' must be a whole number"),
    ("app: {name: a}\nsubscriptions: {'a b': {queue: q}}", "2: 'a b' is no valid name"),
    ("app: {name: a}\nsubscriptions: {s: {}}", "2: a subscription's keys are expected"),
])
def test_mistakes_in_the_configuration_file_are_named(tmp_path, text, says):
    file = tmp_path / "sidecar.yaml"
    file.write_text(text + "\n")
    for command in (["sluice-sidecar", "--config", str(file)], ["sluice", "config", "check", "sidecar", str(file)]):
        done = run(*command)
        assert done.returncode != 0 and says in done.stderr + done.stdout, done.stderr


# ------------------------------------------------------------------ metrics


def test_metrics_tell_the_pushes(named, application):
    app = application(lambda h, n: h.say(500 if n == 1 else 200))
    assert b"sluice_pushes" not in named.ops("GET", "/metrics").body
    subscribe(named, app.url)
    named.publish("q")
    until_acked(named, 1)
    text = named.ops("GET", "/metrics").body.decode()
    labels = 'subscription="s",queue="q"'
    for line in (f'sluice_pushes_total{{{labels},result="acked"}} 1', f'sluice_pushes_total{{{labels},result="failed"}} 1',
                 f"sluice_pushes_in_flight{{{labels}}} 0", f'sluice_subscription_state{{{labels},state="active"}} 1',
                 f"sluice_push_duration_seconds_count{{{labels}}} 2"):
        assert line + "\n" in text, (line, text)
    assert named.ops("GET", "/healthz").json["subscriptions"] == 1


# ---------------------------------------------------------------- kept by the broker


def of(cluster, broker, app="shop"):
    return cluster.sidecar(broker, "--app-name", app)


def names(sidecar):
    return sorted(sidecar.http("GET", "/v1/subscriptions").json["subscriptions"])


def test_a_subscription_outlives_its_sidecar_and_the_broker(cluster, application, tmp_path):
    app = application()
    endpoint = f"ipc://{tmp_path}/broker"
    broker = cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
    first = of(cluster, broker)
    first.declare("q")
    subscribe(first, app.url, concurrency=7)
    first.stop()
    second = of(cluster, broker)
    until(lambda: names(second) == ["s"])
    assert look(second)["concurrency"] == 7
    broker.kill()
    cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
    second.wait_attached()
    second.publish("q", "pushed", query="?wait=30s")
    app.wait(1)
    third = of(cluster, endpoint)
    until(lambda: third.http("GET", "/v1/subscriptions/s").status == 200)
    assert look(third)["url"] == app.url


def test_the_cli_makes_shows_changes_and_ends_them(cluster, broker, application):
    app = application()
    shop = of(cluster, broker)
    shop.declare("q")
    environment = {"SLUICE_URL": "http://" + shop.ready["http"], "SLUICE_OPS_URL": "http://127.0.0.1:1"}

    def sluice(*arguments, status=0):
        done = run("sluice", "subscription", *arguments, environment=environment)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert sluice("list") == ""
    said = sluice("put", "s", "--queue", "q", "--to", app.url, "--timeout", "2s")
    assert re.search(rf"^s: \w+, 0 in flight.*\n  q to {re.escape(app.url)}\n  concurrency 1, timeout 2s, dialect cloudevents, "
                     r"kept by the broker\n  0 acked, ", said), said
    shop.publish("q", "pushed")
    app.wait(1)
    until(lambda: "  1 acked, 0 failed" in sluice("show", "s"))
    assert "; last status 2" in sluice("show", "s")
    changed = json.loads(sluice("put", "s", "-c", "4", "--handshake", "--json"))
    assert (changed["concurrency"], changed["handshake"], changed["queue"], changed["timeout"]) == (4, True, "q", "2s")
    assert json.loads(sluice("put", "s", "--no-handshake", "--json"))["handshake"] is False
    assert sluice("put", "t", "--queue", "q", "--to", app.url, "--dialect", "dapr").startswith("t: ")
    assert sluice("list", "--names") == "s\nt\n"
    assert [json.loads(line)["subscription"] for line in sluice("list", "--json").splitlines()] == ["s", "t"]
    assert "deleted t\n" == sluice("delete", "t") and json.loads(sluice("delete", "s", "--json")) == {"deleted": True}
    assert "404" in sluice("show", "s", status=1) and "404" in sluice("delete", "s", status=1)
    assert "url" in sluice("put", "s", "--queue", "q", status=1)
    assert "contradict" in sluice("put", "s", "--handshake", "--no-handshake", status=2)
    for wrong in (("put",), ("show", "a", "b"), ("nothing",), ("put", "s", "--concurrency", "0"), ()):
        sluice(*wrong, status=2)


def test_replicas_run_what_any_of_them_was_told(cluster, broker, application):
    app = application()
    first, second, other = of(cluster, broker), of(cluster, broker), of(cluster, broker, "mail")
    first.declare("q")
    subscribe(first, app.url)
    until(lambda: names(second) == ["s"])
    assert second.http("PUT", "/v1/subscriptions/s", {"concurrency": 3}).json["queue"] == "q"
    until(lambda: look(first)["concurrency"] == 3)
    assert first.http("PUT", "/v1/subscriptions/s", {"timeout": "2s"}).json["concurrency"] == 3
    assert names(other) == [] and other.http("GET", "/v1/subscriptions/s").status == 404
    assert other.http("DELETE", "/v1/subscriptions/s").status == 404
    assert other.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": app.url}).status == 201
    assert second.http("DELETE", "/v1/subscriptions/s").status == 204
    until(lambda: names(first) == [])
    assert names(other) == ["s"] and second.http("DELETE", "/v1/subscriptions/s").status == 404


def test_one_that_stopped_goes_on_everywhere_when_it_is_put_again_and_not_before(cluster, broker, application):
    app = application(lambda h, n: h.say(410 if n == 1 else 200))
    first, second = of(cluster, broker), of(cluster, broker)
    first.declare("q")
    subscribe(first, app.url)
    first.publish("q")
    until_state(first, "stopped")
    until(lambda: names(second) == ["s"])
    subscribe(second, app.url, name="another")
    until(lambda: names(first) == ["another", "s"])
    assert look(first)["state"] == "stopped"
    assert second.http("PUT", "/v1/subscriptions/s", {}).status == 200
    until(lambda: look(first)["state"] != "stopped")


def test_without_the_broker_nothing_is_changed_and_nothing_is_claimed(cluster, tmp_path, application):
    app = application()
    sidecar = cluster.sidecar(f"ipc://{tmp_path}/nobody", "--app-name", "shop", attached=False)
    body = {"queue": "q", "url": app.url}
    assert sidecar.http("GET", "/v1/subscriptions/s").status == 503
    assert sidecar.http("PUT", "/v1/subscriptions/s", body).status == 503
    assert sidecar.http("DELETE", "/v1/subscriptions/s").status == 503


# ---------------------------------------------------------------- Dapr's ways


def test_dapr_s_dialect_sends_structured_events_and_reads_the_status_in_the_body(named, application):
    words = {1: b'{"status": "RETRY"}', 2: b'{"status": "SUCCESS"}', 3: b'{"status": "DROP"}', 4: b"ok", 5: b'{"status": "?"}'}
    app = application(lambda h, n: h.say(200, {"Content-Type": "application/json"}, words.get(n, b"")))
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
    books = ledger(named)
    assert (books["dead_lettered"], books["remaining"]) == (1, 0)
    dead = named.http("GET", "/v1/queues/q/peek?state=dead").json["events"][0]
    assert dead["event"]["data"] == "dropped" and dead["trouble"]["reason"] == "dropped_by_app"
    assert dead["trouble"]["error"] == "the application answered 200, status DROP"
    results = look(named)["results"]
    assert (results["acked"], results["dropped"], results["failed"]) == (3, 1, 2) and look(named)["dialect"] == "dapr"


def test_in_dapr_s_dialect_404_is_dead_at_once_and_a_gigabyte_a_failure(named, application):
    app = application(lambda h, n: gigabyte(h, n) if n == 1 else h.say(404 if n == 2 else 200))
    named.declare("q", backoff="0s")
    subscribe(named, app.url, dialect="dapr")
    named.publish("q", "nobody's")
    named.publish("q", "mine")
    until_acked(named, 1)
    dead = named.http("GET", "/v1/queues/q/peek?state=dead").json["events"][0]
    assert (dead["trouble"]["status"], dead["trouble"]["reason"], dead["attempt"]) == (404, "dropped_by_app", 2)


def test_what_dapr_s_clients_publish_and_are_answered(named):
    def publish(path, body, kind="application/json"):
        return named.http("POST", "/v1.0/publish/" + path, body, {"Content-Type": kind} if kind else {})

    event = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "data": [1]}
    assert publish("sluice/q", event, "application/cloudevents+json").status == 204
    assert publish("sluice/q?metadata.rawPayload=true", "raw", "text/plain").status == 204
    first, second = named.take("q", max=2, wait="20s").json["events"]
    assert (first["event"]["id"], first["event"]["topic"]) == ("7", "q") and second["event"]["data"] == "raw"
    for path, status, code in (("pubsub/q", 404, "ERR_PUBSUB_NOT_FOUND"), ("sluice/nowhere", 404, "ERR_PUBSUB_NOT_FOUND"),
                               ("sluice/q?metadata.ttlInSeconds=5s", 400, "ERR_PUBSUB_REQUEST_METADATA")):
        answer = publish(path, "x")
        assert (answer.status, answer.json["errorCode"]) == (status, code) and answer.json["message"]
    named.declare("tiny", capacity=1, overflow="reject")
    assert publish("sluice/tiny", "x").status == 204
    full = publish("sluice/tiny", "x")
    assert (full.status, full.json["errorCode"]) == (500, "ERR_PUBSUB_PUBLISH_MESSAGE") and full.headers["Retry-After"]


def test_dapr_s_topic_may_be_a_topic(named):
    assert named.http("PUT", "/v1/topics/news", {}).status == 201
    assert named.http("PUT", "/v1/topics/news/bindings/q", {}).status in (200, 201)
    answer = named.http("POST", "/v1.0/publish/sluice/news", "x", {"Content-Type": "text/plain"})
    assert answer.status == 204
    event = named.take("q", wait="20s").json["events"][0]["event"]
    assert (event["data"], event["topic"]) == ("x", "news")
