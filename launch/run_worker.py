#!/usr/bin/env python3
"""Runs one worker for launch/run and outlives it: usage run_worker.py LOG_DIR LAUNCH COMMAND...

mpirun starts this in the place of the worker. It copies the worker's lines to LOG_DIR/rank-R.log and, with the rank in
front, to the console, and records how the worker ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import run_records
from run_child import child_setup, die_with_parent

NO_SUCH_PROGRAM = 9  # device
# mpirun sends these to its children and theirs; the worker minds them, and its keeper must live to tell its end.
MINDED_BY_THE_WORKER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def start(command):
    # Until the worker has handlers of its own, a request to stop is better lost, and repeated, than fatal.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            preexec_fn=child_setup(signal.SIGKILL, ignored=(signal.SIGUSR1, signal.SIGUSR2)))


class Output:
    """Where a worker's lines and records go. What cannot be written, as on a full disk, ends nobody: were the keeper to die
    of it, the worker would be killed."""

    def __init__(self, log_dir, rank):
        self.log_dir, self.rank = log_dir, rank
        self.file, self.has_complained = None, False
        with self.complaining():
            Path(log_dir).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def complaining(self):
        try:
            yield
        except OSError as error:
            if not self.has_complained:
                self.has_complained = True
                self.console(f"run_worker: expected to write to {self.log_dir}, found: {error}; going on\n".encode())

    def console(self, line):
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), b"[%d] " % self.rank + line)

    def log(self, line):
        with self.complaining():
            self.file = self.file or open(run_records.log_path(self.log_dir, self.rank), "ab")
            self.file.write(line)
            self.file.flush()  # what fails stays in the buffer until there is room again

    def record(self, launch, record):
        with self.complaining():
            run_records.append(self.log_dir, launch, record)


def copy_lines(worker, output):
    """Until the worker has closed its end; returns its last error, and when it spoke or fell silent."""
    error, spoke_s = "", 0
    for line in worker.stdout:
        output.log(line)
        output.console(line)
        if b"] [error] " in line:
            error, spoke_s = line.partition(b"] [error] ")[2].decode(errors="replace").rstrip("\n"), time.time()
    return error, spoke_s or time.time()


def main(log_dir, launch, *command):
    die_with_parent(signal.SIGKILL)
    for each in MINDED_BY_THE_WORKER:
        signal.signal(each, lambda *_: None)
    rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
    output = Output(log_dir, rank)
    try:
        worker = start(command)
    except OSError as error:
        record = run_records.Record(rank, os.getpid(), NO_SUCH_PROGRAM, time.time(), f"{command[0]}: {error.strerror}")
    else:
        record = run_records.Record(rank, worker.pid)
        output.log(f"launch {launch}: pid {worker.pid}, {' '.join(command)}\n".encode())
        output.record(launch, record)
        error, spoke_s = copy_lines(worker, output)
        record = record._replace(exit_code=worker.wait(), spoke_s=spoke_s, error=error)
    output.record(launch, record)
    return record.exit_code if record.exit_code >= 0 else 128 - record.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
