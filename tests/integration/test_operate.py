import json
import pathlib
import socket

import jsonschema
import pytest

from conftest import call


def test_declare_describe_list_delete(sidecar):
    created = sidecar.http("PUT", "/v1/queues/a", {"capacity": 10, "capacity_bytes": "1MiB", "lease": "1m"})
    assert created.status == 201 and created.json["capacity_bytes"] == 1 << 20
    assert sidecar.http("PUT", "/v1/queues/a", {"capacity": 20}).json["lease"] == "1m"
    assert sidecar.http("PUT", "/v1/queues/a", headers={"If-None-Match": "*"}).status == 412
    sidecar.declare("b")
    page = sidecar.http("GET", "/v1/queues?limit=1").json
    assert list(page["queues"]) == ["a"] and page["next"] == "a"
    page = sidecar.http("GET", "/v1/queues?after=a").json
    assert list(page["queues"]) == ["b"] and page["next"] is None
    sidecar.publish("a")
    assert sidecar.ops("DELETE", "/v1/queues/a").status == 409
    assert sidecar.ops("DELETE", "/v1/queues/a?force=true").status == 204
    assert sidecar.http("GET", "/v1/queues/a").status == 404


@pytest.mark.parametrize("body,says", [
    ({"capacity": 0}, "capacity"), ({"capcity": 1}, "capacity"), ({"lease": 30}, "lease"), ({"lease": "x"}, "lease"),
    ({"overflow": "maybe"}, "overflow"), ([], "object"), ({"durability": "tape"}, "memory or disk"),
])
def test_bad_settings_are_refused_with_the_name(sidecar, body, says):
    answer = sidecar.http("PUT", "/v1/queues/q", body)
    assert answer.status in (400, 409) and says in answer.json["detail"]


def test_operating_calls_need_the_operations_listener(cluster, broker):
    guarded, open_ = cluster.sidecar(broker), cluster.sidecar(broker, "--app-operate")
    guarded.declare("q")
    assert guarded.http("POST", "/v1/queues/q/purge").json["reason"] == "operating"
    assert open_.http("POST", "/v1/queues/q/purge").json == {"purged": 0}


def test_peek_and_purge(sidecar):
    sidecar.declare("q")
    for i in range(5):
        sidecar.publish("q", str(i))
    page = sidecar.http("GET", "/v1/queues/q/peek?max=2").json
    assert [e["event"]["data"] for e in page["events"]] == ["0", "1"] and page["next"] == 3
    page = sidecar.http("GET", f"/v1/queues/q/peek?from={page['next']}").json
    assert [e["sequence"] for e in page["events"]] == [3, 4, 5] and page["next"] is None
    assert sidecar.ops("POST", "/v1/queues/q/purge").json == {"purged": 5}
    assert sidecar.http("GET", "/v1/queues/q/ledger").json["purged"] == 5


