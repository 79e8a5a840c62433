"""The `sluice` command in everyday use: publishing, consuming, queues, its exit codes, its messages and its bash
completion.

Beside it: test_cli_pub.py and test_cli_sub.py (the two commands in detail), test_cli_show.py (what is printed of
queues), test_cli_screen.py (`top` on a terminal), test_cli_running.py (signals and restarts), test_cli_edges.py
(careless use).
"""
import base64
import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from conftest import BIN, Process, describe, run, run_json, until


def test_pub_and_sub_keep_lines_and_order(dev):
    lines = [f"line {i}" for i in range(2000)]
    published = run("sluice", "pub", "q", "--json", input="\n".join(lines), environment=dev)
    assert json.loads(published.stdout) == {"confirmed": 2000, "refused": 0, "unknown": 0, "duplicates": 0}
    got = run("sluice", "sub", "q", "--count", "2000", environment=dev)
    assert got.returncode == 0 and got.stdout.splitlines() == lines


def test_sub_runs_a_command_and_nacks_the_event_when_it_fails(dev, tmp_path):
    run("sluice", "pub", "q", "a", environment=dev)
    marker = tmp_path / "marker"
    script = f'[ -e {marker} ] && cat && exit 0; touch {marker}; exit 1'
    got = run("sluice", "sub", "q", "--count", "2", "--", "sh", "-c", script, environment=dev)
    assert got.stdout == "a"


def test_sub_counts_the_events_whose_command_failed(dev):
    run("sluice", "queue", "declare", "q", "max_deliveries=1", environment=dev)
    run("sluice", "pub", "q", "a", "b", environment=dev)
    got = run("sluice", "sub", "q", "-n", "1", "--", "false", environment=dev, timeout=20)
    assert got.returncode == 0
    assert got.stderr == "sluice: 'false' ended with status 1 for event #1, attempt 1; nacked\n"
    assert (describe("q", dev)["ready"], describe("q", dev)["dead"]) == (1, 1)


def test_a_command_inherits_only_the_descriptors_meant_for_it(dev):
    run("sluice", "pub", "q", "a", environment=dev)
    meant = os.open("/dev/zero", os.O_RDONLY)
    script = 'for fd in /proc/$$/fd/*; do [ -L "$fd" ] && echo "${fd##*/} $(readlink "$fd")"; done'
    got = subprocess.run([BIN / "sluice", "sub", "q", "--count", "1", "--", "bash", "-c", script],
                         env={**os.environ, **dev}, pass_fds=(meant,), capture_output=True, text=True, timeout=20)
    os.close(meant)
    beyond = [line for line in got.stdout.splitlines() if int(line.split()[0]) > 2]
    # Of its own, bash keeps only descriptor 255 open, and that only for a script that is a file.
    assert beyond == [f"{meant} /dev/zero"], got.stdout + got.stderr


def test_sub_with_a_missing_command_ends_before_it_takes_an_event(dev):
    run("sluice", "pub", "q", "a", environment=dev)
    for command in ("/nonexistent/command", "no-such-command"):
        refused = run("sluice", "sub", "q", "--", command, environment=dev)
        assert (refused.returncode, refused.stderr) == (
            1, f"sluice: cannot run '{command}': No such file or directory\n")
    peeked = run("sluice", "queue", "peek", "q", "--json", environment=dev).stdout
    assert json.loads(peeked)["events"][0]["attempt"] == 0


def test_sub_reports_how_a_command_failed(dev, tmp_path):
    run("sluice", "pub", "q", "a", environment=dev)
    script = f"echo >> {tmp_path}/runs; case $(wc -l < {tmp_path}/runs) in 1) exit 3;; 2) kill -9 $$;; esac"
    got = run("sluice", "sub", "q", "--count", "3", "--retry-delay", "10ms", "--", "sh", "-c", script, environment=dev)
    assert got.returncode == 0
    assert got.stderr == (
        "sluice: 'sh' ended with status 3 for event #1, attempt 1; nacked, to be redelivered in 10ms\n"
        "sluice: 'sh' was ended by signal 9 for event #1, attempt 2; nacked, to be redelivered in 10ms\n")


def test_numbers_are_never_printed_with_an_exponent(dev):
    run("sluice", "queue", "declare", "q", "capacity=1000000000", environment=dev)
    run("sluice", "pub", "q", '--ndjson', input='{"price":3.14159265}\n', environment=dev)
    shown = run("sluice", "queue", "show", "q", environment=dev).stdout
    assert "time_to_full_seconds" in shown and not re.search(r"[0-9]e[+0-9-]", shown), shown
    assert '{"price":3.14159265}' in run("sluice", "queue", "peek", "q", environment=dev).stdout


