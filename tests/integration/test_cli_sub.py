"""`sluice sub`: how it prints events or hands them to a command, and when it acks, nacks or returns them."""
import datetime
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time

import pytest

from conftest import BIN, describe, run, run_json, until


def peek(dev, *more):
    return run_json("sluice", "queue", "peek", "q", *more, "--json", environment=dev)["events"]


def test_sub_takes_no_more_events_than_asked_for(dev):
    run("sluice", "pub", "q", "a", "b", "c", environment=dev)
    assert run("sluice", "sub", "q", "-n", "2", environment=dev).stdout == "a\nb\n"
    assert [e["attempt"] for e in peek(dev)] == [0]


def test_whole_events_and_attributes_are_printed_when_asked_for(dev):
    run("sluice", "pub", "q", "--id", "7", "--type", "t", "--source", "/s", "one", environment=dev)
    run("sluice", "pub", "q", "two", environment=dev)
    shown = run("sluice", "sub", "q", "--attributes", "-n", "1", environment=dev).stdout
    assert shown == "#1 attempt=1 id=7 source=/s type=t\none\n"
    whole = run_json("sluice", "sub", "q", "--attributes", "--json", "-n", "1", environment=dev)
    assert (whole["sequence"], whole["attempt"], whole["event"]["data"]) == (2, 1, "two") and whole["receipt"]


def test_a_command_gets_the_events_attributes_in_its_environment(dev):
    run("sluice", "pub", "q", "--id", "7", "--type", "t", "--source", "/s", "--subject", 'a "b"',
        "--content-type", "text/csv", "one", environment=dev)
    got = run("sluice", "sub", "q", "-n", "1", "--", "env", environment=dev).stdout
    for name, value in (("QUEUE", "q"), ("ID", "7"), ("SOURCE", "/s"), ("TYPE", "t"), ("SUBJECT", 'a "b"'),
                        ("CONTENT_TYPE", "text/csv"),
                        ("SEQUENCE", "1"), ("ATTEMPT", "1")):
        assert f"\nSLUICE_{name}={value}\n" in "\n" + got, got


# As under nohup, or & in a script.
@pytest.mark.parametrize("ignored", ["", "trap '' HUP QUIT; "], ids=["none", "some"])
def test_a_command_inherits_the_signal_state_that_sub_started_with(dev, ignored):
    def shown(*command):
        return subprocess.run(["sh", "-c", ignored + 'exec "$@"', "sh", *command, "grep", "-E", "^Sig(Blk|Ign)",
                               "/proc/self/status"],
                              capture_output=True, text=True, timeout=20, env={**os.environ, **dev}).stdout

    run("sluice", "pub", "q", "a", environment=dev)
    assert shown(BIN / "sluice", "sub", "q", "-n", "1", "--") == shown("env") != ""


def test_sub_with_a_command_takes_one_event_at_a_time(dev, start, tmp_path):
    run("sluice", "pub", "q", "a", "b", environment=dev)
    os.mkfifo(tmp_path / "go")
    sub = start("sub", "q", "--", "sh", "-c", f"echo started; read x < {tmp_path}/go", environment=dev)
    sub.wait_for("started")
    assert (describe("q", dev)["in_flight"], describe("q", dev)["ready"]) == (1, 1)
    sub.popen.send_signal(signal.SIGINT)
    (tmp_path / "go").write_text("on\n")
    assert sub.popen.wait(timeout=20) == 0


def test_a_failed_command_is_recorded_with_its_event_and_delays_it(dev):
    run("sluice", "queue", "declare", "q", "max_deliveries=2", environment=dev)
    run("sluice", "pub", "q", "a", environment=dev)
    run("sluice", "sub", "q", "-n", "1", "--retry-delay", "1h", "--", "sh", "-c", "exit 3", environment=dev)
    [failed] = peek(dev, "--state", "delayed")
    assert failed["trouble"]["error"] == "exit status 3"
    ready = datetime.datetime.fromisoformat(failed["ready_at"].replace("Z", "+00:00")).timestamp()
    assert 3000 < ready - time.time() < 3601
    run("sluice", "queue", "declare", "q", "max_deliveries=1", environment=dev)
    run("sluice", "pub", "q", "b", environment=dev)
    run("sluice", "sub", "q", "-n", "1", "--", "sh", "-c", "kill -9 $$", environment=dev)
    [dead] = peek(dev, "--state", "dead")
    assert dead["trouble"]["error"] == "signal 9"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_ended_by_an_interruption_is_not_a_failure(dev, start, tmp_path, number):
    run("sluice", "queue", "declare", "q", "max_deliveries=1", environment=dev)
    run("sluice", "pub", "q", "a", environment=dev)
    os.mkfifo(tmp_path / "go")
    sub = start("sub", "q", "--", "sh", "-c", f"echo started; read x < {tmp_path}/go; exit 1", environment=dev)
    sub.wait_for("started")
    sub.popen.send_signal(number)
    (tmp_path / "go").write_text("on\n")
    assert sub.popen.wait(timeout=20) == 0
    assert sub.popen.stdout.read() == b""
    assert (describe("q", dev)["ready"], describe("q", dev)["dead"]) == (1, 0)


