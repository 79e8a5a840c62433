"""Streams of Server-Sent Events, read by curl and as a browser's EventSource reads them: content, window, connections
that end, takeover, and refusals. Also takes of many clients at once."""
import contextlib
import http.client
import json
import signal
import socket
import struct
import subprocess

import pytest

from conftest import balanced_ledger as ledger, until

PATIENCE = 30


class Source:
    """Reads a stream as WHATWG HTML 9.2 specifies: UTF-8 lines with fields; an empty line dispatches the event."""

    def __init__(self, sidecar, queue="q", query="", headers=None):
        self.connection = http.client.HTTPConnection(sidecar.ready["http"], timeout=PATIENCE)
        self.connection.request("GET", f"/v1/queues/{queue}/stream{query}", headers=headers or {})
        self.response = self.connection.getresponse()
        self.last_id = ""
        self.comments = 0
        self.retry = None

    def next(self):
        """Returns the next (event, data), or None at the end of the stream."""
        event, data = "message", []
        while line := self.response.readline():
            line = line.decode().rstrip("\n")
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line == "":
                if data:
                    return event, "\n".join(data)
                event = "message"
            elif name == "":
                self.comments += 1
            elif name == "data":
                data.append(value)
            elif name == "event":
                event = value
            elif name == "id":
                self.last_id = value
            elif name == "retry":
                self.retry = int(value)
        return None

    def take(self):
        event, data = self.next()
        assert event == "message", (event, data)
        taken = json.loads(data)
        assert set(taken) == {"receipt", "sequence", "attempt", "event"} and self.last_id == str(taken["sequence"])
        return taken

    def close(self, reset=False):
        sock = self.response.fp.raw._sock if self.response.fp else None
        if reset and sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def describe(sidecar, queue="q"):
    return sidecar.http("GET", f"/v1/queues/{queue}").json


def data_of(taken):
    return taken["event"]["data"]


@pytest.fixture
def q(sidecar):
    sidecar.declare("q", lease="1h", max_deliveries=1, max_crashes=1)
    return sidecar


# ---------------------------------------------------------------- what is delivered


def test_streamed_events_arrive_as_published_and_are_acked_by_a_call(q):
    q.publish("q", "before")
    with Source(q) as s:
        headers = s.response.headers
        assert s.response.status == 200 and headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store" and headers["Sluice-Consumer"] == "active"
        assert int(headers["Sluice-Consumer-Epoch"]) >= 1
        first = s.take()
        assert s.retry == 1000
        q.publish("q", "later")
        second = s.take()
        assert [data_of(first), data_of(second)] == ["before", "later"] and first["attempt"] == 1
        assert q.ack("q", first["receipt"], second["receipt"]).status == 200
        assert q.ops("GET", "/healthz").json["streams"] == 1
        assert "sluice_streamed_events_total 2" in q.ops("GET", "/metrics").body.decode()
    assert ledger(q)["acked"] == 2
    until(lambda: q.ops("GET", "/healthz").json["streams"] == 0)


def test_data_with_line_breaks_arrives_as_json(q):
    body = '{"a": [1,\r\n 2,\n\r 1e400],\r "b": "x\\ny"}'
    q.publish("q", body, {"Content-Type": "application/json"})
    with Source(q) as s:
        _, data = s.next()
        assert "\r" not in data
        assert '"b": "x\\ny"' in data and "1e400" in data
        assert json.loads(data)["event"]["data"]["b"] == "x\ny"


def of_bytes(event_id, content_type, data):
    """Encodes a CloudEvent in protobuf with its data in binary_data, as libsluice and SDKs do."""
    def field(tag, value):
        value = value.encode() if isinstance(value, str) else value
        return bytes([tag * 8 + 2, len(value)]) + value
    attribute = field(1, "datacontenttype") + field(2, field(3, content_type))
    return field(1, event_id) + field(2, "/s") + field(3, "1.0") + field(4, "t") + field(5, attribute) + field(6, data)


