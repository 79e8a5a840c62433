"""Dapr's own JavaScript SDK, unmodified: it publishes through a sidecar over HTTP, and an application built on it is
pushed to.

The version is pinned in tests/integration/dapr/package-lock.json. The SDK is installed into build/sdk; the tests are
skipped, with the reason, where the npm registry cannot be reached.
"""
import itertools
import json
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import balanced_ledger, free_port
from test_sdks import SDK, install

HERE = pathlib.Path(__file__).parent / "dapr"
HOME = SDK / "dapr"
PATIENCE = 60


@pytest.fixture(scope="module")
def sdk():
    """Installs the SDK and returns the directory with the programs and their modules."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm here")
    HOME.mkdir(parents=True, exist_ok=True)
    installed = HOME / "node_modules/.package-lock.json"
    lock = (HERE / "package-lock.json").read_bytes()
    present = HOME / "package-lock.json"
    fresh = installed.exists() and present.exists() and present.read_bytes() == lock
    for file in HERE.iterdir():
        shutil.copy(file, HOME)
    if not fresh:
        install("npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(HOME),
                what="Dapr's SDK")
    return HOME


def said(line):
    return json.loads(line.removeprefix("::")) if line.startswith("::") else None


def port_of(address):
    return address.rsplit(":", 1)[1]


def test_the_sdk_publishes_through_the_sidecar(sidecar, sdk):
    sidecar.declare("orders")
    sidecar.declare("full", capacity=1, overflow="reject")
    sidecar.publish("full")
    sidecar.http("PUT", "/v1/topics/news")
    sidecar.http("PUT", "/v1/topics/news/bindings/orders")
    done = subprocess.run(["node", str(sdk / "publish.js"), port_of(sidecar.ready["http"])], capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    came = dict(filter(None, map(said, done.stdout.splitlines())))
    assert came.pop("healthy") is True
    assert came.pop("metadata")["components"][0]["name"] == "sluice"
    nowhere, full = came.pop("nowhere"), came.pop("full")
    assert (nowhere["status"], json.loads(nowhere["error_msg"])["errorCode"]) == (404, "ERR_PUBSUB_NOT_FOUND")
    assert (full["status"], json.loads(full["error_msg"])["errorCode"]) == (500, "ERR_PUBSUB_PUBLISH_MESSAGE")
    assert came == dict.fromkeys(("object", "text", "bytes", "event", "raw", "short-lived", "topic")), came
    events = [taken["event"] for taken in sidecar.take("orders", max=10, wait="20s").json["events"]]
    assert [e["type"] for e in events] == [*["com.dapr.event.sent"] * 3, "order.placed", "sluice.event", "offer",
                                           "com.dapr.event.sent"]
    assert (events[0]["data"], events[1]["data"]) == ({"item": "bücher", "count": 2}, "plain words")
    assert (events[1]["datacontenttype"], events[2]["data_base64"]) == ("text/plain", "AP8K")
    assert (events[3]["id"], events[3]["source"], events[3]["data"],
            events[3]["topic"]) == ("42", "/shop", {"n": 1}, "orders")
    assert (events[4]["data"], events[6]["topic"]) == ({"raw": True}, "news")
    assert "pubsubname" not in events[4] and all(e["pubsubname"] == "sluice" for e in events[:4])
    assert balanced_ledger(sidecar, "orders")["accepted"] == 7


def test_an_application_built_on_the_sdk_is_pushed_to(cluster, broker, sdk):
    sidecar = cluster.sidecar(broker, "--app-name", "shop")
    sidecar.declare("orders", backoff="0s")
    port = free_port()
    app = subprocess.Popen(["node", str(sdk / "subscribe.js"), port_of(sidecar.ready["http"]), str(port)],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    patience = threading.Timer(PATIENCE, app.kill)
    patience.start()
    try:
        words = filter(None, map(said, app.stdout))
        assert next(words, None) == ["started"], app.communicate()
        wants, = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/dapr/subscribe", timeout=PATIENCE))
        assert (wants["pubsubname"], wants["topic"]) == ("sluice", "orders")
        url = f"http://127.0.0.1:{port}{wants['route']}"
        assert sidecar.http("PUT", "/v1/subscriptions/s",
                            {"queue": "orders", "url": url, "dialect": "dapr"}).status == 201
        kind = {"Content-Type": "application/json"}
        for does in ("ack", "retry", "drop"):
            assert sidecar.http("POST", "/v1.0/publish/sluice/orders", {"does": does}, kind).status == 204
        got = list(itertools.islice(words, 4))
        assert sorted(data["does"] for _, data, _ in got) == ["ack", "drop", "retry", "retry"], got
        assert {kind for *_, kind in got} == {"application/cloudevents+json"}
        end = time.monotonic() + PATIENCE
        while (ledger := balanced_ledger(sidecar, "orders"))["remaining"]:
            assert time.monotonic() < end, ledger
        assert (ledger["acked"], ledger["dead_lettered"]) == (2, 1)
        dead, = sidecar.http("GET", "/v1/queues/orders/peek?state=dead").json["events"]
        assert (dead["event"]["data"], dead["trouble"]["reason"]) == ({"does": "drop"}, "dropped_by_app")
    finally:
        patience.cancel()
        app.kill()
        app.communicate()


def test_health_and_metadata_match_the_dapr_api(cluster, broker):
    sidecar = cluster.sidecar(broker, "--app-name", "shop")
    for path in ("/v1.0/healthz", "/v1.0/healthz/outbound"):
        answer = sidecar.http("GET", path)
        assert (answer.status, answer.body) == (204, b"")
    assert sidecar.http("GET", "/v1.0/metadata").json["id"] == "shop"
    away = cluster.sidecar("tcp://127.0.0.1:1")
    for path, code in (("/v1.0/healthz", "ERR_HEALTH_NOT_READY"),
                       ("/v1.0/healthz/outbound", "ERR_OUTBOUND_HEALTH_NOT_READY")):
        answer = away.http("GET", path)
        assert (answer.status, answer.json["errorCode"]) == (500, code) and answer.json["message"]
    assert away.http("GET", "/v1.0/metadata").status == 200
