"""launch/setup, quickstart and test, in a copy of launch/ with stand-ins for the programs they call."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
NOBODY = 65534
JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="Linux-c++">
\t<testcase name="Board.Keeps" status="run"><system-out>all well</system-out></testcase>
\t<testcase name="board.network" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/><system-out>no network</system-out></testcase>
\t<testcase name="board.shard0" status="run"><system-out>[==========] Running 4 tests from 2 test suites.
[==========] 4 tests from 2 test suites ran. (12 ms total)
[  PASSED  ] 3 tests.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Board.NeedsAGpu
</system-out></testcase>
{cases}</testsuite>
"""
FAILED_CASE = """\t<testcase name="Board.Forgets" status="fail">
\t\t<failure message=""/><system-out>expected 1 &lt; 0</system-out>
\t</testcase>
"""
FAILED_SHARD = """\t<testcase name="board.shard1" status="fail">
\t\t<failure message=""/><system-out>[==========] 9 tests from 2 test suites ran. (12 ms total)
[  PASSED  ] 7 tests.
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] Board.Forgets
[  FAILED  ] Board.Mixes
</system-out>
\t</testcase>
"""


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        self.root.chmod(0o755)
        self.programs = self.root / "programs"
        shutil.copytree(LAUNCH, self.root / "launch", ignore=shutil.ignore_patterns("__pycache__"))

    def stand_in(self, path, *lines):
        """A shell script that notes its name and arguments in the file `calls`, then runs `lines`."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        note = f'echo "${{0##*/}} $*" >> "{self.root}/calls"'
        file.write_text("\n".join(["#!/bin/sh", note, *lines]))
        file.chmod(0o755)

    def installed(self, *packages):
        self.stand_in("programs/dpkg-query", *(f"echo 'installed {package}'" for package in packages))

    def every_package_is_installed(self):
        self.stand_in("programs/dpkg-query", 'shift 3; for package in "$@"; do echo "installed $package"; done')

    def run_script(self, *command, user=None):
        environment = {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}
        return subprocess.run([str(self.root / "launch" / command[0]), *command[1:]], user=user, text=True,
                              cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)

    def calls(self, program):
        calls = (self.root / "calls").read_text().splitlines()
        return [call for call in calls if call.split()[0] == program]

    def test_check_names_the_missing_packages_in_one_line_to_ask_for(self):
        self.installed("g++", "ccache")
        result = self.run_script("setup", "--check")
        self.assertEqual(result.returncode, 9)
        self.assertEqual(result.stderr.count("\n"), 1)
        packages = result.stderr.partition("apt-get install ")[2].split()
        self.assertIn("libopenmpi-dev", packages)
        self.assertNotIn("g++", packages)
        self.assertNotIn("ccache", packages)

    def test_a_package_that_was_removed_but_not_purged_is_missing(self):
        self.stand_in("programs/dpkg-query", "echo 'config-files ccache'")
        self.assertIn("ccache", self.run_script("setup", "--check").stderr.split())

    def test_check_is_content_when_everything_is_installed(self):
        self.every_package_is_installed()
        self.assertEqual(self.run_script("setup", "--check").returncode, 0)

    def test_without_root_or_sudo_setup_says_what_to_ask_for(self):
        self.installed("g++")
        self.stand_in("programs/sudo", "exit 1")
        self.stand_in("programs/apt-get")
        (self.root / "calls").touch()
        (self.root / "calls").chmod(0o666)
        result = self.run_script("setup", user=NOBODY if os.geteuid() == 0 else None)
        self.assertEqual(result.returncode, 9)
        self.assertEqual(result.stderr.count("apt-get install "), 1)
        self.assertEqual(self.calls("apt-get"), [])
        self.assertFalse((self.root / ".venv").exists())

    def test_with_sudo_or_as_root_setup_installs_only_what_is_missing_and_stops_if_it_cannot(self):
        self.stand_in("programs/dpkg-query",
                      'shift 3; for p in "$@"; do [ "$p" = mold ] || echo "installed $p"; done')
        self.stand_in("programs/sudo", '[ "$1" = -n ] || "$@"')
        self.stand_in("programs/apt-get", '[ "$1" = update ] || exit 100')
        result = self.run_script("setup")
        self.assertEqual(result.returncode, 100)
        self.assertEqual(self.calls("apt-get")[-1], "apt-get install -qq -y --no-install-recommends mold")
        self.assertFalse((self.root / ".venv").exists())

    def test_setup_ends_with_the_path_of_the_binary_and_hands_the_index_to_pip(self):
        self.every_package_is_installed()
        self.stand_in("programs/cmake")
        self.stand_in(".venv/bin/python")
        result = self.run_script("setup", "--index", "http://127.0.0.1/simple")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines()[-1], str(self.root / "build/lamina"))
        installs = [call for call in self.calls("python") if " install " in call]
        self.assertTrue(installs)
        for call in installs:
            self.assertIn("--index-url http://127.0.0.1/simple", call)
        self.assertIn("cmake --build --preset cpu --target lamina", self.calls("cmake"))

    def test_setup_refuses_an_unknown_argument(self):
        result = self.run_script("setup", "--indx", "u")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr.count("\n"), 1)

    def test_help_is_told_before_anything_is_installed(self):
        for program in ("dpkg-query", "apt-get", "sudo"):
            self.stand_in(f"programs/{program}", "exit 1")
        for words in (("setup", "--help"), ("setup", "--tools", "-h"), ("quickstart", "-h"),
                      ("quickstart", "--set", "train.seed=2", "--help")):
            with self.subTest(words):
                result = self.run_script(*words)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn(f"  launch/{words[0]} [--index URL]", result.stdout)
                self.assertNotIn("set -euo", result.stdout)
                self.assertFalse((self.root / "calls").exists())

    def fake_lamina(self, code=0, complete=True, stopped_by=None):
        self.stand_in("launch/setup", "")
        summary = json.dumps({"complete": complete, "stopped_by": stopped_by, "test_accuracy": 0.8125})
        self.stand_in("build/lamina", f"mkdir -p \"$4\" && echo '{summary}' > \"$4/summary.json\"; exit {code}")

    def test_quickstart_prints_the_accuracy_and_hands_arguments_on(self):
        self.fake_lamina()
        result = self.run_script("quickstart", "--index", "URL", "--set", "train.seed=2")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("81.25 %", result.stdout.splitlines()[-1])
        self.assertEqual(self.calls("setup"), ["setup --index URL"])
        self.assertEqual(self.calls("lamina"),
                         ["lamina train configs/quickstart.yaml --out runs/quickstart --set train.seed=2"])

    def test_quickstart_trains_into_the_callers_folder(self):
        self.fake_lamina()
        for words in (("--out", "mine"), ("--out=mine",)):
            result = self.run_script("quickstart", "--set", "train.seed=2", *words)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(self.calls("lamina")[-1], f"lamina train configs/quickstart.yaml --out {self.root / 'mine'} "
                             "--set train.seed=2")

    def test_quickstart_tells_a_stop_from_the_end(self):
        for stopped_by in ("signal", "stop_before", "early_stop"):
            self.fake_lamina(complete=False, stopped_by=stopped_by)
            result = self.run_script("quickstart", "--out", "a run")
            with self.subTest(stopped_by):
                self.assertEqual(result.returncode, 0, result.stderr)
                said = "81.25 %" if stopped_by == "early_stop" else f"--out '{self.root / 'a run'}' --resume"
                self.assertIn(said, result.stdout.splitlines()[-1])

    def test_quickstart_leaves_earlier_runs_alone(self):
        self.fake_lamina()
        for name in ("quickstart", "quickstart-2"):
            (self.root / "runs" / name).mkdir(parents=True)
        self.assertEqual(self.run_script("quickstart").returncode, 0)
        self.assertTrue((self.root / "runs/quickstart-3/summary.json").exists())
        self.assertEqual(list((self.root / "runs/quickstart").iterdir()), [])

    def test_quickstart_ends_with_the_code_of_the_training(self):
        self.fake_lamina(code=5)
        self.assertEqual(self.run_script("quickstart").returncode, 5)

    def fake_tests(self, failures, failed=FAILED_CASE):
        self.stand_in("launch/setup", "")
        self.stand_in("programs/cmake")
        (self.root / "build").mkdir()
        report = JUNIT.format(cases=failed * failures)
        self.stand_in("programs/ctest", f"printf '%s' '{report}' > build/junit.xml; exit {8 if failures else 0}")

    def counted(self, code, line, *words):
        """What launch/test says, which ends with this code and this line."""
        result = self.run_script("test", *words)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(result.stdout.splitlines()[-1], line)
        return result.stdout

    def test_test_counts_what_ran(self):
        self.fake_tests(failures=0)
        self.counted(0, "5 passed, 0 failed, 2 skipped", "Board")  # and the build
        self.assertIn(" -R Board", self.calls("ctest")[0])

    def test_test_fails_when_a_test_does(self):
        self.fake_tests(failures=3)
        said = self.counted(1, "5 passed, 3 failed, 2 skipped")
        self.assertEqual(said.count("failed: Board.Forgets\n    expected 1 < 0\n"), 3)
        self.assertNotIn("Board.Keeps", said)

    def test_test_counts_the_tests_of_a_process(self):
        self.fake_tests(failures=1, failed=FAILED_SHARD)
        self.assertIn("    [  FAILED  ] Board.Mixes\n", self.counted(1, "12 passed, 2 failed, 2 skipped"))

    def test_test_fails_when_ctest_does_without_a_report(self):
        self.fake_tests(failures=0)
        self.stand_in("programs/ctest", "exit 8")
        self.assertIn("failed: tests\n", self.counted(1, "1 passed, 1 failed, 0 skipped"))

    def test_test_fails_when_the_build_does_and_runs_nothing(self):
        self.fake_tests(failures=0)
        self.stand_in("programs/cmake", "exit 1")
        self.assertIn("failed: build of the tests\n", self.counted(1, "0 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.calls("ctest"), [])


if __name__ == "__main__":
    unittest.main()
