"""Child processes that do not outlive their parent, whatever ends it."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def die_with_parent(death_signal):
    LIBC.prctl(PR_SET_PDEATHSIG, death_signal)


def child_setup(death_signal, ignored=()):
    """What to run in a new child before its program: no signal is blocked there, and some are ignored."""
    def setup():
        die_with_parent(death_signal)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for each in ignored:
            signal.signal(each, signal.SIG_IGN)
    return setup
