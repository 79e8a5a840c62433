"""The log on a real disk, after a broker was killed: an intact log starts; a damaged one stops the start, is located by
--check, and is salvaged by --repair."""
import re

from conftest import run


def publish_and_kill(cluster, count):
    """Runs a broker that confirms `count` events, kills it, and returns its data directory."""
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("kept", durability="disk")
    for i in range(count):
        assert s.publish("kept", f"event number {i}.").status == 202
    broker.kill()
    assert s.stop() == 0
    return cluster.directory / "data"


def take_all(s, count):
    got = []
    while len(got) < count:
        events = s.take("kept", max=100, wait="20s").json["events"]
        assert events, f"only {len(got)} of {count} came"
        got += [e["event"]["data"] for e in events]
        s.ack("kept", *(e["receipt"] for e in events))
    assert s.take("kept", max=1, wait="0s").json["events"] == []
    return got


def segment_with(directory, text):
    """Returns the segment and the offset in it at which `text` lies."""
    for path in sorted(directory.glob("*.log")):
        at = path.read_bytes().find(text)
        if at >= 0:
            return path, at
    raise AssertionError(f"{text} is in no segment")


def flip(directory, text):
    """Damages the log: flips a bit of `text`. Returns its segment and offset."""
    path, at = segment_with(directory, text)
    with path.open("r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
    return path, at


def state_of(directory):
    """Returns the names, contents, inodes, modes, link counts, sizes and times of the directory and its files: any
    change would show."""
    files = sorted(directory.iterdir())
    stats = {p.name: p.stat() for p in [directory, *files]}
    return ({p.name: p.read_bytes() for p in files},
            {name: (s.st_ino, s.st_mode, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
             for name, s in stats.items()})


def test_a_killed_brokers_log_is_whole_and_starts(cluster):
    data = publish_and_kill(cluster, 30)
    before = state_of(data)
    checked = run("sluice-broker", "--check", str(data))
    assert checked.returncode == 0, checked.stdout
    for says in ("queue 1 (kept): 30 events of", "queue 1 (kept): 30 events were", "the log is whole"):
        assert says in checked.stdout, checked.stdout
    assert state_of(data) == before
    s = cluster.sidecar(cluster.broker())
    assert take_all(s, 30) == [f"event number {i}." for i in range(30)]


def test_a_start_logs_how_much_it_found(cluster):
    """Nothing, in a directory whose name was mistyped."""
    publish_and_kill(cluster, 3)
    assert "data has 0 bytes of events" in cluster.processes[0].log.read_text()
    assert re.search(r"data has [1-9]\d* bytes of events", cluster.broker().log.read_text())


def test_a_running_brokers_directory_is_neither_checked_nor_repaired(cluster, tmp_path):
    broker = cluster.broker()
    for arguments in ("--check",), ("--repair", str(tmp_path / "to")):
        done = run("sluice-broker", arguments[0], str(cluster.directory / "data"), *arguments[1:])
        assert done.returncode == 1 and f"(process {broker.popen.pid}) uses the data directory" in done.stderr, done
    assert not (tmp_path / "to").exists()


def test_damage_stops_the_start_and_is_found_and_repaired(cluster, tmp_path):
    data, salvaged = publish_and_kill(cluster, 30), tmp_path / "salvaged"
    path, at = flip(data, b"event number 20.")
    refused = run("sluice-broker", "--listen", "tcp://127.0.0.1:0", "--data", str(data))
    before = state_of(data)
    assert refused.returncode == 1
    assert path.name in refused.stderr and "damaged at offset" in refused.stderr and "--repair" in refused.stderr
    checked = run("sluice-broker", "--check", str(data))
    assert checked.returncode == 1
    assert f"{path.name}: damaged at offset" in checked.stdout and "the log is damaged" in checked.stdout
    repaired = run("sluice-broker", "--repair", str(data), str(salvaged))
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert state_of(data) == before
    assert "sequences 21 to 21" in repaired.stdout and "29 events are salvaged" in repaired.stdout
    assert run("sluice-broker", "--check", str(salvaged)).returncode == 0
    s = cluster.sidecar(cluster.broker("--data", str(salvaged)))
    assert take_all(s, 29) == [f"event number {i}." for i in range(30) if i != 20]


def test_damage_after_an_orderly_stop_is_repaired(cluster, tmp_path):
    salvaged = tmp_path / "salvaged"
    broker = cluster.broker()
    s = cluster.sidecar(broker)
    s.declare("kept", durability="disk")
    for i in range(30):
        assert s.publish("kept", f"event number {i}.").status == 202
    assert s.stop() == 0 and broker.stop() == 0
    checked = run("sluice-broker", "--check", str(cluster.directory / "data"))
    assert "queue 1 (kept): 30 events of" in checked.stdout  # known only from the checkpoint
    flip(cluster.directory / "data", b"event number 20.")
    repaired = run("sluice-broker", "--repair", str(cluster.directory / "data"), str(salvaged))
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "1 event is lost, sequences 21 to 21" in repaired.stdout
    s = cluster.sidecar(cluster.broker("--data", str(salvaged)))
    assert take_all(s, 29) == [f"event number {i}." for i in range(30) if i != 20]


def test_damage_that_is_met_later_ends_the_broker_and_the_disk_is_not_blamed(cluster):
    broker = cluster.broker("--segment-size", "16MiB")
    s = cluster.sidecar(broker)
    s.declare("kept", durability="disk")
    for event in ["event number 0.", *["x" * 900000] * 20]:  # more than a segment
        assert s.publish("kept", event).status == 202
    assert s.stop() == 0 and broker.stop() == 0
    path, _ = flip(cluster.directory / "data", b"event number 0.")
    broker = cluster.broker("--segment-size", "16MiB")  # the start does not read older segments; then it loads the event
    assert broker.wait(timeout=20) == 1
    [said] = [line for line in broker.log.read_text().splitlines() if '"error"' in line]
    assert "the log failed, so nothing more is confirmed and the broker ends: damaged record in " + path.name in said
    assert "disk" not in said


def test_a_torn_tail_is_cut_off_and_the_log_says_what_may_be_gone(cluster):
    data = publish_and_kill(cluster, 3)
    flip(data, b"event number 2.")  # of the newest group nothing says that it was synced
    said = cluster.broker().log.read_text()
    assert "a torn tail" in said and "with sync: group nothing in it was confirmed" in said
    assert "with sync: interval or none it may have held confirmed events" in said


def test_repair_and_check_require_a_data_directory(tmp_path):
    assert run("sluice-broker", "--check").returncode == 2
    assert run("sluice-broker", "--repair", str(tmp_path)).returncode == 2
    missing = run("sluice-broker", "--check", str(tmp_path / "none"))
    assert missing.returncode == 1 and "is not a directory" in missing.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("something")
    (tmp_path / "from").mkdir()
    refused = run("sluice-broker", "--repair", str(tmp_path / "from"), str(tmp_path / "full"))
    assert refused.returncode == 1 and "is not empty" in refused.stdout
