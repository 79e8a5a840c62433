"""What the command line prints of queues, topics and events, which arguments it accepts, and which sidecar it asks."""
import json
import os
import re
import socket
import threading

import pytest

from conftest import Process, describe, run, until


def sluice(dev, *arguments, status=0):
    """Runs `sluice`, checks its exit status, and returns what it printed."""
    done = run("sluice", *arguments, environment=dev)
    assert done.returncode == status, done
    return done.stdout + done.stderr


@pytest.mark.parametrize("given", ["0", "-1", "+1", "5x", "", "1.5", "99999999999999999999"])
def test_a_count_must_be_a_positive_integer(given):
    refused = run("sluice", "sub", "q", f"--count={given}")
    assert (refused.returncode, refused.stderr) == (2, f"sluice: --count: '{given}' must be a whole number above 0\n")
    refused = run("sluice", "queue", "redrive", "q", f"--sequence={given}")
    assert refused.returncode == 2 and f"--sequence: '{given}' must be a whole number above 0" in refused.stderr
    refused = run("sluice", "queue", "explain", "q", "--", given)
    assert refused.returncode == 2 and f"'{given}' must be a whole number above 0" in refused.stderr


def test_incomplete_and_unknown_options_are_named():
    wrong = run("sluice", "sub", "q", "--wait", "5")
    assert wrong.stderr == "sluice: --wait: '5' is not a duration; write it like 250ms, 2s or 1m, at most 3660d\n"
    assert run("sluice", "sub", "q", "--wait").stderr == "sluice: --wait needs a value. See 'sluice help sub'.\n"
    assert run("sluice", "sub", "q", "-Z").stderr == "sluice: there is no option '-Z'. See 'sluice help sub'.\n"
    assert run("sluice", "sub", "q", "-aZ").stderr == "sluice: there is no option '-Z'. See 'sluice help sub'.\n"
    missing = run("sluice", "sub")
    assert missing.stderr == "sluice: an argument is missing: sluice sub [<options>] <queue> [-- <command> [<args>]]\n"
    assert run("sluice", "--urls", "x").stderr == "sluice: there is no option '--urls' here. See 'sluice help'.\n"
    many = [word for i in range(65) for word in ("-a", f"a{i}=x")]
    assert run("sluice", "pub", "q", *many, "x").stderr == "sluice: --attribute: at most 64 of them\n"


def test_an_extra_argument_is_named(dev):
    for words, said in ((["queue", "list", "q"], "unexpected argument 'q'. See 'sluice queue list --help'."),
                        (["queue", "show", "q", "p"], "unexpected argument 'p'. See 'sluice queue show --help'."),
                        (["queue", "explain", "q", "1", "2"],
                         "unexpected argument '2'. See 'sluice queue explain --help'."),
                        (["topic", "show", "t", "u"], "unexpected argument 'u'. See 'sluice topic show --help'."),
                        (["top", "q"], "unexpected argument 'q'; --prefix selects queues by name"),
                        (["drain", "q"], "unexpected argument 'q'"),
                        (["dev", "q"], "unexpected argument 'q'. See 'sluice help dev'."),
                        (["ping", "tcp://127.0.0.1:1", "q"], "unexpected argument 'q': give one broker"),
                        (["bench", "tcp://127.0.0.1:1", "q"], "unexpected argument 'q': give one broker"),
                        (["keygen", "a", "b"],
                         "give one name: keygen makes one pair of keys. See 'sluice help keygen'."),
                        (["completion", "fish"], "there is a completion script for bash and for zsh, not for 'fish'"),
                        (["config", "verify", "broker", "x"],
                         "write: sluice config check broker FILE, or sluice config check sidecar FILE")):
        assert sluice(dev, *words, status=2) == f"sluice: {said}\n"


def test_a_malformed_setting_is_named(dev):
    for given in ("capacity", "=5"):
        assert f"'{given}' is not <setting>=<value>" in sluice(dev, "queue", "declare", "q", given, status=2)
    refused = sluice(dev, "queue", "declare", "q", "capacity=5x", status=1)
    assert "'capacity' must be a whole number, not '5x' (400)" in refused


