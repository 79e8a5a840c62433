"""The broker process: how it starts and stops, what it logs, its configuration and limits, and transports other than
tcp."""
import errno
import json
import os
import pathlib
import random
import re
import signal
import sys
import time

import pytest
import zmq

from conftest import BIN, Process, run


def test_garbage_on_every_socket_does_not_disturb_other_clients(cluster, broker):
    s = cluster.sidecar(broker)
    s.declare("q")
    rng = random.Random(7)
    context = zmq.Context()
    push, dealer = context.socket(zmq.PUSH), context.socket(zmq.DEALER)
    push.connect(broker.ready["ingress"])
    dealer.connect(broker.ready["broker"])
    inbox = context.socket(zmq.PUSH)
    inbox.connect(s.ops("GET", "/healthz").json["inbox"])
    for i in range(300):
        junk = rng.randbytes(rng.randrange(0, 200))
        for socket in (push, dealer, inbox):
            socket.send(junk)
        push.send_multipart([junk, junk])
        dealer.send_multipart([b"", junk])
    for i in range(50):
        assert s.publish("q", str(i)).status == 202
    taken = s.take("q", max=50, wait="10s").json["events"]
    assert [e["event"]["data"] for e in taken] == [str(i) for i in range(50)]
    context.destroy(linger=0)


def test_a_sidecar_attaches_to_a_restarted_broker_again(cluster, tmp_path):
    first = cluster.broker("--auto-declare")
    s = cluster.sidecar(first)
    endpoint, ingress = first.ready["broker"], first.ready["ingress"]
    assert s.publish("q").status == 202
    first.kill()
    answer = s.publish("q", query="?wait=200ms")
    assert answer.status in (503, 504)
    cluster.broker("--auto-declare", "--ingress", ingress, listen=endpoint)
    assert s.publish("q", query="?wait=30s").status == 202


def test_startup_logs_what_the_data_directory_holds(cluster):
    broker = cluster.broker("--auto-declare")
    s = cluster.sidecar(broker)
    assert s.publish("q").status == 202
    assert "ledger" not in broker.log.read_text()
    broker.kill()
    assert "ledger: accepted 1 = acked 0 " in cluster.broker().log.read_text()


def test_shutdown_logs_the_signal_and_its_sender(cluster, tmp_path):
    broker = cluster.broker()
    dev = Process(tmp_path, "dev", ["sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0"])
    cluster.processes.append(dev)
    for process in cluster.sidecar(broker), broker, dev:
        process.popen.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
        stopping = [line["msg"] for line in lines if "stopping" in line["msg"]]
        assert stopping == [f"stopping: SIGINT from process {os.getpid()}"]


def test_an_unreachable_broker_is_logged_once_and_not_at_every_attempt(cluster):
    broker = cluster.broker()
    s = cluster.sidecar(broker, "--log-level", "debug")
    broker.kill()

    def said(level):
        lines = [json.loads(line) for line in s.log.read_text().splitlines()]
        return [line["msg"] for line in lines if line["level"] == level and "not attached" in line["msg"]]

    deadline = time.monotonic() + 60
    while len(said("debug")) < 2:  # repeated attempts are logged at debug only
        assert time.monotonic() < deadline, s.log.read_text()
        time.sleep(0.1)
    assert len(said("warn")) == len(set(said("warn"))) > 0 and set(said("debug")) <= set(said("warn"))


def test_publish_and_take_work_over_ipc(cluster, tmp_path):
    b = cluster.broker("--auto-declare", listen=f"ipc://{tmp_path}/broker.sock")
    s = cluster.sidecar(b)
    assert s.publish("q", "over ipc").status == 202
    assert s.take("q", wait="5s").json["events"][0]["event"]["data"] == "over ipc"
    second = run("sluice-broker", "--listen", f"ipc://{tmp_path}/broker.sock")
    assert second.returncode == 1 and "in use by another process" in second.stderr


