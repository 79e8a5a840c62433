"""Measures how cost grows at the same rate of work: 10,000 queues of which 1,000 are busy, beside 10 busy queues; 1,000
publishing sessions, beside one; and 64 producers, beside 4 with the same window each."""
import subprocess

from measure import BENCH, BIN, Load, broker, check_ledger

# Queues, busy queues, publishing sessions, events per second in total.
QUEUES = ((10, 10, 1, 20000), (10000, 1000, 1, 20000))
SESSIONS = ((10, 10, 1, 2000), (10, 10, 1000, 2000)) # not 20,000/s: the load wakes a session's thread for each event
PRODUCERS = (4, 64)


def work_name(queues, active, sessions, rate):
    return f"{queues} queues, {active} active, {sessions} sessions, {rate}/s"


def producers_work_name(count):
    return f"200 B window 256, {count} producers"


def many_queues(figures, directory, shape, seconds):
    """Measures the broker's CPU and memory. shape: one of QUEUES or SESSIONS."""
    queues, active, sessions, rate = shape
    b = broker("tcp", directory)
    load = subprocess.Popen([BENCH / "bench_queues", b.ready["broker"],
                             *map(str, (queues, active, rate, seconds, sessions))],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if load.stdout.readline() != "ready\n":
            raise RuntimeError("the queues could not be made ready")
        before = b.cpu()
        load.stdin.write("\n")
        load.stdin.flush()
        done = load.stdout.readline()
        used, resident = b.cpu() - before, b.memory("VmRSS")
        if done != f"confirmed {rate * seconds} consumed {rate * seconds}\n" or load.wait() != 0:
            raise RuntimeError(f"of {rate * seconds} events: {done}")
    finally:
        load.kill()
        load.communicate()
        b.stop()
    check_ledger(b.ledger(), rate * seconds + queues, rate * seconds + active)
    figures.note("sluice", work_name(*shape), "broker CPU", "s/million", used * 1e6 / (rate * seconds))
    figures.note("sluice", work_name(*shape), "broker resident", "MiB", resident)


def many_producers(figures, directory, count, events):
    """Measures throughput at full speed, and the CPU of broker and load. With few events it would measure how producers
    start."""
    work = producers_work_name(count)
    b = broker("tcp", directory)
    try:
        before = b.cpu()
        load = Load(BIN / "sluice", "bench", "--json", "--events", events, "--producers", count, b.ready["broker"])
        used = b.cpu() - before
    finally:
        b.stop()
    check_ledger(b.ledger(), events, events)
    figures.note("sluice", work, "throughput", "events/s", load.result["events_per_second"])
    figures.note("sluice", work, "broker CPU", "s/million", used * 1e6 / events)
    figures.note("sluice", work, "load CPU", "s/million", load.cpu * 1e6 / events)
