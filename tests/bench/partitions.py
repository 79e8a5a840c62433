"""Measures the throughput of one queue with 1, 4 and 16 partitions and two consumers, and how long a failover takes
until the standby has its first event."""
import json
import pathlib

from measure import BENCH, BIN, Load, Server

SHAPES = (1, 4, 16)
QUEUES = [("plain", {}), *((f"p{n}", {"partitions": n}) for n in SHAPES[1:]), ("ordered", {"ordered": "key"})]


def work_name(partitions):
    return f"{partitions} partitions, 2 consumers" if partitions > 1 else "1 partition, 1 consumer and a stand-by"


def broker(directory):
    """Starts a broker with the queues of this work. They are in memory, and no event has an id to deduplicate."""
    config = pathlib.Path(directory) / "partitions.yaml"
    settings = {name: {"durability": "memory", "capacity": 100000, **more} for name, more in QUEUES}
    config.write_text(json.dumps({"queues": settings}))
    return Server(BIN / "sluice-broker", "--listen", "tcp://127.0.0.1:0", "--config", config)


def partitions(figures, directory, count):
    for shape, (queue, _) in zip((*SHAPES, 1), QUEUES):
        b = broker(directory)
        try:
            load = Load(BENCH / "bench_partitions", "throughput", b.ready["broker"], queue, 2, count)
        finally:
            b.stop()
        name = "ordered by key, 1 consumer and a stand-by" if queue == "ordered" else work_name(shape)
        figures.note("sluice", name, "throughput", "events/s", load.result["per_second"])
        figures.note("sluice", name, "least consumer's share", "%",
                     100 * min(load.result["consumed"]) / sum(load.result["consumed"]))


def failover(figures, directory, how):
    b = broker(directory)
    try:
        load = Load(BENCH / "bench_partitions", "failover", b.ready["broker"], "plain", how)
    finally:
        b.stop()
    figures.note("sluice", "the active consumer " + {"kill": "is killed", "leave": "leaves"}[how],
                 "until the stand-by has an event", "ms", load.result["ms"])
