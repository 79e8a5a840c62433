"""One round of each part of the bench that measures only Sluice and its floors."""
import shutil

import backlog
import delayed
import durable
import fanout
import growth
import native
import over_http
import partitions
import pushes

PARTS = ("clients", "push", "growth", "fanout", "partitions", "durable", "backlog", "delayed")


class Round:
    """One method per part."""

    def __init__(self, figures, options, directory, disk):
        """directory: for sockets and small files. disk: a directory on the disk to measure."""
        self.figures, self.directory, self.disk, self.quick = figures, directory, disk, options.quick
        self.scale, self.seconds = (50, 1) if options.quick else (3, 2) if options.short else (1, 3)

    def clients(self):
        for transport in ("tcp", "ipc"):
            for size in (200, 1024):
                native.raw_relay(self.figures, transport, size, 1000000 // self.scale)
                native.native(self.figures, self.directory, transport, size, 1000000 // self.scale)
                native.raw_relay(self.figures, transport, size, 40000 // self.scale, window=1)
                native.native(self.figures, self.directory, transport, size, 40000 // self.scale, window=1)
            for rate in (2000, 20000):
                native.raw_relay(self.figures, transport, 200, 3 * rate // self.scale, window=256, rate=rate)
                native.native(self.figures, self.directory, transport, 200, 3 * rate // self.scale, rate=rate)
            native.native(self.figures, self.directory, transport, 200, 60000 // self.scale, rate=20000, linger=1)
            if shutil.which("wrk"):
                for connections in (1, 64):
                    over_http.bare(self.figures, connections, self.seconds)
                    over_http.publish(self.figures, self.directory, transport, connections, self.seconds)
                for form in ("JSON", "protobuf"):
                    for connections in (4, 64):
                        over_http.batches(self.figures, self.directory, transport, form, connections, self.seconds)
            for connections in (1, 4):
                over_http.paced(self.figures, self.directory, transport, connections, self.seconds)
        stored = 2000 if self.quick else 100000 # with few events the allocator dominates
        over_http.stored_cost(self.figures, self.directory, stored, 200)

    def push(self):
        for slots in pushes.SLOTS:
            pushes.pushes(self.figures, self.directory, "tcp", slots, 30000 // self.scale)

    def growth(self):
        for shape in growth.QUEUES + growth.SESSIONS:
            growth.many_queues(self.figures, self.directory, shape, self.seconds)
        for count in growth.PRODUCERS:
            growth.many_producers(self.figures, self.directory, count, 6000000 // self.scale)

    def fanout(self):
        for queues in fanout.QUEUES:
            count = 300000 // self.scale // (10 if queues > 10 else 1)
            fanout.fanout(self.figures, self.directory, queues, count)
            fanout.on_disk(self.figures, self.directory, self.disk, queues, count)

    def partitions(self):
        partitions.partitions(self.figures, self.directory, 1000000 // self.scale)
        for how in ("kill", "leave"):
            partitions.failover(self.figures, self.directory, how)

    def durable(self):
        durable.one_round(self.figures, self.disk, self.scale, 0.2 if self.quick else 1)

    def backlog(self):
        for count in (1000000, 10000000) if self.scale == 1 else (3000000 // self.scale,):
            backlog.backlog(self.figures, self.disk, count)

    def delayed(self):
        for durability in ("memory", "disk"):
            delayed.delayed(self.figures, self.disk, durability, 1000000 // self.scale)
