"""The disk budget is exhausted: publishers wait and then get 507, consumers go on, and service resumes by itself."""
import errno
import json
import re

import pytest

from conftest import BIN, SANITIZED, run

EVENT = "x" * 60000


def is_full(sidecar):
    [full] = re.findall(r"^sluice_broker_disk_full (\d)$", sidecar.ops("GET", "/metrics").body.decode(), re.M)
    return full == "1"


def test_a_full_disk_answers_507_and_acks_make_room(cluster):
    broker = cluster.broker("--disk-budget", "80MiB", "--segment-size", "16MiB", "--auto-declare")
    s = cluster.sidecar(broker, "--operations")
    environment = {"SLUICE_URL": "http://" + s.ready["http"]}
    s.declare("q", capacity_bytes="1GiB")
    s.declare("memory", durability="memory")
    published = run("sluice", "pub", "q", "--wait", "1s", "--json", input=f"{EVENT}\n" * 1300, environment=environment)
    counts = json.loads(published.stdout)
    assert published.returncode == 1 and "disk" in published.stderr
    assert counts["confirmed"] > 200 and counts["refused"] > 0 and counts["unknown"] == 0
    refused = s.publish("q", EVENT, query="?wait=0s")
    assert (refused.status, refused.json["reason"]) == (507, "disk") and refused.headers["Retry-After"]
    assert s.publish("memory").status == 202
    assert is_full(s)
    # Logged once a minute, not per publish.
    assert 1 <= broker.log.read_text().count("no room on the disk for more events") <= 3
    taken = run("sluice", "sub", "q", "--count", str(counts["confirmed"]), environment=environment)
    assert (taken.returncode, taken.stderr) == (0, "")
    assert taken.stdout == f"{EVENT}\n" * counts["confirmed"]
    assert s.publish("q", EVENT, query="?wait=30s").status == 202
    assert not is_full(s)
    assert s.http("GET", "/v1/queues/q/ledger").json == {
        "queue": "q", "accepted": counts["confirmed"] + 1, "acked": counts["confirmed"], "dead_lettered": 0,
        "expired": 0, "purged": 0, "dropped": 0, "remaining": 1}


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's runtime wants to be the first that is preloaded")
def test_startup_without_room_says_how_much_is_needed(tmp_path):
    (tmp_path / "cue").touch()
    (tmp_path / "data").mkdir()  # creating it would wait for a sync of everything that other tests write
    environment = {"LD_PRELOAD": str(BIN.parent / "lib/libfailing_disk.so"), "FAILING_DISK_CALL": "fdatasync",
                   "FAILING_DISK_ERROR": str(errno.ENOSPC), "FAILING_DISK_CUE": str(tmp_path / "cue")}
    done = run("sluice-broker", "--listen", "tcp://127.0.0.1:0", "--data", str(tmp_path / "data"),
               environment=environment)
    assert (done.returncode, done.stderr) == (
        1, f"sluice-broker: cannot write to the data directory {tmp_path}/data: No space left on device; make some "
        "room: a few hundred KiB are enough to start\n")
