"""Commands of `sluice` that run for a while: pub on pipes and terminals, the screen of `top`, signals, leases, and
restarts of the broker."""
import fcntl
import json
import os
import pathlib
import re
import resource
import signal
import struct
import termios

from conftest import SANITIZED, describe, run, until
from pushing import ledger


def test_pub_keeps_the_order_of_many_lines_and_stays_small(dev, start):
    lines = "".join(f"{i}\n" for i in range(300001))
    run("sluice", "queue", "declare", "q", "capacity=300000", "capacity_bytes=256MiB", environment=dev)
    pub = start("pub", "q", "--json", environment=dev)
    pub.popen.stdin.write(lines.encode())
    pub.popen.stdin.close()
    pub.popen.stdin = None
    pub.wait_for("'q' is full; waiting for room")
    status = pathlib.Path(f"/proc/{pub.popen.pid}/status").read_text()
    assert SANITIZED or int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) <= 32 << 10
    got = run("sluice", "sub", "q", "--count", "300001", environment=dev)
    assert got.stdout == lines
    pub.wait_for('{"confirmed":300001,"refused":0,"unknown":0,"duplicates":0}')


def test_lines_are_published_as_they_come(dev, start):
    pub = start("pub", "q", environment=dev)
    for line in ("one", "two"):
        pub.popen.stdin.write(f"{line}\n".encode())
        pub.popen.stdin.flush()
        assert run("sluice", "sub", "q", "--count", "1", environment=dev, timeout=20).stdout == f"{line}\n"
    pub.popen.stdin.close()
    pub.popen.stdin = None
    pub.wait_for("2 confirmed")


def test_pub_reports_a_full_queue_and_waits_and_ctrl_c_exits_130(dev, start):
    run("sluice", "queue", "declare", "q", "capacity=1", environment=dev)
    pub = start("pub", "q", "a", "b", "c", environment=dev)
    pub.wait_for("'q' is full; waiting for room (--wait limits this)")
    assert run("sluice", "sub", "q", "--count", "1", environment=dev).stdout == "a\n"
    assert run("sluice", "sub", "q", "--count", "1", "--wait", "20s", environment=dev).stdout == "b\n"
    pub.wait_for("3 confirmed")
    pub = start("pub", "q", "d", environment=dev)
    pub.wait_for("waiting for room")
    assert pub.interrupt() == 130
    pub.wait_for("0 confirmed, 1 refused\n")


def test_pub_sends_again_what_a_hung_broker_may_have_accepted_and_it_is_stored_once(cluster, start):
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("q")
    environment = {"SLUICE_URL": "http://" + s.ready["http"]}
    try:
        broker.pause()
        pub = start("pub", "q", "a", "b", environment=environment)
        pub.wait_for("the broker is away; 'q' waits for it (--wait limits this)")
        broker.popen.send_signal(signal.SIGCONT)
        pub.wait_for("2 confirmed\n")
        assert ledger(s, "q")["accepted"] == 2
        broker.pause()
        pub = start("pub", "q", "c", "--wait", "2s", environment=environment)
        pub.wait_for("it may have been accepted, under an id made by this command")
        pub.wait_for("0 confirmed, 1 unknown: they may have been accepted")
    finally:
        broker.popen.send_signal(signal.SIGCONT)  # a stopped broker could not be ended


def test_a_full_memory_budget_is_not_called_a_full_queue(cluster):
    s = cluster.sidecar(cluster.broker("--memory-budget", "1MiB"))
    s.declare("q", durability="memory")
    environment = {"SLUICE_URL": "http://" + s.ready["http"]}
    done = run("sluice", "pub", "q", "--wait", "100ms", input="".join(f"{i} {'x' * 100000}\n" for i in range(20)),
               environment=environment)
    assert done.returncode == 1 and "the broker's memory_budget is used up; 'q' waits for room" in done.stderr, done
    assert "is full" not in done.stderr, done


def test_pub_shows_its_progress_on_a_terminal(dev, start):
    run("sluice", "queue", "declare", "q", "capacity=1", environment=dev)
    pub = start("pub", "q", environment=dev, terminal=True)
    pub.wait_for("Ctrl-D ends")
    os.write(pub.terminal, b"a\n")
    pub.wait_for("a\r\n")
    os.write(pub.terminal, b"b\n")
    pub.wait_for("'q' is full")
    pub.wait_for("1 confirmed  ")
    assert run("sluice", "sub", "q", "--count", "2", environment=dev).stdout == "a\nb\n"
    os.write(pub.terminal, b"\x04")
    pub.wait_for("\r\033[K2 confirmed\r\n")  # in place of the progress line
    assert pub.popen.wait(timeout=20) == 0


def test_a_message_replaces_the_progress_line(dev, start):
    run("sluice", "queue", "declare", "q", "capacity=1", environment=dev)
    pub = start("pub", "q", "--ndjson", environment=dev, terminal=True)
    pub.wait_for("Ctrl-D ends")
    os.write(pub.terminal, b"1\n2\n")
    pub.wait_for("1 confirmed  ")
    assert run("sluice", "sub", "q", "--count", "2", environment=dev).stdout == "1\n2\n"
    os.write(pub.terminal, b"{\n")
    pub.wait_for("\r\033[Ksluice: line 3 is not JSON: '{'\r\n2 confirmed\r\n")
    assert pub.popen.wait(timeout=20) == 1


