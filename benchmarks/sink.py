#!/usr/bin/env python3
"""Somebody else for attackers to attack: as patient as a run's endpoint, in a process of its own. Says its port.

It takes a connection a millisecond, keeps the newest 64, hears 8 KiB of each at most, and hangs up.
"""

import json
import resource
import selectors
import signal
import socket
import time

MOST, BETWEEN_S, LONGEST = 64, 0.001, 8192


class Sink:
    def __init__(self):
        self.is_over = False
        self.heard = {}  # bytes, by connection, the oldest first
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.next_s = 0.0

    def run(self):
        signal.signal(signal.SIGTERM, self.stop)
        print(self.listener.getsockname()[1], flush=True)
        while not self.is_over:
            if time.monotonic() >= self.next_s:
                self.take()
            for key, _ in self.selector.select(BETWEEN_S):
                self.hear(key.fileobj)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime}), flush=True)

    def stop(self, *_):
        self.is_over = True

    def take(self):
        self.listener.settimeout(0)
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return
        self.next_s = time.monotonic() + BETWEEN_S
        self.heard[connection] = 0
        self.selector.register(connection, selectors.EVENT_READ)
        if len(self.heard) > MOST:
            self.hang_up(next(iter(self.heard)))

    def hear(self, connection):
        try:
            said = len(connection.recv(LONGEST))
        except OSError:
            said = 0
        self.heard[connection] += said
        if said == 0 or self.heard[connection] >= LONGEST:
            self.hang_up(connection)

    def hang_up(self, connection):
        self.selector.unregister(connection)
        del self.heard[connection]
        connection.close()


Sink().run()
