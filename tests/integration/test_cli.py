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
    assert json.loads(published.stdout) == {"confirmed": 2000, "refused": 0, "unknown": 0}
    got = run("sluice", "sub", "q", "--count", "2000", environment=dev)
    assert got.returncode == 0 and got.stdout.splitlines() == lines


def test_sub_runs_a_command_and_gives_back_what_failed(dev, tmp_path):
    run("sluice", "pub", "q", "a", environment=dev)
    marker = tmp_path / "marker"
    script = f'[ -e {marker} ] && cat && exit 0; touch {marker}; exit 1'
    got = run("sluice", "sub", "q", "--count", "1", "--", "sh", "-c", script, environment=dev)
    assert got.stdout == "a"


def test_queue_commands(dev):
    assert json.loads(run("sluice", "queue", "declare", "q", "capacity=3", "--json", environment=dev).stdout)["capacity"] == 3
    assert run("sluice", "queue", "pause", "q", "--json", environment=dev).returncode == 0
    assert "paused" in run("sluice", "queue", "list", environment=dev).stdout
    assert "paused" in run("sluice", "top", "--once", environment=dev).stdout
    assert run("sluice", "pub", "q", "--ndjson", "--wait", "0s", input="1\n2\n3\n4\n",
               environment=dev).returncode == 1
    assert json.loads(run("sluice", "queue", "purge", "q", "--json", environment=dev).stdout) == {"purged": 3}
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
    for command in (("queue", "list"), ("pub", "q", "x"), ("sub", "q"), ("drain",), ("top", "--once")):
        result = run("sluice", *command, environment={"SLUICE_URL": "http://127.0.0.1:1", "SLUICE_OPS_URL": ""})
        assert result.returncode == 1 and "no sidecar answers at http://127.0.0.1:1" in result.stderr, command


def test_a_mistake_is_named_and_what_was_meant():
    assert "'pub'" in run("sluice", "pbu").stderr
    assert "'--ndjson'" in run("sluice", "pub", "q", "--ndjsn").stderr
    assert "'show'" in run("sluice", "queue", "shwo", "q").stderr
    assert run("sluice", "help", "pub").stdout == run("sluice", "pub", "-h").stdout != ""


def test_what_is_not_text_and_numbers_beyond_a_double_come_back_as_they_were(dev, tmp_path):
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    assert run("sluice", "pub", "q", "--file", str(tmp_path / "bytes"), environment=dev).returncode == 0
    assert run("sluice", "pub", "q", "--ndjson", input='{"a":1e400,"a":12345678901234567890}\n',
               environment=dev).returncode == 0
    command = ["sub", "q", "--count", "2", "--", "sh", "-c", f"cat >> {tmp_path}/out"]
    assert run("sluice", *command, environment=dev).returncode == 0
    assert (tmp_path / "out").read_bytes() == bytes(range(256)) + b'{"a":1e400,"a":12345678901234567890}'


def test_a_full_queue_ends_a_publish_at_the_first_refused(dev):
    run("sluice", "queue", "declare", "q", "capacity=3", environment=dev)
    result = run("sluice", "pub", "q", "--wait", "0s", "--json", input="a\n\nb\nc\nd\ne\n", environment=dev)
    assert json.loads(result.stdout) == {"confirmed": 3, "refused": 2, "unknown": 0}
    assert result.returncode == 1 and "line 5" in result.stderr