def test_over_ipc_a_client_removes_the_files_that_killed_ones_left(cluster, tmp_path):
    b = cluster.broker(listen=f"ipc://{tmp_path}/b")
    s = cluster.sidecar(b)
    s.wait_attached()
    s.kill()
    left = [path for path in tmp_path.iterdir() if re.fullmatch(r"b\.[0-9a-f]{16}(\.lock)?", path.name)]
    assert len(left) == 2
    for path in left:
        os.utime(path, (0, 0))  # looks as if made long ago
    cluster.sidecar(b).wait_attached()
    assert not any(path.exists() for path in left)


def test_a_port_in_use_is_reported(broker):
    second = run("sluice-broker", "--listen", broker.ready["broker"])
    assert second.returncode == 1 and "is in use" in second.stderr


def test_configured_limits_hold(cluster):
    s = cluster.sidecar(cluster.broker("--max-event", "2KiB", "--max-queues", "1"))
    s.declare("one")
    refused = s.http("PUT", "/v1/queues/two", {})
    assert (refused.status, refused.json["reason"]) == (409, "too_many_queues")
    assert s.publish("one", "x" * 1000).status == 202
    assert s.publish("one", "x" * 3000).status == 413


def test_listening_beyond_loopback_needs_insecure():
    for place in ["--listen", "tcp://0.0.0.0:0"], ["--listen", "tcp://127.0.0.1:0", "--ingress", "tcp://0.0.0.0:0"]:
        refused = run("sluice-broker", *place)
        assert refused.returncode == 2 and "insecure: true" in refused.stderr


@pytest.mark.parametrize("text,says", [
    ("queues:\n  orders: {capcity: 5}\n", "did you mean 'capacity'"),
    ("lisen: tcp://127.0.0.1:0\n", "did you mean 'listen'"),
    ("queues: [\n", ""), ("heartbeat: 5\n", "duration"), ("queues:\n  orders: {capacity: 0}\n", "capacity"),
    ("topics:\n  orders:\n    bindngs:\n      audit: {}\n",
     "unknown key 'bindngs' of topic 'orders'; did you mean 'bindings'?"),
    ("topics:\n  orders: {unrouted: {queu: q}}\n", "unknown key 'queu' of topic 'orders'"),
    ("topics:\n  orders: {bindings: audit}\n", "a topic's bindings are"),
    ("topics: orders\n", "a topic's bindings are expected"),
    ("queues: {q: {}}\ntopics: {t: {bindings: {q: {filter: }}}}\n", "filter: is not JSON"),
    ("queues:\n  or ders: {}\n", "'or ders' is not a valid queue name"),
    ("queues:\n  orders: 5\n", "settings are expected"),
    ("queues:\n\torders: {}\n", "use spaces"),
])
def test_a_wrong_configuration_is_refused_with_its_line_number(tmp_path, text, says):
    file = tmp_path / "broker.yaml"
    file.write_text(text)
    result = run("sluice-broker", "--config", str(file), "--check-config")
    assert result.returncode == 2 and says in result.stderr and "broker.yaml:" in result.stderr
    assert run("sluice", "config", "check", "broker", str(file)).returncode == 1


