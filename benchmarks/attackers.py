#!/usr/bin/env python3
"""Strangers at a run's ports, for benchmarks/strangers.py: all at once, as fast as their share of a core lets them.

    attackers.py --share 0.5 --program lamina     # every port of the loopback at which a process of this name listens
    attackers.py --share 0.5 --at 10.78.0.1       # of another address of this host
    attackers.py --share 0.5 --port 9464          # this port

Ends at SIGTERM, with a line of JSON: its seconds of CPU and of time, and how often it did what.
"""

import argparse
import collections
import ctypes
import itertools
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time

HELLO_BYTES, CHALLENGE_BYTES, PROOF_BYTES = 52, 44, 32
LOOPBACK = "127.0.0.1"
NUM_IDLE = 10_000
NUM_OTHERS = 500  # connections and files beside the idle ones
TELL_S = 0.2
PATIENCE_S = 1.0
LOOK_S = 0.5
RANDOM = os.urandom(2**16)
OWN = b"stranger"  # in hellos, by which those of others can be told
# Of what passes by, only what may be a hello or a proof by its length: all of it would be more than can be heard.
SO_ATTACH_FILTER = 26
STEPS = (
    (0x80, 0, 0, 0),  # the packet's length
    (0x35, 0, 2, 20 + 20 + PROOF_BYTES),  # less: to the last step
    (0x35, 1, 0, 60 + 60 + HELLO_BYTES + 1),  # as much: to the last step
    (0x06, 0, 0, 2**16),  # it is taken
    (0x06, 0, 0, 0),  # it is left
)
PROGRAM = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in STEPS))
FILTER = struct.pack("HP", len(STEPS), ctypes.addressof(PROGRAM))


def num_idle():
    """As many as this system lets a process have."""
    return min(NUM_IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - NUM_OTHERS)


