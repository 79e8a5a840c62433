"""/metrics as Prometheus reads it: well-formed text, counters that count and never fall, the limit on series per queue
and topic, and alerts and a dashboard that use only existing metrics."""
import concurrent.futures
import json
import pathlib
import re

import pytest

from conftest import call, run

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"
SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)$')


def scrape(sidecar):
    """Returns {(name, labels): value}, after checking that every family is announced once, before its samples, and that
    no series occurs twice."""
    answer = sidecar.ops("GET", "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    types, samples, family = {}, {}, None
    for line in answer.body.decode().splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in types and len(line.split(" ", 3)[3]) > 0
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family
            types[family] = line.split(" ")[3]
        else:
            name, labels, value = SAMPLE.match(line).groups()
            stem = re.sub("_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
            assert stem == family
            assert (name, labels) not in samples
            samples[name, labels] = float(value)
    for name, kind in types.items():
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search("_(ms|us|milliseconds|kb|mb)$", name)
    return samples


def queues_of(samples):
    return {labels for name, labels in samples if name == "sluice_queue_ready"}


def test_metrics_are_well_formed_and_count(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    s.declare("q", capacity=2)
    assert [s.publish("q", query="?wait=0s").status for _ in range(3)] == [202, 202, 429]
    taken = s.take("q", wait="5s").json["events"]
    s.ack("q", taken[0]["receipt"])
    s.ops("POST", "/v1/queues/q/pause")
    s.http("GET", "/v1/nothing")
    samples = scrape(s)
    route = 'method="POST",route="/v1/queues/{q}/events"'
    for series, value in {
        ("sluice_http_requests_total", route + ',status="202"'): 2,
        ("sluice_http_requests_total", route + ',status="429"'): 1,
        ("sluice_http_requests_total", 'method="any",route="none",status="404"'): 1,
        ("sluice_http_request_duration_seconds_count", route): 3,
        ("sluice_http_request_duration_seconds_bucket", route + ',le="+Inf"'): 3,
        ("sluice_published_events_total", 'result="confirmed"'): 2,
        ("sluice_published_events_total", 'result="full"'): 1,
        ("sluice_taken_events_total", None): 1,
        ("sluice_held_events", None): 0,
        ("sluice_attached", None): 1,
        ("sluice_queue_ready", 'queue="q"'): 1,
        ("sluice_queue_paused", 'queue="q"'): 1,
        ("sluice_queue_closed", 'queue="q"'): 0,
        ("sluice_queue_capacity", 'queue="q"'): 2,
        ("sluice_queue_capacity_bytes", 'queue="q"'): 64 << 20,
        ("sluice_queue_accepted_total", 'queue="q"'): 2,
        ("sluice_queue_acked_total", 'queue="q"'): 1,
        ("sluice_queue_refused_total", 'queue="q"'): 1,
        ("sluice_queue_consumers", 'queue="q"'): 1,
        ("sluice_broker_queues", None): 1,
    }.items():
        assert samples[series] == value, series
    assert samples["sluice_http_request_duration_seconds_sum", route] > 0


def test_queues_beyond_the_limit_are_summed_up_and_pinned_ones_do_not_count(cluster, broker):
    s = cluster.sidecar(broker, "--operations", "--metrics-queues", "2", "--metrics-pin", "p*")
    for name in ("a", "b", "c", "other", "pinned"):
        s.declare(name)
        s.publish(name)
    samples = scrape(s)
    assert queues_of(samples) == {'queue="a"', 'queue="b"', 'queue="pinned"', 'queue="other"'}
    assert samples["sluice_queue_ready", 'queue="other"'] == 2
    s.ops("DELETE", "/v1/queues/a?force=true")
    assert queues_of(scrape(s)) == {'queue="b"', 'queue="pinned"', 'queue="other"'}


def test_the_counters_of_other_never_fall(cluster, broker):
    """Prometheus takes a counter that falls for one that restarted at 0, and its rate() jumps."""
    s = cluster.sidecar(broker, "--operations", "--metrics-queues", "0")

    def others():
        samples = scrape(s)
        return (*(samples["sluice_queue_" + name, 'queue="other"']
                  for name in ("accepted_total", "purged_total", "ready")),
                samples["sluice_topic_accepted_total", 'topic="other"'])

    for name in "a", "b":
        s.declare(name)
    for name in "s", "t":
        assert s.http("PUT", f"/v1/topics/{name}", {"unrouted": "drop"}).status == 201
        assert s.http("POST", f"/v1/topics/{name}/events", "x").status == 202
    s.publish("a")
    assert others() == (0, 0, 1, 0)  # events from before the first scrape do not count as an increase
    for name in "a", "a", "b":
        s.publish(name)
        s.http("POST", "/v1/topics/t/events", "x")
    assert others() == (3, 0, 4, 3)
    s.ops("DELETE", "/v1/queues/a?force=true")
    s.ops("DELETE", "/v1/topics/t")
    assert others() == (3, 0, 1, 3)
    s.declare("a")
    s.publish("a")
    s.ops("POST", "/v1/queues/b/purge")
    assert others() == (4, 1, 1, 3)


def test_more_than_a_page_of_queues_and_topics_is_exported(cluster, tmp_path):
    names = [f"{i:04d}" for i in range(1003)]  # a page holds 1,000
    config = tmp_path / "broker.yaml"
    config.write_text("queues:\n" + "".join(f"  q{n}: {{}}\n" for n in names) +
                      "topics:\n" + "".join(f"  t{n}: {{unrouted: drop}}\n" for n in names))
    broker = cluster.broker("--config", str(config))
    s = cluster.sidecar(broker, "--operations", "--metrics-queues", "2004")
    scrape(s)  # the counters of "other" start with the first scrape
    for name in ("q0000", "q1002"):
        s.publish(name)
    for name in ("t0000", "t1001", "t1002"):
        assert s.http("POST", f"/v1/topics/{name}/events", "x", {"Content-Type": "text/plain"}).status == 202
    samples = scrape(s)
    assert queues_of(samples) == {f'queue="q{n}"' for n in names}
    assert samples["sluice_queue_ready", 'queue="q1002"'] == 1
    own = {labels for name, labels in samples if name == "sluice_topic_dropped_total"}
    # 1,003 queues and 1,001 topics are the limit of 2,004.
    assert own == {f'topic="t{n}"' for n in names[:1001]} | {'topic="other"'}
    assert samples["sluice_topic_dropped_total", 'topic="t0000"'] == 1
    assert samples["sluice_topic_dropped_total", 'topic="other"'] == 2
    told = run("sluice", "queue", "list", "--names", environment={"SLUICE_URL": "http://" + s.ready["http"]})
    assert told.stdout.split() == [f"q{n}" for n in names]


def test_scrapes_at_the_same_time_do_not_mix(cluster, broker):
    s = cluster.sidecar(broker, "--operations", "--metrics-queues", "0")
    for i in range(30):
        s.declare(f"q{i}")
        s.publish(f"q{i}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for samples in pool.map(lambda _: scrape(s), range(40)):
            assert samples["sluice_queue_ready", 'queue="other"'] == 30


def test_without_operations_a_sidecar_exports_only_its_own_metrics(cluster, broker):
    s = cluster.sidecar(broker, "--probe", "127.0.0.1:0")
    s.declare("q")
    text = call(s.ready["probe"], "GET", "/metrics").body.decode()
    assert "sluice_attached 1" in text and "sluice_queue" not in text and "sluice_broker" not in text


def usage(samples, whose):
    return {name: samples[f"{whose}_{name}", None]
            for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds")}


def test_both_processes_export_their_resource_usage(cluster, broker):
    s = cluster.sidecar(broker, "--operations")
    s.declare("q", durability="memory")
    before = scrape(s)
    for process, whose in (s, "process"), (broker, "sluice_broker"):
        told, proc = usage(before, whose), pathlib.Path(f"/proc/{process.popen.pid}")
        assert 0 < told["cpu_seconds_total"] < 60
        resident = int((proc / "statm").read_text().split()[1]) * 4096
        assert told["resident_memory_bytes"] == pytest.approx(resident, rel=0.2)
        assert told["open_fds"] == pytest.approx(len(list((proc / "fd").iterdir())), abs=2)
        assert told["max_fds"] == int(re.search(r"Max open files +(\d+)", (proc / "limits").read_text())[1])
    s.publish("q", "x" * 500000)
    after = scrape(s)
    for whose in "process", "sluice_broker":
        assert usage(after, whose)["cpu_seconds_total"] > usage(before, whose)["cpu_seconds_total"]


def test_the_help_of_process_metrics_names_the_process(cluster, broker):
    text = call(cluster.sidecar(broker, "--operations").ready["ops"], "GET", "/metrics").body.decode()
    for prefix, whose in ("process", "this sidecar"), ("sluice_broker", "the broker"):
        for name in "cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds":
            assert re.search(rf"^# HELP {prefix}_{name} .* of {whose}$", text, re.M), (prefix, name)


def test_the_disk_has_metrics(cluster):
    broker = cluster.broker("--disk-budget", "1GiB")
    s = cluster.sidecar(broker, "--operations")
    s.declare("q", durability="disk")
    before = scrape(s)
    assert before["sluice_broker_disk_budget_bytes", None] == 1 << 30 and before["sluice_broker_disk_full", None] == 0
    for _ in range(3):
        s.publish("q", "x" * 1000)  # each one waits for a sync of its own
    after = scrape(s)
    assert after["sluice_broker_disk_syncs_total", None] >= before["sluice_broker_disk_syncs_total", None] + 3
    written = (after["sluice_broker_disk_written_bytes_total", None] -
               before["sluice_broker_disk_written_bytes_total", None])
    assert 3000 < written < 6000
    assert after["sluice_broker_disk_used_bytes", None] >= 32 << 20
    assert after["sluice_broker_disk_carried_groups_total", None] == 0  # every group found a place in a segment


def test_the_alerts_and_the_dashboard_use_existing_series(cluster, broker):
    rules = (DEPLOY / "prometheus/alerts.yaml").read_text()
    dashboard = json.loads((DEPLOY / "grafana/sluice.json").read_text())
    variables = {v["name"]: v["query"] for v in dashboard["templating"]["list"]}
    targets = [t for panel in dashboard["panels"] for t in panel.get("targets", [])]
    queries = "\n".join([t["expr"] for t in targets] + [v["query"] for v in variables.values() if isinstance(v, dict)])
    s = cluster.sidecar(broker, "--operations", "--app-name", "shop")
    s.declare("q")
    assert s.publish("q").status == 202  # a route has durations only once it was used
    assert s.http("PUT", "/v1/topics/t", {}).status == 201
    assert s.http("PUT", "/v1/subscriptions/s", {"queue": "q", "url": "http://127.0.0.1:1/"}).status == 201
    samples = scrape(s)
    for text, at_least in (rules, 15), (queries, 30):
        asked = set(re.findall(r"\b(?:sluice|process)_[a-z_]+", text))
        assert len(asked) > at_least and asked <= {name for name, _ in samples}, asked - {name for name, _ in samples}
    labels = {label for _, of in samples for label in re.findall(r'(\w+)="', of or "")} | {"instance", "job"}
    labels |= set(re.findall(r'label_replace\(.*, "(\w+)", "\w+", "", ""\)', rules))
    assert set(re.findall(r"\$labels\.(\w+)", rules)) <= labels
    assert set(re.findall(r"\{\{(\w+)\}\}", json.dumps(targets))) <= labels
    named = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(dashboard)))
    assert named == set(variables), "a variable that nobody defines, or that nothing uses"


def test_the_dashboards_layout_is_valid_and_each_panel_says_what_is_healthy():
    dashboard = json.loads((DEPLOY / "grafana/sluice.json").read_text())
    assert (dashboard["uid"], dashboard["schemaVersion"], dashboard["id"]) == ("sluice", 42, None)
    panels, taken = dashboard["panels"], set()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert cells and at["x"] >= 0 and at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert re.search(r"\bHealthy: \w.*\.$", panel["description"]), panel["title"]
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"]) > 0, panel["title"]
        assert {of["datasource"]["uid"] for of in (panel, *panel["targets"])} == {"${datasource}"}, panel["title"]