def test_top_draws_on_the_alternate_screen_and_leaves_it(dev, start):
    run("sluice", "pub", "orders", "x", environment=dev)
    top = start("top", environment=dev, terminal=True)
    top.wait_for("\033[?1049h")
    top.wait_for("q: end  b: busiest first")
    assert "orders" in top.seen.split("\033[?1049h")[1] and "orders" not in top.seen.split("\033[?1049h")[0]
    os.write(top.terminal, b"b")
    top.wait_for("b: by name")
    os.write(top.terminal, b"q")
    top.wait_for("\033[?1049l")
    assert top.popen.wait(timeout=20) == 0


def modes(terminal):
    return termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO)


def test_top_restores_the_terminal(dev, start):
    for end in (b"q", b"Q", signal.SIGINT):
        top = start("top", environment=dev, terminal=True)
        top.wait_for("q: end")
        assert modes(top.terminal) == 0
        if isinstance(end, bytes):
            os.write(top.terminal, end)
        else:
            top.popen.send_signal(end)
        top.wait_for("\033[?1049l")
        assert top.popen.wait(timeout=20) == 0
        assert modes(top.terminal) == termios.ICANON | termios.ECHO


def test_top_restores_the_terminal_on_sigquit(dev, start):
    top = start("top", "--interval", "1h", environment=dev, terminal=True)
    top.wait_for("q: end")
    resource.prlimit(top.popen.pid, resource.RLIMIT_CORE, (0, 0))  # leave no core file
    top.popen.send_signal(signal.SIGQUIT)  # what Ctrl-\ sends
    top.wait_for("\033[?1049l")
    assert top.popen.wait(timeout=20) == -signal.SIGQUIT
    assert modes(top.terminal) == termios.ICANON | termios.ECHO


def test_a_suspended_top_restores_the_terminal_and_redraws_when_resumed(dev, start):
    top = start("top", "--interval", "1h", environment=dev, terminal=True)
    top.wait_for("q: end")
    top.popen.send_signal(signal.SIGTSTP)  # what Ctrl-Z sends
    top.wait_for("\033[?1049l")
    until(lambda: os.waitid(os.P_PID, top.popen.pid, os.WSTOPPED | os.WNOHANG))
    assert modes(top.terminal) == termios.ICANON | termios.ECHO
    top.popen.send_signal(signal.SIGCONT)
    top.wait_for("\033[?1049h", times=2)
    top.wait_for("q: end", times=2)
    assert modes(top.terminal) == 0
    os.write(top.terminal, b"q")
    assert top.popen.wait(timeout=20) == 0


def test_top_prints_why_it_ended_after_it_left_its_screen(cluster, start):
    p = cluster.dev()
    top = start("top", "--interval", "1h", environment={"SLUICE_URL": "http://" + p.ready["http"]}, terminal=True)
    top.wait_for("q: end")
    p.stop()  # the interval is 1 h because a request during the drain would be answered with "draining"
    os.write(top.terminal, b"b")
    top.wait_for("no sidecar answers at")
    assert top.popen.wait(timeout=20) == 1
    assert "no sidecar" not in top.seen.partition("\033[?1049l")[0] and top.seen.count("\033[?1049l") == 1


def test_a_dumb_terminal_gets_no_escape_sequences(dev, start):
    run("sluice", "pub", "orders", "x", environment=dev)
    top = start("top", "--interval", "50ms", "--count", "2", environment={**dev, "TERM": "dumb"}, terminal=True)
    top.wait_for("orders", times=2)
    assert top.popen.wait(timeout=20) == 0 and "\033" not in top.seen


def test_top_fits_its_table_to_the_screen(dev, start):
    for i in range(6):
        run("sluice", "pub", f"queue{i}", "x", environment=dev)
    top = start("top", "--interval", "50ms", environment=dev, terminal=True)
    top.wait_for("q: end")
    fcntl.ioctl(top.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 30, 0, 0))
    top.wait_for("... and 3 more; --prefix se")
    top.wait_for("\033[8;1H")
    last = top.seen.rpartition("\033[8;1H")[0].rpartition("\033[H")[2].split("\r\n")  # the last complete frame
    assert [line.split()[0] for line in last if line.startswith("queue")] == ["queue0", "queue1", "queue2"]
    assert all(len(line.split("\033")[0]) < 30 for line in last[:7]), last


def test_top_off_screen_prints_lines_and_ends_when_its_sidecar_is_gone(cluster, start):
    p = cluster.dev()
    environment = {"SLUICE_URL": "http://" + p.ready["http"]}
    run("sluice", "pub", "orders", "x", environment=environment)
    once = start("top", "--once", environment=environment, terminal=True)
    once.wait_for("orders")
    assert once.popen.wait(timeout=20) == 0 and "\033" not in once.seen
    lines = start("top", "--json", "-n", "2", "--interval", "50ms", environment=environment, terminal=True)
    lines.wait_for("]\r\n[")
    assert lines.popen.wait(timeout=20) == 0 and "\033" not in lines.seen
    top = start("top", "--interval", "50ms", environment=environment)
    top.wait_for("orders")
    p.stop()
    top.wait_for("no sidecar answers at")
    assert top.popen.wait(timeout=20) == 1


