"""Consuming over HTTP: take, ack, nack, extend, leases, pause, and how the turn passes between sidecars."""
import concurrent.futures

from conftest import call, until


def receipts(answer):
    return [e["receipt"] for e in answer.json["events"]]


def test_take_and_ack_balance_the_ledger(sidecar):
    sidecar.declare("q")
    for i in range(5):
        assert sidecar.publish("q", str(i)).status == 202
    taken = sidecar.take("q", max=3, wait="5s")
    assert [e["event"]["data"] for e in taken.json["events"]] == ["0", "1", "2"]
    assert [e["attempt"] for e in taken.json["events"]] == [1, 1, 1]
    assert taken.headers["Sluice-Consumer"] == "active"
    answer = sidecar.ack("q", *receipts(taken))
    assert answer.status == 200 and {r["result"] for r in answer.json["results"]} == {"acked"}
    ledger = sidecar.http("GET", "/v1/queues/q/ledger").json
    assert (ledger["accepted"], ledger["acked"], ledger["remaining"]) == (5, 3, 2)


def test_an_empty_queue_answers_at_once_and_after_the_wait(sidecar):
    sidecar.declare("q")
    assert sidecar.take("q").json == {"events": []}
    assert sidecar.take("q", wait="100ms").json == {"events": []}


def test_a_waiting_take_gets_an_event_published_meanwhile(sidecar):
    sidecar.declare("q")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(sidecar.take, "q", wait="20s", max=10)
        assert sidecar.publish("q", "late").status == 202
        assert waiting.result().json["events"][0]["event"]["data"] == "late"


def test_a_nacked_event_is_redelivered_as_attempt_two_and_a_repeated_ack_is_acked(sidecar):
    sidecar.declare("q")
    sidecar.publish("q")
    first = receipts(sidecar.take("q", wait="5s"))[0]
    answer = sidecar.http("POST", "/v1/queues/q/acks", {"nack": [{"receipt": first, "delay": "10ms"}]})
    assert answer.json["results"] == [{"receipt": first, "result": "nacked"}]
    again = sidecar.take("q", wait="5s")
    assert again.json["events"][0]["attempt"] == 2
    second = receipts(again)[0]
    assert sidecar.ack("q", second).status == 200
    assert sidecar.ack("q", second).json["results"][0]["result"] == "acked"
    assert sidecar.ack("q", first, "nonsense").status == 207


def test_an_expired_lease_redelivers_its_event(sidecar):
    sidecar.declare("q", lease="100ms")
    sidecar.publish("q")
    first = receipts(sidecar.take("q", wait="5s"))[0]
    assert sidecar.take("q", wait="5s").json["events"][0]["attempt"] == 2
    assert sidecar.ack("q", first).json["results"][0]["result"] == "expired"


def test_extend_keeps_the_lease(sidecar):
    sidecar.declare("q", lease="200ms")
    sidecar.publish("q")
    first = receipts(sidecar.take("q", wait="5s"))[0]
    answer = sidecar.http("POST", "/v1/queues/q/acks", {"extend": [{"receipt": first, "by": "1m"}]})
    assert answer.json["results"][0]["result"] == "extended"
    assert sidecar.take("q", wait="500ms").json["events"] == []
    assert sidecar.ack("q", first).status == 200


def test_bad_takes_and_acks_are_400(sidecar):
    sidecar.declare("q")
    for query in ("max=0", "max=x", "wait=5", "wiat=1s", "max=1&max=2"):
        assert sidecar.http("POST", "/v1/queues/q/take?" + query).status == 400
    for body in ("", "[]", '{"ack":"x"}', '{"akc":[]}', '{"ack":[1]}', '{"extend":[{"receipt":"x"}]}'):
        assert sidecar.http("POST", "/v1/queues/q/acks", body).status == 400
    assert sidecar.take("nobody").status == 404


