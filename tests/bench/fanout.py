"""Measures what each further queue of a topic costs, with 1, 10 and 100 queues in memory. Nobody consumes; the queues
are full and drop their oldest event, so each event enters and leaves every queue. Then the same with queues on disk,
which keep everything, and the bytes written there."""
import pathlib
import shutil
import tempfile

from durable import scrape, sidecar
from measure import BENCH, BIN, Load, Server, check_ledger

QUEUES = (1, 10, 100)
CAPACITY = 1000
SIZE = 200 # bytes of an event's data, as in fanout.c


def work_name(queues):
    return f"a topic over {queues} queue{'s' if queues > 1 else ''}"


def fanout(figures, directory, queues, count):
    names = [f"q{i:03}" for i in range(queues)]
    config = pathlib.Path(directory) / "fanout.yaml"
    config.write_text("listen: tcp://127.0.0.1:0\nqueues:\n" +
                      "".join(f"  {n}: {{capacity: {CAPACITY}, overflow: drop_oldest}}\n" for n in names) +
                      "topics: {all: {bindings: {" + ", ".join(f"{n}: {{}}" for n in names) + "}}}\n")
    b = Server(BIN / "sluice-broker", "--config", config)
    try:
        before = b.cpu()
        load = Load(BENCH / "bench_fanout", b.ready["broker"], "all", count)
        used, resident = b.cpu() - before, b.memory("VmRSS")
    finally:
        b.stop()
    check_ledger(b.ledger(), queues * count, 0)
    work = work_name(queues)
    figures.note("sluice", work, "throughput", "events/s", count / load.result["seconds"])
    figures.note("sluice", work, "broker CPU", "s/million", used * 1e6 / count)
    figures.note("sluice", work, "broker resident", "MiB", resident)


def on_disk(figures, directory, disk, queues, count):
    names = [f"q{i:03}" for i in range(queues)]
    config, data = pathlib.Path(directory) / "fanout.yaml", tempfile.mkdtemp(dir=disk)
    config.write_text(f"listen: tcp://127.0.0.1:0\ndata: {data}\nqueues:\n" +
                      "".join(f"  {n}: {{capacity: {count}, capacity_bytes: 1GiB, durability: disk}}\n"
                              for n in names) +
                      "topics: {all: {bindings: {" + ", ".join(f"{n}: {{}}" for n in names) + "}}}\n")
    b = Server(BIN / "sluice-broker", "--config", config)
    s = sidecar(b, "--operations")
    try:
        before, cpu = scrape(s), b.cpu()
        load = Load(BENCH / "bench_fanout", b.ready["broker"], "all", count)
        cpu, written = b.cpu() - cpu, scrape(s)[0] - before[0]
    finally:
        s.stop()
        b.stop()
    check_ledger(b.ledger(), queues * count, 0)
    shutil.rmtree(data)
    work = work_name(queues)
    figures.note("sluice on disk", work, "throughput", "events/s", count / load.result["seconds"])
    figures.note("sluice on disk", work, "broker CPU", "s/million", cpu * 1e6 / count)
    figures.note("sluice on disk", work, "written", "bytes/byte", written / (count * SIZE))


def per_queue(value):
    """Returns the broker's CPU for each further queue in seconds per million events, or None. value: medians by key."""
    few, many = (value.get(("sluice", work_name(n), "broker CPU")) for n in (QUEUES[0], QUEUES[-1]))
    return None if few is None or many is None else (many - few) / (QUEUES[-1] - QUEUES[0])
