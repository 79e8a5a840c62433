"""The disk's budget runs out: publishers wait and are told, consumers go on, and service resumes by itself."""
import json
import re

from conftest import run

EVENT = "x" * 60000


def test_a_full_disk_is_507_and_what_is_acked_makes_room(cluster):
    broker = cluster.broker("--disk-budget", "80MiB", "--segment-size", "16MiB", "--auto-declare")
    s = cluster.sidecar(broker)
    environment = {"SLUICE_URL": "http://" + s.ready["http"]}
    s.declare("q", capacity_bytes="1GiB")
    s.declare("memory", durability="memory")
    published = run("sluice", "pub", "q", "--wait", "1s", "--json", input=f"{EVENT}\n" * 1300, environment=environment)
    counts = json.loads(published.stdout)
    assert published.returncode == 1 and "disk" in published.stderr
    assert counts["confirmed"] > 200 and counts["refused"] > 0 and counts["unknown"] == 0
    refused = s.publish("q", EVENT, query="?wait=0s")
    assert (refused.status, refused.json["reason"]) == (507, "disk") and refused.headers["Retry-After"]
    assert s.publish("memory").status == 202
    # what deploy/prometheus/alerts.yaml looks at
    [refusals] = re.findall(r'^sluice_published_events_total{result="disk"} (\d+)$', s.ops("GET", "/metrics").body.decode(), re.M)
    assert int(refusals) > 0
    taken = run("sluice", "sub", "q", "--count", str(counts["confirmed"]), environment=environment)
    assert (taken.returncode, taken.stderr) == (0, "")
    assert taken.stdout == f"{EVENT}\n" * counts["confirmed"]
    assert s.publish("q", EVENT, query="?wait=30s").status == 202
    assert s.http("GET", "/v1/queues/q/ledger").json == {
        "queue": "q", "accepted": counts["confirmed"] + 1, "acked": counts["confirmed"], "dead_lettered": 0, "expired": 0,
        "purged": 0, "dropped": 0, "remaining": 1}
