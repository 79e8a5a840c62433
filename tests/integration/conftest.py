"""Fixtures that start real brokers, sidecars and commands on free ports. Each test has its own processes, which end
with it.

Environment: SLUICE_BIN is the directory of the binaries (build/release/bin unless set); SLUICE_LONG, if not empty, asks
for the many rounds of crashes and faults that `tests/run` without --fast makes.
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import description
import pytest

from command import Command
from rawclient import RawClient
from standin import StandIn


def option(name, default):
    """Reads an option of the tests from the environment and moves it to TESTS_<name>, where pytest's workers find it.
    Under its own name every program that a test starts would warn of an unknown SLUICE_ setting."""
    if name in os.environ:
        os.environ[f"TESTS_{name}"] = os.environ.pop(name)
    return os.environ.get(f"TESTS_{name}", default)


BIN = pathlib.Path(option("SLUICE_BIN", pathlib.Path(__file__).parents[2] / "build/release/bin"))
LONG = bool(option("SLUICE_LONG", ""))  # many rounds: tests/run without --fast
SANITIZED = re.search("asan|tsan", str(BIN)) is not None


class Process:
    """A program that prints a JSON ready line, parsed into `ready`. Its stderr goes to the file `log`."""

    def __init__(self, directory, name, arguments, environment=None, cwd=None):
        self.log = directory / f"{name}.log"
        self.popen = subprocess.Popen(
            [str(BIN / arguments[0]), *arguments[1:]], stdout=subprocess.PIPE, stderr=self.log.open("w"), text=True,
            env={**os.environ, **(environment or {})}, cwd=cwd)
        line = self.popen.stdout.readline()
        if not line:
            self.popen.wait()
            raise RuntimeError(f"{name} did not start: {self.log.read_text()}")
        self.ready = json.loads(line)
        self.end_is_known = False  # the test killed it, or has its exit status

    def stop(self):
        """Sends SIGTERM, as Kubernetes does, and returns the exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.wait(timeout=40)

    def kill(self):
        self.popen.kill()
        self.wait()

    def wait(self, timeout=None):
        """Returns the exit status, once it has ended. The caller judges it."""
        status = self.popen.wait(timeout)
        self.end_is_known = True
        return status

    def end(self):
        """Ends it with its test. If the test did not end it, it must have run until now, or have ended with status 0:
        one that crashed after the test's last look fails the test."""
        if not self.end_is_known:
            assert self.stop() == 0, self.log.read_text()

    def pause(self):
        """Sends SIGSTOP, and returns when no thread runs any more: the kernel stops them one after the other."""
        self.popen.send_signal(signal.SIGSTOP)
        until(lambda: all(state == "T" for state in self.states()))

    def states(self):
        tasks = pathlib.Path(f"/proc/{self.popen.pid}/task").iterdir()
        return [(task / "stat").read_text().rsplit(") ", 1)[1][0] for task in tasks]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


def call(address, method, path, body=None, headers=None, timeout=30):
    """Makes one request on its own connection; a dict or list is sent as JSON. The answer is checked against the API's
    description (description.py)."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = Answer(connection.getresponse())
    finally:
        connection.close()
    description.check(method, path, answer)
    return answer


class Sidecar(Process):
    def http(self, method, path, body=None, headers=None, **more):
        return call(self.ready["http"], method, path, body, headers, **more)

    def ops(self, method, path, body=None, headers=None, **more):
        return call(self.ready["ops"], method, path, body, headers, **more)

    def publish(self, queue, data="x", headers=None, query=""):
        return self.http("POST", f"/v1/queues/{queue}/events{query}", data, headers or {"Content-Type": "text/plain"})

    def take(self, queue, **parameters):
        query = "&".join(f"{k}={v}" for k, v in parameters.items())
        return self.http("POST", f"/v1/queues/{queue}/take?{query}")

    def ack(self, queue, *receipts):
        return self.http("POST", f"/v1/queues/{queue}/acks", {"ack": list(receipts)})

    def declare(self, queue, **settings):
        answer = self.http("PUT", f"/v1/queues/{queue}", settings)
        assert answer.status in (200, 201), answer.body
        return answer

    def wait_attached(self):
        """Polls /readyz until the sidecar is attached. Its next attempt may be 5 s away (back-off), more on a loaded
        machine."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.ops("GET", "/readyz").status == 200:
                return
        raise AssertionError("never attached: " + self.log.read_text())


