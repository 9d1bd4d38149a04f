"""One round of chaos: a run of four ranks is struck, and has to end, to leave no process, to have a newest checkpoint
that is whole, and to go on to the parameters of a run that nothing happened to."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import faults
import sandbox
from lamina_process import BINARY, CHECKPOINT, MPI_ENVIRONMENT, OK, PEER_LOST, STORAGE, TIMEOUT
from run_process import RUN, SCHEDULERS, processes_with

LIMIT_S = 90  # the longest that a struck run may take to end, on a machine that is busy with other things, too
STOPPED_TIMEOUT_S = 6  # of a run in which a worker will stop; the others may take what they want
CONSOLE_TAIL = 4000

COMMON = """
model: {{backbone: resnet8}}
partition: {{modules: 4}}
method: {{{method}}}
pipeline: {{stages: 4, workers: 4, threads: 1{schedule}}}
data: {{name: synthetic, train_limit: {images}, test_limit: 8}}
train: {{batch: {batch}, epochs: {epochs}, eval_every_steps: 50, lr_schedule: step, warmup_epochs: 0.2}}
checkpoint: {{every_steps: {every}}}
"""
STEPS_PER_EPOCH = 32


def configuration(method, schedule="", batch=4):
    return COMMON.format(method=method, schedule=schedule, batch=batch, images=batch * STEPS_PER_EPOCH,
                         epochs=faults.NUM_STEPS // STEPS_PER_EPOCH, every=faults.CHECKPOINT_EVERY)


CONFIGS = {
    "dgl": configuration("framework: dgl, head: mlp_sr"),
    "mlaan": configuration("framework: dgl, head: mlp_sr, mlaan: {window: 2}"),
    "2bw": configuration("framework: e2e", ", schedule: 2bw, micro_batches: 4", batch=8),
}
# What a struck run may end with, where the fault came in time.
EXPECTED = {"kill": (PEER_LOST,), "stop": (PEER_LOST, TIMEOUT), "slow": (OK,), "disk": (STORAGE,)}


class Failed(Exception):
    """What does not hold, with what the run said."""


def expect(holds, what, console=""):
    if not holds:
        raise Failed(f"{what}\n{console[-CONSOLE_TAIL:]}")


def environment():
    kept = {key: value for key, value in os.environ.items() if not SCHEDULERS.match(key)}
    return kept | MPI_ENVIRONMENT


def losses(out):
    """(kind, step, losses) of every line of metrics.jsonl."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["kind"], line["step"], line.get("loss"), line.get("test_loss")) for line in lines]


def checkpoints(out):
    """{step: the parameters' digest} of the complete ones."""
    found = [path / "manifest.json" for path in (out / "checkpoints").glob("step-*") if "." not in path.name]
    for path in found:
        expect(path.exists(), f"{path.parent}: a checkpoint without its manifest")
    bodies = [json.loads(path.read_text())["body"] for path in found]
    return {body["step"]: body["params_sha256"] for body in bodies}


class References:
    """Runs that nothing happens to, one a configuration."""

    def __init__(self, folder):
        self.folder = folder
        self.outs = {}
        for name, text in CONFIGS.items():
            (folder / f"{name}.yaml").write_text(text)

    def out_of(self, name):
        if name not in self.outs:
            out = self.folder / name
            command = [BINARY, "train", self.folder / f"{name}.yaml", "--out", out, "--set", "checkpoint.keep=999",
                       "--set", "pipeline.workers=2"]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            expect(ended.returncode == OK, f"{name}: the reference ended with {ended.returncode}", ended.stderr)
            self.outs[name] = out
        return self.outs[name]


