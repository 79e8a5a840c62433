"""Figures divided by their floors, as lines of text for `tests/bench/run`. The ratios that are goals are in
goals.py."""
import durable
import fanout

BARE, BUSY = "bare log", "bare log, busy"

# Title, Sluice's (system, work, metric), and the floor's. {t} stands for the transport.
OF_CLIENTS = [
    ("native, 200 B, window 256, throughput / raw relay", ("sluice", "200 B window 256 {t}", "throughput"),
     ("raw relay", "200 B {t}", "throughput")),
    ("native, 1 KiB, window 256, throughput / raw relay", ("sluice", "1024 B window 256 {t}", "throughput"),
     ("raw relay", "1024 B {t}", "throughput")),
    ("native, 1 KiB, window 1, throughput / raw relay that answers", ("sluice", "1024 B window 1 {t}", "throughput"),
     ("raw relay", "1024 B window 1 {t}", "throughput")),
    ("end to end p50 at 2,000/s / raw relay", ("sluice", "200 B 2000/s {t}", "end to end p50"),
     ("raw relay", "200 B 2000/s {t}", "end to end p50")),
    ("end to end p50 at 20,000/s / raw relay", ("sluice", "200 B 20000/s {t}", "end to end p50"),
     ("raw relay", "200 B 20000/s {t}", "end to end p50")),
]


def of_clients():
    for title, ours, floor in OF_CLIENTS:
        for t in ("tcp", "ipc"):
            yield f"{title}, {t}", *(tuple(word.format(t=t) for word in key) for key in (ours, floor))


def of_disk():
    for shape in durable.SHAPES:
        work = durable.work_name(*shape)
        yield f"on disk, {work}, throughput / in memory", ("sluice on disk", work, "throughput"), (
            "sluice in memory", work, "throughput")
        for floor, state in ((BUSY, "as busy"), (BARE, "alone")):
            yield f"on disk, {work}, groups / bare log {state}", ("sluice on disk", work, "groups"), (
                floor, work, "groups")
    for size, events in durable.LOG_GROUPS:
        work = f"groups of {events} times {size} B"
        yield f"the log alone, {work} / bare log alone", ("sluice's log alone", work, "groups"), (BARE, work, "groups")


def lines(rows):
    value = {(r["system"], r["work"], r["metric"]): r["median"] for r in rows}
    for title, ours, floor in (*of_clients(), *of_disk()):
        if value.get(ours) and value.get(floor):
            yield f"{title}: {value[ours] / value[floor]:.2f}"
    cost = fanout.per_queue(value)
    if cost is not None:
        yield f"fan-out of a topic, broker CPU of each further queue: {cost:.2f} s/million events"
