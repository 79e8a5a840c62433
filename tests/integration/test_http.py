"""HTTP at the level of bytes and connections: malformed requests, slow and vanished clients, half-closed connections
and too many connections. Each gets a clear answer where one can be given, and does not disturb other clients."""
import concurrent.futures
import json
import resource
import signal
import socket
import struct
import threading

import pytest

from conftest import call, until
from rawhttp import HOST, dial, exchange, receive_all, status_of, waiting_takes


@pytest.fixture
def q(sidecar):
    sidecar.declare("q")
    return sidecar


MALFORMED = [
    ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello", 400, "Content-Length"),
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400, "Content-Length"),
    ("Transfer-Encoding: gzip\r\n", "hello", 400, "Transfer-Encoding"),
    ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 400, "Transfer-Encoding"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 400, "Transfer-Encoding"),
    ("Content-Length : 5\r\n", "hello", 400, "name"),
    ("Host: localhost\r\nContent-Length: 5\r\n", "hello", 400, "Host"),
    ("Content-Encoding: gzip\r\nContent-Length: 5\r\n", "hello", 415, "Content-Encoding"),
    ("X: " + "y" * 17000 + "\r\nContent-Length: 5\r\n", "hello", 431, "headers_too_large"),
    ("X: " + "y" * 200000 + "\r\nContent-Length: 5\r\n", "hello", 431, ""),
    ("Content-Length: 99999999999999999999999\r\n", "hello", 413, ""),
    ("Content-Length: -5\r\n", "hello", 400, ""),
    ("Transfer-Encoding: chunked\r\n", "zz\r\nhello\r\n0\r\n\r\n", 400, ""),
    ("ce-id: \udce9\r\nContent-Length: 0\r\n", "", 400, "UTF-8"),
    ("Origin: http://localhost.evil.example\r\nContent-Length: 5\r\n", "hello", 403, "origin"),
    ("Expect: 100-continue\r\nContent-Length: 100000000\r\n", "", 413, "too_large"),
]


@pytest.mark.parametrize("head,body,status,says", MALFORMED, ids=[str(i) for i in range(len(MALFORMED))])
def test_a_malformed_request_is_refused_and_its_connection_ends(q, head, body, status, says):
    text = f"POST /v1/queues/q/events HTTP/1.1\r\n{HOST}{head}Connection: close\r\n\r\n{body}"
    received = exchange(q.ready["http"], text.encode(errors="surrogateescape"))
    assert status_of(received) == status and says.encode() in received
    assert q.http("GET", "/v1/queues/q").json["ledger"]["accepted"] == 0


@pytest.mark.parametrize("text", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"\r\n" * 50, b"GET\r\n\r\n",
                                  b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 30000],
                         ids=["tls", "empty lines", "short", "version", "zeros"])
def test_what_is_not_http_ends_only_its_own_connection(q, text):
    with dial(q.ready["http"]) as connection:
        connection.sendall(text)
        try:
            connection.shutdown(socket.SHUT_WR)
            receive_all(connection)
        except TimeoutError:
            raise
        except OSError:
            pass  # the connection was reset
    assert q.publish("q").status == 202