def test_a_queue_on_disk_without_a_data_directory_is_refused(tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("queues:\n  orders: {durability: disk}\n")
    for more in (), ("--check-config",):
        result = run("sluice-broker", "--config", str(file), "--listen", "tcp://127.0.0.1:0", *more)
        assert result.returncode == 2
        assert "'orders' has durability disk" in result.stderr and "--data DIR" in result.stderr
    checked = run("sluice-broker", "--config", str(file), "--data", str(tmp_path / "data"), "--check-config")
    assert checked.returncode == 0


def test_help_names_file_only_settings_and_how_to_turn_off_a_switch():
    said = run("sluice-broker", "--help").stdout
    assert said.endswith("In the file only: queues:, topics:.\n") and "[true; append =false to turn it off]" in said
    assert run("sluice-broker", "--one-thread=false", "--check-config").returncode == 0
    assert run("sluice-sidecar", "--help").stdout.endswith("In the file only: subscriptions:.\n")


@pytest.mark.parametrize("text, says", [
    ("queues: {a: {}, b: {}, c: {}}\n", "max_queues is 2, but the file has 3 queues"),
    ("topics: {a: {}, b: {}, c: {}}\n", "max_queues is 2, but the file has 3 topics")])
def test_a_file_with_more_queues_than_max_queues_is_refused_before_startup(tmp_path, text, says):
    file = tmp_path / "broker.yaml"
    file.write_text("max_queues: 2\n" + text)
    for more in (), ("--check-config",):
        result = run("sluice-broker", "--config", str(file), "--listen", "tcp://127.0.0.1:0", *more)
        assert result.returncode == 2 and says in result.stderr, result
    assert says in run("sluice", "config", "check", "broker", str(file)).stderr
    assert run("sluice-broker", "--config", str(file), "--max-queues", "3", "--check-config").returncode == 0


def test_a_queue_without_settings_is_declared_with_the_defaults(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("queues:\n  orders: {}\n  mail:\n")
    s = cluster.sidecar(cluster.broker("--config", str(file)))
    for queue in ("orders", "mail"):
        assert s.http("GET", f"/v1/queues/{queue}").json["managed"] == "config"
    file.write_text("queues:\n")
    assert run("sluice", "config", "check", "broker", str(file)).returncode == 0


def test_configured_queues_are_managed(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("queues:\n  orders: {capacity: 5}\n")
    s = cluster.sidecar(cluster.broker("--config", str(file)))
    assert s.http("GET", "/v1/queues/orders").json["managed"] == "config"
    answer = s.http("PUT", "/v1/queues/orders", {"capacity": 6})
    assert (answer.status, answer.json["reason"]) == (409, "managed")


def sleeps_of_main_thread(process):
    pid = process.popen.pid
    with open(f"/proc/{pid}/task/{pid}/status") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", f.read(), re.M)[1])


def sleeps_during_bench(broker, *flags):
    before = sleeps_of_main_thread(broker)
    done = run("sluice", "bench", *flags, broker.ready["broker"])
    assert done.returncode == 0, done.stdout + done.stderr
    return sleeps_of_main_thread(broker) - before


ONE_BY_ONE, LARGE = ("-n", "2000", "-r", "2000"), ("-n", "200", "-r", "200", "-s", "100000")


def test_small_messages_are_handled_on_one_thread_and_large_ones_on_two(cluster):
    broker = cluster.broker()
    sleeps_during_bench(broker, *ONE_BY_ONE)  # by its end the I/O thread runs the loop
    assert sleeps_during_bench(broker, *ONE_BY_ONE) < 200
    assert sleeps_during_bench(broker, *LARGE) > 20  # fewer than messages, where these wait for a processor together
    sleeps_during_bench(broker, *ONE_BY_ONE)
    assert sleeps_during_bench(broker, *ONE_BY_ONE) < 200


def test_one_thread_false_keeps_the_loop_on_a_thread_of_its_own(cluster):
    broker = cluster.broker("--one-thread=false")
    assert sleeps_during_bench(broker, *ONE_BY_ONE) > 500


@pytest.mark.parametrize("flag, least, most", [("--one-thread", 0, 100), ("--one-thread=false", 300, 10**9)])
def test_a_sidecar_handles_requests_on_one_thread_or_two(cluster, flag, least, most):
    s = cluster.sidecar(cluster.broker(), flag)
    s.declare("q")
    before = sleeps_of_main_thread(s)
    for i in range(300):
        assert s.publish("q", str(i)).status == 202
    assert least <= sleeps_of_main_thread(s) - before <= most


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_a_system_without_precise_waits_is_no_hindrance(tmp_path, cluster, error):
    epoll_pwait2 = "441"  # on every architecture
    script = pathlib.Path(__file__).parent / "without_call.py"
    broker = Process(tmp_path, "broker", [sys.executable, str(script), epoll_pwait2, str(error), str(BIN / "sluice-broker"),
                                          "--listen", "tcp://127.0.0.1:0"])
    cluster.processes.append(broker)
    done = run("sluice", "bench", "-n", "500", "-w", "1", broker.ready["broker"])
    assert done.returncode == 0 and "500 consumed" in done.stdout, done.stdout + done.stderr + broker.log.read_text()
    assert broker.stop() == 0
