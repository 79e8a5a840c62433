"""What the documents show is pasted and run; what they list is compared with its source."""
import pathlib
import re
import subprocess

from conftest import BIN, Process

ROOT = pathlib.Path(__file__).parents[2]


def pasted(text, ready):
    """The documents' fixed addresses become this run's."""
    return (text.replace("localhost:8480", ready["http"]).replace("localhost:9480", ready["ops"])
            .replace("build/release/bin", str(BIN)))


def run_script(script, ready):
    environment = {"PATH": "/usr/bin:/bin", "SLUICE_URL": "http://" + ready["http"],
                   "SLUICE_OPS_URL": "http://" + ready["ops"]}
    done = subprocess.run(["bash", "-eu", "-c", pasted(script, ready)], capture_output=True, text=True, timeout=60,
                          env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start_dev(cluster, tmp_path):
    dev = Process(tmp_path, "dev", ["sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0"])
    cluster.processes.append(dev)
    return dev.ready


def test_the_readme_s_tour_works_when_pasted(cluster, tmp_path):
    steps = re.findall(r"<!-- tour -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(steps) == 5
    ready = start_dev(cluster, tmp_path)
    out = run_script("\n".join(steps), ready)
    for expected in ('"sequence":1', '"id":"42"', '"result":"acked"', '"reason":"full"', '"accepted":2', "sluice_attached 1",
                     '"openapi"', "2 confirmed", "hello\nworld"):
        assert expected in out, (expected, out)


def test_the_api_document_s_examples_work_when_pasted(cluster, tmp_path):
    steps = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/http-api.md").read_text(), re.S)
    out = run_script("\n".join(steps), start_dev(cluster, tmp_path))
    assert out.count('"sequence":') == 4


def test_every_reason_and_setting_is_documented_as_it_is():
    document = (ROOT / "docs/http-api.md").read_text()
    reasons = re.findall(r'^REASON\((\w+), \d+, (\d+), (true|false), "(.*)"\)', (ROOT / "proto/reasons.def").read_text(),
                         re.M)
    for name, status, retryable, title in reasons[1:]:
        assert f"| `{name}` | {status} | {'yes' if retryable == 'true' else 'no'} | {title} |" in document
    for name in re.findall(r"^SETTING\(\d+, (\w+)", (ROOT / "proto/queue_settings.def").read_text(), re.M):
        assert f"| `{name}` |" in document
