"""The goals for Sluice's performance, relative to its peers and floors on a machine with two cores, and whether a run
meets them."""
import dataclasses
import typing

import growth

LARGE, SMALL, ONE = "1024 B window 256", "200 B window 256", "1024 B window 1"
RATED, BACKLOG = "200 B 20000/s", "backlog of 200000 times 1024 B"
PAYLOAD_MIB, MB = 200000 * 1024 / 2**20, 2**20 / 1e6
TRANSPORTS = ("tcp", "ipc")


def kind_of(system):
    word = system.split()[0]
    return word if word == "sluice" else "floor" if word in ("bare", "zmq", "append") else "peer"


class NotMeasured(Exception):
    pass


class Values:
    """The medians of a run, looked up by system, work and metric."""

    def __init__(self, rows):
        self.medians = {(r["system"], r["work"], r["metric"]): r["median"] for r in rows}

    def __call__(self, system, work, metric):
        found = self.medians.get((system, work, metric))
        if not found:
            raise NotMeasured
        return found

    def best_peer(self, work, metric):
        """Returns the lowest figure among the peers."""
        found = [v for (s, w, m), v in self.medians.items() if (w, m) == (work, metric) and kind_of(s) == "peer"]
        if not found:
            raise NotMeasured
        return min(found)


@dataclasses.dataclass
class Goal:
    """A limit on figure(values, transport): `least` or `most` is one number for both transports, or a dict with one for
    each. `transports`: those for which it has a value; ("",) if it does not depend on the transport."""

    title: str
    figure: typing.Callable
    least: typing.Any = None
    most: typing.Any = None
    transports: tuple = TRANSPORTS

    def limit(self, transport):
        found = self.most if self.least is None else self.least
        return found[transport] if isinstance(found, dict) else found

    def value(self, values, transport):
        try:
            return self.figure(values, transport)
        except NotMeasured:
            return None

    def holds(self, values, transport):
        """Whether the goal is met; None if it was not measured."""
        found = self.value(values, transport)
        if found is None:
            return None
        return found <= self.limit(transport) if self.least is None else found >= self.limit(transport)


def memory(work, metric):
    return lambda v, t: v(f"sluice {t}", work, metric)


def beside(work, metric, floor, suffix=""):
    """A figure divided by the same one of another system; {t} in a name stands for the transport."""
    return lambda v, t: v(f"sluice {t}{suffix}", work, metric) / v(floor.format(t=t), work, metric)


def over_http(work, metric, unit=1.0):
    return lambda v, t: v("sluice over HTTP", f"{work} {t}", metric) / unit


def beside_bare(connections, metric):
    work = f"{connections} connections"
    return lambda v, t: v("sluice over HTTP", f"{work} {t}", metric) / v("bare libmicrohttpd", work, metric)


def grown(shapes, name, metric):
    few, many = (name(s) for s in shapes)
    return lambda v, _: v("sluice", many, metric) / v("sluice", few, metric)


