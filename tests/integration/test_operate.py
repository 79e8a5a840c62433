"""Operating a broker through a sidecar: declare, describe, list, peek, purge and delete; access rules of the listeners;
probes; and the API's description, of which every documented answer is provoked."""
import concurrent.futures
import json
import pathlib
import re
import select
import signal
import socket

import description
import pytest

from conftest import call, run
from rawhttp import HOST, dial


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
    refused = guarded.http("POST", "/v1/queues/q/purge").json
    assert refused["reason"] == "operating" and guarded.ready["ops"] in refused["detail"], refused
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


def test_peek_pages_through_everything_on_disk(cluster):
    first = cluster.broker()
    s = cluster.sidecar(first)
    s.declare("q", durability="disk")
    count, data = 300, "x" * 8000  # more than a broker reads ahead
    batch = [dict(specversion="1.0", id=str(i), source="/t", type="t", data=data) for i in range(count)]
    for start in range(0, count, 100):
        body = json.dumps(batch[start : start + 100])
        assert s.publish("q", body, {"Content-Type": "application/cloudevents-batch+json"}).status == 202
    assert s.stop() == 0 and first.stop() == 0
    s = cluster.sidecar(cluster.broker())
    seen, at = [], 1
    while at:
        page = s.http("GET", f"/v1/queues/q/peek?max=100&from={at}").json
        seen += [e["sequence"] for e in page["events"]]
        at = page["next"]
    assert seen == list(range(1, count + 1))
    assert s.http("GET", f"/v1/queues/q/peek?max=1&from={count}").json["events"][0]["event"]["id"] == str(count - 1)


def test_foreign_origins_and_hosts_and_request_smuggling_are_refused(sidecar):
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


