"""Whoever watches a run, over HTTP, in a terminal or with TensorBoard, sees what metrics.jsonl tells."""

import fcntl
import math
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time
import unittest
import urllib.request

from lamina_process import BINARY, CONFIG, DEVICE, MPI_ENVIRONMENT, OK, STORAGE, LaminaTest, main

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError:
    EventAccumulator = None

LIMIT_S = 120  # of whatever is waited for
LONG = "train.epochs=4000"
NONE = frozenset()  # labels


def scrape(address):
    """{(name, labels): value} of an endpoint."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as page:
        lines = page.read().decode().splitlines()
    samples = (re.fullmatch(r"(lamina_\w+)(?:\{(.*)\})? (\S+)", line) for line in lines)
    return {(s[1], frozenset(filter(None, (s[2] or "").split(",")))): float(s[3]) for s in samples if s}


def wait_for(what, found):
    deadline = time.time() + LIMIT_S
    while not (result := found()):
        if time.time() > deadline:
            raise AssertionError(f"{what} did not come in {LIMIT_S} s")
        time.sleep(0.05)
    return result


class WatchTest(LaminaTest):
    def start(self, name, *sets, ranks=0):
        """Starts a long run that is watched, and returns the process and the endpoint's address."""
        command = [BINARY, "train", str(self.config), "--out", str(self.folder / name)]
        for assignment in (LONG, "metrics.listen=0", *sets):
            command += ["--set", assignment]
        if ranks:
            command = ["mpirun", "--oversubscribe", "-n", str(ranks), *command]
        log = self.folder / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | MPI_ENVIRONMENT)
        self.addCleanup(self.stop, process)
        address = wait_for("the address", lambda: self.assertIsNone(process.poll(), log.read_text()) or
                           re.search(r"metrics at http://(\S+)/metrics", log.read_text()))
        return process, address[1]

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGUSR2)
        self.assertEqual(process.wait(timeout=LIMIT_S), OK)

    def wait_for_steps(self, address, steps=4):
        return wait_for("the step", lambda: (found := scrape(address))["lamina_steps_total", NONE] >= steps and found)


