"""A sidecar that drains and stops, and one whose broker goes away: every waiting request gets a truthful answer
("unknown" where the broker may have acted), and events already handed out may still be settled."""
import concurrent.futures
import http.client
import json
import os
import signal

from conftest import until
from rawhttp import DEADLINE


def test_a_publish_waiting_in_a_broker_that_dies_is_unknown(cluster):
    broker = cluster.broker()
    s = cluster.sidecar(broker, "--app-name", "shop")
    s.declare("q", capacity=1)
    s.publish("q")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        generated = pool.submit(s.publish, "q", query="?wait=3s")
        named = pool.submit(s.publish, "q", "x", {"Idempotency-Key": "mine"}, "?wait=3s")
        until(lambda: s.http("GET", "/v1/queues/q").json["waiting_publishers"] == 2)
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


def test_a_stopping_sidecar_answers_undecided_publishes_as_unknown(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q", capacity=1)
    s.publish("q")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(s.publish, "q", query="?wait=60s")
        until(lambda: s.http("GET", "/v1/queues/q").json["waiting_publishers"] == 1)
        assert s.stop() == 0
        assert (waiting.result().status, waiting.result().json["reason"]) == (504, "unknown")
    assert log_of(s, "sidecar") == [
        ("info", f"stopping: SIGTERM from process {os.getpid()}"),
        ("info", "draining for at most 1s (drain_limit): no more takes and pushes; publishing and acks go on; "
                 "events handed out and not settled: 0, published and not decided: 1"),
        ("info", "drained; events handed out and not settled: 0, published and not decided: 1"),
        ("info", "waiting for publishes to be decided, for the rest of drain_limit but at least 2s; "
                 "events handed out and not settled: 0, published and not decided: 1"),
        ("warn", "ending; publishes that are not decided are answered as unknown; "
                 "events handed out and not settled: 0, published and not decided: 1")]


def log_of(process, component):
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    return [(line["level"], line["msg"]) for line in lines if line["component"] == component]


def test_the_log_says_what_a_drain_waited_for_and_why(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q")
    s.publish("q")
    assert len(s.take("q", wait="5s").json["events"]) == 1
    broker.kill()
    until(lambda: s.ops("GET", "/readyz").status == 503)
    answer = s.ops("POST", "/v1/drain").json
    assert answer == {"drained": False, "undecided": 0, "held": 1}
    assert s.stop() == 0
    begin, end, stopping = log_of(s, "sidecar")
    assert stopping[1].startswith("stopping: SIGTERM")
    left = ("; events handed out and not settled: 1, published and not decided: 0; "
            "not attached to the broker: the broker")
    assert begin[1].startswith("draining for at most 1s") and left in begin[1]
    assert end[0] == "warn"
    assert end[1].startswith("drain_limit is over; events that are still not settled may be redelivered" + left)


def test_a_stopping_sidecar_answers_a_call_that_was_sent_as_unknown(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q")
    s.publish("q")
    receipt = s.take("q", wait="5s").json["events"][0]["receipt"]
    broker.pause()
    try:
        purging, looking, acking = (http.client.HTTPConnection(s.ready["ops"], timeout=30) for _ in range(3))
        purging.request("POST", "/v1/queues/q/purge")
        looking.request("GET", "/v1/queues/q")
        acking.request("POST", "/v1/queues/q/acks", json.dumps({"ack": [receipt]}))
        for _ in range(2): # later requests are answered, so these have arrived
            until(lambda: s.ops("GET", "/healthz").json["connections"] == 4)
        s.popen.send_signal(signal.SIGTERM)
        for connection, said in ((purging, (504, "unknown")), (looking, (503, "draining"))):
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["reason"]) == said
            connection.close()
        answer = acking.getresponse()
        assert answer.status == 207
        assert json.loads(answer.read())["results"] == [{"receipt": receipt, "result": "unknown"}]
        acking.close()
    finally:
        broker.popen.send_signal(signal.SIGCONT)


def test_a_stopping_sidecar_answers_a_held_call_as_unknown(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q")
    broker.kill()
    until(lambda: s.ops("GET", "/readyz").status == 503)
    purging = http.client.HTTPConnection(s.ready["ops"], timeout=30)
    purging.request("POST", "/v1/queues/q/purge")
    assert s.ops("GET", "/livez").status == 200 # a later request is answered, so this one has arrived
    s.popen.send_signal(signal.SIGTERM)
    answer = purging.getresponse()
    assert (answer.status, json.loads(answer.read())["reason"]) == (504, "unknown")
    purging.close()


def test_acks_are_accepted_after_sigterm_and_end_the_drain(cluster, broker):
    s = cluster.sidecar(broker, "--drain-limit", "30s")
    s.declare("q")
    s.publish("q")
    receipt = s.take("q", wait="5s").json["events"][0]["receipt"]
    s.popen.send_signal(signal.SIGTERM)
    until(lambda: s.take("q").status == 503)
    assert s.publish("q").status == 202
    assert s.ack("q", receipt).json["results"][0]["result"] == "acked"
    assert s.wait(timeout=10) == 0


def test_a_second_sigterm_ends_the_drain_at_once_and_a_sighup_does_not(cluster, broker):
    s = cluster.sidecar(broker, "--drain-limit", "10m")
    s.declare("q")
    s.publish("q")
    assert len(s.take("q", wait="5s").json["events"]) == 1
    s.popen.send_signal(signal.SIGTERM)
    until(lambda: s.take("q").status == 503)
    s.popen.send_signal(signal.SIGHUP)
    for _ in range(3):
        assert s.publish("q").status == 202
    with concurrent.futures.ThreadPoolExecutor() as pool:
        draining = pool.submit(s.ops, "POST", "/v1/drain")  # such as a preStop hook's
        for _ in range(2):  # later requests are answered, so this one has arrived
            until(lambda: s.ops("GET", "/healthz").json["connections"] == 2)
        s.popen.send_signal(signal.SIGTERM)
        assert draining.result().json == {"drained": False, "undecided": 0, "held": 1}
    assert s.wait(timeout=10) == 0
    assert log_of(s, "sidecar")[2:] == [("warn", "a second signal: ending at once; "
                                                 "events handed out and not settled: 1, published and not decided: 0")]


def test_metrics_during_a_stop_have_at_least_the_sidecar_s_own(cluster, broker):
    s = cluster.sidecar(broker, "--drain-limit", "10m", "--operations")
    s.declare("q")
    s.publish("q")
    assert len(s.take("q", wait="5s").json["events"]) == 1
    s.popen.send_signal(signal.SIGTERM)
    until(lambda: s.take("q").status == 503)
    broker.pause()
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            metrics = pool.submit(s.ops, "GET", "/metrics")
            for _ in range(2):
                until(lambda: s.ops("GET", "/healthz").json["connections"] == 2)
            s.popen.send_signal(signal.SIGTERM)
            assert metrics.result().status == 200 and b"sluice_http_requests_total" in metrics.result().body
    finally:
        broker.popen.send_signal(signal.SIGCONT)


def test_a_drain_ends_with_the_last_event_settled_though_publishers_go_on(cluster, broker):
    s = cluster.sidecar(broker, "--drain-limit", "10m")
    s.declare("q", capacity=1)
    s.publish("q")
    receipt = s.take("q", wait="5s").json["events"][0]["receipt"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        publishing = pool.submit(s.publish, "q", query="?wait=5s")
        draining = pool.submit(s.ops, "POST", "/v1/drain", timeout=DEADLINE)
        until(lambda: s.take("q").status == 503)
        assert s.ack("q", receipt).status == 200
        assert draining.result().json["drained"] is True
        assert publishing.result().status == 202
    assert s.ops("GET", "/healthz").json["status"] == "draining"
