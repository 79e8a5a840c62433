"""A data directory restored from a backup, as in docs/operations.md, while sidecars and consumers keep running:
receipts and epochs from before the restore must not be mistaken for new ones. And a broker that runs on another
directory for a while, and then on the first again: what one of them knows of a publisher must not be taken for an answer
to what it sent to the other."""
import concurrent.futures
import shutil
import time

from conftest import balanced_ledger, until


def restored(cluster, tmp_path, old_key):
    """Copies the data directory, has two more events published and taken, and puts the copy back, with the receipt key
    of the copy if `old_key`. Returns the sidecar, and the answer of the take whose events the restore lost."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.declare("q")
    assert sidecar.publish("q", "kept").status == 202
    again = {"listen": broker.ready["broker"]}
    assert broker.stop() == 0
    shutil.copytree(data, copy)
    broker = cluster.broker("--ingress", broker.ready["ingress"], **again)
    sidecar.wait_attached()
    for lost in "lost 1", "lost 2":
        assert sidecar.publish("q", lost).status == 202
    taken = sidecar.take("q", max=10, wait="10s")
    assert [e["event"]["data"] for e in taken.json["events"]] == ["kept", "lost 1", "lost 2"]
    assert broker.stop() == 0
    used = int((data / "incarnation").read_text())
    while time.time() < used + 1:  # incarnations are seconds: the restored broker must start in a later one
        time.sleep(0.05)
    shutil.rmtree(data)
    copy.rename(data)
    if not old_key:
        (data / "receipt.key").unlink()
    cluster.broker("--ingress", broker.ready["ingress"], **again)
    sidecar.wait_attached()
    return sidecar, taken


def epoch(taken):
    return int(taken.headers["Sluice-Consumer-Epoch"])


def test_after_a_restore_old_receipts_settle_nothing_and_epochs_grow(cluster, tmp_path):
    sidecar, lost = restored(cluster, tmp_path, old_key=False)
    for new in "new 1", "new 2":  # they get the sequences of the lost events
        assert sidecar.publish("q", new).status == 202
    late = [e["receipt"] for e in lost.json["events"]]
    assert {r["result"] for r in sidecar.ack("q", *late).json["results"]} <= {"expired", "unknown"}
    taken = sidecar.take("q", max=10, wait="10s")
    assert [e["event"]["data"] for e in taken.json["events"]] == ["kept", "new 1", "new 2"]
    assert epoch(taken) > epoch(lost)
    assert {r["result"] for r in sidecar.ack("q", *late).json["results"]} <= {"expired", "unknown"}
    assert balanced_ledger(sidecar)["acked"] == 0
    sidecar.ack("q", *(e["receipt"] for e in taken.json["events"]))
    assert balanced_ledger(sidecar)["acked"] == 3


def test_after_a_restore_with_its_key_epochs_still_grow(cluster, tmp_path):
    sidecar, lost = restored(cluster, tmp_path, old_key=True)
    assert sidecar.publish("q", "new").status == 202
    taken = sidecar.take("q", max=10, wait="10s")
    assert [e["event"]["data"] for e in taken.json["events"]] == ["kept", "new"]
    assert epoch(taken) > epoch(lost)


def test_an_incarnation_grows_even_when_the_clock_is_set_back(cluster, tmp_path):
    number = tmp_path / "data/incarnation"
    before = int(time.time())
    assert cluster.broker().stop() == 0
    assert before <= int(number.read_text()) <= time.time()
    ahead = int(time.time()) + 100000
    number.write_text(f"{ahead}\n")
    for used in 1, 2:
        assert cluster.broker().stop() == 0
        assert int(number.read_text()) == ahead + used


def moved(cluster, broker, data):
    """Ends the broker in order, and starts one on another data directory at its addresses."""
    assert broker.stop() == 0
    return cluster.broker("--auto-declare", "--ingress", broker.ready["ingress"], listen=broker.ready["broker"], data=data)


def in_the_queue(sidecar):
    return [e["event"]["data"] for e in sidecar.http("GET", "/v1/queues/q/peek?max=100").json["events"]]


def test_publishers_outlive_a_broker_on_another_directory(cluster):
    broker = cluster.broker("--auto-declare", data="first")
    sidecar, idle = cluster.sidecar(broker), cluster.sidecar(broker)
    said = {"first": [], "second": []}
    for turn, data in enumerate(("first", "second", "first", "second", "first")):
        if turn:
            broker = moved(cluster, broker, data)
            sidecar.wait_attached()
            idle.wait_attached()
        for i in range(1 if data == "second" else 4):  # numbers that began again there would be known here
            said[data].append(f"{turn}.{i}")
            assert sidecar.publish("q", said[data][-1]).status == 202
    assert in_the_queue(sidecar) == said["first"]
    assert balanced_ledger(sidecar)["accepted"] == len(said["first"])
    assert idle.publish("q", "more").status == 202


def test_an_event_that_waits_at_another_directory_is_not_confirmed_by_the_first(cluster):
    broker = cluster.broker("--auto-declare", data="first")
    sidecar, other = cluster.sidecar(broker), cluster.sidecar(broker)
    first = [f"first {i}" for i in range(6)]
    batch = [{"specversion": "1.0", "type": "t", "source": "/s", "id": data, "data": data} for data in first]
    answer = sidecar.http("POST", "/v1/queues/q/events", batch, {"Content-Type": "application/cloudevents-batch+json"})
    assert answer.status == 202
    with concurrent.futures.ThreadPoolExecutor() as pool:
        broker = moved(cluster, broker, "second")
        sidecar.wait_attached()
        other.wait_attached()
        sidecar.declare("q", capacity=1)
        assert other.publish("q", "fills it").status == 202
        waiting = [pool.submit(sidecar.publish, "q", f"waits {i}", query="?wait=25s") for i in range(3)]
        until(lambda: sidecar.http("GET", "/v1/queues/q").json["waiting_publishers"] == 3)
        broker.kill()
        cluster.broker("--ingress", broker.ready["ingress"], listen=broker.ready["broker"], data="first")
        answers = [w.result() for w in waiting]
    assert [(a.status, a.json["reason"]) for a in answers] == [(504, "unknown")] * 3
    sidecar.wait_attached()
    assert in_the_queue(sidecar) == first
    assert sidecar.publish("q", "at last").status == 202
    assert balanced_ledger(sidecar)["accepted"] == 7
