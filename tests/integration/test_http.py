"""HTTP itself, byte by byte: what is malformed, slow, vanishing or too much gets a clear answer and disturbs nobody."""
import concurrent.futures
import http.client
import json
import os
import resource
import signal
import socket
import struct
import threading
import time

import pytest

from conftest import call

HOST = "Host: localhost\r\n"
DEADLINE = 20


def dial(address):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def receive_all(connection):
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def exchange(address, text):
    """What comes back until the connection ends."""
    with dial(address) as connection:
        connection.sendall(text if isinstance(text, bytes) else text.encode())
        return receive_all(connection)


def status_of(received):
    return int(received.split(b" ", 2)[1])


def eventually(condition):
    """Asks until it holds; what it answered last is in the failure."""
    end = time.monotonic() + DEADLINE
    while not (last := condition()):
        assert time.monotonic() < end, last
    return last


def waiting_takes(sidecar):
    return sidecar.ops("GET", "/healthz").json["waiting_takes"]


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
def test_what_is_no_http_ends_its_connection_only(q, text):
    with dial(q.ready["http"]) as connection:
        connection.sendall(text)
        try:
            connection.shutdown(socket.SHUT_WR)
            receive_all(connection)
        except TimeoutError:
            raise
        except OSError:
            pass  # it was reset
    assert q.publish("q").status == 202


def test_pipelined_requests_are_answered_in_order(q):
    publish = f"POST /v1/queues/q/events HTTP/1.1\r\n{HOST}Content-Length: 1\r\n\r\n"
    last = f"POST /v1/queues/q/take?max=3&wait=5s HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
    received = exchange(q.ready["http"], publish + "a" + publish + "b" + last)
    assert received.count(b"HTTP/1.1 202 ") == 2 and received.count(b"HTTP/1.1 200 ") == 1
    assert received.index(b'"sequence":1') < received.index(b'"sequence":2')


def test_an_upload_goes_on_beside_publishes_that_wait_for_the_broker(q):
    """Their connections keep libmicrohttpd busy for a moment each: it must not make this one wait for its turn."""
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


def test_the_word_to_continue_comes_before_the_body(q):
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/events HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 5\r\n"
                           "\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert status_of(connection.recv(4096)) == 202
        connection.sendall(f"GET /v1/queues/q HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n".encode())
        assert status_of(receive_all(connection)) == 200  # it was no reason to end the connection


@pytest.mark.parametrize("path,headers,status", [
    ("/v1/nothing", {}, 404), ("/v1/queues/q/peek", {}, 405), ("/v1/queues/q/purge", {}, 403),
    ("/v1/queues/q/events", {"Origin": "http://evil.example"}, 403), ("/v1/queues/q/acks", {}, 413),
])
def test_a_refused_request_with_a_large_body_still_sees_its_answer(q, path, headers, status):
    assert q.http("POST", path, b"x" * (4 << 20), headers).status == status


def test_methods(q):
    for method in ("OPTIONS", "PATCH", "TRACE", "get"):
        answer = q.http(method, "/v1/queues/q")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, PUT, DELETE")
    head, get = q.http("HEAD", "/v1/queues/q"), q.http("GET", "/v1/queues/q")
    assert head.status == 200 and head.body == b"" and head.headers["Content-Type"] == get.headers["Content-Type"]
    assert q.http("HEAD", "/v1/queues/q/take").headers["Allow"] == "POST"



# ------------------------------------------------------------------ clients that are slow, vanish, or are many


def test_a_byte_now_and_then_does_not_hold_a_connection(cluster, broker):
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
def test_a_take_whose_client_vanished_gives_up_its_place(q, end):
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/take?wait=60s HTTP/1.1\r\n{HOST}\r\n".encode())
        eventually(lambda: waiting_takes(q) == 1)
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: waiting_takes(q) == 0)
    q.publish("q", "kept")
    taken = q.take("q", wait="10s").json["events"]
    assert [(e["event"]["data"], e["attempt"]) for e in taken] == [("kept", 1)]


def test_a_client_that_sends_no_more_and_still_reads_is_told_unknown_of_its_publish(q):
    q.declare("q", capacity=1)
    q.publish("q")
    with dial(q.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/events?wait=60s HTTP/1.1\r\n{HOST}Content-Length: 1\r\n\r\nx".encode())
        eventually(lambda: q.http("GET", "/v1/queues/q").json["waiting_publishers"] == 1)
        connection.shutdown(socket.SHUT_WR)
        received = receive_all(connection)
    assert status_of(received) == 504 and b'"reason":"unknown","retryable":false' in received
    q.ops("POST", "/v1/queues/q/purge")  # which makes room
    eventually(lambda: q.http("GET", "/v1/queues/q").json["ledger"]["accepted"] == 2)


def test_a_vanished_take_leaves_the_turn_to_the_other_sidecar(cluster, broker):
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q")
    with dial(first.ready["http"]) as connection:
        connection.sendall(f"POST /v1/queues/q/take?wait=60s HTTP/1.1\r\n{HOST}\r\n".encode())
        eventually(lambda: first.http("GET", "/v1/queues/q").json["consumer"])
    first.publish("q", "for the second")
    assert second.take("q", wait="15s").json["events"][0]["event"]["data"] == "for the second"


def test_an_answer_that_cannot_be_written_gives_its_events_back(q):
    """Its client does not read the answer, which is more than the kernel's buffers hold, and resets the connection."""
    for _ in range(5):
        assert q.publish("q", b"x" * 1_000_000, {"Content-Type": "application/octet-stream"}).status == 202
    with dial(q.ready["http"]) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"POST /v1/queues/q/take?max=8 HTTP/1.1\r\n{HOST}\r\n".encode())
        eventually(lambda: q.http("GET", "/v1/queues/q").json["in_flight"] > 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: q.http("GET", "/v1/queues/q").json["in_flight"] == 0)
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
        eventually(lambda: waiting_takes(s) == 1024)
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


