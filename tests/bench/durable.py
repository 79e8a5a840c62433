"""Measures queues on disk beside the same queues in memory, and beside a bare loop that appends and syncs groups of the
size that the broker wrote. The bare loop runs alone, and then while a memory queue under the same load keeps the
processors as busy as the load on the disk queue did."""
import contextlib
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

from measure import BENCH, BIN, Load, Server, check_ledger
from over_http import sidecar

SHAPES = [(size, window, producers) for size in (200, 1024) for window in (256, 1) for producers in (1, 4, 64)]
SHORT_SHAPES = [(200, 256, 4), (1024, 256, 4), (200, 256, 64), (1024, 1, 1), (1024, 1, 4)]
LOG_GROUPS = [(1080, 100), (1080, 400)] # bytes of an event, events a group
SETTLE_SECONDS = 0.5 # the load runs this long before the bare loop starts beside it


def work_name(size, window, producers):
    return f"{size} B window {window} {producers} producers"


def scrape(s):
    """Returns the log's counters: [bytes written, fdatasyncs]."""
    text = urllib.request.urlopen(f"http://{s.ready['ops']}/metrics").read().decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return [float(values[f"sluice_broker_disk_{name}_total"]) for name in ("written_bytes", "syncs")]


def options(size, window, producers):
    return ["--size", size, "--window", window, "--producers", producers]


def broker(*more):
    return Server(BIN / "sluice-broker", "--listen", "tcp://127.0.0.1:0", "--auto-declare", *more)


def note_load(figures, system, work, load, cpu):
    figures.note(system, work, "throughput", "events/s", load.result["events_per_second"])
    figures.times(system, work, "confirm", load.result["confirm_us"])
    figures.note(system, work, "broker CPU", "s/million", cpu * 1e6 / load.result["events"])


def on_disk(figures, disk, shape, count):
    """Returns the mean size of a group, in bytes."""
    work, directory = work_name(*shape), tempfile.mkdtemp(dir=disk)
    b = broker("--data", directory)
    s = sidecar(b, "--operations")
    try:
        before, cpu = scrape(s), b.cpu()
        load = Load(BIN / "sluice", "bench", "--json", "--events", count, *options(*shape), b.ready["broker"])
        cpu = b.cpu() - cpu
        written, syncs = (z - a for a, z in zip(before, scrape(s)))
    finally:
        s.stop()
        b.stop()
    check_ledger(b.ledger(), count, count)
    shutil.rmtree(directory)
    note_load(figures, "sluice on disk", work, load, cpu)
    figures.note("sluice on disk", work, "groups", "fdatasyncs/s", syncs / load.result["seconds"])
    figures.note("sluice on disk", work, "group", "B", written / syncs)
    figures.note("sluice on disk", work, "write amplification", "B/B", written / (count * shape[0]))
    return int(written / syncs)


def in_memory(figures, shape, count):
    b = broker()
    try:
        cpu = b.cpu()
        load = Load(BIN / "sluice", "bench", "--json", "--events", count, *options(*shape), b.ready["broker"])
        cpu = b.cpu() - cpu
    finally:
        b.stop()
    check_ledger(b.ledger(), count, count)
    note_load(figures, "sluice in memory", work_name(*shape), load, cpu)


@contextlib.contextmanager
def busy(shape):
    """Keeps a memory queue under load while the `with` block runs."""
    b = broker()
    load = subprocess.Popen([str(word) for word in (BIN / "sluice", "bench", "--events", 10**10 // shape[0],
                                                    *options(*shape), b.ready["broker"])],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(SETTLE_SECONDS)
        yield
        if load.poll() is not None:
            raise RuntimeError("the load beside the bare loop ended before it")
    finally:
        load.kill()
        load.wait()
        b.stop()


def bare(figures, disk, work, group, seconds, beside=""):
    result = Load(BENCH / "bench_bare_log", disk, group, seconds).result
    figures.note(f"bare log{beside}", work, "groups", "fdatasyncs/s", result["groups"] / result["seconds"])


def durable(figures, disk, shape, count, seconds):
    work = work_name(*shape)
    group = on_disk(figures, disk, shape, count)
    bare(figures, disk, work, group, seconds)
    in_memory(figures, shape, count)
    with busy(shape):
        bare(figures, disk, work, group, seconds, ", busy")


def log_alone(figures, disk, size, events, seconds):
    """Measures the log alone, without sockets and sessions, kept saturated."""
    work, directory = f"groups of {events} times {size} B", tempfile.mkdtemp(dir=disk)
    result = Load(BENCH / "bench_log_alone", pathlib.Path(directory) / "data", size, events, seconds).result
    shutil.rmtree(directory)
    figures.note("sluice's log alone", work, "groups", "fdatasyncs/s", result["groups"] / result["seconds"])
    bare(figures, disk, work, result["group_bytes"], seconds)


def one_round(figures, disk, scale, seconds):
    for shape in SHAPES if scale == 1 else SHORT_SHAPES:
        _, window, producers = shape
        durable(figures, disk, shape, (500000 if window > 1 else 3000 + 400 * producers) // scale, seconds)
    for size, events in LOG_GROUPS:
        log_alone(figures, disk, size, events, seconds)
