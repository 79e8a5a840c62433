"""The command line in careless or unusual use: closed standard streams, arguments that are not UTF-8, malformed
addresses and settings, hung sidecars, and control characters in what it prints. Each must give a clear error or a
harmless result."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import BIN, run


def without(descriptor, *arguments, environment):
    """Runs a command with a descriptor closed by the shell's `descriptor` redirection. Returns its exit status and its
    stderr."""
    done = subprocess.run(["sh", "-c", f'exec "$@" {descriptor}', "sh", str(BIN / "sluice"), *arguments], timeout=20,
                          stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    return done.returncode, done.stderr


def test_a_closed_standard_stream_is_an_error(dev):
    assert without("<&-", "pub", "q", environment=dev) == (
        1, "sluice: cannot read the standard input: Bad file descriptor\n")
    run("sluice", "queue", "declare", "q", environment=dev)
    for command in (["queue", "list"], ["pub", "q", "a"], ["version"]):
        assert without(">&-", *command, environment=dev) == (
            1, "sluice: cannot write to the standard output\n"), command
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", str(BIN / "sluice"), "sub", "q", "-n", "1", "--", "cat"],
                          timeout=20, capture_output=True, text=True, env={**os.environ, **dev})
    assert (done.returncode, done.stdout) == (0, "a")


@pytest.mark.parametrize("program", ["sluice-broker", "sluice-sidecar"])
def test_a_daemon_without_standard_streams_gets_dev_null_in_their_place(tmp_path, program):
    flags = ["--listen", "tcp://127.0.0.1:0", "--data", str(tmp_path / "data")] if program == "sluice-broker" else [
        "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--broker", "tcp://127.0.0.1:1",
        "--probe", f"unix:{tmp_path}/probe"]
    p = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", str(BIN / program), *flags])
    try:
        wanted = tmp_path / ("data/receipt.key" if program == "sluice-broker" else "probe")
        deadline = time.monotonic() + 60
        while not wanted.exists():
            assert p.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        assert {os.readlink(f"/proc/{p.pid}/fd/{n}") for n in (0, 1, 2)} == {"/dev/null"}
    finally:
        p.terminate()
        assert p.wait(timeout=40) == 0


def test_top_ends_when_its_reader_is_gone(dev):
    top = subprocess.Popen([str(BIN / "sluice"), "top", "--interval", "50ms"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, env={**os.environ, **dev})
    assert "queues" in top.stdout.readline()
    top.stdout.close()
    assert top.wait(timeout=20) == 1 and top.stderr.read() == "sluice: cannot write to the standard output\n"


def interrupted_while_it_waits(*command):
    """Runs a command against a sidecar that accepts but never answers, and sends SIGINT once its request has arrived.
    Returns the request, the exit status, stdout and stderr."""
    with socket.create_server(("127.0.0.1", 0)) as still:
        url = f"http://127.0.0.1:{still.getsockname()[1]}"
        p = subprocess.Popen([str(BIN / "sluice"), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "SLUICE_URL": url})
        connection = still.accept()[0]
        asked = connection.recv(65536).decode().split(" HTTP/")[0]
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=50)
        connection.close()
    return asked.split("?")[0], p.returncode, out, err.replace(url, "URL")


def test_ctrl_c_ends_a_command_that_waits_for_a_hung_sidecar():
    asked, code, out, err = interrupted_while_it_waits("pub", "q", "x")  # pub still waits 10 s for the outcome
    assert (asked, code, out) == ("POST /v1/queues/q/events", 130,
                                  "0 confirmed, 1 unknown: they may have been accepted\n")
    assert err == "sluice: argument 1: URL gave no answer within 10 s of the interruption\n"
    asked, code, out, err = interrupted_while_it_waits("sub", "q")
    assert (asked, code, out, err) == ("GET /v1/queues/q", 0, "", "")


def test_top_names_a_silent_sidecar_and_keeps_waiting(start):
    body = b'{"queues":{}}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with socket.create_server(("127.0.0.1", 0)) as still:
        url = f"http://127.0.0.1:{still.getsockname()[1]}"
        top = start("top", "--interval", "50ms", environment={"SLUICE_URL": url}, terminal=True)
        still.settimeout(40)
        connection = still.accept()[0]
        connection.settimeout(40)
        for looks in (0, 1):
            assert connection.recv(65536)
            top.wait_for(f"sluice: {url} has not answered for 5 s; still waiting", times=looks + 1)
            # The message is printed on the normal screen.
            assert top.seen.count("\033[?1049h") == top.seen.count("\033[?1049l") == looks
            connection.sendall(answer)
            top.wait_for("q: end", times=looks + 1)
            assert top.seen.count("\033[?1049h") == looks + 1
        connection.close()


def test_arguments_that_are_not_utf_8_are_refused(dev):
    odd = b"\xff\xfe"
    run("sluice", "queue", "declare", "q", environment=dev)
    for words in (["queue", "declare", "p", b"dead_letter=" + odd], ["queue", "redrive", "q", "--to", odd],
                  ["queue", "redrive", "q", "--reason", odd], ["topic", "put", "t", "--unrouted", b"queue=" + odd],
                  ["subscription", "put", "s", "--queue", odd, "--to", "http://127.0.0.1:1/"]):
        done = subprocess.run([str(BIN / "sluice"), *words], capture_output=True, env={**os.environ, **dev}, timeout=20)
        assert done.returncode == 2 and b"is not valid UTF-8" in done.stderr, (words, done)
    assert run("sluice", "queue", "list", "--names", environment=dev).stdout == "q\n"


def test_a_bad_queue_setting_is_refused_with_the_expected_form(dev):
    def refused(*settings):
        done = run("sluice", "queue", "declare", "q", *settings, environment=dev)
        assert done.returncode == 1
        return done.stderr

    assert refused("lease=30") == "sluice: 'lease' must be a duration like 500ms, 30s or 2m, not '30' (400)\n"
    assert refused("require_consumer=1") == "sluice: 'require_consumer' must be true or false (400)\n"
    assert refused("capacity=99999999999999999999") == ("sluice: 'capacity' must be a whole number, not "
                                                        "'99999999999999999999' (400)\n")
    assert refused("overflow=5") == "sluice: 'overflow' must be wait, reject or drop_oldest, not '5' (400)\n"
    run("sluice", "queue", "declare", "404", environment=dev)
    done = run("sluice", "queue", "declare", "q", "dead_letter=404", "require_consumer=true", environment=dev)
    assert done.stdout.endswith("dead_letter 404, require_consumer yes\n"), done


def test_pub_to_a_full_queue_says_what_to_do(dev):
    run("sluice", "queue", "declare", "q", "capacity=1", environment=dev)
    done = run("sluice", "pub", "q", "a", "b", "c", "--wait", "0s", environment=dev)
    assert done.returncode == 1 and done.stdout == "1 confirmed, 2 refused\n"
    assert done.stderr == ("sluice: refused from argument 2 on: queue 'q' is full: it holds 1 of 1 events (429); a "
                           "longer --wait waits for room\n")
    one = run("sluice", "pub", "q", "d", "--wait", "0s", environment=dev)
    assert one.stderr == ("sluice: argument 1: queue 'q' is full: it holds 1 of 1 events (429); a longer --wait "
                          "waits for room\n")


def test_an_unknown_option_gets_a_suggestion():
    unknown = run("sluice", "pub", "--sidecar", "x", "q")
    assert unknown.stderr == "sluice: there is no option '--sidecar'. See 'sluice help pub'.\n"
    assert "Did you mean '--delay'?" in run("sluice", "pub", "--dealy", "1s", "q").stderr
    assert run("sluice", "pub", "--json=yes", "q").stderr == "sluice: --json takes no value. See 'sluice help pub'.\n"
    assert run("sluice", "version").stdout == run("sluice", "--version").stdout != ""


def test_explain_and_cancel_report_a_missing_event_alike(dev):
    run("sluice", "pub", "q", "a", environment=dev)
    run("sluice", "queue", "purge", "q", environment=dev)
    for sequence, says in (("1", "settled: event 1 of queue 'q' was"),
                           ("7", "never existed: queue 'q' has accepted events up to")):
        explained, cancelled = (run("sluice", "queue", verb, "q", sequence, environment=dev)
                                for verb in ("explain", "cancel"))
        assert explained.returncode == cancelled.returncode == 1
        assert says in explained.stderr and explained.stderr == cancelled.stderr
    assert run("sluice", "queue", "cancel", "q", "99999999999999999999", environment=dev).returncode == 2


def test_a_queue_name_of_dots_is_not_resolved_as_a_path(dev):
    for name in ("..", "."):
        done = run("sluice", "queue", "show", name, environment=dev)
        assert done.returncode == 1 and "a name is 1 to 128 letters" in done.stderr, done.stderr


def test_ping_prints_valid_json_for_any_address(cluster, tmp_path):
    broker = cluster.broker(listen=f'ipc://{tmp_path}/a"b\\c')
    done = run("sluice", "ping", "-n", "1", "--json", broker.ready["broker"])
    assert json.loads(done.stdout)["broker"] == broker.ready["broker"]


def test_exit_empty_ends_only_after_a_whole_wait_without_events(cluster):
    sidecar = cluster.sidecar(cluster.broker("--auto-declare"), "--take-wait-max", "200ms")  # each take returns sooner
    environment = {"SLUICE_URL": "http://" + sidecar.ready["http"]}
    begun = time.monotonic()
    assert run("sluice", "sub", "q", "--exit-empty", "--wait", "1s", environment=environment).returncode == 0
    assert time.monotonic() - begun >= 1


def test_exit_empty_without_a_wait_still_consumes_everything(dev):
    for i in range(3):
        assert run("sluice", "pub", "many", *[f"{i}.{j}" for j in range(70)], environment=dev).returncode == 0
    done = run("sluice", "sub", "many", "--exit-empty", "--wait", "0s", environment=dev)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 210), done.stderr


def test_a_file_at_a_socket_path_is_not_removed(tmp_path):
    file = tmp_path / "notes"
    file.write_text("precious")
    refused = run("sluice-sidecar", "--http", f"unix:{file}", "--ops", "127.0.0.1:0")
    assert (refused.returncode, refused.stderr) == (
        1, f"sluice-sidecar: {file} exists and is not a socket; choose another path (--http)\n")
    assert file.read_text() == "precious"


def test_a_missing_unix_socket_is_reported_by_its_path(tmp_path):
    refused = run("sluice", "--url", f"unix:{tmp_path}/none", "queue", "list")
    assert (refused.returncode, refused.stderr) == (
        1, f"sluice: no sidecar answers at unix:{tmp_path}/none: No such file or directory (SLUICE_URL or --url says "
        "where it is)\n")


@pytest.mark.parametrize("command", ["ping", "bench"])
def test_a_malformed_broker_address_is_wrong_usage(command):
    for endpoint, why in (("tcp://:7400", "has no host"), ("tcp://127.0.0.1", "has no port"),
                          ("tcp://127.0.0.1:99999", "is too large"), ("ipc://here", "absolute path"),
                          ("127.0.0.1:7400", "is not an endpoint")):
        refused = run("sluice", command, endpoint)
        assert refused.returncode == 2 and why in refused.stderr, refused.stderr


def test_bench_refuses_events_too_small_to_hold_their_number():
    refused = run("sluice", "bench", "--size", "7", "tcp://127.0.0.1:1")
    assert (refused.returncode, refused.stderr) == (2, "sluice: --size: at least 8, for each event holds its number\n")


def test_url_may_follow_an_equals_sign_and_must_not_be_empty(dev):
    run("sluice", "queue", "declare", "q", environment=dev)
    for given in ([f"--url={dev['SLUICE_URL']}"], ["--url", dev["SLUICE_URL"]],
                  ["--ops-url=http://127.0.0.1:1", "--url", dev["SLUICE_URL"]]):
        assert run("sluice", *given, "queue", "list", "--names").stdout == "q\n"
    for words in (["pub", "q", "x"], ["sub", "q", "-n", "1"], ["top", "--once"], ["queue", "show", "q"],
                  ["topic", "list"], ["subscription", "list"], ["drain", "--ops-url", dev["SLUICE_OPS_URL"]]):
        done = run("sluice", *words, "--url", dev["SLUICE_URL"])
        assert done.returncode == 0, (words, done)
    for words in (["--url", "", "queue", "list"], ["--url=", "queue", "list"], ["--url"],
                  ["queue", "list", "--url", ""]):
        refused = run("sluice", *words, environment=dev)
        assert (refused.returncode, refused.stderr) == (2, "sluice: --url needs a value, like http://127.0.0.1:8480\n")


def test_control_characters_in_events_are_not_printed(dev):
    for data in ("\x1b[31mred\x7f\u009b31m \u00a0\u00e9", '{"a": "\u009b31m\x7f\u00e9"}'):
        run("sluice", "pub", "q", data, "--content-type", "application/json" if data[0] == "{" else "text/plain",
            environment=dev)
    run("sluice", "pub", "q", 150 * "\u00e9", environment=dev)
    peeked = run("sluice", "queue", "peek", "q", environment=dev).stdout
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", peeked), repr(peeked)
    assert ".[31mred..31m \u00a0\u00e9" in peeked and '{"a":".31m.\u00e9"}' in peeked
    assert 100 * "\u00e9" + "..." in peeked
    run("sluice", "topic", "put", "t", environment=dev)
    for verb in ("bind", "show"):
        bound = run("sluice", "topic", verb, "t",
                    *(["q", "--filter", '{"exact": {"type": "\u009b31m\x7f"}}'] if verb == "bind" else []),
                    environment=dev).stdout
        assert '{"exact":{"type":".31m."}}' in bound, repr(bound)
