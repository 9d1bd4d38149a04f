"""What launch/run concludes from the workers' records."""

import signal
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "launch"))
from run_records import Record, append, read, record_path, verdict  # noqa: E402

HOSTS = ["a", "b", "b"]
OK, DATA, PEER_LOST, TIMEOUT, DEVICE = 0, 3, 7, 8, 9


def ended(rank, exit_code, spoke_s=0.0, error=""):
    return Record(rank, 100 + rank, exit_code, spoke_s, error)


class Verdict(unittest.TestCase):
    def judge(self, *records, mpirun_code=1):
        return verdict({record.rank: record for record in records}, HOSTS, "mpirun's word", mpirun_code)

    def test_all_ended_well(self):
        self.assertEqual(self.judge(*(ended(rank, OK) for rank in range(3))), (OK, ""))

    def test_a_failure_of_its_own_goes_before_an_earlier_echo(self):
        code, line = self.judge(ended(0, PEER_LOST, 1, "worker 0: lost"), ended(2, DATA, 2, "worker 2: worker 2: bad file"),
                                Record(1, 101))
        self.assertEqual(code, DATA)
        self.assertEqual(line, "worker 2 on b ended with code 3 (data): bad file")

    def test_of_several_failures_the_first_counts(self):
        self.assertEqual(self.judge(ended(0, 5, 2, "late"), ended(1, DATA, 1, "early"), ended(2, 5, 3))[0], DATA)

    def test_a_killed_worker_is_a_lost_peer(self):
        code, line = self.judge(ended(1, -signal.SIGKILL, 1), ended(0, PEER_LOST, 0.5), Record(2, 102))
        self.assertEqual(code, PEER_LOST)
        self.assertEqual(line, "worker 1 on b (pid 101) was killed by SIGKILL")

    def test_a_signal_without_a_name_is_told_by_its_number(self):
        self.assertEqual(self.judge(ended(1, -signal.SIGRTMIN - 6)),
                         (PEER_LOST, f"worker 1 on b (pid 101) was killed by signal {signal.SIGRTMIN + 6}"))

    def test_what_the_others_say_of_a_killed_worker_goes_before_what_their_hosts_clocks_say(self):
        killed = ended(1, -signal.SIGKILL, 1000)
        said = "worker 0: stopped at step 8 in send to stage 1: worker 1 (pid 101 on b)"
        code, line = self.judge(ended(0, PEER_LOST, 2, f"{said} lost at step 7 in recv from stage 0: gone"), killed,
                                ended(2, DEVICE, 3, "a transport's echo"))
        self.assertEqual(code, PEER_LOST)
        self.assertIn("worker 1 on b (pid 101) was killed by SIGKILL at step 7", line)
        stuck = f"{said} stuck at step 7 in checkpoint of stage 1 for 480 s"
        for killed_s in (1, 1000):  # by mpirun, since it did not end by itself
            code, line = self.judge(ended(0, TIMEOUT, 2, stuck), ended(1, -signal.SIGKILL, killed_s), ended(2, TIMEOUT, 3, stuck))
            self.assertEqual(code, TIMEOUT)
            self.assertIn("stuck at step 7 in checkpoint of stage 1 for 480 s; no word from worker 1 on b", line)

    def test_where_the_others_lost_it_is_told_of_a_killed_worker(self):
        said = "worker 0: stopped at step 8 in send to stage 1: worker 1 (pid 101 on b) lost at step 7 in recv from stage 0: gone"
        line = self.judge(ended(1, -signal.SIGKILL, 1), ended(0, PEER_LOST, 2, said), ended(2, PEER_LOST, 3))[1]
        self.assertEqual(line, "worker 1 on b (pid 101) was killed by SIGKILL at step 7 in recv from stage 0")

    def test_who_left_no_record_is_named_where_the_others_only_lost_a_peer(self):
        code, line = self.judge(ended(0, PEER_LOST, 1, "worker 0: no word from worker 1"), Record(1, 101), ended(2, PEER_LOST, 2))
        self.assertEqual(code, PEER_LOST)
        self.assertIn("worker 1 on b;", line)
        self.assertIn("no word from worker 1", line)

    def test_who_kept_the_others_waiting_and_said_nothing_is_named(self):
        waited = "worker 0 waited 600 s for MPI to start"
        code, line = self.judge(ended(0, TIMEOUT, 1, waited), ended(1, TIMEOUT, 2, waited), ended(2, -signal.SIGKILL, 3))
        self.assertEqual(code, TIMEOUT)
        self.assertTrue(line.endswith(f"{waited}; no word from worker 2 on b"), line)
        self.assertIn("; no word from worker 1 on b", self.judge(ended(0, TIMEOUT, 1, waited), Record(1, 101), ended(2, OK))[1])

    def test_a_host_that_never_started_its_workers(self):
        code, line = self.judge(Record(0, 100))
        self.assertEqual(code, PEER_LOST)
        self.assertIn("worker 0 on a, 1 on b, 2 on b; mpirun: mpirun's word", line)

    def test_without_any_record_mpirun_is_quoted(self):
        self.assertEqual(self.judge(), (DEVICE, "mpirun started no worker: mpirun's word"))

    def test_where_ends_found_no_room_mpiruns_code_tells_that_all_is_well(self):
        self.assertEqual(self.judge(ended(0, OK), Record(1, 101), mpirun_code=0), (OK, ""))
        self.assertEqual(self.judge(mpirun_code=0), (OK, ""))
        self.assertEqual(self.judge(ended(0, DATA), Record(1, 101), mpirun_code=0)[0], DATA)

    def test_where_ends_found_no_room_mpiruns_code_tells_a_reason(self):
        code, line = self.judge(ended(0, PEER_LOST, 1, "worker 0: lost"), Record(1, 101), Record(2, 102), mpirun_code=5)
        self.assertEqual((code, line), (5, "no word from the end of worker 1 on b, 2 on b; "
                                           "mpirun: one ended with code 5 (storage)"))
        self.assertEqual(self.judge(mpirun_code=5)[0], 5)
        for mpirun_code in (1, PEER_LOST, 137, -9):  # its own, or an echo
            self.assertEqual(self.judge(ended(0, OK), Record(1, 101), mpirun_code=mpirun_code)[0], PEER_LOST)

    def test_a_code_that_is_not_laminas_is_kept(self):
        self.assertEqual(self.judge(ended(0, 42), ended(1, OK), ended(2, OK)),
                         (42, "worker 0 on a ended with code 42 (not one of Lamina's): without an error of its own"))


