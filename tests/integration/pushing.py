"""An application whose answers each test chooses, and helpers for the subscriptions that push to it."""
import collections
import contextlib
import http.server
import socket
import socketserver
import threading
import time

import pytest

from conftest import balanced_ledger as ledger, until

PATIENCE = 30


class Application:
    """An HTTP server that keeps each request in `requests` and leaves the answer to `behave(handler, number)`, where
    `number` counts requests from 1. `behave` calls handler.respond(status, headers, body), or uses handler.connection
    directly. Without `behave` it answers 204."""

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
        """Waits until there were `count` requests and returns them."""
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
    """Starts applications; they stop with the test."""
    made = []

    def make(*arguments, **more):
        made.append(Application(*arguments, **more))
        return made[-1]
    yield make
    for a in made:
        a.stop()


@pytest.fixture
def named(cluster, broker):
    """A sidecar with an application name, which subscriptions require, and a queue "q"."""
    s = cluster.sidecar(broker, "--app-name", "shop")
    s.declare("q")
    return s


def subscribe(sidecar, url, name="s", **settings):
    answer = sidecar.http("PUT", "/v1/subscriptions/" + name, {"queue": "q", "url": url, **settings})
    assert answer.status in (200, 201), answer.body
    return answer.json


def get_subscription(sidecar, name="s"):
    return sidecar.http("GET", "/v1/subscriptions/" + name).json


def until_state(sidecar, state, name="s"):
    return until(lambda: (lambda s: s if s["state"] == state else None)(get_subscription(sidecar, name)),
                 otherwise=f"never {state}")


def until_acked(sidecar, count, queue="q"):
    until(lambda: ledger(sidecar, queue)["acked"] == count, otherwise=f"never {count} acked")


def blocked(release):
    """Behaviour of an application: the first request is answered only after `release` is set."""
    def behave(handler, number):
        if number == 1:
            release.wait(PATIENCE)
        handler.respond(200)
    return behave


def gigabyte(handler, number):
    """Behaviour of an application: the first answer has a body of 1 GiB."""
    if number > 1:
        handler.respond(200)
        return
    handler.respond(200, {"Content-Length": str(1 << 30)})
    for _ in range(1 << 10):
        handler.wfile.write(b"x" * (1 << 20))
