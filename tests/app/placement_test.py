"""Where ranks run: bound as the configuration says, unless mpirun has done it, and told at the start and the end."""

import os
import subprocess

from lamina_process import BINARY, MPI_ENVIRONMENT, OK, LaminaTest, main


class Placement(LaminaTest):
    def places(self, *mpirun_arguments):
        """Each worker's place, and its line of the map that the run began with."""
        process = subprocess.run(
            ["mpirun", "-n", "2", "--oversubscribe", *mpirun_arguments, BINARY, "train", self.config, "--out", self.folder / "run",
             "--set", "pipeline.workers=2", "--set", "pipeline.bind=cores", "--set", "train.max_steps=1"],
            capture_output=True, text=True, timeout=60, env=os.environ | MPI_ENVIRONMENT)
        self.assertEqual(process.returncode, OK, process.stdout + process.stderr)
        lines = process.stdout.splitlines()[:2]
        for worker, line in enumerate(lines):
            self.assertRegex(line, rf"^worker {worker} on {os.uname().nodename}: stage {worker}, cpu, ")
        return [worker["place"] for worker in self.summary("run")["workers"]], lines

    def setUp(self):
        super().setUp()
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("this host has one processor")

    def test_ranks_that_nobody_has_bound_share_the_cores(self):
        places, lines = self.places("--bind-to", "none")
        self.assertNotEqual(places[0]["processors"], places[1]["processors"])
        for place, line in zip(places, lines):
            self.assertTrue(place["bound"])
            self.assertTrue(line.endswith(f", bound to processors {place['processors']}"), line)

    def test_ranks_that_mpirun_has_bound_stay(self):
        places, lines = self.places("--bind-to", "core")
        for place, line in zip(places, lines):
            self.assertFalse(place["bound"])
            self.assertTrue(line.endswith(f", may use processors {place['processors']}"), line)


if __name__ == "__main__":
    main()
