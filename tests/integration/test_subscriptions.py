"""Subscriptions: which URLs they may push to, the calls that manage them, subscriptions in the configuration file and
stored at the broker, and their metrics. The pushes themselves: test_push.py."""
import http.client
import json
import re
import threading

import pytest
import zmq

from conftest import balanced_ledger, run, until
from pushing import application, get_subscription, named, subscribe, until_acked, until_state
from rawclient import fields


# ------------------------------------------------------------------ URLs


def test_events_are_pushed_to_a_unix_socket(named, application, tmp_path):
    path = str(tmp_path / "app.sock")
    app = application(address=path)
    subscribe(named, f"unix:{path}:/in?x=1")
    named.publish("q", "by socket")
    got = app.wait(1)[0]
    assert (got.path, got.body, got.headers["Host"]) == ("/in?x=1", b"by socket", "localhost")
    until_acked(named, 1)


def test_a_push_cannot_reach_calls_that_its_application_may_not_make(named):
    """The sidecar that pushes can reach the operations listener; its application may not use it that way."""
    named.declare("victim")
    named.publish("victim")
    subscribe(named, f"http://{named.ready['ops']}/v1/queues/victim/purge")
    named.publish("q")
    assert until(lambda: get_subscription(named)["last_status"]) == 403
    assert balanced_ledger(named, "victim")["purged"] == 0


@pytest.mark.parametrize("url,says", [
    ("http://example.com/", "push.allow"), ("http://10.0.0.1/", "push.allow"), ("http://[::2]/", "push.allow"),
    ("http://127.evil.example/", "push.allow"), ("http://127.0.0.1@example.com/", "user or password"),
    ("https://127.0.0.1/", "TLS"), ("file:///etc/passwd", "http://"), ("http://127.0.0.1:99999/", "http://"),
    ("http://127.0.0.1/#x", "percent-encoded"), ("http://127.0.0.1/a b", "percent-encoded"), ("unix:x", "unix:/SOCKET"),
    ("http://example.com\\@127.0.0.1/", "percent-encoded"), ("", "1 to 2048"),
])
def test_bad_push_urls_are_refused(named, url, says):
    answer = named.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": url})
    assert answer.status == 400 and says in answer.json["detail"], answer.body


def test_a_host_beyond_loopback_must_be_listed(cluster, broker):
    s = cluster.sidecar(broker, "--app-name", "shop", "--push-allow", "example.invalid:81")
    assert s.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": "http://example.invalid:82/"}).status == 400
    assert subscribe(s, "http://example.invalid:81/")["state"] == "active"


# ------------------------------------------------------------------ calls


def test_calls_and_their_refusals(named, application):
    app = application()
    path = "/v1/subscriptions/"
    url = {"queue": "q", "url": app.url}
    assert named.http("PUT", path + "b", url).status == 201
    assert named.http("PUT", path + "b", url).status == 200
    assert named.http("PUT", path + "a", {**url, "concurrency": 7, "timeout": "2s"}).status == 201
    kept = named.http("PUT", path + "a", {"concurrency": 8}).json
    assert (kept["concurrency"], kept["timeout"], kept["url"]) == (8, "2s", app.url)
    both = named.http("GET", "/v1/subscriptions").json
    assert list(both["subscriptions"]) == ["a", "b"] and both["next"] is None
    page = named.http("GET", "/v1/subscriptions?limit=1").json
    assert list(page["subscriptions"]) == ["a"] and page["next"] == "a"
    assert list(named.http("GET", "/v1/subscriptions?after=a").json["subscriptions"]) == ["b"]
    for body, says in [({"queue": "q"}, "'url' is missing"), ({"url": app.url}, "'queue' is missing"),
                       ({**url, "concurency": 1}, "did you mean 'concurrency'"),
                       ({**url, "concurrency": 0}, "between 1"),
                       ({**url, "timeout": 5}, "duration"), ({**url, "dialect": "soap"}, "cloudevents or dapr"),
                       ({**url, "dialect": "dapr", "handshake": True}, "dapr has none"),
                       ({**url, "handshake": 1}, "true or false"), ({**url, "handshake": None}, "null"),
                       ([], "JSON object"),
                       ({**url, "queue": "a b"}, "name"), ("{", "JSON object"), ({**url, "url": True}, "string")]:
        answer = named.http("PUT", path + "c", body)
        assert answer.status == 400 and says in answer.json["detail"], answer.body
    assert named.http("PUT", path + "c", url, {"If-None-Match": "*"}).status == 400
    assert named.http("PUT", path + "c%20c", url).status == 400
    assert named.http("GET", "/v1/subscriptions?limit=0").status == 400
    assert named.http("GET", path + "c").status == named.http("DELETE", path + "c").status == 404