def test_dev_reports_a_port_in_use_or_a_bad_address_in_one_line(dev):
    busy = dev["SLUICE_URL"].removeprefix("http://")
    for address, says in ((busy, "stop it or choose another address (--http)\n"), ("foo", "write HOST:PORT"),
                          ("127.0.0.1:99999", "at most 65535")):
        refused = run("sluice", "dev", "--http", address, "--ops", "127.0.0.1:0")
        assert refused.returncode == 1 and says in refused.stderr and refused.stderr.count("\n") == 1, refused.stderr


def test_dev_beyond_loopback_requires_a_token(tmp_path, cluster):
    everywhere = "dev", "--http", "0.0.0.0:0", "--ops", "127.0.0.1:0"
    refused = run("sluice", *everywhere)
    assert refused.returncode == 1 and "set token_file" in refused.stderr
    (tmp_path / "token").write_text("sixteen-letters-and-more\n")
    dev = Process(tmp_path, "dev", ["sluice", *everywhere, "--token-file", str(tmp_path / "token")])
    cluster.processes.append(dev)
    url = "http://127.0.0.1:" + dev.ready["http"].rpartition(":")[2]
    for token, status in ({}, 1), ({"SLUICE_TOKEN": "sixteen-letters-and-more"}, 0):
        assert run("sluice", "--url", url, "pub", "q", "x", environment=token).returncode == status


def test_declaring_a_queue_prints_one_line(dev):
    def declared(*settings):
        return run("sluice", "queue", "declare", "q", *settings, environment=dev).stdout

    assert declared() == "q: made, durability memory, capacity 10000\n"
    assert declared() == "q: was there, durability memory, capacity 10000\n"
    assert declared("capacity=5", "lease=1m") == "q: changed, durability memory, capacity 5, lease 1m\n"
    assert declared("capacity_bytes=1048576") == "q: changed, durability memory, capacity 5, capacity_bytes 1MiB\n"
    assert declared("capacity_bytes=65537") == "q: changed, durability memory, capacity 5, capacity_bytes 65537\n"
    declared("capacity_bytes=64MiB")
    assert re.search(r"^capacity_bytes +64MiB$", run("sluice", "queue", "show", "q", environment=dev).stdout, re.M)


def test_a_created_event_carries_its_time(dev):
    run("sluice", "pub", "q", "now", environment=dev)
    run("sluice", "pub", "q", "then", "-a", "time=2001-02-03T04:05:06Z", environment=dev)
    peeked = run_json("sluice", "queue", "peek", "q", "--json", environment=dev)
    now, then = (e["event"]["time"] for e in peeked["events"])
    assert abs(datetime.datetime.fromisoformat(now.replace("Z", "+00:00")).timestamp() - time.time()) < 60
    assert then == "2001-02-03T04:05:06Z"


def test_a_queue_is_paused_filled_purged_and_deleted(dev):
    declared = run("sluice", "queue", "declare", "q", "capacity=3", "--json", environment=dev)
    assert json.loads(declared.stdout)["capacity"] == 3
    assert run("sluice", "queue", "pause", "q", "--json", environment=dev).returncode == 0
    assert "paused" in run("sluice", "queue", "list", environment=dev).stdout
    assert "paused" in run("sluice", "top", "--once", environment=dev).stdout
    assert run("sluice", "pub", "q", "--ndjson", "--wait", "0s", input="1\n2\n3\n4\n",
               environment=dev).returncode == 1
    assert run_json("sluice", "queue", "purge", "q", "--json", environment=dev) == {"purged": 3}
    assert run("sluice", "queue", "delete", "q", environment=dev).returncode == 0
    missing = run("sluice", "queue", "show", "q", environment=dev)
    assert missing.returncode == 1 and "there is no queue 'q'" in missing.stderr


def test_unrouted_accepts_the_cli_spelling_and_the_api_spelling(dev):
    run("sluice", "queue", "declare", "rest", environment=dev)
    refused = run("sluice", "topic", "put", "news", "--unrouted", "left", environment=dev)
    assert refused.returncode == 2
    assert refused.stderr == "sluice: --unrouted: 'left' must be refuse, drop or queue=NAME\n"
    for given in ("queue=rest", '{"queue": "rest"}'):
        shown = run("sluice", "topic", "put", "news", "--unrouted", given, "--json", environment=dev)
        assert json.loads(shown.stdout)["unrouted"] == {"queue": "rest"}, shown.stderr


