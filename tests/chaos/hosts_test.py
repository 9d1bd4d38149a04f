"""Workers on hosts of their own, whose links fail, come back, or become slow: network namespaces in the place of hosts."""

import json
import re
import sys
import time
import unittest
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1] / each) for each in ("app", "launch")]

import hosts  # noqa: E402
import sandbox  # noqa: E402
from lamina_process import OK, PEER_LOST, TIMEOUT, main  # noqa: E402
from run_process import RunTest, processes_with  # noqa: E402

NAMES = ("anna", "berta", "clara", "dora")
LIMIT_S = 90
TRAIN = """
model: {backbone: resnet8}
partition: {modules: 4}
method: {framework: dgl, head: mlp_sr, mlaan: {window: 2}}
pipeline: {stages: 4, threads: 1}
data: {name: synthetic, train_limit: 400, test_limit: 8}
train: {batch: 4, epochs: 4000, lr_schedule: step, warmup_epochs: 0, eval_every_steps: 1000000}
checkpoint: {every_steps: 50}
snapshots: {interface: 10.78.0.0/24}
"""

WHY_NOT = sandbox.why_impossible("net", "uts")


def setUpModule():
    if WHY_NOT:
        raise unittest.SkipTest(f"expected namespaces, found: {WHY_NOT}")
    if why_not := hosts.why_no_links():
        raise unittest.SkipTest(f"expected iproute2 and a kernel with veth pairs and bridges, found: {why_not}")
    HostsTest.hosts = hosts.Hosts(NAMES)


class HostsTest(RunTest):
    hosts = None

    def setUp(self):
        super().setUp()
        self.config = self.write("hosts.yaml", TRAIN)
        self.environment["TMPDIR"] = str(self.folder)

    def begin(self, *sets):
        """A run that trains, and its console so far."""
        words = [word for each in sets for word in ("--set", each)]
        process = self.launch(self.config, "--out", "run", *self.hosts.words(), *words)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        console = ""
        while " step " not in console:
            line = process.stdout.readline()
            self.assertTrue(line, console)
            console += line
        self.assertEqual(set(re.findall(r"worker \d on (\w+):", console)), set(NAMES), console)
        return process, console

    def processes(self, word=""):
        """Also Open MPI's daemons on the hosts."""
        return processes_with(self.folder, word) | processes_with(self.hosts.folder, word)

    def records(self):
        path = self.folder / "run/metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def num_steps(self):
        return len(self.records())

    def wait_for(self, what, holds):
        deadline = time.monotonic() + LIMIT_S
        while not holds():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def wait_for_steps(self, more):
        enough = self.num_steps() + more
        self.wait_for(f"step {enough}", lambda: self.num_steps() >= enough)

    def stop(self, process, console):
        process.terminate()
        code, console = self.ended(process, console)
        self.assertEqual(code, OK, console)

    def expect_straight(self):
        """The run is what one process makes of just so many steps."""
        summary = self.summary("run")
        straight = self.train("straight", f"train.max_steps={summary['step']}", config=self.config)
        self.assertEqual(summary["params_sha256"], straight["params_sha256"])


class LinksThatFail(HostsTest):
    def test_three_seconds_without_a_link_are_waited_for(self):
        process, console = self.begin()
        self.hosts.unplug("berta")
        try:
            self.wait_until_it_stands()
            time.sleep(3)  # the scenario, not a wait for something
        finally:
            self.hosts.plug("berta")
        self.wait_for_steps(20)
        self.stop(process, console)
        self.expect_straight()

    def wait_until_it_stands(self):
        """No step comes any more: the others wait for the host."""
        def stands():
            before = self.num_steps()
            time.sleep(1)
            return self.num_steps() == before
        self.wait_for("a standstill", stands)

    def test_a_link_that_stays_away_ends_the_run_on_all_hosts(self):
        process, console = self.begin("pipeline.timeout_s=5")
        self.wait_for("a checkpoint", lambda: list((self.folder / "run/checkpoints").glob("step-????????")))
        self.hosts.unplug("clara")
        try:
            code, console = self.ended(process, console)
        finally:
            self.hosts.plug("clara")
        self.assertIn(code, (PEER_LOST, TIMEOUT), console)
        self.assertRegex(self.verdict(console), r"worker \d on")
        self.assertEqual(self.lamina("verify", "run").returncode, OK)


class LinksThatAreSlow(HostsTest):
    def largest_age(self):
        """Of the newest steps."""
        return max(max(record["snapshot_age"]) for record in self.records()[-10:])

    def test_snapshots_grow_old_behind_a_slow_link_and_young_again(self):
        process, console = self.begin("snapshots.policy=latest")
        self.wait_for_steps(40)
        usual = max(max(record["snapshot_age"]) for record in self.records())
        self.hosts.throttle("snap0", "1mbit")
        self.wait_for("old snapshots", lambda: self.largest_age() > 3 * usual)
        self.wait_for_steps(40)  # and it trains on
        self.hosts.calm("snap0")
        self.wait_for("young snapshots", lambda: self.largest_age() <= usual)
        self.stop(process, console)

    def test_slow_activations_change_nothing_but_the_pace(self):
        process, console = self.begin()
        self.hosts.throttle("mpi0", "20mbit")
        try:
            self.wait_for_steps(30)
        finally:
            self.hosts.calm("mpi0")
        self.stop(process, console)
        self.expect_straight()


class LinksThatLose(HostsTest):
    def test_delay_and_loss_change_nothing_but_the_pace(self):
        try:
            self.hosts.disturb("mpi0", "delay", "5ms", "2ms", "loss", "1%")
        except OSError as error:
            self.skipTest(f"expected a kernel with netem, found: {error}")
        try:
            process, console = self.begin()
            self.wait_for_steps(30)
            self.stop(process, console)
        finally:
            self.hosts.calm("mpi0")
        self.expect_straight()


if __name__ == "__main__":
    if not WHY_NOT:
        sandbox.enter("net", "uts")
    main()
