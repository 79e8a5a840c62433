"""The systems that the bench compares. Each is started on a free loopback port with its own data directory and the
settings that its documentation gives for at-least-once delivery, and is stopped by its own process id."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import usage
from measure import BENCH, BIN, Server, check_ledger
from over_http import sidecar

START_SECONDS = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    """Whether somebody listens. port: a TCP port, or the path of a Unix socket."""
    with socket.socket(socket.AF_UNIX if isinstance(port, str) else socket.AF_INET) as s:
        return s.connect_ex(port if isinstance(port, str) else ("127.0.0.1", port)) == 0


class Daemon:
    """A third-party server. Its output goes to a file beside its data. It is ready when its port or socket path
    answers."""

    def __init__(self, directory, port, *command, env=None):
        self.log = directory / f"{pathlib.Path(command[0]).name}.log"
        with open(self.log, "w") as out:
            self.popen = subprocess.Popen([str(c) for c in command], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                          cwd=directory, env={**os.environ, **(env or {})})
        until = time.monotonic() + START_SECONDS
        while not answers(port):
            if self.popen.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{command[0]} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.002)

    def stop(self):
        for pid in reversed(usage.tree([self.popen.pid])):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue # it ended with its parent
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


class System:
    """One system in one mode. Its load is made by bench_load_<program>; the executable `server` must be installed."""

    program = server = ""
    confirms = True # False: publishers get no confirms
    keeps = True    # False: it keeps no backlog without a consumer
    consumed = True # False: nothing can be consumed from it
    batches = True  # False: windows of more than one event are not measured

    def __init__(self, name, mode=""):
        self.name, self.mode, self.processes = name, mode, []

    def missing(self):
        """Returns what is not installed, or None."""
        if not shutil.which(self.server, path=f"{os.environ['PATH']}:/usr/sbin:{BIN}"):
            return self.server
        load = BENCH / f"bench_load_{self.program}"
        return None if load.exists() else f"its client library, or {load.name}"

    def start(self, directory):
        """Sets self.address, self.processes."""
        raise NotImplementedError

    def pids(self):
        return [p.popen.pid for p in self.processes]

    def stop(self, events):
        """events: the number published and acked since the start, in all works."""
        del events
        for p in reversed(self.processes):
            p.stop()
        self.processes = []


class Redis(System):
    program, server = "redis", "redis-server"

    def start(self, directory):
        port = free_port()
        sync = ["--appendonly", "no"] if self.mode == "no" else ["--appendonly", "yes", "--appendfsync", self.mode]
        self.processes = [Daemon(directory, port, self.server, "--bind", "127.0.0.1", "--port", port,
                                 "--save", "", *sync)]
        self.address = f"127.0.0.1:{port}"


class Sluice(System):
    """mode: the transport and `disk` or `memory`, as in "tcp disk". The broker's ledger is checked when it ends."""

    program, server = "sluice", "sluice-broker"

    def start(self, directory):
        transport, durability = self.mode.split()
        listen = "tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{directory}/broker"
        data = f"data: {directory}/data\n" if durability == "disk" else "" # with it, queues are on disk by default
        config = directory / "broker.yaml"
        config.write_text(f"listen: {listen}\nauto_declare: true\n{data}"
                          "queues: {backlog: {capacity: 1000000, capacity_bytes: 4GiB}}\n")
        self.broker = Server(BIN / self.server, "--config", config)
        self.processes = [self.broker]
        self.address = self.broker.ready["broker"]

    def stop(self, events):
        super().stop(events)
        check_ledger(self.broker.ledger(), events, events)


class Nats(System):
    """mode: core, memory or file."""

    program, server = "nats", "nats-server"

    def __init__(self, name, mode):
        super().__init__(name, mode)
        self.confirms = self.keeps = mode != "core"

    def start(self, directory):
        port, config = free_port(), directory / "nats.conf"
        # Without these limits core disconnects slow clients.
        config.write_text(f'listen: "127.0.0.1:{port}"\nmax_pending: 4GB\nwrite_deadline: "60s"\n'
                          f'jetstream {{store_dir: "{directory}", max_memory_store: 4GB, max_file_store: 16GB}}\n')
        self.processes = [Daemon(directory, port, self.server, "-c", config)]
        self.address = f"127.0.0.1:{port}"


