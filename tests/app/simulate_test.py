"""lamina simulate and lamina plan, as people call them: what they print, keep, and refuse."""

import json
import os
import re
import subprocess

from lamina_process import BINARY, CONFIG, LaminaTest, main


class Simulate(LaminaTest):
    def test_a_chain_without_a_network(self):
        process = self.lamina("simulate", "--workers", 64, "--stage-ms", 10, "--steps", 200, "--out", self.folder / "out")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn("64 worker(s): 100.0000 steps/s", process.stdout)
        summary = json.loads((self.folder / "out" / "summary.json").read_text())
        self.assertEqual(len(summary["workers"]), 64)
        self.assertAlmostEqual(summary["pipeline_efficiency"], 1)

    def test_1024_workers_of_1000_steps_take_less_than_a_gigabyte(self):
        process = subprocess.Popen([BINARY, "simulate", "--workers", "1024", "--stage-ms", "10", "--steps", "1000", "--jitter", "0.1",
                                    "--shadows", "2"], stdout=subprocess.PIPE, text=True)
        console = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertIn("1024 worker(s)", console)
        self.assertLess(usage.ru_maxrss, 1e6)  # KB

    def test_each_stage_has_a_worker_of_its_own_whatever_this_host_has(self):
        many = ["--set", "pipeline.workers=auto", "--set", "pipeline.stages=[0,1,2]", "--set", "partition.modules=4"]
        process = self.lamina("simulate", self.config, *many, "--stage-ms", 10)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn("4 worker(s): 100.0000 steps/s", process.stdout)

    def test_a_grid_is_the_schedules(self):
        process = self.lamina("simulate", "--workers", 2, "--grid", 2)
        self.assertEqual(process.stdout, "worker 0   s0:0 s0:1 .\nworker 1   .    s1:0 s1:1\n")

    def test_what_cannot_be_simulated(self):
        for arguments, fragment in [
            (["--workers", "4"], "--stage-ms or --profile"),
            (["--workers", "4", "--stage-ms", "1,2"], "4 stages, or one for all, found 2"),
            (["--workers", "4", "--stage-ms", "1", "--set", "pipeline.replicas=3"], "found 3"),
            (["--workers", "4", "--stage-ms", "1", "--set", "pipeline.schedule=1f1b", "--set", "pipeline.replicas=2"],
             "pipeline.replicas: expected 1 with schedule 1f1b, found 2"),
            (["--workers", "4", "--stage-ms", "1", "--set", "pipeline.schedule=interleaved_1f1b", "--set",
              "pipeline.replicas=[1, 3]"], "pipeline.replicas: expected 1 with schedule interleaved_1f1b, found 3"),
            (["--workers", "4", "--stage-ms", "1", "--set", "train.batch=3"], "unknown key"),
            (["--workers", "2", "--profile", "none.json"], "--profile requires config"),
            ([self.config, "--best-cut"], "--best-cut requires --profile"),
            (["--workers", "2", "--stage-ms", "1", "--scale-batch"], "--scale-batch requires --profile"),
            ([self.config, "--stage-ms", "1", "--workers", "2"], "--workers"),
            ([self.config, "--stage-ms", "1", "--packet-mib", "2"], "--packet-mib"),
            (["--workers", "2", "--stage-ms", "1", "--warmup", "-5"], "--warmup"),
            (["--workers", "2", "--stage-ms", "nan"], "--stage-ms: expected a finite number, found nan"),
            (["--workers", "2", "--stage-ms", "1", "--jitter", "nan"], "--jitter"),
        ]:
            with self.subTest(arguments):
                self.assert_refused(self.lamina("simulate", *arguments), CONFIG, fragment)