def test_json_and_text_are_streamed_as_such_whoever_published_them(q):
    published = [("application/json", b'{"total":0}', {"data": {"total": 0}}),
                 ("text/plain", b"hello", {"data": "hello"}),
                 ("application/json", b"{", {"data_base64": "ew=="}), ("image/png", b"{}", {"data_base64": "e30="})]
    for i, (content_type, data, _) in enumerate(published):
        answer = q.publish("q", of_bytes(str(i), content_type, data),
                           {"Content-Type": "application/cloudevents+protobuf"})
        assert answer.status == 202, answer.body

    def shown(events):
        return [{k: v for k, v in e["event"].items() if k.startswith("data") and k != "datacontenttype"}
                for e in events]

    wanted = [said for _, _, said in published]
    assert shown(q.http("GET", "/v1/queues/q/peek?max=9").json["events"]) == wanted
    with Source(q) as s:
        assert shown([s.take() for _ in wanted]) == wanted
    until(lambda: describe(q)["ready"] == len(wanted))
    assert shown(q.take("q", max=9, wait="25s").json["events"]) == wanted


def test_the_window_limits_unsettled_events(q):
    for i in range(5):
        q.publish("q", str(i))
    with Source(q, query="?window=2") as s:
        first, second = s.take(), s.take()
        assert (describe(q)["in_flight"], describe(q)["ready"]) == (2, 3)
        for settled in ({"ack": [first["receipt"]]}, {"drop": [second["receipt"]]}):
            q.http("POST", "/v1/queues/q/acks", settled)
        assert [data_of(s.take()), data_of(s.take())] == ["2", "3"]
        assert describe(q)["in_flight"] == 2


def test_a_lease_that_ends_frees_its_place_in_the_window(sidecar):
    sidecar.declare("q", lease="500ms", backoff="0s")
    sidecar.publish("q")
    with Source(sidecar, query="?window=1") as s:
        assert s.take()["attempt"] == 1
        assert s.take()["attempt"] == 2


def test_a_thousand_events_are_streamed_in_order_through_a_small_window(q):
    batch = [{"specversion": "1.0", "id": str(i), "source": "/s", "type": "t"} for i in range(1000)]
    q.http("POST", "/v1/queues/q/events", batch, {"Content-Type": "application/cloudevents-batch+json"})
    with Source(q, query="?window=50") as s:
        for start in range(0, 1000, 50):
            taken = [s.take() for _ in range(50)]
            assert [t["event"]["id"] for t in taken] == [str(start + i) for i in range(50)]
            q.ack("q", *(t["receipt"] for t in taken))
    assert ledger(q)["acked"] == 1000


def test_a_megabyte_is_streamed_whole(q):
    q.publish("q", b"\0\n\r" * 300_000, {"Content-Type": "application/octet-stream"})
    with Source(q) as s:
        assert len(s.take()["event"]["data_base64"]) == 1_200_000


# ---------------------------------------------------------------- connections that end


@pytest.mark.parametrize("reset", [False, True])
def test_events_of_a_vanished_client_are_redelivered_at_once_without_a_failure(q, reset):
    for i in range(3):
        q.publish("q", str(i))
    s = Source(q)
    taken = [s.take() for _ in range(3)]
    assert q.ack("q", taken[1]["receipt"]).status == 200
    s.close(reset)
    until(lambda: describe(q)["in_flight"] == 0)
    assert q.ack("q", taken[0]["receipt"]).json["results"][0]["result"] == "expired"
    with Source(q, headers={"Last-Event-ID": s.last_id}) as again:
        assert [(data_of(t), t["attempt"]) for t in (again.take(), again.take())] == [("0", 2), ("2", 2)]
        first, second = q.http("GET", "/v1/queues/q/events/1").json["attempts"]
        assert (first["outcome"], first["error"], second["outcome"]) == ("returned", "its stream ended", "in_flight")
    assert ledger(q)["dead_lettered"] == 0


