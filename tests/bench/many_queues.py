"""10,000 queues of which 1,000 are busy, beside 10 busy ones, at the same total rate: the broker's CPU and memory."""
import subprocess

from measure import BENCH, broker, check_ledger

RATE = 20000
SHAPES = ((10, 10), (10000, 1000))


def work_name(queues, active):
    return f"{queues} queues, {active} active, {RATE}/s"


def many_queues(figures, directory, queues, active, seconds):
    b = broker("tcp", directory)
    load = subprocess.Popen([BENCH / "bench_queues", b.ready["broker"], str(queues), str(active), str(RATE),
                             str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if load.stdout.readline() != "ready\n":
            raise RuntimeError("the queues could not be made ready")
        before = b.cpu()
        load.stdin.write("\n")
        load.stdin.flush()
        done = load.stdout.readline()
        used, resident = b.cpu() - before, b.memory("VmRSS")
        if done != f"confirmed {RATE * seconds} consumed {RATE * seconds}\n" or load.wait() != 0:
            raise RuntimeError(f"of {RATE * seconds} events: {done}")
    finally:
        load.kill()
        load.communicate()
        b.stop()
    check_ledger(b.ledger(), RATE * seconds + queues, RATE * seconds + active)
    work = work_name(queues, active)
    figures.note("sluice", work, "broker CPU", "s/million", used * 1e6 / (RATE * seconds))
    figures.note("sluice", work, "broker resident", "MiB", resident)
