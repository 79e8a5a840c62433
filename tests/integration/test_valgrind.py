"""Valgrind's memcheck over a short run of broker and sidecar: no invalid access, no leak."""
import re
import shutil

import pytest

from conftest import BIN, Process, Sidecar
from load import LONG

pytestmark = [
    pytest.mark.skipif(not LONG, reason="a long test: SLUICE_LONG=1"),
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed"),
    pytest.mark.skipif(re.search("asan|tsan", str(BIN)) is not None, reason="sanitizers do their own checks"),
]


def valgrind(program):
    return ["/usr/bin/valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full",
            "--errors-for-leak-kinds=definite", str(BIN / program)]


def test_a_short_run_has_no_memory_errors_or_leaks(cluster, tmp_path):
    broker = Process(tmp_path, "broker", [*valgrind("sluice-broker"), "--listen", "tcp://127.0.0.1:0", "--data",
                                          str(tmp_path / "data"), "--session-timeout", "60s"])
    cluster.processes.append(broker)
    sidecar = Sidecar(tmp_path, "sidecar", [*valgrind("sluice-sidecar"), "--broker", broker.ready["broker"],
                                            "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--drain-limit", "1s"])
    cluster.processes.append(sidecar)
    sidecar.wait_attached()
    for queue, settings in (("disk", {}), ("memory", {"durability": "memory"})):
        sidecar.declare(queue, capacity=30, **settings)
        assert all(sidecar.publish(queue, str(i), query="?wait=30s").status == 202 for i in range(30))
        assert sidecar.publish(queue, query="?wait=10ms").status == 429
        events = sidecar.take(queue, max=20, wait="30s").json["events"]
        assert events and sidecar.ack(queue, *[e["receipt"] for e in events]).status == 200
        sidecar.take(queue, max=5, wait="30s")
        assert sidecar.ops("POST", f"/v1/queues/{queue}/purge").status == 200
        assert sidecar.ops("DELETE", f"/v1/queues/{queue}?force=true").status == 204
    assert sidecar.ops("GET", "/metrics").status == 200
    for process in (sidecar, broker):
        assert process.stop() == 0, process.log.read_text()