@pytest.mark.parametrize("target,host,status", [
    ("http://localhost:8480/v1/queues/q", "localhost", 200), ("HTTP://127.0.0.1/v1/queues/q?", "evil.example", 200),
    ("http://localhost", "localhost", 403), ("http://evil.example/v1/queues/q", "localhost", 403),
    ("http:///v1/queues/q", "localhost", 403), ("http://localhost:8480@evil.example/v1/queues/q", "localhost", 403),
    ("https://localhost/v1/queues/q", "localhost", 404),
    ("http://localhost/v1/queues/q", "localhost\r\nHost: localhost", 400),
])
def test_an_absolute_target_is_accepted_and_its_host_counts(q, target, host, status):
    """The absolute form of a target, as a client sends it when the sidecar is configured as its proxy."""
    received = exchange(q.ready["http"], f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    assert status_of(received) == status, received
    assert status != 200 or b'"queue":"q"' in received
    assert "evil.example" not in target or b"for host '" + target.split("/")[2].encode() in received


def test_an_absolute_target_in_http_1_0_needs_no_host_header(q):
    for host, status in (("localhost", 200), ("evil.example", 403)):
        received = exchange(q.ready["http"], f"GET http://{host}/v1/queues HTTP/1.0\r\n\r\n")
        assert status_of(received) == status, received


def test_an_origin_is_compared_with_the_host_of_an_absolute_target(q):
    for origin, status in (("http://localhost:8480", 200), ("http://evil.example", 403)):
        received = exchange(q.ready["http"], "GET http://localhost:8480/v1/queues HTTP/1.1\r\nHost: evil.example\r\n"
                                             f"Origin: {origin}\r\nConnection: close\r\n\r\n")
        assert status_of(received) == status, received


def test_pipelined_requests_are_answered_in_order(q):
    publish = f"POST /v1/queues/q/events HTTP/1.1\r\n{HOST}Content-Length: 1\r\n\r\n"
    last = f"POST /v1/queues/q/take?max=3&wait=5s HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
    received = exchange(q.ready["http"], publish + "a" + publish + "b" + last)
    assert received.count(b"HTTP/1.1 202 ") == 2 and received.count(b"HTTP/1.1 200 ") == 1
    assert received.index(b'"sequence":1') < received.index(b'"sequence":2')


def test_a_slow_upload_progresses_beside_publishes_that_wait_for_the_broker(q):
    """Each waiting publish keeps libmicrohttpd busy for a moment; the upload must not have to wait for those
    connections."""
    event = {"specversion": "1.0", "source": "/s", "type": "t", "data": "x" * 3000}
    batch = json.dumps([{**event, "id": str(i)} for i in range(1000)])
    done = threading.Event()

    def others():
        statuses = set()
        while not done.is_set() or not statuses:
            statuses.add(q.http("POST", "/v1/queues/q/events", "x").status)
        return statuses

    with concurrent.futures.ThreadPoolExecutor() as pool:
        beside = [pool.submit(others) for _ in range(4)]
        try:
            uploaded = q.http("POST", "/v1/queues/q/events", batch,
                              {"Content-Type": "application/cloudevents-batch+json"})
        finally:
            done.set()
        assert [b.result() for b in beside] == [{202}] * 4
    assert uploaded.status == 202 and len(uploaded.json["events"]) == 1000


def test_a_chunked_body_beyond_the_limit_is_413_and_counted(q):
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/events HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(40):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert status_of(connection.recv(4096)) == 413
    assert 'status="413"} 1' in q.ops("GET", "/metrics").body.decode()


def test_100_continue_comes_before_the_body(q):
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/events HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n"
                           "\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert status_of(connection.recv(4096)) == 202
        connection.sendall(f"GET /v1/queues/q HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
        assert status_of(receive_all(connection)) == 200  # the connection stayed open


@pytest.mark.parametrize("path,headers,status", [
    ("/v1/nothing", {}, 404), ("/v1/queues/q/peek", {}, 405), ("/v1/queues/q/purge", {}, 403),
    ("/v1/queues/q/events", {"Origin": "http://evil.example"}, 403), ("/v1/queues/q/acks", {}, 413),
])
def test_a_refused_request_with_a_large_body_still_gets_its_answer(q, path, headers, status):
    assert q.http("POST", path, b"x" * (4 << 20), headers).status == status


def test_a_refusal_says_what_was_meant(q):
    for method, path, body, status, says in (
            ("PUT", "/v1/queues/w", '{"capacity":10.0}', 400, "'capacity' must be a whole number"),
            ("POST", "/v1/queues/q", "x", 405, "; publish at /v1/queues/{q}/events"),
            ("POST", "/v1/queues/q/events/", "x", 404, "the address ends with a slash; leave it out"),
            ("PUT", "/v1/queues/w/", None, 404, "the address ends with a slash; leave it out")):
        answer = q.http(method, path, body)
        assert answer.status == status and says in answer.json["detail"], (method, path, answer.body)
    gone = q.ops("DELETE", "/v1/queues/nosuch")
    assert (gone.status, gone.json["detail"]) == (404, "there is no queue 'nosuch'")


def test_unsupported_methods_are_405_and_head_matches_get(q):
    for method in ("OPTIONS", "PATCH", "TRACE", "get"):
        answer = q.http(method, "/v1/queues/q")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, PUT, DELETE")
    head, get = q.http("HEAD", "/v1/queues/q"), q.http("GET", "/v1/queues/q")
    assert head.status == 200 and head.body == b"" and head.headers["Content-Type"] == get.headers["Content-Type"]
    assert q.http("HEAD", "/v1/queues/q/take").headers["Allow"] == "POST"


# ------------------------------------------------------------------ slow, vanished and many clients


def test_a_byte_now_and_then_does_not_keep_a_connection_open(cluster, broker):
    s = cluster.sidecar(broker, "--request-timeout", "1s")
    received = b""
    with dial(s.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/events HTTP/1.1\r\n{HOST}Content-Length: 1000\r\n\r\n".encode())
        connection.settimeout(0.1)
        for _ in range(100):
            try:
                connection.sendall(b"x")
                piece = connection.recv(4096)
                received += piece
                if piece == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            raise AssertionError("still connected")
    head, _, problem = received.partition(b"\r\n\r\n")
    assert status_of(head) == 408 and json.loads(problem)["reason"] == "timeout"


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_take_whose_client_vanished_leaves_the_line(q, end):
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/take?wait=60s HTTP/1.1\r\n{HOST}\r\n".encode())
        until(lambda: waiting_takes(q) == 1)
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: waiting_takes(q) == 0)
    q.publish("q", "kept")
    taken = q.take("q", wait="10s").json["events"]
    assert [(e["event"]["data"], e["attempt"]) for e in taken] == [("kept", 1)]


def test_a_half_closed_client_gets_unknown_for_its_publish(q):
    q.declare("q", capacity=1)
    q.publish("q")
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/events?wait=60s HTTP/1.1\r\n{HOST}Content-Length: 1\r\n\r\nx".encode())
        until(lambda: q.http("GET", "/v1/queues/q").json["waiting_publishers"] == 1)
        connection.shutdown(socket.SHUT_WR)
        received = receive_all(connection)
    assert status_of(received) == 504 and b'"reason":"unknown","retryable":false' in received
    until(lambda: q.http("GET", "/v1/queues/q").json["waiting_publishers"] == 0)
    q.ops("POST", "/v1/queues/q/purge")  # makes room that nobody waits for
    assert q.publish("q").json["sequence"] == 2


def test_publishes_of_vanished_clients_do_not_wait_for_room(q):
    """Those of living clients do, also those that came after them."""
    q.declare("q", capacity=1)
    q.publish("q", "first")
    body = b"x" * 900_000  # a few of these are all that one sidecar may have waiting

    def waiting(count):
        until(lambda: q.http("GET", "/v1/queues/q").json["waiting_publishers"] == count)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        alive = []
        for _ in range(6):
            with dial(q.ready["http"]) as connection:
                connection.sendall(f"POST /v1/queues/q/events?wait=60s HTTP/1.1\r\n{HOST}Content-Length: {len(body)}"
                                   "\r\n\r\n".encode() + body)
                waiting(1 + len(alive))
                if not alive:
                    alive.append(pool.submit(q.publish, "q", "alive", query="?wait=60s"))
                    waiting(2)
            waiting(1)
        taken = q.take("q", max=10, wait="10s").json["events"]
        q.ack("q", *(e["receipt"] for e in taken))
        assert alive[0].result().json["sequence"] == 2
    assert [e["event"]["data"] for e in q.take("q", wait="10s").json["events"]] == ["alive"]
    waiting(0)


def test_a_half_closed_client_gets_the_end_of_its_take(q):
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/take?wait=60s HTTP/1.1\r\n{HOST}\r\n".encode())
        until(lambda: waiting_takes(q) == 1)
        connection.shutdown(socket.SHUT_WR)
        received = receive_all(connection)
    assert status_of(received) == 408 and b'"detail":"the client shut down its side of the connection' in received


def test_a_half_closed_client_gets_unknown_for_its_acks(q, broker):
    """The acks are on their way to a broker that is stopped for a moment. It counts them when it continues."""
    q.publish("q")
    body = json.dumps({"ack": [q.take("q", wait="5s").json["events"][0]["receipt"]]})
    broker.pause()
    try:
        with dial(q.ready["http"]) as connection:
            connection.sendall(f"POST /v1/queues/q/acks HTTP/1.1\r\n{HOST}Content-Length: {len(body)}\r\n\r\n{body}"
                               .encode())
            assert q.ops("GET", "/livez").status == 200  # a later request is answered, so the acks have been sent on
            connection.shutdown(socket.SHUT_WR)
            received = receive_all(connection)
    finally:
        broker.popen.send_signal(signal.SIGCONT)
    assert status_of(received) == 207 and b'"result":"unknown"' in received
    until(lambda: q.http("GET", "/v1/queues/q").json["ledger"]["acked"] == 1)


def test_a_vanished_take_passes_the_turn_to_the_other_sidecar(cluster, broker):
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q")
    with dial(first.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/take?wait=60s HTTP/1.1\r\n{HOST}\r\n".encode())
        until(lambda: first.http("GET", "/v1/queues/q").json["consumer"])
    first.publish("q", "for the second")
    assert second.take("q", wait="15s").json["events"][0]["event"]["data"] == "for the second"


def test_an_answer_that_cannot_be_written_returns_its_events(q):
    """The client does not read the answer, which is larger than the kernel's buffers, and then resets the
    connection."""
    for _ in range(5):
        assert q.publish("q", b"x" * 1_000_000, {"Content-Type": "application/octet-stream"}).status == 202
    with dial(q.ready["http"]) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"POST /v1/queues/q/take?max=8 HTTP/1.1\r\n{HOST}\r\n".encode())
        until(lambda: q.http("GET", "/v1/queues/q").json["in_flight"] > 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: q.http("GET", "/v1/queues/q").json["in_flight"] == 0, 20)  # before a lease ends
    assert q.take("q", wait="5s").json["events"][0]["sequence"] == 1


def test_a_thousand_takes_wait_at_once_and_each_gets_its_event(cluster, broker):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip(f"{hard} file descriptors are too few")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    s = cluster.sidecar(broker)
    s.declare("q")
    connections = [dial(s.ready["http"]) for _ in range(1024)]
    try:
        for connection in connections:
            connection.sendall(f"POST /v1/queues/q/take?wait=60s HTTP/1.1\r\n{HOST}\r\n".encode())
        until(lambda: waiting_takes(s) == 1024)
        for start in (0, 512):
            batch = [{"specversion": "1.0", "id": str(start + i), "source": "/s", "type": "t"} for i in range(512)]
            assert s.ops("POST", "/v1/queues/q/events", batch,
                         {"Content-Type": "application/cloudevents-batch+json"}).status == 202
        sequences = set()
        for connection in connections:
            received = connection.recv(65536)
            sequences.add(json.loads(received.split(b"\r\n\r\n", 1)[1])["events"][0]["sequence"])
        assert sequences == set(range(1, 1025))
    finally:
        for connection in connections:
            connection.close()


def test_each_listener_has_its_own_connections(cluster, broker):
    s = cluster.sidecar(broker, "--max-connections", "4", "--probe", "127.0.0.1:0")
    full = [dial(s.ready["http"]) for _ in range(4)]
    assert call(s.ready["probe"], "GET", "/livez").status == 200
    assert s.ops("GET", "/livez").status == 200
    for connection in full:
        connection.close()
    assert s.http("GET", "/v1/queues").status == 200


def test_a_client_beyond_the_limit_is_served_as_soon_as_another_leaves(cluster, broker):
    s = cluster.sidecar(broker, "--max-connections", "2")
    ask = f"GET /v1/queues HTTP/1.1\r\n{HOST}\r\n".encode()
    with dial(s.ready["http"]) as leaving, dial(s.ready["http"]) as staying:
        for connection in (leaving, staying):
            connection.sendall(ask)
            assert status_of(connection.recv(65536)) == 200
        with dial(s.ready["http"]) as waiting:  # in the listener's backlog
            waiting.sendall(ask)
            assert s.ops("GET", "/livez").status == 200  # a later request is answered, so the first two are done with
            leaving.close()
            assert status_of(waiting.recv(65536)) == 200
