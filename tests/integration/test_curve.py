"""CURVE over tcp: a client with the right key works end to end, every other is denied with a message that says what to
check, and SIGHUP adds and removes keys."""
import json
import signal

import pytest
import zmq

from conftest import run, run_json, until
from rawclient import data


def keygen(directory, name):
    made = run("sluice", "keygen", str(directory / name))
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture
def keys(tmp_path):
    if not zmq.has("curve"):
        pytest.skip("this libzmq has no CURVE")
    (tmp_path / "clients").mkdir()
    for name in ("broker", "clients/shop", "stranger"):
        keygen(tmp_path, name)
    return tmp_path


def guarded(cluster, keys, *flags, **more):
    """Starts a broker that requires CURVE and knows the clients' keys."""
    return cluster.broker("--auto-declare", "--curve-secret-key-file", str(keys / "broker.key"), "--curve-clients",
                          str(keys / "clients"), *flags, **more)


def with_keys(keys, mine, broker="broker"):
    """Returns a sidecar's flags for its own key pair and the broker's public key."""
    return ["--curve-secret-key-file", str(keys / f"{mine}.key"),
            "--curve-broker-key-file", str(keys / f"{broker}.pub")]


def attach_error(sidecar):
    """Returns why the sidecar cannot attach, once it has tried."""
    until(lambda: "does not answer" in (sidecar.ops("GET", "/healthz").json.get("trouble") or ""))
    answer = sidecar.publish("q", query="?wait=0s")
    assert answer.status == 503, answer.body
    return sidecar.ops("GET", "/healthz").json["trouble"]


def test_keygen_writes_a_pair_and_overwrites_nothing(tmp_path):
    public = keygen(tmp_path, "me")
    secret = (tmp_path / "me.key").read_text()
    assert (tmp_path / "me.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "me.pub").read_text() == public + "\n" and len(public) == 40
    assert zmq.curve_public(secret.strip().encode()).decode() == public
    again = run("sluice", "keygen", str(tmp_path / "me"))
    assert again.returncode == 1 and "exists already" in again.stderr
    assert (tmp_path / "me.key").read_text() == secret
    assert run("sluice", "keygen").returncode == 2
    assert run("sluice", "keygen", str(tmp_path / "no/where")).returncode == 1


def test_the_right_key_works_end_to_end(cluster, keys):
    b = guarded(cluster, keys)
    s = cluster.sidecar(b, *with_keys(keys, "clients/shop"))
    for i in range(100):
        assert s.publish("q", str(i)).status == 202
    got = s.take("q", max=100, wait="10s").json["events"]
    assert [e["event"]["data"] for e in got] == [str(i) for i in range(100)]
    assert s.ack("q", *[e["receipt"] for e in got]).status == 200
    public = (keys / "clients/shop.pub").read_text().strip()
    assert f"attached from key:{public}@127.0.0.1" in b.log.read_text()


def test_a_client_key_file_may_have_long_comments(cluster, keys):
    for name in ("broker.key", "broker.pub", "clients/shop.key", "clients/shop.pub"):
        path = keys / name
        path.write_text(f"# {'of the shop ' * 50}\n\n{path.read_text()}")
    b = guarded(cluster, keys)
    s = cluster.sidecar(b, *with_keys(keys, "clients/shop"))
    assert s.publish("q").status == 202


def test_ping_and_bench_accept_keys(cluster, keys):
    b = guarded(cluster, keys).ready["broker"]
    mine = ["--key", str(keys / "clients/shop.key"), "--broker-key", str(keys / "broker.pub")]
    assert "version" in run("sluice", "ping", "-n", "1", *mine, b).stdout
    assert run_json("sluice", "bench", "--events", "2000", "--json", *mine, b)["consumed"] == 2000
    refused = run("sluice", "ping", "-n", "1", "--wait", "300ms", b)
    assert refused.returncode == 1 and "--key" in refused.stderr
    stranger = ["--key", str(keys / "stranger.key"), "--broker-key", str(keys / "broker.pub")]
    denied = run("sluice", "ping", "-n", "1", "--wait", "300ms", *stranger, b)
    assert denied.returncode == 1 and "does it admit this client's key" in denied.stderr
    for command in ("ping", "bench"):
        half = run("sluice", command, *mine[:2], b)
        assert half.returncode == 2 and "go together" in half.stderr
        wrong = run("sluice", command, "--key", "/nowhere", *mine[2:], b)
        assert wrong.returncode == 1 and "/nowhere" in wrong.stderr


def test_an_unknown_key_is_denied(cluster, keys):
    b = guarded(cluster, keys)
    s = cluster.sidecar(b.ready["broker"], *with_keys(keys, "stranger"))
    stranger = (keys / "stranger.pub").read_text().strip()
    assert stranger in attach_error(s) and "curve.clients" in attach_error(s)
    assert f"denied: the key {stranger} of 127.0.0.1" in b.log.read_text()


def test_no_key_is_denied(cluster, keys):
    b = guarded(cluster, keys)
    s = cluster.sidecar(b.ready["broker"])
    assert "if it asks for keys, is a secret key set here" in attach_error(s)
    context = zmq.Context()  # nor does a bare frame reach the ingress
    push = context.socket(zmq.PUSH)
    push.connect(b.ready["ingress"])
    push.send(b"junk")
    honest = cluster.sidecar(b, "--operations", *with_keys(keys, "clients/shop"))
    assert honest.publish("q").status == 202
    assert "sluice_broker_frames_rejected_total 0" in honest.ops("GET", "/metrics").body.decode()
    context.destroy(linger=0)


def test_a_wrong_broker_key_names_what_to_check(cluster, keys):
    b = guarded(cluster, keys)
    s = cluster.sidecar(b.ready["broker"], *with_keys(keys, "clients/shop", broker="stranger"))
    said = attach_error(s)
    assert "broker_key_file" in said and (keys / "stranger.pub").read_text().strip() in said


def test_keys_for_a_broker_without_curve_are_an_error(cluster, keys):
    s = cluster.sidecar(cluster.broker().ready["broker"], *with_keys(keys, "clients/shop"))
    assert "does it use keys" in attach_error(s)


def test_the_inbox_admits_only_the_broker(cluster, keys):
    b = guarded(cluster, keys)
    s = cluster.sidecar(b, "--inbox", "tcp://127.0.0.1:0", *with_keys(keys, "clients/shop"))
    inbox = s.ops("GET", "/healthz").json["inbox"]
    context = zmq.Context()
    monitored = []
    for keyed in (False, True):
        push = context.socket(zmq.PUSH)
        monitor = push.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH |
                                          zmq.EVENT_DISCONNECTED)
        if keyed:
            push.curve_publickey, push.curve_secretkey = zmq.curve_keypair()
            push.curve_serverkey = (keys / "clients/shop.pub").read_text().strip().encode()
        push.connect(inbox)
        assert monitor.poll(10000)
        monitored.append(int.from_bytes(monitor.recv_multipart()[0][:2], "little"))
    assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in monitored
    context.destroy(linger=0)
    assert s.publish("q").status == 202


