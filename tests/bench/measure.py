"""Common parts of the bench: processes with a ready line, their CPU and memory, load programs, and the table of
figures."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"
BENCH = ROOT / "build/release/bench"
TICK = os.sysconf("SC_CLK_TCK")


class Figures:
    """Values by (part of the bench, system, work, metric, unit), one per round."""

    def __init__(self):
        self.part, self.values = "", {}

    def note(self, system, work, metric, unit, value):
        self.values.setdefault((self.part, system, work, metric, unit), []).append(value)

    def times(self, system, work, name, percentiles):
        for key in ("p50", "p99", "p99.9"):
            self.note(system, work, f"{name} {key}", "us", percentiles[key])

    def rows(self):
        return [{"system": s, "work": w, "metric": m, "unit": u, "median": statistics.median(v), "min": min(v),
                 "max": max(v), "part": p} for (p, s, w, m, u), v in self.values.items()]


class Server:
    """A process with a ready line, stopped by its own process id. ledger() reads the totals that a broker logs when it
    ends."""

    def __init__(self, *command):
        start = time.monotonic()
        self.log = tempfile.TemporaryFile("w+")
        self.popen = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{command[0]} did not start: {self.logged()}")
        self.ready = json.loads(line)
        self.ready_ms = (time.monotonic() - start) * 1000

    def cpu(self):
        fields = open(f"/proc/{self.popen.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def ran(self):
        """Returns the CPU seconds of the current threads, to the nanosecond."""
        return sum(int((task / "schedstat").read_text().split()[0])
                   for task in pathlib.Path(f"/proc/{self.popen.pid}/task").iterdir()) / 1e9

    def memory(self, key):
        """In MiB: VmRSS, VmHWM, RssAnon."""
        for line in open(f"/proc/{self.popen.pid}/status"):
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        return 0.0

    def logged(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.popen.terminate()
        self.popen.wait()
        self.popen.stdout.close()

    def kill(self):
        """Sends SIGKILL. May be called after stop."""
        self.popen.kill()
        self.popen.wait()
        self.popen.stdout.close()

    def ledger(self):
        """For a broker, after stop: its events by outcome."""
        # The last one: a start with existing events logs one, too.
        line = [l for l in self.logged().splitlines() if "ledger: " in l][-1]
        words = re.sub('[=+"}]', " ", line.split("ledger: ")[1]).split()
        return {words[i]: int(words[i + 1]) for i in range(0, 14, 2)}


class Load:
    """Runs a load program to its end. `result` is the JSON it printed; `cpu` is in seconds and
    includes its children; `peak` is its largest resident size in MiB."""

    def __init__(self, *command):
        with tempfile.TemporaryFile("w+") as errors:
            popen = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=errors, text=True)
            text = popen.stdout.read()
            popen.stdout.close()
            _, status, used = os.wait4(popen.pid, 0)
            popen.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            if popen.returncode != 0:
                raise RuntimeError(f"{' '.join(popen.args)} failed: {errors.read()}{text}")
        self.result = json.loads(text)
        self.cpu = used.ru_utime + used.ru_stime
        self.peak = used.ru_maxrss / 1024


def broker(transport, directory):
    listen = "tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{directory}/bench-{time.monotonic_ns()}"
    return Server(BIN / "sluice-broker", "--listen", listen, "--auto-declare")


def check_ledger(ledger, accepted, acked):
    left = sum(ledger[k] for k in ("acked", "dead_lettered", "expired", "purged", "dropped", "remaining"))
    if ledger["accepted"] != left or ledger["accepted"] != accepted or ledger["acked"] != acked:
        raise RuntimeError(f"expected {accepted} accepted and {acked} acked; the ledger says {ledger}")