# ------------------------------------------------------------------ a broker that comes and goes, and the end


def test_a_publish_that_waits_in_a_broker_that_dies_is_unknown(cluster):
    broker = cluster.broker()
    s = cluster.sidecar(broker, "--app-name", "shop")
    s.declare("q", capacity=1)
    s.publish("q")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        generated = pool.submit(s.publish, "q", query="?wait=3s")
        named = pool.submit(s.publish, "q", "x", {"Idempotency-Key": "mine"}, "?wait=3s")
        eventually(lambda: s.http("GET", "/v1/queues/q").json["waiting_publishers"] == 2)
        broker.kill()
        for answer, retryable in ((generated.result(), False), (named.result(), True)):
            assert (answer.status, answer.json["reason"], answer.json["retryable"]) == (504, "unknown", retryable)
    assert named.result().json["id"] == "mine"
    never_sent = s.publish("q", query="?wait=0s")
    assert (never_sent.status, never_sent.json["reason"]) == (503, "unavailable")
    assert int(never_sent.headers["Retry-After"]) >= 1
    nowhere = f"no broker answers at {broker.ready['broker']}, so nothing was done: "
    assert nowhere in never_sent.json["detail"]
    assert s.ack("q", "AQEB.0").json["results"][0]["result"] == "unknown"
    late = s.take("q", wait="100ms")
    assert late.status == 503 and nowhere in late.json["detail"]
    assert nowhere in s.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": "http://127.0.0.1:9/"}).json["detail"]
    assert s.ops("GET", "/livez").status == 200 and s.ops("GET", "/readyz").status == 503


