"""Many sessions lose their broker at once; all of them attach to the restarted broker and publish again."""
import os
import subprocess
import threading
import time

import pytest

from conftest import BIN, SANITIZED
from load import LONG, ledger, restart

pytestmark = pytest.mark.skipif(SANITIZED, reason="the load is sized for a build without sanitizers")

SESSIONS, PROCESSES = (1000, 4) if LONG else (100, 2)
EACH = SESSIONS // PROCESSES
AT_MOST = 600  # seconds until the processes are killed, which ends every wait for them


def cpu_seconds(process):
    with open(f"/proc/{process.popen.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def crowd():
    started = []

    def give_up():
        for process in started:
            process.kill()

    limit = threading.Timer(AT_MOST, give_up)
    limit.start()

    def start(broker, queue):
        for _ in range(PROCESSES):
            started.append(subprocess.Popen([str(BIN.parent / "bench/bench_sessions"), broker.ready["broker"],
                                             str(EACH), queue],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started

    yield start
    limit.cancel()
    for process in started:
        process.stdin.close()
        process.wait()


def expect_line(crowd, said):
    """Checks that the next line of every process is `said`. A process that was killed prints nothing."""
    assert [process.stdout.readline() for process in crowd] == [said] * len(crowd)


def test_all_sessions_attach_to_a_restarted_broker_again(cluster, crowd):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.declare("back", capacity=10000)
    processes = crowd(broker, "back")
    expect_line(processes, f"attached {EACH}\n")
    expect_line(processes, f"confirmed {EACH}\n")
    broker.kill()
    start = time.monotonic()
    broker = restart(cluster, broker)
    expect_line(processes, f"attached {EACH}\n")
    seconds, cpu = time.monotonic() - start, cpu_seconds(broker)
    expect_line(processes, f"confirmed {EACH}\n")
    print(f"{SESSIONS} sessions back after {seconds:.1f} s; the broker used {cpu:.2f} s of CPU")
    sidecar.wait_attached()
    assert ledger(sidecar, "back")["accepted"] == 2 * SESSIONS
