"""Hosts that are network namespaces with names of their own, on one bridge: what a launcher takes for other machines.

Only for a script that has entered a sandbox with a network of its own (sandbox.enter("net", "uts")): there is nothing to
clean up, since all of it goes with the sandbox, however that ends.

Every host has two interfaces: `mpi0` for MPI and whatever goes by the host's name, and `snap0`. The script itself, where
mpirun runs, is on both networks too.
"""

import subprocess
import tempfile
from pathlib import Path

NETWORKS = {"mpi0": "10.77.0.", "snap0": "10.78.0."}  # by the hosts' interface; the first one has the names
LAUNCHER = 254  # the script's own number on each
TCP_RETRIES = 5  # some 13 s
AGENT = """#!/bin/bash
# Open MPI starts its daemons by this, as it does by ssh.
host=$1
shift
exec nsenter --target "$(<"{folder}/$host.pid")" --net --uts bash -c "$*"
"""


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def why_no_links():
    """The reason why hosts cannot be connected here, or nothing."""
    try:
        run("ip", "link", "add", "try0", "type", "bridge")
        run("ip", "link", "add", "try1", "type", "veth", "peer", "name", "try2")
        run("ip", "link", "set", "try1", "master", "try0")
        run("ip", "link", "del", "try1")
        run("ip", "link", "del", "try0")
    except OSError as error:
        return str(error)
    return ""


class Hosts:
    def __init__(self, names):
        self.names = names
        self.folder = Path(tempfile.mkdtemp(prefix="hosts-"))
        self.agent = self.folder / "agent"
        self.agent.write_text(AGENT.format(folder=self.folder))
        self.agent.chmod(0o755)
        self._write_names()
        run("ip", "link", "set", "lo", "up")
        for network, prefix in NETWORKS.items():
            run("ip", "link", "add", f"bridge-{network}", "type", "bridge")
            run("ip", "address", "add", f"{prefix}{LAUNCHER}/24", "dev", f"bridge-{network}")
            run("ip", "link", "set", f"bridge-{network}", "up")
        self.holders = [self._start(name, number) for number, name in enumerate(names, 1)]
        # As it is, Open MPI's daemon on a host that is cut off tries to say so for a quarter of an hour.
        self.everywhere("bash", "-c", f"echo {TCP_RETRIES} > /proc/sys/net/ipv4/tcp_retries2")

    def _write_names(self):
        """All hosts' names for all, for as long as the sandbox lives."""
        prefix = next(iter(NETWORKS.values()))
        lines = ["127.0.0.1 localhost", f"{prefix}{LAUNCHER} launcher"]
        lines += [f"{prefix}{number} {name}" for number, name in enumerate(self.names, 1)]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")
        run("mount", "--bind", self.folder / "hosts", "/etc/hosts")
        run("hostname", "launcher")

    def everywhere(self, *command):
        run(*command)
        for name in self.names:
            self.on(name, *command)

    def _start(self, name, number):
        holder = subprocess.Popen(["unshare", "--net", "--uts", "bash", "-c",
                                   f"hostname {name} && echo && exec sleep infinity"], stdout=subprocess.PIPE)
        holder.stdout.readline()
        holder.stdout.close()
        (self.folder / f"{name}.pid").write_text(str(holder.pid))
        self.on(name, "ip", "link", "set", "lo", "up", holder=holder)
        for network, prefix in NETWORKS.items():
            run("ip", "link", "add", self.cable(name, network), "type", "veth", "peer", "name", network,
                "netns", holder.pid)
            run("ip", "link", "set", self.cable(name, network), "master", f"bridge-{network}", "up")
            self.on(name, "ip", "address", "add", f"{prefix}{number}/24", "dev", network, holder=holder)
            self.on(name, "ip", "link", "set", network, "up", holder=holder)
        return holder

    def on(self, name, *command, holder=None):
        holder = holder or self.holders[self.names.index(name)]
        return run("nsenter", "--target", holder.pid, "--net", "--uts", *command)

    def cable(self, name, network):
        """The end at the bridge of a host's interface."""
        return f"{name}-{network}"

    # What becomes of a link.

    def unplug(self, name):
        for network in NETWORKS:
            run("ip", "link", "set", self.cable(name, network), "down")

    def plug(self, name):
        for network in NETWORKS:
            run("ip", "link", "set", self.cable(name, network), "up")

    def throttle(self, network, rate):
        """All that the hosts send there leaves at this rate, such as 1mbit."""
        for name in self.names:
            self.on(name, "tc", "qdisc", "replace", "dev", network, "root", "tbf", "rate", rate, "burst", "16kb",
                    "limit", "256kb")

    def disturb(self, network, *how):
        """netem's delay and loss on all that the hosts send. @raises OSError where the kernel has no netem."""
        for name in self.names:
            self.on(name, "tc", "qdisc", "replace", "dev", network, "root", "netem", *how)

    def calm(self, network):
        for name in self.names:
            self.on(name, "tc", "qdisc", "del", "dev", network, "root")

    def words(self):
        """What launch/run is told, to start its workers there and hold MPI to TCP between them."""
        prefix = next(iter(NETWORKS.values()))
        options = {"plm_rsh_agent": self.agent, "pml": "ob1", "btl": "tcp,self", "btl_tcp_if_include": f"{prefix}0/24",
                   "oob_tcp_if_include": f"{prefix}0/24"}
        mpirun = [word for name, value in options.items() for word in ("--mca", name, str(value))]
        return ["--hosts", ",".join(self.names), *(f"--mpirun={word}" for word in mpirun)]