def test_sub_interrupted_before_its_count_exits_130(dev, start):
    run("sluice", "pub", "q", "a", environment=dev)
    sub = start("sub", "q", "-n", "2", environment=dev)
    sub.wait_for("a\n")
    assert sub.interrupt() == 130


def unread(pipe):
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_sub_while_its_reader_stalls(dev, number):
    count = 300
    run("sluice", "queue", "declare", "q", "max_deliveries=1", environment=dev)
    run("sluice", "pub", "q", environment=dev, input="".join(f"{i:900}\n" for i in range(count)))
    with subprocess.Popen([BIN / "sluice", "sub", "q"], stdout=subprocess.PIPE, env={**os.environ, **dev}) as sub:
        until(lambda: unread(sub.stdout) >= 65536)  # as much as the pipe holds
        sub.send_signal(number)
        assert sub.wait(timeout=20) == 0
        lines = sub.stdout.read().split(b"\n")
    whole = len(lines) - 1  # the last one is cut
    assert [int(line) for line in lines[:-1]] == list(range(whole)) and 0 < whole < 100
    queue = describe("q", dev)
    assert (queue["ledger"]["acked"], queue["ready"], queue["dead"]) == (whole, count - whole, 0)


def test_an_interruption_lets_a_reader_read_the_line_at_hand(dev):
    run("sluice", "pub", "q", environment=dev, input="x" * 200000 + "\ny\n")
    with subprocess.Popen([BIN / "sluice", "sub", "q"], stdout=subprocess.PIPE, env={**os.environ, **dev}) as sub:
        until(lambda: unread(sub.stdout) >= 65536)
        sub.send_signal(signal.SIGINT)
        assert sub.stdout.read() == b"x" * 200000 + b"\n"
        assert sub.wait(timeout=20) == 0
    assert (describe("q", dev)["ready"], describe("q", dev)["ledger"]["acked"]) == (1, 1)


def test_events_that_could_not_be_written_are_not_acked(dev):
    run("sluice", "pub", "q", "a", environment=dev)
    with open("/dev/full", "w") as full:
        done = subprocess.run([BIN / "sluice", "sub", "q", "-n", "1"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=20, env={**os.environ, **dev})
    assert done.returncode == 1
    assert "sluice: cannot write to the standard output; nothing more is acked\n" in done.stderr
    assert describe("q", dev)["ready"] == 1


def test_sub_on_a_paused_queue_says_so(dev):
    for command in (("pub", "q", "a"), ("queue", "pause", "q"), ("queue", "show", "q")):
        assert run("sluice", *command, environment=dev).returncode == 0
    said = run("sluice", "sub", "q", "--exit-empty", "--wait", "100ms", environment=dev)
    assert (said.returncode, said.stdout, said.stderr) == (
        0, "", "sluice: 'q' is paused: nothing is delivered until it is resumed (sluice queue resume q)\n")


def test_an_empty_queue_is_not_polled_in_a_busy_loop(stand_in, start):
    sidecar = stand_in()
    start("sub", "q", "--wait", "0s", environment=sidecar.environment)
    until(lambda: len(sidecar.asked) > 10)
    assert sidecar.asked[10] - sidecar.asked[0] > 0.5  # about ten pauses


def test_sub_takes_at_most_a_thousand_events_per_request(dev):
    run("sluice", "pub", "q", "a", environment=dev)
    assert run("sluice", "sub", "q", "--max", "5000", "-n", "1", environment=dev, timeout=20).stdout == "a\n"


def test_an_ack_that_came_too_late_is_reported(dev):
    run("sluice", "pub", "q", "a", environment=dev)
    script = f"'{BIN}/sluice' queue delete q --force && '{BIN}/sluice' queue declare q"
    sub = run("sluice", "sub", "q", "-n", "1", "--", "sh", "-c", script, environment=dev, timeout=30)
    assert "some leases had ended before their ack: these events will be redelivered" in sub.stderr, sub