def test_a_sidecar_without_a_name_has_no_subscriptions(sidecar):
    answer = sidecar.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": "http://127.0.0.1:1/"})
    assert answer.status == 400 and "app.name" in answer.json["detail"]
    assert sidecar.http("GET", "/v1/subscriptions").json == {"subscriptions": {}, "next": None}
    for method in ("GET", "DELETE"):
        answer = sidecar.http(method, "/v1/subscriptions/s")
        assert answer.status == 404 and "app.name" in answer.json["detail"], answer.body


def test_a_sidecar_without_a_name_deletes_no_other_applications_subscription(cluster, broker):
    # "sluice" is the name that a nameless sidecar gives itself in wrapped events.
    named = cluster.sidecar(broker, "--app-name", "sluice")
    assert named.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": "http://127.0.0.1:1/"}).status == 201
    nameless = cluster.sidecar(broker)
    assert nameless.http("DELETE", "/v1/subscriptions/s").status == 404
    assert named.http("GET", "/v1/subscriptions/s").status == 200


# ------------------------------------------------------------------ in the configuration file


def test_subscriptions_can_come_from_the_configuration_file(cluster, broker, application, tmp_path):
    app = application()
    file = tmp_path / "sidecar.yaml"
    file.write_text("app: {name: shop}\nsubscriptions:\n  in.q:\n    queue: q\n"
                    f"    url: {app.url}\n    concurrency: 3\n    timeout: 5s\n    dialect: cloudevents\n"
                    "    handshake: false\n")
    s = cluster.sidecar(broker, "--config", str(file))
    s.declare("q")
    s.publish("q")
    app.wait(1)
    shown = get_subscription(s, "in.q")
    assert (shown["managed"], shown["concurrency"], shown["timeout"]) == ("config", 3, "5s")
    for method, body in (("PUT", {"concurrency": 1}), ("DELETE", None)):
        answer = s.http(method, "/v1/subscriptions/in.q", body)
        assert (answer.status, answer.json["reason"]) == (409, "managed"), answer.body


@pytest.mark.parametrize("text,says", [
    ("app: {name: a}\nsubscriptions: {s: {queue: q, concurency: 1, url: 'http://127.0.0.1/'}}",
     "2: unknown key 'concurency'; did you mean 'concurrency'?"),
    ("app: {name: a}\nsubscriptions: {s: {queue: q}}", "subscription 's': 'url' is missing"),
    ("app: {name: a}\nsubscriptions: {s: {queue: q, url: 'http://example.com/'}}", "push.allow"),
    ("subscriptions: {s: {queue: q, url: 'http://127.0.0.1/'}}", "app.name"),
    ("app: {name: a}\nsubscriptions: {s: 5}", "2: a subscription's keys are expected"),
    ("app: {name: a}\nsubscriptions: {s: {concurrency: many}}", "2: 'concurrency' must be a whole number"),
    ("app: {name: a}\nsubscriptions: {'a b': {queue: q}}", "2: 'a b' is not a valid subscription name"),
    ("app: {name: a}\nsubscriptions: {s: {}}", "2: a subscription's keys are expected"),
])
def test_mistakes_in_the_configuration_file_are_named(tmp_path, text, says):
    file = tmp_path / "sidecar.yaml"
    file.write_text(text + "\n")
    for command in (["sluice-sidecar", "--config", str(file)], ["sluice", "config", "check", "sidecar", str(file)]):
        done = run(*command)
        assert done.returncode != 0 and says in done.stderr + done.stdout, done.stderr


# ---------------------------------------------------------------- stored at the broker


def of(cluster, broker, app="shop"):
    return cluster.sidecar(broker, "--app-name", app)


def names(sidecar):
    return sorted(sidecar.http("GET", "/v1/subscriptions").json["subscriptions"])


