"""Configuration files: what SIGHUP applies of a changed file, and what --check-config and `sluice config check` find in
a file before a start."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import BIN, run


def reload(broker, file, text, says):
    """Writes `text` to the file, sends SIGHUP, and waits for a log line that matches `says`. Returns the lines logged
    since."""
    before = len(broker.log.read_text().splitlines())
    file.write_text(text)
    broker.popen.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while True:
        lines = [json.loads(line) for line in broker.log.read_text().splitlines()[before:]]
        if any(re.search(says, line["msg"]) for line in lines):
            return [f"{line.get('queue', '-')}: {line['msg']}" for line in lines]
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)


def test_a_reload_logs_what_it_changed(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("queues:\n  orders: {capacity: 5}\n  mail: {}\n")
    broker = cluster.broker("--conf", str(file))  # an abbreviated flag, which getopt accepts
    sidecar = cluster.sidecar(broker)
    said = reload(broker, file, "queues:\n  dead: {}\n  mail: {}\n"
                                "  orders: {capacity: 9, lease: 1m, capacity_bytes: 1MiB, overflow: reject, "
                                "dead_letter: dead, require_consumer: true}\n",
                  "were reloaded")
    assert said == ["dead: created",
                    "orders: changed: capacity 5 -> 9, capacity_bytes 64MiB -> 1MiB, overflow wait -> reject, "
                    "lease 30s -> 1m, require_consumer false -> true, dead_letter none -> dead",
                    "-: the file's queues and topics were reloaded: 1 queues created, 1 changed, 0 no longer in it; "
                    "every other setting needs a restart"]
    assert sidecar.http("GET", "/v1/queues/orders").json["capacity"] == 9


def test_a_reload_names_changes_that_need_a_restart(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("max_queues: 7\nmemory_budget: 64MiB\nqueues: {a: {}}\n")
    # The flag overrides the file's memory_budget, so a change of that is not reported.
    broker = cluster.broker("--config", str(file), "--memory-budget", "32MiB")
    says = "takes effect only after a restart"
    said = reload(broker, file, "max_queues: 8\nmemory_budget: 16MiB\nauto_declare: true\nlog: {level: info}\n"
                                "queues: {a: {}}\n", says)
    assert said[-1] == "-: changed, but takes effect only after a restart: auto_declare, max_queues"
    said = reload(broker, file, "max_queues: 7\nqueues: {a: {capacity: 5}}\n", "were reloaded")
    assert not any(says in line for line in said), said


def test_a_queue_removed_from_the_file_may_be_deleted(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("queues: {a: {}, b: {}}\ntopics: {t: {bindings: {a: {}}}}\n")
    broker = cluster.broker("--config", str(file))
    sidecar = cluster.sidecar(broker)
    assert sidecar.ops("DELETE", "/v1/queues/b").json["reason"] == "managed"
    said = reload(broker, file, "queues: {a: {}}\n", "were reloaded")
    assert "b: queue 'b' is no longer in the file: it stays, and calls may change and delete it" in said
    assert any("topic 't' is no longer in the file" in line for line in said)
    assert "0 queues created, 0 changed, 2 no longer in it" in said[-1]
    assert sidecar.http("GET", "/v1/queues/b").json["managed"] is None
    assert sidecar.ops("DELETE", "/v1/queues/b").status == 204
    assert sidecar.ops("DELETE", "/v1/topics/t").status == 204
    assert sidecar.ops("DELETE", "/v1/queues/a").json["reason"] == "managed"


def test_a_reload_can_reverse_a_chain_of_dead_letter_queues(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("queues: {a: {dead_letter: b}, b: {dead_letter: c}, c: {}}\n")
    broker = cluster.broker("--config", str(file))
    sidecar = cluster.sidecar(broker)
    said = reload(broker, file, "queues: {c: {dead_letter: b}, b: {dead_letter: a}, a: {dead_letter: ''}}\n",
                  "were reloaded")
    assert not any("not declared" in line for line in said), said
    assert "0 queues created, 3 changed" in said[-1]
    assert [sidecar.http("GET", f"/v1/queues/{q}").json["dead_letter"] for q in "abc"] == [None, "a", "b"]


@pytest.mark.parametrize("queues", ["a: {dead_letter: c}, b: {durability: memory}, c: {}",
                                    "b: {durability: memory}, a: {dead_letter: c}, c: {}"])
def test_a_reload_moves_a_dead_letter_setting_before_it_makes_a_queue_of_that_name(cluster, tmp_path, queues):
    file = tmp_path / "broker.yaml"
    file.write_text("queues: {c: {}}\n")
    broker = cluster.broker("--config", str(file))
    sidecar = cluster.sidecar(broker)
    assert sidecar.http("PUT", "/v1/queues/b", {}).status == 201
    assert sidecar.http("PUT", "/v1/queues/a", {"dead_letter": "b"}).status == 201
    assert sidecar.ops("DELETE", "/v1/queues/b?force=true").status == 204
    said = reload(broker, file, f"queues: {{{queues}}}\n", "were reloaded")
    assert not any("not declared" in line for line in said), said
    assert "1 queues created, 1 changed" in said[-1]
    assert sidecar.http("GET", "/v1/queues/b").json["durability"] == "memory"


def test_a_configured_queue_changes_its_durability_by_delete_and_redeclare(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("queues: {a: {}}\n")
    broker = cluster.broker("--config", str(file))
    sidecar = cluster.sidecar(broker)
    said = reload(broker, file, "queues: {a: {durability: memory}}\n", "were reloaded")
    assert ("a: not declared as configured: the durability of queue 'a' cannot change; take it out of the file, "
            "delete it, and put it back") in said
    assert sidecar.ops("DELETE", "/v1/queues/a").json["reason"] == "managed"
    reload(broker, file, "queues: {}\n", "were reloaded")
    assert sidecar.ops("DELETE", "/v1/queues/a").status == 204
    said = reload(broker, file, "queues: {a: {durability: memory}}\n", "were reloaded")
    assert "a: created" in said
    assert sidecar.http("GET", "/v1/queues/a").json["durability"] == "memory"


@pytest.mark.parametrize("wrong,says", [
    ("a: {capacity: 9, dead_letter: b}\n  b: {dead_letter: a}", "dead letters would go in a circle"),
    ("a: {capacity: 9}\n  b: {capacity: many}", "broker.yaml:3: 'capacity' must be"),
    ("a: {capacity: 9}\nheartbeat: 9s", "a heartbeat of 9s is too long"),
    ("a: {capacity: 9}\nsync: often", "sync must be group"),
])
def test_a_reload_of_a_file_that_a_start_would_refuse_changes_nothing(cluster, tmp_path, wrong, says):
    file = tmp_path / "broker.yaml"
    file.write_text("queues:\n  a: {capacity: 5}\n")
    broker = cluster.broker("--config", str(file))
    sidecar = cluster.sidecar(broker)
    said = reload(broker, file, f"queues:\n  {wrong}\n", "stay as they were")
    assert len(said) == 1 and says in said[0]
    assert [q for q in sidecar.http("GET", "/v1/queues").json["queues"]] == ["a"]
    assert sidecar.http("GET", "/v1/queues/a").json["capacity"] == 5


def test_a_reload_distinguishes_a_file_that_needs_a_restart_from_a_wrong_one(cluster, tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("max_queues: 1\nqueues: {a: {}}\n")
    broker = cluster.broker("--config", str(file))
    said = reload(broker, file, "max_queues: 2\nqueues: {a: {}, b: {}}\n", "stay as they were")
    assert "max_queues is 1, but the file has 2 queues" in said[0]
    assert said[0].endswith("; a restart would accept the file as it is")
    said = reload(broker, file, "max_queues: 1\nqueues: {a: {}, b: {}}\n", "stay as they were")
    assert not said[0].endswith("; a restart would accept the file as it is")


def test_without_a_file_sighup_reloads_nothing(cluster, tmp_path):
    broker = cluster.broker()
    said = reload(broker, tmp_path / "none", "", "nothing to reload")
    assert len(said) == 1 and "neither a configuration file nor curve.clients was given" in said[0]


@pytest.mark.parametrize("text,says", [
    ("listen: tcp://0.0.0.0:7400", "insecure: true"), ("listen: 127.0.0.1:7400", "is not an endpoint"),
    ("curve: {clients: keys}", "go together"),
    ("heartbeat: 20s", "a heartbeat of 20s is too long for a session_timeout of 10s"),
    ("session_timeout: 5s", "a heartbeat of 3s is too long"),
    ("log: {level: verbose}", "'log.level' must be debug"), ("log: {format: xml}", "'log.format' must be json"),
    ("queues: {a: {dead_letter: b}}", "'a' has dead_letter 'b', which is not in the file"),
    ("queues: {a: {limits: {capacity: 5}}}", "a plain value is expected here, not a mapping"),
    ("ingress: tcp://127.0.0.1:7400", "listen and ingress need different addresses"),
    ("ingress: ipc:///run/sluice/ingress", "listen and ingress must both be tcp, or both be ipc"),
    ("listen: ipc:///run/sluice/broker\ningress: tcp://127.0.0.1:7401",
     "listen and ingress must both be tcp, or both be ipc"),
    ("listen: tcp://127.0.0.1:65535",
     "listen has the last port, 65535, and ingress would get the next one: set ingress"),
    ("max_event: 5MiB", "'max_event' must be between 1KiB and 4MiB, not 5MiB"),
    ("memory_budget: 256", "memory_budget is 256 bytes, at least 1MiB is needed"),
])
def test_config_check_finds_what_the_broker_would_refuse(tmp_path, text, says):
    file = tmp_path / "broker.yaml"
    file.write_text(text + "\n")
    for command, status in ((["sluice-broker", "--config", str(file)], 2),
                            (["sluice-broker", "--config", str(file), "--check-config"], 2),
                            (["sluice", "config", "check", "broker", str(file)], 1)):
        done = run(*command)
        assert done.returncode == status and says in done.stderr, done


def test_config_check_finds_what_the_sidecar_would_refuse(tmp_path):
    for flags, says in ((["--http", "0.0.0.0:8480"], "token_file"),
                        (["--token-file", str(tmp_path / "none")], "cannot read token_file"),
                        (["--curve-broker-key-file", "x"], "go together"),
                        (["--log-level", "verbose"], "'log.level' must be"),
                        (["--broker", "tcp://sluice"], "'tcp://sluice' is not a broker's address"),
                        (["--broker", "ipc://"], "is not a broker's address"),
                        (["--broker", "sluice:7400"], "is not a broker's address"),
                        (["--broker", "tcp://sluice:74000"], "is not a broker's address"),
                        (["--inbox", "tcp://0.0.0.0:inbox"], "is not an inbox address"),
                        (["--http", "127.0.0.1:9480"], "two of them are 127.0.0.1:9480"),
                        (["--push-allow", "http://reports:8080"],
                         "'push.allow' has 'http://reports:8080', which is not a host"),
                        (["--allow-hosts", "shop.internal/"],
                         "'allow.hosts' has 'shop.internal/', which is not a host"),
                        (["--allow-origins", "localhost:3000"],
                         "'allow.origins' has 'localhost:3000', which is not an origin"),
                        (["--allow-origins", "http://localhost:3000/"], "which is not an origin"),
                        (["--allow-origins", "*"], "which is not an origin")):
        for more in (["--check-config"], []):
            done = run("sluice-sidecar", *flags, *more)
            assert done.returncode == 2 and says in done.stderr, done
    for flags in (["--broker", "tcp://sluice:7400", "--inbox", "tcp://*:*"],
                  ["--broker", "ipc:///run/a:b", "--inbox", "ipc:///run/inbox"],
                  ["--http", "127.0.0.1:0", "--ops", "127.0.0.1:0"],
                  ["--allow-origins", "null", "--allow-origins", "http://[::1]:3000"],
                  ["--push-allow", "[fd00::1]:8080", "--allow-hosts", "shop.internal:8480"]):
        assert run("sluice-sidecar", "--check-config", *flags).returncode == 0, flags


def test_unreadable_keys_fail_check_config_but_not_config_check(tmp_path):
    for what, text in (("broker", "curve: {secret_key_file: none, clients: none}"),
                       ("sidecar", "curve: {secret_key_file: none, broker_key_file: none}")):
        file = tmp_path / f"{what}.yaml"
        file.write_text(text + "\n")
        for more in (["--check-config"], []):
            done = run(f"sluice-{what}", "--config", str(file), *more)
            assert done.returncode == 2 and "cannot read the secret key none" in done.stderr, done
        assert run("sluice", "config", "check", what, str(file)).returncode == 0


def test_a_file_is_checked_together_with_its_flags(tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("listen: tcp://0.0.0.0:7400\nqueues: {orders: {durability: disk, dead_letter: dead}}\n")
    check = ["sluice", "config", "check", "broker", str(file)]
    assert run(*check).returncode == 1
    done = run(*check, "--data", "/data", "--set", "insecure=true")
    assert (done.returncode, done.stdout) == (0, f"{file} is fine\n"), done.stderr
    assert "did you mean 'insecure'" in run(*check, "--data", "/data", "--set", "insecur=true").stderr
    assert "is not key=value" in run(*check, "--set", "insecure").stderr
    doubt = run("sluice-broker", "--config", str(file), "--data", str(tmp_path), "--insecure", "--check-config")
    assert doubt.returncode == 0 and "'orders' has dead_letter 'dead', which is not in the file" in doubt.stderr
    # With auto_declare, "dead" is declared when it is needed.
    file.write_text("auto_declare: true\nqueues: {orders: {dead_letter: dead}}\n")
    fine = run("sluice-broker", "--config", str(file), "--check-config")
    assert fine.returncode == 0 and "dead" not in fine.stderr


@pytest.mark.parametrize("queues,says", [
    ("a: {dead_letter: b}, b: {dead_letter: c}, c: {dead_letter: d}, d: {dead_letter: b}",
     "'b' has dead_letter 'c', and so on to 'd', which has it back"),
    ("a: {dead_letter: z}, z: {}, c: {dead_letter: c}", "'c' has dead_letter 'c'"),
    ("a: {dead_letter: z}, b: {dead_letter: a}, c: {dead_letter: b}, d: {dead_letter: b}, z: {}", "is fine"),
])
def test_a_cycle_of_dead_letter_queues_is_named(tmp_path, queues, says):
    file = tmp_path / "broker.yaml"
    file.write_text(f"queues: {{{queues}}}\n")
    done = run("sluice", "config", "check", "broker", str(file))
    assert (done.stdout + done.stderr).endswith(f"{says}\n"), done


def cpu_of_a_check_of_topics(tmp_path, count):
    file = tmp_path / f"{count}.yaml"
    topics = "".join(f"  t{i}: {{bindings: {{q: {{}}}}}}\n" for i in range(count))
    file.write_text("queues: {q: {}}\ntopics:\n" + topics)
    check = subprocess.Popen([str(BIN / "sluice-broker"), "--config", str(file), "--check-config"],
                             stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(check.pid, 0)
    check.returncode = os.waitstatus_to_exitcode(status)
    assert check.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_checking_topics_takes_linear_time(tmp_path):
    """The broker does nothing else while it rereads its file. In quadratic time, 20,000 topics would take longer than
    the session timeout."""
    few, many = (cpu_of_a_check_of_topics(tmp_path, count) for count in (2000, 16000))
    assert many < 20 * few


def test_a_topic_may_have_the_documented_number_of_queues(tmp_path):
    file = tmp_path / "broker.yaml"
    for count, says in ((1000, "is fine"),
                        (1001, "broker.yaml:2: topic 't' already has 1000 queues, which is the maximum")):
        names = [f"q{i}: {{}}" for i in range(count)]
        file.write_text(f"queues: {{{', '.join(names)}}}\ntopics: {{t: {{bindings: {{{', '.join(names)}}}}}}}\n")
        done = run("sluice", "config", "check", "broker", str(file))
        assert (done.stdout + done.stderr).endswith(f"{says}\n"), done
