"""What each worker of a run leaves behind, and what launch/run concludes from it.

In the log directory rank R has `rank-R.log`, its lines, and `rank-R.jsonl`, a line when it begins and a line when it
ends, marked with the launch: both files only ever grow, over restarts too.
"""

import json
import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

UNEXPECTED, PEER_LOST, TIMEOUT, DEVICE = 1, 7, 8, 9
KINDS = {1: "unexpected", 2: "config", 3: "data", 4: "checkpoint", 5: "storage", 6: "contract", 7: "peer_lost",
         8: "timeout", 9: "device", 10: "nonfinite"}
# The codes that mpirun has from a worker alone: it says 1 on its own account, too, and is itself what loses a peer.
TOLD_BY_MPIRUN = KINDS.keys() - {UNEXPECTED, PEER_LOST}


class Record(NamedTuple):
    rank: int
    pid: int
    exit_code: int | None = None  # below 0: the signal that killed it; nothing: it has not ended
    spoke_s: float = 0.0  # when it said its last error, else when it ended; since the epoch
    error: str = ""  # its last one


def log_path(log_dir, rank):
    return Path(log_dir) / f"rank-{rank:03}.log"


def record_path(log_dir, rank):
    return Path(log_dir) / f"rank-{rank:03}.jsonl"


def append(log_dir, launch, record):
    line = json.dumps({"launch": launch} | record._asdict()).encode() + b"\n"
    with open(record_path(log_dir, record.rank), "ab+") as file:
        file.write(b"\n" + line if ends_torn(file) else line)


def ends_torn(file):
    """Whether its last line is only a part of one, as where the disk was full: what follows would be lost in it."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def parsed(line):
    """The fields of a record; none if it is torn, or is being written."""
    try:
        return json.loads(line) if line.startswith(b"{") else {}
    except ValueError:
        return {}


def read(log_dir, launch, num_workers):
    """{rank: its newest record of this launch}, but for those that cannot be read: a shared directory may fail for a while,
    which ends nobody."""
    records = {}
    for rank in range(num_workers):
        try:
            lines = record_path(log_dir, rank).read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            fields = parsed(line)
            if fields.pop("launch", None) == launch:
                records[rank] = Record(**fields)
    return records


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:  # of the realtime signals only two have names
        return f"signal {number}"


def is_said(condition, rank, records):
    """Whether the others say of a worker that it was `lost`, or `stuck`."""
    words = rf"worker {rank} \([^)]*\) {condition} at step "
    return any(re.search(words, record.error) for record in records.values() if record.rank != rank)


def order(record, records):
    """What to sort failures by, the cause first. Their times are by the clocks of several hosts, so what the others say of
    a worker that was killed goes before: that they lost it, or that it was stuck, so that mpirun killed it in the end."""
    is_killed = record.exit_code < 0
    if record.exit_code == PEER_LOST:
        place = 3
    elif is_killed and is_said("lost", record.rank, records):
        place = 0
    elif is_killed and is_said("stuck", record.rank, records):
        place = 2
    else:
        place = 1
    return place, record.spoke_s


def where_lost(rank, records):
    """ at step 7 in recv from stage 0: where the others say that a worker was when they lost it; empty if none does."""
    words = rf"worker {rank} \([^)]*\) lost (at step .*?): "
    return next((f" {said[1]}" for record in records.values() if (said := re.search(words, record.error))), "")


def how_it_ended(record, records):
    if record.exit_code < 0:
        killed = f"(pid {record.pid}) was killed by {signal_name(-record.exit_code)}"
        return killed + where_lost(record.rank, records)
    kind = KINDS.get(record.exit_code, "not one of Lamina's")
    error = re.sub(rf"^(worker {record.rank}: )+", "", record.error) or "without an error of its own"
    return f"ended with code {record.exit_code} ({kind}): {error}"


def verdict(records, hosts, mpirun_said, mpirun_code):
    """(exit code, one line) of a run whose mpirun has ended; `hosts` by rank, `mpirun_said` its last line.

    Who failed for a reason of its own goes before those that only lost a peer, and among equals the first. mpirun
    ends the others when one has failed, so that some leave no word. Where a full disk has no room for the records,
    mpirun's code tells whether all ended well, or for what reason one did not.
    """
    silent = [rank for rank in range(len(hosts)) if rank not in records or records[rank].exit_code is None]
    failed = [record for record in records.values() if record.exit_code]
    if not failed and (not silent or mpirun_code == 0):
        return 0, ""
    first = min(failed, key=lambda record: order(record, records), default=None)
    if first and (first.exit_code != PEER_LOST or not silent):
        line = f"worker {first.rank} on {hosts[first.rank]} {how_it_ended(first, records)}"
        if first.exit_code == TIMEOUT:  # it may not know whom it waited for
            killed = [record.rank for record in failed if record.exit_code < 0 and not record.error]
            line += "".join(f"; no word from worker {rank} on {hosts[rank]}" for rank in sorted(silent + killed))
        return PEER_LOST if first.exit_code < 0 else first.exit_code, line
    lost = ", ".join(f"{rank} on {hosts[rank]}" for rank in silent)
    if mpirun_code in TOLD_BY_MPIRUN:
        kind = KINDS[mpirun_code]
        return mpirun_code, f"no word from the end of worker {lost}; mpirun: one ended with code {mpirun_code} ({kind})"
    if not records:
        return DEVICE, f"mpirun started no worker: {mpirun_said}"
    heard = f"worker {first.rank}: {first.error}" if first else f"mpirun: {mpirun_said}"
    return PEER_LOST, f"no word from the end of worker {lost}; {heard}"