def test_a_subscription_survives_its_sidecar_and_the_broker(cluster, application, tmp_path):
    app = application()
    endpoint = f"ipc://{tmp_path}/broker"
    broker = cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
    first = of(cluster, broker)
    first.declare("q")
    subscribe(first, app.url, concurrency=7)
    first.stop()
    second = of(cluster, broker)
    until(lambda: names(second) == ["s"])
    assert get_subscription(second)["concurrency"] == 7
    broker.kill()
    cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=endpoint)
    second.wait_attached()
    second.publish("q", "pushed", query="?wait=30s")
    app.wait(1)
    third = of(cluster, endpoint)
    until(lambda: third.http("GET", "/v1/subscriptions/s").status == 200)
    assert get_subscription(third)["url"] == app.url


def test_the_cli_makes_shows_changes_and_deletes_subscriptions(cluster, broker, application):
    app = application()
    shop = of(cluster, broker)
    shop.declare("q")
    environment = {"SLUICE_URL": "http://" + shop.ready["http"], "SLUICE_OPS_URL": "http://127.0.0.1:1"}

    def sluice(*arguments, status=0):
        done = run("sluice", "subscription", *arguments, environment=environment)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert sluice("list") == "sluice: there is no subscription\n"
    said = sluice("put", "s", "--queue", "q", "--to", app.url, "--timeout", "2s")
    assert re.search(rf"^s: \w+, 0 in flight.*\n  q to {re.escape(app.url)}\n  concurrency 1, timeout 2s, "
                     r"dialect cloudevents, kept by the broker\n  0 acked, ", said), said
    shop.publish("q", "pushed")
    app.wait(1)
    until(lambda: "  1 acked, 0 failed" in sluice("show", "s"))
    assert "; last status 2" in sluice("show", "s")
    changed = json.loads(sluice("put", "s", "-c", "4", "--handshake", "--json"))
    assert (changed["concurrency"], changed["handshake"], changed["queue"], changed["timeout"]) == (4, True, "q", "2s")
    assert json.loads(sluice("put", "s", "--no-handshake", "--json"))["handshake"] is False
    assert re.search(r"^t: (.*\n)+  concurrency 1, timeout 25s, dialect dapr, kept",
                     sluice("put", "t", "--queue", "q", "--to", app.url, "--dialect", "dapr"))
    assert sluice("list", "--names") == "s\nt\n"
    table = [line.split() for line in sluice("list").splitlines()]
    assert table[0] == ["SUBSCRIPTION", "QUEUE", "STATE", "IN", "FLIGHT", "ACKED", "FAILED", "URL"]
    shown = [(row[0], row[1], row[4], row[6]) for row in table[1:]]
    assert shown == [("s", "q", "1", app.url), ("t", "q", "0", app.url)]
    assert [json.loads(line)["subscription"] for line in sluice("list", "--json").splitlines()] == ["s", "t"]
    assert "deleted t\n" == sluice("delete", "t") and json.loads(sluice("delete", "s", "--json")) == {"deleted": True}
    assert "404" in sluice("show", "s", status=1) and "404" in sluice("delete", "s", status=1)
    assert "url" in sluice("put", "s", "--queue", "q", status=1)
    assert "contradict" in sluice("put", "s", "--handshake", "--no-handshake", status=2)
    for wrong in (("put",), ("show", "a", "b"), ("nothing",), ("put", "s", "--concurrency", "0"), ()):
        sluice(*wrong, status=2)


def test_stored_subscriptions_are_not_listed_before_the_broker_was_reached(cluster, application, tmp_path):
    nobody = f"ipc://{tmp_path}/nobody"
    shop = cluster.sidecar(nobody, "--app-name", "shop", attached=False)
    said = run("sluice", "subscription", "list", environment={"SLUICE_URL": "http://" + shop.ready["http"]})
    assert (said.returncode, said.stdout) == (1, "")
    assert f"no broker answers at {nobody}, so nothing was done: " in said.stderr, said.stderr
    assert "(503)" in said.stderr, said.stderr
    broker = cluster.broker("--ingress", f"ipc://{tmp_path}/ingress", listen=nobody)
    shop.wait_attached()
    shop.declare("q")
    subscribe(shop, application().url)
    assert names(of(cluster, broker)) == names(shop) == ["s"]
    broker.kill()
    assert names(shop) == ["s"]


