"""Publishing over HTTP: plain bodies, CloudEvents in every mode and format, batches, full and closed queues, and
refusals."""
import json

import pytest

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
BINARY = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/s", "ce-type": "t"}


def event(**more):
    return {"specversion": "1.0", "id": "a", "source": "/s", "type": "t", **more}


def reason(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, answer.json["reason"]


@pytest.fixture
def q(sidecar):
    sidecar.declare("q", capacity=3)
    return sidecar


def back(sidecar):
    """Takes the next event. Returns the raw answer and the parsed event."""
    answer = sidecar.take("q", wait="5s")
    return answer.body.decode(), answer.json["events"][0]["event"]


def test_a_plain_body_is_wrapped(q):
    answer = q.publish("q", '{"n":1.0}', {"Content-Type": "application/json", "Idempotency-Key": "k1"})
    assert answer.status == 202
    assert answer.json == {"queue": "q", "sequence": 1, "id": "k1"}
    raw, e = back(q)
    assert '"data":{"n":1.0}' in raw
    assert (e["id"], e["source"], e["type"], e["datacontenttype"]) == ("k1", "/sluice", "sluice.event",
                                                                       "application/json")


def test_binary_mode_keeps_attributes_and_bytes(q):
    headers = {**BINARY, "ce-subject": "caf%C3%A9", "ce-traceid": "1", "Content-Type": "application/octet-stream"}
    assert q.publish("q", b"\x00\xff", headers).status == 202
    _, e = back(q)
    assert (e["id"], e["subject"], e["traceid"], e["data_base64"]) == ("7", "café", "1", "AP8=")


def test_structured_data_comes_back_byte_for_byte(q):
    data = '{"big":1e400,"one":1.0,"twice":1,"twice":2,"esc":"\\u0041"}'
    body = '{"specversion":"1.0","id":"a","source":"/s","type":"t","flag":true,"n":-3,"data":' + data + "}"
    assert q.publish("q", body, STRUCTURED).status == 202
    raw, e = back(q)
    assert f'"data":{data}' in raw and e["flag"] is True and e["n"] == -3


def test_protobuf_events_are_accepted_and_returned(q):
    one, two, three = (b"\x0a\x01" + i + b"\x12\x02/s\x1a\x031.0\x22\x01t\x3a\x02hi" for i in (b"a", b"b", b"c"))
    assert q.publish("q", one, {"Content-Type": "application/cloudevents+protobuf"}).json["id"] == "a"
    batch = b"".join(b"\x0a" + bytes([len(e)]) + e for e in (two, three))
    answer = q.publish("q", batch, {"Content-Type": "application/cloudevents-batch+protobuf"})
    assert answer.status == 202 and [e["sequence"] for e in answer.json["events"]] == [2, 3]
    taken = q.http("POST", "/v1/queues/q/take?max=3&wait=5s",
                   headers={"Accept": "application/cloudevents-batch+protobuf"})
    assert taken.headers["Content-Type"] == "application/cloudevents-batch+protobuf"
    assert all(taken.body.count(e) == 1 for e in (one, two, three)) and taken.body.count(b"sluicereceipt") == 3


def test_a_batch_is_admitted_as_a_prefix_and_207_says_so(q):
    answer = q.publish("q", json.dumps([event(id=str(i)) for i in range(5)]), BATCH, "?wait=0s")
    assert answer.status == 207 and answer.headers["Sluice-Refused"] == "2"
    events = answer.json["events"]
    assert [e.get("sequence") for e in events] == [1, 2, 3, None, None]
    assert events[3] == {"id": "3", "status": 429, "reason": "full",
                         "detail": "queue 'q' is full: it holds 3 of 3 events"}


def test_a_full_queue_answers_429_with_depth_and_retry_after(q):
    for _ in range(3):
        assert q.publish("q").status == 202
    answer = q.publish("q", query="?wait=50ms")
    assert reason(answer) == (429, "full")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (answer.json["depth"], answer.json["capacity"], answer.json["retryable"]) == (3, 3, True)


@pytest.mark.parametrize("body,headers,says", [
    ("{", STRUCTURED, "JSON"),
    (json.dumps(event(id="")), STRUCTURED, "'id'"),
    (json.dumps({"id": "a"}), STRUCTURED, "specversion"),
    (json.dumps(event(Upper=1)), STRUCTURED, "Upper"),
    (json.dumps(event(data=1, data_base64="AA==")), STRUCTURED, "exclude"),
    (json.dumps(event(data_base64="!")), STRUCTURED, "base64"),
    (b'{"specversion":"1.0","id":"\xff","source":"/s","type":"t"}', STRUCTURED, "UTF-8"),
    (json.dumps([event(), {"id": "b"}]), BATCH, "events[1]"),
    ("[]", BATCH, "no events"),
    ("x", {**BINARY, "ce-subject": "%zz"}, "percent-encoding"),
    ("x", {**BINARY, "ce-subject": "%ff"}, "UTF-8"),
    ("x", {**BINARY, "ce-datacontenttype": "text/plain"}, "Content-Type"),
    ("x", {**BINARY, "ce-time": "yesterday"}, "time"),
    (b"\x0a\xff", {"Content-Type": "application/cloudevents+protobuf"}, "protobuf"),
])
def test_bad_events_are_400_and_say_why(q, body, headers, says):
    answer = q.publish("q", body, headers)
    assert reason(answer) == (400, "invalid")
    assert says in answer.json["detail"]
    assert q.http("GET", "/v1/queues/q").json["ready"] == 0


def test_unknown_queues_and_oversized_or_unsupported_bodies_are_refused(q):
    assert reason(q.publish("nobody")) == (404, "unknown_queue")
    assert reason(q.publish("q", "x", {"Content-Type": "application/cloudevents+avro"})) == (415, "media_type")
    assert reason(q.publish("q", b"x" * (1 << 20), {})) == (413, "too_large")
    assert reason(q.publish("q", b"x" * (5 << 20), {})) == (413, "too_large")
    assert reason(q.publish("q", "x", {}, "?wiat=1s"))[0] == 400
    assert reason(q.publish("q", "x", {}, "?wait=1"))[0] == 400
    assert reason(q.http("POST", "/v1/queues/a%2Fb/events", "x"))[0] == 400
    assert reason(q.http("GET", "/v1/queues/q/events"))[0] == 405
    assert reason(q.http("GET", "/v1/nothing")) == (404, "not_found")


def test_a_closed_queue_refuses_and_opens_again(q):
    assert q.ops("POST", "/v1/queues/q/close").json["closed"] is True
    assert reason(q.publish("q")) == (409, "closed")
    assert q.ops("POST", "/v1/queues/q/open").json["closed"] is False
    assert q.publish("q").status == 202