class Round:
    """Use: `with Round(fault, references) as it: it.play()`. A folder that did not hold stays, for a look at it."""

    def __init__(self, fault, references):
        self.fault = fault
        self.reference = references.out_of(fault.config)
        self.folder = Path(tempfile.mkdtemp(prefix=f"chaos-{fault.seed}-"))
        self.config = shutil.copy(references.folder / f"{fault.config}.yaml", self.folder / "run.yaml")
        self.disk = self.folder / "disk"
        self.out = self.disk / "run"
        self.logs = (self.disk if fault.logs_on_disk else self.folder) / "logs"
        self.record = fault.record()
        self.undo = []
        self.process = None

    def __enter__(self):
        if self.fault.kind == "disk":
            sandbox.mount_disk(self.disk, faults.DISK_MIB)
        else:
            self.disk.mkdir()
        return self

    def __exit__(self, kind, *_):
        for each in self.undo:
            each()
        if self.process and self.process.poll() is None:
            self.process.kill()
        for pid in processes_with(self.folder):
            faults.send(pid, signal.SIGKILL)
        if kind is not None and self.fault.kind == "disk":
            shutil.copytree(self.disk, self.folder / "left", dirs_exist_ok=True)
        if self.fault.kind == "disk":
            sandbox.unmount(self.disk)
        if kind is None:
            shutil.rmtree(self.folder)

    def play(self):
        began_s = time.monotonic()
        code, console = self.strike()
        self.record |= {"ended": code, "last_step": faults.newest_step(self.out)}
        self.judge_end(code, console)
        self.judge_checkpoints()
        self.go_on()
        self.record["seconds"] = round(time.monotonic() - began_s, 1)

    # The run that is struck.

    def launch(self, *words):
        """launch/run with the configuration; what it says goes to the file `console`."""
        with open(self.folder / "console", "ab") as console:
            return subprocess.Popen([RUN, self.config, "--out", self.out, "--log-dir", self.logs, *words], cwd=self.folder,
                                    stdout=console, stderr=subprocess.STDOUT, env=environment() | {"TMPDIR": str(self.folder)})

    def finished(self, process):
        """(exit code, console); fails where it does not end."""
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            left = "\n".join(f"{pid}: {command}" for pid, command in processes_with(self.folder).items())
            raise Failed(f"it did not end in {LIMIT_S} s; running:\n{left}\n{self.console()[-CONSOLE_TAIL:]}") from None
        return process.returncode, self.console()

    def console(self):
        return (self.folder / "console").read_text(errors="replace")

    def strike(self):
        words = ["--restarts", "2"] if self.begins_again() else []
        if self.fault.kind == "stop":
            words += ["--set", f"pipeline.timeout_s={STOPPED_TIMEOUT_S}"]
        self.process = process = self.launch(*words)
        self.await_moment(process)
        if process.poll() is None:
            self.record["inside"] = bool(list((self.out / "checkpoints").glob("step-*.*")))
            self.record["struck"] = self.hit()
        return self.finished(process)

    def begins_again(self):
        return self.fault.goes_on == "restart" and self.fault.kind in ("kill", "stop")

    def await_moment(self, process):
        """Until the fault's moment, or the run's end."""
        while self.pid() is None and process.poll() is None:
            time.sleep(faults.POLL_S)
        began_s = time.monotonic()
        while not faults.has_come(self.fault, self.out, began_s) and process.poll() is None:
            time.sleep(faults.POLL_S)
        if self.fault.moment == "end":
            time.sleep(self.fault.delay_s)

    def pid(self):
        """Of the worker that will be struck, once it has begun."""
        try:
            lines = (self.logs / f"rank-{self.fault.worker:03}.jsonl").read_text()
        except FileNotFoundError:
            return None
        return json.loads(lines.splitlines()[0])["pid"] if "\n" in lines else None

    def hit(self):
        if self.fault.kind == "disk":
            self.undo.append(faults.Filler(self.disk, self.fault.room).end)
            return True
        if self.fault.kind == "slow":
            self.undo.append(faults.Slowness(self.pid()).end)
            return True
        return faults.send(self.pid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[self.fault.kind])

    # What it left.

    def judge_end(self, code, console):
        while self.undo:
            self.undo.pop()()
        expected = (OK,) if self.begins_again() else EXPECTED[self.fault.kind]
        came_late = code == OK and self.is_complete()
        expect(code in expected or came_late, f"expected the end {expected}, found {code}", console)
        self.expect_no_process()
        if code != OK:
            last = console.splitlines()[-1]
            expect(last.startswith("run: "), "expected a verdict as the last line", console)
            # Whoever is stuck before MPI has started cannot be told from the others.
            if self.fault.kind == "kill" or (self.fault.kind == "stop" and "MPI to start" not in last):
                expect(re.search(rf"worker {self.fault.worker}\b", last), f"expected worker {self.fault.worker} in: {last}",
                       console)

    def is_complete(self):
        path = self.out / "summary.json"
        return path.exists() and json.loads(path.read_text())["complete"]

    def expect_no_process(self):
        deadline = time.monotonic() + 20
        while left := processes_with(self.folder):
            expect(time.monotonic() < deadline, f"left running: {left}", self.console())
            time.sleep(0.05)

    def judge_checkpoints(self):
        """`lamina verify` finds none that is bad, and each is of the uninterrupted run."""
        verified = subprocess.run([BINARY, "verify", self.out], capture_output=True, text=True, check=False)
        found = checkpoints(self.out)
        self.record["newest"] = max(found, default=None)
        expect(verified.returncode == (OK if found else CHECKPOINT), f"lamina verify ended with {verified.returncode}",
               verified.stdout + verified.stderr)
        if found:
            expect(f"step-{max(found):08}" in verified.stdout.splitlines()[-1], "another is newest", verified.stdout)
        lost = self.record["last_step"] - max(found, default=0)
        expect(lost <= faults.CHECKPOINT_EVERY + faults.NUM_WORKERS * 3, f"{lost} steps are lost; newest: {found}")
        self.expect_of_reference(found)

    def expect_of_reference(self, found):
        straight = checkpoints(self.reference)
        for step, digest in found.items():
            expect(step in straight and straight[step] == digest, f"the checkpoint of step {step} is of another run")

    def go_on(self):
        words = ["--resume", "--set", "pipeline.timeout_s=600"]
        number, kind = self.fault.goes_on.split() if " " in self.fault.goes_on else ("4", "ranks")
        if self.begins_again():
            pass  # it has already
        elif kind == "ranks":
            code, console = self.finished(self.launch(*words))
            expect(code == OK, f"the resumed run ended with {code}", console)
        else:
            command = [BINARY, "train", self.config, "--out", self.out, *words, "--set", f"pipeline.workers={number}"]
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
            expect(ended.returncode == OK, f"the resumed run ended with {ended.returncode}", ended.stdout + ended.stderr)
        summary, straight = (json.loads((out / "summary.json").read_text()) for out in (self.out, self.reference))
        expect(summary["complete"], f"the resumed run is not complete: {summary['step']} steps")
        expect(summary["params_sha256"] == straight["params_sha256"], "the resumed run has other parameters")
        expect(summary["test_loss"] == straight["test_loss"], "the resumed run has another test loss")
        expect(losses(self.out) == losses(self.reference), "metrics.jsonl is not that of the uninterrupted run")
        self.expect_of_reference(checkpoints(self.out))
        self.expect_no_process()