class Records(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_the_newest_of_this_launch_is_read(self):
        append(self.folder, "earlier", ended(0, DATA))
        append(self.folder, "now", Record(0, 5))
        self.assertEqual(read(self.folder, "now", 2), {0: Record(0, 5)})
        append(self.folder, "now", ended(0, OK))
        self.assertEqual(read(self.folder, "now", 2), {0: ended(0, OK)})

    def test_a_line_that_is_being_written_is_not_read_yet(self):
        append(self.folder, "now", Record(0, 5))
        with open(record_path(self.folder, 0), "a", encoding="utf-8") as file:
            file.write('{"launch": "now", "ra')
        self.assertEqual(read(self.folder, "now", 1), {0: Record(0, 5)})

    def test_what_cannot_be_read_is_passed_over(self):
        append(self.folder, "now", ended(1, OK))
        record_path(self.folder, 0).mkdir()
        record_path(self.folder, 2).symlink_to(record_path(self.folder, 2))
        self.assertEqual(read(self.folder, "now", 4), {1: ended(1, OK)})

    def test_a_torn_line_is_passed_over_and_swallows_none(self):
        """A disk may have been full for its end, and a host may have gone down in it."""
        for torn in (b'{"launch": "now", "ra', b'{"launch": {}', b"\0\0\0", b"\xff}", b"7\n"):
            with self.subTest(torn):
                with open(record_path(self.folder, 0), "wb") as file:
                    file.write(torn)
                append(self.folder, "now", ended(0, OK))
                self.assertEqual(read(self.folder, "now", 1), {0: ended(0, OK)})


if __name__ == "__main__":
    unittest.main()
