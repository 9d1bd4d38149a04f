"""Runs launch/run for tests: the real script, real MPI, the real program."""

import os
import re
import subprocess
import time
from pathlib import Path

from lamina_process import BINARY, LaminaTest

RUN = Path(__file__).resolve().parents[2] / "launch" / "run"
SCHEDULERS = re.compile("SLURM_|PBS_|LSB_|PE_|OMPI_|PMI|LAMINA_BEGAN")  # what a job around the tests would have set
LONG = ("--set", "train.epochs=4000")


def processes_with(folder, word=""):
    """{pid: command line} of what runs with the folder, and `word`, in its arguments."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and word in command:
            found[int(path.parent.name)] = command
    return found


class RunTest(LaminaTest):
    def setUp(self):
        super().setUp()
        self.environment = {key: value for key, value in os.environ.items() if not SCHEDULERS.match(key)}

    def log(self, name, out="run"):
        return (self.folder / f"{out}.logs" / name).read_text()

    def verdict(self, console):
        """The one line that launch/run itself says at the end."""
        lines = [line for line in console.splitlines() if line.startswith("run: ")]
        self.assertEqual(console.splitlines()[-1], lines[-1], console)
        return lines[-1]

    def other_program(self, script):
        """In the place of lamina, for the ranks alone; it may go on as "$@"."""
        path = self.write("program", f"""#!/bin/bash
[[ $1 == show ]] && exec {BINARY} "$@"
set -- {BINARY} "$@"
{script}
""")
        path.chmod(0o755)
        return path

    def launch(self, *arguments, **variables):
        """The process of launch/run, its console as one stream."""
        return subprocess.Popen([RUN, *map(str, arguments)], cwd=self.folder, env=self.environment | variables, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def finished(self, *arguments, **variables):
        """(exit code, console)"""
        process = self.launch(*arguments, **variables)
        console = process.communicate(timeout=120)[0]
        return process.returncode, console

    def training(self, out, *arguments):
        """A long run that has done its first step, and its console so far."""
        process = self.launch(self.config, "--out", out, *LONG, *arguments)
        console = ""
        while " step " not in console:
            line = process.stdout.readline()
            self.assertTrue(line, console)
            console += line
        return process, console

    def ended(self, process, console=""):
        """(exit code, console) once no process of the run is left."""
        console += process.communicate(timeout=120)[0]
        deadline = time.time() + 30
        while left := self.processes():
            self.assertLess(time.time(), deadline, left)
        return process.returncode, console

    def processes(self, word=""):
        return processes_with(self.folder, word)
