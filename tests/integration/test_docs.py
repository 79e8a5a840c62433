"""The documentation is true: its examples are pasted and run, its configuration files are checked, its links resolve,
and its lists of reasons, settings, metrics and alerts match the sources."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import BIN, SANITIZED, Process, Sidecar, call, free_port, run, until

ROOT = pathlib.Path(__file__).parents[2]


def pasted(text, ready):
    """Replaces the fixed addresses of the documents by those of this run."""
    return (text.replace("localhost:8480", ready["http"]).replace("localhost:9480", ready["ops"])
            .replace("127.0.0.1:8480", ready["http"]).replace("build/release/bin", str(BIN)).replace("8080", str(free_port())))


def run_script(script, ready):
    # The shell already has a background job, as a reader's may have.
    script = "sleep 600 >/dev/null 2>&1 & other=$!\ntrap 'kill $other' EXIT\n" + script
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


def test_the_readmes_tour_works_when_pasted(cluster, tmp_path):
    steps = re.findall(r"<!-- tour -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(steps) == 5
    ready = start_dev(cluster, tmp_path)
    out = run_script("\n".join(steps), ready)
    for expected in ('"sequence":1', '"id":"42"', '"result":"acked"', '"reason":"full"', '"accepted":2',
                     "sluice_attached 1", '"openapi"', "2 confirmed", "hello\nworld"):
        assert expected in out, (expected, out)


def test_the_examples_in_the_http_api_document_work_when_pasted(cluster, tmp_path):
    steps = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/http-api.md").read_text(), re.S)
    out = run_script("\n".join(steps), start_dev(cluster, tmp_path))
    assert out.count('"sequence":') == 25 and out.count('"duplicate":true') == 1
    for expected in ('"queues":{"audit":1,"mail":1}', '"result":"nacked"', '"reason":"max_deliveries"',
                     '"reason":"expired"', '"error":"no such user"', '{"would_redrive":1}',
                     '{"redriven":1,"left":0}', '"sluicedeadqueue":"letters"', '"sluicedeaderror":"no such user"',
                     '"blocked_by":', '"ready_at":"2099-01-02T09:00:00Z"'):
        assert expected in out, (expected, out)
    assert "sluice.event 1 b'a job'" in out
    assert re.search(r'^id: 1\ndata: {"receipt":.*"data":"42"}}$', out, re.M)


def blocks(document, language, mark=""):
    return re.findall(rf"{mark}```{language}\n(.*?)```", (ROOT / document).read_text(), re.S)


def start_lines(cluster, tmp_path, script, environment):
    """Goes through the lines in order: starts those that end with &, unchanged except for the port, and runs the
    others."""
    script = script.replace("127.0.0.1:7400", f"127.0.0.1:{free_port()}").replace("\\\n", " ")
    started = []
    for number, line in enumerate(script.splitlines()):
        command, background, _ = line.partition("#")[0].partition("&")
        words = command.replace("build/release/bin/", "").split()
        if not background:
            subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path, timeout=20,
                           env={"PATH": f"{BIN}:/usr/bin:/bin"})
            continue
        kind = Sidecar if words[0] == "sluice-sidecar" else Process
        started.append(kind(tmp_path, f"{number}-{words[0]}", words, environment, tmp_path))
        cluster.processes.append(started[-1])
    return started


FREE = {"SLUICE_INGRESS": "tcp://127.0.0.1:0", "SLUICE_HTTP": "127.0.0.1:0", "SLUICE_OPS": "127.0.0.1:0"}


def check_program(program, what, suffix, sidecar, tmp_path):
    path = tmp_path / f"example.{suffix}"
    example = blocks("README.md", what)[0]
    assert "localhost" not in example  # Node 18 tries only its first address, which may be ::1
    path.write_text(pasted(example, sidecar.ready))
    environment = {**os.environ, "GO111MODULE": "off", "GOTOOLCHAIN": "local"}
    done = subprocess.run([*program, str(path)], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "orders" in done.stdout and done.stdout.endswith(" 1\n"), done.stdout
    assert sidecar.http("GET", "/v1/queues/orders").json["backlog"] == 0


def test_the_readmes_production_examples_work_in_every_language(cluster, tmp_path):
    broker, sidecar = start_lines(cluster, tmp_path, blocks("README.md", "sh", "<!-- earnest -->\n")[0], FREE)
    sidecar.wait_attached()
    for program, what, suffix in (([sys.executable], "python", "py"), (["node"], "js", "js"),
                                  (["go", "run"], "go", "go")):
        if shutil.which(program[0]):
            check_program(program, what, suffix, sidecar, tmp_path)
    assert sidecar.http("GET", "/v1/queues/orders").json["durability"] == "disk"
    assert sidecar.http("PUT", "/v1/subscriptions/s", {"queue": "orders", "url": "http://127.0.0.1:1/"}).status == 201
    assert sidecar.http("DELETE", "/v1/subscriptions/s").status == 204
    assert sidecar.publish("orders", "kept").status == 202
    broker.kill()
    again = Process(tmp_path, "again", ["sluice-broker", *broker.popen.args[1:]],
                    {"SLUICE_INGRESS": broker.ready["ingress"]}, tmp_path)
    cluster.processes.append(again)
    taken = sidecar.take("orders", wait="30s").json["events"]
    assert [e["event"]["data"] for e in taken] == ["kept"]


def test_the_program_in_the_c_api_document_works_when_pasted(cluster, tmp_path):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.wait_attached()
    setting_up, compiling, looking = blocks("docs/c-api.md", "sh")
    run_script(setting_up, sidecar.ready)
    (tmp_path / "sale.c").write_text(blocks("docs/c-api.md", "c")[0])
    subprocess.run(["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "sale.c",
                    f"-I{ROOT}/clients/c/include"],
                   cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "clients").symlink_to(ROOT / "clients")  # tmp_path stands for the checkout
    (tmp_path / "build").mkdir()
    (tmp_path / "build/release").symlink_to(BIN.parent)
    if SANITIZED:  # a program linked with a sanitized libsluice must be sanitized, too
        compiling = compiling.replace("cc sale.c", "cc -fsanitize=address,undefined sale.c")
    compiling = compiling.replace("tcp://127.0.0.1:7400", broker.ready["broker"])
    done = subprocess.run(["bash", "-eu", "-c", compiling], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.splitlines()) == ["reminder: sequence 1", "sale: sequence 1 in audits",
                                                "sale: sequence 1 in billing"]
    out = run_script(looking, sidecar.ready)
    assert out.count('"status":422,"error":"a total of nothing"') == 3 and '"outcome":"dropped"' in out, out
    assert '"ready_at":' in out


def test_the_c_library_examples_report_the_outcome_of_their_events(cluster):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.wait_attached()
    sidecar.declare("q")
    for queue, status, pipeline, publish in (("q", 0, "4000 of 4000 consumed", "2 accepted, 0 refused"),
                                             ("none", 1, "0 of 4000 consumed",
                                              "0 accepted, 2 refused: no queue of that name; declare it "
                                              "first (PUT /v1/queues/NAME)"),
                                             ("no name", 1, "0 of 4000 consumed", "0 accepted, 0 refused")):
        for program, said in ("example_pipeline", pipeline), ("example_publish", publish):
            done = subprocess.run([BIN / program, broker.ready["broker"], queue], input="a\nb\n", capture_output=True,
                                  text=True, timeout=60)
            assert (done.returncode, done.stdout) == (status, said + "\n"), done.stderr


def test_the_example_with_keys_works_when_pasted(cluster, tmp_path):
    _, sidecar = start_lines(cluster, tmp_path, blocks("docs/operations.md", "sh")[0], FREE)
    sidecar.wait_attached()
    assert sidecar.publish("orders").status == 202


@pytest.mark.parametrize("index,what", enumerate(("broker", "sidecar")))
def test_the_configuration_files_shown_are_valid(tmp_path, index, what):
    path = tmp_path / f"{what}.yaml"
    path.write_text(blocks("docs/operations.md", "yaml")[index])
    checked = run("sluice", "config", "check", what, str(path))
    assert checked.returncode == 0, checked.stderr


def test_links_between_documents_resolve():
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", document.read_text()):
            path = (document.parent / target) if target else document
            assert path.exists(), (document.name, target)
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M) if anchor else []
            assert not anchor or anchor in [h.lower().replace(" ", "-") for h in headings], (document.name, anchor)


UNITS = {"NUMBER": [(1, "")], "SIZE": [(1 << 10 * power, "BKMGT"[power] + "iB") for power in (4, 3, 2, 1)],
         "DURATION": [(86400000, "d"), (3600000, "h"), (60000, "m"), (1000, "s"), (1, "ms")]}


def shown(kind, number):
    """Returns a regular expression for a number of that kind as the documents write it; for other kinds, any word."""
    if kind not in UNITS or number == 0:
        return {"NUMBER": "0", "DURATION": "0s"}.get(kind, "\\w*")
    return next(f"{number // unit}{text}" for unit, text in UNITS[kind] if number % unit == 0)


def test_every_reason_and_setting_is_documented():
    document = (ROOT / "docs/http-api.md").read_text()
    reasons = re.findall(r'^REASON\((\w+), \d+, (\d+), (true|false), "(.*)"\)',
                         (ROOT / "proto/reasons.def").read_text(),
                         re.M)
    for name, status, retryable, title in reasons[1:]:
        assert f"| `{name}` | {status} | {'yes' if retryable == 'true' else 'no'} | {title} |" in document
    settings = re.findall(r"^SETTING\(\d+, (\w+), (\w+), \w+, (\d+), (\d+), (\d+)",
                          (ROOT / "proto/queue_settings.def").read_text(), re.M)
    assert len(settings) == 20
    for name, kind, *numbers in settings:
        default, least, most = (shown(kind, int(n)) for n in numbers)
        between = f" {least} to {most} " if kind in UNITS else " "
        assert re.search(rf"^\| `{name}` \| `?{default}`? ?\|{between}\| \w", document, re.M), name


def test_every_metric_and_alert_is_documented(dev):
    url, ops = dev["SLUICE_URL"].removeprefix("http://"), dev["SLUICE_OPS_URL"].removeprefix("http://")
    for path, body in (("queues/q", {}), ("topics/t", {}),
                       ("subscriptions/s", {"queue": "q", "url": "http://127.0.0.1:1/"})):
        assert call(url, "PUT", "/v1/" + path, body).status == 201

    def scraped():
        text = call(ops, "GET", "/metrics").body.decode()
        return text if "sluice_topic_" in text else None

    said = until(scraped).splitlines()  # the broker's figures arrive a moment after the first scrape
    kinds = dict(line.split(" ")[2:4] for line in said if line.startswith("# TYPE "))
    series = [(name, kinds[name], help)
              for name, help in (line.split(" ", 3)[2:] for line in said if line.startswith("# HELP "))]
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \| [^|]* \| (.*) \|$", (ROOT / "docs/metrics.md").read_text(), re.M)
    assert sorted(listed) == sorted(series)
    named = {name for document in (ROOT / "docs").rglob("*.md")
             for name in re.findall(r"`(sluice_[a-z_]+)(?:\{[^`]*)?`", document.read_text())}
    functions = set(re.findall(r"\bsluice_\w+", (ROOT / "clients/c/include/sluice.h").read_text()))
    assert {n for n in named if not n.endswith("_")} <= kinds.keys() | functions
    operations = (ROOT / "docs/operations.md").read_text()
    for alert in re.findall(r"- alert: (\w+)", (ROOT / "deploy/prometheus/alerts.yaml").read_text()):
        assert f"`{alert}`" in operations, alert
