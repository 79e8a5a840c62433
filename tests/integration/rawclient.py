"""A client of the session protocol written by hand over pyzmq. Tests can make it send what no well-behaved client
would."""
import os
import struct

import zmq


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def number(tag, n):
    """Encodes a varint field."""
    return varint(tag << 3) + varint(n)


def data(tag, content):
    """Encodes a length-delimited field."""
    content = content.encode() if isinstance(content, str) else content
    return varint(tag << 3 | 2) + varint(len(content)) + content


def body(kind, content=b""):
    """Encodes one body of a frame."""
    return data(8, data(kind, content))


HELLO, PUBLISH, CREDIT, CONSUME = 1, 2, 6, 7


def frame(token=(0, 0), epoch=1, sequence=0, received=0, bodies=b""):
    return (b"\x09" + struct.pack("<Q", token[0]) + b"\x11" + struct.pack("<Q", token[1]) + b"\x1d" +
            struct.pack("<I", epoch) + b"\x21" + struct.pack("<Q", sequence) + b"\x29" + struct.pack("<Q", received) +
            b"\x35" + struct.pack("<I", 1) + b"\x3d" + struct.pack("<I", 0) + bodies)


def fields(message):
    """Decodes one level of a protobuf message into [(tag, value)]."""
    at, out = 0, []

    def read():
        nonlocal at
        n = shift = 0
        while True:
            byte = message[at]
            at += 1
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return n
    while at < len(message):
        key = read()
        kind = key & 7
        if kind == 0:
            value = read()
        else:
            size = read() if kind == 2 else {1: 8, 5: 4}[kind]
            value = message[at:at + size]
            at += size
        out.append((key >> 3, value))
    return out


def attach_request(inbox, token=(0, 0), producer=None, name="raw"):
    attach = (number(1, 1) + number(2, 1) + data(4, name) + b"\x29" + struct.pack("<Q", token[0]) + b"\x31" +
              struct.pack("<Q", token[1]) + data(8, producer or os.urandom(16)) + data(9, inbox))
    return data(1, os.urandom(16)) + data(2, attach)


class Reply:
    def __init__(self, message):
        self.fields = dict(fields(message))
        self.reason = self.fields.get(2, 0)
        self.detail = self.fields.get(3, b"").decode()


class RawClient:
    """Control, ingress and inbox sockets for the broker with that ready line. Every receive times out after `wait`
    seconds."""
    alive = []

    def __init__(self, ready, inbox="tcp://127.0.0.1:*", wait=10, name="raw"):
        self.context = zmq.Context()
        self.alive.append(self)
        self.name = name
        self.wait = int(wait * 1000)
        self.control, self.inbox, self.ingress = (self.socket(k) for k in (zmq.DEALER, zmq.PULL, zmq.PUSH))
        self.inbox.bind(inbox)
        self.endpoint = self.inbox.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
        if self.endpoint.startswith("tcp"):
            self.endpoint = "tcp://*:" + self.endpoint.rsplit(":", 1)[1]
        self.control.connect(ready["broker"])
        self.ingress.connect(ready["ingress"])
        self.sent = self.received = 0

    def socket(self, kind):
        s = self.context.socket(kind)
        s.setsockopt(zmq.LINGER, 0)
        s.setsockopt(zmq.RCVTIMEO, self.wait)
        s.setsockopt(zmq.RCVHWM, 0)
        s.setsockopt(zmq.SNDHWM, 0)
        return s

    def request_attach(self, inbox=None):
        self.control.send(attach_request(inbox or self.endpoint, name=self.name))

    def reply(self):
        return Reply(self.control.recv())

    def echo(self):
        """Receives the broker's Hello and echoes it, which completes the attach."""
        hello = fields(self.inbox.recv())
        self.token = tuple(struct.unpack("<Q", value)[0] for tag, value in hello if tag in (1, 2))
        self.epoch = struct.unpack("<I", dict(hello)[3])[0]
        inner = dict(fields(dict(fields(dict(hello)[8]))[HELLO]))
        self.ingress.send(frame(self.token, self.epoch, 0, 0, body(HELLO, data(1, inner[1]))))

    def attach(self):
        """Attaches and returns self; fails if the broker refuses."""
        self.request_attach()
        self.echo()
        reply = self.reply()
        assert reply.reason == 0, reply.detail
        return self

    def push(self, bodies):
        """Sends a frame with the next sequence."""
        self.sent += 1
        self.ingress.send(frame(self.token, self.epoch, self.sent, self.received, bodies))

    def publish(self, queue, first, events, wait_ms=0):
        self.push(body(PUBLISH, data(1, queue) + number(2, first) + number(3, wait_ms) +
                       b"".join(data(4, data(1, e)) for e in events)))

    def consume(self, queue, credit):
        self.push(body(CONSUME, data(1, queue) + number(2, 1)))
        self.push(body(CREDIT, data(1, queue) + number(2, 1) + number(3, credit)))

    def close(self):
        self.context.destroy(linger=0)

    @classmethod
    def close_all(cls):
        """Closes every client, also of a test that failed: a context collected before its sockets would wait for them
        for ever."""
        while cls.alive:
            cls.alive.pop().close()
