"""Measures works over libsluice, and the raw libzmq relay as their floor."""
from measure import BENCH, BIN, Load, broker, check_ledger


def work_name(size, window, rate, linger, transport):
    pace = f"{rate}/s" if rate else f"window {window}"
    return f"{size} B {pace}{f' linger {linger} ms' if linger else ''} {transport}"


def raw_relay(figures, transport, size, count, window=0, rate=0):
    load = Load(BENCH / "bench_raw_relay", transport, size, count, window, rate)
    work = f"{size} B {transport}" if not window else work_name(size, window, rate, 0, transport)
    if rate:
        figures.times("raw relay", work, "end to end", load.result["end_to_end_us"])
    else:
        figures.note("raw relay", work, "throughput", "events/s", count / load.result["seconds"])
    relay = load.result["relay_cpu_seconds"]
    figures.note("raw relay", work, "relay CPU", "s/million", relay * 1e6 / count)
    figures.note("raw relay", work, "load CPU", "s/million", (load.cpu - relay) * 1e6 / count)


def native(figures, directory, transport, size, count, window=256, rate=0, linger=0):
    """4 producers, 1 queue, 1 consumer. `sluice bench` checks count and order; the ledger is checked here."""
    b = broker(transport, directory)
    work = work_name(size, window, rate, linger, transport)
    pace = (["--rate", rate] if rate else []) + (["--linger", linger] if linger else [])
    try:
        figures.note("sluice broker", "start", "ready after exec", "ms", b.ready_ms)
        figures.note("sluice broker", "idle", "resident", "MiB", b.memory("VmRSS"))
        before = b.cpu()
        load = Load(BIN / "sluice", "bench", "--json", "--events", count, "--size", size, "--window", window, *pace,
                    b.ready["broker"])
        used = b.cpu() - before
        peak = b.memory("VmHWM")
    finally:
        b.stop()
    check_ledger(b.ledger(), count, count)
    if not rate:
        figures.note("sluice", work, "throughput", "events/s", load.result["events_per_second"])
    figures.times("sluice", work, "confirm", load.result["confirm_us"])
    figures.times("sluice", work, "end to end", load.result["end_to_end_us"])
    figures.note("sluice", work, "broker CPU", "s/million", used * 1e6 / count)
    if rate:
        figures.note("sluice", work, "broker CPU share", "% of a core", 100 * used * rate / count)
    figures.note("sluice", work, "load CPU", "s/million", load.cpu * 1e6 / count)
    figures.note("sluice", work, "broker peak", "MiB", peak)
    figures.note("sluice", work, "largest load process", "MiB", load.peak)
