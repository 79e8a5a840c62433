"""Measures Sluice beside other brokers, and the floors under all of them: 4 producers, 1 queue, 1 consumer, the same
load from the same program. Each system is started once per round and does all works in turn, each on a queue of its
own."""
import os
import pathlib
import shutil
import tempfile
import time

import systems
import usage
from measure import BENCH, Load

SHAPES = [(200, 256), (1024, 256), (200, 1), (1024, 1)] # bytes, window
RATES = [2000, 20000]                                   # events/s of 200 B
BACKLOG_SIZE = 1024
PATIENCE = 30 # seconds: the backlog is left out where, at the best throughput so far, it would take longer
IDLE_SECONDS = 1


class Scale:
    """How long a round is."""

    def __init__(self, seconds, rated_seconds, backlog):
        self.seconds, self.rated_seconds, self.backlog = seconds, rated_seconds, backlog


FULL, SHORT, QUICK = Scale(2, 3, 200000), Scale(1, 2, 200000), Scale(0.3, 0.5, 20000)


class Run:
    """One system, started, in one round."""

    def __init__(self, figures, system, directory):
        self.figures, self.system, self.events = figures, system, 0
        self.most = 0 # best throughput so far, in events/s
        began = time.monotonic()
        system.start(pathlib.Path(directory))
        self.note("start", "ready after exec", "ms", (time.monotonic() - began) * 1000)

    def note(self, work, metric, unit, value):
        self.figures.note(self.system.name, work, metric, unit, value)

    def load(self, queue, *options):
        """Runs the load. Returns it with the system's CPU seconds and bytes written meanwhile."""
        s, before = self.system, (usage.cpu(self.system.pids()), usage.written(self.system.pids()))
        load = Load(BENCH / f"bench_load_{s.program}", "--address", s.address, "--mode", s.mode,
                    "--queue", queue, *options)
        return load, usage.cpu(s.pids()) - before[0], usage.written(s.pids()) - before[1]

    def work(self, name, size, *options, rated=False):
        only = [] if self.system.consumed else ["--only", "publish"]
        load, cpu, written = self.load("-".join(name.replace("/", "-").split()), "--size", size, *options, *only)
        count = load.result["events"]
        self.events += count
        if not rated:
            self.note(name, "throughput", "events/s", load.result["events_per_second"])
            self.most = max(self.most, load.result["events_per_second"])
        if self.system.confirms:
            self.figures.times(self.system.name, name, "confirm", load.result["confirm_us"])
        if self.system.consumed:
            self.figures.times(self.system.name, name, "end to end", load.result["end_to_end_us"])
        self.note(name, "CPU", "s/million", cpu * 1e6 / count)
        self.note(name, "load CPU", "s/million", load.cpu * 1e6 / count)
        self.note(name, "written", "B/B", round(written / (count * size), 2))

    def idle(self):
        before = usage.cpu(self.system.pids())
        time.sleep(IDLE_SECONDS)
        self.note("idle", "CPU share", "% of a core", 100 * (usage.cpu(self.system.pids()) - before) / IDLE_SECONDS)
        self.note("idle", "resident", "MiB", usage.memory(self.system.pids(), "VmRSS"))

    def backlog(self, count):
        work, options = f"backlog of {count} times {BACKLOG_SIZE} B", ("--size", BACKLOG_SIZE, "--events", count)
        fill, cpu, written = self.load("backlog", *options, "--only", "publish")
        self.note(work, "filled", "events/s", fill.result["events_per_second"])
        self.note(work, "resident", "MiB", usage.memory(self.system.pids(), "VmRSS"))
        self.note(work, "CPU", "s/million", cpu * 1e6 / count)
        self.note(work, "written", "B/B", round(written / (count * BACKLOG_SIZE), 2))
        drain, _, _ = self.load("backlog", *options, "--only", "consume")
        self.note(work, "drained", "events/s", drain.result["events_per_second"])
        self.events += count


def one_system(figures, system, scale, data):
    directory = tempfile.mkdtemp(dir=data)
    try:
        run = Run(figures, system, directory)
        try:
            run.idle()
            for size, window in [s for s in SHAPES if s[1] == 1 or system.batches]:
                run.work(f"{size} B window {window}", size, "--window", window, "--seconds", scale.seconds)
            # Above its throughput a system's queue would grow, and its latency would depend on the length of the run.
            for rate in [r for r in RATES if r <= run.most or not system.batches]:
                run.work(f"200 B {rate}/s", 200, "--rate", rate,
                         "--events", int(rate * scale.rated_seconds), rated=True)
            run.note("loaded", "peak resident", "MiB", usage.memory(system.pids(), "VmHWM"))
            if system.keeps and scale.backlog < run.most * PATIENCE:
                run.backlog(scale.backlog)
        finally:
            system.stop(run.events)
    finally:
        shutil.rmtree(directory)


PRODUCERS = 4


def zmq_relay(figures, transport, scale):
    """The floor of libzmq: a process that passes each message on and answers it. It has a load program of its own."""
    def note(work, size, count, window, rate):
        system, load = f"zmq relay {transport}", Load(BENCH / "bench_raw_relay", transport, size, count, window, rate)
        relay = load.result["relay_cpu_seconds"]
        if not rate:
            figures.note(system, work, "throughput", "events/s", count / load.result["seconds"])
        figures.times(system, work, "end to end", load.result["end_to_end_us"])
        figures.note(system, work, "CPU", "s/million", relay * 1e6 / count)
        figures.note(system, work, "load CPU", "s/million", (load.cpu - relay) * 1e6 / count)

    for size, window in SHAPES:
        note(f"{size} B window {window}", size, int((400000 if window > 1 else 16000) * scale.seconds), window, 0)
    for rate in RATES:
        note(f"200 B {rate}/s", 200, int(rate * scale.rated_seconds), 256, rate)


def bare_log(figures, scale, data):
    """The floor of a disk: appends everything that can be unconfirmed at a time as one group, and syncs it."""
    for size, window in SHAPES:
        result = Load(BENCH / "bench_bare_log", data, size * window * PRODUCERS, scale.seconds).result
        figures.note("append and fdatasync", f"{size} B window {window}", "throughput", "events/s",
                     result["groups"] * window * PRODUCERS / result["seconds"])


def rounds(figures, count, scale, data, names):
    """names: the systems to measure, by name or prefix; all if empty."""
    def wanted(name):
        return not names or any(name.startswith(n) for n in names)

    found = [s for s in systems.ALL if wanted(s.name)]
    for system in [s for s in found if s.missing()]:
        print(f"{system.name}: left out, for {system.missing()} is missing (tests/bench/run --install)")
    figures.note("machine", "the run", "load average before", "processes", os.getloadavg()[0])
    figures.note("machine", "the run", "cores", "", os.cpu_count())
    figures.note("machine", "the run", "rounds", "", count)
    for _ in range(count):
        for system in found:
            if not system.missing():
                one_system(figures, system, scale, data)
        for transport in ("tcp", "ipc"):
            if wanted(f"zmq relay {transport}"):
                zmq_relay(figures, transport, scale)
        if wanted("append and fdatasync"):
            bare_log(figures, scale, data)
