"""Full disks, failing disks, and unusable data directories.

- A full disk or an exhausted disk budget makes publishers of queues on disk wait; consumers and queues in memory go on.
- A write or sync error ends the broker; a restart has every confirmed event.
- A data directory that cannot be used is refused at startup with the reason.

The full disks are small file systems of the test's own, which need root. The failing ones use failing_disk.c.
"""
import errno
import itertools
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import BIN, Process, SANITIZED, until
from load import BATCH, LONG, History, Client, Consumer, Publisher, drained, ledger, restart

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer's runtime wants to be the first that is preloaded")

SMALL = 160 << 20
SEGMENTS = "--segment-size", "16MiB"


class Disk:
    """A small file system in a mount namespace of its own. It vanishes with `holder`, the process that keeps the
    namespace. `error` says why it could not be made, or is empty."""

    def __init__(self, directory, size):
        self.path = directory / "disk"
        self.path.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh",
             "-c", f"mount -t tmpfs -o size={size} tmpfs '{self.path}' && echo mounted && cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.error = "" if self.holder.stdout.readline() else self.holder.stderr.read().strip()

    def seen(self, name):
        """Returns the path of a file in it, as seen from outside the namespace."""
        return f"/proc/{self.holder.pid}/root{self.path}/{name}"

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()


@pytest.fixture
def disk(tmp_path):
    d = Disk(tmp_path, SMALL)
    if d.error:
        d.end()
        pytest.skip(f"a file system of one's own needs root and mounts: {d.error}")
    yield d
    d.end()


def broker_on(cluster, disk, *flags):
    broker = Process(cluster.directory, f"broker{len(cluster.processes)}", [
        "/usr/bin/nsenter", f"--mount=/proc/{disk.holder.pid}/ns/mnt", "--", str(BIN / "sluice-broker"), "--listen",
        "tcp://127.0.0.1:0", "--data", str(disk.path / "data"), *SEGMENTS, *flags])
    cluster.processes.append(broker)
    return broker


IDS = itertools.count()


def publish(client, queue, wait):
    """Publishes a batch of 1 MB. Each event has a new id: duplicates would take no room."""
    body = ",".join('{"specversion":"1.0","id":"%d","source":"/s","type":"t","data":"%s"}' % (next(IDS), "x" * 10000)
                    for _ in range(100))
    return client.post(f"/v1/queues/{queue}/events?wait={wait}", f"[{body}]", BATCH)


def fill(sidecar):
    """Publishes until the broker answers that the disk is full. Returns the number of confirmed events."""
    client, confirmed = Client(sidecar.ready["http"]), 0
    for _ in range(1000):
        start = time.monotonic()
        status, said = publish(client, "disk", "500ms")
        if status not in (202, 207):
            assert (status, said["reason"]) == (507, "disk"), said
            assert time.monotonic() - start >= 0.5, "it did not wait for room"
            client.close()
            return confirmed
        confirmed += sum("sequence" in e for e in said["events"])
    raise AssertionError("never full")


def take_and_ack(sidecar, queue, least):
    """Takes and acks at least `least` events. Returns their sequences in order of arrival."""
    sequences = []
    while len(sequences) < least:
        answer = sidecar.take(queue, max=100, wait="20s")
        events = answer.json["events"]
        assert events, f"{len(sequences)} of {least} came"
        sequences += [e["sequence"] for e in events]
        acked = sidecar.ack(queue, *[e["receipt"] for e in events])
        assert acked.status == 200, acked.body
    return sequences


class Waiting(threading.Thread):
    """A publish to the queue "disk" that waits up to 60 s for room, in a thread."""

    def __init__(self, sidecar):
        super().__init__(daemon=True)
        self.client, self.answer = Client(sidecar.ready["http"]), None
        self.start()

    def run(self):
        self.answer = publish(self.client, "disk", "60s")
        self.client.close()

    def accepted(self):
        self.join(60)
        status, said = self.answer
        assert status == 202, said
        return len(said["events"])


def is_waited_for(sidecar):
    """Waits until a publisher of the queue "disk" waits for room."""
    until(lambda: sidecar.http("GET", "/v1/queues/disk").json["waiting_publishers"])


def served_while_full(cluster, broker):
    """Fills the disk and checks that publishers wait, everybody else is served, and the freed room is used again.
    Returns the sidecar and the number of events left."""
    sidecar = cluster.sidecar(broker)
    sidecar.declare("disk", capacity=1000000, capacity_bytes="1GiB")
    sidecar.declare("memory", durability="memory")
    confirmed = fill(sidecar)
    assert confirmed >= 2000
    assert sidecar.publish("memory").status == 202, "queues in memory need no disk"
    waiting = Waiting(sidecar)
    is_waited_for(sidecar)
    sequences = take_and_ack(sidecar, "disk", confirmed)
    confirmed += waiting.accepted()
    sequences += take_and_ack(sidecar, "disk", confirmed - len(sequences))
    assert sequences == list(range(1, confirmed + 1))
    confirmed = fill(sidecar)  # all the room can be used again
    assert confirmed >= 2000
    assert ledger(sidecar, "disk")["remaining"] == confirmed
    return sidecar, confirmed