def test_replicas_run_subscriptions_put_to_any_of_them(cluster, broker, application):
    app = application()
    first, second, other = of(cluster, broker), of(cluster, broker), of(cluster, broker, "mail")
    first.declare("q")
    subscribe(first, app.url)
    until(lambda: names(second) == ["s"])
    assert second.http("PUT", "/v1/subscriptions/s", {"concurrency": 3}).json["queue"] == "q"
    until(lambda: get_subscription(first)["concurrency"] == 3)
    assert first.http("PUT", "/v1/subscriptions/s", {"timeout": "2s"}).json["concurrency"] == 3
    assert names(other) == [] and other.http("GET", "/v1/subscriptions/s").status == 404
    assert other.http("DELETE", "/v1/subscriptions/s").status == 404
    assert other.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": app.url}).status == 201
    assert second.http("DELETE", "/v1/subscriptions/s").status == 204
    until(lambda: names(first) == [])
    assert names(other) == ["s"] and second.http("DELETE", "/v1/subscriptions/s").status == 404


def test_a_stopped_subscription_resumes_on_every_replica_only_when_it_is_put_again(cluster, broker, application):
    app = application(lambda h, n: h.respond(410 if n == 1 else 200))
    first, second = of(cluster, broker), of(cluster, broker)
    first.declare("q")
    subscribe(first, app.url)
    first.publish("q")
    until_state(first, "stopped")
    until(lambda: names(second) == ["s"])
    subscribe(second, app.url, name="another")
    until(lambda: names(first) == ["another", "s"])
    assert get_subscription(first)["state"] == "stopped"
    assert second.http("PUT", "/v1/subscriptions/s", {}).status == 200
    until(lambda: get_subscription(first)["state"] != "stopped")


def test_without_the_broker_changes_are_refused(cluster, tmp_path, application):
    app = application()
    sidecar = cluster.sidecar(f"ipc://{tmp_path}/nobody", "--app-name", "shop", attached=False)
    body = {"queue": "q", "url": app.url}
    assert sidecar.http("GET", "/v1/subscriptions/s").status == 503
    assert sidecar.http("PUT", "/v1/subscriptions/s", body).status == 503
    assert sidecar.http("DELETE", "/v1/subscriptions/s").status == 503


# ------------------------------------------------------------------ metrics


class Between:
    """A proxy between a sidecar and its broker. `come` is set when the first request has arrived; requests are
    forwarded once `open` is set, except deletes, which are discarded."""
    DELETE = 25

    def __init__(self, broker):
        self.context = zmq.Context()
        self.sidecar, self.broker = self.context.socket(zmq.ROUTER), self.context.socket(zmq.DEALER)
        self.endpoint = f"tcp://127.0.0.1:{self.sidecar.bind_to_random_port('tcp://127.0.0.1')}"
        self.broker.connect(broker.ready["broker"])
        self.come, self.open, self.over = threading.Event(), threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            if self.sidecar.poll(10):
                route, request = self.sidecar.recv_multipart()
                self.come.set()
                self.open.wait()
                if self.DELETE not in dict(fields(request)):
                    self.broker.send(request)
            if self.broker.poll(0):
                self.sidecar.send_multipart([route, self.broker.recv()])

    def close(self):
        self.open.set()
        self.over.set()
        self.thread.join()
        self.context.destroy(linger=0)


def test_a_change_sent_to_a_returning_broker_without_a_reply_is_unknown(cluster, broker):
    between = Between(broker)
    try:
        s = cluster.sidecar(between.endpoint, "--app-name", "shop")
        between.come.wait()
        connection = http.client.HTTPConnection(s.ready["http"], timeout=30)
        connection.request("DELETE", "/v1/subscriptions/s")
        assert s.ops("GET", "/livez").status == 200  # a later request is answered, so this one has arrived
        between.open.set()
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["reason"]) == (504, "unknown")
        connection.close()
    finally:
        between.close()


def test_metrics_count_the_pushes(named, application):
    app = application(lambda h, n: h.respond(500 if n == 1 else 200))
    assert b"sluice_pushes" not in named.ops("GET", "/metrics").body
    subscribe(named, app.url)
    named.publish("q")
    until_acked(named, 1)
    text = named.ops("GET", "/metrics").body.decode()
    labels = 'subscription="s",queue="q"'
    for line in (f'sluice_pushes_total{{{labels},result="acked"}} 1',
                 f'sluice_pushes_total{{{labels},result="failed"}} 1',
                 f"sluice_pushes_in_flight{{{labels}}} 0", f'sluice_subscription_state{{{labels},state="active"}} 1',
                 f"sluice_push_duration_seconds_count{{{labels}}} 2"):
        assert line + "\n" in text, (line, text)
    assert named.ops("GET", "/healthz").json["subscriptions"] == 1