@pytest.mark.parametrize("size", [9, 10, 11])
def test_peek_prints_the_size_of_binary_data(dev, tmp_path, size):
    (tmp_path / "bytes").write_bytes(b"\xff" * size)
    run("sluice", "pub", "q", "--file", tmp_path / "bytes", environment=dev)
    assert f"({size} bytes)" in run("sluice", "queue", "peek", "q", environment=dev).stdout


def test_advice_from_the_api_is_given_in_terms_of_the_command_line(dev):
    run("sluice", "pub", "q", "a", environment=dev)
    refused = run("sluice", "queue", "delete", "q", environment=dev)
    assert "delete with --force (409)" in refused.stderr
    run("sluice", "topic", "put", "news", environment=dev)
    run("sluice", "topic", "bind", "news", "q", environment=dev)
    assert "or delete it with --force (409)" in run("sluice", "queue", "delete", "q", environment=dev).stderr
    for kind in ("queue", "topic"):
        assert run("sluice", kind, "delete", "none", environment=dev).stderr == (
            f"sluice: there is no {kind} 'none' (404)\n")
    assert "(sluice queue declare none)" in run("sluice", "queue", "show", "none", environment=dev).stderr
    refused = run("sluice", "pub", "--topic", "none", "a", environment=dev).stderr
    assert "(sluice topic put none); if that is a queue, leave out --topic (404)" in refused


def test_sub_on_a_topic_says_to_consume_its_queues(dev):
    run("sluice", "topic", "put", "news", environment=dev)
    refused = run("sluice", "sub", "news", environment=dev, timeout=20)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == ("sluice: 'news' is a topic; consume a queue that is bound to it "
                              "('sluice topic show news' shows them)\n")
    for verb in ("show", "peek"):
        shown = run("sluice", "queue", verb, "news", environment=dev).stderr
        assert shown == ("sluice: 'news' is a topic, not a queue: sluice topic show news shows the queues that are "
                         "bound to it (404)\n"), shown


def test_queue_list_shows_delayed_and_dead_events(dev):
    run("sluice", "queue", "declare", "orders", "max_deliveries=1", environment=dev)
    run("sluice", "pub", "orders", "a", environment=dev)
    run("sluice", "sub", "orders", "-n", "1", "--", "false", environment=dev)
    run("sluice", "pub", "orders", "--delay", "1h", "b", "c", environment=dev)
    for command in (("queue", "list"), ("top", "--once")):
        heading, row = run("sluice", *command, environment=dev).stdout.rstrip("\n").splitlines()[-2:]
        assert heading.index("CONSUMER") == 90, heading
        for column, shown in (("READY", "0"), ("IN FLIGHT", "0"), ("DELAYED", "2"), ("DEAD", "1")):
            end = heading.index(column) + len(column)
            assert row[:end].split()[-1] == shown, (column, row)


def test_wrong_usage_exits_2_and_help_exits_0():
    assert run("sluice").returncode == 2
    assert run("sluice", "nonsense").returncode == 2
    assert run("sluice", "pub").returncode == 2
    for command in ("dev", "pub", "sub", "queue", "topic", "subscription", "drain", "ping", "top", "bench", "keygen",
                    "config", "completion"):
        assert run("sluice", command, "--help").returncode == 0, command


def test_ping_and_bench_talk_to_a_broker(cluster):
    b = cluster.broker("--auto-declare")
    assert "version" in run("sluice", "ping", b.ready["broker"]).stdout
    result = run_json("sluice", "bench", "--events", "5000", "--json", b.ready["broker"])
    assert (result["events"], result["consumed"], result["refused"]) == (5000, 5000, 0)


def test_bench_deletes_the_queue_it_created_and_keeps_one_that_existed(cluster):
    b = cluster.broker()  # without --auto-declare
    s = cluster.sidecar(b)
    bench = ["sluice", "bench", "--events", "2000", "--json", b.ready["broker"]]
    assert run_json(*bench)["consumed"] == 2000
    assert s.http("GET", "/v1/queues").json["queues"] == {}
    s.declare("mine")
    assert run_json(*bench, "--queue", "mine")["consumed"] == 2000
    # The last acks may arrive after bench has ended.
    until(lambda: s.http("GET", "/v1/queues/mine").json["ledger"]["acked"] == 2000)
    s.http("PUT", "/v1/topics/fan", {})
    refused = run(*bench, "--queue", "fan")
    assert refused.returncode == 1 and "queue 'fan': there is a topic of that name" in refused.stderr, refused