class Plan(LaminaTest):
    def plan(self, *arguments):
        return self.lamina("plan", self.config, "--repeats", 1, *arguments)

    @staticmethod
    def promised(text):
        return float(re.search(r"promises ([\d.]+) images/s", text)[1])

    def test_its_measurements_are_kept_and_simulated(self):
        profile = self.folder / "profile.json"
        first = self.plan("--profile", profile)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(self.plan("--profile", profile).stdout, first.stdout, "nothing is measured again")
        cut = re.search(r"pipeline.stages: (\[.*\])", first.stdout)[1]
        promised = self.promised(first.stdout)
        process = self.lamina("simulate", self.config, "--profile", profile, "--set", f"pipeline.stages={cut}",
                              "--set", "pipeline.workers=auto")
        self.assertEqual(process.returncode, 0, process.stderr)
        simulated = float(re.search(r"([\d.]+) images/s", process.stdout)[1])
        self.assertLess(abs(simulated / promised - 1), 0.02)
        found = self.lamina("simulate", self.config, "--profile", profile, "--best-cut", "--set", "pipeline.workers=auto")
        self.assertEqual(found.stdout, process.stdout, "it finds the cut that lamina plan finds")
        uneven = ["--profile", profile, "--speeds", "1,0.01"]
        cut = re.search(r"pipeline.stages: (\[.*\])", self.plan(*uneven).stdout)[1]
        same = ["simulate", self.config, *uneven, "--set", "pipeline.workers=auto"]
        self.assertEqual(self.lamina(*same, "--best-cut").stdout,
                         self.lamina(*same, "--set", f"pipeline.stages={cut}").stdout, "by these speeds")

        other = self.lamina("plan", self.config, "--profile", profile, "--set", "train.batch=7")
        self.assert_refused(other, CONFIG, "train.batch: 7, found")

        tight = self.plan("--profile", profile, "--memory-mib", 0.01)
        self.assertEqual(tight.returncode, CONFIG)
        least = re.search(r"the least that would do is ([\d.]+) MiB", tight.stderr)[1]
        self.assertEqual(self.plan("--profile", profile, "--memory-mib", least).returncode, 0)

        self.assert_refused(self.plan("--profile", profile, "--windows", "5"), CONFIG, "windows of 5 modules")
        self.assertIn("one more worker for its slowest stage", first.stdout)

        self.assert_speeds(profile)

    def test_schedules_that_share_no_stage_are_proposed_none(self):
        modules = ["--set", "partition.modules=4", "--set", "pipeline.stages=4"]
        alone = "limit: stage \\d, a single module: only "
        found = self.plan(*modules)
        self.assertRegex(found.stdout, alone + "replicas or a finer partition would help\n")
        found = self.plan(*modules, "--set", "method=null", "--set", "method.framework=e2e", "--set", "pipeline.schedule=1f1b")
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertRegex(found.stdout, alone + "a finer partition would help\n")
        self.assertNotIn("replicas", found.stdout)

    def test_stages_that_are_dealt_out_are_promised_for_the_workers_that_there_are(self):
        profile = self.folder / "profile.json"
        dealt = ["--profile", profile, "--set", "method=null", "--set", "method.framework=e2e", "--set",
                 "pipeline.schedule=interleaved_1f1b", "--set", "pipeline.micro_batches=2", "--set", "pipeline.stages=4",
                 "--set", "partition.modules=4", "--set", "pipeline.workers=2"]
        found = self.plan(*dealt)
        self.assertEqual(found.returncode, 0, found.stderr)
        promised, workers = re.search(r"promises ([\d.]+) images/s with (\d) workers", found.stdout).groups()
        self.assertEqual(workers, "2")
        played = self.lamina("simulate", self.config, *dealt, "--best-cut")
        self.assertEqual(played.returncode, 0, played.stderr)
        simulated = float(re.search(r"([\d.]+) images/s", played.stdout)[1])
        self.assertLess(abs(simulated / float(promised) - 1), 0.02)

    def test_replicas_of_the_configuration_are_planned_for(self):
        profile = self.folder / "profile.json"
        two = ["--profile", profile, "--set", "pipeline.stages=2"]
        alone = self.plan(*two, "--set", "train.batch=8").stdout
        twice = self.plan(*two, "--set", "train.batch=8", "--set", "pipeline.replicas=2", "--set", "pipeline.workers=4").stdout
        self.assertIn("promises ", twice)
        self.assertIn(" images/s with 4 workers, each of ", twice)
        self.assertIn(", 2 replicas\n", twice)
        self.assertAlmostEqual(self.promised(twice) / self.promised(alone), 2, delta=0.02)
        many = self.plan(*two, "--set", "train.batch=8", "--workers", 40).stdout
        for found in re.findall(r"pipeline.replicas: \[(.*)\]", many):
            self.assertLessEqual(max(map(int, found.split(", "))), 8, "a batch has 8 samples")
        self.assert_refused(self.plan(*two, "--set", "train.batch=8", "--set", "pipeline.replicas=9", "--set", "pipeline.workers=18"),
                            CONFIG, "pipeline.replicas: expected at most as many as a batch has samples, found 9 for a batch of 8")
        self.assert_refused(self.plan(*two, "--workers", 4, "--speeds", "1,1"), CONFIG, "--speeds", "--workers")

    def test_simulations_cut_by_the_replicas_that_a_stage_has(self):
        profile = self.folder / "profile.json"
        self.plan("--profile", profile, "--set", "partition.modules=4")
        many = ["--set", "partition.modules=4", "--set", "pipeline.stages=2", "--set", "pipeline.workers=3", "--profile", profile]
        more = self.lamina("simulate", self.config, *many, "--set", "pipeline.replicas=[2,1]", "--best-cut", "--out", "out")
        self.assertEqual(more.returncode, 0, more.stderr)
        planned = self.plan(*many, "--set", "pipeline.replicas=[2,1]").stdout
        self.assertAlmostEqual(self.promised(planned),
                               float(re.search(r"([\d.]+) images/s", more.stdout)[1]), delta=0.5)
        self.assert_refused(self.lamina("simulate", self.config, *many, "--best-cut", "--stage-ms", 1), CONFIG, "--best-cut", "--stage-ms")

    def test_modules_are_measured_beside_the_workers_that_their_host_has_room_for(self):
        two = self.plan("--set", "pipeline.stages=2", "--set", "pipeline.threads=1").stdout
        self.assertIn(f" processors, beside {min(2, len(os.sched_getaffinity(0))) - 1} worker(s)\n", two)
        profile = self.folder / "profile.json"
        self.assertIn(", beside 3 worker(s)\n", self.plan("--neighbours", 3, "--profile", profile).stdout)
        self.assertIn(", beside 3 worker(s)\n", self.plan("--profile", profile).stdout, "as they were measured")

    def test_under_mpirun_the_links_between_the_ranks_are_measured(self):
        found = self.lamina("plan", self.config, "--repeats", 1, ranks=3)
        self.assertEqual(found.returncode, 0, found.stderr)
        self.assertRegex(found.stdout, r"links: the slowest of 2 carries [1-9][\d.]* MiB/s, a byte takes [\d.]+ us\n")
        self.assertRegex(found.stdout, r"stage  0 .*, its link [\d.]+ ms\n")
        self.assertEqual(found.stdout.count("promises"), 1, "one rank plans")
        given = self.lamina("plan", self.config, "--repeats", 1, "--mib-per-s", 100, ranks=2)
        self.assertNotIn("links:", given.stdout)

    def assert_speeds(self, profile):
        stages = self.plan("--profile", profile, "--speeds", "1,0.01").stdout
        self.assertRegex(stages, r"stage  1 .*modules (\d+) to \1\n", "the slow worker gets as little as can be")
        self.assert_refused(self.plan("--profile", profile, "--speeds", "1,1,1"), CONFIG, "2 workers, found 3")


if __name__ == "__main__":
    main()
