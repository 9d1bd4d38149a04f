#!/usr/bin/env python3
"""Runs one worker for launch/run and outlives it: usage run_worker.py LOG_DIR LAUNCH COMMAND...

mpirun starts this in the place of the worker. It copies the worker's lines to LOG_DIR/rank-R.log and, with the rank in
front, to the console, and records how the worker ended.
"""

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


def copy_lines(worker, rank, log):
    """Until the worker has closed its end; returns its last error, and when it spoke or fell silent."""
    error, spoke_s = "", 0
    for line in worker.stdout:
        log.write(line)
        os.write(sys.stdout.fileno(), b"[%d] " % rank + line)
        if b"] [error] " in line:
            error, spoke_s = line.partition(b"] [error] ")[2].decode(errors="replace").rstrip("\n"), time.time()
    return error, spoke_s or time.time()


def main(log_dir, launch, *command):
    die_with_parent(signal.SIGKILL)
    for each in MINDED_BY_THE_WORKER:
        signal.signal(each, lambda *_: None)
    rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
    Path(log_dir).mkdir(parents=True, exist_ok=True)
    with open(run_records.log_path(log_dir, rank), "ab", buffering=0) as log:
        try:
            worker = start(command)
        except OSError as error:
            record = run_records.Record(rank, os.getpid(), NO_SUCH_PROGRAM, time.time(), f"{command[0]}: {error.strerror}")
        else:
            record = run_records.Record(rank, worker.pid)
            log.write(f"launch {launch}: pid {worker.pid}, {' '.join(command)}\n".encode())
            run_records.append(log_dir, launch, record)
            error, spoke_s = copy_lines(worker, rank, log)
            record = record._replace(exit_code=worker.wait(), spoke_s=spoke_s, error=error)
        run_records.append(log_dir, launch, record)
    return record.exit_code if record.exit_code >= 0 else 128 - record.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