def test_a_stopping_sidecar_says_unknown_of_what_is_undecided(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q", capacity=1)
    s.publish("q")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(s.publish, "q", query="?wait=60s")
        eventually(lambda: s.http("GET", "/v1/queues/q").json["waiting_publishers"] == 1)
        assert s.stop() == 0
        assert (waiting.result().status, waiting.result().json["reason"]) == (504, "unknown")
    assert log_of(s, "sidecar") == [
        ("info", f"stopping: SIGTERM from process {os.getpid()}"),
        ("info", "draining for at most 1s (drain_limit): no more takes and pushes; publishing and acks go on; "
                 "events handed out and not settled: 0, published and not decided: 1"),
        ("info", "drained; events handed out and not settled: 0, published and not decided: 1"),
        ("info", "waiting for publishes to be decided, for what is left of drain_limit and 2s at least; "
                 "events handed out and not settled: 0, published and not decided: 1"),
        ("warn", "ending; what is not decided is told as unknown; "
                 "events handed out and not settled: 0, published and not decided: 1")]


def log_of(process, component):
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    return [(line["level"], line["msg"]) for line in lines if line["component"] == component]


def test_the_log_says_what_a_drain_waits_for_in_vain_and_why(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q")
    s.publish("q")
    assert len(s.take("q", wait="5s").json["events"]) == 1
    broker.kill()
    eventually(lambda: s.ops("GET", "/readyz").status == 503)
    answer = s.ops("POST", "/v1/drain").json
    assert answer == {"drained": False, "undecided": 0, "held": 1}
    assert s.stop() == 0
    begin, end, stopping = log_of(s, "sidecar")
    assert stopping[1].startswith("stopping: SIGTERM")
    left = "; events handed out and not settled: 1, published and not decided: 0; not attached to the broker: the broker"
    assert begin[1].startswith("draining for at most 1s") and left in begin[1]
    assert end[0] == "warn" and end[1].startswith("the drain's limit passed; what is not settled comes again elsewhere" + left)


def test_a_stopping_sidecar_says_unknown_of_a_call_that_the_broker_may_have_got(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q")
    s.publish("q")
    broker.popen.send_signal(signal.SIGSTOP)
    try:
        purging, looking = (http.client.HTTPConnection(s.ready["ops"], timeout=30) for _ in range(2))
        purging.request("POST", "/v1/queues/q/purge")
        looking.request("GET", "/v1/queues/q")
        for _ in range(2): # what comes behind them is answered: they are there
            eventually(lambda: s.ops("GET", "/healthz").json["connections"] == 3)
        s.popen.send_signal(signal.SIGTERM)
        for connection, said in ((purging, (504, "unknown")), (looking, (503, "draining"))):
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["reason"]) == said
            connection.close()
    finally:
        broker.popen.send_signal(signal.SIGCONT)


def test_it_says_so_of_a_call_that_is_held_for_a_broker_that_is_away(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q")
    broker.kill()
    eventually(lambda: s.ops("GET", "/readyz").status == 503)
    purging = http.client.HTTPConnection(s.ready["ops"], timeout=30)
    purging.request("POST", "/v1/queues/q/purge")
    assert s.ops("GET", "/livez").status == 200 # what comes behind it is answered: it is there
    s.popen.send_signal(signal.SIGTERM)
    answer = purging.getresponse()
    assert (answer.status, json.loads(answer.read())["reason"]) == (504, "unknown")
    purging.close()


def test_acks_still_come_in_after_sigterm_and_end_the_drain(cluster, broker):
    s = cluster.sidecar(broker, "--drain-limit", "30s")
    s.declare("q")
    s.publish("q")
    receipt = s.take("q", wait="5s").json["events"][0]["receipt"]
    s.popen.send_signal(signal.SIGTERM)
    eventually(lambda: s.take("q").status == 503)
    assert s.publish("q").status == 202
    assert s.ack("q", receipt).json["results"][0]["result"] == "acked"
    assert s.popen.wait(timeout=10) == 0


def test_a_second_sigterm_ends_the_drain_at_once_and_a_sighup_does_not(cluster, broker):
    s = cluster.sidecar(broker, "--drain-limit", "10m")
    s.declare("q")
    s.publish("q")
    assert len(s.take("q", wait="5s").json["events"]) == 1
    s.popen.send_signal(signal.SIGTERM)
    eventually(lambda: s.take("q").status == 503)
    s.popen.send_signal(signal.SIGHUP)
    for _ in range(3):
        assert s.publish("q").status == 202
    s.popen.send_signal(signal.SIGTERM)
    assert s.popen.wait(timeout=10) == 0
    assert log_of(s, "sidecar")[2:] == [("warn", "a second signal: ending at once; "
                                                 "events handed out and not settled: 1, published and not decided: 0")]


def test_a_drain_is_over_when_the_last_event_is_settled_though_publishers_go_on(cluster, broker):
    s = cluster.sidecar(broker, "--drain-limit", "10m")
    s.declare("q", capacity=1)
    s.publish("q")
    receipt = s.take("q", wait="5s").json["events"][0]["receipt"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        publishing = pool.submit(s.publish, "q", query="?wait=5s")
        draining = pool.submit(s.ops, "POST", "/v1/drain", timeout=DEADLINE)
        eventually(lambda: s.take("q").status == 503)
        assert s.ack("q", receipt).status == 200
        assert draining.result().json["drained"] is True
        assert publishing.result().status == 202
    assert s.ops("GET", "/healthz").json["status"] == "draining"


def test_an_unused_turn_is_given_back(cluster, broker):
    s = cluster.sidecar(broker, "--turn-idle", "200ms")
    s.declare("q")
    assert s.take("q").headers["Sluice-Consumer"] == "active"
    eventually(lambda: s.http("GET", "/v1/queues/q").json["consumer"] is None)


def test_two_sidecars_take_turns_when_each_is_done(cluster, broker):
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q")
    for i in range(4):
        first.publish("q", str(i))
    seen = []
    for s in (first, second, first, second):
        taken = s.take("q", wait="15s")
        assert taken.headers["Sluice-Consumer"] == "active" and int(taken.headers["Sluice-Consumer-Epoch"]) > 0
        seen += [e["event"]["data"] for e in taken.json["events"]]
        assert s.ack("q", taken.json["events"][0]["receipt"]).status == 200
    assert seen == ["0", "1", "2", "3"]


def test_each_listener_has_its_own_connections(cluster, broker):
    s = cluster.sidecar(broker, "--max-connections", "4", "--probe", "127.0.0.1:0")
    full = [dial(s.ready["http"]) for _ in range(4)]
    assert call(s.ready["probe"], "GET", "/livez").status == 200
    assert s.ops("GET", "/livez").status == 200
    for connection in full:
        connection.close()
    assert s.http("GET", "/v1/queues").status == 200


def test_who_came_when_there_were_too_many_is_let_in_as_soon_as_one_leaves(cluster, broker):
    s = cluster.sidecar(broker, "--max-connections", "2")
    ask = f"GET /v1/queues HTTP/1.1\r\n{HOST}\r\n".encode()
    with dial(s.ready["http"]) as leaving, dial(s.ready["http"]) as staying:
        for connection in (leaving, staying):
            connection.sendall(ask)
            assert status_of(connection.recv(65536)) == 200
        with dial(s.ready["http"]) as waiting:  # in the listener's backlog
            waiting.sendall(ask)
            assert s.ops("GET", "/livez").status == 200  # by then all is done for those two
            leaving.close()
            assert status_of(waiting.recv(65536)) == 200
