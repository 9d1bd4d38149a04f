"""A network on which two workers of a run meet when they are let, for strangers who want to be there first.

By itself a meeting is over within milliseconds. Here what one worker sends to the other goes to an interface behind which
nobody is, until the port of their meeting is opened. That takes longer than the system goes on calling here, so they have
to call again. Strangers call from another address, and are heard at once. Only in a sandbox with a network of its own
(tests/chaos/sandbox.py).
"""

from pathlib import Path

from hosts import run

ADDRESS = "10.78.0.1"
NETWORK = f"{ADDRESS}/24"  # for snapshots.interface
SYN_RETRIES, GIVES_UP_S = 1, 5  # in truth after 3 s
OPENED, CLOSED, LOCAL = 40, 50, 100  # rules, the first one that fits is taken
BUILD = f"""
link set lo up
link add snap0 type veth peer name nobody
address add {NETWORK} dev snap0
link set snap0 up
neighbour add {ADDRESS} lladdr 02:00:00:00:00:01 dev snap0
route add {ADDRESS} dev snap0 table 99
rule add pref {LOCAL} lookup local
rule del pref 0
rule add pref {CLOSED} from {ADDRESS} to {ADDRESS} lookup 99
"""


def build():
    """@raises OSError where there can be no such network."""
    Path("/proc/sys/net/ipv4/tcp_syn_retries").write_text(str(SYN_RETRIES), encoding="ascii")
    for command in BUILD.strip().splitlines():
        run("ip", *command.split())


def open_one():
    """The meeting that is waited for now; later ones have other ports."""
    for line in run("ss", "-ltnH", "src", ADDRESS).splitlines():
        port = line.split()[3].rpartition(":")[2]
        for end in ("sport", "dport"):
            run("ip", "rule", "add", "pref", OPENED, "to", ADDRESS, "ipproto", "tcp", end, port, "lookup", "local")


def open_all():
    run("ip", "rule", "del", "pref", CLOSED)
