"""Where launch/run puts the workers, and what it refuses before it starts any."""

import json
import os
import re
import shlex
import unittest

from lamina_process import BINARY, CONFIG, OK
from run_process import RunTest

DEVICE = 9


class Placement(RunTest):
    def setUp(self):
        super().setUp()
        self.config = self.write("run.yaml", self.config.read_text().replace("workers: 1", "workers: auto"))

    def plan(self, *arguments, **variables):
        """([host of each rank], [word of the command])"""
        code, console = self.finished("--dry-run", self.config, *arguments, **variables)
        self.assertEqual(code, OK, console)
        header, *ranks, command = console.splitlines()
        self.assertEqual(header, "rank host slot")
        self.assertEqual([int(line.split()[0]) for line in ranks], list(range(len(ranks))))
        return [line.split()[1] for line in ranks], shlex.split(command)

    def hosts(self, *arguments, **variables):
        return self.plan("--set", "pipeline.stages=3", *arguments, **variables)[0]

    def test_without_hosts_this_machine_gets_as_many_as_the_configuration_says(self):
        hosts, command = self.plan("--set", "pipeline.workers=2")
        self.assertEqual(hosts, ["localhost", "localhost"])
        self.assertIn("localhost:2", command)

    def test_a_given_number_of_workers_goes_before_the_configurations(self):
        hosts, command = self.plan("--set", "pipeline.workers=1", "--workers", 2)
        self.assertEqual(hosts, ["localhost", "localhost"])
        self.assertEqual(command[command.index("pipeline.workers=1") + 2], "pipeline.workers=2")
        self.assertEqual(self.hosts("--hosts", "localhost:2", "--set", "pipeline.workers=2", "--workers", 1), ["localhost"])

    def test_hosts_are_filled_one_after_the_other(self):
        self.assertEqual(self.hosts("--hosts", "127.0.0.1:2,localhost"), ["127.0.0.1", "127.0.0.1", "localhost"])
        hosts, command = self.plan("--hosts", "127.0.0.1:2,localhost:4", "--workers", 2)
        self.assertEqual(hosts, ["127.0.0.1"] * 2)
        self.assertEqual(command[command.index("--host") + 1], "127.0.0.1:2")

    def test_every_way_to_write_a_hostfile(self):
        for text in ("127.0.0.1 slots=2\nlocalhost slots=1 max_slots=4\n", "# two\n127.0.0.1:2\n\nlocalhost # one\n",
                     "127.0.0.1\nlocalhost\n127.0.0.1\n"):
            with self.subTest(text):
                path = self.write("hosts", text)
                self.assertEqual(self.hosts("--hostfile", path), ["127.0.0.1", "127.0.0.1", "localhost"])

    def test_a_schedulers_allocation_is_used(self):
        """Names that nobody could look up: the scheduler vouches for them."""
        nodes = self.write("nodes", "n1\nn1\nn2\n")
        grid_engine = self.write("pe_hosts", "n1 2 all.q@n1 UNDEFINED\nn2 1 all.q@n2 UNDEFINED\n")
        for variables in ({"PBS_NODEFILE": str(nodes)}, {"LSB_DJOB_HOSTFILE": str(nodes)},
                          {"LSB_MCPU_HOSTS": "n1 2 n2 1"}, {"PE_HOSTFILE": str(grid_engine)}):
            with self.subTest(variables):
                self.assertEqual(self.hosts(**variables), ["n1", "n1", "n2"])

    def test_slurms_allocation_is_expanded_by_scontrol(self):
        """scontrol is a stand-in here; tests/cluster has the real one."""
        scontrol = self.write("scontrol", "#!/bin/sh\necho n1; echo n2; echo n7\n")
        scontrol.chmod(0o755)
        path = f"{self.folder}:{os.environ['PATH']}"
        self.assertEqual(self.hosts("--workers", 3, SLURM_TASKS_PER_NODE="1(x2),4", PATH=path), ["n1", "n2", "n7"])

    def test_mpirun_gets_its_arguments_and_the_worker_lamina_trains(self):
        _, command = self.plan("--mpirun", "--report-bindings", "--mpirun", "--mca", "--mpirun", "a", "--mpirun", "b",
                               "--set", "train.seed=2", "--resume", "--out", "a run")
        text = " ".join(command)
        self.assertIn("--report-bindings --mca a b ", text)
        self.assertTrue(text.endswith(f"train {self.config} --set train.seed=2 --out a run --resume"), text)
        self.assertEqual("--allow-run-as-root" in command, os.geteuid() == 0)
        self.assertEqual(command[command.index("--bind-to") + 1], "none")

    def test_the_configurations_folder_may_have_any_name(self):
        for out in ("my runs", '"a \\"b\\\\ # c"', '"a\\tb"'):
            with self.subTest(out):
                _, command = self.plan("--set", f"out={out}")
                name = json.loads(out) if out.startswith('"') else out
                self.assertIn(f"{self.folder}/{name}.logs", command)

    def test_the_same_program_shows_the_configuration_and_works(self):
        """In the folder is the program, and in PATH another one of its name, which fails."""
        (self.folder / "lamina").symlink_to(BINARY)
        other = self.write("other", "#!/bin/sh\nexit 1\n")
        other.chmod(0o755)
        (self.folder / "path").mkdir()
        other.rename(self.folder / "path/lamina")
        path = f"{self.folder}/path:{os.environ['PATH']}"
        for lamina in ("./lamina", "lamina", f"{self.folder}/lamina"):
            with self.subTest(lamina):
                _, command = self.plan("--lamina", lamina, PATH=path)
                self.assertIn(str(self.folder / "lamina"), command)
        (self.folder / "lamina").rename(self.folder / "path/lamina")
        _, command = self.plan("--lamina", "lamina", PATH=path)
        self.assertIn(str(self.folder / "path/lamina"), command)

    def refused(self, code, *fragments, arguments, **variables):
        with self.subTest(arguments):
            found, console = self.finished(*arguments, "--out", "refused", **variables)
            self.assertEqual(found, code, console)
            self.assertEqual(len(console.splitlines()), 1, console)
            for fragment in fragments:
                self.assertIn(str(fragment), console)
            self.assertEqual(list(self.folder.glob("refused*")), [])

    def test_what_it_cannot_start_is_refused_in_one_line(self):
        malformed = self.write("malformed", "localhost slots=2\n\nlocalhost slots=two\n")
        empty = self.write("empty", "# nobody\n")
        unknown = self.write("unknown", "localhost\nno-such-host.invalid slots=2\n")
        config = self.config
        self.refused(CONFIG, f"{malformed}:3", "slots=two", arguments=["--hostfile", malformed, config])
        self.refused(CONFIG, empty, "none", arguments=["--hostfile", empty, config])
        self.refused(CONFIG, "nowhere", arguments=["--hostfile", "nowhere", config])
        self.refused(DEVICE, "no-such-host.invalid", arguments=["--hostfile", unknown, config])
        self.refused(DEVICE, "no-such-host.invalid", arguments=["--hosts", "no-such-host.invalid:2", config])
        crowded = self.write("crowded", "localhost slots=99999999999\n")
        self.refused(CONFIG, f"{crowded}:1", "65536", arguments=["--hostfile", crowded, config])
        self.refused(CONFIG, "--hosts", "65536", arguments=["--hosts", "localhost:65537", config])
        self.refused(CONFIG, "--hosts", "65536", arguments=["--hosts", "localhost:" + 5000 * "9", config])
        self.refused(CONFIG, "localhost:0", arguments=["--hosts", "localhost:0", config])
        self.refused(CONFIG, "3 workers", "found 2", arguments=["--hosts", "localhost:2", "--workers", 3, config])
        self.refused(CONFIG, "--workers", arguments=["--workers", 0, config])
        self.refused(CONFIG, "--workers", "65536", arguments=["--workers", 99999999999, config])
        self.refused(CONFIG, "--no-such-option", arguments=[config, "--no-such-option"])
        self.refused(CONFIG, "CONFIG", arguments=[])
        self.refused(DEVICE, "nothing-here", "launch/setup", arguments=["--lamina", "nothing-here", config])

    def test_what_a_variable_leaves_empty_is_refused(self):
        self.refused(CONFIG, "--hosts", "found ''", arguments=["--hosts", "", self.config])
        for option in ("--hostfile", "--out", "--log-dir", "--trace", "--lamina"):
            code, console = self.finished("--dry-run", self.config, "--out", "refused", option, "")
            with self.subTest(option):
                self.assertEqual((code, len(console.splitlines())), (CONFIG, 1), console)
                self.assertIn(f"{option}: expected a path, found none", console)

    def test_what_is_no_utf8_is_refused(self):
        latin = os.fsdecode(b"o\xe9")
        self.refused(CONFIG, r"o\xe9", arguments=["--log-dir", latin, self.config])
        self.refused(CONFIG, r"out=o\xe9", arguments=[self.config, "--set", f"out={latin}"])
        config = self.folder / "latin.yaml"
        config.write_bytes(self.config.read_bytes() + b"out: o\xe9\n")
        self.refused(CONFIG, f"{config}:", "expected UTF-8", arguments=[config])

    def test_the_configuration_is_checked_for_so_many_workers_before_any_starts(self):
        self.refused(CONFIG, "pipeline.workers", "expected 2", "found 1",
                     arguments=["--hosts", "localhost:2", self.config, "--set", "pipeline.workers=1"])
        self.refused(CONFIG, "pipeline.workers", "found 9", arguments=["--workers", 9, self.config])
        self.refused(CONFIG, "nothing.yaml", arguments=["nothing.yaml"])

    def test_an_allocation_that_makes_no_sense_is_refused(self):
        self.refused(DEVICE, "LSB_MCPU_HOSTS", "n1 two", arguments=[self.config], LSB_MCPU_HOSTS="n1 two")

    def test_knows_every_option_of_lamina_train(self):
        options = set(re.findall(r"--[a-z-]+", self.lamina("train", "--help").stdout.partition("Options:")[2]))
        self.assertIn("--resume", options)
        self.assertLessEqual(options, set(re.findall(r"--[a-z-]+", self.finished("--help")[1])))

    def test_srun_of_several_is_refused_by_one_of_them(self):
        step = {"SLURM_STEP_NUM_TASKS": "2"}
        self.refused(CONFIG, "srun", arguments=[self.config], SLURM_PROCID="0", **step)
        self.assertEqual(self.finished(self.config, SLURM_PROCID="1", **step), (CONFIG, ""))
        self.refused(CONFIG, "SLURM_STEP_NUM_TASKS", "'x'", arguments=[self.config], SLURM_STEP_NUM_TASKS="x")


if __name__ == "__main__":
    unittest.main()