def test_an_interrupted_bench_leaves_no_queue_behind(cluster):
    b = cluster.broker()
    s = cluster.sidecar(b)
    bench = subprocess.Popen([str(BIN / "sluice"), "bench", "--events", "1000000", "--rate", "1000", b.ready["broker"]],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: [q for q in s.http("GET", "/v1/queues").json["queues"].values() if q["ledger"]["acked"]])
    bench.send_signal(signal.SIGINT)
    told = bench.communicate(timeout=40)
    assert (bench.returncode, *told) == (130, "", "")
    assert s.http("GET", "/v1/queues").json["queues"] == {}


def test_bench_treats_a_bad_endpoint_as_wrong_usage():
    assert run("sluice", "bench", "--events", "1", "nonsense").returncode == 2


def test_sub_reports_an_unreachable_broker_at_once(cluster, tmp_path):
    nobody = f"ipc://{tmp_path}/nobody"
    s = cluster.sidecar(nobody, attached=False)
    said = run("sluice", "sub", "q", "--wait", "100ms", environment={"SLUICE_URL": "http://" + s.ready["http"]})
    lines = said.stderr.splitlines()
    assert said.returncode == 1 and len(lines) == 2, said
    assert all(f"no broker answers at {nobody}, so nothing was done: " in line for line in lines)
    assert lines[0].endswith("; waiting for it")
    s.ops("POST", "/v1/drain")
    drained = run("sluice", "sub", "q", "--wait", "0s", environment={"SLUICE_URL": "http://" + s.ready["http"]})
    assert drained.stderr.startswith("sluice: this sidecar is draining, because of a signal or sluice drain,"), drained


def test_a_stopped_broker_fails_the_probe_of_its_manifest(cluster):
    manifest = (pathlib.Path(__file__).parents[2] / "deploy/kubernetes/broker.yaml").read_text()
    words = re.search(r"livenessProbe: {exec: {command: \[/usr/bin/(.*?)\]}", manifest).group(1)
    probe = [word.strip('"') for word in words.split(", ")]
    assert probe[-1] == "tcp://127.0.0.1:7400" and probe[-3:-1] == ["--wait", "5s"]
    b = cluster.broker()
    probe[-2:] = ["1s", b.ready["broker"]]
    assert run(*probe).returncode == 0
    b.pause()
    try:
        silent = run(*probe)
    finally:
        b.popen.send_signal(signal.SIGCONT)
    assert (silent.returncode, silent.stdout) == (1, "") and "no broker answers" in silent.stderr
    assert run(*probe).returncode == 0
    assert "attached" not in b.log.read_text(), "a probe is no session"


def test_without_a_sidecar_the_error_says_where_it_looked():
    for command in (("queue", "list"), ("pub", "q", "x"), ("sub", "q"), ("drain",), ("top", "--once")):
        result = run("sluice", *command, environment={"SLUICE_URL": "http://127.0.0.1:1", "SLUICE_OPS_URL": ""})
        assert result.returncode == 1 and "no sidecar answers at http://127.0.0.1:1" in result.stderr, command


def test_a_mistyped_word_gets_a_suggestion():
    assert "'pub'" in run("sluice", "pbu").stderr
    assert "'--ndjson'" in run("sluice", "pub", "q", "--ndjsn").stderr
    assert "'show'" in run("sluice", "queue", "shwo", "q").stderr
    assert "See 'sluice help queue declare'" in run("sluice", "queue", "declare", "q", "--capacity", "5").stderr
    for option, setting in (("--capacity", "capacity"), ("--max-deliveries=5", "max_deliveries")):
        said = run("sluice", "queue", "declare", "q", option, "5")
        assert said.returncode == 2 and f"is a setting, not an option: write {setting}=<value>" in said.stderr
    assert run("sluice", "help", "queue", "declare").stdout == run("sluice", "queue", "declare", "--help").stdout != ""
    assert "there is no option '--evnts'" in run("sluice", "bench", "--evnts", "5").stderr
    assert run("sluice", "help", "pub").stdout == run("sluice", "pub", "-h").stdout != ""
    helped = [run("sluice", "help", *more).stdout for more in ([], ["help"], ["--help"])]
    assert helped[0] == helped[1] == helped[2] != ""


def test_binary_data_and_numbers_beyond_a_double_come_back_unchanged(dev, tmp_path):
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    assert run("sluice", "pub", "q", "--file", str(tmp_path / "bytes"), environment=dev).returncode == 0
    assert run("sluice", "pub", "q", "--ndjson", input='{"a":1e400,"a":12345678901234567890}\n',
               environment=dev).returncode == 0
    command = ["sub", "q", "--count", "2", "--", "sh", "-c", f"cat >> {tmp_path}/out"]
    assert run("sluice", *command, environment=dev).returncode == 0
    assert (tmp_path / "out").read_bytes() == bytes(range(256)) + b'{"a":1e400,"a":12345678901234567890}'


