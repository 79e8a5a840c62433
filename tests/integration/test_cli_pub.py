"""`sluice pub`: how arguments, lines and files become events, what it reports when it cannot send them, and how it
waits for room."""
import json
import os
import signal
import subprocess

import pytest

from conftest import BIN, run, run_json


def publish(dev, *arguments, input=None):
    """Runs `sluice pub` on a queue and returns the events that it published."""
    done = run("sluice", "pub", "q", *arguments, input=input, environment=dev)
    assert done.returncode == 0, done
    peeked = run_json("sluice", "queue", "peek", "q", "--json", environment=dev)
    return [e["event"] for e in peeked["events"]]


def test_options_become_attributes_of_each_event(dev):
    first, second = publish(dev, "--type", "t", "--source", "/s", "--subject", "about", "-a", "tenant1=é=x",
                            "-a", "2=b", "one", "two")
    assert {k: first[k] for k in ("type", "source", "subject", "tenant1", "2", "data", "datacontenttype")} == {
        "type": "t", "source": "/s", "subject": "about", "tenant1": "é=x", "2": "b", "data": "one",
        "datacontenttype": "text/plain"}
    assert first["id"] != second["id"] and second["data"] == "two"


def test_an_explicit_id_is_for_one_event_only(dev, tmp_path):
    (tmp_path / "file").write_text("data")
    assert [e["id"] for e in publish(dev, "--id", "42", "one")] == ["42"]
    assert [e["id"] for e in publish(dev, "--id", "43", "--file", str(tmp_path / "file"))] == ["42", "43"]
    for words in (["a", "b"], [], ["a", "--file", str(tmp_path / "file")]):
        refused = run("sluice", "pub", "q", "--id", "7", *words, environment=dev)
        assert (refused.returncode, refused.stderr) == (
            2, "sluice: --id needs exactly one <data> or --file: every event has its own id\n"), words


def test_pub_counts_the_duplicates_among_the_confirmed(dev):
    publish(dev, "--id", "42", "one")
    again = run("sluice", "pub", "q", "--id", "42", "one", environment=dev)
    assert (again.returncode, again.stdout) == (0, "1 confirmed, 1 of them duplicates\n")
    lines = "".join(json.dumps({"specversion": "1.0", "id": i, "source": "/sluice-cli", "type": "t"}) + "\n"
                    for i in ("42", "43", "44", "43"))
    again = run("sluice", "pub", "q", "--ndjson", "--json", input=lines, environment=dev)
    assert json.loads(again.stdout) == {"confirmed": 4, "refused": 0, "unknown": 0, "duplicates": 2}


@pytest.mark.parametrize("given", ["Tenant=x", "ten ant=x", "=x", "tenant", b"tenant=\xff"])
def test_a_malformed_attribute_is_wrong_usage(given):
    refused = subprocess.run([BIN / "sluice", "pub", "q", "-a", given, "x"], capture_output=True, timeout=20)
    assert refused.returncode == 2
    assert b"is not an attribute: write name=value, the name in lower case letters and digits" in refused.stderr


@pytest.mark.parametrize("option", ["--type", "--source", "--subject", "--id", "--content-type"])
@pytest.mark.parametrize("value", ["", b"\xff"])
def test_an_attribute_must_be_non_empty_text(option, value):
    refused = run("sluice", "pub", "q", option, value, "x")
    assert (refused.returncode, refused.stderr) == (2, "sluice: an attribute must be UTF-8 and not empty\n")