def test_a_stalled_reader_blocks_nobody_else_and_its_unread_events_count_no_failure(sidecar):
    """A client reads nothing of its stream of some 12 MB, while another stream and takes go on."""
    sidecar.declare("q", lease="1s", max_deliveries=1, capacity_bytes="64MiB")
    address, port = sidecar.ready["http"].rsplit(":", 1)
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect((address, int(port)))
        stalled.sendall(b"GET /v1/queues/q/stream?window=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: sidecar.ops("GET", "/healthz").json["streams"] == 1)
        for _ in range(12):
            sidecar.publish("q", b"x" * 1_000_000, {"Content-Type": "application/octet-stream"})
        until(lambda: describe(sidecar)["in_flight"] >= 2)
        with Source(sidecar, query="?window=3") as s:
            for _ in range(8):
                taken = s.take()
                sidecar.ack("q", taken["receipt"])
        sidecar.publish("q", "for a take")
        until(lambda: describe(sidecar)["ready"] > 0)
        assert len(sidecar.take("q", wait="20s").json["events"]) == 1
    totals = ledger(sidecar)
    assert totals["dead_lettered"] <= 3  # events in the kernel's socket buffers count as delivered


def test_a_deleted_queue_ends_its_streams_and_says_so(q):
    q.publish("q")
    with Source(q) as s, Source(q) as other:
        got = s.take() if describe(q)["in_flight"] else None
        assert got and q.ops("DELETE", "/v1/queues/q?force=true").status == 204
        for stream in (s, other):
            event, data = stream.next()
            assert event == "end" and json.loads(data)["reason"] in ("deleted", "unknown_queue")
            assert stream.next() is None


def test_a_drain_ends_streams_and_still_accepts_acks(cluster, broker):
    sidecar = cluster.sidecar(broker, "--drain-limit", "20s")
    sidecar.declare("q", max_deliveries=1)
    for i in range(2):
        sidecar.publish("q", str(i))
    with Source(sidecar, query="?window=1") as s:
        first = s.take()
        sidecar.popen.send_signal(signal.SIGTERM)
        event, data = s.next()
        assert event == "end" and json.loads(data)["reason"] == "draining" and s.next() is None
        with Source(sidecar) as refused:
            event, data = refused.next()
            assert event == "end" and json.loads(data)["reason"] == "draining" and refused.next() is None
            assert refused.response.status == 200 and refused.retry == 1000
        assert sidecar.ack("q", first["receipt"]).status == 200
    assert sidecar.wait(timeout=PATIENCE) == 0
    other = cluster.sidecar(broker)
    assert [(data_of(e), e["attempt"]) for e in other.take("q", wait="20s").json["events"]] == [("1", 1)]
    assert (ledger(other)["acked"], ledger(other)["dead_lettered"]) == (1, 0)


def test_a_stream_stands_by_and_takes_over(cluster, broker):
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q")
    with Source(first) as a, Source(second) as b:
        assert (a.response.headers["Sluice-Consumer"], b.response.headers["Sluice-Consumer"]) == ("active", "standby")
        first.publish("q", "one")
        first.ack("q", a.take()["receipt"])
        first.kill()
        second.publish("q", "two")
        event, data = b.next()
        assert event == "consumer" and json.loads(data)["epoch"] > int(a.response.headers["Sluice-Consumer-Epoch"])
        assert data_of(b.take()) == "two"


def test_it_survives_a_restart_of_the_broker(cluster, tmp_path):
    endpoint = f"ipc://{tmp_path}/broker"
    before = cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
    sidecar = cluster.sidecar(before)
    sidecar.declare("q")
    with Source(sidecar) as s:
        before.kill()
        cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
        sidecar.wait_attached()
        sidecar.publish("q", "after", query="?wait=30s")
        while (got := s.next())[0] == "consumer":
            pass
        assert json.loads(got[1])["event"]["data"] == "after"


# ---------------------------------------------------------------- requests


def test_bad_stream_requests_are_refused(q):
    assert q.http("GET", "/v1/queues/nowhere/stream").status == 404
    assert q.http("GET", "/v1/queues/q/stream?window=0").status == 400
    assert "known here" in q.http("GET", "/v1/queues/q/stream?max=1").json["detail"]
    assert q.http("GET", "/v1/queues/q/stream", headers={"Accept": "application/json"}).status == 406
    assert q.http("GET", "/v1/queues/q/stream", headers={"Origin": "http://evil.example"}).status == 403
    assert q.http("POST", "/v1/queues/q/stream").status == 405
    head = q.http("HEAD", "/v1/queues/q/stream")
    assert head.status == 200 and head.headers["Content-Type"] == "text/event-stream"
    assert describe(q)["consumer"] is None


def test_a_page_of_an_allowed_origin_may_read(cluster, broker, tmp_path):
    config = tmp_path / "sidecar.yaml"
    config.write_text("allow:\n  origins: [https://shop.example]\n")
    sidecar = cluster.sidecar(broker, "--config", str(config))
    sidecar.declare("q")
    with Source(sidecar, headers={"Origin": "https://shop.example", "Accept": "text/event-stream"}) as s:
        assert s.response.status == 200
        assert s.response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "content-type"}
    leave = sidecar.http("OPTIONS", "/v1/queues/q/acks", headers=asked)
    assert leave.status == 204 and leave.headers["Access-Control-Allow-Methods"] == "POST"
    assert leave.headers["Access-Control-Allow-Headers"] == "content-type" and leave.headers["Vary"] == "Origin"
    assert sidecar.http("OPTIONS", "/v1/queues/q/acks",
                        headers={**asked, "Origin": "http://evil.example"}).status == 403
    nowhere = sidecar.http("GET", "/v1/queues/nowhere", headers={"Origin": "https://shop.example"})
    assert nowhere.status == 404 and nowhere.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Access-Control-Allow-Origin" not in sidecar.http("GET", "/v1/queues/q").headers


