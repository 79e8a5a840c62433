"""Publishers and consumers under load, and the books they keep: what was confirmed, what came, in which order, how often."""
import collections
import ctypes
import http.client
import json
import random
import threading
import time

import pytest

from conftest import BIN, LONG  # noqa: F401

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
MAX_REDELIVERED = 1000  # settled events of a queue that may come again after an unclean stop (docs/operations.md)


def restart(cluster, broker, *flags):
    """The same broker again: its addresses and its data directory."""
    return cluster.broker("--ingress", broker.ready["ingress"], *flags, listen=broker.ready["broker"])


class Client:
    """One connection that is made again when it broke; a lost answer is None."""

    def __init__(self, address):
        self.address, self.connection = address, None

    def post(self, path, body=b"", headers=None, timeout=90):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=timeout)
            self.connection.request("POST", path, body, headers or {})
            response = self.connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException):
            self.close()
            return None

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class EventHistory:
    """What is known of one event."""

    def __init__(self):
        self.sequence = None  # as confirmed
        self.refused = None   # the reason: it must never come
        self.arrivals = []    # (sequence, attempt, was it acked before)
        self.acked = False    # and the ack was answered


class History:
    def __init__(self):
        self.lock = threading.Lock()
        self.events = collections.defaultdict(EventHistory)
        self.first = collections.defaultdict(list)  # source → numbers in the order of first delivery
        self.fresh = []                             # sequences that came with attempt 1, in order
        self.statuses = collections.Counter()
        self.again = 0                              # events that came after their ack had been answered

    def published(self, key, status, reason, sequence):
        with self.lock:
            self.statuses[(status, reason)] += 1
            event = self.events[key]
            event.sequence = sequence
            event.refused = reason if status not in (202, 504, None) else None

    def offered(self, key):
        with self.lock:
            self.events[key]

    def arrived(self, key, sequence, attempt):
        with self.lock:
            assert key in self.events, f"{key} came, and was never published"
            event = self.events[key]
            self.again += event.acked
            if not event.arrivals:
                self.first[key[0]].append(key[1])
            if attempt == 1:
                self.fresh.append(sequence)
            event.arrivals.append((sequence, attempt, event.acked))

    def was_acked(self, key):
        with self.lock:
            self.events[key].acked = True

    def confirmed(self):
        with self.lock:
            return [key for key, e in self.events.items() if e.sequence is not None]

    def missing(self):
        return [key for key in self.confirmed() if not self.events[key].arrivals]

    def check(self, crashes):
        """Everything that is promised, whatever happened."""
        lost = [key for key in self.confirmed() if not self.events[key].arrivals]
        assert not lost, f"{len(lost)} confirmed events never came: {sorted(lost)[:5]}"
        for key, event in self.events.items():
            sequences = {sequence for sequence, _, _ in event.arrivals}
            assert len(sequences) <= 1, f"{key} was accepted more than once: {event.arrivals}"
            assert event.sequence is None or sequences == {event.sequence}, (key, event.sequence, event.arrivals)
            assert not (event.refused and event.arrivals), f"{key} was refused ({event.refused}), and came"
            # Of two consumers the one that got it first may be the second that writes it down.
            assert sum(attempt < 2 for _, attempt, _ in event.arrivals) <= 1, f"{key} came again without saying so: {event.arrivals}"
        assert self.again <= MAX_REDELIVERED * crashes, (self.again, crashes)
        assert self.fresh == sorted(self.fresh), "events came for the first time out of their queue's order"
        self.check_sequences()

    def check_sequences(self):
        """What a publisher published in order is in the queue in that order."""
        last = {}
        for source, number in sorted(self.confirmed()):
            sequence = self.events[source, number].sequence
            assert last.get(source, 0) < sequence, f"{source} {number} is not where it was published"
            last[source] = sequence

    def check_first_deliveries(self):
        for source, numbers in self.first.items():
            assert numbers == sorted(numbers), f"{source}: first deliveries out of order"


