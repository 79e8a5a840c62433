"""Measures a backlog on disk: how soon a broker that has one is ready, how much memory it takes, and how fast it is
read back."""
import os
import pathlib
import shutil
import tempfile

from measure import BENCH, BIN, Load, Server, check_ledger

SIZE = 200
BUDGET_MIB = 64 # memory budget of the broker: a backlog of a million events does not fit
CONFIG = """listen: tcp://127.0.0.1:0
data: {directory}/data
memory_budget: {budget}MiB
queues: {{backlog: {{capacity: {count}, capacity_bytes: 64GiB}}}}
"""


def forget_cached(directory):
    """Drops the directory's files from the page cache, so that reads come from the disk."""
    for path in directory.iterdir():
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def move(b, what, count):
    result = Load(BENCH / "bench_backlog", what, b.ready["broker"], "backlog", count, SIZE).result
    return result["events"] / result["seconds"]


def start(figures, work, directory, after):
    forget_cached(directory / "data")
    b = Server(BIN / "sluice-broker", "--config", directory / "broker.yaml")
    figures.note("sluice broker", work, f"ready after {after}", "ms", b.ready_ms)
    figures.note("sluice broker", work, f"resident when ready after {after}", "MiB", b.memory("VmRSS"))
    figures.note("sluice broker", work, f"peak until ready after {after}", "MiB", b.memory("VmHWM"))
    return b


def backlog(figures, disk, count):
    work, directory = f"backlog of {count} times {SIZE} B", pathlib.Path(tempfile.mkdtemp(dir=disk))
    (directory / "broker.yaml").write_text(CONFIG.format(directory=directory, budget=BUDGET_MIB, count=count))
    b = Server(BIN / "sluice-broker", "--config", directory / "broker.yaml")
    try:
        figures.note("sluice broker", work, "filled", "events/s", move(b, "fill", count))
        figures.note("sluice broker", work, "resident when filled", "MiB", b.memory("VmRSS"))
        b.kill()
        b = start(figures, work, directory, "kill -9")
        b.stop()
        check_ledger(b.ledger(), count, 0)
        b = start(figures, work, directory, "orderly stop")
        figures.note("sluice broker", work, "read back", "events/s", move(b, "drain", count))
        figures.note("sluice broker", work, "peak while read back", "MiB", b.memory("VmHWM"))
        b.stop()
        check_ledger(b.ledger(), count, count)
    finally:
        b.kill()
        shutil.rmtree(directory)