def test_a_listener_beyond_loopback_requires_a_token(cluster, broker, tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef\n")
    with pytest.raises(RuntimeError, match="token_file"):
        cluster.sidecar(broker, "--http", "0.0.0.0:0")
    s = cluster.sidecar(broker, "--http", "0.0.0.0:0", "--token-file", str(tmp_path / "token"))
    address = s.ready["http"].replace("0.0.0.0", "127.0.0.1")
    assert call(address, "GET", "/v1/queues").status == 401
    assert call(address, "GET", "/v1/queues", headers={"Authorization": "Bearer 0123456789abcdef"}).status == 200
    url = {"SLUICE_URL": "http://" + address}
    refused = run("sluice", "queue", "list", environment=url)
    assert refused.stderr == "sluice: a valid token is needed: set SLUICE_TOKEN (401)\n"
    assert run("sluice", "queue", "list", environment={**url, "SLUICE_TOKEN": "0123456789abcdef"}).returncode == 0


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


def path_of(pattern, queue="q"):
    return pattern.replace("{q}", queue).replace("{s}", "nobody").replace("{t}", "nothing").replace("{n}", "1")


def refuse_everything(cluster, broker, token_file):
    """Makes every call be refused in each way that is common to all calls."""
    s = cluster.sidecar(broker, "--probe", "127.0.0.1:0")
    s.declare("q")
    guarded = cluster.sidecar(broker, "--ops", "0.0.0.0:0", "--token-file", str(token_file), attached=False)
    away = cluster.sidecar("tcp://127.0.0.1:1", "--app-name", "away")
    probes = ("/livez", "/readyz", "/startupz", "/healthz", "/metrics")
    waiting = []
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for method, pattern in description.operations():
            path = path_of(pattern)
            s.ops(method, path + "?bogus=1")
            call(guarded.ready["ops"].replace("0.0.0.0", "127.0.0.1"), method, path)
            s.ops(method, path, headers={"Origin": "http://evil.example"})
            s.ops(method, path, b"x" * (5 << 20))
            s.ops(method, path, headers={"X": "y" * 17000})
            if pattern not in probes:
                call(s.ready["probe"], method, path)
            if "{q}" in pattern:
                s.ops(method, path_of(pattern, "nobody"))
            waiting.append(pool.submit(away.ops, method, path))
    for future in waiting:
        future.result()


def ask_a_silent_broker(cluster):
    """Makes the calls that need the broker while it is stopped, for their answers to a timeout."""
    broker = cluster.broker()
    s = cluster.sidecar(broker, "--app-name", "shop")
    s.declare("q")
    broker.pause()
    try:
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            asked = [((method, pattern), pool.submit(s.ops, method, path_of(pattern)))
                     for method, pattern in description.operations()
                     if pattern.startswith(("/v1/queues", "/v1/topics")) and
                     not pattern.endswith(("/events", "/take", "/acks", "/stream"))
                     or (method, pattern) == ("DELETE", "/v1/subscriptions/{s}")]
        for (method, pattern), answer in asked:
            reason = "unavailable" if method == "GET" else "unknown"
            assert (pattern, answer.result().json["reason"]) == (pattern, reason)
    finally:
        broker.popen.send_signal(signal.SIGCONT)


def ask_for_topics(s, batch):
    """Provokes every answer of the calls about topics, and of publishing to them."""
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    for q, settings in (("some", {"capacity": 2}), ("disk", {"durability": "disk"}),
                        ("memory", {"durability": "memory"})):
        s.declare(q, **settings)
    for method, path, body, headers in [
        ("PUT", "/v1/topics/t", None, {}), ("PUT", "/v1/topics/t", {"unrouted": "refuse"}, {}),
        ("PUT", "/v1/topics/t", None, {"If-None-Match": "*"}), ("PUT", "/v1/topics/some", None, {}),
        ("GET", "/v1/topics", None, {}), ("GET", "/v1/topics/t", None, {}),
        ("POST", "/v1/topics/t/events", "x", {}), ("PUT", "/v1/topics/t/bindings/some", None, {}),
        ("PUT", "/v1/topics/t/bindings/disk", None, {}), ("PUT", "/v1/topics/t/bindings/memory", None, {}),
        ("GET", "/v1/topics/t/bindings/some", None, {}),
        ("POST", "/v1/topics/t/events", "x", {}), ("POST", "/v1/topics/t/events?wait=0s", batch, kind),
        ("POST", "/v1/topics/t/events?wait=0s", "x", {}),
        ("POST", "/v1/topics/t/events", "x", {"Content-Type": "application/cloudevents+xml"}),
        ("DELETE", "/v1/topics/t/bindings/some", None, {}), ("DELETE", "/v1/topics/t", None, {}),
    ]:
        s.ops(method, path, body, headers)


def test_every_answer_is_documented_and_every_documented_answer_occurs(cluster, broker, tmp_path):
    """conftest.call checks that every answer is documented. This test checks the reverse: that every documented answer
    occurs."""
    (tmp_path / "token").write_text("0123456789abcdef\n")
    description.seen.clear()
    refuse_everything(cluster, broker, tmp_path / "token")
    ask_a_silent_broker(cluster)
    s = cluster.sidecar(broker, "--app-name", "shop")
    assert s.ops("GET", "/openapi.json").json == description.API
    subscription = {"queue": "r", "url": "http://127.0.0.1:1/"}
    batch = [{"specversion": "1.0", "id": str(i), "source": "/s", "type": "t"} for i in range(3)]
    ask_for_topics(s, batch)
    for method, path, body, headers in [
        ("PUT", "/v1/queues/r", {"capacity": 2}, {}), ("PUT", "/v1/queues/r", None, {}),
        ("PUT", "/v1/queues/r", None, {"If-None-Match": "*"}), ("GET", "/v1/queues/r", None, {}),
        ("GET", "/v1/queues", None, {}),
        ("POST", "/v1/queues/r/events", "x", {}),
        ("POST", "/v1/queues/r/events?wait=0s", batch, {"Content-Type": "application/cloudevents-batch+json"}),
        ("POST", "/v1/queues/r/events?wait=0s", "x", {}),
        ("POST", "/v1/queues/r/events", "x", {"Content-Type": "application/cloudevents+xml"}),
        ("GET", "/v1/queues/r/events/1", None, {}), ("GET", "/v1/queues/r/peek", None, {}),
        ("GET", "/v1/queues/r/ledger", None, {}),
        ("PUT", "/v1/queues/later", None, {}), ("POST", "/v1/queues/later/events", "x", {"Sluice-Delay": "1h"}),
        ("DELETE", "/v1/queues/later/events/1", None, {}), ("DELETE", "/v1/queues/r/events/1", None, {}),
        ("POST", "/v1/queues/r/take?wait=5s", None, {}), ("POST", "/v1/queues/r/take", None, {"Accept": "text/html"}),
        ("POST", "/v1/queues/r/acks", {}, {}), ("POST", "/v1/queues/r/acks", {"ack": ["x"]}, {}),
        ("GET", "/v1/queues/r/stream", None, {"Accept": "text/html"}),
        ("POST", "/v1.0/publish/sluice/r", "x", {}), ("POST", "/v1.0/publish/sluice/memory", "x", {}),
        ("POST", "/v1.0/publish/sluice/r?metadata.ttlInSeconds=soon", "x", {}),
        ("POST", "/v1/queues/r/pause", None, {}), ("POST", "/v1/queues/r/resume", None, {}),
        ("POST", "/v1/queues/r/redrive", {"dry_run": True}, {}),
        ("POST", "/v1/queues/r/close", None, {}), ("POST", "/v1/queues/r/events", "x", {}),
        ("POST", "/v1/queues/r/redrive", None, {}),
        ("POST", "/v1/queues/r/open", None, {}), ("DELETE", "/v1/queues/r", None, {}),
        ("POST", "/v1/queues/r/purge", None, {}), ("DELETE", "/v1/queues/r?force=true", None, {}),
        ("PUT", "/v1/subscriptions/s", subscription, {}), ("PUT", "/v1/subscriptions/s", subscription, {}),
        ("GET", "/v1/subscriptions/s", None, {}), ("GET", "/v1/subscriptions", None, {}),
        ("DELETE", "/v1/subscriptions/s", None, {}),
        ("GET", "/livez", None, {}), ("GET", "/readyz", None, {}), ("GET", "/startupz", None, {}),
        ("GET", "/healthz", None, {}), ("GET", "/metrics", None, {}), ("GET", "/", None, {}),
        ("POST", "/v1/drain", None, {}), ("PUT", "/v1/subscriptions/s", subscription, {}),
    ]:
        s.ops(method, path, body, headers)
    documented = {(m, p, int(status)) for (m, p), o in description.operations().items() for status in o["responses"]}
    elsewhere = {
        ("POST", "/v1/queues/{q}/events", 504),  # test_drain.py: a broker that dies
        ("POST", "/v1/queues/{q}/events", 507),  # test_disk.py: full disks
        ("PUT", "/v1/queues/{q}", 409),  # test_broker.py: managed queues
        ("POST", "/v1/queues/{q}/redrive", 202),  # test_redrive.py: at a rate
        ("POST", "/v1/topics/{t}/events", 504), ("POST", "/v1/topics/{t}/events", 507),  # as for a queue
        ("DELETE", "/v1/topics/{t}", 409), ("DELETE", "/v1/topics/{t}/bindings/{q}", 409),  # test_topics.py: managed
        # Occurs only if the broker falls silent between the sidecar's two calls to it.
        ("PUT", "/v1/subscriptions/{s}", 504),
        # test_subscriptions.py: managed
        ("PUT", "/v1/subscriptions/{s}", 409), ("DELETE", "/v1/subscriptions/{s}", 409)}
    # test_http.py: requests that come too slowly
    elsewhere |= {(method, path, 408) for method, path in description.operations()}
    assert sorted(documented - description.seen) == sorted(elsewhere)


def test_the_descriptions_reasons_and_settings_match_the_sources():
    root = pathlib.Path(__file__).parents[2]
    source = re.findall(r'^REASON\((\w+), \d+, (\d+), (true|false), "(.*)"\)', (root / "proto/reasons.def").read_text(),
                        re.M)[1:]
    schemas = description.API["components"]["schemas"]
    assert description.REASONS == {n: {"status": int(s), "retryable": r == "true", "title": t} for n, s, r, t in source}
    assert schemas["Reason"]["enum"] == [n for n, *_ in source]
    settings = dict(re.findall(r'^SETTING\(\d+, (\w+),.*"(.*)"\)',
                               (root / "proto/queue_settings.def").read_text(), re.M))
    described = schemas["QueueSettings"]["properties"]
    assert list(described) == list(settings) and settings.keys() <= schemas["Queue"]["properties"].keys()
    for name, help in settings.items():
        assert described[name].get("description", "").startswith(help[0].upper() + help[1:] + "."), name


def test_a_call_without_a_broker_fails_soon_and_names_its_address(cluster, tmp_path):
    nobody = f"ipc://{tmp_path}/nobody"
    s = cluster.sidecar(nobody, attached=False)
    with dial(s.ready["http"]) as asks:
        asks.sendall(f"GET /v1/queues HTTP/1.1\r\n{HOST}\r\n".encode())
        # When the later take has failed, the listing must be answered, too. A call to an attached broker could take
        # 5 s.
        assert s.take("q", wait="3s").status == 503
        assert select.select([asks], [], [], 1)[0]
    said = run("sluice", "queue", "list", environment={"SLUICE_URL": "http://" + s.ready["http"]})
    assert said.returncode == 1
    assert f"no broker answers at {nobody}, so nothing was done: " in said.stderr, said.stderr
    assert "(503)" in said.stderr, said.stderr
    answer = s.http("PUT", "/v1/queues/q", {})
    assert (answer.status, answer.json["reason"], answer.json["retryable"]) == (503, "unavailable", True)
    broker = cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=nobody)
    s.wait_attached()
    assert s.http("PUT", "/v1/queues/q", {}).status == 201  # the refused PUT had not been carried out