def test_a_name_is_sent_unchanged_whatever_it_holds(dev):
    for name in ("a/ledger", "a?b", "a&b", "a%41", "a#b", "é"):
        for verb in ("show", "ledger", "pause"):
            assert "a name is 1 to 128 letters" in sluice(dev, "queue", verb, name, status=1), name
    sluice(dev, "queue", "declare", "a")
    assert sluice(dev, "queue", "list", "--names", "--prefix", "a&limit=1") == ""


def test_naming_one_sidecar_never_operates_another(cluster):
    one, other = cluster.dev(), cluster.sidecar(cluster.broker("--auto-declare"))
    here, there = "http://" + one.ready["http"], "http://" + other.ready["http"]
    for url in (here, there):
        sluice({"SLUICE_URL": url}, "pub", "q", "a")
    environment = {"SLUICE_URL": here, "SLUICE_OPS_URL": "http://" + one.ready["ops"]}
    refused = sluice(environment, "--url", there, "queue", "purge", "q", status=1)
    assert "SLUICE_OPS_URL or --ops-url says where that is" in refused
    assert describe("q", environment)["ready"] == 1
    assert "purged" in sluice(environment, "--url", there, "--ops-url", "http://" + other.ready["ops"], "queue",
                              "purge", "q")
    assert describe("q", environment)["ready"] == 1 and describe("q", {"SLUICE_URL": there})["ready"] == 0
    assert "SLUICE_OPS_URL or --ops-url says where that is" in sluice(
        {"SLUICE_URL": there, "SLUICE_OPS_URL": ""}, "queue", "purge", "q", status=1)


def test_an_address_may_lack_its_scheme_or_end_in_a_slash_and_bypasses_proxies(dev):
    bare = dev["SLUICE_URL"].removeprefix("http://")
    sluice(dev, "queue", "declare", "q")
    for url in (bare, dev["SLUICE_URL"] + "/"):
        assert sluice({"http_proxy": "http://127.0.0.1:1"}, "--url", url, "queue", "list", "--names") == "q\n"