def test_a_second_sidecar_stands_by_and_takes_over_after_a_drain(cluster, broker):
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q")
    for i in range(3):
        first.publish("q", str(i))
    held = receipts(first.take("q", wait="5s"))
    standby = second.take("q")
    assert standby.headers["Sluice-Consumer"] == "standby" and standby.json["events"] == []
    assert first.ack("q", *held).status == 200
    assert first.ops("POST", "/v1/drain").json["drained"] is True
    taken = second.take("q", wait="10s", max=5)
    assert [e["event"]["data"] for e in taken.json["events"]] == ["1", "2"]
    assert first.take("q").status == 503
    assert first.publish("q").status == 202


def test_sidecars_that_loop_over_take_and_ack_alternate(cluster, broker):
    sidecars = [cluster.sidecar(broker, "--turn-idle", "1h") for _ in range(2)]  # no turn ends because it is unused
    sidecars[0].declare("q")
    for i in range(4):
        sidecars[0].publish("q", str(i))
    held = sidecars[0].take("q", wait="5s")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for i in range(3):
            active, other = sidecars[i % 2], sidecars[(i + 1) % 2]
            waiting = pool.submit(other.take, "q", wait="30s")
            until(lambda: active.http("GET", "/v1/queues/q").json["standbys"] == 1)
            assert active.ack("q", *receipts(held)).status == 200
            held = waiting.result()
            assert [e["event"]["data"] for e in held.json["events"]] == [str(i + 1)]


def test_a_killed_consumers_events_are_redelivered_elsewhere(cluster):
    broker = cluster.broker("--session-timeout", "2s", "--heartbeat", "500ms")
    first, second = cluster.sidecar(broker), cluster.sidecar(broker)
    first.declare("q")
    first.publish("q", "precious")
    assert len(receipts(first.take("q", wait="5s"))) == 1
    first.kill()
    taken = second.take("q", wait="30s")
    assert [(e["event"]["data"], e["attempt"]) for e in taken.json["events"]] == [("precious", 2)]


def test_pause_stops_delivery_and_resume_continues_it(sidecar):
    sidecar.declare("q")
    sidecar.ops("POST", "/v1/queues/q/pause")
    assert sidecar.publish("q").status == 202
    assert sidecar.take("q").json["events"] == []
    assert sidecar.ops("POST", "/v1/queues/q/resume").json["paused"] is False
    assert len(sidecar.take("q", wait="5s").json["events"]) == 1


def test_many_publishers_and_one_consumer_lose_nothing_and_keep_order(sidecar):
    sidecar.declare("q", capacity=50)
    def produce(n):
        for i in range(100):
            assert sidecar.publish("q", f"{n}:{i}", query="?wait=30s").status == 202
    seen = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        producers = [pool.submit(produce, n) for n in range(4)]
        while len(seen) < 400:
            taken = sidecar.take("q", max=50, wait="10s")
            seen += [e["event"]["data"] for e in taken.json["events"]]
            assert sidecar.ack("q", *receipts(taken)).status == 200
        for p in producers:
            p.result()
    for n in range(4):
        assert [s for s in seen if s.startswith(f"{n}:")] == [f"{n}:{i}" for i in range(100)]


def test_an_unused_turn_is_released(cluster, broker):
    s = cluster.sidecar(broker, "--turn-idle", "200ms")
    s.declare("q")
    assert s.take("q").headers["Sluice-Consumer"] == "active"
    until(lambda: s.http("GET", "/v1/queues/q").json["consumer"] is None)


def test_a_fencing_token_fits_in_a_double(cluster):
    for s in cluster.sidecar(cluster.broker("--auto-declare")), cluster.dev():  # on disk, and in memory only
        tokens = []
        for data in "first", "second":
            call(s.ready["http"], "POST", "/v1/queues/q/events", data, {"Content-Type": "text/plain"})
            taken = call(s.ready["http"], "POST", "/v1/queues/q/take?wait=10s")
            tokens.append(int(taken.headers["Sluice-Consumer-Epoch"]))
            assert call(s.ready["ops"], "DELETE", "/v1/queues/q?force=true").status == 204
        assert tokens[0] < tokens[1] < 2**53


def test_the_turn_passes_when_a_sidecar_has_settled_everything(cluster, broker):
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
