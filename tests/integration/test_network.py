"""A network whose connections are cut, stalled and slowed under load: no event is lost, duplicated or reordered.
Sessions resume after a short failure, and end after a long one. Needs root for network namespaces (wires.py)."""
import time

import pytest

from conftest import SANITIZED
from load import LONG, History, Consumer, Publisher, drain_and_check, run_under_load
from load import rng  # noqa: F401 (a fixture)
from wires import Network

pytestmark = pytest.mark.skipif(SANITIZED, reason="the load is sized for a build without sanitizers")

ROUNDS = 60 if LONG else 8


@pytest.fixture
def network(cluster):
    made = []

    def make(*flags):
        made.append(Network(cluster, cluster.broker(*flags)))
        if made[0].error:
            pytest.skip(f"a network of one's own needs root and namespaces: {made[0].error}")
        return made[0]

    yield make
    cluster.end()
    for network in made:
        network.end()


def disturb(network, rng, longest):
    """Lets some of the network's wires fail for a while, in a way chosen at random."""
    wires = rng.sample(network.wires, rng.randrange(1, len(network.wires) + 1))
    way = rng.choice(["cut", "cut", "stall", "stall and cut", "down", "slow"])
    for wire in wires:
        if way in ("cut", "down"):
            wire.down = way == "down"
            wire.cut()
        elif way == "slow":
            wire.delay = 0.02
        else:
            wire.flows.clear()
    time.sleep(rng.uniform(0.05, 0.3) if way == "cut" else rng.uniform(0.1, longest))  # how long the failure lasts
    for wire in wires:
        if way == "stall and cut":
            wire.cut()
        wire.down, wire.delay = False, 0
        wire.flows.set()


def setting(network):
    """Starts two sidecars. Returns them, a history, and the publishers and the consumer that share it, not yet
    started."""
    sidecars = [network.sidecar() for _ in range(2)]
    sidecars[0].declare("load", capacity=2000)
    history = History()
    workers = [Publisher(history, sidecars[i % 2], "load", f"/p{i}", batch=[1, 20, 5][i], wait="60s") for i in range(3)]
    workers.append(Consumer(history, sidecars[1], "load"))
    return sidecars, history, workers


def test_sessions_resume_over_a_failing_network(network, rng):  # noqa: F811
    network = network("--session-timeout", "30s")
    sidecars, history, workers = setting(network)
    run_under_load(workers, lambda: disturb(network, rng, 2), ROUNDS)
    drain_and_check(history, workers, sidecars[1], crashes=0)
    history.check_first_deliveries()
    assert set(history.statuses) == {(202, None)}, history.statuses
    once = all(len(event.arrivals) == 1 for event in history.events.values())
    assert once, "a session was resumed, and events came again"


def test_sessions_that_end_during_a_network_failure_lose_nothing(network, rng):  # noqa: F811
    network = network("--session-timeout", "1s", "--heartbeat", "300ms")
    sidecars, history, workers = setting(network)
    run_under_load(workers, lambda: disturb(network, rng, 3), ROUNDS)
    drain_and_check(history, workers, sidecars[1], crashes=0)
    assert set(history.statuses) == {(202, None)}, history.statuses
