"""A network that tests can break: clients run in a network namespace, and every TCP connection into and out of it
passes through a wire that can be cut, stalled or slowed. Needs root."""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
import time

from conftest import BIN, Sidecar

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


class Namespace:
    """A network namespace. It has its own loopback, so the ports in use outside are free inside. `error` says why it
    could not be made, or is empty."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo made && cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.error = "" if self.holder.stdout.readline() else self.holder.stderr.read().strip()
        if not self.error:
            self.run_inside(self.raise_loopback)
            self.run_inside(self.set_own_ports)

    @property
    def path(self):
        return f"/proc/{self.holder.pid}/ns/net"

    def run_inside(self, make):
        """Returns make(), called inside the namespace. A socket belongs to the namespace in which it was created."""
        made = []

        def enter():
            fd = os.open(self.path, os.O_RDONLY)
            if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) == 0:
                made.append(make())
            os.close(fd)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    @staticmethod
    def raise_loopback():
        with socket.socket() as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))

    @staticmethod
    def set_own_ports():
        """Ports that the kernel chooses inside are not among those that it chooses outside: each of those must be free
        inside too, for the wire's other end."""
        with contextlib.suppress(OSError):  # where /proc/sys cannot be written they may meet, which is rare
            with open("/proc/sys/net/ipv4/ip_local_port_range", "r+") as f:
                low = int(f.read().split()[0])
                f.seek(0)
                f.write(f"{max(low - 10000, 1024)} {low - 1}")

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()


class Wire:
    """Forwards the connections of `listener` to what connect() opens. Bytes under way when it is cut are lost."""

    def __init__(self, listener, connect):
        self.listener, self.connect = listener, connect
        self.port = listener.getsockname()[1]
        self.lock, self.ends = threading.Lock(), set()
        self.flows, self.delay, self.down = threading.Event(), 0, False
        self.flows.set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self.join, args=(near,), daemon=True).start()

    def join(self, near):
        try:
            if self.down:
                raise OSError
            far = self.connect()
        except OSError:
            near.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.ends |= {near, far}
        for pair in ((near, far), (far, near)):
            threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.flows.wait()
                if self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        self.drop({source, sink})

    def drop(self, ends):
        with self.lock:
            self.ends -= ends
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self):
        with self.lock:
            ends = set(self.ends)
        self.drop(ends)

    def end(self):
        self.down = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.flows.set()
        self.cut()


def listen(port=0):
    return socket.create_server(("127.0.0.1", port))


class Network:
    """Sidecars inside a namespace and a broker outside. `wires` are the connections between them."""

    def __init__(self, cluster, broker):
        self.cluster, self.broker = cluster, broker
        self.namespace, self.wires, self.control_wires = Namespace(), [], []
        self.error = self.namespace.error
        if not self.error:
            for name in ("broker", "ingress"):
                self.wire_out(int(broker.ready[name].rsplit(":", 1)[1]))

    def wire_out(self, port):
        self.wires.append(Wire(self.namespace.run_inside(lambda: listen(port)),
                               lambda: socket.create_connection(("127.0.0.1", port))))

    def wire_in(self, port, listener):
        return Wire(listener, lambda: self.namespace.run_inside(lambda: socket.create_connection(("127.0.0.1", port))))

    def sidecar(self):
        inbox = listen()
        port = inbox.getsockname()[1]
        s = Sidecar(self.cluster.directory, f"sidecar{len(self.cluster.processes)}", [
            "/usr/bin/nsenter", f"--net={self.namespace.path}", "--", str(BIN / "sluice-sidecar"), "--broker",
            self.broker.ready["broker"], "--inbox", f"tcp://127.0.0.1:{port}", "--http", "127.0.0.1:0", "--ops",
            "127.0.0.1:0", "--drain-limit", "1s"])
        self.cluster.processes.append(s)
        self.wires.append(self.wire_in(port, inbox))
        for name in ("http", "ops"):  # for the test itself: never disturbed
            wire = self.wire_in(int(s.ready[name].rsplit(":", 1)[1]), listen())
            self.control_wires.append(wire)
            s.ready[name] = f"127.0.0.1:{wire.port}"
        s.wait_attached()
        return s

    def end(self):
        for wire in self.wires + self.control_wires:
            wire.end()
        self.namespace.end()