class Attackers:
    def __init__(self, options):
        self.options = options
        self.ports = [options.port] if options.port else []
        self.counts = collections.Counter()
        self.over = threading.Event()
        self.began_s = time.monotonic()
        self.heard = []  # hellos with their proofs, as they went by
        self.turns = itertools.count()

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: self.over.set())
        kinds = (self.idle, self.random_bytes, self.half_sent, self.wrong_token, self.replayed, self.look, self.listen_in)
        threads = [threading.Thread(target=kind, daemon=True) for kind in kinds]
        for thread in threads:
            thread.start()
        while not self.over.wait(TELL_S):
            if self.options.tell:
                print(json.dumps(dict(self.counts)), flush=True)
        for thread in threads:
            thread.join(2 * PATIENCE_S)
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu_s = sum(each.ru_utime + each.ru_stime for each in used)
        print(json.dumps({"cpu_s": cpu_s, "seconds": time.monotonic() - self.began_s} | self.counts), flush=True)

    def keep_to_share(self):
        ahead_s = time.process_time() / self.options.share - (time.monotonic() - self.began_s)
        if ahead_s > 0:
            self.over.wait(min(ahead_s, 1.0))

    def call(self, kind):
        """A connection to one port after the other, or nothing."""
        self.keep_to_share()
        if not self.ports:
            self.over.wait(0.02)
            return None
        port = self.ports[next(self.turns) % len(self.ports)]
        try:
            connection = socket.create_connection((self.options.at, port), PATIENCE_S, self.options.source)
        except OSError:
            self.counts[f"{kind} without a connection"] += 1
            self.over.wait(0.001)
            return None
        self.counts[kind] += 1
        return connection

    def talk(self, kind, speak):
        while not self.over.is_set():
            connection = self.call(kind)
            if connection is None:
                continue
            with connection:
                try:
                    speak(connection)
                except OSError:
                    pass

    # The kinds.

    def idle(self):
        held = []
        while not self.over.is_set() and len(held) < num_idle():
            connection = self.call("idle")
            held += [connection] if connection else []
        self.over.wait()

    def random_bytes(self):
        def speak(connection):
            while not self.over.is_set():
                connection.sendall(RANDOM)
                self.counts["random KiB"] += len(RANDOM) // 1024
                self.keep_to_share()
        self.talk("random", speak)

    def half_sent(self):
        """Half a request and half a hello, by turns, and then silence; the newest hundred stay."""
        held = collections.deque(maxlen=100)
        halves = itertools.cycle((b"GET /metrics HTTP/1.1\r\nHost:", self.hello(1, 0)[:30]))
        while not self.over.is_set():
            if connection := self.call("half-sent"):
                try:
                    connection.send(next(halves))
                except OSError:
                    pass
                held.append(connection)

    def hello(self, caller, callee):
        return struct.pack("8sIii32s", b"lamina\r\n", 2, caller, callee, OWN + os.urandom(32 - len(OWN)))

    def wrong_token(self):
        def speak(connection):
            hello = self.heard[-1][0] if self.heard else self.hello(1, 0)
            self.answer("wrong token", connection, hello, os.urandom(PROOF_BYTES))
        self.talk("wrong token", speak)

    def replayed(self):
        def speak(connection):
            if self.heard:
                self.answer("replayed", connection, *self.heard[next(self.turns) % len(self.heard)])
        self.talk("replayed", speak)

    def answer(self, kind, connection, hello, proof):
        """A whole handshake; whoever listens must not say that it is admitted."""
        connection.sendall(hello)
        if len(connection.recv(CHALLENGE_BYTES, socket.MSG_WAITALL)) < CHALLENGE_BYTES:
            return
        self.counts[f"{kind}, challenged"] += 1
        connection.sendall(proof)
        verdict = connection.recv(4, socket.MSG_WAITALL)
        if len(verdict) == 4:
            self.counts["ADMITTED" if any(verdict) else f"{kind}, refused"] += 1

    # What they find out.

    def look(self):
        """The program's open ports; a process that is root sees whose they are."""
        pattern = re.compile(rf' {re.escape(self.options.at)}:(\d+) .*"{re.escape(self.options.program)}"')
        while not self.over.wait(LOOK_S if self.ports else LOOK_S / 10):
            listed = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=False).stdout
            found = [int(match[1]) for match in pattern.finditer(listed)]
            if not self.options.port and found != self.ports:
                self.ports = found
                self.counts["ports seen"] += len(found)

    def listen_in(self):
        """Hellos and proofs of others on the loopback, which root may hear."""
        try:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            wire.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, FILTER)
            wire.bind(("lo", 0))
        except OSError:
            self.counts["cannot listen in"] += 1
            return
        hellos = {}
        while not self.over.is_set():
            if self.heard and not self.options.port:
                self.over.wait(0.5)  # what the attackers say themselves is of no interest
                continue
            if not select.select([wire], [], [], 0.2)[0]:
                continue
            packet = wire.recv(4096)
            if len(packet) < 40 or packet[9] != socket.IPPROTO_TCP:
                continue
            head = 4 * (packet[0] & 15)
            said = packet[head + 4 * (packet[head + 12] >> 4):]
            way = packet[12:20] + packet[head:head + 4]
            if len(said) == HELLO_BYTES and said.startswith(b"lamina") and OWN not in said:
                hellos[way] = said
            elif len(said) == PROOF_BYTES and way in hellos:
                self.heard.append((hellos.pop(way), said))
                self.counts["overheard"] += 1


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of a core, at most")
    parser.add_argument("--program", default="lamina")
    parser.add_argument("--port", type=int)
    parser.add_argument("--at", default=LOOPBACK, metavar="ADDRESS", help="an address of this host; they call from the loopback")
    parser.add_argument("--tell", action="store_true", help="say what was done so far, a line of JSON again and again")
    options = parser.parse_args()
    # As it is by itself on the loopback; a source that is set takes one of the few ports for itself alone.
    options.source = None if options.at == LOOPBACK else (LOOPBACK, 0)
    return options


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    Attackers(parse()).run()
