"""What strikes a run in a round of chaos, and when."""

import errno
import json
import os
import random
import signal
import threading
import time
from dataclasses import asdict, dataclass

NUM_WORKERS = 4
NUM_STEPS = 160
CHECKPOINT_EVERY = 16
DISK_MIB = 256

KINDS = ("kill", "stop", "slow", "disk")
MOMENTS = ("start", "steps", "checkpoint", "checkpoint", "end")
# Who goes on afterwards: threads of one process, ranks, or launch/run itself, which begins again.
GOES_ON = ("1 thread", "2 threads", "4 threads", "4 ranks", "restart")
POLL_S = 0.0005


@dataclass(frozen=True)
class Fault:
    """All that is random of a round."""
    seed: int
    config: str
    kind: str
    worker: int
    moment: str
    step: int  # of `steps`: the last one seen; of `checkpoint`: the mark's
    files: int  # of `checkpoint`: so many are in its folder
    delay_s: float  # behind what is waited for
    room: int  # of `disk`: bytes that are left
    logs_on_disk: bool  # of `disk`: the logs are on the full one, too
    goes_on: str

    def __str__(self):
        where = {"start": f"{self.delay_s:.2f} s after its start", "steps": f"behind step {self.step}",
                 "checkpoint": f"in the checkpoint of step {self.step} with {self.files} files",
                 "end": f"{self.delay_s:.2f} s behind the last step"}[self.moment]
        how = f" to {self.room} bytes{' with its logs' if self.logs_on_disk else ''}" if self.kind == "disk" else ""
        return f"{self.config}: {self.kind}{how}, worker {self.worker}, {where}, goes on by {self.goes_on}"

    def record(self):
        return asdict(self)


def draw(seed, configs):
    """The round of a seed."""
    it = random.Random(seed)
    kind, moment = it.choice(KINDS), it.choice(MOMENTS)
    delay_s = {"start": 2.0, "steps": 0.0, "checkpoint": 0.0, "end": 0.3}[moment] * it.random()
    step = it.randrange(NUM_STEPS)
    if moment == "checkpoint":
        step = CHECKPOINT_EVERY * it.randint(1, NUM_STEPS // CHECKPOINT_EVERY)
    return Fault(seed=seed, config=it.choice(sorted(configs)), kind=kind, worker=it.randrange(NUM_WORKERS), moment=moment,
                 step=step, files=it.randrange(NUM_WORKERS + 1), delay_s=delay_s, room=int(2**22 * it.random() ** 2),
                 logs_on_disk=it.random() < 0.3, goes_on=it.choice(GOES_ON))


def send(pid, what):
    """Whether there was a process to get the signal."""
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return False
    return True


class Slowness:
    """Stops a process again and again, for most of the time, until it is told to end."""

    def __init__(self, pid):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._go_on, args=(pid,))
        self.thread.start()

    def _go_on(self, pid):
        while not self.over.is_set() and send(pid, signal.SIGSTOP):
            time.sleep(0.15)
            send(pid, signal.SIGCONT)
            time.sleep(0.05)

    def end(self):
        self.over.set()
        self.thread.join()


class Filler:
    """Takes a disk's room until it is told to end, but for so many bytes."""

    def __init__(self, disk, room):
        self.path = disk / "filler"
        with open(self.path, "wb", buffering=0) as file:
            while True:
                free = os.statvfs(disk)
                try:
                    os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - room))
                    break
                except OSError as error:  # the run has just taken some itself
                    if error.errno != errno.ENOSPC or free.f_bavail == 0:
                        raise

    def end(self):
        self.path.unlink()


def newest_step(out):
    """The last step that metrics.jsonl tells of, or -1."""
    try:
        lines = (out / "metrics.jsonl").read_bytes().rpartition(b"\n")[0].splitlines()
    except FileNotFoundError:
        return -1
    return json.loads(lines[-1])["step"] if lines else -1


def files_of_checkpoint(out, step):
    """How many files a checkpoint that is being written has; nothing if there is none; all once it is complete."""
    complete = out / "checkpoints" / f"step-{step:08}"
    if complete.exists():
        return NUM_WORKERS + 1
    found = list(complete.parent.glob(f"{complete.name}.*"))
    try:
        return len(os.listdir(found[0])) if found else None
    except FileNotFoundError:
        return None


def has_come(fault, out, began_s):
    """Whether the moment of the fault is there."""
    if fault.moment == "start":
        return time.monotonic() >= began_s + fault.delay_s
    if fault.moment == "checkpoint":
        files = files_of_checkpoint(out, fault.step)
        return (files is not None and files >= fault.files) or newest_step(out) > fault.step
    return newest_step(out) >= (fault.step if fault.moment == "steps" else NUM_STEPS - 1)
