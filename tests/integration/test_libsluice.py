"""Programs with libsluice, as processes of their own."""
import contextlib
import os
import re
import resource
import socket
import subprocess

import pytest

from conftest import BIN, SANITIZED, until


@pytest.mark.skipif(SANITIZED, reason="libzmq is a shared library there, which ends the process")
def test_a_program_survives_that_a_connection_finds_no_descriptor_left(cluster, short_directory):
    b = cluster.broker("--auto-declare", listen=f"ipc://{short_directory}/broker")
    program = subprocess.Popen([BIN / "example_publish", b.ready["broker"], "lines"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    with program, contextlib.ExitStack() as strangers:
        until(lambda: "inbox ipc://" in b.log.read_text())
        inbox = re.search(r'inbox ipc://([^"]+)', b.log.read_text()).group(1)
        used = max(int(fd) for fd in os.listdir(f"/proc/{program.pid}/fd")) + 1
        resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (used, used))
        for _ in range(used):  # some numbers below may be free
            stranger = strangers.enter_context(socket.socket(socket.AF_UNIX))
            stranger.connect(inbox)
        said, _ = program.communicate("a\nb\n", timeout=30)
        assert (program.returncode, said) == (0, "2 accepted, 0 refused\n")
        with pytest.raises(ConnectionResetError):
            stranger.recv(1)  # the last one was never accepted: who is, is greeted
