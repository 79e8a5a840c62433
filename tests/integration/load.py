"""Publishers and consumers that work while a test kills processes or cuts connections, and a shared History in which
they record what was confirmed and what arrived. History.check then verifies every promise:

- no confirmed event is lost, and no event appears that was never published;
- no event is accepted twice, and no refused event is delivered;
- each event keeps its sequence, and a publisher's events keep their order;
- an event is delivered again only as a later attempt; after its ack was answered not at all, except that each crash of
  the broker may cause at most 1,000 such redeliveries.
"""
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
MAX_REDELIVERED = 1000  # settled events per queue that may be redelivered after an unclean stop (docs/operations.md)


def restart(cluster, broker, *flags):
    """Starts a broker with the addresses and the data directory of the earlier one."""
    return cluster.broker("--ingress", broker.ready["ingress"], *flags, listen=broker.ready["broker"])


class Client:
    """An HTTP connection that is reopened after it broke. A request whose answer was lost returns None."""

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
    """What the test knows of one event."""

    def __init__(self):
        self.sequence = None  # as confirmed; None: not confirmed
        self.refused = None   # reason of a refusal: the event must never be delivered
        self.arrivals = []    # (sequence, attempt, whether it had been acked before) of each delivery
        self.acked = False    # its ack was answered as acked


class History:
    """What happened to every event, keyed by (source, number)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.events = collections.defaultdict(EventHistory)
        self.first = collections.defaultdict(list)  # source → numbers in the order of first delivery
        self.fresh = []                             # sequences delivered with attempt 1, in order of arrival
        self.statuses = collections.Counter()       # outcomes of publishes: (status, reason)
        self.again = 0                              # deliveries of events whose ack had been answered

    def published(self, key, status, reason, sequence):
        """The outcome of a publish; status None: its answer was lost."""
        with self.lock:
            self.statuses[(status, reason)] += 1
            event = self.events[key]
            event.sequence = sequence
            event.refused = reason if status not in (202, 504, None) else None

    def offered(self, key):
        """The event is about to be published, so it may arrive from now on."""
        with self.lock:
            self.events[key]

    def arrived(self, key, sequence, attempt):
        """The event was delivered."""
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
        """The event's ack was answered as acked."""
        with self.lock:
            self.events[key].acked = True

    def confirmed(self):
        with self.lock:
            return [key for key, e in self.events.items() if e.sequence is not None]

    def missing(self):
        return [key for key in self.confirmed() if not self.events[key].arrivals]

    def check(self, crashes):
        """Verifies what is promised whatever happened; `crashes` is the number of unclean stops of the broker."""
        lost = [key for key in self.confirmed() if not self.events[key].arrivals]
        assert not lost, f"{len(lost)} confirmed events never came: {sorted(lost)[:5]}"
        for key, event in self.events.items():
            sequences = {sequence for sequence, _, _ in event.arrivals}
            assert len(sequences) <= 1, f"{key} was accepted more than once: {event.arrivals}"
            assert event.sequence is None or sequences == {event.sequence}, (key, event.sequence, event.arrivals)
            assert not (event.refused and event.arrivals), f"{key} was refused ({event.refused}), and came"
            # Not by order of arrival: of two consumers, the one that got the event first may record it second.
            first = sum(attempt < 2 for _, attempt, _ in event.arrivals)
            assert first <= 1, f"{key} came again without saying so: {event.arrivals}"
        assert self.again <= MAX_REDELIVERED * crashes, (self.again, crashes)
        assert self.fresh == sorted(self.fresh), "events came for the first time out of their queue's order"
        self.check_sequences()

    def check_sequences(self):
        """Verifies that the events of each publisher lie in the queue in the order in which it published them."""
        last = {}
        for source, number in sorted(self.confirmed()):
            sequence = self.events[source, number].sequence
            assert last.get(source, 0) < sequence, f"{source} {number} is not where it was published"
            last[source] = sequence

    def check_first_deliveries(self):
        """Verifies that the events of each publisher were first delivered in order. Holds with a single consumer."""
        for source, numbers in self.first.items():
            assert numbers == sorted(numbers), f"{source}: first deliveries out of order"


class Worker(threading.Thread):
    """A thread that calls turn() until it is told to stop. An exception that ended it is raised again by finish()."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ending, self.failure = threading.Event(), None

    def run(self):
        try:
            while not self.ending.is_set():
                self.turn()
        except BaseException as e:  # raised again by finish
            self.failure = e

    def finish(self, timeout=120):
        self.ending.set()
        self.join(timeout)
        assert not self.is_alive(), f"{self} did not end in {timeout} s"
        if self.failure:
            raise self.failure


class Publisher(Worker):
    """Publishes numbered batches from one source, each after the previous one was answered. Never publishes an event
    twice."""

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
            self.history.published(key, 202 if accepted else one.get("status", status),
                                   one.get("reason", said.get("reason")), one.get("sequence"))


class Event(ctypes.Structure):  # struct sluice_event
    _fields_ = [(name, ctypes.c_char_p) for name in ("id", "source", "type", "subject", "content_type", "data")] + [
        ("size", ctypes.c_size_t), ("attributes", ctypes.c_void_p)]


class Direct(Worker):
    """A publisher that uses libsluice, without a sidecar, with up to `window` unconfirmed events."""

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
    """Takes and acks. Every `abandon`th time it forgets what it took, like an application that dies; 0: never."""

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
    """Returns the queue's ledger, retrying until the sidecar answers, and checks that it balances."""
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
    """Waits until every confirmed event has arrived and nothing remains in the queue. Returns the ledger."""
    deadline = time.monotonic() + within
    while True:
        said, missing = ledger(sidecar, queue), history.missing()
        if said["remaining"] == 0 and not missing:
            return said
        assert time.monotonic() < deadline, (said, len(missing), sorted(missing)[:5])
        time.sleep(0.1)


@pytest.fixture
def rng(request):
    """A random generator whose seed is shown when the test fails."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown on failure
    return random.Random(seed)


def run_under_load(workers, crash, rounds):
    """Calls crash() `rounds` times while the workers run, then ends the publishers."""
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
    """Drains the queue, ends the consumers and verifies everything that is promised."""
    said = drained(history, sidecar, "load")
    for worker in workers:
        if isinstance(worker, Consumer):
            worker.finish()
    print(dict(history.statuses), "again", history.again, said)
    history.check(crashes)
    came = sum(bool(event.arrivals) for event in history.events.values())
    assert said["accepted"] == said["acked"] == came
