"""Where the workers of a run go: listed hosts, a hostfile, a scheduler's allocation, or this machine."""

import os
import re
import signal
import socket
import subprocess
import time

from run_child import child_setup

CONFIG, DEVICE = 2, 9  # exit codes, as the README lists them
SECONDS_TO_ANSWER = 30
MOST_SLOTS = 65536  # of a host: more is a slip, and would fill the memory


class LaunchError(Exception):
    """One line for the user, and launch/run's exit code."""

    def __init__(self, exit_code, message):
        super().__init__(message)
        self.exit_code = exit_code


def require_utf8(texts):
    """What is no UTF-8 could not stand in logs and records."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise LaunchError(CONFIG, f"expected UTF-8, found {os.fsencode(text)}") from None


def merged(pairs):
    """{host: slots}, in the order of first mention; a host that comes again adds its slots."""
    slots = {}
    for host, num in pairs:
        slots[host] = slots.get(host, 0) + num
    return slots


def entry(text, where):
    """(host, slots) of `HOST`, `HOST:SLOTS`, `HOST slots=SLOTS ...` or, from Grid Engine, `HOST SLOTS ...`."""
    match = re.fullmatch(r"([^\s:=,]+)(?::(\d+)|\s+slots\s*=\s*(\d+)(?:\s+\S+)*|\s+(\d+)(?:\s+\S+)*)?", text)
    digits = next((group for group in match.groups()[1:] if group), "1") if match else "0"
    num = int(digits[:12])  # Python reads no number of thousands of digits
    if not 1 <= num <= MOST_SLOTS:
        raise LaunchError(CONFIG, f"{where}: expected HOST, HOST:SLOTS or HOST slots=SLOTS, of 1 to {MOST_SLOTS} slots, "
                                  f"found '{text}'")
    return match[1], num


def from_list(text):
    return merged(entry(part.strip(), "--hosts") for part in text.split(","))


def from_file(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.partition("#")[0].strip() for line in file]
    except OSError as error:
        raise LaunchError(CONFIG, f"expected a hostfile, found {error.strerror}: {path}") from None
    slots = merged(entry(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line)
    if not slots:
        raise LaunchError(CONFIG, f"{path}: expected a line for each host, found none")
    return slots


def from_slurm(_):
    try:
        names = subprocess.run(["scontrol", "show", "hostnames"], check=True, capture_output=True, text=True,
                               start_new_session=True).stdout  # a signal to our group is ours
    except (OSError, subprocess.CalledProcessError) as error:
        raise LaunchError(DEVICE, f"expected scontrol to list the hosts of the allocation, found: {error}") from None
    counts = []
    for part in os.environ["SLURM_TASKS_PER_NODE"].split(","):  # such as 2(x3),1
        num, _, times = part.rstrip(")").partition("(x")
        counts += [int(num)] * int(times or 1)
    return merged(zip(names.split(), counts, strict=True))


def from_pairs(text):
    words = text.split()
    return merged(zip(words[::2], map(int, words[1::2]), strict=True))


# What a scheduler leaves in the environment of a job: Slurm, PBS, LSF (a file, or the text itself), Grid Engine.
ALLOCATIONS = {
    "SLURM_TASKS_PER_NODE": from_slurm,
    "PBS_NODEFILE": from_file,
    "LSB_DJOB_HOSTFILE": from_file,
    "LSB_MCPU_HOSTS": from_pairs,
    "PE_HOSTFILE": from_file,
}


def from_allocation():
    """The slots of the scheduler's job around us, or nothing."""
    for variable, read in ALLOCATIONS.items():
        if text := os.environ.get(variable):
            try:
                return read(text)
            except ValueError:
                raise LaunchError(DEVICE, f"{variable}: expected hosts with their slots, found '{text}'") from None
    return None


def require_known(hosts):
    for host in hosts:
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            raise LaunchError(DEVICE, f"unknown host {host}: its name has no address") from None


def answering(hosts, mpirun):
    """Those hosts where `mpirun`, a command with its options, still starts something; asked all at once."""
    asked = {host: subprocess.Popen([*mpirun, "--host", host, "-n", "1", "true"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    preexec_fn=child_setup(signal.SIGTERM)) for host in hosts}
    deadline_s = time.monotonic() + SECONDS_TO_ANSWER
    for process in asked.values():
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return [host for host, process in asked.items() if process.returncode == 0]


def place(slots, num_workers):
    """The host of each rank: the slots of a host are filled before those of the next."""
    places = [host for host, num in slots.items() for _ in range(num)]
    if num_workers > len(places):
        listed = ",".join(f"{host}:{num}" for host, num in slots.items())
        raise LaunchError(CONFIG, f"expected a slot for each of {num_workers} workers, found {len(places)} in {listed}")
    return places[:num_workers]