def balanced_ledger(sidecar, queue="q"):
    """Returns the queue's ledger, after checking that it balances."""
    ledger = sidecar.http("GET", f"/v1/queues/{queue}/ledger").json
    parts = ("acked", "dead_lettered", "expired", "purged", "dropped", "remaining")
    assert ledger["accepted"] == sum(ledger[p] for p in parts), ledger
    return ledger


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """Starts brokers and sidecars, and ends them all with the test (Process.end)."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = []
        self.data = {}

    def broker(self, *flags, listen="tcp://127.0.0.1:0", data=None):
        """Starts a broker. It takes over the data directory of an earlier broker that has ended, and gets a directory
        of its own while that one lives."""
        name = f"broker{len(self.processes)}"
        while data is None or (data in self.data and self.data[data].popen.poll() is None):
            data = "data" if data is None else data + "+"
        p = Process(self.directory, name, ["sluice-broker", "--listen", listen, "--data", str(self.directory / data),
                                           *flags])
        self.processes.append(p)
        self.data[data] = p
        return p

    def sidecar(self, broker, *flags, environment=None, attached=True):
        name = f"sidecar{len(self.processes)}"
        endpoint = broker if isinstance(broker, str) else broker.ready["broker"]
        p = Sidecar(self.directory, name, ["sluice-sidecar", "--broker", endpoint, "--http", "127.0.0.1:0", "--ops",
                                           "127.0.0.1:0", "--drain-limit", "1s", *flags], environment)
        self.processes.append(p)
        if attached and not isinstance(broker, str):
            p.wait_attached()
        return p

    def dev(self):
        """Starts `sluice dev`, a broker and a sidecar in one process."""
        p = Process(self.directory, "dev", ["sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0"])
        self.processes.append(p)
        return p

    def end(self):
        for p in reversed(self.processes):
            p.end()
        for name in self.data:  # each holds at least four segments; those of a whole run would fill a disk
            shutil.rmtree(self.directory / name, ignore_errors=True)


@pytest.fixture
def cluster(tmp_path):
    c = Cluster(tmp_path)
    yield c
    RawClient.close_all()
    c.end()


@pytest.fixture
def short_directory():
    """A directory with a short path, as the paths of sockets must be short."""
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


@pytest.fixture
def broker(cluster):
    return cluster.broker()


@pytest.fixture
def sidecar(cluster, broker):
    return cluster.sidecar(broker)


@pytest.fixture
def dev(cluster):
    """Starts `sluice dev` and returns the environment in which the command line finds it."""
    p = cluster.dev()
    return {"SLUICE_URL": "http://" + p.ready["http"], "SLUICE_OPS_URL": "http://" + p.ready["ops"]}


@pytest.fixture
def start():
    """Starts long-lived `sluice` commands (command.Command); they end with the test."""
    commands = []

    def start(*arguments, environment, terminal=False):
        commands.append(Command(BIN / "sluice", *arguments, environment=environment, terminal=terminal))
        return commands[-1]
    yield start
    for command in commands:
        command.end()


@pytest.fixture
def stand_in():
    """Starts stand-ins for a sidecar (standin.StandIn); they end with the test."""
    started = []

    def start(*queues):
        started.append(StandIn(*queues))
        return started[-1]
    yield start
    for stand_in in started:
        stand_in.end()


@pytest.fixture(params=["disk", "memory"])
def durability(request):
    """Runs a test for a queue on disk and for one in memory."""
    return request.param


def until(condition, seconds=30, otherwise=None):
    """Polls condition() until it is true, and returns its value. After `seconds` the test fails with the message
    `otherwise`, or with the last value."""
    deadline = time.monotonic() + seconds
    while not (last := condition()):
        assert time.monotonic() < deadline, otherwise or last
        time.sleep(0.02)
    return last


def run(*arguments, input=None, environment=None, timeout=60):
    """Runs a program of the build to its end and returns its subprocess.CompletedProcess."""
    return subprocess.run([str(BIN / arguments[0]), *arguments[1:]], input=input, capture_output=True, text=True,
                          timeout=timeout, env={**os.environ, **(environment or {})})


def run_json(*arguments, environment=None):
    """Runs a program that must succeed, and returns the JSON that it prints."""
    done = run(*arguments, environment=environment)
    assert done.returncode == 0, f"{' '.join(arguments)} exited with {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


def describe(queue, environment):
    """Returns what `sluice queue show --json` prints."""
    return run_json("sluice", "queue", "show", queue, "--json", environment=environment)
