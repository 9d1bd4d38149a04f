"""cmake --install into a folder, which is then moved: what stands there works, by itself and from there."""

import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from completion_test import commands, lamina, options
from lamina_process import MPI_ENVIRONMENT, SMALL, main

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = os.environ["LAMINA_BUILD"]


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="lamina-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        first = cls.folder / "first"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", first], check=True, stdout=subprocess.DEVNULL)
        cls.prefix = first.rename(cls.folder / "moved")
        (cls.folder / "small.yaml").write_text(SMALL)

    def run_installed(self, name, *arguments, cwd=None, **variables):
        environment = {k: v for k, v in os.environ.items() if k not in ("LAMINA_BINARY", "LD_LIBRARY_PATH", "PYTHONPATH")}
        run = subprocess.run([self.prefix / "bin" / name, *map(str, arguments)], cwd=cwd or self.folder, text=True,
                             capture_output=True, env=environment | MPI_ENVIRONMENT | variables, timeout=120)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def summary(self, out):
        return json.loads((self.folder / out / "summary.json").read_text())

    def test_the_program_says_its_version_and_trains(self):
        self.assertEqual(self.run_installed("lamina", "--version"), lamina("--version"))
        self.run_installed("lamina", "train", "small.yaml", "--out", "plain", "--set", "train.max_steps=3")
        self.assertEqual(self.summary("plain")["step"], 3)

    def test_every_library_is_the_systems_or_beside_it(self):
        text = subprocess.run(["ldd", self.prefix / "bin/lamina"], check=True, capture_output=True, text=True).stdout
        self.assertNotIn("not found", text)
        paths = [Path(os.path.normpath(path)) for path in re.findall(r"=> (/\S+)", text)]
        own = {path.name for path in paths if path.is_relative_to(self.prefix)}
        self.assertLessEqual({"libtorch_cpu.so", "libc10.so"}, own)
        for path in paths:
            self.assertTrue(path.name in own or path.is_relative_to("/lib") or path.is_relative_to("/usr/lib"), path)

    def test_nothing_names_the_checkout_or_the_folder_of_the_build(self):
        for path in self.prefix.rglob("*"):
            if path.is_file() and path.parent.name != "lib":
                text = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
                for known in (BUILD, str(CHECKOUT), str(self.folder / "first")):
                    self.assertNotIn(known.encode(), text, path)

    def test_the_launcher_finds_the_program_beside_it(self):
        ranks = ("small.yaml", "--workers", "2", "--set", "pipeline.workers=auto", "--set", "train.max_steps=3")
        self.run_installed("lamina-run", *ranks, "--out", "ranks")
        self.assertEqual(self.summary("ranks")["step"], 3)
        self.assertIn(str(self.prefix / "bin/lamina"),
                      self.run_installed("lamina-run", *ranks, "--dry-run"))

    def test_the_batch_scripts_train_from_the_shared_folder(self):
        share = self.prefix / "share/lamina"
        subprocess.run(["bash", "-euc", "source cluster/batch.sh; train USR1"], check=True, cwd=share,
                       env=os.environ | {"LAMINA_CONFIGS": str(self.folder / "small.yaml"),
                                         "LAMINA_OUT": str(self.folder / "batch"),
                                         "LAMINA_ARGUMENTS": "--set train.max_steps=2"}, stdout=subprocess.DEVNULL)
        self.assertEqual(self.summary("batch")["step"], 2)
        self.run_installed("lamina", "show", share / "configs/quickstart.yaml")

    def test_the_other_scripts_are_there(self):
        for script in ("lamina-report", "lamina-fetch-data"):
            self.assertIn(f"usage: {script}", self.run_installed(script, "--help"))

    def test_the_completion_is_the_programs_own(self):
        path = self.prefix / "share/bash-completion/completions/lamina"
        self.assertEqual(path.read_text(), lamina("completion", "bash"))

    @unittest.skipUnless(shutil.which("help2man"), "needs help2man, with which pages are written")
    def test_every_command_has_a_manual_page_with_every_option(self):
        folder = self.prefix / "share/man/man1"
        scripts = {"lamina-run", "lamina-report", "lamina-fetch-data"}
        self.assertEqual({path.name for path in folder.iterdir()},
                         {f"{name}.1.gz" for name in {"lamina", *scripts, *(f"lamina-{c}" for c in commands())}})
        for command in commands():
            with self.subTest(command):
                page = gzip.open(folder / f"lamina-{command}.1.gz", "rt").read().replace("\\-", "-")
                for option in options(command):
                    self.assertIn(option, page)
        self.assertIn("--restarts", gzip.open(folder / "lamina-run.1.gz", "rt").read().replace("\\-", "-"))

    @unittest.skipUnless(shutil.which("help2man") and shutil.which("man"), "needs help2man and man")
    def test_manual_pages_are_formatted_without_warnings(self):
        for page in sorted((self.prefix / "share/man/man1").iterdir()):
            run = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page], text=True,
                                 capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
            self.assertEqual((run.returncode, run.stderr), (0, ""), page)


if __name__ == "__main__":
    main()
