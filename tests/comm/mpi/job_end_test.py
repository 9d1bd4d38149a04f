"""How MPI jobs end: usage job_end_test.py WORKERS PROGRAM END MPIRUN..., where END is a key of `checks`."""

import re
import socket
import subprocess
import sys

num_workers, program, end, mpirun = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]


def aborted(code, text):
    assert code == 42, "the job's exit code is not the one given to abort()"
    assert "peer_lost: worker 0 has had enough" in text, "the caller's own wait did not get the reason"


def killed(code, text):
    assert code != 0, "a killed worker passed for success"
    assert "signal 9" in text, "the job ended otherwise than by the killed worker"


def left(code, text):
    assert code == 0, "leaving with a receive and a send outstanding failed"


def unlike(code, text):
    assert code == 0, "workers did not end by themselves"
    for worker in range(1, num_workers):
        assert f"worker {worker}: worker {worker} opens lane 0" in text, f"worker {worker} accepted unlike lanes"


def last_is_missing(words):
    """The first of the others to say so ends the job, so the rest may not come to it."""
    def check(code, text):
        assert code == 42, "the job's exit code is not the one given to abort()"
        waited = re.findall(r"timeout: worker \d waited 1 s for (.+)", text)
        assert waited, "nobody said that it waited in vain"
        for line in waited:
            assert re.fullmatch(words, line), line
    return check


not_come = f"all of {num_workers} workers, but worker {num_workers - 1} "
pid_on_host = rf"\(pid \d+ on {re.escape(socket.gethostname())}\)"
checks = {"abort": aborted, "kill": killed, "leave": left, "unlike": unlike,
          "late": last_is_missing(f"MPI to start, but not all of {num_workers} workers have come to MPI_Init"),
          "stick": last_is_missing(f"{not_come}{pid_on_host} has not come"),
          "stop": last_is_missing(rf"{not_come}\(.+\) has not come")}


def run_job():
    job = subprocess.run(mpirun + ["-n", str(num_workers), program, end], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=60)
    print(job.stdout)
    return job.returncode, job.stdout


code, text = run_job()
if "PMIx_server_finalize" in text:  # where mpirun itself may crash, once all has ended
    code, text = run_job()
checks[end](code, text)
