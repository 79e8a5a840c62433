"""kill -9 of brokers and sidecars at random moments under load: no confirmed event is lost, and none is duplicated,
invented or out of order. The seed is printed when a test fails."""
import time

import pytest

from conftest import SANITIZED
from load import (LONG, History, Consumer, Direct, Publisher, drain_and_check, rng, ledger, restart,  # noqa: F401
                  run_under_load)  # rng is a fixture

pytestmark = pytest.mark.skipif(SANITIZED, reason="Python cannot load the library of a sanitizer's build")

ROUNDS = 100 if LONG else 10


def test_a_broker_killed_at_random_moments_loses_nothing(cluster, rng):  # noqa: F811
    broker = cluster.broker()
    sidecars = [cluster.sidecar(broker) for _ in range(3)]
    sidecars[0].declare("load", capacity=2000)
    history = History()
    workers = [Publisher(history, sidecars[i % 2], "load", f"/p{i}", batch=[1, 1, 20, 50][i]) for i in range(4)]
    workers += [Direct(history, broker, "load", "/direct"), Consumer(history, sidecars[2], "load")]

    def crash():
        nonlocal broker
        time.sleep(rng.uniform(0.01, 0.6))  # how long the broker runs before it is killed
        broker.kill()
        time.sleep(rng.choice([0, 0, rng.uniform(0, 0.3)]))
        broker = restart(cluster, broker)
        ledger(sidecars[2], "load")

    run_under_load(workers, crash, ROUNDS)
    drain_and_check(history, workers, sidecars[2], ROUNDS)
    history.check_first_deliveries()
    assert set(history.statuses) <= {(202, None), (504, "unknown")}, history.statuses


def test_sidecars_and_consumers_killed_at_random_moments_lose_nothing(cluster, rng):  # noqa: F811
    """The broker is killed now and then, too."""
    settings = "--session-timeout", "2s", "--heartbeat", "500ms"
    broker = cluster.broker(*settings)
    sidecars = [cluster.sidecar(broker) for _ in range(4)]
    sidecars[0].declare("load", capacity=2000, lease="2s", max_deliveries=250, max_crashes=250)
    history, crashes = History(), 0
    publishers = [Publisher(history, sidecars[i], "load", f"/p{i}", batch=[1, 20][i]) for i in range(2)]
    consumers = [Consumer(history, sidecars[2 + i], "load", abandon=7) for i in range(2)]
    workers = [*publishers, *consumers, Direct(history, broker, "load", "/direct")]

    def crash():
        nonlocal broker, crashes
        time.sleep(rng.uniform(0.05, 0.6))
        if rng.random() < 0.2:
            crashes += 1
            broker.kill()
            broker = restart(cluster, broker, *settings)
            return
        i = rng.randrange(4)
        sidecars[i].kill()
        sidecars[i] = cluster.sidecar(broker, attached=False)
        [*publishers, *consumers][i].use(sidecars[i])

    run_under_load(workers, crash, ROUNDS)
    drain_and_check(history, workers, sidecars[0], crashes)
    assert set(history.statuses) <= {(202, None), (504, "unknown"), (None, None)}, history.statuses
