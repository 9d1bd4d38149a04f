"""Namespaces of its own for a script, so that no process, mount or network that it makes can outlive it."""

import os
import shutil
import signal
import subprocess
import sys

INSIDE = "LAMINA_TEST_SANDBOX"


def unshare_command(*kinds):
    """What starts a program in new namespaces of these kinds, with processes that all end when it does."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    flags = [f"--{kind}" for kind in ("mount", "pid", *kinds)]
    return ["unshare", *as_root, *flags, "--fork", "--kill-child", "--mount-proc"]


def why_impossible(*kinds):
    """The reason why there can be no sandbox, or nothing."""
    if INSIDE in os.environ:
        return ""
    if not shutil.which("unshare"):
        return "there is no unshare, which util-linux has"
    tried = subprocess.run([*unshare_command(*kinds), "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else " ".join(tried.stderr.split()) or f"unshare ended with {tried.returncode}"


def enter(*kinds):
    """Begins this script again, inside."""
    if INSIDE not in os.environ:
        command = [*unshare_command(*kinds), sys.executable, *sys.argv]
        os.execvpe(command[0], command, os.environ | {INSIDE: "1"})
    # Open MPI names a job by its mpirun's pid, which two namespaces may have alike; so what it keeps under these names is
    # each namespace's own.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], check=True)
    os.environ["OMPI_MCA_orte_tmpdir_base"] = "/dev/shm"
    # The first process of a namespace ignores what it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def mount_disk(path, mib):
    """A disk of so many MiB, which can be filled."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", path], check=True)


def unmount(path):
    subprocess.run(["umount", "--lazy", path], check=True)


def reap_orphans():
    """What ended after its parent did; call it while no child of ours is still to be waited for."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
