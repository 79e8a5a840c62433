"""Runs every query of deploy/grafana/sluice.json on a real Prometheus that scrapes a broker and two sidecars at work.
Then kills the broker and checks what the first row of panels shows.

    dashboard.py PROMETHEUS        PROMETHEUS is the program; SLUICE_BIN says which build to run
"""
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from conftest import Cluster, free_port  # noqa: E402
from pushing import Application  # noqa: E402

DASHBOARD = json.loads((ROOT / "deploy/grafana/sluice.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PATIENCE = 60


class Prometheus:
    def __init__(self, program, directory, sidecars):
        self.address = f"127.0.0.1:{free_port()}"
        config = directory / "prometheus.yml"
        targets = [s.ready["ops"] for s in sidecars]
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [
            {"job_name": "sluice", "static_configs": [{"targets": targets}]}]}))  # JSON is YAML
        self.log = directory / "prometheus.log"
        self.popen = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={directory / 'series'}",
             f"--web.listen-address={self.address}"], stdout=subprocess.DEVNULL, stderr=self.log.open("w"))

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise OSError(f"{parameters}: {error.read().decode()}") from None

    def end(self):
        self.popen.terminate()
        self.popen.wait(timeout=30)


def ask(prometheus, expression):
    """Runs an expression as Grafana would with all variables set to All. Returns the current [(labels, value)]. Raises
    OSError if it does not parse."""
    for variable in DASHBOARD["templating"]["list"]:
        expression = expression.replace("$" + variable["name"], variable.get("allValue", ""))
    found = prometheus.get("query", query=expression.replace("$__rate_interval", "5s"))["result"]
    return [(series["metric"], float(series["value"][1])) for series in found]


def eventually(what, condition, meanwhile=lambda: None):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        meanwhile()
        time.sleep(0.2)


def has_an_answer(prometheus, expression, legend):
    """Whether the query has values, which must carry the labels that the legend names. A default ("or vector(0)") does
    not count."""
    found = ask(prometheus, expression.removesuffix(" or on () vector(0)"))
    for labels, _ in found:
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= set(labels), (legend, labels)
    return any(value == value for _, value in found)


def shown(prometheus, title):
    """Returns what a panel of the first row shows, by refId."""
    panel = next(p for p in PANELS if p["title"] == title and p["type"] == "stat")
    return {t["refId"]: [value for _, value in ask(prometheus, t["expr"])] for t in panel["targets"]}


def is_up(prometheus):
    assert prometheus.popen.poll() is None, prometheus.log.read_text()
    try:
        return prometheus.get("query", query="sum(sluice_attached)")["result"][0]["value"][1] == "2"
    except (OSError, IndexError):
        return False


def check(prometheus, broker, operations, shop):
    def work():
        shop.publish("pushed")
        shop.publish("taken")
        shop.publish("everything")  # a topic's name
        for taken in shop.take("taken", max=9).json["events"]:
            shop.ack("taken", taken["receipt"])

    eventually("Prometheus has both sidecars", lambda: is_up(prometheus))
    for panel in PANELS:
        for target in panel["targets"]:
            eventually(f"{panel['title']}: nothing answers {target['expr']}",
                       lambda: has_an_answer(prometheus, target["expr"], target["legendFormat"]), work)
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            values = prometheus.get(f"label/{label}/values", **{"match[]": re.sub(r"\$\w+", ".*", series)})
            assert values, variable["name"]

    for _ in range(3):
        operations.publish("backlog")
    eventually("3 of 4 are 75 %", lambda: shown(prometheus, "Fullest queue") == {"A": [0.75]})
    assert shown(prometheus, "Sidecars") == {"A": [2], "B": [0]} and shown(prometheus, "Broker")["A"][0] > 0
    assert shown(prometheus, "Disk")["B"] == [0] and shown(prometheus, "Waiting publishers") == {"A": [0]}
    broker.kill()
    eventually("a dead broker is seen", lambda: shown(prometheus, "Broker") == {"A": [0]})
    eventually("and its sidecars", lambda: shown(prometheus, "Sidecars") == {"A": [0], "B": [2]})
    assert shown(prometheus, "Waiting publishers") == {"A": []}  # unknown, and not 0


def main():
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as ends:
        directory = pathlib.Path(directory)
        application, cluster = Application(), Cluster(directory)
        ends.callback(application.stop)
        ends.callback(lambda: [process.kill() for process in reversed(cluster.processes)])
        broker = cluster.broker()
        operations, shop = cluster.sidecar(broker, "--operations"), cluster.sidecar(broker, "--app-name", "shop")
        for queue, capacity in ("taken", 1000), ("pushed", 1000), ("backlog", 4):
            shop.declare(queue, capacity=capacity)
        for path in "/v1/topics/everything", "/v1/topics/everything/bindings/taken":
            assert shop.http("PUT", path, {}).status < 300
        assert shop.http("PUT", "/v1/subscriptions/s", {"queue": "pushed", "url": application.url}).status == 201
        prometheus = Prometheus(sys.argv[1], directory, [operations, shop])
        ends.callback(prometheus.end)
        check(prometheus, broker, operations, shop)
    queries = sum(len(p["targets"]) for p in PANELS)
    print(f"the dashboard: Prometheus answers the {queries} queries of {len(PANELS)} panels")


main()
