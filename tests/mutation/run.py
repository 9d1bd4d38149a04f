#!/usr/bin/env python3
"""Breaks the sources one mutant of mutants.py at a time, and sees whether the tests notice. The sources stay as they
are: a mutated copy is compiled as the build compiles its original, and linked in front of it.

    tests/mutation/run.py                  all mutants, of build/, whose tests have to be built
    tests/mutation/run.py EMA window       those whose names have such a word
    tests/mutation/run.py --sample 6       those that are always tried, and others up to six, by a seed that is printed
"""

import argparse
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
TEST_LIMIT_S = 120


class Broken(Exception):
    """A mutant that says nothing of the tests: its text, its compilation or its tests as they are."""


class Build:
    """What a build folder knows of compiling and linking."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.units = {}  # by source: what is compiled, be it several sources together, and how
        for entry in json.loads((self.folder / "compile_commands.json").read_text()):
            if re.search(r" -o src/CMakeFiles/lamina_[a-z]+\.dir/", entry["command"]):
                unit = Path(entry["file"])
                for source in re.findall(r'^#include "(.*)"', unit.read_text(), re.MULTILINE) if unit.parent.name == "Unity" else [unit]:
                    self.units[str(source)] = (unit, entry["command"])

    def binary(self, name):
        return f"tests/lamina_{name}_tests" if name != "comm_nccl" else "tests/comm/lamina_comm_nccl_tests"

    def compile(self, texts, folder):
        """Objects of the units that hold these sources, with these texts in their place."""
        mutated = {}
        for file, text in texts.items():
            unit, command = self.units[str(ROOT / file)]
            copy = folder / Path(file).name
            copy.write_text(text)
            whole = mutated.get(unit, (unit.read_text(),))[0].replace(f'"{ROOT / file}"', f'"{copy}"')
            mutated[unit] = (text if unit == ROOT / file else whole, command, (ROOT / file).parent)
        objects = []
        for number, (text, command, beside) in enumerate(mutated.values()):
            unit = folder / f"unit-{number}.cpp"
            unit.write_text(text)
            objects.append(unit.with_suffix(".o"))
            words = shlex.split(command)
            words[words.index("-o") + 1], words[words.index("-c") + 1] = str(objects[-1]), str(unit)
            self.call([*words, "-iquote", str(beside)])
        return objects

    def link(self, name, objects, target):
        """The test binary with these objects in front of the archives that hold their originals."""
        listed = subprocess.run(["ninja", "-t", "commands", "-s", self.binary(name)], cwd=self.folder, check=True,
                                stdout=subprocess.PIPE, text=True).stdout.strip().splitlines()[-1]
        words = shlex.split(re.sub(r"^: && | && :$", "", listed))
        place = words.index("-o")
        words[place + 1] = str(target)
        self.call(words[: place + 2] + [str(each) for each in objects] + words[place + 2 :])

    def call(self, words):
        done = subprocess.run(words, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise Broken(f"{done.stdout[-3000:]}\nexpected a command that succeeds, found {shlex.join(words)}")


def failed_tests(binary, tests):
    """The tests that fail, or that were running when the process ended or its time was over."""
    command = [binary, f"--gtest_filter={tests}", "--gtest_fail_fast"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            output = process.communicate(timeout=TEST_LIMIT_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
    if not re.search(r"^\[==========\] Running [1-9]", output, re.MULTILINE):
        raise Broken(f"expected tests that match {tests}, found none\n{output[-2000:]}")
    if process.returncode == 0:
        return []
    begun = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    failed = re.findall(r"^\[  FAILED  \] ([^\s,]+)", output, re.MULTILINE)
    return sorted({name for name in failed if "." in name}) or begun[-1:] or ["none, it did not start"]


def mutated_sources(mutant):
    texts = {}
    for edit in mutant.edits:
        text = texts.get(edit.file) or (ROOT / edit.file).read_text()
        if text.count(edit.old) != 1:
            raise Broken(f"{edit.file}: expected this once, found {text.count(edit.old)} times: {edit.old!r}")
        texts[edit.file] = text.replace(edit.old, edit.new)
    return texts


def catch(build, mutant, number):
    folder = build.folder / "mutation" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    build.link(mutant.binary, build.compile(mutated_sources(mutant), folder), folder / "tests")
    caught_by = failed_tests(folder / "tests", mutant.tests)
    (folder / "tests").unlink()
    return caught_by


def try_one(build, mutant, number):
    start = time.monotonic()
    try:
        caught_by = catch(build, mutant, number)
        verdict, words = ("caught", ", ".join(caught_by)) if caught_by else ("SURVIVED", mutant.tests)
    except Broken as problem:
        verdict, words = "BROKEN", str(problem)
    print(f"{verdict:8} {time.monotonic() - start:5.1f} s  {mutant.name}: {words}", flush=True)
    return verdict == "caught"


def sample(mutants, number, seed):
    """All that are always tried, and by chance so many others that there are as many as asked for."""
    required = [each for each in mutants if each.always]
    others = [each for each in mutants if not each.always]
    return required + random.Random(seed).sample(others, min(max(0, number - len(required)), len(others)))


def check_the_originals(build, chosen):
    for binary, tests in sorted({(mutant.binary, mutant.tests) for mutant in chosen}):
        if failing := failed_tests(build.folder / build.binary(binary), tests):
            sys.exit(f"expected tests that pass as long as nothing is broken, found {', '.join(failing)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--sample", type=int, help="so many of them, or as many as are always tried")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    for each in MUTANTS:  # also of those that are not tried
        mutated_sources(each)
    chosen = [each for each in MUTANTS if not arguments.words or any(word in each.name for word in arguments.words)]
    if arguments.sample:
        print(f"a sample by --seed {arguments.seed}")
        chosen = sample(chosen, arguments.sample, arguments.seed)
    build = Build(arguments.build)
    check_the_originals(build, chosen)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        caught = list(pool.map(lambda pair: try_one(build, pair[1], pair[0]), enumerate(chosen)))
    print(f"{sum(caught)} of {len(caught)} mutants caught")
    sys.exit(0 if caught and all(caught) else 1)


if __name__ == "__main__":
    main()
