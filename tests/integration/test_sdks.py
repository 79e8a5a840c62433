"""The official CloudEvents SDKs for Python and JavaScript, unmodified: they publish in binary and structured mode, and
read what a take returns. Pinned versions are installed into build/sdk; a test is skipped, with the reason, where the
registry cannot be reached."""
import pathlib
import shutil
import subprocess

import pytest

SDK = pathlib.Path(__file__).parents[2] / "build/sdk"
PYTHON = ["cloudevents==1.11.0", "requests==2.32.3"]
JAVASCRIPT = "cloudevents@8.0.2"

PYTHON_PROGRAM = """
import json, sys, requests
from cloudevents.http import CloudEvent, from_json
from cloudevents.conversion import to_binary, to_structured
base = sys.argv[1]
for number, convert in enumerate((to_binary, to_structured)):
    event = CloudEvent({"type": "sdk.test", "source": "/python", "subject": f"number {number}"}, {"n": number})
    headers, body = convert(event)
    answer = requests.post(base + "/v1/queues/sdk/events", data=body, headers=headers)
    assert answer.status_code == 202 and answer.json()["id"] == event["id"], answer.text
taken = requests.post(base + "/v1/queues/sdk/take?max=2&wait=5s").json()["events"]
for number, item in enumerate(taken):
    event = from_json(json.dumps(item["event"]))
    assert (event["source"], event["subject"], event.data) == ("/python", f"number {number}", {"n": number}), event
acks = requests.post(base + "/v1/queues/sdk/acks", json={"ack": [item["receipt"] for item in taken]})
assert acks.status_code == 200 and len(taken) == 2
"""

JAVASCRIPT_PROGRAM = """
const { CloudEvent, HTTP } = require("cloudevents");
const base = process.argv[2];
(async () => {
  for (const [n, encode] of [HTTP.binary, HTTP.structured].entries()) {
    const { body, headers } = encode(new CloudEvent({ type: "sdk.test", source: "/javascript", data: { n } }));
    const answer = await fetch(base + "/v1/queues/sdk/events", { method: "POST", body, headers });
    if (answer.status !== 202) throw new Error(await answer.text());
  }
  const taken = (await (await fetch(base + "/v1/queues/sdk/take?max=2&wait=5s", { method: "POST" })).json()).events;
  for (const [n, item] of taken.entries()) {
    const headers = { "content-type": "application/cloudevents+json" };
    const event = HTTP.toEvent({ headers, body: JSON.stringify(item.event) });
    if (event.source !== "/javascript" || event.data.n !== n) throw new Error(JSON.stringify(event));
  }
  if (taken.length !== 2) throw new Error("took " + taken.length);
})().catch((e) => { console.error(e); process.exit(1); });
"""


def install(*command, what):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as e:
        pytest.skip(f"{what} cannot be installed here: {e}")
    if done.returncode != 0:
        pytest.skip(f"{what} cannot be installed here: {' '.join((done.stderr or done.stdout).split())[-200:]}")


def run_program(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_python_sdk_publishes_and_reads_events(sidecar, tmp_path):
    python = SDK / "python/bin/python"
    if not python.exists():
        install("/usr/bin/python3", "-m", "venv", str(SDK / "python"), what="the Python SDK")
    install(str(python), "-m", "pip", "install", "-q", *PYTHON, what="the Python SDK")
    sidecar.declare("sdk")
    (tmp_path / "program.py").write_text(PYTHON_PROGRAM)
    run_program(str(python), str(tmp_path / "program.py"), "http://" + sidecar.ready["http"])


def test_the_javascript_sdk_publishes_and_reads_events(sidecar):
    if not shutil.which("npm"):
        pytest.skip("there is no npm here")
    home = SDK / "javascript"
    home.mkdir(parents=True, exist_ok=True)
    install("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), JAVASCRIPT,
            what="the JavaScript SDK")
    sidecar.declare("sdk")
    (home / "program.js").write_text(JAVASCRIPT_PROGRAM)
    run_program("node", str(home / "program.js"), "http://" + sidecar.ready["http"])
