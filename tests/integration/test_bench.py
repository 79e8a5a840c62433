"""`sluice bench`: its figures are consistent, and it ends with a clear error when the broker dies, a queue stops
delivering, or its events are refused, repeated or reordered."""
import json
import re
import signal
import subprocess
import time

import pytest

from conftest import BIN, run, run_json, until


@pytest.fixture
def bench(cluster):
    """Starts `sluice bench --json`; it is ended with the test."""
    started = []

    def start(*arguments):
        started.append(subprocess.Popen([str(BIN / "sluice"), "bench", "--json", *map(str, arguments)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for b in started:
        if b.poll() is None:
            b.terminate()
            b.communicate(timeout=40)


def queues(sidecar):
    return sidecar.http("GET", "/v1/queues").json["queues"]


def until_under_way(sidecar):
    until(lambda: any(q["ledger"]["acked"] for q in queues(sidecar).values()))


@pytest.mark.parametrize("pace", [["--rate", 1000], ["--window", 2]])
def test_bench_ends_with_an_error_when_its_broker_dies(cluster, bench, pace):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    b = bench("--events", 100000000, *pace, broker.ready["broker"])
    until_under_way(sidecar)
    broker.kill()
    # It gives up after 10 s, and spends 5 s more on the queue that it cannot delete.
    out, err = b.communicate(timeout=50)
    assert b.returncode == 1 and json.loads(out)["consumed"] > 0
    assert err.startswith(f"sluice: no broker answers at {broker.ready['broker']} any more: gave up after 10 s\n"), err


def test_bench_ends_with_an_error_when_deliveries_stop(cluster, bench):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.declare("mine")
    assert sidecar.ops("POST", "/v1/queues/mine/pause").status == 200
    b = bench("--events", 1000000, "--queue", "mine", broker.ready["broker"])
    out, err = b.communicate(timeout=50)
    assert b.returncode == 1 and json.loads(out)["consumed"] == 0
    assert err == "sluice: no more events arrived: gave up after 10 s, see the counts above\n"


@pytest.mark.parametrize("before, seen", [([0], "repeated"), ([1], "disordered")])
def test_bench_reports_an_event_that_arrives_twice_or_early(cluster, bench, before, seen):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.declare("mine")
    for number in before:  # bench takes these for events of its own
        sidecar.publish("mine", number.to_bytes(8, "little"))
    b = bench("--events", 3, "--producers", 1, "--size", 8, "--queue", "mine", broker.ready["broker"])
    out, err = b.communicate(timeout=50)
    assert (b.returncode, err) == (1, "sluice: the counts do not match, see above\n")
    assert json.loads(out)[seen] > 0 and json.loads(out)["confirmed"] == 3


def test_bench_takes_events_already_in_its_queue_without_counting_them(cluster):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.declare("mine")
    for other in (b"", b"other", (3).to_bytes(8, "little"), b"\xff" * 8, bytes(9)):
        assert sidecar.publish("mine", other).status == 202
    done = run("sluice", "bench", "--json", "--events", "3", "--size", "8", "--queue", "mine", broker.ready["broker"])
    assert done.returncode == 0 and is_consistent(json.loads(done.stdout)), done
    until(lambda: sidecar.http("GET", "/v1/queues/mine").json["ledger"]["acked"] == 8)


def test_bench_waits_ten_seconds_for_the_last_confirms(cluster, bench):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    sidecar.declare("mine")
    sidecar.publish("mine", bytes(8))  # looks like bench's first event, which itself lingers for a day
    b = bench("--events", 1, "--producers", 1, "--size", 8, "--linger", 86400000, "--queue", "mine",
              broker.ready["broker"])
    until_under_way(sidecar)
    broker.kill()
    out, err = b.communicate(timeout=300)
    assert (b.returncode, err) == (
        1, "sluice: some confirms did not arrive: gave up after 10 s, see the counts above\n")
    assert (json.loads(out)["consumed"], json.loads(out)["confirmed"]) == (1, 0)


def test_bench_at_a_low_rate_runs_to_its_end(cluster, bench):
    # Takes 12 s; without progress for 10 s it would give up.
    b = bench("--events", 240, "--rate", 20, cluster.broker().ready["broker"])
    out, err = b.communicate(timeout=60)
    result = json.loads(out)
    assert (b.returncode, err, result["consumed"]) == (0, "", 240)
    assert result["events_per_second"] < 25


def is_consistent(result):
    """Checks that the figures of a successful run agree with each other."""
    assert result["confirmed"] == result["consumed"] == result["events"]
    assert result["refused"] == result["repeated"] == result["disordered"] == 0
    spent = pytest.approx(result["seconds"], rel=0.01, abs=0.0001)  # printed with four decimals
    assert result["consumed"] / result["events_per_second"] == spent
    for times in (result["confirm_us"], result["end_to_end_us"]):
        assert 0 < times["p50"] <= times["p99"] <= times["p99.9"] < 1.05 * (result["seconds"] + 0.0001) * 1e6, result
    return True


def test_bench_reports_the_same_figures_as_text_and_as_json(cluster):
    broker = cluster.broker()
    command = ["sluice", "bench", "--events", "3000", "--producers", "3", "--window", "16", "--size", "50",
               broker.ready["broker"]]
    assert is_consistent(run_json(*command, "--json"))
    assert len(re.findall(r'"attached from .*"session":"sluice-bench"', broker.log.read_text())) == 3
    total, confirm, end_to_end = run(*command).stdout.splitlines()
    told = re.fullmatch(r"3000 events: 3000 confirmed, 0 refused, 3000 consumed, 0 repeated, 0 out of order, "
                        r"in (\d+\.\d{3}) s: (\d+) events/s", total)
    assert int(told[2]) == pytest.approx(3000 / float(told[1]), rel=0.05, abs=0.0005 * int(told[2]) / float(told[1]))
    for line, title in ((confirm, "confirm"), (end_to_end, "end to end")):
        assert re.fullmatch(title + r" +p50 +\d+ us   p99 +\d+ us   p99\.9 +\d+ us", line)


def test_bench_without_options_does_what_its_help_says(cluster):
    broker = cluster.broker()
    done = run("sluice", "bench", "--json", environment={"SLUICE_BROKER": broker.ready["broker"]})
    assert done.returncode == 0 and is_consistent(json.loads(done.stdout)), done
    assert json.loads(done.stdout)["events"] == 100000
    assert len(re.findall(r'"attached from .*"session":"sluice-bench"', broker.log.read_text())) == 4


def test_an_interrupted_bench_deletes_its_queue_and_the_events_in_it(cluster, bench):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    b = bench("--events", 1000000, "--rate", 1000, broker.ready["broker"])
    until_under_way(sidecar)
    [name] = queues(sidecar)
    assert sidecar.ops("POST", f"/v1/queues/{name}/pause").status == 200
    until(lambda: queues(sidecar)[name]["ready"])
    b.send_signal(signal.SIGINT)
    assert (b.communicate(timeout=40), b.returncode) == (("", ""), 130)
    assert queues(sidecar) == {}


def test_bench_has_room_for_a_window_of_large_events(cluster):
    done = run("sluice", "bench", "--json", "--events", "3000", "--producers", "1", "--window", "1500",
               "--size", "8000", cluster.broker().ready["broker"])
    assert done.returncode == 0 and is_consistent(json.loads(done.stdout)), done


@pytest.mark.parametrize("pace", [["--rate", "2000"], []], ids=["paced", "unpaced"])
def test_bench_with_one_event_at_a_time_reports_consistent_figures(cluster, pace):
    broker = cluster.broker().ready["broker"]
    done = run("sluice", "bench", "--json", "--events", "1000", "--producers", "1", "--window", "1", *pace, broker)
    assert done.returncode == 0 and is_consistent(json.loads(done.stdout)), done
    assert not pace or 0.49 < json.loads(done.stdout)["seconds"]


def test_a_stall_shows_in_the_latency_of_every_event_due_during_it(cluster, bench):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    b = bench("--events", 2000, "--rate", 500, "--producers", 1, "--window", 1, broker.ready["broker"])
    until_under_way(sidecar)
    broker.pause()
    time.sleep(1)  # the stall: a quarter of all events was due during it, though only one could be sent
    broker.popen.send_signal(signal.SIGCONT)
    out, err = b.communicate(timeout=60)
    assert (b.returncode, err) == (0, "")
    assert json.loads(out)["confirm_us"]["p99"] > 500_000 and json.loads(out)["end_to_end_us"]["p99"] > 500_000


@pytest.mark.parametrize("size, refused", [(5000, 10), (20_000_000, 0)], ids=["by the broker", "before they are sent"])
def test_bench_says_why_its_events_are_refused(cluster, size, refused):
    broker = cluster.broker("--max-event", "2KiB")
    done = run("sluice", "bench", "--json", "--events", "10", "--producers", "1", "--size", str(size),
               broker.ready["broker"])
    counts = json.loads(done.stdout)
    assert (done.returncode, counts["confirmed"], counts["refused"], counts["consumed"]) == (1, 0, refused, 0), done
    assert done.stderr.startswith("sluice: not all events were published: "), done.stderr


def test_bench_refuses_more_events_than_fit_in_memory(cluster):
    broker = cluster.broker()
    for events in (1 << 62, (1 << 62) + 4096, (1 << 64) - 1):  # times 8 bytes each, some overflow to a small size
        done = run("sluice", "bench", "--events", str(events), "--rate", "1000", "--producers", "1",
                   broker.ready["broker"])
        assert (done.returncode, done.stderr) == (1, "sluice: no memory or no processes for 1 producers\n")
    assert queues(cluster.sidecar(broker)) == {}


def test_concurrent_benches_use_a_queue_each(cluster, bench):
    broker = cluster.broker()
    sidecar = cluster.sidecar(broker)
    long = bench("--events", 4000, "--rate", 1000, broker.ready["broker"])
    until_under_way(sidecar)
    short = run("sluice", "bench", "--json", "--events", "100", broker.ready["broker"])
    assert short.returncode == 0 and json.loads(short.stdout)["consumed"] == 100, short
    out, err = long.communicate(timeout=60)
    assert (long.returncode, err, json.loads(out)["consumed"]) == (0, "", 4000)
    assert queues(sidecar) == {}
