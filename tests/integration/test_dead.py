"""Events that fail: they wait for a back-off, and too many failures make them dead. The dead are looked at, redriven, purged."""
import concurrent.futures
import datetime
import json
import re
import time

import pytest

from conftest import books as ledger, run

TEXT = "no luck: Grüße an 🐇 \"quoted\"\n"


@pytest.fixture(params=["disk", "memory"])
def durability(request):
    return request.param


def take_one(s, queue="q"):
    """The next event; a test that waits for one that does not come ends here."""
    events = s.take(queue, wait="25s").json["events"]
    assert len(events) == 1
    return events[0]


def settle(s, queue="q", **lists):
    answer = s.http("POST", f"/v1/queues/{queue}/acks", lists)
    assert answer.status == 200, answer.body
    return [r["result"] for r in answer.json["results"]]


def fail(s, queue="q", **said):
    taken = take_one(s, queue)
    assert settle(s, queue, nack=[{"receipt": taken["receipt"], **said}]) == ["nacked"]
    return taken


def die(s, count=1, queue="q", data="x", **said):
    """Publishes events to a queue of max_deliveries 1, and fails each."""
    for i in range(count):
        assert s.publish(queue, f"{data}{i}").status == 202
        fail(s, queue, **said)


def describe(s, queue="q"):
    return s.http("GET", f"/v1/queues/{queue}").json


def peek(s, state, queue="q", query=""):
    return s.http("GET", f"/v1/queues/{queue}/peek?max=1000&state={state}{query}").json["events"]


def redrive(s, body=None, queue="q"):
    answer = s.ops("POST", f"/v1/queues/{queue}/redrive", body)
    assert answer.status == 200, answer.body
    return answer.json


def wait_for(s, figure, value, queue="q", timeout=40):
    """Asks until the description says so."""
    deadline = time.monotonic() + timeout
    while describe(s, queue)[figure] != value:
        assert time.monotonic() < deadline, describe(s, queue)


def environment(s):
    return {"SLUICE_URL": "http://" + s.ready["http"], "SLUICE_OPS_URL": "http://" + s.ready["ops"]}


# ------------------------------------------------------------------ failing, dying, living again

