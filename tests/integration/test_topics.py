"""Topics, over HTTP and in the CLI: an event goes to every bound queue whose filter matches, or to none of them."""
import json
import os
import subprocess
import threading
import time

import pytest

from conftest import BIN
from test_metrics import scrape

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
PLACED = {"exact": {"type": "order.placed"}}


def event(id, type="order.placed", **more):
    return {"specversion": "1.0", "id": id, "source": "/s", "type": type, **more}


def publish(s, id, *arguments, wait="0s", **more):
    return s.http("POST", f"/v1/topics/all/events?wait={wait}", json.dumps(event(id, *arguments, **more)), STRUCTURED)


def bind(s, queue, filter=None):
    answer = s.http("PUT", f"/v1/topics/all/bindings/{queue}", {"filter": filter} if filter else {})
    assert answer.status == 200, answer.body
    return answer.json


def topic(s, *queues, **settings):
    """Declares the topic "all" and binds these queues to it."""
    assert s.http("PUT", "/v1/topics/all", settings).status == 201
    for q in queues:
        s.declare(q, capacity=100)
        bind(s, q)


def test_events_go_to_the_queues_whose_filter_matches(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    topic(s, "audit", "mail")
    assert bind(s, "mail", PLACED) == {"topic": "all", "queue": "mail", "filter": PLACED, "matched": 0}
    assert publish(s, "1").json == {"topic": "all", "id": "1", "queues": {"audit": 1, "mail": 1}}
    assert publish(s, "2", "order.paid").json["queues"] == {"audit": 2}
    assert publish(s, "2", "order.paid").json["queues"] == {"audit": 2}  # a retry
    answer = s.http("POST", "/v1/topics/all/events", json.dumps([event("3"), event("4", "x")]), BATCH)
    assert answer.json == {"events": [{"id": "3", "queues": {"audit": 3, "mail": 2}},
                                      {"id": "4", "queues": {"audit": 4}}]}
    assert s.publish("all", "by the name alone").json["queues"] == {"audit": 5}
    t = s.http("GET", "/v1/topics/all").json
    assert (t["accepted"], t["duplicates"], t["unrouted"], t["managed"]) == (5, 1, "refuse", None)
    assert t["bindings"]["mail"] == {"filter": PLACED, "matched": 2} and t["bindings"]["audit"] == {"matched": 5}
    listed = s.http("GET", "/v1/topics?prefix=a").json["topics"]["all"]
    assert {**listed, "rate": t["rate"]} == t  # the rate changes over time
    assert s.http("GET", "/v1/topics/all/bindings/none").status == 404
    figures = scrape(s)
    assert [figures[f"sluice_topic_{name}", 'topic="all"']
            for name in ("accepted_total", "duplicates_total", "bindings")] == [5, 1, 2]
    for queue, ids in (("audit", ["1", "2", "3", "4"]), ("mail", ["1", "3"])):
        taken = s.take(queue, max=9, wait="5s").json["events"]
        assert [e["event"]["id"] for e in taken][:4] == ids
        s.ack(queue, *[e["receipt"] for e in taken])
    assert s.http("GET", "/v1/queues/mail/ledger").json["acked"] == 2


def test_a_refused_topic_publish_names_the_queue(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    topic(s, "audit", "mail")
    s.declare("mail", capacity=1)
    assert publish(s, "1").status == 202
    answer = publish(s, "2")
    assert (answer.status, answer.json["queue"], answer.json["topic"]) == (429, "mail", "all")
    assert "queue 'mail' is full: it holds 1 of 1" in answer.json["detail"]
    assert s.http("GET", "/v1/queues/audit").json["ready"] == 1
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(publish(s, "2", wait="30s")))
    waiter.start()
    deadline = time.monotonic() + 10
    while s.http("GET", "/v1/topics/all").json["waiting_publishers"] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    taken = s.take("mail", wait="5s").json["events"]
    s.ack("mail", taken[0]["receipt"])
    waiter.join(30)
    assert answers[0].json["queues"] == {"audit": 2, "mail": 2}


def test_unrouted_events_are_dropped_refused_or_sent_to_a_queue(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    topic(s, "mail")
    bind(s, "mail", PLACED)
    answer = publish(s, "1", "x")
    assert (answer.status, answer.json["reason"]) == (409, "unrouted")
    assert s.http("PUT", "/v1/topics/all", {"unrouted": "drop"}).status == 200
    assert publish(s, "1", "x").json["queues"] == {}
    assert s.http("GET", "/v1/topics/all").json["dropped"] == 1
    s.declare("rest", capacity=9)
    assert s.http("PUT", "/v1/topics/all", {"unrouted": {"queue": "rest"}}).json["unrouted"] == {"queue": "rest"}
    assert publish(s, "1", "x").json["queues"] == {"rest": 1}
    assert s.http("PUT", "/v1/topics/all", {"unrouted": {"queue": "none"}}).status == 404


def test_conflicting_names_and_missing_queues_and_topics_are_refused(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    topic(s, "mail")
    assert s.http("PUT", "/v1/topics/mail").status == 409
    assert s.http("PUT", "/v1/queues/all").status == 409
    assert s.http("PUT", "/v1/topics/all", headers={"If-None-Match": "*"}).status == 412
    answer = s.http("POST", "/v1/topics/mail/events", "x")
    assert answer.json["reason"] == "unknown_topic" and not {"depth", "capacity"} & set(answer.json), answer.json
    assert s.http("GET", "/v1/queues/mail").json["refused"] == 0
    assert s.http("POST", "/v1/topics/none/events", "x").json["reason"] == "unknown_topic"
    assert s.http("PUT", "/v1/topics/all/bindings/none").status == 404
    answer = s.http("PUT", "/v1/topics/all/bindings/mail", {"filter": {"all": [{"like": {"type": "x"}}]}})
    assert answer.status == 400 and "filter.all[0]: unknown operator 'like'" in answer.json["detail"]
    answer = s.ops("DELETE", "/v1/queues/mail")
    assert (answer.status, answer.json["reason"]) == (409, "bound") and "all" in answer.json["detail"]
    assert s.ops("DELETE", "/v1/queues/mail?force=true").status == 204
    assert s.http("GET", "/v1/topics/all").json["bindings"] == {}
    assert s.ops("DELETE", "/v1/topics/all/bindings/mail").status == 404
    assert s.ops("DELETE", "/v1/topics/all").status == 204
    assert s.http("GET", "/v1/topics/all").status == 404


def test_topics_survive_a_killed_broker(cluster, tmp_path):
    config = {"data": str(tmp_path / "data")}
    broker = cluster.broker("--data", config["data"])
    s = cluster.sidecar(broker, "--operations")
    topic(s, "audit", "mail", unrouted="drop")
    bind(s, "mail", PLACED)
    assert publish(s, "1", wait="5s").json["queues"] == {"audit": 1, "mail": 1}
    assert publish(s, "2", "order.paid", wait="5s").json["queues"] == {"audit": 2}
    broker.kill()
    again = cluster.broker("--data", config["data"])
    t = cluster.sidecar(again, "--operations")
    shown = t.http("GET", "/v1/topics/all").json
    assert shown["unrouted"] == "drop" and shown["bindings"]["mail"]["filter"] == PLACED
    assert [t.http("GET", f"/v1/queues/{q}").json["ready"] for q in ("audit", "mail")] == [2, 1]
    # A retry after the crash is a duplicate.
    assert publish(t, "1", wait="5s").json["queues"] == {"audit": 1, "mail": 1}
    assert publish(t, "3", wait="5s").json["queues"] == {"audit": 3, "mail": 2}


def test_on_disk_a_fanned_out_event_is_stored_once(cluster):
    queues = [f"q{i}" for i in range(10)]
    broker = cluster.broker()
    data = cluster.directory / "data"
    s = cluster.sidecar(broker, "--operations")
    topic(s, *queues)
    for q in queues:
        s.declare(q, capacity=5000, durability="disk")
    before = scrape(s)["sluice_broker_disk_written_bytes_total", None]
    payload = 0
    for i in range(20):
        events = [event(f"{i}.{k}", data="x" * 4000) for k in range(50)]
        body = json.dumps(events)
        payload += len(body)
        answer = s.http("POST", "/v1/topics/all/events?wait=30s", body, BATCH)
        assert answer.status == 202 and answer.json["events"][49]["queues"] == {q: 50 * i + 50 for q in queues}
    written = scrape(s)["sluice_broker_disk_written_bytes_total", None] - before
    assert 0.9 * payload < written < 1.2 * payload, written / payload
    broker.kill()
    done = subprocess.run([BIN / "sluice-broker", "--check", data], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1000 events were accepted") == 10
    s = cluster.sidecar(cluster.broker(), "--operations")

    def consume(queue):
        ids = []
        while len(ids) < 1000:
            taken = s.take(queue, max=500, wait="10s").json["events"]
            ids += [e["event"]["id"] for e in taken]
            assert taken and all(e["event"]["data"] == "x" * 4000 for e in taken)
            s.ack(queue, *[e["receipt"] for e in taken])
        assert ids == [f"{i}.{k}" for i in range(20) for k in range(50)]
        ledger = s.http("GET", f"/v1/queues/{queue}/ledger").json
        assert (ledger["accepted"], ledger["acked"], ledger["remaining"]) == (1000, 1000, 0)

    for queue in queues:
        consume(queue)


def test_topics_can_be_configured(cluster, tmp_path):
    config = tmp_path / "broker.yaml"
    config.write_text("queues: {audit: {capacity: 9}, mail: {capacity: 9}, rest: {}}\n"
                      "topics:\n  all.orders:\n    unrouted: {queue: rest}\n    bindings:\n      audit: {}\n"
                      "      mail: {filter: '{\"exact\": {\"type\": \"order.placed\"}}'}\n")
    s = cluster.sidecar(cluster.broker("--config", str(config)), "--operations")
    t = s.http("GET", "/v1/topics/all.orders").json
    assert (t["managed"], t["unrouted"]) == ("config", {"queue": "rest"})
    assert t["bindings"] == {"audit": {"matched": 0}, "mail": {"filter": PLACED, "matched": 0}}
    for answer in (s.http("PUT", "/v1/topics/all.orders", {"unrouted": "drop"}),
                   s.ops("DELETE", "/v1/topics/all.orders"), s.http("PUT", "/v1/topics/all.orders/bindings/rest")):
        assert (answer.status, answer.json["reason"]) == (409, "managed")
    config.write_text("queues: {audit.filter: }\n"  # names with dots, and with words that are also keys of the file
                      "topics:\n  all.bindings.x:\n    unrouted: drop\n    bindings: {audit.filter: {}}\n")
    t = cluster.sidecar(cluster.broker("--config", str(config))).http("GET", "/v1/topics/all.bindings.x").json
    assert (t["unrouted"], t["bindings"]) == ("drop", {"audit.filter": {"matched": 0}})
    config.write_text("topics: {t: {bindings: {q: {filter: '{\"sql\": 1}'}}}}\n")
    done = subprocess.run([BIN / "sluice-broker", "--config", config, "--check-config"], capture_output=True, text=True)
    assert done.returncode == 2 and "broker.yaml:1" in done.stderr and "unknown operator 'sql'" in done.stderr


@pytest.mark.parametrize("topic", ["bindings: {nosuch: {}}", "unrouted: {queue: nosuch}"])
def test_a_configured_topics_queues_must_exist(cluster, tmp_path, topic):
    config, data = tmp_path / "broker.yaml", tmp_path / "data"
    config.write_text(f"queues:\n  audit: {{}}\ntopics:\n  all:\n    {topic}\n")

    def start(*more):
        done = subprocess.run([BIN / "sluice-broker", "--listen", "tcp://127.0.0.1:0", "--config", config, *more],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    said = "topics: 'all' names queue 'nosuch' (line 5), which is not in the file"
    for more in ("--check-config",), ():
        code, text = start(*more)
        assert code == 2 and said in text, text
    code, text = start("--data", str(data), "--check-config")
    assert code == 0 and said in text and "Unless the data directory has it" in text
    # A missing queue does not keep the others from starting.
    first = cluster.broker("--data", str(data), "--config", str(config))
    s = cluster.sidecar(first)
    assert "nosuch" not in str(s.http("GET", "/v1/topics/all").json)
    s.declare("nosuch", durability="disk")
    assert s.stop() == 0 and first.stop() == 0
    s = cluster.sidecar(cluster.broker("--data", str(data), "--config", str(config)))
    assert "nosuch" in str(s.http("GET", "/v1/topics/all").json)


def test_the_cli_manages_topics(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    s.declare("audit", capacity=9)
    s.declare("mail", capacity=9)

    def sluice(*arguments, status=0):
        done = subprocess.run([BIN / "sluice", *arguments], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "SLUICE_URL": "http://" + s.ready["http"],
                                   "SLUICE_OPS_URL": "http://" + s.ready["ops"]})
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    assert "all: 0 accepted" in sluice("topic", "put", "all", "--unrouted", "drop")
    assert "every event" in sluice("topic", "bind", "all", "audit")
    assert json.dumps(PLACED, separators=(",", ":")) in sluice("topic", "bind", "all", "mail",
                                                               "--filter", json.dumps(PLACED))
    assert "unknown operator" in sluice("topic", "bind", "all", "mail", "--filter", '{"sql": 1}', status=1)
    assert "2 confirmed" in sluice("pub", "--topic", "all", "--type", "order.placed", "one", "two")
    assert "no topic 'none'" in sluice("pub", "--topic", "none", "one", status=1)
    assert json.loads(sluice("topic", "show", "all", "--json"))["bindings"]["mail"]["matched"] == 2
    assert sluice("topic", "list", "--names") == "all\n"
    assert "unbound audit" in sluice("topic", "unbind", "all", "audit")
    assert "deleted all" in sluice("topic", "delete", "all")