def test_an_event_is_explained(sidecar):
    def explain(sequence):
        answer = sidecar.http("GET", f"/v1/queues/q/events/{sequence}")
        assert answer.status == 200, answer.body
        return answer.json

    sidecar.declare("q", max_deliveries=1, lease="1m")
    for data in ("a", "b"):
        sidecar.publish("q", data)
    told = explain(2)
    assert (told["state"], told["blocked_by"], told["behind"], told["consumer"],
            told["next"]) == ("ready", "no_consumer", 1, None, None)
    assert told["event"]["data"] == "b" and 0 <= told["age_seconds"] < 60
    [taken] = sidecar.take("q", wait="25s").json["events"]
    told = explain(1)
    assert (told["state"], told["attempt"], told["blocked_by"],
            told["next"]["what"]) == ("in_flight", 1, "in_flight", "lease_end")
    assert told["consumer"] and 0 < told["next"]["in_seconds"] <= 60
    assert [(a["attempt"], a["outcome"]) for a in told["attempts"]] == [(1, "in_flight")]
    assert explain(2)["blocked_by"] == "no_credit"
    sidecar.http("POST", "/v1/queues/q/acks",
                 {"nack": [{"receipt": taken["receipt"], "status": 503, "error": "no luck"}]})
    told = explain(1)
    assert (told["state"], told["blocked_by"], told["trouble"]["error"]) == ("dead", "dead", "no luck")
    [attempt] = told["attempts"]
    assert (attempt["attempt"], attempt["outcome"], attempt["status"],
            attempt["error"]) == (1, "nacked", 503, "no luck")
    assert attempt["consumer"] and 0 <= attempt["latency_seconds"] < 60
    said = run("sluice", "queue", "explain", "q", "1",
               environment={"SLUICE_URL": "http://" + sidecar.ready["http"]}).stdout
    assert re.search(r"^  attempt 1 +20\S+Z +nacked +after \d+\.\d{3} s, status 503, \S+: no luck$", said, re.M), said
    for sequence, sentence in ((99, "never existed"), (1, "settled")):
        sidecar.ops("POST", "/v1/queues/q/purge?state=dead")
        answer = sidecar.http("GET", f"/v1/queues/q/events/{sequence}")
        assert answer.status == 404 and sentence in answer.json["detail"], answer.body
        assert answer.json["reason"] == "unknown_event"
    for bad in ("0", "x", "-1", "1.5"):
        assert sidecar.http("GET", f"/v1/queues/q/events/{bad}").status == 400
    shell = {"SLUICE_URL": "http://" + sidecar.ready["http"]}
    said = run("sluice", "queue", "explain", "q", "2", environment=shell).stdout
    assert re.search(r"^#2 +ready .*b\n +its consumer is not asking for more events\n +accepted 20", said, re.M), said
    assert run("sluice", "queue", "explain", "q", "0", environment=shell).returncode == 2
