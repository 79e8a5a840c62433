"""An application whose behaviour each test defines, and the sidecar that pushes to it."""
import collections
import contextlib
import http.server
import socket
import socketserver
import threading
import time

import pytest

from conftest import balanced_ledger as ledger, free_port

PATIENCE = 30


class Application:
    """Answers each request as `behave` says and keeps what it got. `behave(handler, number)` is called with the request's
    number from 1; it answers by handler.respond(status, headers, body), or does what it likes with handler.connection."""

    def __init__(self, behave=None, address=("127.0.0.1", 0), start=True):
        self.behave = behave or (lambda handler, number: handler.respond(204))
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

            def respond(self, status, headers=None, body=b""):
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
    """Calls it until it returns something true, and returns that."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(what)


def until_state(sidecar, state, name="s"):
    return until(lambda: (lambda s: s if s["state"] == state else None)(look(sidecar, name)), f"never {state}")


def until_acked(sidecar, count, queue="q"):
    until(lambda: ledger(sidecar, queue)["acked"] == count, f"never {count} acked")


def blocked(release):
    def behave(handler, number):
        if number == 1:
            release.wait(PATIENCE)
        handler.respond(200)
    return behave


def gigabyte(handler, number):
    if number > 1:
        handler.respond(200)
        return
    handler.respond(200, {"Content-Length": str(1 << 30)})
    for _ in range(1 << 10):
        handler.wfile.write(b"x" * (1 << 20))
