"""What a system's processes and their descendants use: CPU, memory, and bytes handed to the disk."""
import pathlib

from measure import TICK


def tree(pids):
    """Returns the processes and all their descendants."""
    found = []
    for pid in pids:
        found.append(pid)
        try:
            children = [int(c) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                        for c in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue # it has ended
        found += tree(children)
    return found


def told(pid, name):
    """Returns the process's file of that name in /proc, or nothing if it has ended: some systems, such as Erlang, start
    short-lived programs."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def lines(pids, name, key):
    """Yields the number after `key:` for each process."""
    return (int(line.split()[1]) for pid in tree(pids) for line in told(pid, name).splitlines()
            if line.startswith(key + ":"))


def cpu(pids):
    """Returns the CPU seconds used so far."""
    stats = filter(None, (told(pid, "stat") for pid in tree(pids)))
    return sum(int(ticks) for stat in stats for ticks in stat.rsplit(")", 1)[1].split()[11:13]) / TICK


def memory(pids, key):
    """Returns the sum in MiB of VmRSS, or of VmHWM, each one's peak. Shared memory counts once per process."""
    return sum(lines(pids, "status", key)) / 1024


def written(pids):
    """Returns the bytes handed to the disk so far."""
    return sum(lines(pids, "io", "write_bytes"))
