"""What the command line draws of queues whose figures are known to the last digit: a stand-in gives them in a sidecar's place."""
import re

import pytest


class Screen:
    """A terminal: what stands on it after it was written to. Of its commands it knows those that are used."""

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
def screen_of(standing_in, start):
    """What top draws of these queues on a terminal of that size, after it has drawn it twice: lines."""
    def drawn(size, *queues):
        top = start("top", "--interval", "50ms", environment=standing_in(*queues).environment, terminal=size)
        top.wait_for("\033[H", times=3)
        screen = Screen(*size)
        screen.write(top.seen.partition("\033[?25l")[2].rpartition("\033[H")[0])
        return screen.lines
    return drawn


@pytest.mark.parametrize("columns, consumer", [(91, ""), (92, ""), (93, "é"), (94, "é"), (95, "éé"), (96, "éé@")])
def test_a_row_is_cut_between_characters(screen_of, columns, consumer):
    row = screen_of((24, columns), {"queue": "orders", "consumer": "éé@host"})[3]
    assert row.startswith("orders ") and row[90:] == consumer
