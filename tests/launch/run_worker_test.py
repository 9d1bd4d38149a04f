"""A worker's keeper, without MPI: where the worker's lines go, and that a full disk ends nobody."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
LAUNCH = Path(__file__).resolve().parents[2] / "launch"
sys.path.insert(0, str(LAUNCH))
from run_records import append, log_path, read, record_path  # noqa: E402

RANK = 3


class Keeper(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "logs"

    def keep(self, script, max_bytes=resource.RLIM_INFINITY, stdout=subprocess.PIPE):
        """(exit code, console) of a worker that runs this; no file may become larger."""
        ended = subprocess.run(
            [sys.executable, LAUNCH / "run_worker.py", self.folder, "now", "bash", "-c", script], check=False, timeout=60,
            env=os.environ | {"OMPI_COMM_WORLD_RANK": str(RANK)}, text=True, stdout=stdout, stderr=subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, resource.RLIM_INFINITY)))
        return ended.returncode, ended.stdout

    def full(self, *paths):
        """Whatever is written there finds no room."""
        self.folder.mkdir()
        for path in paths:
            path(self.folder, RANK).symlink_to("/dev/full")

    def record(self):
        return read(self.folder, "now", RANK + 1)[RANK]

    def test_lines_go_to_log_and_console_and_the_end_is_recorded(self):
        self.assertEqual(self.keep("echo one; echo two >&2; exit 6"), (6, "[3] one\n[3] two\n"))
        head, *lines = log_path(self.folder, RANK).read_text().splitlines()
        self.assertTrue(head.startswith("launch now: pid "), head)
        self.assertEqual(lines, ["one", "two"])
        self.assertEqual(self.record().exit_code, 6)

    def test_a_full_disk_under_the_log_is_told_once_and_ends_nobody(self):
        self.full(log_path)
        code, console = self.keep("echo one; sleep 0.3; echo two; exit 6")
        complaint, *lines = console.splitlines()
        self.assertIn(f"[3] run_worker: expected to write to {self.folder}, found: [Errno 28] No space left", complaint)
        self.assertEqual((code, lines), (6, ["[3] one", "[3] two"]))
        self.assertEqual(self.record().exit_code, 6)

    def test_a_record_that_cannot_be_written_ends_nobody(self):
        self.full(record_path)
        code, console = self.keep("echo one; exit 6")
        self.assertEqual((code, console.count("No space left"), console.splitlines()[-1]), (6, 1, "[3] one"))
        self.assertEqual(log_path(self.folder, RANK).read_text().splitlines()[1:], ["one"])

    def test_a_folder_that_cannot_be_made_ends_nobody(self):
        self.folder.touch()
        code, console = self.keep("echo one; exit 6")
        self.assertEqual((code, console.splitlines()[-1]), (6, "[3] one"))

    def test_a_console_on_a_full_disk_ends_nobody(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.assertEqual(self.keep("echo one; exit 6", stdout=full)[0], 6)
        self.assertEqual(log_path(self.folder, RANK).read_text().splitlines()[1:], ["one"])

    def test_a_log_that_found_no_room_for_a_line_has_it_once_there_is_room(self):
        self.folder.mkdir()
        log = log_path(self.folder, RANK)
        log.write_text("x" * 4000 + "\n")
        room = "sleep 0.3; prlimit --fsize=unlimited --pid $PPID"
        code, console = self.keep(f"echo one; {room}; echo two; exit 6", max_bytes=4001)
        self.assertEqual(code, 6, console)
        self.assertEqual(log.read_text().splitlines()[2:], ["one", "two"])

    def test_a_torn_record_does_not_hide_those_after_it(self):
        self.keep("exit 6", max_bytes=60)  # a part of the first record
        torn = record_path(self.folder, RANK).read_bytes()
        self.assertEqual(len(torn), 60)
        self.assertRaises(json.JSONDecodeError, json.loads, torn)
        self.assertEqual(read(self.folder, "now", RANK + 1), {})
        self.assertEqual(self.keep("exit 5")[0], 5)
        self.assertEqual(self.record().exit_code, 5)
        append(self.folder, "now", self.record()._replace(exit_code=4))
        self.assertEqual(self.record().exit_code, 4)
        self.assertNotIn(b"\n\n", record_path(self.folder, RANK).read_bytes())


if __name__ == "__main__":
    unittest.main()
