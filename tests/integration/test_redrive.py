"""Redriving dead letters: all or some of them, at once or at a rate, over HTTP and on the command line."""
import concurrent.futures
import json
import re
import time

from conftest import balanced_ledger as ledger, run
from dead import describe, make_dead, environment, peek, peek_all, redrive, settle, take_all, take_one, until_figure


def with_a_thousand_dead(cluster):
    """Makes 1,000 dead letters of 4,000 bytes each in the queue "q", more than the broker reads at a time. Their ids
    are "0", "1", … Returns the broker and its sidecar."""
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("q", max_deliveries=1)
    for start in (0, 500):
        batch = [dict(specversion="1.0", id=str(i), source="/dead", type="t", data="x" * 4000)
                 for i in range(start, start + 500)]
        assert s.publish("q", json.dumps(batch), {"Content-Type": "application/cloudevents-batch+json"}).status == 202
    take_all(s, 1000, lambda receipts: settle(s, nack=receipts))
    return broker, s


def test_a_thousand_dead_letters_on_disk_are_paged_through_and_redriven_in_order(cluster):
    broker, s = with_a_thousand_dead(cluster)
    assert s.stop() == 0 and broker.stop() == 0
    s = cluster.sidecar(cluster.broker())
    assert [e["sequence"] for e in peek_all(s, "dead", 300)] == list(range(1, 1001))
    assert redrive(s) == {"redriven": 1000, "left": 0}
    assert take_all(s, 1000, lambda receipts: settle(s, ack=receipts)) == [str(i) for i in range(1000)]
    assert (ledger(s)["dead_lettered"], ledger(s)["acked"], describe(s)["dead"]) == (1000, 1000, 0)


def test_a_broker_killed_during_a_redrive_has_each_event_once(cluster):
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


# ------------------------------------------------------------------ which ones, and how fast

def test_a_redrive_moves_only_as_many_as_there_is_room_for(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1)
    sidecar.declare("small", durability=durability, capacity=2)
    make_dead(sidecar, 4)
    assert redrive(sidecar, {"to": "small", "sequences": [4, 4, 2, 3, 77]}) == {"redriven": 2, "left": 1}
    assert [e["event"]["data"] for e in peek(sidecar, "ready", "small")] == ["x1", "x2"]
    assert [e["sequence"] for e in peek(sidecar, "dead")] == [1, 4]


def test_a_bad_redrive_changes_nothing_and_says_why(sidecar):
    sidecar.declare("q", max_deliveries=1)
    sidecar.declare("shut")
    sidecar.declare("cache", durability="memory")
    sidecar.ops("POST", "/v1/queues/shut/close")
    make_dead(sidecar)
    address = "/v1/queues/q/redrive"
    for path, body, status, says in (
            (address, {"to": "nowhere"}, 404, "there is no queue 'nowhere' to redrive to"),
            ("/v1/queues/nowhere/redrive", None, 404, "there is no queue 'nowhere'; declare it"),
            (address, {"to": "shut"}, 409, "the queue 'shut' to redrive to is closed"),
            (address, {"to": "cache"}, 409, "'q' is on disk and 'cache' is in memory"),
            (address, {"to": "no/name"}, 400, "'to'"), (address, {"sequences": []}, 400, "leave it out to redrive all"),
            (address, {"sequences": ["1"]}, 400, "sequences[0]"),
            (address, {"sequences": [1, -1]}, 400, "sequences[1]"),
            (address, {"dry_run": "yes"}, 400, "'dry_run'"), (address, {"filters": {}}, 400, "unknown key 'filters'"),
            (address, "[1]", 400, "the body must be"), (address + "?to=q", None, 400, "'to'"),
            ("/v1/queues/q/purge?state=ready", None, 400, "must be dead")):
        answer = sidecar.ops("POST", path, body)
        assert answer.status == status and says in answer.json["detail"], (path, body, answer.body)
    assert sidecar.http("POST", address).json["reason"] == "operating"
    assert redrive(sidecar, {"sequences": [2, 99]}) == {"redriven": 0, "left": 0}
    assert redrive(sidecar, {"to": "shut", "dry_run": True}) == {"would_redrive": 1}
    assert describe(sidecar)["dead"] == 1 and describe(sidecar, "shut")["ready"] == 0


def test_a_filter_and_a_reason_select_what_is_redriven(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1)
    for kind in ("order.placed", "order.paid", "mail"):
        event = {"specversion": "1.0", "id": kind, "source": "/s", "type": kind}
        assert sidecar.http("POST", "/v1/queues/q/events", event,
                            {"Content-Type": "application/cloudevents+json"}).status == 202
        taken = take_one(sidecar)
        settle(sidecar, nack=[{"receipt": taken["receipt"]}])
    orders = {"prefix": {"type": "order."}}
    assert redrive(sidecar, {"filter": orders, "dry_run": True}) == {"would_redrive": 2}
    assert redrive(sidecar, {"reason": "crash_loop"}) == {"redriven": 0, "left": 0}
    assert redrive(sidecar, {"filter": orders, "reason": "max_deliveries"}) == {"redriven": 2, "left": 0}
    assert [e["event"]["type"] for e in peek(sidecar, "ready")] == ["order.placed", "order.paid"]
    assert [e["event"]["type"] for e in peek(sidecar, "dead")] == ["mail"]


