"""Connections that are cut, stall and are slow: nothing lost, doubled or reordered, and sessions go on."""
import time

import pytest

from conftest import SANITIZED
from load import LONG, Books, Consumer, Publisher, close_books, dice, under_load  # noqa: F401 (dice is a fixture)
from wires import Network

pytestmark = pytest.mark.skipif(SANITIZED, reason="its load is measured for a build without sanitizers")

ROUNDS = 60 if LONG else 8


@pytest.fixture
def network(cluster):
    made = []

    def make(*flags):
        made.append(Network(cluster, cluster.broker(*flags)))
        if made[0].trouble:
            pytest.skip(f"a network of one's own needs root and namespaces: {made[0].trouble}")
        return made[0]

    yield make
    cluster.end()
    for network in made:
        network.end()


def trouble(network, dice, longest):
    """One of the ways in which a network fails, over some of its wires, for a while."""
    wires = dice.sample(network.wires, dice.randrange(1, len(network.wires) + 1))
    way = dice.choice(["cut", "cut", "stall", "stall and cut", "down", "slow"])
    for wire in wires:
        if way in ("cut", "down"):
            wire.down = way == "down"
            wire.cut()
        elif way == "slow":
            wire.delay = 0.02
        else:
            wire.flows.clear()
    time.sleep(dice.uniform(0.05, 0.3) if way == "cut" else dice.uniform(0.1, longest))  # how long it lasts
    for wire in wires:
        if way == "stall and cut":
            wire.cut()
        wire.down, wire.delay = False, 0
        wire.flows.set()


def setting(network):
    sidecars = [network.sidecar() for _ in range(2)]
    sidecars[0].declare("load", capacity=2000)
    books = Books()
    workers = [Publisher(books, sidecars[i % 2], "load", f"/p{i}", batch=[1, 20, 5][i], wait="60s") for i in range(3)]
    workers.append(Consumer(books, sidecars[1], "load"))
    return sidecars, books, workers


def test_sessions_resume_over_a_failing_network(network, dice):  # noqa: F811
    network = network("--session-timeout", "30s")
    sidecars, books, workers = setting(network)
    under_load(workers, lambda: trouble(network, dice, 2), ROUNDS)
    close_books(books, workers, sidecars[1], crashes=0)
    books.check_first_deliveries()
    assert set(books.statuses) == {(202, None)}, books.statuses
    assert all(len(event.arrivals) == 1 for event in books.events.values()), "a session was resumed, and events came again"


def test_sessions_that_end_during_a_network_failure_lose_nothing(network, dice):  # noqa: F811
    network = network("--session-timeout", "1s", "--heartbeat", "300ms")
    sidecars, books, workers = setting(network)
    under_load(workers, lambda: trouble(network, dice, 3), ROUNDS)
    close_books(books, workers, sidecars[1], crashes=0)
    assert set(books.statuses) == {(202, None)}, books.statuses
