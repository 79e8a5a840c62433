import json

import pytest

from conftest import Process, run


@pytest.fixture
def dev(cluster, tmp_path):
    p = Process(tmp_path, "dev", ["sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0"])
    cluster.processes.append(p)
    return {"SLUICE_URL": "http://" + p.ready["http"], "SLUICE_OPS_URL": "http://" + p.ready["ops"]}


def test_pub_and_sub_keep_lines_and_order(dev):
    lines = [f"line {i}" for i in range(2000)]
    published = run("sluice", "pub", "q", "--json", input="\n".join(lines), environment=dev)
    assert json.loads(published.stdout) == {"confirmed": 2000, "refused": 0}
    got = run("sluice", "sub", "q", "--count", "2000", environment=dev)
    assert got.returncode == 0 and got.stdout.splitlines() == lines


def test_sub_runs_a_command_and_gives_back_what_failed(dev, tmp_path):
    run("sluice", "pub", "q", "a", environment=dev)
    marker = tmp_path / "marker"
    script = f'[ -e {marker} ] && cat && exit 0; touch {marker}; exit 1'
    got = run("sluice", "sub", "q", "--count", "1", "--", "sh", "-c", script, environment=dev)
    assert got.stdout == "a"


def test_queue_commands(dev):
    assert json.loads(run("sluice", "queue", "declare", "q", "capacity=3", environment=dev).stdout)["capacity"] == 3
    assert run("sluice", "queue", "pause", "q", "--json", environment=dev).returncode == 0
    assert "paused" in run("sluice", "queue", "list", environment=dev).stdout
    assert "paused" in run("sluice", "top", "--once", environment=dev).stdout
    assert run("sluice", "pub", "q", "--ndjson", "--once", "--wait", "0s", input="1\n2\n3\n4\n",
               environment=dev).returncode == 1
    assert json.loads(run("sluice", "queue", "purge", "q", environment=dev).stdout) == {"purged": 3}
    assert run("sluice", "queue", "delete", "q", environment=dev).returncode == 0
    missing = run("sluice", "queue", "show", "q", environment=dev)
    assert missing.returncode == 1 and "no queue of that name" in missing.stderr


def test_wrong_usage_is_status_2_and_help_is_0():
    assert run("sluice").returncode == 2
    assert run("sluice", "nonsense").returncode == 2
    assert run("sluice", "pub").returncode == 2
    for command in ("dev", "pub", "sub", "queue", "drain", "ping", "top", "bench", "config"):
        assert run("sluice", command, "--help").returncode == 0, command


def test_ping_and_bench_speak_to_a_broker(cluster):
    b = cluster.broker("--auto-declare")
    assert "version" in run("sluice", "ping", b.ready["broker"]).stdout
    result = json.loads(run("sluice", "bench", "--events", "5000", "--json", b.ready["broker"]).stdout)
    assert (result["events"], result["consumed"], result["refused"]) == (5000, 5000, 0)


def test_without_a_sidecar_the_error_says_where_it_looked():
    result = run("sluice", "queue", "list", environment={"SLUICE_URL": "http://127.0.0.1:1"})
    assert result.returncode == 1 and "SLUICE_URL" in result.stderr
