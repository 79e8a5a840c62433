"""HTTP spoken byte by byte: what is said, and when it ends, is up to the test."""
import socket
import time

HOST = "Host: localhost\r\n"
DEADLINE = 20


def dial(address):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def receive_all(connection):
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def exchange(address, text):
    """What comes back until the connection ends."""
    with dial(address) as connection:
        connection.sendall(text if isinstance(text, bytes) else text.encode())
        return receive_all(connection)


def status_of(received):
    return int(received.split(b" ", 2)[1])


def eventually(condition):
    """Asks until it holds; what it answered last is in the failure."""
    end = time.monotonic() + DEADLINE
    while not (last := condition()):
        assert time.monotonic() < end, last
    return last


def waiting_takes(sidecar):
    return sidecar.ops("GET", "/healthz").json["waiting_takes"]