def test_top_without_a_terminal_prints_tables(dev):
    run("sluice", "pub", "orders", "x", environment=dev)
    got = run("sluice", "top", "--count", "2", "--interval", "50ms", environment=dev).stdout
    assert got.count("orders") == 2 and "\033" not in got
    looks = run("sluice", "top", "--count", "2", "--interval", "50ms", "--json", environment=dev).stdout.splitlines()
    assert [[q["queue"] for q in json.loads(look)] for look in looks] == [["orders"]] * 2


def test_ctrl_c_returns_unhandled_events(dev, start, tmp_path):
    run("sluice", "queue", "declare", "q", "lease=10m", "max_deliveries=1", environment=dev)
    run("sluice", "pub", "q", "a", "b", "c", environment=dev)
    os.mkfifo(tmp_path / "go")
    sub = start("sub", "q", "--max", "3", "--", "sh", "-c", f"echo started; read x < {tmp_path}/go", environment=dev)
    sub.wait_for("started")
    assert describe("q", dev)["in_flight"] == 3
    sub.popen.send_signal(signal.SIGINT)
    (tmp_path / "go").write_text("on\n")
    assert sub.popen.wait(timeout=20) == 0
    assert (describe("q", dev)["ready"], describe("q", dev)["in_flight"]) == (2, 0)
    got = run("sluice", "sub", "q", "--count", "2", environment=dev, timeout=20)
    assert got.stdout == "b\nc\n"


def test_a_lease_is_extended_while_its_command_runs(dev, start, tmp_path):
    run("sluice", "queue", "declare", "q", "lease=1s", environment=dev)
    run("sluice", "pub", "q", "a", "b", environment=dev)
    seen = tmp_path / "seen"
    sub = start("sub", "q", "--max", "2", "--count", "2", "--", "sh", "-c",
                f"echo $SLUICE_ATTEMPT >> {seen}; sleep 2.5", environment=dev)
    assert sub.popen.wait(timeout=40) == 0
    assert seen.read_text() == "1\n1\n"
    assert describe("q", dev)["backlog"] == 0


def test_a_second_consumer_says_that_it_stands_by_and_takes_over(cluster, start):
    b = cluster.broker("--auto-declare")
    first, second = ({"SLUICE_URL": "http://" + s.ready["http"]} for s in (cluster.sidecar(b), cluster.sidecar(b)))
    active = start("sub", "q", environment=first)
    run("sluice", "pub", "q", "one", environment=first)
    active.wait_for("one\n")
    standby = start("sub", "q", "--wait", "1s", environment=second)
    standby.wait_for("another session consumes 'q'; standing by")
    assert active.interrupt() == 0
    run("sluice", "pub", "q", "two", environment=second)
    standby.wait_for("two\n")
    assert standby.interrupt() == 0


def test_pub_and_sub_ride_out_a_restart_of_the_broker(cluster, start):
    b = cluster.broker("--auto-declare")
    s = {"SLUICE_URL": "http://" + cluster.sidecar(b).ready["http"]}
    sub = start("sub", "q", "--wait", "1s", environment=s)
    run("sluice", "pub", "q", "before", environment=s)
    sub.wait_for("before\n")
    endpoint, ingress = b.ready["broker"], b.ready["ingress"]
    b.kill()
    sub.wait_for("trying again until it is back")
    pub = start("pub", "q", "after", environment=s)
    pub.wait_for("the broker is away; 'q' waits for it")
    cluster.broker("--auto-declare", "--ingress", ingress, listen=endpoint)
    pub.wait_for("1 confirmed")
    sub.wait_for("after\n")
    assert sub.interrupt() == 0


def test_an_ack_that_reaches_no_broker_is_reported_and_its_event_redelivered(cluster, start, tmp_path):
    b = cluster.broker("--auto-declare")
    s = {"SLUICE_URL": "http://" + cluster.sidecar(b).ready["http"]}
    run("sluice", "pub", "q", "a", environment=s)
    os.mkfifo(tmp_path / "go")
    sub = start("sub", "q", "--wait", "1s", "--", "sh", "-c",
                f'echo "attempt $SLUICE_ATTEMPT"; read x < {tmp_path}/go', environment=s)
    sub.wait_for("attempt 1")
    b.kill()
    (tmp_path / "go").write_text("on\n")
    sub.wait_for("trying again until it is back")
    cluster.broker("--auto-declare", "--ingress", b.ready["ingress"], listen=b.ready["broker"])
    sub.wait_for("attempt 2")
    (tmp_path / "go").write_text("on\n")
    sub.popen.send_signal(signal.SIGINT)
    assert sub.popen.wait(timeout=20) == 0
    assert describe("q", s)["backlog"] == 0