def test_a_content_type_is_kept_whatever_the_data_is(dev, tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    publish(dev, "--content-type", "image/png", "--file", str(tmp_path / "bytes"))
    publish(dev, "--content-type", "text/csv", "a,b")
    publish(dev, "--content-type", "application/geo+json", '{"a":1}')
    events = publish(dev, "--ndjson", "--content-type", "application/x+json", input="[1]\n")
    assert [(e["datacontenttype"], e.get("data", e.get("data_base64"))) for e in events] == [
        ("image/png", "//4="), ("text/csv", "a,b"), ("application/geo+json", {"a": 1}), ("application/x+json", [1])]


def test_text_of_many_short_lines_is_text(dev, tmp_path):
    (tmp_path / "list").write_text("a\n\tb\r\n" * 1000)
    [event] = publish(dev, "--file", str(tmp_path / "list"))
    assert (event["datacontenttype"], event["data"]) == ("text/plain", "a\n\tb\r\n" * 1000)


def test_a_line_that_is_a_cloudevent_is_published_unchanged_and_other_json_is_data(dev):
    whole = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "data": {"n": 1}}
    half = [{"id": "7", "n": 1}, {"specversion": "1.0"}, "text", 5]
    events = publish(dev, "--ndjson", input="\n".join(json.dumps(v) for v in [whole, *half]) + "\n")
    assert events[0] == whole
    assert [e["data"] for e in events[1:]] == half


def test_lines_may_end_in_crlf_and_empty_ones_are_skipped(dev):
    assert [e["data"] for e in publish(dev, input="one\r\n\r\n\ntwo\n")] == ["one", "two"]


def test_file_dash_reads_standard_input_as_one_event(dev):
    assert [e["data"] for e in publish(dev, "--file", "-", input="one\ntwo\n")] == ["one\ntwo\n"]


def test_a_read_error_is_reported_after_the_events_before_it_are_sent(dev, tmp_path):
    (tmp_path / "file").write_text("data")
    with (tmp_path / "large").open("wb") as large:
        large.truncate((16 << 20) + 1)
    for bad, why in ((tmp_path / "none", f"cannot read {tmp_path}/none: No such file or directory"),
                     (tmp_path, f"cannot read {tmp_path}: Is a directory"),
                     (tmp_path / "large", f"{tmp_path}/large is larger than 16 MiB")):
        done = run("sluice", "pub", "q", "--file", str(tmp_path / "file"), "--file", str(bad),
                   "--file", str(tmp_path / "file"), environment=dev)
        assert (done.returncode, done.stdout, done.stderr) == (1, "1 confirmed\n", f"sluice: {why}\n")


def test_an_endless_line_is_refused(dev):
    done = run("sluice", "pub", "q", input="first\n" + "x" * (17 << 20), environment=dev)
    assert (done.returncode, done.stdout, done.stderr) == (1, "1 confirmed\n", "sluice: line 2 is longer than 16 MiB\n")


def test_invalid_json_ends_pub_after_the_lines_before_it_are_sent(dev):
    for bad in (b"{", b'"\xff"'):
        done = subprocess.run([BIN / "sluice", "pub", "q", "--ndjson"], input=b"1\n2\n" + bad + b"\n4\n",
                              capture_output=True, timeout=20, env={**os.environ, **dev})
        assert (done.returncode, done.stdout) == (1, b"2 confirmed\n"), done
        assert b"sluice: line 3 is not JSON: " in done.stderr, done


def test_invalid_json_is_quoted_without_control_characters(dev):
    for bad, shown in (("\x1b[31mred", ".[31mred"), ("x" + 40 * "\u00e9", "x" + 29 * "\u00e9" + "..."),
                       # Not UTF-8: some terminals read 9b as an escape and a bracket.
                       (b"\xc3\xa9\x9b31m", "\u00e9.31m")):
        done = subprocess.run([BIN / "sluice", "pub", "q", "--ndjson"],
                              input=bad if isinstance(bad, bytes) else bad.encode(),
                              capture_output=True, timeout=20, env={**os.environ, **dev})
        assert (done.returncode, done.stderr) == (1, f"sluice: line 1 is not JSON: '{shown}'\n".encode())


@pytest.mark.parametrize("bad, status",
                         [(json.dumps({"specversion": "9", "id": "1", "source": "/s", "type": "t"}), 400),
                                         (json.dumps("x" * (1 << 20)), 413)], ids=["malformed", "too large"])