class Worker(threading.Thread):
    """A thread that works until it is told to stop; what it dies of is raised by finish()."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ending, self.failure = threading.Event(), None

    def run(self):
        try:
            while not self.ending.is_set():
                self.turn()
        except BaseException as e:  # told by finish
            self.failure = e

    def finish(self, timeout=120):
        self.ending.set()
        self.join(timeout)
        assert not self.is_alive(), f"{self} did not end in {timeout} s"
        if self.failure:
            raise self.failure


class Publisher(Worker):
    """Batches of one source, numbered, each published after the one before was answered. Never the same event twice."""

    def __init__(self, history, sidecar, queue, source, batch=1, wait="30s", size=100):
        super().__init__()
        self.history, self.queue, self.source, self.batch, self.wait = history, queue, source, batch, wait
        self.client, self.next, self.padding = Client(sidecar.ready["http"]), 1, "x" * size

    def use(self, sidecar):
        self.client.address = sidecar.ready["http"]

    def turn(self):
        keys = [(self.source, self.next + i) for i in range(self.batch)]
        self.next += self.batch
        for key in keys:
            self.history.offered(key)
        body = json.dumps([{"specversion": "1.0", "source": source, "id": str(number), "type": "load",
                            "data": self.padding} for source, number in keys])
        answer = self.client.post(f"/v1/queues/{self.queue}/events?wait={self.wait}", body, BATCH)
        self.note(keys, answer)
        if answer is None:  # the sidecar is being killed
            self.ending.wait(0.02)

    def note(self, keys, answer):
        if answer is None:
            answer = None, {}
        status, said = answer
        for key, one in zip(keys, said.get("events", [{}] * len(keys))):
            accepted = "sequence" in one
            self.history.published(key, 202 if accepted else one.get("status", status), one.get("reason", said.get("reason")),
                                 one.get("sequence"))


class Event(ctypes.Structure):  # struct sluice_event
    _fields_ = [(name, ctypes.c_char_p) for name in ("id", "source", "type", "subject", "content_type", "data")] + [
        ("size", ctypes.c_size_t), ("attributes", ctypes.c_void_p)]


class Direct(Worker):
    """A publisher through libsluice, without a sidecar: up to `window` events on their way at a time."""

    CONFIRM = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64)
    REASONS = {0: (202, None), 11: (504, "unknown")}

    def __init__(self, history, broker, queue, source, window=64, wait_ms=30000):
        super().__init__()
        self.history, self.queue, self.source, self.wait_ms = history, queue.encode(), source, wait_ms
        self.room, self.window, self.next = threading.Semaphore(window), window, 1
        self.c = ctypes.CDLL(str(BIN.parent / "lib/libsluice.so"))
        self.c.sluice_connect.restype = ctypes.c_void_p
        self.c.sluice_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p]
        self.c.sluice_publish.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(Event), ctypes.c_uint32,
                                                self.CONFIRM, ctypes.c_void_p]
        self.c.sluice_close.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        error = ctypes.create_string_buffer(256)
        self.connection = self.c.sluice_connect(broker.ready["broker"].encode(), None, error)
        assert self.connection, error.value
        self.confirm = self.CONFIRM(self.confirmed)

    def confirmed(self, number, error, sequence):
        status, reason = self.REASONS.get(error, (503, f"error {error}"))
        self.history.published((self.source, number), status, reason, sequence if error == 0 else None)
        self.room.release()

    def turn(self):
        if not self.room.acquire(timeout=0.1):
            return
        number, self.next = self.next, self.next + 1
        self.history.offered((self.source, number))
        event = Event(id=str(number).encode(), source=self.source.encode(), type=b"load", data=b"direct", size=6)
        why = self.c.sluice_publish(self.connection, self.queue, ctypes.byref(event), self.wait_ms, self.confirm,
                                          number)
        assert why == 0, why

    def finish(self, timeout=120):
        super().finish(timeout)
        for _ in range(self.window):
            assert self.room.acquire(timeout=timeout), "an event has no outcome"
        self.c.sluice_close(self.connection, 1000)


class Consumer(Worker):
    """Takes and acks. Each `abandon`th time it forgets what it took, as an application does that dies."""

    def __init__(self, history, sidecar, queue, most=100, abandon=0):
        super().__init__()
        self.history, self.queue, self.most, self.abandon, self.turns = history, queue, most, abandon, 0
        self.client = Client(sidecar.ready["http"])

    def use(self, sidecar):
        self.client.address = sidecar.ready["http"]

    def turn(self):
        answer = self.client.post(f"/v1/queues/{self.queue}/take?max={self.most}&wait=1s")
        if answer is None or answer[0] != 200:
            self.ending.wait(0.02)
            return
        held = {}
        for taken in answer[1]["events"]:
            key = taken["event"]["source"], int(taken["event"]["id"])
            self.history.arrived(key, taken["sequence"], taken["attempt"])
            held[taken["receipt"]] = key
        self.turns += 1
        if self.abandon and self.turns % self.abandon == 0:
            self.client.close()
        elif held:
            self.settle(held)

    def settle(self, held):
        answer = self.client.post(f"/v1/queues/{self.queue}/acks", json.dumps({"ack": list(held)}))
        if answer is None or answer[0] not in (200, 207):
            return
        for result in answer[1]["results"]:
            if result["result"] == "acked":
                self.history.was_acked(held[result["receipt"]])


def ledger(sidecar, queue, within=30):
    """The queue's books, asked until they are answered: they balance, always."""
    deadline = time.monotonic() + within
    while True:
        answer = sidecar.ops("GET", f"/v1/queues/{queue}/ledger")
        if answer.status == 200:
            break
        assert time.monotonic() < deadline, answer.body
    said = answer.json
    left = sum(said[name] for name in ("acked", "dead_lettered", "expired", "purged", "dropped", "remaining"))
    assert said["accepted"] == left, said
    return said


def drained(history, sidecar, queue, within=60):
    """Waits until everything confirmed came and nothing remains; the ledger then."""
    deadline = time.monotonic() + within
    while True:
        said, missing = ledger(sidecar, queue), history.missing()
        if said["remaining"] == 0 and not missing:
            return said
        assert time.monotonic() < deadline, (said, len(missing), sorted(missing)[:5])
        time.sleep(0.1)


@pytest.fixture
def rng(request):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown on failure
    return random.Random(seed)


def run_under_load(workers, crash, rounds):
    """Publishers and consumers work while crash() is called again and again; then the publishers end."""
    for worker in workers:
        worker.start()
    try:
        for _ in range(rounds):
            crash()
            for worker in workers:
                assert worker.failure is None, worker.failure
    finally:
        for worker in workers:
            if not isinstance(worker, Consumer):
                worker.ending.set()
    for worker in workers:
        if not isinstance(worker, Consumer):
            worker.finish()


def drain_and_check(history, workers, sidecar, crashes):
    """The queue is drained, the consumers end, and everything that is promised is checked."""
    said = drained(history, sidecar, "load")
    for worker in workers:
        if isinstance(worker, Consumer):
            worker.finish()
    print(dict(history.statuses), "again", history.again, said)
    history.check(crashes)
    came = sum(bool(event.arrivals) for event in history.events.values())
    assert said["accepted"] == said["acked"] == came
