"""Measures publishing over HTTP with wrk, beside a bare libmicrohttpd server, and the memory that a queued event
costs."""
import json
import pathlib
import resource
import subprocess

from measure import BENCH, BIN, Load, Server, broker, check_ledger


def wrk(address, path, connections, seconds, *body):
    """Runs wrk. body: content type and file; without it 200 bytes. Returns requests per second, the number of requests,
    (p50, p99) in microseconds, and wrk's own CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
                           str(pathlib.Path(__file__).parent / "post.lua"), f"http://{address}{path}", "--", *body],
                          capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    rate = next(float(w[1]) for w in lines if w[0] == "Requests/sec:")
    count = next(int(w[0]) for w in lines if w[1:3] == ["requests", "in"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return rate, count, [microseconds(next(w[1] for w in lines if w[0] == p)) for p in ("50%", "99%")], own


def microseconds(text):
    digits = text.rstrip("umsinh")
    return float(digits) * {"us": 1, "ms": 1e3, "s": 1e6}[text[len(digits):]]


def note_http(figures, system, work, rate, times):
    figures.note(system, work, "throughput", "requests/s", rate)
    figures.note(system, work, "p50", "us", times[0])
    figures.note(system, work, "p99", "us", times[1])


def bare(figures, connections, seconds):
    server = Server(BENCH / "bench_bare_http")
    work = f"{connections} connections"
    try:
        before = server.cpu()
        rate, count, times, own = wrk(server.ready["http"], "/", connections, seconds)
        used = server.cpu() - before
    finally:
        server.stop()
    note_http(figures, "bare libmicrohttpd", work, rate, times)
    figures.note("bare libmicrohttpd", work, "server CPU", "s/million", used * 1e6 / count)
    figures.note("bare libmicrohttpd", work, "load CPU", "s/million", own * 1e6 / count)


def sidecar(b, *options):
    s = Server(BIN / "sluice-sidecar", "--broker", b.ready["broker"], "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0",
               *options)
    subprocess.run(["curl", "-sS", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "-f", "-o", "/dev/null",
                    f"http://{s.ready['ops']}/readyz"], check=True)
    return s


def declare(s, queue):
    subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", "-X", "PUT", f"http://{s.ready['http']}/v1/queues/{queue}",
                    "-d", '{"capacity":10000000,"capacity_bytes":"4GiB"}'], check=True)


def publish(figures, directory, transport, connections, seconds):
    work = f"{connections} connections {transport}"
    b = broker(transport, directory)
    s = sidecar(b)
    try:
        figures.note("sluice sidecar", "start", "ready after exec", "ms", s.ready_ms)
        figures.note("sluice sidecar", "idle", "resident", "MiB", s.memory("VmRSS"))
        figures.note("sluice sidecar", "idle", "private", "MiB", s.memory("RssAnon"))
        declare(s, "bench")
        before = s.cpu(), b.cpu()
        rate, count, times, own = wrk(s.ready["http"], "/v1/queues/bench/events", connections, seconds)
        note_http(figures, "sluice over HTTP", work, rate, times)
        figures.note("sluice over HTTP", work, "sidecar CPU", "s/million", (s.cpu() - before[0]) * 1e6 / count)
        figures.note("sluice over HTTP", work, "broker CPU", "s/million", (b.cpu() - before[1]) * 1e6 / count)
        figures.note("sluice over HTTP", work, "load CPU", "s/million", own * 1e6 / count)
        figures.note("sluice over HTTP", work, "sidecar peak", "MiB", s.memory("VmHWM"))
    finally:
        s.stop()
        b.stop()
    ledger = b.ledger()
    if not count <= ledger["accepted"] <= count + connections: # wrk does not count requests under way when it stops
        raise RuntimeError(f"wrk counted {count} answers, the ledger {ledger}")
    check_ledger(ledger, ledger["accepted"], 0)


def paced(figures, directory, transport, connections, seconds, rate=1000, size=1024):
    """Measures what the sidecar uses when it mostly waits: one POST per event at a fixed rate, on persistent
    connections."""
    work = f"{size} B {rate}/s, {connections} connections {transport}"
    count = int(rate * seconds)
    b = broker(transport, directory)
    s = sidecar(b)
    try:
        declare(s, "bench")
        before = s.ran(), b.ran()
        load = Load(BENCH / "bench_load_http", "--address", s.ready["http"], "--queue", "bench", "--size", size,
                    "--producers", connections, "--rate", rate, "--events", count, "--only", "publish")
        used = s.ran() - before[0]
        figures.times("sluice over HTTP", work, "confirm", load.result["confirm_us"])
        figures.note("sluice over HTTP", work, "sidecar CPU", "s/million", used * 1e6 / count)
        figures.note("sluice over HTTP", work, "sidecar CPU share", "% of a core", used / count * rate * 100)
        figures.note("sluice over HTTP", work, "broker CPU", "s/million", (b.ran() - before[1]) * 1e6 / count)
        figures.note("sluice over HTTP", work, "sidecar resident", "MiB", s.memory("VmRSS"))
    finally:
        s.stop()
        b.stop()
    check_ledger(b.ledger(), count, 0)


BATCH = 100


def fields(*pairs):
    """Encodes a protobuf message of the fields (number, bytes), each shorter than 16 KiB."""
    def length(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])

    return b"".join(bytes([number << 3 | 2]) + length(len(value)) + value for number, value in pairs)


def batch(form):
    """Returns the content type and the body of a batch of events with 200 B of text each."""
    events = [{"specversion": "1.0", "id": f"{i}-##########", "source": "/bench", "type": "bench",
               "datacontenttype": "text/plain", "data": "x" * 200} for i in range(BATCH)]
    if form == "JSON":
        return "application/cloudevents-batch+json", json.dumps(events, separators=(",", ":")).encode()
    packed = (fields((1, e["id"].encode()), (2, e["source"].encode()), (3, b"1.0"), (4, e["type"].encode()),
                     (5, fields((1, b"datacontenttype"), (2, fields((3, b"text/plain"))))), (7, e["data"].encode()))
              for e in events)
    return "application/cloudevents-batch+protobuf", fields(*((1, event) for event in packed))


def batches(figures, directory, transport, form, connections, seconds):
    """Like publish, with batches."""
    work = f"{form} batches of {BATCH}, {connections} connections {transport}"
    kind, body = batch(form)
    file = pathlib.Path(directory) / "batch"
    file.write_bytes(body)
    b = broker(transport, directory)
    s = sidecar(b)
    try:
        subprocess.run(["curl", "-sS", "-f", "-o", "/dev/null", "-X", "PUT",
                        f"http://{s.ready['http']}/v1/queues/bench",
                        "-d", '{"capacity":100000000,"capacity_bytes":"100MiB","overflow":"drop_oldest"}'], check=True)
        before = s.cpu(), b.cpu()
        rate, count, times, own = wrk(s.ready["http"], "/v1/queues/bench/events", connections, seconds, kind, str(file))
        figures.note("sluice over HTTP", work, "throughput", "events/s", rate * BATCH)
        figures.note("sluice over HTTP", work, "p50", "us", times[0])
        figures.note("sluice over HTTP", work, "sidecar CPU", "s/million",
                     (s.cpu() - before[0]) * 1e6 / (count * BATCH))
        figures.note("sluice over HTTP", work, "broker CPU", "s/million", (b.cpu() - before[1]) * 1e6 / (count * BATCH))
        figures.note("sluice over HTTP", work, "load CPU", "s/million", own * 1e6 / (count * BATCH))
        figures.note("sluice over HTTP", work, "sidecar peak", "MiB", s.memory("VmHWM"))
    finally:
        s.stop()
        b.stop()
    ledger = b.ledger()
    if not count * BATCH <= ledger["accepted"] <= (count + connections) * BATCH:
        raise RuntimeError(f"wrk counted {count} answers, the ledger {ledger}")
    check_ledger(ledger, ledger["accepted"], 0)


def stored_cost(figures, directory, count, size):
    """Measures the memory that a queued event takes beyond its bytes."""
    b = broker("tcp", directory)
    s = sidecar(b)
    try:
        url = f"http://{s.ready['http']}"
        subprocess.run([str(BIN / "sluice"), "--url", url, "queue", "declare", "cost", f"capacity={count}",
                        "capacity_bytes=4GiB"], check=True, stdout=subprocess.DEVNULL)
        before = b.memory("RssAnon")
        subprocess.run([str(BIN / "sluice"), "--url", url, "pub", "cost"], input=("x" * size + "\n") * count, text=True,
                       check=True, stdout=subprocess.DEVNULL)
        info = json.loads(subprocess.run(["curl", "-sS", "-f", url + "/v1/queues/cost"], check=True,
                                         capture_output=True, text=True).stdout)
        each = ((b.memory("RssAnon") - before) * 1048576 - info["bytes"]) / count
        figures.note("sluice broker", "queued events", "memory beyond the event's bytes", "B/event", each)
    finally:
        s.stop()
        b.stop()
    check_ledger(b.ledger(), count, 0)
