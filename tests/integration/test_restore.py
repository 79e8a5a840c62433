"""A data directory restored from a backup, as in docs/operations.md, while sidecars and consumers keep running:
receipts and epochs from before the restore must not be mistaken for new ones."""
import shutil
import time

from conftest import balanced_ledger


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
