"""Measures delayed events: how fast they are accepted, how much memory of the broker each takes while it waits, and how
fast they are delivered when all are due at once."""
import pathlib
import shutil
import signal
import tempfile
import time

from backlog import SIZE, move
from measure import BIN, Server, check_ledger

CONFIG = """listen: tcp://127.0.0.1:0
data: {directory}/data
memory_budget: {budget}
queues: {{backlog: {{capacity: {count}, capacity_bytes: 64GiB, durability: {durability}, delay: {delay}s}}}}
"""
BUDGETS = {"memory": "4GiB", "disk": "64MiB"} # events that wait on disk need no memory for their bytes


def take_in(figures, name, work, b, count, delay):
    before, start = b.memory("VmRSS"), time.monotonic()
    figures.note(name, work, "taken in", "events/s", move(b, "fill", count))
    if time.monotonic() - start >= delay:
        raise RuntimeError(f"after {delay} s, when the first of {count} were due, they were not taken in yet")
    figures.note(name, work, "memory while they wait", "B/event", (b.memory("VmRSS") - before) * (1 << 20) / count)


def come_due(b, delay):
    """Stops the broker until the last event is due, so that it finds all of them due at once."""
    b.popen.send_signal(signal.SIGSTOP)
    time.sleep(delay)
    b.popen.send_signal(signal.SIGCONT)


def delayed(figures, disk, durability, count):
    name = "sluice in memory" if durability == "memory" else "sluice on disk"
    work = f"delayed, {count} times {SIZE} B"
    delay, directory = 2 + count // 50000, pathlib.Path(tempfile.mkdtemp(dir=disk))
    (directory / "broker.yaml").write_text(CONFIG.format(directory=directory, budget=BUDGETS[durability], count=count,
                                                         durability=durability, delay=delay))
    b = Server(BIN / "sluice-broker", "--config", directory / "broker.yaml")
    try:
        take_in(figures, name, work, b, count, delay)
        come_due(b, delay)
        used = b.cpu()
        figures.note(name, work, "handed out once due", "events/s", move(b, "drain", count))
        figures.note(name, work, "broker CPU once due", "s/million", (b.cpu() - used) * 1e6 / count)
        figures.note(name, work, "peak", "MiB", b.memory("VmHWM"))
        b.stop()
        check_ledger(b.ledger(), count, count)
    finally:
        b.kill()
        shutil.rmtree(directory)
