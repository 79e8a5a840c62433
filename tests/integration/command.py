"""Runs a long-lived command whose output a test reads while it runs, and which the test can interrupt."""
import codecs
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time


class Command:
    """A running command. `terminal`: False for pipes, True for a pseudo-terminal, or (rows, columns) for one of that
    size. `seen` holds everything it has written so far."""

    def __init__(self, program, *arguments, environment, terminal=False):
        self.terminal, slave = os.openpty() if terminal else (None, None)
        if terminal not in (True, False):
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *terminal, 0, 0))
        self.popen = subprocess.Popen([str(program), *arguments], stdin=slave or subprocess.PIPE,
                                      stdout=slave or subprocess.PIPE, stderr=slave or subprocess.STDOUT,
                                      env={**os.environ, "TERM": "xterm", **environment})
        if terminal:
            os.close(slave)
        self.seen = ""
        self.decode = codecs.getincrementaldecoder("utf-8")().decode  # a read may end within a character

    def wait_for(self, text, timeout=40, times=1):
        """Reads until `text` has appeared `times` times. The test fails at the deadline or when the output ends."""
        deadline = time.monotonic() + timeout
        source = self.terminal or self.popen.stdout.fileno()
        while self.seen.count(text) < times:
            readable, _, _ = select.select([source], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"no {text!r} within {timeout} s in {self.seen!r}"
            try:
                got = os.read(source, 65536)
            except OSError:  # a pseudo-terminal reports its end this way
                got = b""
            assert got, f"ended without {text!r}: {self.seen!r}"
            self.seen += self.decode(got)

    def interrupt(self):
        self.popen.send_signal(signal.SIGINT)
        return self.popen.wait(timeout=40)

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()
        if self.terminal is not None:
            os.close(self.terminal)
