"""lamina study: its cells run by turns in processes of their own, once, and what cannot run harms no other."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from lamina_process import BINARY, CONFIG, DATA, OK, LaminaTest, main

PROJECT = pathlib.Path(__file__).resolve().parents[2]

BENCH = """
base: small.yaml
axes:
  method: {greedy: {method: {framework: greedy, head: auto}}, dgl: {}}
run: "bench --steps 2 --rounds 1 --alone 1 --pipeline-only --trace {out}/trace.json"
repeats: 2
"""

TRAIN = """
base: small.yaml
axes: {train.batch: [16, 32]}
run: train
to_accuracy: 0.01
"""

# What is submitted: notes what it was told, and prints the job's number, as a scheduler does.
SCHEDULER = """#!/bin/sh
printf '%s\\n' "$LAMINA_CONFIGS" "$LAMINA_OUT" "$LAMINA_ARGUMENTS" >> calls
echo 4711
"""


class Study(LaminaTest):
    def setUp(self):
        super().setUp()
        self.out = self.folder / "out"

    def study(self, text=None, *arguments, expect=OK):
        if text:
            self.write("study.yaml", text)
        process = self.lamina("study", "study.yaml", "--out", self.out, *arguments)
        self.assertEqual(process.returncode, expect, process.stdout + process.stderr)
        return process

    def rows(self):
        return [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()]

    def test_repeats_go_by_turns_over_the_cells_and_a_finished_run_is_not_run_again(self):
        told = self.study(BENCH).stdout
        turns = [line.split("] ")[1].removesuffix(": runs") for line in told.splitlines() if line.endswith(": runs")]
        self.assertEqual(turns, ["greedy, repeat 0", "dgl, repeat 0", "greedy, repeat 1", "dgl, repeat 1"])
        before = self.rows()
        (self.out / "dgl/repeat-1.json").unlink()  # its result is there: it only has to be noted
        told = self.study().stdout
        self.assertEqual(told.count(": runs\n"), 0)
        self.assertEqual(self.rows()[3]["images_per_s"], before[3]["images_per_s"])
        shutil.rmtree(self.out / "dgl/repeat-0")
        (self.out / "dgl/repeat-0.json").unlink()
        told = self.study().stdout
        self.assertEqual(told.count(": runs\n"), 1)
        self.assertIn("dgl, repeat 0: runs\n", told)
        for cell in ("greedy", "dgl"):
            for repeat in (0, 1):
                self.assertTrue((self.out / cell / f"repeat-{repeat}/trace.json").exists())
        self.assertRegex(told, r"\| dgl \| 2 \| [\d.]+ \([\d.]+ to [\d.]+\) \|")

    def test_several_jobs_run_at_a_time_and_leave_what_one_leaves(self):
        text = "base: small.yaml\naxes: {train.batch: [8, 16, 32]}\nrun: train\n"
        told = self.study(text, "--jobs", "2").stdout
        order = [line.split(": ")[-1].split(" ")[-1] if "took" not in line else "ended"
                 for line in told.splitlines() if line.startswith("study: [")]
        self.assertEqual(order[:2], ["runs", "runs"])  # two begin before one has ended
        self.assertEqual((order.count("runs"), order.count("ended")), (3, 3))
        side_by_side = [row["params_sha256"] for row in self.rows()]
        shutil.rmtree(self.out)
        self.study()
        self.assertEqual([row["params_sha256"] for row in self.rows()], side_by_side)

    def test_a_row_tells_what_was_measured_of_what_where(self):
        self.study(BENCH.replace("repeats: 2", "repeats: 1"))
        row = self.rows()[1]
        self.assertEqual((row["study"], row["cell"], row["axes"], row["repeat"], row["state"]),
                         ("study", "dgl", {"method": "dgl"}, 0, "done"))
        self.assertGreater(row["images_per_s"], 0)
        self.assertEqual(row["num_workers"], 1)
        self.assertAlmostEqual(sum(row["workers"][0]["share_of_time"].values()), 1, delta=0.01)
        self.assertEqual({module["stage"] for module in row["memory"]}, {0, 1})
        self.assertEqual(row["config"]["train.batch"], "16")
        self.assertEqual(row["machine"]["host"], os.uname().nodename)
        self.assertIn("LibTorch", row["versions"])
        self.assertIn("git", row)
        with open(self.out / "results.csv", newline="") as file:
            table = list(csv.DictReader(file))
        self.assertEqual([line["method"] for line in table], ["greedy", "dgl"])
        self.assertEqual(float(table[1]["images_per_s"]), row["images_per_s"])

    def test_a_cell_that_cannot_run_is_told_in_one_line_and_the_others_go_on(self):
        cells = "axes: {pipeline.workers: [9, 1, 0], data.name: [synthetic, cifar10]}\nexclude: [{pipeline.workers: 0, data.name: cifar10}]"
        text = BENCH.replace(BENCH[BENCH.index("axes"):BENCH.index("run")], cells + "\n").replace("repeats: 2", "repeats: 1")
        failed = self.lamina("study", self.write("study.yaml", text), "--out", self.out, "--set", "data.root=nowhere")
        self.assertEqual(failed.returncode, CONFIG, failed.stderr)
        self.assertEqual(len(failed.stderr.splitlines()), 1, failed.stderr)
        self.assertIn("4 of 5 cells could not run; the first, workers=9,name=synthetic: ", failed.stderr)
        states = {row["cell"]: row for row in self.rows()}
        self.assertEqual(states["workers=1,name=synthetic"]["state"], "done")
        self.assertEqual(states["workers=1,name=cifar10"]["exit_code"], DATA)
        self.assertIn("nowhere", states["workers=1,name=cifar10"]["error"])
        self.assertIn("study.yaml:", states["workers=0,name=synthetic"]["error"])
        self.assertIn("workers=0,name=synthetic, repeat 0: cannot run: ", self.study(None, "--list").stdout)
        mended = text.replace("[9, 1, 0]", "[1, 0]").replace("0, data.name: cifar10}]", "1}]\nadjust: [{when: {pipeline.workers: 0}, lay: {pipeline: {workers: 2}, data: {name: synthetic}}}]")
        self.study(mended)
        self.assertEqual([row["state"] for row in self.rows()], ["done", "done"])
        self.assertEqual([path for path in self.out.iterdir() if ".was-" in path.name], [])

    def test_a_cell_that_is_defined_otherwise_is_begun_anew_and_what_it_left_is_kept(self):
        text = BENCH.replace("repeats: 2", "repeats: 1")
        self.study(text)
        changed = text.replace("dgl: {}", "dgl: {train: {lr: 0.05}}")
        self.assertIn("dgl, repeat 0: not run since", self.study(changed, "--list").stdout)
        told = self.study().stdout
        self.assertEqual(told.count(": runs\n"), 1)
        kept = [path for path in self.out.iterdir() if path.name.startswith("dgl.was-")]
        self.assertEqual(len(kept), 1)
        self.assertTrue((kept[0] / "repeat-0/summary.json").exists())
        self.assertEqual(len(self.rows()), 2)

    def test_a_mistake_costs_no_finished_run(self):
        """Neither one that is refused, nor one that defines the cells otherwise for a while."""
        text = TRAIN.replace("[16, 32]", "[16]")
        self.study(text)
        before = self.rows()
        refused = self.lamina("study", "study.yaml", "--out", self.out, "--set", "train.bacth=16")
        self.assertEqual(refused.returncode, CONFIG)
        self.assertEqual([(row["state"], row["exit_code"]) for row in self.rows()], [("failed", CONFIG)])
        self.assertEqual(self.study().stdout.count(": runs\n"), 0)
        self.assertEqual(self.rows(), before)
        self.assertEqual(self.study(None, "--set", "train.lr=0.05").stdout.count(": runs\n"), 1)
        told = self.study().stdout
        self.assertEqual(told.count(": runs\n"), 0)
        self.assertIn("batch=16: it was defined so before; what it left then is back, from batch=16.was-", told)
        self.assertEqual(self.rows(), before)

    def test_the_accuracy_of_interest_may_be_chosen_afterwards(self):
        self.study(TRAIN.replace("[16, 32]", "[16]"))
        self.assertEqual(self.rows()[0]["seconds_to_accuracy"], self.rows()[0]["curve"][0][1])
        self.study(TRAIN.replace("[16, 32]", "[16]").replace("0.01", "1"))
        self.assertIsNone(self.rows()[0]["seconds_to_accuracy"])
        self.study(TRAIN.replace("[16, 32]", "[16]").replace("to_accuracy: 0.01", ""))
        self.assertNotIn("seconds_to_accuracy", self.rows()[0])

    def test_only_one_runs_it_at_a_time(self):
        """A run of the study runs the study."""
        command = f'{BINARY} study study.yaml --out {self.out} > second 2>&1; echo $? >> second; exit 3'
        program = self.write("again", f"#!/bin/sh\ncd {self.folder}; {command}\n")
        program.chmod(0o755)
        self.study(TRAIN.replace("[16, 32]", "[16]") + f"through: {program}\n", expect=3)
        self.assertRegex((self.folder / "second").read_text(), r"\[error\] .*/out: expected nobody else at work there.*\n5\n$")

    def test_a_run_without_a_figure_is_a_failure_or_has_none(self):
        self.study(TRAIN.replace("[16, 32]", "[16]"), "--set", "train.max_steps=3")
        self.assertNotIn("images_per_s", self.rows()[0])
        (self.out / "batch=16/repeat-0.json").unlink()
        (self.out / "batch=16/repeat-0/summary.json").write_text('{"complete": true, "workers": 3}')
        failed = self.lamina("study", "study.yaml", "--out", self.out, "--set", "train.max_steps=3")
        self.assertEqual(failed.returncode, DATA, failed.stderr)
        self.assertIn("expected a summary of a run", self.rows()[0]["error"])

    def test_training_repeats_differ_in_their_seeds_and_leave_a_curve(self):
        self.study(TRAIN + "repeats: 2\n", "--only", "=16")
        rows = self.rows()
        self.assertEqual([row["repeat"] for row in rows], [0, 1])
        self.assertNotEqual(rows[0]["params_sha256"], rows[1]["params_sha256"])
        straight = self.train("straight", "train.seed=1")
        self.assertEqual(rows[1]["params_sha256"], straight["params_sha256"])
        self.assertEqual([row["config"]["train.seed"] for row in rows], ["0", "1"])
        steps, seconds, accuracies = zip(*rows[0]["curve"])
        self.assertEqual(len(steps), 2)
        self.assertLess(seconds[0], seconds[1])
        self.assertEqual(accuracies[1], rows[0]["test_accuracy"])
        self.assertIn(rows[0]["seconds_to_accuracy"], seconds)

    def test_a_run_that_stops_early_has_ended(self):
        self.study(TRAIN.replace("[16, 32]", "[16]"), "--set", "train.early_stop.patience=1", "--set", "train.epochs=40",
                   "--set", "train.lr=1e-9")
        row, = self.rows()
        self.assertEqual(row["state"], "done")
        self.assertLess(row["step"], 40 * 13)

    def test_the_seconds_of_a_curve_are_those_of_the_steps(self):
        """Also where an epoch's last batch is short."""
        self.study(TRAIN.replace("[16, 32]", "[48]"))
        row, = self.rows()
        lines = (self.out / "batch=48/repeat-0/metrics.jsonl").read_text().splitlines()
        steps = [record for record in map(json.loads, lines) if record["kind"] == "train"]
        self.assertEqual(len({round(step["images_per_s"] * step["step_s"]) for step in steps}), 2, "a short batch")
        self.assertAlmostEqual(row["curve"][-1][1], sum(step["step_s"] for step in steps))

    def test_stopped_it_ends_well_and_goes_on_where_it_was(self):
        text = TRAIN.replace("[16, 32]", "[16]")
        self.write("study.yaml", text)
        command = [BINARY, "study", "study.yaml", "--out", self.out, "--set", "train.epochs=300"]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        metrics = self.out / "batch=16/repeat-0/metrics.jsonl"
        deadline = time.monotonic() + 60
        while not metrics.exists() or not metrics.read_text():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        self.assertIn("stopped; the same command goes on", process.communicate(timeout=60)[0])
        self.assertEqual(process.returncode, OK)
        self.assertFalse((self.out / "batch=16/repeat-0.json").exists())
        summary = json.loads((self.out / "batch=16/repeat-0/summary.json").read_text())
        self.assertFalse(summary["complete"])
        self.assertGreater(summary["step"], 0)

    def test_a_run_that_is_killed_is_a_failure_of_its_cell(self):
        program = self.write("killed", "#!/bin/sh\nkill -KILL $$\n")
        program.chmod(0o755)
        process = self.study(BENCH + f"through: {program}\n", expect=7)
        self.assertIn("killed by signal 9", process.stderr)
        self.study(BENCH + "through: /nowhere/launch\n", expect=CONFIG)

    def test_jobs_are_submitted_once_and_their_results_gathered(self):
        scheduler = self.write("scheduler", SCHEDULER)
        scheduler.chmod(0o755)
        told = self.study(TRAIN + f"submit: {scheduler}\n").stdout
        self.assertEqual(told.count(": submitted: 4711\n"), 2)
        self.assertEqual(self.study().stdout.count("no result yet of 4711"), 2)
        calls = (self.folder / "calls").read_text().splitlines()
        self.assertEqual(len(calls), 6)
        config, out, arguments = calls[:3]
        self.assertEqual(arguments, f"--lamina {os.path.realpath(BINARY)} --command train --set train.seed=0")
        job = self.lamina("train", config, "--out", out, "--resume", "--set", "train.seed=0")  # what the job does
        self.assertEqual(job.returncode, OK, job.stderr)
        self.study()
        self.assertEqual([(row["cell"], row["state"], row["job"]) for row in self.rows()], [("batch=16", "done", "4711")])
        self.study(None, "--resubmit")
        self.assertEqual(len((self.folder / "calls").read_text().splitlines()), 9)

    def test_what_a_scheduler_would_take_apart_is_not_submitted(self):
        scheduler = self.write("scheduler", SCHEDULER)
        scheduler.chmod(0o755)
        failed = self.study(TRAIN.replace("run: train", "run: [train, --set, \"out=a b\"]") + f"submit: {scheduler}\n",
                            expect=CONFIG)
        self.assertIn('without blanks, found "--argument=out=a b"', failed.stderr)
        self.assertFalse((self.folder / "calls").exists())

    def test_what_is_wrong_with_it_is_one_line(self):
        self.write("study.yaml", BENCH.replace("run:", "runs:"))
        self.assert_refused(self.lamina("study", "study.yaml"), CONFIG, "study.yaml:5: runs", "did you mean run?")
        self.write("study.yaml", BENCH + "to_accuracy: 0.9\n")
        self.assert_refused(self.lamina("study", "study.yaml"), CONFIG, "study.yaml:7: to_accuracy", "found run: bench")
        self.write("study.yaml", BENCH)
        self.assert_refused(self.lamina("study", "study.yaml", "--only", "e2e"), CONFIG, "--only", "e2e")
        self.assert_refused(self.lamina("study", "nowhere.yaml"), CONFIG, "nowhere.yaml")

    def test_the_studies_of_the_project_are_whole(self):
        for path in sorted((PROJECT / "configs/studies").glob("*.yaml")):
            listed = self.lamina("study", path, "--list", "--out", self.out)
            self.assertEqual(listed.returncode, OK, listed.stderr)
            self.assertNotIn("cannot run", listed.stdout)


if __name__ == "__main__":
    main()