def test_something_else_at_the_address_is_reported_as_no_sidecar():
    for answer in (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
                   b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"):
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            def serve():
                for _ in range(2):
                    connection = server.accept()[0]
                    while connection.recv(65536):
                        connection.sendall(answer)
                    connection.close()
            threading.Thread(target=serve, daemon=True).start()
            done = run("sluice", "sub", "q", environment={"SLUICE_URL": url}, timeout=20)
        assert done.returncode == 1, done
        assert "but not as a sidecar does: does SLUICE_URL or --url name one?" in done.stderr, done


def test_an_empty_queue_list_says_so_except_to_programs(dev):
    assert sluice(dev, "queue", "list") == "sluice: there is no queue\n"
    assert sluice(dev, "queue", "list", "--prefix", "x") == "sluice: there is no queue that begins with x\n"
    assert sluice(dev, "queue", "list", "--json") == sluice(dev, "queue", "list", "--names") == ""


def test_a_row_shows_how_full_a_queue_is_and_what_blocks_it(dev, start):
    sluice(dev, "queue", "declare", "small", "capacity=3")
    sluice(dev, "queue", "declare", "heavy", "capacity_bytes=64KiB")
    sluice(dev, "pub", "small", "a", "b")
    sluice(dev, "pub", "heavy", "x" * 40000)

    def row(name):
        return next(line for line in sluice(dev, "queue", "list").splitlines() if line.startswith(name + " "))

    assert " 66% " in row("small") and row("small").endswith("  -")
    assert re.search(r" 6[0-9]% .* (39|4\d) KiB ", row("heavy")), row("heavy")
    sluice(dev, "pub", "small", "--delay", "1h", "c")
    assert " 100% " in row("small")
    pub = start("pub", "small", "d", environment=dev)
    until(lambda: row("small").endswith("- publishers wait"))
    pub.popen.kill()
    sluice(dev, "queue", "close", "heavy")
    assert row("heavy").endswith("- closed")
    assert sluice(dev, "queue", "pause", "heavy").splitlines()[1].endswith("- paused closed")


def test_a_ledger_is_printed_as_a_sum_that_balances(dev):
    sluice(dev, "pub", "q", "a", "b", "c")
    sluice(dev, "sub", "q", "-n", "1")
    assert [line.split() for line in sluice(dev, "queue", "ledger", "q").splitlines()] == [
        ["accepted", "3"], ["=", "acked", "1"], ["+", "dead_lettered", "0"], ["+", "expired", "0"],
        ["+", "purged", "0"], ["+", "dropped", "0"],
        ["+", "remaining", "2"]]


def test_explain_says_who_holds_the_event_what_failed_and_what_is_next(dev, start, tmp_path):
    sluice(dev, "pub", "q", "--ttl", "1h", "a")
    assert re.search(r"^#1 +ready +attempt 0 +sluice.event  expires 20\S+Z  a$",
                     sluice(dev, "queue", "peek", "q"), re.M)
    sluice(dev, "sub", "q", "-n", "1", "--retry-delay", "1h", "--", "false")
    said = sluice(dev, "queue", "explain", "q", "1")
    assert re.search(r"^ +failures 1, crashes 0, last 20\S+: exit status 1$", said, re.M), said
    assert re.search(r"^  next     \w+ at 20\S+Z$", said, re.M), said
    sluice(dev, "pub", "p", "b")
    os.mkfifo(tmp_path / "go")
    sub = start("sub", "p", "--", "sh", "-c", f"echo started; read x < {tmp_path}/go", environment=dev)
    sub.wait_for("started")
    said = sluice(dev, "queue", "explain", "p", "1")
    assert re.search(r"^  consumer dev@\S+$", said, re.M), said
    (tmp_path / "go").write_text("on\n")


def test_peek_continues_where_it_ended(dev):
    sluice(dev, "pub", "q", "a", "b", "c")
    assert sluice(dev, "queue", "peek", "q", "--max", "2").splitlines()[-1] == "more: --from 3"
    rest = sluice(dev, "queue", "peek", "q", "--from", "3")
    assert rest.startswith("#3 ") and "\nmore: " not in rest and "how each attempt ended" not in rest


def test_a_partitioned_queue_shows_a_line_per_partition(dev):
    sluice(dev, "queue", "declare", "q", "partitions=2")
    shares = re.findall(r"^(shares\.\d) +partition (\d), ready 0", sluice(dev, "queue", "show", "q"), re.M)
    assert shares == [("shares.0", "0"), ("shares.1", "1")]


def test_the_busiest_come_first_when_asked_for(dev):
    for name, events in (("a", 1), ("b", 3), ("c", 2)):
        sluice(dev, "pub", name, *["x"] * events)
    names = [line.split()[0] for line in sluice(dev, "top", "--once", "--busy").splitlines()[3:6]]
    assert names == ["b", "c", "a"]
    looked = json.loads(sluice(dev, "top", "--once", "--busy", "--json", "--prefix", "b"))
    assert [q["queue"] for q in looked] == ["b"]
    assert re.match(r"\d\d:\d\d:\d\d  3 queues  6 ready  0 in flight  ", sluice(dev, "top", "--once"))


def test_a_topic_shows_its_matches_and_where_unrouted_events_go(dev):
    sluice(dev, "queue", "declare", "rest")
    sluice(dev, "topic", "put", "news", "--unrouted", "queue=rest")
    assert sluice(dev, "topic", "bind", "news", "rest", "--json").startswith("{")
    shown = sluice(dev, "topic", "show", "news")
    assert re.search(r"^  rest +0 matched   every event\n  rest +unrouted events$", shown, re.M), shown
    assert sluice(dev, "topic", "put", "news", "--unrouted", "refuse").endswith("  unrouted events: refuse\n")
    assert [json.loads(line)["topic"] for line in sluice(dev, "topic", "list", "--json").splitlines()] == ["news"]
    assert sluice(dev, "topic", "list", "--prefix", "x") == "sluice: there is no topic that begins with x\n"
    assert "--unrouted: '[1]' must be" in sluice(dev, "topic", "put", "news", "--unrouted", "[1]", status=2)
    assert "--filter is not JSON" in sluice(dev, "topic", "bind", "news", "rest", "--filter", "{", status=2)


def test_empty_lists_say_so_except_to_programs(dev):
    for what in ("queue", "topic", "subscription"):
        assert sluice(dev, what, "list") == f"sluice: there is no {what}\n"
        assert sluice(dev, what, "list", "--names") == sluice(dev, what, "list", "--json") == ""


def test_delete_force_deletes_a_queue_with_its_events(dev):
    sluice(dev, "pub", "q", "a")
    assert sluice(dev, "queue", "delete", "q", "--force", "--json") == '{"deleted":true}\n'
    assert sluice(dev, "queue", "list", "--names") == ""


def test_after_drain_returns_the_sidecar_is_draining(dev):
    assert json.loads(sluice(dev, "drain"))
    assert "draining" in sluice(dev, "sub", "q", "--wait", "0s", status=1)


def test_ping_takes_its_count_and_the_address_from_the_environment(cluster):
    broker = cluster.broker()
    environment = {"SLUICE_BROKER": broker.ready["broker"]}
    pongs = [json.loads(line) for line in sluice(environment, "ping", "-n", "2", "--json").splitlines()]
    assert [pong["broker"] for pong in pongs] == [broker.ready["broker"]] * 2
    assert all(0 <= pong["uptime_seconds"] < 60 and 0 < pong["ms"] < 60000 for pong in pongs)
    broker.kill()
    assert sluice(environment, "ping", "-n", "9", "--wait", "100ms", status=1).count("no broker answers") == 1


def test_dev_accepts_other_clients_at_a_given_address(tmp_path):
    p = Process(tmp_path, "dev", ["sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0",
                                  "--broker", f"ipc://{tmp_path}/broker"])
    try:
        assert p.ready["broker"] == f"ipc://{tmp_path}/broker"
        assert sluice({}, "ping", "-n", "1", p.ready["broker"]).startswith(p.ready["broker"] + ": version ")
    finally:
        assert p.stop() == 0


def test_dev_listens_beyond_loopback_only_with_insecure(tmp_path):
    dev = ["sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--broker", "tcp://0.0.0.0:0"]
    refused = run(*dev)
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1, refused
    assert refused.stderr.startswith("sluice: tcp://0.0.0.0:0 is beyond loopback")
    assert "give --insecure" in refused.stderr
    assert run(*dev[:-1], "tcp://127.0.0.1:65535").stderr.startswith("sluice: listen has the last port, 65535")
    p = Process(tmp_path, "dev", [*dev, "--insecure"])
    try:
        broker = "tcp://127.0.0.1:" + p.ready["broker"].rpartition(":")[2]
        assert sluice({}, "ping", "-n", "1", broker).startswith(broker + ": version ")
        assert sluice({"SLUICE_URL": "http://" + p.ready["http"]}, "pub", "q", "a") == "1 confirmed\n"
    finally:
        assert p.stop() == 0
    assert "WITHOUT authentication" in p.log.read_text()


def test_config_check_can_answer_in_json(tmp_path):
    (tmp_path / "good").write_text("log.level: info\n")
    (tmp_path / "bad").write_text("lsten: x\n")
    good = run("sluice", "config", "check", "sidecar", str(tmp_path / "good"), "--json")
    assert (good.returncode, json.loads(good.stdout)) == (0, {"fine": True, "error": None})
    bad = run("sluice", "config", "check", "broker", str(tmp_path / "bad"), "--json")
    assert bad.returncode == 1 and not json.loads(bad.stdout)["fine"] and "lsten" in json.loads(bad.stdout)["error"]
    for word in ("x" * 70 + "=1", "data"):
        refused = run("sluice", "config", "check", "sidecar", str(tmp_path / "good"), "--set", word)
        assert f"--set: '{word}' is not key=value" in refused.stderr