def test_sighup_admits_and_removes_keys(cluster, keys):
    b = guarded(cluster, keys)
    shop = cluster.sidecar(b, *with_keys(keys, "clients/shop"))
    late = cluster.sidecar(b.ready["broker"], *with_keys(keys, "stranger"))
    attach_error(late)
    (keys / "clients/late.pub").write_text((keys / "stranger.pub").read_text())
    (keys / "clients/shop.pub").unlink()
    b.popen.send_signal(signal.SIGHUP)
    until(lambda: late.ops("GET", "/readyz").status == 200)  # by now its attempts are up to 5 s apart
    assert late.publish("q").status == 202
    until(lambda: shop.ops("GET", "/readyz").status != 200)
    assert "its key is no longer admitted" in b.log.read_text()
    assert shop.publish("q", query="?wait=0s").status in (503, 504)


def test_a_connection_whose_key_was_removed_is_no_longer_answered(cluster, keys):
    """A connection outlives its key, and calls such as purge and delete need no session."""
    b = guarded(cluster, keys)
    context = zmq.Context()
    asks = context.socket(zmq.DEALER)
    asks.curve_secretkey = (keys / "clients/shop.key").read_text().strip().encode()
    asks.curve_publickey = (keys / "clients/shop.pub").read_text().strip().encode()
    asks.curve_serverkey = (keys / "broker.pub").read_text().strip().encode()
    asks.connect(b.ready["broker"])
    ping = data(1, bytes(range(16))) + data(3, b"")
    asks.send(ping)
    assert asks.poll(10000) and asks.recv()
    keygen(keys, "clients/other")
    (keys / "clients/shop.pub").unlink()
    b.popen.send_signal(signal.SIGHUP)
    until(lambda: "the keys to admit were reloaded" in b.log.read_text())
    asks.send(ping)
    other = cluster.sidecar(b, "--operations", *with_keys(keys, "clients/other"))
    until(lambda: "sluice_broker_frames_rejected_total 1\n" in other.ops("GET", "/metrics").body.decode())
    assert not asks.poll(0)
    context.destroy(linger=0)


