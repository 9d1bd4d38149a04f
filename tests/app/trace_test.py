"""Timelines: what every worker did, as a trace that Perfetto opens."""

import json
import unittest
from collections import defaultdict

from lamina_process import CONFIG, MLAAN, OK, STORAGE, LaminaTest, main


class Trace(LaminaTest):
    def trace(self, *arguments, ranks=0):
        path = self.folder / "trace.json"
        process = self.lamina(*arguments, "--trace", path, ranks=ranks)
        self.assertEqual(process.returncode, OK, process.stdout + process.stderr)
        trace = json.loads(path.read_text())
        self.clock_error_us = 1e6 * max(clock["clock_error_s"] for clock in trace["otherData"].values())
        return trace["traceEvents"]

    def expect_whole(self, events, workers):
        """Spans of all workers that do not overlap within one, and every flow with both its ends."""
        spans = defaultdict(list)
        flows = defaultdict(set)
        for event in events:
            if event["ph"] == "X":
                spans[event["pid"]].append((event["ts"], event["ts"] + event["dur"], event["name"]))
            elif event["ph"] in "sf":
                flows[event["id"]].add(event["ph"])
        self.assertEqual(sorted(spans), list(range(workers)))
        for of_worker in spans.values():
            of_worker.sort()
            for (_, end, name), (start, _, following) in zip(of_worker, of_worker[1:]):
                self.assertLessEqual(end, start + 0.002, f"{name} and {following} overlap")
        self.assertTrue(flows)
        for flow, ends in flows.items():
            self.assertEqual(ends, {"s", "f"}, f"message {flow} has only one end")
        return spans

    def test_of_a_benchmark_has_every_step_of_every_worker(self):
        events = self.trace("bench", self.config, "--steps", "4", "--rounds", "1", "--set", "pipeline.workers=2")
        spans = self.expect_whole(events, workers=2)
        for worker, stage in ((0, 0), (1, 1)):
            computed = [name for _, _, name in spans[worker] if name == f"compute s{stage}"]
            self.assertGreaterEqual(len(computed), 4 + 3 + 1)  # warm-up and the evaluation at the end are there as well

    def test_over_mpi_has_one_clock_and_the_age_of_snapshots(self):
        config = self.write("mlaan.yaml", MLAAN)
        out = self.folder / "out"
        events = self.trace("train", config, "--out", out, "--set", "snapshots.lag=2", ranks=2)
        self.expect_whole(events, workers=2)
        ages = [event["args"]["steps"] for event in events if event["ph"] == "C" and "steps" in event["args"]]
        self.assertEqual(max(ages), 2)
        # No message is received before it was sent, but for what the clocks may be apart.
        at = defaultdict(dict)
        for event in events:
            if event["ph"] in "sf":
                at[event["id"]][event["ph"]] = event["ts"]
        for ends in at.values():
            self.assertLessEqual(ends["s"], ends["f"] + self.clock_error_us + 1)

    def test_that_cannot_be_written_is_told_before_anything_is_computed(self):
        process = self.lamina("bench", self.config, "--trace", self.config / "trace.json")  # below a file
        self.assert_refused(process, STORAGE, "small.yaml")

    def test_of_a_run_without_a_file_is_refused(self):
        self.assertEqual(self.lamina("bench", self.config, "--trace").returncode, CONFIG)


if __name__ == "__main__":
    main()