def test_a_refused_event_is_named_by_its_line_even_within_a_batch(dev, tmp_path, bad, status):
    (tmp_path / "lines").write_text(f"1\n2\n{bad}\n")
    with (tmp_path / "lines").open() as lines:  # all lines of a file are there at once, so they go as one batch
        done = subprocess.run([BIN / "sluice", "pub", "q", "--ndjson"], stdin=lines, capture_output=True, text=True,
                              timeout=20, env={**os.environ, **dev})
    assert (done.returncode, done.stdout) == (1, "2 confirmed, 1 refused\n"), done
    assert done.stderr.startswith("sluice: line 3: ") and f"({status})" in done.stderr, done.stderr


def test_events_that_reached_no_sidecar_are_refused_and_not_unknown():
    done = run("sluice", "pub", "q", "a", "b", environment={"SLUICE_URL": "http://127.0.0.1:1"})
    assert (done.returncode, done.stdout) == (1, "0 confirmed, 2 refused\n")


def test_events_that_wait_for_room_are_sent_once_and_in_order(dev, start):
    run("sluice", "queue", "declare", "q", "capacity=1", environment=dev)
    pub = start("pub", "q", "a", "bb", "ccc", "dddd", environment=dev)
    pub.wait_for("'q' is full; waiting for room")
    got = "".join(run("sluice", "sub", "q", "--count", "1", environment=dev, timeout=20).stdout for _ in range(3))
    pub.wait_for("4 confirmed")
    got += run("sluice", "sub", "q", "--exit-empty", "--wait", "0s", environment=dev).stdout
    assert got == "a\nbb\nccc\ndddd\n"
    assert "\r" not in pub.seen and "\033" not in pub.seen  # no progress line without a terminal


def test_wait_retries_where_a_full_queue_rejects(dev, start):
    run("sluice", "queue", "declare", "q", "capacity=1", "overflow=reject", environment=dev)
    pub = start("pub", "q", "--wait", "30s", "a", "b", environment=dev)
    pub.wait_for("'q' is full; waiting for room\n")
    assert run("sluice", "sub", "q", "--count", "1", environment=dev, timeout=20).stdout == "a\n"
    pub.wait_for("2 confirmed")


def test_a_signal_ends_pub_while_it_waits_for_a_named_pipe(dev, start, tmp_path):
    (tmp_path / "file").write_text("data")
    os.mkfifo(tmp_path / "pipe")
    pub = start("pub", "q", "--file", str(tmp_path / "file"), "--file", str(tmp_path / "pipe"), environment=dev)
    assert run("sluice", "sub", "q", "--count", "1", environment=dev, timeout=20).stdout == "data\n"
    assert pub.interrupt() == 130
    pub.wait_for("1 confirmed\n")


def test_a_file_may_be_a_named_pipe_whose_writer_comes_later(dev, start, tmp_path):
    (tmp_path / "file").write_text("data")
    os.mkfifo(tmp_path / "pipe")
    pub = start("pub", "q", "--file", str(tmp_path / "file"), "--file", str(tmp_path / "pipe"), environment=dev)
    assert run("sluice", "sub", "q", "--count", "1", environment=dev, timeout=20).stdout == "data\n"
    with (tmp_path / "pipe").open("w") as pipe:
        pipe.write("one\n")
        pipe.flush()
        pipe.write("two")
    pub.wait_for("2 confirmed\n")
    assert run("sluice", "sub", "q", "--count", "1", environment=dev, timeout=20).stdout == "one\ntwo\n"


def test_a_signal_ends_pub_while_it_waits_for_input(dev, start):
    for number in (signal.SIGINT, signal.SIGTERM):
        pub = start("pub", "q", environment=dev)
        pub.popen.stdin.write(b"line\n")
        pub.popen.stdin.flush()
        assert run("sluice", "sub", "q", "--count", "1", environment=dev, timeout=20).stdout == "line\n"
        pub.popen.send_signal(number)
        pub.wait_for("1 confirmed\n")
        assert pub.popen.wait(timeout=20) == 130