def test_curl_prints_events_as_they_come(q):
    with subprocess.Popen(["curl", "-sN", f"http://{q.ready['http']}/v1/queues/q/stream"], stdout=subprocess.PIPE,
                          text=True) as curl:
        try:
            assert curl.stdout.readline() == "retry: 1000\n"
            q.publish("q", "hello")
            assert curl.stdout.readline() == "\n" and curl.stdout.readline() == "id: 1\n"
            assert '"data":"hello"' in curl.stdout.readline()
        finally:
            curl.kill()


# ---------------------------------------------------------------- many at once


def test_many_streams_share_a_queue_and_each_event_goes_to_one(q):
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(Source(q, query="?window=1")) for _ in range(50)]
        batch = [{"specversion": "1.0", "id": str(i), "source": "/s", "type": "t"} for i in range(50)]
        q.http("POST", "/v1/queues/q/events", batch, {"Content-Type": "application/cloudevents-batch+json"})
        assert sorted(s.take()["sequence"] for s in sources) == list(range(1, 51))


def test_takes_of_many_clients_are_served_in_order_of_arrival(q):
    """Forty curls wait in line. Every fourth is killed while it waits, which must not affect the others."""
    def waiting():
        return q.ops("GET", "/healthz").json["waiting_takes"]

    url = f"http://{q.ready['http']}/v1/queues/q/take?wait=60s"
    curls = []
    try:
        for i in range(40):
            curls.append(subprocess.Popen(["curl", "-s", "-X", "POST", url], stdout=subprocess.PIPE, text=True))
            until(lambda: waiting() == i + 1)
        for curl in curls[::4]:
            curl.kill()
            curl.wait()
        until(lambda: waiting() == 30)
        for i in range(30):
            q.publish("q", str(i))
        left = [c for i, c in enumerate(curls) if i % 4]
        taken = [json.loads(c.communicate(timeout=PATIENCE)[0])["events"][0] for c in left]
    finally:
        for curl in curls:
            curl.kill()
            curl.wait()
    assert [(t["sequence"], t["attempt"]) for t in taken] == [(i + 1, 1) for i in range(30)]