def test_a_full_disk_makes_only_publishers_wait(cluster, disk):
    broker = broker_on(cluster, disk, "--disk-budget", "1GiB")
    sidecar, confirmed = served_while_full(cluster, broker)
    assert broker.stop() == 0, "a full disk is no reason to fail"
    broker = broker_on(cluster, disk, "--disk-budget", "1GiB", "--ingress", broker.ready["ingress"], "--listen",
                       broker.ready["broker"])
    sidecar.wait_attached()
    assert len(take_and_ack(sidecar, "disk", confirmed)) == confirmed, "a start on a full disk finds everything"


def test_an_exhausted_disk_budget_makes_only_publishers_wait(cluster):
    served_while_full(cluster, cluster.broker(*SEGMENTS, "--disk-budget", str(SMALL)))


def test_room_that_other_files_free_is_used(cluster, disk):
    with open(disk.seen("other"), "wb") as other:
        os.posix_fallocate(other.fileno(), 0, 80 << 20)
    sidecar = cluster.sidecar(broker_on(cluster, disk, "--disk-budget", "1GiB"))
    sidecar.declare("disk", capacity=1000000, capacity_bytes="1GiB")
    confirmed = fill(sidecar)
    waiting = Waiting(sidecar)
    is_waited_for(sidecar)
    os.unlink(disk.seen("other"))
    confirmed += waiting.accepted()
    assert take_and_ack(sidecar, "disk", confirmed) == list(range(1, confirmed + 1))


def drop(sidecar, queue, count):
    """Takes the first `count` events and settles each as a drop, which makes it a dead letter. Returns their
    sequences."""
    sequences = []
    while len(sequences) < count:
        events = sidecar.take(queue, max=50, wait="20s").json["events"]
        sequences += [e["sequence"] for e in events]
        dropped = sidecar.http("POST", f"/v1/queues/{queue}/acks", {"drop": [e["receipt"] for e in events]})
        assert dropped.status == 200, dropped.body
    return sequences


def publish_small(sidecar):
    """Publishes one small event, which may still fit where a batch does not. Returns the status."""
    return sidecar.publish("disk", "x" * 100, query="?wait=0s").status


def test_on_a_full_disk_dead_letters_move_as_soon_as_there_is_room(cluster, disk):
    flags = "--disk-budget", "1GiB"
    broker = broker_on(cluster, disk, *flags)
    sidecar = cluster.sidecar(broker)
    sidecar.declare("undelivered", capacity=1000000, capacity_bytes="1GiB")
    sidecar.declare("disk", capacity=1000000, capacity_bytes="1GiB", dead_letter="undelivered")
    confirmed = fill(sidecar)
    while publish_small(sidecar) == 202:
        confirmed += 1
    dropped = drop(sidecar, "disk", 100)
    broker.kill()
    broker_on(cluster, disk, *flags, "--ingress", broker.ready["ingress"], "--listen", broker.ready["broker"])
    sidecar.wait_attached()
    left = take_and_ack(sidecar, "disk", confirmed - len(dropped))
    assert not set(left) & set(dropped), "what was dropped came again"
    take_and_ack(sidecar, "undelivered", len(dropped))
    assert ledger(sidecar, "disk")["remaining"] == 0
    assert ledger(sidecar, "undelivered")["accepted"] == len(dropped)


# ---- failing disks

def failing_broker(cluster, directory, call, error=errno.EIO):
    """Starts a broker on directory/data whose system call `call` fails with `error` while directory/cue exists."""
    broker = Process(directory, "broker", ["sluice-broker", "--listen", "tcp://127.0.0.1:0", "--segment-size", "16MiB",
                                           "--data", str(directory / "data")],
                     {"LD_PRELOAD": str(BIN.parent / "lib/libfailing_disk.so"), "FAILING_DISK_CALL": call,
                      "FAILING_DISK_ERROR": str(int(error)), "FAILING_DISK_CUE": str(directory / "cue"),
                      "ASAN_OPTIONS": "verify_asan_link_order=0"})
    cluster.processes.append(broker)
    return broker