class Endpoint(WatchTest):
    def expect_all_stages(self, samples, workers):
        for stage, worker in enumerate(workers):
            of = frozenset({f'stage="{stage}"', f'worker="{worker}"'})
            self.assertGreater(samples["lamina_stage_memory_bytes", of], 2**24)
            for activity in ("compute", "input", "room", "snapshot", "replicas"):
                self.assertGreaterEqual(samples["lamina_stage_seconds_total", of | {f'activity="{activity}"'}], 0)
            self.assertGreater(samples["lamina_stage_seconds_total", of | {'activity="compute"'}], 0)
        for module in range(4):
            of = frozenset({f'module="{module}"', f'stage="{module // 2}"'})
            self.assertTrue(math.isfinite(samples["lamina_module_loss", of]))

    def test_tells_of_the_workers_of_this_process(self):
        process, address = self.start("threads", "pipeline.workers=2", "pipeline.stages=[1]")
        self.assertTrue(address.startswith("127.0.0.1:"), address)
        self.expect_all_stages(self.wait_for_steps(address), workers=[0, 1])
        self.stop(process)
        with self.assertRaises(OSError):
            scrape(address)

    def test_tells_of_all_ranks_at_worker_0(self):
        _, address = self.start("mpi", "pipeline.workers=auto", "pipeline.stages=[1]", ranks=2)
        self.expect_all_stages(self.wait_for_steps(address), workers=[0, 1])

    def test_agrees_with_metrics_jsonl(self):
        process, address = self.start("same", "pipeline.workers=2")
        samples = self.wait_for_steps(address)
        self.stop(process)
        step = int(samples["lamina_step", NONE])
        lines = [m for m in self.metrics("same") if m["kind"] == "train"][:step]
        self.assertAlmostEqual(samples["lamina_train_seconds_total", NONE], sum(m["step_s"] for m in lines))
        self.assertAlmostEqual(samples["lamina_images_total", NONE],
                               sum(m["images_per_s"] * m["step_s"] for m in lines))
        for labels in (s for name, s in samples if name == "lamina_module_loss"):
            module = next(int(label.split('"')[1]) for label in labels if label.startswith("module"))
            self.assertAlmostEqual(samples["lamina_module_loss", labels], lines[-1]["loss"][module])

    def test_a_port_that_is_taken_is_refused_before_anything_is_written(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            listen = f"127.0.0.1:{other.getsockname()[1]}"
            process = self.train("taken", f"metrics.listen={listen}", expect=DEVICE)
        self.assert_refused(process, DEVICE, "metrics.listen", listen, "in use")
        self.assertFalse((self.folder / "taken").exists())

    def test_a_taken_port_ends_all_ranks_with_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            listen = f"127.0.0.1:{other.getsockname()[1]}"
            process = self.train("taken", f"metrics.listen={listen}", "pipeline.workers=auto", ranks=2, expect=DEVICE)
        self.assertEqual(process.stderr.count("metrics.listen"), 1, process.stderr)

    def test_what_is_no_address_is_a_fault_of_the_configuration(self):
        process = self.train("x", "metrics.listen=here", expect=CONFIG)
        self.assert_refused(process, CONFIG, "metrics.listen", "HOST:PORT", "here")


class Top(WatchTest):
    def top(self, where, *arguments):
        return self.lamina("top", where, *arguments)

    def expect_frame(self, text, stages=2):
        self.assertRegex(text, r"step [1-9]\d*/\d+  epoch \d+  lr ")
        self.assertRegex(text, r"\d images/s, mean of \d+ steps")
        for stage in range(stages):
            self.assertRegex(text, rf"(?m)^ +{stage} +{stage} +\d+ % [#.]+ +\d+ % +\d+ % .* \d+ MiB +\d+\.\d+ +\d+\.\d %$")

    def test_shows_a_frame_of_an_endpoint_and_of_the_run_s_directory(self):
        _, address = self.start("both", "pipeline.workers=2")
        self.wait_for_steps(address)
        wait_for("metrics.jsonl", lambda: (self.folder / "both" / "metrics.jsonl").stat().st_size)
        for where in (address, address.split(":")[1], self.folder / "both"):
            with self.subTest(where):
                process = self.top(where, "--once")
                self.assertEqual(process.returncode, OK, process.stderr)
                self.expect_frame(process.stdout)

    def test_follows_into_a_pipe_until_the_run_is_over(self):
        run, address = self.start("ends", "pipeline.workers=2")
        self.wait_for_steps(address)
        wait_for("metrics.jsonl", lambda: (self.folder / "ends" / "metrics.jsonl").stat().st_size)
        tops = {}
        for where, end in ((self.folder / "ends", "the run was stopped"), (address, "the endpoint is gone")):
            top = subprocess.Popen([BINARY, "top", str(where), "--every", "0.1"], stdout=subprocess.PIPE, text=True)
            self.addCleanup(top.stdout.close)
            self.expect_frame("".join(top.stdout.readline() for _ in range(6)))
            tops[end] = top
        self.stop(run)
        for end, top in tops.items():
            self.assertIn(end, top.stdout.read())
            self.assertEqual(top.wait(timeout=LIMIT_S), OK)

    def test_what_is_neither_is_refused(self):
        (self.folder / "empty").mkdir()
        self.assert_refused(self.top("nowhere", "--once"), STORAGE, "nowhere", "HOST:PORT")
        self.assert_refused(self.top(self.folder / "empty", "--once"), STORAGE, "config.yaml")
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.assert_refused(self.top(f"127.0.0.1:{port}", "--once"), CONFIG, f"127.0.0.1:{port}", "refused")


class Terminal(WatchTest):
    """`lamina top` in a pseudo-terminal."""

    def setUp(self):
        super().setUp()
        self.train("done", "pipeline.workers=2", "train.max_steps=5")
        self.seen = b""

    def open(self, columns, rows=24):
        self.keyboard, self.terminal = pty.openpty()
        self.addCleanup(os.close, self.keyboard)
        self.addCleanup(os.close, self.terminal)
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.terminal)
        process = subprocess.Popen([BINARY, "top", str(self.folder / "done"), "--every", "0.1"], stdin=self.terminal,
                                   stdout=self.terminal, stderr=self.terminal, start_new_session=True)
        self.addCleanup(process.kill)
        return process

    def resize(self, columns, rows=24):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_until_seen(self, pattern):
        def found():
            while select.select([self.keyboard], [], [], 0)[0]:
                self.seen += os.read(self.keyboard, 65536)
            return re.search(pattern, self.seen)
        wait_for(pattern, found)

    def next_frame(self):
        """The lines of a whole frame that was drawn from now on."""
        self.seen = b""
        self.wait_until_seen(rb"\x1b\[H(?s:.*?)\x1b\[J(?s:.*?)\x1b\[H(?s:.*?)\x1b\[J")
        frame = self.seen.split(b"\x1b[H")[2].split(b"\x1b[J")[0]
        return [line.removesuffix("\x1b[K") for line in frame.decode().split("\r\n")]

    def expect_left_as_it_was(self, process):
        self.assertEqual(process.wait(timeout=LIMIT_S), OK)
        self.wait_until_seen(rb"\x1b\[\?25h\x1b\[\?1049l")
        self.assertEqual(termios.tcgetattr(self.terminal), self.before)

    def test_draws_frames_and_leaves_with_q(self):
        process = self.open(100)
        frame = self.next_frame()
        self.assertIn("step 5/", frame[0])
        self.assertIn("the run is done", frame[2])
        self.assertEqual(len([line for line in frame if re.match(r" +\d +\d +\d+ %", line)]), 2)
        self.assertNotEqual(termios.tcgetattr(self.terminal), self.before)
        os.write(self.keyboard, b"xq")
        self.expect_left_as_it_was(process)

    def test_leaves_with_ctrl_c_and_with_a_signal(self):
        for leave in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(leave):
                process = self.open(100)
                self.next_frame()
                process.send_signal(leave)
                self.expect_left_as_it_was(process)

    def test_a_frame_fits_a_terminal_that_changes_its_size(self):
        process = self.open(120, 30)
        self.assertGreater(max(map(len, self.next_frame())), 90)
        self.resize(50, 8)
        process.send_signal(signal.SIGWINCH)
        frame = wait_for("a narrow frame", lambda: (f := self.next_frame()) and max(map(len, f)) <= 50 and f)
        self.assertLessEqual(len(frame), 8)
        os.write(self.keyboard, b"q")
        self.expect_left_as_it_was(process)