def test_a_sighup_that_finds_no_keys_says_so(cluster, keys):
    b = guarded(cluster, keys)
    says = "clients holds no keys: nobody can attach until there are some"
    assert says not in b.log.read_text()
    (keys / "clients/shop.pub").unlink()
    b.popen.send_signal(signal.SIGHUP)
    until(lambda: "the keys to admit were reloaded" in b.log.read_text())
    assert says in b.log.read_text()


def test_a_sighup_that_cannot_read_the_keys_keeps_the_old_ones(cluster, keys):
    b = guarded(cluster, keys)
    shop = cluster.sidecar(b, *with_keys(keys, "clients/shop"))
    (keys / "clients/late.pub").write_text((keys / "stranger.pub").read_text())
    (keys / "clients/junk.pub").write_text("no key\n")
    b.popen.send_signal(signal.SIGHUP)
    until(lambda: "the keys to admit stay as they were" in b.log.read_text())
    assert "junk.pub: 'no key' is not a public key of 40 characters" in b.log.read_text()
    assert shop.publish("q").status == 202
    assert cluster.sidecar(b, *with_keys(keys, "clients/shop")).publish("q").status == 202
    late = cluster.sidecar(b.ready["broker"], *with_keys(keys, "stranger"))
    attach_error(late)
    (keys / "clients/junk.pub").unlink()
    b.popen.send_signal(signal.SIGHUP)
    until(lambda: late.ops("GET", "/readyz").status == 200)
    assert shop.publish("q").status == 202


def test_with_keys_a_broker_may_listen_beyond_loopback(cluster, keys):
    b = guarded(cluster, keys, listen="tcp://0.0.0.0:0")
    assert "WITHOUT authentication" not in b.log.read_text()


@pytest.mark.parametrize("flags,says", [
    (["--curve-clients", "clients"], "go together"), (["--curve-secret-key-file", "broker.key"], "go together"),
    (["--curve-secret-key-file", "none.key", "--curve-clients", "clients"], "none.key"),
    (["--curve-secret-key-file", "clients/bad.txt", "--curve-clients", "clients"], "sluice keygen"),
    (["--curve-secret-key-file", "broker.key", "--curve-clients", "clients/bad.txt"], "not a public key"),
    (["--curve-secret-key-file", "broker.key", "--curve-clients", "nowhere"], "nowhere"),
])
def test_wrong_keys_are_reported_at_startup(keys, flags, says):
    (keys / "clients/bad.txt").write_text("not a key\n")
    paths = [f if f.startswith("--") else str(keys / f) for f in flags]
    broker = run("sluice-broker", "--listen", "tcp://127.0.0.1:0", *paths)
    assert broker.returncode in (1, 2) and says in broker.stderr


def test_a_sidecar_needs_both_keys(keys):
    s = run("sluice-sidecar", "--curve-secret-key-file", str(keys / "broker.key"))
    assert s.returncode == 2 and "go together" in s.stderr


def test_swapped_key_halves_are_found_before_startup(keys):
    def said(program, *flags):
        done = run(program, *flags, "--check-config")
        return done.returncode, done.stderr

    broker = ["--curve-clients", str(keys / "clients"), "--curve-secret-key-file"]
    sidecar = ["--curve-secret-key-file", str(keys / "stranger.key"), "--curve-broker-key-file"]
    assert said("sluice-broker", *broker, str(keys / "broker.key"))[0] == 0
    assert said("sluice-sidecar", *sidecar, str(keys / "broker.pub"))[0] == 0
    code, text = said("sluice-broker", *broker, str(keys / "broker.pub"))
    assert code == 2 and "broker.pub holds the public key of its pair, but the secret key is needed" in text
    code, text = said("sluice-sidecar", *sidecar, str(keys / "broker.key"))
    assert code == 2 and "broker.key holds the secret key of its pair, but the public key is needed" in text
    shop = keys / "clients" / "shop.pub", keys / "clients" / "shop.key"
    contents = [path.read_text() for path in shop]
    for path, content in zip(shop, reversed(contents)):
        path.write_text(content)
    code, text = said("sluice-broker", *broker, str(keys / "broker.key"))
    assert code == 2 and "shop.pub holds the secret key of its pair" in text