# ENOSPC counts as a failure where the room was already allocated.
FAILURES = [("pwrite", "EIO"), ("fdatasync", "EIO"), ("fallocate", "EIO")]
MORE_FAILURES = [("fsync", "EIO"), ("openat", "EIO"), ("renameat", "EIO"), ("unlinkat", "EIO"), ("pwrite", "ENOSPC"),
                 ("fdatasync", "ENOSPC")]


@pytest.mark.parametrize("call,error", FAILURES + (MORE_FAILURES if LONG else []))
def test_a_failing_disk_ends_the_broker_and_loses_nothing(cluster, tmp_path, call, error):
    cue = tmp_path / "cue"
    broker = failing_broker(cluster, tmp_path, call, getattr(errno, error))
    sidecar = cluster.sidecar(broker)
    sidecar.declare("load", capacity=100000, capacity_bytes="1GiB")
    history = History()
    publishers = [Publisher(history, sidecar, "load", f"/p{i}", batch=100, wait="1s", size=10000) for i in range(3)]
    consumer = Consumer(history, sidecar, "load")  # so that segments are freed
    # With a consumer that keeps up, segments are reused, and no file would be allocated or removed.
    keeps_up = call not in ("fallocate", "unlinkat")
    if keeps_up:
        consumer.start()
    for publisher in publishers:
        publisher.start()
    until(lambda: len(history.confirmed()) >= (12000 if call == "unlinkat" else 200) or broker.popen.poll() is not None)
    assert broker.popen.poll() is None
    cue.touch()
    if call == "unlinkat":
        for publisher in publishers:
            publisher.finish()
        consumer.start()
    assert broker.wait(timeout=30) == 1
    if call != "unlinkat":
        for publisher in publishers:
            publisher.finish()
    said = [line for line in broker.log.read_text().splitlines() if '"error"' in line]
    assert len(said) == 1 and "the log failed" in said[0] and os.strerror(getattr(errno, error)) in said[0], said
    assert set(history.statuses) <= {(202, None), (503, "unavailable"), (504, "unknown")}, history.statuses
    cue.unlink()
    restart(cluster, broker, "--segment-size", "16MiB")
    sidecar.wait_attached()
    if call == "fallocate":
        consumer.start()
    drained(history, sidecar, "load")
    consumer.finish()
    history.check(crashes=1)


def test_segments_that_a_full_disk_cannot_remove_are_removed_later(cluster, tmp_path):
    cue, data = tmp_path / "cue", tmp_path / "data"
    broker = failing_broker(cluster, tmp_path, "unlinkat", errno.ENOSPC)
    sidecar = cluster.sidecar(broker)
    sidecar.declare("disk", capacity=100000, capacity_bytes="1GiB")
    cue.touch()
    client = Client(sidecar.ready["http"])
    for _ in range(100):
        assert publish(client, "disk", "10s")[0] == 202
    client.close()
    assert take_and_ack(sidecar, "disk", 10000) == list(range(1, 10001))
    assert len(list(data.glob("0*.log"))) >= 8
    cue.unlink()
    until(lambda: len(list(data.glob("0*.log"))) <= 6)  # the active one, three spares, and two that may become spares
    assert broker.stop() == 0
    assert ledger_after_restart(cluster, broker, sidecar)["acked"] == 10000


def ledger_after_restart(cluster, broker, sidecar):
    restart(cluster, broker, "--segment-size", "16MiB")
    sidecar.wait_attached()
    return ledger(sidecar, "disk")


@pytest.mark.parametrize("call", ["fallocate", *(["renameat", "fsync"] if LONG else [])])
def test_no_room_for_a_segment_makes_publishers_wait(cluster, tmp_path, call):
    broker = failing_broker(cluster, tmp_path, call, errno.ENOSPC)
    sidecar = cluster.sidecar(broker)
    sidecar.declare("disk", capacity=1000000, capacity_bytes="1GiB")
    (tmp_path / "cue").touch()
    confirmed = fill(sidecar)
    waiting = Waiting(sidecar)
    is_waited_for(sidecar)
    (tmp_path / "cue").unlink()
    confirmed += waiting.accepted()
    assert take_and_ack(sidecar, "disk", confirmed) == list(range(1, confirmed + 1))
    assert broker.stop() == 0


# ---- unusable directories