@unittest.skipUnless(EventAccumulator, "the wheel tensorboard is not there: launch/setup --tools installs it")
class TensorBoard(WatchTest):
    def scalars(self, out):
        events = EventAccumulator(str(self.folder / out / "tensorboard"), size_guidance={"scalars": 0})
        events.Reload()
        return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}

    def expect_same(self, out, every):
        found = self.scalars(out)
        steps = [m for m in self.metrics(out) if m["kind"] == "train" and m["step"] % every == 0]
        for key, of in (("loss", "module"), ("accuracy", "module"), ("busy", "stage"), ("snapshot_age", "stage"),
                        ("memory_mib", "stage"), ("room_wait_s", "stage")):
            for i, _ in enumerate(steps[0][key]):
                expected = {m["step"]: m[key][i] for m in steps if m[key][i] is not None}
                self.expect_equal(found.get(f"{key}/{of}_{i}", {}), expected)
        for key in ("lr", "images_per_s"):
            self.expect_equal(found[key], {m["step"]: m[key] for m in steps})
        evaluations = [m for m in self.metrics(out) if m["kind"] == "eval"]
        self.expect_equal(found["test_accuracy"], {m["step"]: m["test_accuracy"] for m in evaluations})

    def expect_equal(self, found, expected):
        self.assertEqual(found.keys(), expected.keys())
        for step, value in expected.items():
            self.assertAlmostEqual(found[step], value, delta=1e-5 * abs(value))  # single precision

    def test_reads_what_metrics_jsonl_tells(self):
        self.train("board", "metrics.tensorboard_every_steps=3", "pipeline.workers=2")
        self.expect_same("board", every=3)

    def test_sees_each_step_once_after_a_resume(self):
        sets = ("metrics.tensorboard_every_steps=1", "checkpoint.every_steps=5")
        self.train("resumed", "train.max_steps=8", *sets)
        shutil.rmtree(self.checkpoints("resumed")[-1])  # so that steps 5 to 7 are done again
        self.train("resumed", *sets, resume=True)
        self.expect_same("resumed", every=1)

    def test_there_are_no_such_files_unless_told(self):
        self.train("plain", "train.max_steps=2")
        self.assertFalse((self.folder / "plain" / "tensorboard").exists())


if __name__ == "__main__":
    main()