def test_an_event_is_nacked_to_death_looked_at_and_redriven(sidecar, durability):
    shown = sidecar.declare("q", durability=durability, max_deliveries=2, backoff="0s").json
    assert (shown["max_deliveries"], shown["backoff"], shown["backoff_max"], shown["dead"]) == (2, "0s", "5m", 0)
    sidecar.publish("q", "x")
    assert fail(sidecar, status=500, error="first")["attempt"] == 1
    assert fail(sidecar, status=503, error=TEXT)["attempt"] == 2
    assert (describe(sidecar)["dead"], describe(sidecar)["backlog"], describe(sidecar)["delayed"]) == (1, 0, 0)
    [event] = peek(sidecar, "dead")
    trouble = event["trouble"]
    assert (event["sequence"], event["state"], event["attempt"], event["event"]["data"]) == (1, "dead", 2, "x")
    assert {k: trouble[k] for k in ("failures", "crashes", "reason", "status", "error")} == {
        "failures": 2, "crashes": 0, "reason": "max_deliveries", "status": 503, "error": TEXT}
    first, last = (datetime.datetime.fromisoformat(trouble[name]) for name in ("first", "last"))
    assert datetime.timedelta() <= last - first <= datetime.timedelta(seconds=60)
    assert abs(datetime.datetime.now(datetime.timezone.utc) - last) < datetime.timedelta(seconds=60)
    assert (ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"]) == (1, 0)
    assert sidecar.take("q").json["events"] == []
    assert redrive(sidecar, {"dry_run": True}) == {"would_redrive": 1} and describe(sidecar)["dead"] == 1
    assert redrive(sidecar) == {"redriven": 1, "left": 0}
    again = take_one(sidecar)
    assert (again["sequence"], again["attempt"], again["event"]) == (2, 1, event["event"])
    assert "trouble" not in peek(sidecar, "in_flight")[0]
    sidecar.ack("q", again["receipt"])
    books = ledger(sidecar)
    assert (books["accepted"], books["acked"], books["dead_lettered"], books["remaining"]) == (2, 1, 1, 0)


def test_what_went_wrong_shows_while_the_event_waits_for_its_time(sidecar, durability):
    sidecar.declare("q", durability=durability)
    sidecar.publish("q", "fine")
    sidecar.publish("q", "failed")
    fine = take_one(sidecar)
    fail(sidecar, delay="1h", status=7, error="later")
    settle(sidecar, release=[fine["receipt"]])
    [delayed] = peek(sidecar, "delayed")
    assert (delayed["event"]["data"], delayed["trouble"]["failures"], delayed["trouble"]["error"]) == ("failed", 1, "later")
    assert "reason" not in delayed["trouble"]
    [ready] = peek(sidecar, "ready")
    assert ready["event"]["data"] == "fine" and "trouble" not in ready


def test_without_a_delay_of_its_own_a_failure_waits_for_the_back_off(sidecar):
    sidecar.declare("q", backoff="12h", backoff_max="12h", max_deliveries=250)
    sidecar.publish("q")
    fail(sidecar, delay="0s")
    fail(sidecar, delay="1ms")
    fail(sidecar)
    assert describe(sidecar)["delayed"] == 1


def test_what_is_released_comes_again_at_once_and_has_not_failed(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1, max_crashes=1, backoff="12h", backoff_max="12h")
    sidecar.publish("q")
    for _ in range(3):
        taken = take_one(sidecar)
        assert taken["attempt"] == 1 and settle(sidecar, release=[taken["receipt"]]) == ["released"]
    late = sidecar.http("POST", "/v1/queues/q/acks", {"release": [taken["receipt"]]})
    assert late.status == 207 and late.json["results"][0]["result"] == "expired"
    assert "trouble" not in peek(sidecar, "ready")[0]


def test_a_lease_that_runs_out_is_a_failure(sidecar, durability):
    sidecar.declare("q", durability=durability, lease="200ms", max_deliveries=1)
    sidecar.publish("q")
    take_one(sidecar)
    wait_for(sidecar, "dead", 1)
    trouble = peek(sidecar, "dead")[0]["trouble"]
    assert (trouble["reason"], trouble["failures"], trouble["error"]) == ("max_deliveries", 1, "the lease ran out")


def test_a_consumer_that_vanishes_counts_and_one_that_leaves_does_not(cluster, broker, durability):
    leaving, watching = cluster.sidecar(broker), cluster.sidecar(broker)
    watching.declare("q", durability=durability, lease="10m", max_deliveries=1, max_crashes=2)
    watching.publish("q")
    take_one(leaving)
    assert leaving.stop() == 0
    taken = take_one(watching)
    assert "trouble" not in peek(watching, "in_flight")[0]
    assert settle(watching, release=[taken["receipt"]]) == ["released"]
    watching.ops("POST", "/v1/drain")
    for crashes in (1, 2):
        killed = cluster.sidecar(broker)
        take_one(killed)
        assert [e.get("trouble", {}).get("crashes", 0) for e in peek(watching, "in_flight")] == [crashes - 1]
        killed.kill()
        wait_for(watching, "in_flight", 0)
    [event] = peek(watching, "dead")
    assert (event["trouble"]["reason"], event["trouble"]["failures"], event["trouble"]["crashes"]) == ("crash_loop", 0, 2)
    assert ledger(watching)["dead_lettered"] == 1


def test_a_full_dead_store_keeps_events_in_their_queue_until_there_is_room(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1, dead_capacity=1, backoff="0s")
    die(sidecar, 2)
    assert (describe(sidecar)["dead"], describe(sidecar)["delayed"]) == (1, 1)
    assert [(e["sequence"], e["trouble"]["failures"]) for e in peek(sidecar, "delayed")] == [(2, 1)]
    assert sidecar.ops("POST", "/v1/queues/q/purge?state=dead").json == {"purged": 1}
    wait_for(sidecar, "dead", 1)
    assert [e["sequence"] for e in peek(sidecar, "dead")] == [2]
    assert (ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"], ledger(sidecar)["purged"]) == (2, 0, 0)


def test_an_error_is_kept_up_to_250_bytes_and_never_half_a_character(sidecar):
    sidecar.declare("q", max_deliveries=1)
    die(sidecar, error="x" + "🐇" * 100)
    assert peek(sidecar, "dead")[0]["trouble"]["error"] == "x" + "🐇" * 62


# ------------------------------------------------------------------ across restarts

def put_on_disk(s):
    """A call that changes a queue is answered when that, and so all before it, is on disk."""
    assert s.ops("POST", "/v1/queues/q/resume").status == 200


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_dead_and_the_failing_survive_a_restart_of_the_broker(cluster, how):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("q", max_deliveries=2, backoff="0s")
    s.publish("q", "dead")
    fail(s, error="first")
    fail(s, status=503, error=TEXT)
    s.publish("q", "failing")
    fail(s, delay="1h", error="one more")
    before, books = peek(s, "dead"), ledger(s)
    put_on_disk(s)
    if how == "killed":
        broker.kill()
    assert s.stop() == 0 and (how == "killed" or broker.stop() == 0)
    s = cluster.sidecar(cluster.broker())
    assert peek(s, "dead") == before and before[0]["trouble"]["error"] == TEXT
    assert ledger(s) == books and describe(s)["dead"] == 1
    [waiting] = [e for state in ("ready", "delayed") for e in peek(s, state)]
    assert (waiting["event"]["data"], waiting["trouble"]["failures"], waiting["trouble"]["error"]) == ("failing", 1, "one more")
    s.declare("elsewhere")
    assert redrive(s, {"to": "elsewhere"}) == {"redriven": 1, "left": 0}
    assert take_one(s, "elsewhere")["event"]["data"] == "dead" and describe(s)["dead"] == 0


def test_what_was_redriven_or_purged_stays_so_after_a_kill(cluster):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("q", max_deliveries=1)
    s.declare("r", max_deliveries=1)
    die(s, 3)
    die(s, 2, "r")
    assert redrive(s, {"sequences": [3, 1]}) == {"redriven": 2, "left": 0}
    assert s.ops("POST", "/v1/queues/r/purge?state=dead").json == {"purged": 2}
    books = ledger(s), ledger(s, "r")
    broker.kill()
    s.stop()
    s = cluster.sidecar(cluster.broker())
    assert [e["sequence"] for e in peek(s, "dead")] == [2] and peek(s, "dead", "r") == []
    assert [e["event"]["data"] for e in peek(s, "ready")] == ["x0", "x2"]
    assert (ledger(s), ledger(s, "r")) == books


def with_a_thousand_dead(cluster):
    """In "q", of 4,000 bytes each: more than is read at a time. The ids of the events are "0", "1", …"""
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("q", max_deliveries=1)
    for start in (0, 500):
        batch = [dict(specversion="1.0", id=str(i), source="/dead", type="t", data="x" * 4000)
                 for i in range(start, start + 500)]
        assert s.publish("q", json.dumps(batch), {"Content-Type": "application/cloudevents-batch+json"}).status == 202
    take_all(s, 1000, lambda receipts: settle(s, nack=receipts))
    return broker, s


def take_all(s, count, settle_them):
    """Takes and settles until there were so many; their ids."""
    ids = []
    while len(ids) < count:
        taken = s.take("q", max=1000, wait="25s").json["events"]
        assert taken
        settle_them([e["receipt"] for e in taken])
        ids += [e["event"]["id"] for e in taken]
    return ids


def peek_all(s, state, page=1000):
    seen, at = [], 1
    while at:
        answer = s.http("GET", f"/v1/queues/q/peek?state={state}&max={page}&from={at}").json
        seen += answer["events"]
        at = answer["next"]
    return seen


def test_a_thousand_on_disk_are_looked_at_by_page_and_redriven_in_order(cluster):
    broker, s = with_a_thousand_dead(cluster)
    assert s.stop() == 0 and broker.stop() == 0
    s = cluster.sidecar(cluster.broker())
    assert [e["sequence"] for e in peek_all(s, "dead", 300)] == list(range(1, 1001))
    assert redrive(s) == {"redriven": 1000, "left": 0}
    assert take_all(s, 1000, lambda receipts: settle(s, ack=receipts)) == [str(i) for i in range(1000)]
    assert (ledger(s)["dead_lettered"], ledger(s)["acked"], describe(s)["dead"]) == (1000, 1000, 0)


def test_a_broker_killed_while_it_redrives_has_each_event_once(cluster):
    broker, s = with_a_thousand_dead(cluster)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(s.ops, "POST", "/v1/queues/q/redrive")
        deadline = time.monotonic() + 20
        while describe(s)["dead"] == 1000 and not answer.done():
            assert time.monotonic() < deadline
        broker.kill()
        s.stop()
        answer.exception()
    s = cluster.sidecar(cluster.broker())
    dead, ready = peek_all(s, "dead"), peek_all(s, "ready")
    assert sorted(int(e["event"]["id"]) for e in dead + ready) == list(range(1000))
    assert (describe(s)["dead"], ledger(s)["remaining"]) == (len(dead), len(ready))
    assert redrive(s) == {"redriven": len(dead), "left": 0}
    assert set(take_all(s, 1000, lambda receipts: settle(s, ack=receipts))) == {str(i) for i in range(1000)}


# ------------------------------------------------------------------ redriving what, and where to

def test_as_many_are_redriven_as_there_is_room_for(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1)
    sidecar.declare("small", durability=durability, capacity=2)
    die(sidecar, 4)
    assert redrive(sidecar, {"to": "small", "sequences": [4, 4, 2, 3, 77]}) == {"redriven": 2, "left": 1}
    assert [e["event"]["data"] for e in peek(sidecar, "ready", "small")] == ["x1", "x2"]
    assert [e["sequence"] for e in peek(sidecar, "dead")] == [1, 4]


def test_a_bad_redrive_changes_nothing_and_says_why(sidecar):
    sidecar.declare("q", max_deliveries=1)
    sidecar.declare("shut")
    sidecar.ops("POST", "/v1/queues/shut/close")
    die(sidecar)
    address = "/v1/queues/q/redrive"
    for path, body, status, says in (
            (address, {"to": "nowhere"}, 404, "there is no queue 'nowhere' to redrive to"),
            ("/v1/queues/nowhere/redrive", None, 404, "there is no queue 'nowhere'; declare it"),
            (address, {"to": "shut"}, 409, "queue 'shut', to redrive to, is closed"),
            (address, {"to": "no/name"}, 400, "'to'"), (address, {"sequences": []}, 400, "leave it out to redrive all"),
            (address, {"sequences": ["1"]}, 400, "sequences[0]"), (address, {"sequences": [1, -1]}, 400, "sequences[1]"),
            (address, {"dry_run": "yes"}, 400, "'dry_run'"), (address, {"filters": {}}, 400, "unknown key 'filters'"),
            (address, "[1]", 400, "the body must be"), (address + "?to=q", None, 400, "'to'"),
            ("/v1/queues/q/purge?state=ready", None, 400, "must be dead")):
        answer = sidecar.ops("POST", path, body)
        assert answer.status == status and says in answer.json["detail"], (path, body, answer.body)
    assert sidecar.http("POST", address).json["reason"] == "operating"
    assert redrive(sidecar, {"sequences": [2, 99]}) == {"redriven": 0, "left": 0}
    assert redrive(sidecar, {"to": "shut", "dry_run": True}) == {"would_redrive": 1}
    assert describe(sidecar)["dead"] == 1 and describe(sidecar, "shut")["ready"] == 0


def test_a_filter_and_a_reason_say_which_are_redriven(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1)
    for kind in ("order.placed", "order.paid", "mail"):
        event = {"specversion": "1.0", "id": kind, "source": "/s", "type": kind}
        assert sidecar.http("POST", "/v1/queues/q/events", event, {"Content-Type": "application/cloudevents+json"}).status == 202
        taken = take_one(sidecar)
        settle(sidecar, nack=[{"receipt": taken["receipt"]}])
    orders = {"prefix": {"type": "order."}}
    assert redrive(sidecar, {"filter": orders, "dry_run": True}) == {"would_redrive": 2}
    assert redrive(sidecar, {"reason": "crash_loop"}) == {"redriven": 0, "left": 0}
    assert redrive(sidecar, {"filter": orders, "reason": "max_deliveries"}) == {"redriven": 2, "left": 0}
    assert [e["event"]["type"] for e in peek(sidecar, "ready")] == ["order.placed", "order.paid"]
    assert [e["event"]["type"] for e in peek(sidecar, "dead")] == ["mail"]


def test_a_rate_goes_on_by_itself_is_shown_and_stopped(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1)
    die(sidecar, 5)
    sidecar.declare("elsewhere", durability=durability, capacity=2)
    answer = sidecar.ops("POST", "/v1/queues/q/redrive", {"rate": 1000, "to": "elsewhere"})
    assert (answer.status, answer.json) == (202, {"redriven": 0, "left": 5, "running": True})
    deadline = time.monotonic() + 40
    while describe(sidecar)["redrive"] != {"redriven": 2, "left": 3, "rate": 1000, "to": "elsewhere", "waits": True}:
        assert time.monotonic() < deadline, describe(sidecar)
    again = sidecar.ops("POST", "/v1/queues/q/redrive", {"rate": 5})
    assert again.status == 409 and "stop it first" in again.json["detail"]
    assert redrive(sidecar, {"stop": True}) == {"redriven": 2, "left": 3}
    assert describe(sidecar)["redrive"] is None
    assert sidecar.ops("POST", "/v1/queues/q/redrive", {"rate": 1000}).status == 202
    wait_for(sidecar, "ready", 3)
    wait_for(sidecar, "redrive", None)
    assert describe(sidecar)["dead"] == 0


def test_a_queue_is_not_deleted_with_its_dead_unless_forced(sidecar):
    sidecar.declare("q", max_deliveries=1)
    die(sidecar)
    assert sidecar.ops("DELETE", "/v1/queues/q").json["reason"] == "not_empty"
    assert sidecar.ops("DELETE", "/v1/queues/q?force=true").status == 204


def test_the_dead_are_counted_in_the_metrics(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    s.declare("q", max_deliveries=1)
    die(s, 2)
    redrive(s, {"sequences": [1]})
    s.declare("full", max_deliveries=1, dead_capacity=0)
    die(s, 1, "full")
    text = s.ops("GET", "/metrics").body.decode()
    for line in ('sluice_queue_dead_letter_held{queue="full"} 1', 'sluice_queue_dead{queue="q"} 1',
                 'sluice_queue_dead_lettered_total{queue="q"} 2'):
        assert line in text, text


# ------------------------------------------------------------------ from a shell

def test_the_command_line_kills_shows_redrives_and_purges(sidecar):
    shell = environment(sidecar)
    run("sluice", "queue", "declare", "q", "max_deliveries=2", "backoff=0s", environment=shell)
    run("sluice", "pub", "q", "poison", environment=shell)
    sub = ("sub", "q", "--exit-empty", "--wait", "1s", "--", "sh", "-c", "cat; exit 3")
    got = run("sluice", *sub, environment=shell)
    assert got.returncode == 0 and got.stdout == "poisonpoison"
    assert got.stderr == "".join(f"sluice: 'sh' ended with status 3 for event #1, attempt {n}; given back as failed\n"
                                 for n in (1, 2))
    shown = run("sluice", "queue", "peek", "q", "--state", "dead", environment=shell).stdout
    assert re.search(r"#1 +dead +attempt 2 .*poison\n +max_deliveries: failures 2, crashes 0, last 20\S+Z: exit status 3\n"
                     r"how each attempt ended: sluice queue explain QUEUE SEQUENCE\n$",
                     shown), shown
    assert re.search(r"^dead +1$", run("sluice", "queue", "show", "q", environment=shell).stdout, re.M)
    assert run("sluice", "queue", "list", environment=shell).stdout.splitlines()[1].split()[:5] == ["q", "0", "0", "0", "1"]
    said = run("sluice", "queue", "redrive", "q", "--dry-run", environment=shell).stdout
    assert re.fullmatch(r"would_redrive +1\n", said), said
    said = run("sluice", "queue", "redrive", "q", "--sequence", "1", "--sequence", "9", "--json", environment=shell).stdout
    assert json.loads(said) == {"redriven": 1, "left": 0}
    assert run("sluice", *sub, environment=shell).stdout == "poisonpoison"
    run("sluice", "queue", "declare", "hospital", environment=shell)
    said = run("sluice", "queue", "redrive", "q", "--to", "hospital", environment=shell).stdout
    assert re.fullmatch(r"redriven +1\nleft +0\n", said), said
    assert run("sluice", "sub", "hospital", "--count", "1", environment=shell).stdout == "poison\n"
    run("sluice", "pub", "q", "gone", environment=shell)
    assert run("sluice", *sub, environment=shell).stdout == "gonegone"
    said = run("sluice", "queue", "purge", "q", "--dead", "--json", environment=shell).stdout
    assert json.loads(said) == {"purged": 1} and describe(sidecar)["dead"] == 0


def test_the_command_line_redrives_by_filter_and_at_a_rate(sidecar):
    sidecar.declare("q", max_deliveries=1)
    die(sidecar, 3)
    shell = environment(sidecar)
    said = run("sluice", "queue", "redrive", "q", "--filter", '{"exact": {"type": "none"}}', "--json", environment=shell)
    assert json.loads(said.stdout) == {"redriven": 0, "left": 0}
    said = run("sluice", "queue", "redrive", "q", "--filter", "{", environment=shell)
    assert said.returncode == 2 and "--filter must be JSON" in said.stderr
    sidecar.declare("full", capacity=1)
    sidecar.publish("full", "x")
    said = run("sluice", "queue", "redrive", "q", "--rate", "1000", "--to", "full", "--json", environment=shell)
    assert json.loads(said.stdout) == {"redriven": 0, "left": 3, "running": True}, said.stderr
    shown = run("sluice", "queue", "show", "q", environment=shell).stdout
    assert re.search(r"^redrive.left +3$", shown, re.M) and re.search(r"^redrive.rate +1000$", shown, re.M), shown
    said = run("sluice", "queue", "redrive", "q", "--stop", "--json", environment=shell)
    assert json.loads(said.stdout) == {"redriven": 0, "left": 3}
    said = run("sluice", "queue", "redrive", "q", "--reason", "max_deliveries", "--json", environment=shell)
    assert json.loads(said.stdout) == {"redriven": 3, "left": 0}


def test_the_command_line_says_what_is_wrong_with_a_redrive(sidecar):
    shell = environment(sidecar)
    for arguments, status, says in ((("q", "--sequence", "first"), 2, "'first' must be a whole number above 0"),
                                    (("q", "--sequence", "0"), 2, "'0' must be a whole number above 0"),
                                    (("q",), 1, "there is no queue 'q'"), ((), 2, "queue redrive"),
                                    (("q", "--dryrun"), 2, "'--dry-run'")):
        refused = run("sluice", "queue", "redrive", *arguments, environment=shell)
        assert refused.returncode == status and says in refused.stderr, refused.stderr


def test_what_is_dropped_is_dead_at_once_and_says_why(sidecar, durability):
    assert sidecar.declare("q", durability=durability).status == 201
    for data in ("never", "later"):
        sidecar.publish("q", data)
    events = sidecar.take("q", max=2, wait="25s").json["events"]
    never, later = (e["receipt"] for e in events)
    said = {"receipt": never, "status": 404, "error": "no such user"}
    assert settle(sidecar, drop=[said], defer=[{"receipt": later, "delay": "300ms"}]) == ["deferred", "dropped"]
    dead = peek(sidecar, "dead")[0]["trouble"]
    assert (dead["reason"], dead["status"], dead["error"]) == ("dropped_by_app", 404, "no such user")
    assert describe(sidecar)["delayed"] == 1
    again = take_one(sidecar)
    assert (again["sequence"], again["attempt"]) == (2, 2) and "trouble" not in peek(sidecar, "in_flight")[0]
    sidecar.ack("q", again["receipt"])
    answer = sidecar.http("POST", "/v1/queues/q/acks", {"drop": [never, again["receipt"]]})
    assert answer.status == 207 and [r["result"] for r in answer.json["results"]] == ["expired", "expired"]
    books = ledger(sidecar)
    assert (books["acked"], books["dead_lettered"], books["remaining"]) == (1, 1, 0)


# ------------------------------------------------------------------ a queue for the dead

def said(event):
    return {k: v for k, v in event.items() if k.startswith("sluicedead") and k not in ("sluicedeadfirst", "sluicedeadlast")}


def test_what_dies_goes_to_the_queue_that_is_named_and_says_what_went_wrong(sidecar, durability):
    sidecar.declare("dead", durability=durability)
    shown = sidecar.declare("q", durability=durability, max_deliveries=1, dead_letter="dead").json
    assert shown["dead_letter"] == "dead"
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "placed", "data": {"number": 1}}
    assert sidecar.http("POST", "/v1/queues/q/events", event, {"Content-Type": "application/cloudevents+json"}).status == 202
    fail(sidecar, status=503, error="no luck:\t\u0085here")
    letter = take_one(sidecar, "dead")
    assert (letter["sequence"], letter["attempt"]) == (1, 1)
    assert said(letter["event"]) == {
        "sluicedeadqueue": "q", "sluicedeadsequence": "1", "sluicedeadreason": "max_deliveries", "sluicedeadattempts": 1,
        "sluicedeadfailures": 1, "sluicedeadcrashes": 0, "sluicedeadstatus": 503, "sluicedeaderror": "no luck:   here"}
    first, last = (datetime.datetime.fromisoformat(letter["event"][f"sluicedead{name}"]) for name in ("first", "last"))
    assert first == last and abs(datetime.datetime.now(datetime.timezone.utc) - last) < datetime.timedelta(seconds=60)
    assert {k: letter["event"][k] for k in event} == event
    assert (describe(sidecar)["dead"], ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"]) == (0, 1, 0)
    assert (ledger(sidecar, "dead")["accepted"], ledger(sidecar, "dead")["remaining"]) == (1, 1)
    assert sidecar.declare("q", dead_letter=None).json["dead_letter"] is None
    die(sidecar)
    assert describe(sidecar)["dead"] == 1


def test_a_named_queue_without_room_holds_them_back_and_they_are_shown(sidecar, durability):
    sidecar.declare("dead", durability=durability, capacity=1)
    sidecar.declare("q", durability=durability, max_deliveries=1, dead_letter="dead")
    die(sidecar, 2)
    [held] = peek(sidecar, "delayed")
    assert (held["sequence"], held["trouble"]["reason"]) == (2, "dead_letter_full")
    assert describe(sidecar)["dead_letter_held"] == 1
    sidecar.ops("POST", "/v1/queues/dead/close")
    settle(sidecar, "dead", ack=[take_one(sidecar, "dead")["receipt"]])
    deadline = time.monotonic() + 40
    while peek(sidecar, "delayed")[0]["trouble"]["reason"] != "dead_letter_closed":
        assert time.monotonic() < deadline
    sidecar.ops("POST", "/v1/queues/dead/open")
    wait_for(sidecar, "ready", 1, "dead")
    assert describe(sidecar)["dead_letter_held"] == 0


def test_what_drop_oldest_drops_is_kept_where_the_dead_go_and_else_refused(sidecar, durability):
    sidecar.declare("q", durability=durability, capacity=2, overflow="drop_oldest", dead_letter_dropped=True, dead_capacity=1)
    assert [sidecar.publish("q", f"x{i}").status for i in range(4)] == [202, 202, 202, 429]
    [dropped] = peek(sidecar, "dead")
    assert (dropped["event"]["data"], dropped["trouble"]["reason"], dropped["trouble"]["failures"]) == ("x0", "dropped", 0)
    assert (ledger(sidecar)["dropped"], ledger(sidecar)["dead_lettered"], ledger(sidecar)["remaining"]) == (1, 0, 2)


def test_a_named_queue_is_checked_when_it_is_declared_and_when_it_is_deleted(sidecar):
    def refused(status, queue, sentence, **settings):
        answer = sidecar.http("PUT", f"/v1/queues/{queue}", settings)
        assert answer.status == status and sentence in answer.json["detail"], answer.body

    sidecar.declare("a")
    refused(404, "b", "there is no queue 'aa' for the dead letters of 'b'", dead_letter="aa")
    refused(400, "a", "queue 'a' cannot be its own dead_letter", dead_letter="a")
    refused(400, "a", "'dead_letter' must be a queue's name", dead_letter="no name")
    sidecar.declare("b", dead_letter="a")
    sidecar.declare("c", dead_letter="b")
    refused(409, "a", "a -> c -> b -> a", dead_letter="c")
    answer = sidecar.ops("DELETE", "/v1/queues/a")
    assert answer.status == 409 and "the dead letters of queue 'b' go to it" in answer.json["detail"]
    assert sidecar.ops("DELETE", "/v1/queues/a?force=true").status == 204
    refused(409, "a", "a -> c -> b -> a", dead_letter="c")


def test_dead_letters_on_disk_survive_a_kill_once_each(cluster):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("dead")
    s.declare("q", max_deliveries=1, dead_letter="dead")
    die(s, 20)
    s.publish("q", "alive")
    put_on_disk(s)
    broker.kill()
    s.stop()
    s = cluster.sidecar(cluster.broker())
    assert describe(s, "dead")["backlog"] == 20
    assert (ledger(s)["dead_lettered"], ledger(s)["remaining"], ledger(s, "dead")["accepted"]) == (20, 1, 20)
    letters = s.take("dead", wait="25s", max=100).json["events"]
    assert [e["event"]["sluicedeadsequence"] for e in letters] == [str(i) for i in range(1, 21)]
    assert take_one(s)["event"]["data"] == "alive"


def test_the_configuration_may_name_queues_in_any_order_but_not_in_a_circle(cluster, tmp_path):
    config = tmp_path / "broker.yaml"
    config.write_text("queues:\n  a: {dead_letter: z}\n  z: {}\n")
    s = cluster.sidecar(cluster.broker("--config", str(config)))
    assert describe(s, "a")["dead_letter"] == "z"
    config.write_text("queues:\n  a: {dead_letter: z}\n  z: {dead_letter: a}\n")
    with pytest.raises(RuntimeError, match="dead letters would go in a circle: 'a' has dead_letter 'z'"):
        cluster.broker("--config", str(config))
