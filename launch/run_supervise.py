"""Runs mpirun to its end: the signals that reach the workers through it, and how long it may take to end."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from run_child import child_setup

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
SAVE_SIGNAL = signal.SIGUSR1
# Once a worker has failed, Open MPI lets this pass before it sends SIGTERM to the others, and once more before SIGKILL.
# Its default of 1 is too short for them to speak.
SECONDS_TO_SPEAK = 5
# So long after a worker has failed mpirun has to end, and again after it is told to.
SECONDS_TO_END = 3 * SECONDS_TO_SPEAK
# So long, and the workers' own timeout, may pass until all have begun: a signal to one that has not would kill it.
SECONDS_TO_BEGIN = 15


def tell(stream, text):
    """A console may be a file on a full disk: no run ends for that."""
    with contextlib.suppress(OSError):
        os.write(stream.fileno(), text.encode(errors="backslashreplace"))


def say(message):
    tell(sys.stderr, f"run: {message}\n")


class EndWatch:
    """Ends an mpirun that does not end though a worker has: nobody else would miss one that is stuck when the others have
    done their work, and behind a link that is down mpirun itself waits for a quarter of an hour."""

    def __init__(self, records, timeout_s):
        self.records, self.timeout_s = records, timeout_s
        self.end_s, self.is_told = math.inf, False

    def look(self, mpirun):
        ended = [record.exit_code for record in self.records().values() if record.exit_code is not None]
        now_s = time.monotonic()
        if ended:
            self.end_s = min(self.end_s, now_s + SECONDS_TO_END + (0 if any(ended) else self.timeout_s))
        if now_s > self.end_s + SECONDS_TO_END:
            mpirun.kill()
        elif now_s > self.end_s and not self.is_told:
            say("a worker has ended, and not all others have in time: ending them")
            mpirun.terminate()
            self.is_told = True


def before_any_worker(number, _):
    name = signal.Signals(number).name
    if number == SAVE_SIGNAL:
        return say(f"{name}: no worker is there yet, so there is nothing to save")
    for each in STOP_SIGNALS:  # one is enough
        signal.signal(each, signal.SIG_IGN)
    say(f"{name}: stopped before any worker was started")
    sys.exit(0)


def mind_signals():
    """From now on, until supervise() does so, signals do what they do later, to a run without workers: a stop ends it
    cleanly and at once, whatever it waits for. Who has us ignore one, as nohup does, is obeyed."""
    for each in (*STOP_SIGNALS, SAVE_SIGNAL):
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, before_any_worker)


def next_signal(awaited, seconds):
    """The next of these signals, or nothing. What Python tells of none of them, once this process has been stopped (as by
    Ctrl-Z) and goes on after that time, is rubbish."""
    came = signal.sigtimedwait(awaited, seconds)
    return came.si_signo if came and came.si_signo in awaited else None


class End(NamedTuple):
    exit_code: int  # mpirun's
    stopped: bool  # by a signal to this script
    interrupted: bool  # by a second one


def supervise(command, log, all_began, end_watch):
    """Runs mpirun to its End. Its own words go to the file `log`.

    mpirun itself ends a job without ado on most signals, but hands SIGUSR2 on to the workers, which stop cleanly at it:
    so whatever comes becomes that, once every worker is there to hear it, and again, for one that was not listening yet.
    """
    awaited = {each for each in (*STOP_SIGNALS, SAVE_SIGNAL) if signal.getsignal(each) != signal.SIG_IGN} | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    mpirun = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True,
                              preexec_fn=child_setup(signal.SIGTERM))
    stopping = interrupted = False
    while mpirun.poll() is None:
        came = next_signal(awaited, 2)
        if came == SAVE_SIGNAL:
            if all_began():
                say(f"{SAVE_SIGNAL.name}: the workers write a checkpoint and go on")
                mpirun.send_signal(SAVE_SIGNAL)
            else:
                say(f"{SAVE_SIGNAL.name}: not all workers are there yet, so there is nothing to save")
        elif came == signal.SIGINT and stopping:
            say("interrupted again: ending the workers, which takes some seconds")
            interrupted = True
            mpirun.terminate()
        elif came and came != signal.SIGCHLD and not stopping:
            say(f"{signal.Signals(came).name}: stopping the workers; they leave a checkpoint to --resume from")
            stopping = True
        if stopping and not interrupted and all_began():
            mpirun.send_signal(signal.SIGUSR2)
        end_watch.look(mpirun)
    return End(mpirun.returncode, stopping, interrupted)


def stop_is_pending():
    return bool(signal.sigpending() & set(STOP_SIGNALS))
