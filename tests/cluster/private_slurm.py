"""A real Slurm of its own for a test: controller, two nodes and munge on this machine, in one folder, gone with it."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "srun")
NODES = ("n1", "n2")
# cred_expire is also what a requeued job waits before it starts again: 120 s where it is not set.
CONFIGURATION = """
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MailProg=/bin/true
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES State=UP
"""


def missing_programs():
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [name for name in PROGRAMS if not shutil.which(name, path=path)]


def free_ports(num):
    """Below those that Linux hands out by itself: nobody else gets them before the daemons listen."""
    ports = []
    for port in random.sample(range(20000, 32000), 1000):
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            ports.append(port)
        if len(ports) == num:
            return ports
    raise AssertionError(f"expected {num} free ports, found {ports}")


class PrivateSlurm:
    """In the folder given; `environment` is what its clients need."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.daemons = []
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")} | {
            "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}

    def start(self):
        (self.folder / "state").mkdir()
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
        user = pwd.getpwuid(os.geteuid()).pw_name
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(folder=self.folder, host=socket.gethostname(), user=user, ports=free_ports(3)))
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = [f"--{name}={self.folder}/munge.{end}" for name, end in (
            ("socket", "socket"), ("key-file", "key"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"))]
        self.daemon("munged", "--foreground", "--force", *files)
        self.wait_until(lambda: (self.folder / "munge.socket").exists(), 30)
        self.daemon("slurmctld", "-D")
        for node in NODES:
            self.daemon("slurmd", "-D", "-N", node)
        self.wait_until(lambda: self.command("sinfo", "-N", "-h", "-o", "%N %t", may_fail=True).split("\n")
                        == [f"{node} idle" for node in NODES], 60)

    def daemon(self, *command):
        with open(self.folder / f"{command[0]}.out", "ab") as out:
            self.daemons.append(subprocess.Popen(command, env=self.environment, cwd=self.folder, start_new_session=True,
                                                 stdin=subprocess.DEVNULL, stdout=out, stderr=out))

    def command(self, *command, may_fail=False, variables=(), cwd=None):
        """What it says on standard output."""
        result = subprocess.run([str(word) for word in command], env=self.environment | dict(variables), cwd=cwd,
                                text=True, capture_output=True, timeout=60)
        if result.returncode and not may_fail:
            raise AssertionError(f"{command}: {result.stdout}{result.stderr}")
        return result.stdout.strip()

    def job(self, number):
        """{field: value} of a job, as `scontrol show job` tells it."""
        text = self.command("scontrol", "show", "job", number)
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def wait_until(self, condition, limit_s):
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {limit_s} s\n" + self.logs())
            time.sleep(0.1)

    def logs(self):
        return "\n".join(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
                         for path in sorted(self.folder.glob("*.log")))

    def stop(self):
        """Ends whatever was started with our configuration in its environment: daemons, jobs and their steps."""
        mark = f"SLURM_CONF={self.environment['SLURM_CONF']}\0".encode()
        while pids := [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in content(path)]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for daemon in self.daemons:
            daemon.wait()


def content(path):
    try:
        return path.read_bytes() + b"\0"
    except OSError:
        return b""
