"""What `sluice top` draws: layout, columns, sorting and rounding, for the exact figures that a stand-in for a sidecar
gives."""
import re

import pytest

from conftest import run


class Screen:
    """A terminal's screen: applies what is written to it. Understands only the escape sequences that `top` uses."""

    def __init__(self, rows, columns):
        self.lines = [""] * rows
        self.columns, self.row, self.column = columns, 0, 0

    def down(self):
        if self.row + 1 < len(self.lines):
            self.row += 1
        else:
            self.lines = self.lines[1:] + [""]

    def put(self, letter):
        if self.column == self.columns:
            self.column = 0
            self.down()
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[:self.column] + letter + line[self.column + 1:]
        self.column += 1

    def command(self, parameters, letter):
        if letter == "H":
            row, column = (int(n) for n in (parameters or "1;1").split(";"))
            self.row, self.column = row - 1, column - 1
        elif letter in "JK":
            self.lines[self.row] = self.lines[self.row][:self.column]
            if letter == "J":
                self.lines[self.row + 1:] = [""] * (len(self.lines) - self.row - 1)
        else:
            raise AssertionError(f"what does \\033[{parameters}{letter} do?")

    def write(self, text):
        for parameters, letter, plain in re.findall(r"\033\[([0-9;]*)([A-Za-z])|([^\033])", text):
            if letter:
                self.command(parameters, letter)
            elif plain == "\r":
                self.column = 0
            elif plain == "\n":
                self.down()
            else:
                self.put(plain)


@pytest.fixture
def screen_of(stand_in, start):
    """Returns the lines on a terminal of the given size after `top` has drawn these queues twice."""
    def drawn(size, *queues):
        top = start("top", "--interval", "50ms", environment=stand_in(*queues).environment, terminal=size)
        top.wait_for("\033[H", times=3)
        screen = Screen(*size)
        screen.write(top.seen.partition("\033[?25l")[2].rpartition("\033[H")[0])
        return screen.lines
    return drawn


QUEUES = [{"queue": f"queue{i}"} for i in range(9)]


def test_top_fills_the_screen_without_scrolling(screen_of):
    def beginnings(rows, count):
        return [re.split("  | --", re.sub(r"^[\d:]{8}  ", "", line))[0]
                for line in screen_of((rows, 100), *QUEUES[:count])]

    assert beginnings(8, 2) == ["2 queues", "", "QUEUE", "queue0", "queue1", "", "", "q: end"]
    assert beginnings(8, 3) == ["3 queues", "", "QUEUE", "queue0", "queue1", "queue2", "", "q: end"]
    assert beginnings(8, 4) == ["4 queues", "", "QUEUE", "queue0", "queue1", "queue2", "... and 1 more;", "q: end"]
    assert beginnings(6, 9) == ["9 queues", "", "QUEUE", "queue0", "... and 8 more;", "q: end"]
    assert beginnings(5, 9) == ["9 queues", "", "QUEUE", "... and 9 more;", "q: end"]


@pytest.mark.parametrize("columns", [10, 20, 40])
def test_a_narrow_screen_cuts_each_line(screen_of, columns):
    lines, whole = screen_of((8, columns), *QUEUES), screen_of((8, 100), *QUEUES)
    assert [line.strip() for line in lines[1:]] == [line[:columns - 1].strip() for line in whole[1:]]


@pytest.mark.parametrize("columns, consumer", [(91, ""), (92, ""), (93, "é"), (94, "é"), (95, "éé"), (96, "éé@")])
def test_a_row_is_cut_between_characters(screen_of, columns, consumer):
    row = screen_of((24, columns), {"queue": "orders", "consumer": "éé@host"})[3]
    assert row.startswith("orders ") and row[90:] == consumer


def shown(stand_in, *queues, options=()):
    """Returns the lines that `top --once` prints of these queues."""
    return run("sluice", "top", "--once", *options, environment=stand_in(*queues).environment).stdout.splitlines()


def test_every_figure_of_a_queue_is_in_its_row_and_the_sums_are_above(stand_in):
    total, _, heading, *rows = shown(
        stand_in,
        {"queue": "a", "ready": 7, "in_flight": 20, "delayed": 300, "dead": 4, "backlog": 27, "capacity": 1000,
         "bytes": 2048, "capacity_bytes": 1 << 20, "rates": {"in": 1.25, "out": 0.5}, "consumer": "shop@here"},
        {"queue": "b", "ready": 1, "in_flight": 2, "backlog": 3, "capacity": 1000, "bytes": 1 << 20,
         "capacity_bytes": 3 << 20, "rates": {"in": 1000, "out": 2000.25}, "paused": True, "closed": True,
         "waiting_publishers": 1})
    assert [heading, *rows] == [
        "QUEUE                   READY IN FLIGHT  DELAYED   DEAD  FULL     IN/S    OUT/S    BYTES  CONSUMER",
        "a                           7        20      300      4   32%      1.2      0.5  2.0 KiB  shop@here",
        "b                           1         2        0      0   33%   1000.0   2000.2  1.0 MiB  "
        "- paused closed publishers wait", ""]
    assert total[10:] == "2 queues  8 ready  22 in flight  1.0 MiB  1001.2/s in  2000.8/s out"


def test_sizes_below_ten_have_one_decimal(stand_in):
    sizes = {0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10240: "10 KiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB",
             1 << 40: "1.0 TiB", 1 << 50: "1024 TiB"}
    queues = ({"queue": f"q{i}", "bytes": size, "capacity_bytes": 1 << 50} for i, size in enumerate(sizes))
    rows = shown(stand_in, *queues)[3:-1]
    assert [row[80:88].strip() for row in rows] == list(sizes.values())


def test_busy_sorts_by_traffic_and_then_by_backlog(stand_in):
    rates = {"a": (1, 0, 9), "b": (1, 2, 0), "c": (0, 1, 10), "d": (0, 4, 0), "e": (0, 0, 99), "f": (0, 0, 98)}
    queues = [{"queue": name, "rates": {"in": i, "out": o}, "backlog": n} for name, (i, o, n) in rates.items()]
    assert "".join(row[0] for row in shown(stand_in, *queues, options=["--busy"])[3:-1]) == "dbcaef"
    assert "".join(row[0] for row in shown(stand_in, *queues)[3:-1]) == "abcdef"