def test_a_redrive_at_a_rate_runs_in_the_background_and_can_be_stopped(sidecar, durability):
    sidecar.declare("q", durability=durability, max_deliveries=1)
    make_dead(sidecar, 5)
    sidecar.declare("elsewhere", durability=durability, capacity=2)
    answer = sidecar.ops("POST", "/v1/queues/q/redrive", {"rate": 1000, "to": "elsewhere"})
    assert (answer.status, answer.json) == (202, {"redriven": 0, "left": 5, "running": True})
    until_figure(sidecar, "redrive", {"redriven": 2, "left": 3, "rate": 1000, "to": "elsewhere", "waits": True})
    again = sidecar.ops("POST", "/v1/queues/q/redrive", {"rate": 5})
    assert again.status == 409 and "stop it first" in again.json["detail"]
    assert redrive(sidecar, {"stop": True}) == {"redriven": 2, "left": 3}
    assert describe(sidecar)["redrive"] is None
    assert sidecar.ops("POST", "/v1/queues/q/redrive", {"rate": 1000}).status == 202
    until_figure(sidecar, "ready", 3)
    until_figure(sidecar, "redrive", None)
    assert describe(sidecar)["dead"] == 0


# ------------------------------------------------------------------ the command line

def test_where_nothing_was_dead_the_cli_says_where_the_dead_letters_are(sidecar):
    shell = environment(sidecar)
    sidecar.declare("hospital")
    sidecar.declare("q", max_deliveries=1, dead_letter="hospital")

    def redrive_by_cli(queue, *options):
        done = run("sluice", "queue", "redrive", queue, "--json", *options, environment=shell)
        assert done.returncode == 0 and json.loads(done.stdout) in ({"redriven": 0, "left": 0}, {"would_redrive": 0})
        return done.stderr
    assert redrive_by_cli("hospital") == ""
    elsewhere = "sluice: no event of 'q' is dead: its dead letters go to 'hospital', where they are events to take\n"
    assert redrive_by_cli("q") == elsewhere
    make_dead(sidecar)
    assert redrive_by_cli("q", "--dry-run") == elsewhere
    assert redrive_by_cli("hospital") == (
        "sluice: no event of 'hospital' is dead: it holds dead letters of 'q', as events to take and to publish "
        "again, under new ids\n")
    sidecar.declare("q", dead_letter=None)
    make_dead(sidecar)
    assert redrive_by_cli("q", "--sequence", "77") == ""  # one is dead, and was not asked for


def test_the_cli_shows_redrives_and_purges_dead_letters(sidecar):
    shell = environment(sidecar)
    run("sluice", "queue", "declare", "q", "max_deliveries=2", "backoff=0s", environment=shell)
    run("sluice", "pub", "q", "poison", environment=shell)
    sub = ("sub", "q", "--exit-empty", "--wait", "1s", "--", "sh", "-c", "cat; exit 3")
    got = run("sluice", *sub, environment=shell)
    assert got.returncode == 0 and got.stdout == "poisonpoison"
    assert got.stderr == "".join(f"sluice: 'sh' ended with status 3 for event #1, attempt {n}; nacked\n"
                                 for n in (1, 2))
    shown = run("sluice", "queue", "peek", "q", "--state", "dead", environment=shell).stdout
    assert re.search(r"#1 +dead +attempt 2 .*poison\n +max_deliveries: failures 2, crashes 0, last 20\S+Z: "
                     r"exit status 3\n"
                     r"how each attempt ended: sluice queue explain QUEUE SEQUENCE\n$",
                     shown), shown
    assert re.search(r"^dead +1$", run("sluice", "queue", "show", "q", environment=shell).stdout, re.M)
    listed = run("sluice", "queue", "list", environment=shell).stdout
    assert listed.splitlines()[1].split()[:5] == ["q", "0", "0", "0", "1"]
    said = run("sluice", "queue", "redrive", "q", "--dry-run", environment=shell).stdout
    assert re.fullmatch(r"would_redrive +1\n", said), said
    said = run("sluice", "queue", "redrive", "q", "--sequence", "1", "--sequence", "9",
               "--json", environment=shell).stdout
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


def test_the_cli_redrives_by_filter_and_at_a_rate(sidecar):
    sidecar.declare("q", max_deliveries=1)
    make_dead(sidecar, 3)
    shell = environment(sidecar)
    said = run("sluice", "queue", "redrive", "q", "--filter", '{"exact": {"type": "none"}}',
               "--json", environment=shell)
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


def test_the_cli_says_what_is_wrong_with_a_redrive(sidecar):
    shell = environment(sidecar)
    for arguments, status, says in ((("q", "--sequence", "first"), 2, "'first' must be a whole number above 0"),
                                    (("q", "--sequence", "0"), 2, "'0' must be a whole number above 0"),
                                    (("q",), 1, "there is no queue 'q'"), ((), 2, "queue redrive"),
                                    (("q", "--dryrun"), 2, "'--dry-run'")):
        refused = run("sluice", "queue", "redrive", *arguments, environment=shell)
        assert refused.returncode == status and says in refused.stderr, refused.stderr
