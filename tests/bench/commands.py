"""Times whole commands with hyperfine: starts, from the shell to the ready line, and `sluice pub` of a file."""
import json
import pathlib
import shutil
import subprocess
import tempfile

from measure import BIN, Server

HERE = pathlib.Path(__file__).resolve().parent
LINE = "x" * 200


def timed(*commands, runs, options=()):
    """Returns the seconds of each run, by command."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        subprocess.run(["hyperfine", "--style", "none", "--shell", "none", "--warmup", "1", "--runs", str(runs),
                        *options, "--export-json", out.name, *commands], check=True, stdout=subprocess.DEVNULL)
        return [r["times"] for r in json.load(out)["results"]]


def starts(figures, directory, runs):
    broker = f"{BIN}/sluice-broker --listen tcp://127.0.0.1:0"
    programs = {"sluice-broker": broker, "sluice-broker on disk": f"{broker} --data {directory}/data",
                "sluice-sidecar": f"{BIN}/sluice-sidecar --http 127.0.0.1:0 --ops 127.0.0.1:0",
                "sluice dev": f"{BIN}/sluice dev --http 127.0.0.1:0 --ops 127.0.0.1:0"}
    found = timed(f"{HERE}/until_ready echo ready", *(f"{HERE}/until_ready {p}" for p in programs.values()), runs=runs)
    for name, times in zip(("the shell alone", *programs), found):
        for seconds in times:
            figures.note(name, "start until ready", "whole command", "ms", seconds * 1000)


def publishes(figures, directory, count, runs):
    """Times publishing a file. The queue is emptied before each run."""
    path = pathlib.Path(directory) / "lines"
    path.write_text((LINE + "\n") * count)
    s = Server(BIN / "sluice", "dev", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0")
    try:
        cli = f"{BIN}/sluice --url http://{s.ready['ops']}"
        subprocess.run([*cli.split(), "queue", "declare", "file", f"capacity={count}", "capacity_bytes=1GiB"],
                       check=True, stdout=subprocess.DEVNULL)
        [times] = timed(f"sh -c '{cli} pub file < {path}'", runs=runs, options=("--prepare", f"{cli} queue purge file"))
        info = json.loads(subprocess.run(["curl", "-sS", "-f", f"http://{s.ready['ops']}/v1/queues/file"], check=True,
                                         capture_output=True, text=True).stdout)
        if info["ready"] != count:
            raise RuntimeError(f"{count} lines were published, the queue has {info['ready']}")
    finally:
        s.stop()
    for seconds in times:
        figures.note("sluice pub", f"a file of {count} lines of {len(LINE)} B", "whole command", "ms", seconds * 1000)
        figures.note("sluice pub", f"a file of {count} lines of {len(LINE)} B", "throughput", "events/s",
                     count / seconds)


def commands(figures, data, quick):
    if not shutil.which("hyperfine"):
        print("hyperfine is missing: no whole commands (tests/bench/run --install)")
        return
    with tempfile.TemporaryDirectory(dir=data) as directory:
        starts(figures, directory, 3 if quick else 20)
        publishes(figures, directory, 1000 if quick else 100000, 2 if quick else 5)
