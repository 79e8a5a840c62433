"""A real browser: Chromium opens a page (browser.html) from another origin, whose EventSource streams a queue and whose
fetch acks the events. The page reports everything it sees to the web server it came from.

Covers which origins are admitted, and that pages reconnect and lose nothing when a sidecar or the broker goes away.
"""
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse

import pytest

from conftest import SANITIZED, balanced_ledger, until

PAGE = pathlib.Path(__file__).with_name("browser.html").read_bytes()
DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/http-api.md"
PATIENCE = 120 if SANITIZED else 60

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium here")


class Site(http.server.ThreadingHTTPServer):
    """The web server of the page, on a free port, which makes it an origin of its own."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.html = PAGE
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self.seen = []
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def page(self, sidecar, queue, **more):
        return f"{self.origin}/?" + urllib.parse.urlencode({"sidecar": f"http://{sidecar}", "queue": queue, **more})

    def of(self, kind):
        with self.changed:
            return [s for s in self.seen if s["kind"] == kind]

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), PATIENCE), self.seen

    def wait_for(self, kind, count=1):
        self.wait(lambda site: len([s for s in site.seen if s["kind"] == kind]) >= count)
        return self.of(kind)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.html)

    def do_POST(self):
        what = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.changed:
            self.server.seen.append(what)
            self.server.seen.sort(key=lambda s: s["number"])
            self.server.changed.notify_all()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with Site() as s:
        yield s
        s.shutdown()


@pytest.fixture
def browse(tmp_path):
    """Opens a page in a browser that can reach only this machine."""
    with contextlib.ExitStack() as stack:
        def browse(url):
            log = stack.enter_context((tmp_path / "chromium.log").open("w"))
            flags = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
                     "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
                     "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                     f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0"]
            if os.geteuid() == 0:
                flags.append("--no-sandbox")  # Chromium's sandbox does not work for root
            browser = subprocess.Popen(["chromium", *flags, url], stdout=log, stderr=log,
                                       env={**os.environ, "HOME": str(tmp_path)})
            stack.callback(browser.wait)
            stack.callback(browser.terminate)
        yield browse


@pytest.fixture
def allowing(cluster, tmp_path, site):
    """Starts sidecars that list the page's origin in allow.origins."""
    config = tmp_path / "allowing.yaml"
    config.write_text(f"allow:\n  origins: [\"{site.origin}\"]\n")

    def allowing(broker, *flags):
        return cluster.sidecar(broker, "--config", str(config), *flags)
    return allowing


def first_seen(site):
    """Returns the sequences in the order of their first arrival."""
    return list(dict.fromkeys(s["sequence"] for s in site.of("event")))


def until_acked(sidecar, queue, count):
    until(lambda: balanced_ledger(sidecar, queue)["acked"] >= count, PATIENCE)
    return balanced_ledger(sidecar, queue)


def wait_acked(site, sidecar, count):
    site.wait_for("acked", count)
    return until_acked(sidecar, "q", count)


def test_a_page_of_an_allowed_origin_streams_acks_and_reads_answers(broker, allowing, site, browse):
    sidecar = allowing(broker)
    sidecar.declare("q", capacity=77)
    for i in range(3):
        sidecar.publish("q", f"before {i}")
    browse(site.page(sidecar.ready["http"], "q", ask="yes", window=4))
    described = site.wait_for("described")[0]
    assert (described["status"], described["capacity"]) == (200, 77)
    site.wait_for("event", 3)
    for i in range(20):
        sidecar.publish("q", f"later {i}")
    ledger = wait_acked(site, sidecar, 23)
    assert (ledger["accepted"], ledger["remaining"]) == (23, 0)
    events = site.of("event")
    assert [e["data"] for e in events] == [f"before {i}" for i in range(3)] + [f"later {i}" for i in range(20)]
    assert all(e["id"] == str(e["sequence"]) and e["attempt"] == 1 for e in events)
    assert not site.of("unacked") and not site.of("error")


def test_a_page_of_another_origin_gets_nothing_and_takes_nothing(sidecar, site, browse):
    sidecar.declare("q")
    sidecar.publish("q")
    browse(site.page(sidecar.ready["http"], "q", ask="yes"))
    assert site.wait_for("error")[0]["closed"]
    site.wait_for("undescribed")
    described = sidecar.http("GET", "/v1/queues/q").json
    assert (described["ready"], described["in_flight"], described["consumer"]) == (1, 0, None)