def refused(*arguments, prefix=(), code=1):
    """Starts a broker that must refuse to start with that exit status. Returns its message."""
    done = subprocess.run([*prefix, str(BIN / "sluice-broker"), "--listen", "tcp://127.0.0.1:0", *arguments],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == code and done.stdout == "", done
    lines = done.stderr.strip().splitlines()
    assert lines[0].startswith("sluice-broker: "), done.stderr
    return lines[0]


def test_a_disk_budget_that_takes_no_events_is_refused(tmp_path):
    data, file = str(tmp_path / "data"), tmp_path / "broker.yaml"
    little = "--segment-size", "16MiB", "--disk-budget", "79MiB", "--data", data
    for more in (), ("--check-config",):
        said = refused(*little, *more, code=2)
        assert "disk_budget is 82837504 bytes" in said and "at least 83886080 (80MiB)" in said
    assert not os.path.exists(data)
    file.write_text(f"data: {data}\nsegment_size: 16MiB\ndisk_budget: 79MiB\n")
    checked = subprocess.run([BIN / "sluice", "config", "check", "broker", str(file)], capture_output=True,
                             text=True, timeout=60)
    assert checked.returncode == 1 and "at least 83886080 (80MiB)" in checked.stderr
    file.write_text(f"data: {data}\nsegment_size: 16MiB\ndisk_budget: 80MiB\n")
    subprocess.run([BIN / "sluice", "config", "check", "broker", str(file)], check=True,
                   capture_output=True, timeout=60)


def test_unreadable_key_and_incarnation_files_are_not_replaced(cluster, tmp_path):
    """A new key would refuse outstanding receipts; a lower incarnation would accept receipts that are void."""
    data, cue = tmp_path / "data", tmp_path / "cue"
    assert cluster.broker().stop() == 0
    before = (data / "receipt.key").read_bytes()
    cue.touch()
    failing = ("/usr/bin/env", f"LD_PRELOAD={BIN.parent}/lib/libfailing_disk.so", "FAILING_DISK_CALL=pread",
               f"FAILING_DISK_CUE={cue}")
    says = refused("--data", str(data), prefix=failing)
    assert "cannot read receipt.key in the data directory: Input/output error" in says
    assert (data / "receipt.key").read_bytes() == before
    for wrong in "", "many\n", "0\n", "8796093022208\n", "99999999999999999999\n":
        (data / "incarnation").write_text(wrong)
        assert "/incarnation: Bad message; put a number into it that is higher" in refused("--data", str(data))
        assert (data / "incarnation").read_text() == wrong


def test_a_second_broker_on_the_same_directory_is_refused(cluster, broker, tmp_path):
    said = refused("--data", str(tmp_path / "data"))
    assert f"another broker (process {broker.popen.pid}) uses the data directory {tmp_path}/data" in said


def test_a_directory_that_cannot_be_created_is_reported(tmp_path):
    assert re.search(r"cannot create the data directory .*/none/data: No such file",
                     refused("--data", str(tmp_path / "none/data")))


def test_a_file_as_the_data_directory_is_refused(tmp_path):
    (tmp_path / "file").touch()
    assert re.search(r"cannot open the data directory .*/file: Not a directory",
                     refused("--data", str(tmp_path / "file")))


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_directory_of_another_user_is_reported():
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        os.chmod(parent, 0o755)
        data = parent + "/data"
        os.mkdir(data, 0o755)
        nobody = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
        said = refused("--data", data, prefix=nobody)
    assert data in said and "Permission denied" in said


def test_a_read_only_file_system_is_reported(disk):
    inside = "nsenter", f"--mount=/proc/{disk.holder.pid}/ns/mnt", "--"
    data = str(disk.path / "data")
    subprocess.run([*inside, "sh", "-c", f"mkdir '{data}' && mount -o remount,ro '{disk.path}'"],
                   check=True, timeout=30)
    said = refused("--data", data, prefix=inside)
    assert data in said and "Read-only file system" in said


LOOP = "sluice-broker|\\d+/ZMQbg/IO/0"  # the main thread, or libzmq's, on which it runs while messages are small


def written_by(process, thread):
    """Returns the bytes that the process's threads of that name (an expression) wrote, to files and sockets."""
    tasks = pathlib.Path(f"/proc/{process.popen.pid}/task").iterdir()
    return sum(int(re.search(r"wchar: (\d+)", (task / "io").read_text())[1]) for task in tasks
               if re.fullmatch(thread, (task / "comm").read_text().strip()))


def test_the_loop_syncs_to_a_fast_disk_itself_unless_memory_queues_are_busy(cluster, disk):
    b = cluster.broker(data=disk.seen("data"))
    s = cluster.sidecar(b)
    s.declare("kept", durability="disk")
    s.declare("held", durability="memory")

    def is_written_by(thread):
        before = written_by(b, thread)
        assert s.publish("kept", "x" * 20000).status == 202
        return written_by(b, thread) - before > 20000

    assert is_written_by("log-changes")  # the broker does not know yet that the disk is fast
    assert any(is_written_by(LOOP) for _ in range(5000)), "no run of fast syncs was long enough"
    waited = 0
    for _ in range(50):
        assert s.publish("held", "x").status == 202
        waited += is_written_by(LOOP)
    assert waited < 10  # not 0: if the machine pauses between the two publishes, memory queues are idle for a second
