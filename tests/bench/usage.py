"""What a system's processes use, those they started themselves included: processor, memory, bytes handed to the disk."""
import pathlib

from measure import TICK


def tree(pids):
    """The processes and all that descend from them."""
    found = []
    for pid in pids:
        found.append(pid)
        try:
            children = [int(c) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                        for c in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue # gone meanwhile
        found += tree(children)
    return found


def told(pid, name):
    """What the kernel says of it; nothing of one that is gone meanwhile: some start programs of a moment, as Erlang does."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def lines(pids, name, key):
    """The number behind `key:` of each."""
    return (int(line.split()[1]) for pid in tree(pids) for line in told(pid, name).splitlines()
            if line.startswith(key + ":"))


def cpu(pids):
    """Seconds so far."""
    stats = filter(None, (told(pid, "stat") for pid in tree(pids)))
    return sum(int(ticks) for stat in stats for ticks in stat.rsplit(")", 1)[1].split()[11:13]) / TICK


def memory(pids, key):
    """Sum in MiB: VmRSS, or VmHWM of each one's peak. What is shared counts in each."""
    return sum(lines(pids, "status", key)) / 1024


def written(pids):
    """Bytes that were to go to a disk so far."""
    return sum(lines(pids, "io", "write_bytes"))
