"""Hostile peers at the broker's sockets: floods of garbage, oversized and malformed messages, crowds of connections,
peers that never read, and peers that pretend to be somebody else.

In each case the broker keeps running within bounded memory, what another client publishes is delivered exactly once and
in order, and the log or a counter says what happened.
"""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile

import pytest
import zmq

from conftest import Cluster, SANITIZED, run, until
from rawclient import RawClient, body, data, number

MEMORY_MIB = 1500 if SANITIZED else 300


def resident_mib(process):
    for line in pathlib.Path(f"/proc/{process.popen.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the process is gone")


def metric(sidecar, name):
    for line in sidecar.ops("GET", "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"no {name}")


@pytest.fixture
def honest(cluster, broker):
    """A well-behaved sidecar with a queue "honest", which an attack must not affect."""
    s = cluster.sidecar(broker, "--operations")
    s.declare("honest", capacity=10000)
    return s


def check_delivery(sidecar, count=50, queue="honest"):
    """Publishes, takes and acks `count` events, and checks that exactly these arrive, in order."""
    for i in range(count):
        answer = sidecar.publish(queue, str(i), query="?wait=20s")
        assert answer.status == 202, answer.body
    got = []
    while len(got) < count:
        events = sidecar.take(queue, max=count - len(got), wait="20s").json["events"]
        assert events, "an event is missing"
        got += [e["event"]["data"] for e in events]
        assert sidecar.ack(queue, *[e["receipt"] for e in events]).status == 200
    assert got == [str(i) for i in range(count)]
    assert sidecar.take(queue, max=1, wait="0s").json["events"] == []
    ledger = sidecar.http("GET", f"/v1/queues/{queue}/ledger").json
    assert ledger["accepted"] == ledger["acked"] and ledger["remaining"] == 0


FLOODER = """
import sys, zmq
endpoint, kind, size, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
import time
c = zmq.Context()
s = c.socket({"push": zmq.PUSH, "dealer": zmq.DEALER}[kind])
s.setsockopt(zmq.LINGER, 0)
s.connect(endpoint)
junk, end = b"\\xff" * size, time.monotonic() + seconds
print("flooding", flush=True)
while time.monotonic() < end:
    for _ in range(100):
        try:
            s.send(junk, zmq.DONTWAIT)
        except zmq.Again:
            s.poll(5, zmq.POLLOUT)
c.destroy(linger=0)
"""


def flooder(endpoint, kind, size, seconds):
    p = subprocess.Popen([sys.executable, "-c", FLOODER, endpoint, kind, str(size), str(seconds)],
                         stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "flooding\n"
    return p


@pytest.mark.parametrize("size", [1, 200, 1 << 20])
def test_a_flood_of_garbage_makes_the_broker_rebind_its_ingress(broker, honest, size):
    flood = flooder(broker.ready["ingress"], "push", size, 3)
    try:
        while flood.poll() is None:
            check_delivery(honest, 10)
            assert resident_mib(broker) < MEMORY_MIB
    finally:
        flood.kill()
        flood.wait()
    check_delivery(honest)
    if size >= 200:
        assert metric(honest, "sluice_broker_ingress_rebinds_total") >= 1
        assert "the ingress is bound again" in broker.log.read_text()
    assert metric(honest, "sluice_broker_frames_rejected_total") > 0
    assert metric(honest, "sluice_broker_denied_total") == 0  # the same address has an honest session


def test_a_flood_over_ipc_makes_the_broker_rebind_its_ingress(cluster, short_directory):
    b = cluster.broker("--auto-declare", listen=f"ipc://{short_directory}/broker")
    honest = cluster.sidecar(b, "--operations")
    flood = flooder(b.ready["ingress"], "push", 1 << 20, 2)
    try:
        while flood.poll() is None:
            check_delivery(honest, 10)
    finally:
        flood.kill()
        flood.wait()
    check_delivery(honest)
    assert metric(honest, "sluice_broker_ingress_rebinds_total") >= 1
    assert (short_directory / "broker.ingress").stat().st_mode & 0o777 == 0o660


def test_garbage_on_the_control_socket_takes_bounded_memory(broker, honest):
    flood = flooder(broker.ready["broker"], "dealer", 1000, 3)  # it never reads an answer
    try:
        while flood.poll() is None:
            check_delivery(honest, 10)
            assert resident_mib(broker) < MEMORY_MIB
    finally:
        flood.kill()
        flood.wait()
    check_delivery(honest)
    assert metric(honest, "sluice_broker_frames_rejected_total") > 100


def test_unread_replies_are_bounded_by_their_bytes(cluster):
    """A request of a few bytes can ask for a reply of megabytes, but libzmq limits only the number of messages."""
    broker = cluster.broker("--memory-budget", "64MiB")
    honest = cluster.sidecar(broker)
    honest.declare("honest", capacity=10000)
    honest.declare("big")
    block = os.urandom(500_000).hex()
    for _ in range(5):
        assert honest.publish("big", block).status == 202
    deaf = RawClient(broker.ready)
    deaf.control.setsockopt(zmq.RCVHWM, 1)
    deaf.control.setsockopt(zmq.RCVBUF, 4096)
    deaf.control.disconnect(broker.ready["broker"])
    deaf.control.connect(broker.ready["broker"])
    peek = data(8, data(1, "big") + number(4, 100) + number(5, 4 << 20))
    before = resident_mib(broker)
    for _ in range(15):
        for _ in range(20):
            deaf.control.send(data(1, os.urandom(16)) + peek)
        check_delivery(honest, 5)
        assert len(honest.http("GET", "/v1/queues/big/peek?max=1").json["events"]) == 1
        assert resident_mib(broker) < before + (700 if SANITIZED else 100)  # sanitizers keep freed memory for a while
    assert "too many bytes of replies are left unread" in broker.log.read_text()
    check_delivery(honest)
    assert broker.stop() == 0  # without waiting for anybody to read
    deaf.close()


def test_a_flooder_with_an_address_of_its_own_is_denied(cluster):
    """The honest sidecar connects from 127.0.0.1, the flooder from 127.0.0.2."""
    b = cluster.broker()
    honest = cluster.sidecar(b, "--operations")
    honest.declare("honest")
    context = zmq.Context()
    s = context.socket(zmq.PUSH)
    s.setsockopt(zmq.SNDHWM, 100)
    port = b.ready["ingress"].rsplit(":", 1)[1]
    s.connect(f"tcp://127.0.0.2:0;127.0.0.1:{port}")
    junk = b"\xff" * (1 << 20)

    def denied():
        for _ in range(50):
            with contextlib.suppress(zmq.Again):  # once it is denied, libzmq ends the connection for good
                s.poll(10, zmq.POLLOUT)
                s.send(junk, zmq.DONTWAIT)
        return metric(honest, "sluice_broker_denied_total") == 1
    until(denied)
    assert "ip:127.0.0.2 sent" in b.log.read_text()
    context.destroy(linger=0)
    late = RawClient(b.ready, wait=0.5)  # a new connection from the denied address is ignored
    late.control.disconnect(b.ready["broker"])
    late.control.connect("tcp://127.0.0.2:0;" + b.ready["broker"].split("//")[1])
    late.request_attach()
    with pytest.raises(zmq.Again):
        late.reply()
    late.close()
    check_delivery(honest)


def test_oversized_and_multipart_messages_are_rejected(broker, honest):
    context = zmq.Context()
    push, dealer = context.socket(zmq.PUSH), context.socket(zmq.DEALER)
    push.connect(broker.ready["ingress"])
    dealer.connect(broker.ready["broker"])
    huge = bytes(64 << 20)
    for s in (push, dealer):
        s.send(huge)  # above the size limit of a message: the connection is dropped before the message is read
        s.send_multipart([b"part"] * 5000)
        s.send_multipart([b""] * 100)
    check_delivery(honest)
    assert resident_mib(broker) < MEMORY_MIB
    until(lambda: metric(honest, "sluice_broker_frames_rejected_total") >= 5000)
    context.destroy(linger=0)


def idle_connections(endpoint, count, hello):
    host, port = endpoint.split("//")[1].rsplit(":", 1)
    out = []
    for _ in range(count):
        s = socket.create_connection((host, int(port)))
        s.sendall(hello)
        out.append(s)
    return out


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)


def test_two_thousand_silent_connections_are_dropped_in_time(broker, honest):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("needs 4,096 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        silent = idle_connections(broker.ready["broker"], 1000, b"")
        half = idle_connections(broker.ready["ingress"], 1000, GREETING)  # handshakes that stop after the greeting
        check_delivery(honest)
        assert resident_mib(broker) < MEMORY_MIB
        for s in silent + half:  # each is dropped in time
            s.settimeout(20)
            while s.recv(4096):
                pass
            s.close()
        check_delivery(honest, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_crowd_of_connections_does_not_use_up_the_brokers_descriptors(cluster, short_directory, transport):
    """Without free descriptors libzmq would abort the process over ipc, and over tcp the log could not open its
    files."""
    b = cluster.broker("--auto-declare",
                       listen="tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{short_directory}/broker")
    honest = cluster.sidecar(b, "--operations")
    check_delivery(honest, 5)
    resource.prlimit(b.popen.pid, resource.RLIMIT_NOFILE, (160, 160))
    host, _, port = b.ready["broker"].split("//")[1].rpartition(":")
    crowd = []
    for _ in range(200):
        s = socket.socket(socket.AF_INET if host else socket.AF_UNIX)
        s.connect((host, int(port)) if host else port)
        s.settimeout(20)
        crowd.append(s)

    def was_let_in(s):
        try:
            return s.recv(1) == GREETING[:1]  # the broker speaks first
        except ConnectionResetError:
            return False
    assert 50 < sum(was_let_in(s) for s in crowd) < 150
    check_delivery(honest, 5)
    for s in crowd:
        s.close()
    until(lambda: len(os.listdir(f"/proc/{b.popen.pid}/fd")) < 100)
    check_delivery(cluster.sidecar(b))


def test_attaches_without_an_echo_are_limited(cluster):
    b = cluster.broker("--max-sessions", "100")
    honest = cluster.sidecar(b, "--operations")
    honest.declare("honest")
    loop = RawClient(b.ready)
    for _ in range(300):
        loop.request_attach()
    busy = 0
    for _ in range(300):
        reply = loop.reply()
        assert reply.reason in (21, 34), reply.detail  # inbox_unreachable, busy
        busy += reply.reason == 34
        if busy == 1:
            assert "wait for their echo" in reply.detail
            check_delivery(honest, 5)
    assert busy == 300 - 12  # an eighth of max_sessions may wait for their echo
    cluster.sidecar(b)  # there is room for another session
    check_delivery(honest)
    loop.close()


def test_a_session_that_never_reads_ends_within_bounded_memory(cluster):
    broker = cluster.broker("--heartbeat", "500ms", "--session-timeout", "2s")
    honest = cluster.sidecar(broker, "--operations")
    honest.declare("honest")
    honest.declare("big", capacity=1000, capacity_bytes="200MiB")
    block = os.urandom(300_000).hex()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda i: honest.publish("big", block, query="?wait=20s"), range(100)):
            assert answer.status == 202, answer.body
    before = resident_mib(broker)
    deaf = RawClient(broker.ready).attach()
    deaf.consume("big", 1000)
    until(lambda: honest.http("GET", "/v1/queues/big").json["in_flight"] > 0)
    check_delivery(honest, 20)
    assert resident_mib(broker) < before + 100  # the session's share of the link, not the 60 MB of the queue
    until(lambda: honest.http("GET", "/v1/queues/big").json["in_flight"] == 0)  # its session has ended
    assert "session ended: it was silent, or did not read" in broker.log.read_text()
    got = 0
    while got < 100:
        events = honest.take("big", max=10, wait="20s").json["events"]
        assert all(e["event"]["data"] == block for e in events)
        got += len(events)
        assert honest.ack("big", *[e["receipt"] for e in events]).status == 200
    deaf.close()
    check_delivery(honest)


def test_a_session_that_overruns_its_window_ends(broker, honest):
    greedy = RawClient(broker.ready).attach()
    for queue in ("full-1", "full-2", "full-3"):
        honest.declare(queue, capacity=1)
        greedy.publish(queue, 1, [b"event"] * 9000, wait_ms=60000)  # 27,000 undecided events, where 16,384 are allowed
    until(lambda: "session ended: it sent a malformed or forbidden frame" in broker.log.read_text())
    check_delivery(honest)
    for queue in ("full-1", "full-2", "full-3"):  # its waiting publishes ended with it
        assert honest.http("GET", f"/v1/queues/{queue}").json["waiting_publishers"] == 0
    greedy.close()


def test_malformed_bodies_end_only_the_session_that_sent_them(broker, honest):
    for bad in (data(8, b"\xff\xff"), body(2, data(1, "no such name!") + number(2, 1)), body(10, data(1, "q")),
                body(2, data(1, "q") + number(2, 1) + data(4, b"\x0a\xff")),
                body(5, data(1, "q") + data(3, b"\x08\x09"))):
        before = metric(honest, "sluice_broker_sessions_ended_total")
        c = RawClient(broker.ready).attach()
        c.push(bad)
        until(lambda: metric(honest, "sluice_broker_sessions_ended_total") == before + 1)
        c.close()
    check_delivery(honest)


AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.path.insert(0, sys.argv[1])
import json
from rawclient import RawClient, frame
import zmq
ready, victim, token, own = json.loads(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]), sys.argv[5]
c = RawClient(ready, inbox="ipc://" + own, wait=5)
os.chmod(own, 0o666)
c.request_attach(victim)
r = c.reply()
print(json.dumps([r.reason, r.detail]), flush=True)
for i in range(100):
    c.ingress.send(frame(tuple(token), 1, 2 + i))
c.attach()
print("attached", flush=True)
c.close()
"""


def test_control_characters_in_a_session_name_are_not_printed(broker, honest):
    """A session may give itself any name."""
    mean = RawClient(broker.ready, name="mean\x1b]0;title\x07\n\x1b[2J").attach()
    mean.consume("honest", 1)
    honest.publish("honest")
    until(lambda: honest.http("GET", "/v1/queues/honest").json["in_flight"] == 1)
    shell = {"SLUICE_URL": f"http://{honest.ready['http']}"}
    for question in (["explain", "honest", "1"], ["list"], ["show", "honest"]):
        said = run("sluice", "queue", *question, environment=shell).stdout
        assert "mean.]0;title..." in said and not set("\x1b\x07") & set(said), said
    mean.close()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to act as a second user")
def test_over_ipc_one_user_cannot_act_for_another():
    with tempfile.TemporaryDirectory() as folder:
        short_directory = pathlib.Path(folder)
        short_directory.chmod(0o777)
        cluster = Cluster(short_directory)
        try:
            b = cluster.broker("--auto-declare", listen=f"ipc://{short_directory}/broker")
            honest = cluster.sidecar(b, "--operations")
            for name in ("broker", "broker.ingress"):
                assert (short_directory / name).stat().st_mode & 0o777 == 0o660
                (short_directory / name).chmod(0o666)
            inbox = honest.ops("GET", "/healthz").json["inbox"]
            assert pathlib.Path(inbox[6:]).stat().st_mode & 0o777 == 0o660
            pathlib.Path(inbox[6:]).chmod(0o666)
            mine = RawClient(b.ready, inbox=f"ipc://{short_directory}/mine").attach()
            before = metric(honest, "sluice_broker_frames_rejected_total")
            thief = subprocess.run([sys.executable, "-c", AS_NOBODY, str(pathlib.Path(__file__).parent),
                                    json.dumps(b.ready), inbox, json.dumps(mine.token), f"{short_directory}/thief"],
                                   capture_output=True, text=True, timeout=60)
            assert thief.returncode == 0, thief.stderr
            answer, attached = thief.stdout.splitlines()
            reason, detail = json.loads(answer)
            assert reason == 3 and "belongs to uid:0" in detail and "came from uid:65534" in detail
            assert attached == "attached"  # it may attach with an inbox of its own
            until(lambda: metric(honest, "sluice_broker_frames_rejected_total") >= before + 100)
            check_delivery(honest)
            mine.publish("honest", 1, [])  # still in sequence: the thief's frames did not count
            mine.close()
        finally:
            cluster.end()