def test_requests_that_a_browser_makes_without_cors_take_no_events(sidecar, site, browse):
    """For images and no-cors requests a browser sends no Origin and hides the answer from the page; but a stream that
    started would still take events."""
    sidecar.declare("q")
    sidecar.publish("q")
    stream = f"http://{sidecar.ready['http']}/v1/queues/q/stream"
    site.html = f"""<script>
        const tell = (kind) => () => fetch("/seen", {{ method: "POST", body: JSON.stringify({{ kind, number: 0 }}) }});
        fetch("{stream}", {{ mode: "no-cors" }}).then(tell("fetched"), tell("fetched"));
        const image = new Image();
        image.onload = image.onerror = tell("image");
        image.src = "{stream}?window=2";</script>""".encode()
    browse(site.origin)
    site.wait_for("fetched")
    site.wait_for("image")
    assert sidecar.http("GET", "/v1/queues/q/events/1").json["attempts"] == []


def test_the_documented_page_works_when_pasted(broker, allowing, site, browse):
    """Its output is reported to its server."""
    sidecar = allowing(broker)
    sidecar.declare("orders")
    script, = re.findall(r"```js\n(.*?)```", DOCUMENT.read_text(), re.S)
    site.html = ("""<script>let number = 0; console.log = (...words) => fetch("/seen", {
        method: "POST", body: JSON.stringify({ kind: "printed", number: number++, words }) });</script><script>""" +
                 script.replace("localhost:8480", sidecar.ready["http"]) + "</script>").encode()
    browse(site.origin)
    sidecar.publish("orders", '{"item": "book"}', {"Content-Type": "application/json"})
    assert site.wait_for("printed")[0]["words"] == [1, 1, {"item": "book"}]
    until_acked(sidecar, "orders", 1)
    sidecar.ops("POST", "/v1/drain")
    site.wait(lambda s: any("this sidecar is draining" in p["words"][1] for p in s.seen if p["words"][0] == "paused:"))


def next_request(port):
    """Listens on the port until a browser asks for a stream there, and returns that request's headers. Nothing is
    answered."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", port))
        door.listen()
        door.settimeout(PATIENCE)
        while True:
            guest, _ = door.accept()
            with guest:
                guest.settimeout(PATIENCE)
                head = b""
                while b"\r\n\r\n" not in head and (more := guest.recv(65536)):
                    head += more
            if b"/stream?" in head.split(b"\r\n")[0]:
                lines = head.decode().split("\r\n")[1:]
                return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_page_reconnects_to_a_restarted_sidecar_and_loses_no_event(broker, cluster, allowing, site, browse, end):
    other = cluster.sidecar(broker)
    first = allowing(broker)
    other.declare("q", lease="1h")
    browse(site.page(first.ready["http"], "q"))
    site.wait_for("open")
    for i in range(10):
        other.publish("q", str(i))
    wait_acked(site, other, 10)
    getattr(first, end)()
    for i in range(10, 30):
        other.publish("q", str(i))
    request = next_request(int(first.ready["http"].rsplit(":", 1)[1]))
    assert (request["last-event-id"], request["accept"]) == ("10", "text/event-stream")
    assert request["origin"] == site.origin
    allowing(broker, "--http", first.ready["http"])
    ledger = wait_acked(site, other, 30)
    assert (ledger["accepted"], ledger["remaining"]) == (30, 0)
    assert first_seen(site) == list(range(1, 31))


def test_events_unacked_when_the_sidecar_died_are_redelivered(broker, cluster, allowing, site, browse):
    other = cluster.sidecar(broker)
    first = allowing(broker)
    other.declare("q", lease="1h")
    for i in range(6):
        other.publish("q", str(i))
    browse(site.page(first.ready["http"], "q", window=2, keep="yes"))
    site.wait_for("event", 2)
    first.kill()
    allowing(broker, "--http", first.ready["http"])
    site.wait(lambda s: len([e for e in s.seen if e["kind"] == "event"]) == 4)
    assert [(e["sequence"], e["attempt"]) for e in site.of("event")] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert balanced_ledger(other)["remaining"] == 6


def test_a_page_retries_while_the_broker_is_away_or_the_sidecar_drains(cluster, allowing, site, browse, tmp_path):
    endpoint = f"ipc://{tmp_path}/broker"
    broker = cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
    sidecar = allowing(broker)
    sidecar.declare("q")
    broker.stop()
    browse(site.page(sidecar.ready["http"], "q"))
    assert site.wait_for("end", 2)[0]["reason"] == "unavailable"
    assert all(not e["closed"] for e in site.of("error"))
    broker = cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
    sidecar.wait_attached()
    sidecar.publish("q", "one", query="?wait=30s")
    wait_acked(site, sidecar, 1)
    assert sidecar.ops("POST", "/v1/drain").status == 200
    site.wait(lambda s: [e["reason"] for e in s.seen if e["kind"] == "end"].count("draining") >= 2)
    sidecar.stop()
    again = allowing(broker, "--http", sidecar.ready["http"])
    again.publish("q", "two")
    wait_acked(site, again, 2)
    assert [e["data"] for e in site.of("event")] == ["one", "two"]