PACED = "1024 B 1000/s, 1 connections"
GOALS = (
    Goal("memory, 200 B, window 256: M events/s", lambda v, t: memory(SMALL, "throughput")(v, t) / 1e6, least=3.0),
    Goal("… / NATS core, which confirms nothing", beside(SMALL, "throughput", "nats core"), least=1.2),
    Goal("… / Redis Streams", beside(SMALL, "throughput", "redis"), least=10),
    Goal("memory, 1 KiB, window 256: M events/s", lambda v, t: memory(LARGE, "throughput")(v, t) / 1e6, least=1.5),
    Goal("… / Redis Streams", beside(LARGE, "throughput", "redis"), least=6),
    Goal("disk, 200 B, window 256: M events/s",
         lambda v, t: v(f"sluice {t} disk", SMALL, "throughput") / 1e6, least=1.3),
    Goal("… / Redis, appendfsync always", beside(SMALL, "throughput", "redis always", " disk"), least=9),
    Goal("… / RabbitMQ durable", beside(SMALL, "throughput", "rabbitmq durable", " disk"), least=35),
    Goal("memory, 1 KiB, window 1: events/s / zmq relay", beside(ONE, "throughput", "zmq relay {t}"),
         least={"tcp": 0.95, "ipc": 1.0}),
    Goal("memory, 20,000/s: end to end p50 / zmq relay", beside(RATED, "end to end p50", "zmq relay {t}"),
         most={"tcp": 1.3, "ipc": 1.0}),
    Goal("… p99 / the best peer's",
         lambda v, t: memory(RATED, "end to end p99")(v, t) / v.best_peer(RATED, "end to end p99"), most=1.0),
    Goal("disk, 20,000/s: confirm p50 / Redis always", beside(RATED, "confirm p50", "redis always", " disk"), most=0.8),
    Goal("… / RabbitMQ durable", beside(RATED, "confirm p50", "rabbitmq durable", " disk"), most=0.1),
    Goal("memory, 20,000/s: broker CPU / the best peer's",
         lambda v, t: memory(RATED, "CPU")(v, t) / v.best_peer(RATED, "CPU"), most={"tcp": 1.1, "ipc": 1.0}),
    Goal("… with a linger of 1 ms: broker CPU, % of a core",
         lambda v, t: v("sluice", f"{RATED} linger 1 ms {t}", "broker CPU share"), most=9, transports=("ipc",)),
    Goal("200,000 × 1 KiB in memory: RSS / payload",
         lambda v, t: memory(BACKLOG, "resident")(v, t) / PAYLOAD_MIB, most=1.1),
    Goal("… on disk: RSS, MB", lambda v, t: v(f"sluice {t} disk", BACKLOG, "resident") * MB, most=20),
    Goal("HTTP, 64 connections: publishes / bare libmicrohttpd", beside_bare(64, "throughput"),
         least={"tcp": 0.5, "ipc": 0.6}),
    Goal("… JSON batches of 100: k events/s",
         over_http("JSON batches of 100, 64 connections", "throughput", 1e3), least=300),
    Goal("… protobuf batches of 100: M events/s",
         over_http("protobuf batches of 100, 64 connections", "throughput", 1e6), least=1.0),
    Goal("HTTP, 1 connection: p50 / bare libmicrohttpd", beside_bare(1, "p50"), most=2, transports=("ipc",)),
    Goal("sidecar, idle: RSS, MB", lambda v, _: v("sluice sidecar", "idle", "resident") * MB, most=5, transports=("",)),
    Goal("… at 1,000/s of 1 KiB: RSS, MB", lambda v, t: over_http(PACED, "sidecar resident")(v, t) * MB, most=12),
    Goal("… CPU, % of a core", over_http(PACED, "sidecar CPU share"), most=4),
    Goal("10,000 queues / 10: broker CPU", grown(growth.QUEUES, lambda s: growth.work_name(*s), "broker CPU"),
         most=1.2, transports=("",)),
    Goal("1,000 sessions / 1: broker CPU", grown(growth.SESSIONS, lambda s: growth.work_name(*s), "broker CPU"),
         most=1.2, transports=("",)),
    Goal("64 producers / 4: events/s", grown(growth.PRODUCERS, growth.producers_work_name, "throughput"),
         least=1.0, transports=("",)),
)


def state_of(goal, values):
    """Returns "met", "not met" or "TRANSPORT met"; None if nothing of it was measured."""
    held = {t: goal.holds(values, t) for t in goal.transports}
    if all(h is None for h in held.values()):
        return None
    if all(held.values()):
        return "met"
    return f"{next(t for t, h in held.items() if h)} met" if any(held.values()) else "not met"


def shown(goal, values, transport):
    value = goal.value(values, transport)
    return "-" if value is None else f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def limit_shown(goal):
    sign = "≤" if goal.least is None else "≥"
    return f"{sign} " + ", ".join(dict.fromkeys(f"{goal.limit(t):g}" for t in goal.transports))


def table(rows):
    """Yields the lines of a Markdown table of the goals that were measured; nothing if none was."""
    values = Values(rows)
    found = [g for g in GOALS if state_of(g, values)]
    if found:
        yield "| figure | goal | tcp | ipc | result |"
        yield "|---|---|---|---|---|"
    for goal in found:
        cells = [shown(goal, values, t) for t in goal.transports]
        if len(cells) == 1:
            cells = ["", *cells] if goal.transports == ("ipc",) else [*cells, ""]
        yield f"| {goal.title} | {limit_shown(goal)} | {' | '.join(cells)} | {state_of(goal, values)} |"