class RabbitMq(System):
    """mode: transient, durable or quorum. Its processes include Erlang's port mapper, on a port of its own."""

    program, server = "rabbitmq", "rabbitmq-server"
    SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server" # the one in PATH runs only as RabbitMQ's own user

    def start(self, directory):
        port, mapper, config = free_port(), free_port(), directory / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
        (directory / "plugins").write_text("[].\n")
        env = {"RABBITMQ_NODENAME": "bench@localhost", "RABBITMQ_CONFIG_FILE": str(config), "HOME": str(directory),
               "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"), "RABBITMQ_LOG_BASE": str(directory / "log"),
               "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"), "RABBITMQ_DIST_PORT": str(free_port()),
               "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
               "RABBITMQ_CONF_ENV_FILE": "/dev/null", "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        self.processes = [Daemon(directory, mapper, "epmd", env=env)]
        self.processes.append(Daemon(directory, port, self.SCRIPT, env=env))
        self.address = f"127.0.0.1:{port}"


class Mosquitto(System):
    program, server = "mosquitto", "mosquitto"

    def start(self, directory):
        port, config = free_port(), directory / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nuser root\n"
                          f"persistence true\npersistence_location {directory}/\n"
                          # With the default, the 1,001st queued message is dropped.
                          "max_inflight_messages 0\nmax_queued_messages 0\n")
        self.processes = [Daemon(directory, port, self.server, "-c", config)]
        self.address = f"127.0.0.1:{port}"


class Beanstalkd(System):
    """mode: memory, or log for a write-ahead log that is synced before each answer."""

    program, server = "beanstalkd", "beanstalkd"

    def start(self, directory):
        port = free_port()
        log = ["-b", directory, "-f0"] if self.mode == "log" else []
        self.processes = [Daemon(directory, port, self.server, "-l", "127.0.0.1", "-p", port, *log)]
        self.address = f"127.0.0.1:{port}"


class Relay(System):
    """The floor: a relay of plain sockets that stores nothing. mode: tcp or unix."""

    program, server = "relay", "bench_bare_relay"
    keeps = False

    def missing(self):
        return None

    def start(self, directory):
        port = free_port() if self.mode == "tcp" else f"{directory}/relay"
        self.address = f"127.0.0.1:{port}" if self.mode == "tcp" else port
        self.processes = [Daemon(directory, port, BENCH / self.server, self.address)]


class SluiceHttp(Sluice):
    """A broker with a sidecar, to which the load speaks HTTP. mode: as for Sluice; the transport is that between the
    two."""

    program = "http"

    def start(self, directory):
        super().start(directory)
        self.processes.append(sidecar(self.broker))
        self.address = self.processes[1].ready["http"]


class BareHttp(System):
    """The floor of HTTP: a server that answers every POST, whatever it holds, and does nothing else."""

    program, server = "http", "bench_bare_http"
    keeps = consumed = batches = False

    def missing(self):
        return None

    def start(self, directory):
        del directory
        self.processes = [Server(BENCH / self.server)]
        self.address = self.processes[0].ready["http"]


ALL = [
    Sluice("sluice tcp", "tcp memory"),
    Sluice("sluice ipc", "ipc memory"),
    Sluice("sluice tcp disk", "tcp disk"),
    Sluice("sluice ipc disk", "ipc disk"),
    SluiceHttp("sluice http", "ipc memory"),
    SluiceHttp("sluice http disk", "ipc disk"),
    Redis("redis", "no"),
    Redis("redis everysec", "everysec"),
    Redis("redis always", "always"),
    Nats("nats core", "core"),
    Nats("jetstream memory", "memory"),
    Nats("jetstream file", "file"),
    RabbitMq("rabbitmq transient", "transient"),
    RabbitMq("rabbitmq durable", "durable"),
    RabbitMq("rabbitmq quorum", "quorum"),
    Mosquitto("mosquitto"),
    Beanstalkd("beanstalkd", "memory"),
    Beanstalkd("beanstalkd log", "log"),
    Relay("bare relay tcp", "tcp"),
    Relay("bare relay unix", "unix"),
    BareHttp("bare libmicrohttpd"),
]
