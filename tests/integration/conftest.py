"""Real processes on free ports; each test has its own and leaves none. SLUICE_BIN says which build."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import description
import pytest

from command import Command
from rawclient import RawClient
from standin import StandIn



def option(name, default):
    """From the environment, in which it is kept under another name, for pytest's workers: to the programs it would be a setting
    that nobody knows, which they say in their logs."""
    if name in os.environ:
        os.environ[f"TESTS_{name}"] = os.environ.pop(name)
    return os.environ.get(f"TESTS_{name}", default)


BIN = pathlib.Path(option("SLUICE_BIN", pathlib.Path(__file__).parents[2] / "build/release/bin"))
LONG = bool(option("SLUICE_LONG", ""))  # many rounds: tests/run without --fast
SANITIZED = re.search("asan|tsan", str(BIN)) is not None


class Process:
    """A program that prints a ready line."""

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

    def stop(self):
        """Ends it as Kubernetes would; its exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(timeout=40)

    def kill(self):
        self.popen.kill()
        self.popen.wait()


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


def call(address, method, path, body=None, headers=None, timeout=30):
    """One request on its own connection. dicts and lists go as JSON."""
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
        """Asks until it is. An attempt may be up to 5 s away (back-off), on a loaded machine more."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.ops("GET", "/readyz").status == 200:
                return
        raise AssertionError("never attached: " + self.log.read_text())


def balanced_ledger(sidecar, queue="q"):
    """A queue's ledger, which balances."""
    ledger = sidecar.http("GET", f"/v1/queues/{queue}/ledger").json
    parts = ("acked", "dead_lettered", "expired", "purged", "dropped", "remaining")
    assert ledger["accepted"] == sum(ledger[p] for p in parts), ledger
    return ledger


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """Starts processes and ends them all."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = []
        self.data = {}

    def broker(self, *flags, listen="tcp://127.0.0.1:0", data=None):
        """The next broker on the directory that the one before has left, or on one of its own beside a living one."""
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
        """`sluice dev`: a broker and a sidecar in one process."""
        p = Process(self.directory, "dev", ["sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0"])
        self.processes.append(p)
        return p

    def end(self):
        for p in reversed(self.processes):
            if p.popen.poll() is None:
                assert p.stop() == 0, p.log.read_text()
        for name in self.data:  # each holds four segments at least: all of a run's together would fill a disk
            shutil.rmtree(self.directory / name, ignore_errors=True)


@pytest.fixture
def cluster(tmp_path):
    c = Cluster(tmp_path)
    yield c
    RawClient.close_all()
    c.end()


@pytest.fixture
def broker(cluster):
    return cluster.broker()


@pytest.fixture
def sidecar(cluster, broker):
    return cluster.sidecar(broker)


@pytest.fixture
def dev(cluster):
    """What the command line needs to find `sluice dev`."""
    p = cluster.dev()
    return {"SLUICE_URL": "http://" + p.ready["http"], "SLUICE_OPS_URL": "http://" + p.ready["ops"]}


@pytest.fixture
def start():
    """Starts a command that goes on; it ends with the test."""
    commands = []

    def start(*arguments, environment, terminal=False):
        commands.append(Command(BIN / "sluice", *arguments, environment=environment, terminal=terminal))
        return commands[-1]
    yield start
    for command in commands:
        command.end()


@pytest.fixture
def stand_in():
    """Starts a stand-in for a sidecar; it ends with the test."""
    started = []

    def start(*queues):
        started.append(StandIn(*queues))
        return started[-1]
    yield start
    for stand_in in started:
        stand_in.end()


@pytest.fixture(params=["disk", "memory"])
def durability(request):
    """For a test that holds for queues of both kinds."""
    return request.param


def run(*arguments, input=None, environment=None, timeout=60):
    """A command of the build; what subprocess.run gives."""
    return subprocess.run([str(BIN / arguments[0]), *arguments[1:]], input=input, capture_output=True, text=True,
                          timeout=timeout, env={**os.environ, **(environment or {})})


def describe(queue, environment):
    """What the command line shows of a queue."""
    return json.loads(run("sluice", "queue", "show", queue, "--json", environment=environment).stdout)