def test_pub_stops_at_the_first_event_that_a_full_queue_refuses(dev):
    run("sluice", "queue", "declare", "q", "capacity=3", environment=dev)
    result = run("sluice", "pub", "q", "--wait", "0s", "--json", input="a\n\nb\nc\nd\ne\n", environment=dev)
    assert json.loads(result.stdout) == {"confirmed": 3, "refused": 2, "unknown": 0, "duplicates": 0}
    assert result.returncode == 1 and "line 5" in result.stderr


def test_pub_ends_at_once_when_a_full_queue_rejects(dev):
    run("sluice", "queue", "declare", "q", "capacity=1", "overflow=reject", environment=dev)
    run("sluice", "topic", "put", "all", environment=dev)
    run("sluice", "topic", "bind", "all", "q", environment=dev)
    assert run("sluice", "pub", "q", "a", environment=dev).returncode == 0
    for command in (("pub", "q"), ("pub", "--topic", "all")):
        refused = run("sluice", *command, "b", "c", environment=dev)
        assert (refused.returncode, refused.stdout) == (1, "0 confirmed, 2 refused\n")
        assert refused.stderr == ("sluice: refused from argument 1 on: full, and the overflow of 'q' is reject; "
                                  "--wait DURATION keeps trying for that long\n")


@pytest.mark.parametrize("data", [b"\0" * 800_000, bytes(range(32)) * 4_000], ids=["zeroes", "all"])
def test_a_file_of_control_characters_is_sent_as_bytes(dev, tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    sent = run("sluice", "pub", "q", "--file", tmp_path / "file", environment=dev)
    assert sent.returncode == 0, sent.stderr
    got = run_json("sluice", "sub", "q", "--json", "-n", "1", environment=dev)["event"]
    assert (base64.b64decode(got["data_base64"]), got["datacontenttype"]) == (data, "application/octet-stream")


def test_text_may_hold_control_characters(dev):
    run("sluice", "pub", "q", "\033[1mbold\033[0m", environment=dev)
    got = run_json("sluice", "sub", "q", "--json", "-n", "1", environment=dev)["event"]
    assert (got["data"], got["datacontenttype"]) == ("\033[1mbold\033[0m", "text/plain")


def test_bash_completes_commands_verbs_options_and_queues(dev):
    run("sluice", "pub", "orders", "x", environment=dev)

    def complete(*words):
        script = (f'export PATH={BIN}:$PATH; source <(sluice completion bash); COMP_WORDS=("$@"); '
                  'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sluice; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "bash", "sluice", *words], capture_output=True, text=True,
                              env={**os.environ, **dev}, timeout=20)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.split()
    assert complete("p") == ["pub", "ping"]
    assert complete("queue", "pa") == ["pause"]
    assert complete("pub", "--nd") == ["--ndjson"]
    assert complete("queue", "delete", "--fo") == ["--force"]
    assert complete("queue", "red") == ["redrive"] and complete("queue", "redrive", "--d") == ["--dry-run"]
    assert complete("queue", "purge", "--d") == ["--dead"]
    assert complete("sub", "ord") == ["orders"]
    assert complete("queue", "show", "") == ["orders"]
    assert complete("subscription", "") == ["list", "show", "put", "delete"] and complete("subs") == ["subscription"]
    assert complete("subscription", "put", "--c") == ["--concurrency"]
    run("sluice", "topic", "put", "news", environment=dev)
    assert complete("topic", "show", "") == ["news"] and complete("topic", "bind", "news", "") == ["orders"]
    assert complete("config", "") == ["check"] and complete("config", "check", "") == ["broker", "sidecar"]
    for_bash = run("sluice", "completion", "bash").stdout
    assert run("sluice", "completion", "zsh").stdout == "autoload -Uz bashcompinit && bashcompinit\n" + for_bash


def test_keygen_makes_a_pair_and_does_not_overwrite_it(tmp_path):
    made = run("sluice", "keygen", str(tmp_path / "shop"))
    assert made.returncode == 0 and made.stdout == (tmp_path / "shop.pub").read_text()
    assert f"made {tmp_path}/shop.key, the secret, and {tmp_path}/shop.pub, the public key" in made.stderr
    again = run("sluice", "keygen", str(tmp_path / "shop"))
    assert again.returncode == 1 and "exists already" in again.stderr
    assert run("sluice", "keygen").returncode == 2
