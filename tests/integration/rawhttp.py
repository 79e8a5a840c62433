"""HTTP over plain sockets, for tests that send malformed requests, send slowly, or close the connection early."""
import socket

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
    """Sends `text` and returns everything received until the connection ends."""
    with dial(address) as connection:
        connection.sendall(text if isinstance(text, bytes) else text.encode())
        return receive_all(connection)


def status_of(received):
    return int(received.split(b" ", 2)[1])


def waiting_takes(sidecar):
    return sidecar.ops("GET", "/healthz").json["waiting_takes"]