def test_origins_hosts_and_smuggling_are_refused(sidecar):
    assert sidecar.http("GET", "/v1/queues", headers={"Origin": "http://evil.example"}).json["reason"] == "origin"
    assert sidecar.http("GET", "/v1/queues", headers={"Host": "evil.example"}).json["reason"] == "host"
    host, port = sidecar.ready["http"].split(":")
    for head in ("Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                 "Host: localhost\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as s:
            s.sendall(f"POST /v1/queues/q/events HTTP/1.1\r\nHost: localhost\r\n{head}\r\n0\r\n\r\n".encode())
            assert b" 400 " in s.recv(4096).split(b"\r\n")[0]
    assert sidecar.http("GET", "/v1/queues", headers={"X": "y" * 17000}).status == 431
    assert sidecar.http("GET", "/v1/queues").status == 200


def test_a_listener_beyond_loopback_asks_for_a_token(cluster, broker, tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef\n")
    with pytest.raises(RuntimeError, match="token_file"):
        cluster.sidecar(broker, "--http", "0.0.0.0:0")
    s = cluster.sidecar(broker, "--http", "0.0.0.0:0", "--token-file", str(tmp_path / "token"))
    address = s.ready["http"].replace("0.0.0.0", "127.0.0.1")
    assert call(address, "GET", "/v1/queues").status == 401
    assert call(address, "GET", "/v1/queues", headers={"Authorization": "Bearer 0123456789abcdef"}).status == 200


def test_probes_and_metrics(cluster, broker):
    s = cluster.sidecar(broker, "--probe", "127.0.0.1:0", "--operations")
    s.declare("q")
    s.publish("q")
    probe = s.ready["probe"]
    assert [call(probe, "GET", p).status for p in ("/livez", "/readyz", "/startupz", "/healthz")] == [200] * 4
    assert call(probe, "GET", "/v1/queues").status == 404
    text = call(probe, "GET", "/metrics").body.decode()
    for line in ('sluice_attached 1', 'sluice_published_events_total{result="confirmed"} 1',
                 'sluice_queue_ready{queue="q"} 1', "sluice_broker_sessions 1"):
        assert line in text, text


def test_a_sidecar_without_a_broker_says_so(cluster):
    s = cluster.sidecar("tcp://127.0.0.1:1")
    assert s.ops("GET", "/livez").status == 200
    assert s.ops("GET", "/readyz").json["reason"] == "unavailable"
    answer = s.publish("q", query="?wait=100ms")
    assert (answer.status, answer.json["reason"]) == (503, "unavailable") and answer.headers["Retry-After"]


def test_every_answer_is_as_the_description_says(sidecar):
    api = sidecar.ops("GET", "/openapi.json").json
    source = json.loads((pathlib.Path(__file__).parents[2] / "sidecar/api/openapi.json").read_text())
    assert api == source
    calls = [
        ("PUT", "/v1/queues/{q}", "/v1/queues/q", None, {}), ("PUT", "/v1/queues/{q}", "/v1/queues/q", None, {}),
        ("PUT", "/v1/queues/{q}", "/v1/queues/q", '{"x":1}', {}),
        ("POST", "/v1/queues/{q}/events", "/v1/queues/q/events", "x", {}),
        ("POST", "/v1/queues/{q}/events", "/v1/queues/none/events", "x", {}),
        ("GET", "/v1/queues/{q}", "/v1/queues/q", None, {}), ("GET", "/v1/queues", "/v1/queues", None, {}),
        ("GET", "/v1/queues/{q}/peek", "/v1/queues/q/peek", None, {}),
        ("POST", "/v1/queues/{q}/take", "/v1/queues/q/take?wait=5s", None, {}),
        ("POST", "/v1/queues/{q}/acks", "/v1/queues/q/acks", '{"ack":["x"]}', {}),
        ("GET", "/v1/queues/{q}/ledger", "/v1/queues/q/ledger", None, {}),
        ("POST", "/v1/queues/{q}/pause", "/v1/queues/q/pause", None, {}),
        ("POST", "/v1/queues/{q}/resume", "/v1/queues/q/resume", None, {}),
        ("POST", "/v1/queues/{q}/close", "/v1/queues/q/close", None, {}),
        ("POST", "/v1/queues/{q}/open", "/v1/queues/q/open", None, {}),
        ("POST", "/v1/queues/{q}/purge", "/v1/queues/q/purge", None, {}),
        ("DELETE", "/v1/queues/{q}", "/v1/queues/q?force=true", None, {}),
        ("GET", "/livez", "/livez", None, {}), ("GET", "/readyz", "/readyz", None, {}),
        ("GET", "/startupz", "/startupz", None, {}), ("GET", "/healthz", "/healthz", None, {}),
        ("GET", "/metrics", "/metrics", None, {}), ("GET", "/", "/", None, {}),
        ("GET", "/openapi.json", "/openapi.json", None, {}), ("POST", "/v1/drain", "/v1/drain", None, {}),
    ]
    for method, pattern, path, body, headers in calls:
        answer = sidecar.ops(method, path, body, headers)
        described = api["paths"][pattern][method.lower()]["responses"]
        assert str(answer.status) in described, (method, path, answer.status, answer.body)
        check_body(api, described[str(answer.status)], answer)
    covered = {(m, p) for m, p, *_ in calls}
    described = {(m.upper(), p) for p, item in api["paths"].items() for m in item if m != "parameters"}
    assert covered == described


def check_body(api, response, answer):
    if "$ref" in response:
        response = api["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    content = response.get("content")
    if not content:
        assert answer.body == b""
        return
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in content, (kind, list(content))
    if kind.endswith("json"):
        schema = {**content[kind]["schema"], "components": api["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json)
