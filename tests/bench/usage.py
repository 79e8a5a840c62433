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


def cpu(pids):
    """Seconds so far."""
    total = 0
    for pid in tree(pids):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def memory(pids, key):
    """Sum in MiB: VmRSS, or VmHWM of each one's peak. What is shared counts in each."""
    return sum(int(line.split()[1]) for pid in tree(pids)
               for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
               if line.startswith(key + ":")) / 1024


def written(pids):
    """Bytes that were to go to a disk so far."""
    return sum(int(line.split()[1]) for pid in tree(pids)
               for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines() if line.startswith("write_bytes:"))
