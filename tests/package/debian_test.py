"""The Debian package: built by CPack, looked at by lintian, installed in a root of its own, run there and removed."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from completion_test import lamina
from lamina_process import SMALL, main

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["LAMINA_BUILD"])
FAST = "CPACK_DEBIAN_COMPRESSION_TYPE=zstd"


def output(*command, **options):
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True, **options).stdout


@unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "needs dpkg-dev")
class Debian(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="lamina-debian-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        output("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", cls.folder, "-D", FAST)
        cls.package, = cls.folder.glob("*.deb")

    def field(self, name):
        return output("dpkg-deb", "--field", self.package, name).strip()

    def test_it_depends_on_the_packages_of_the_programs_libraries_alone(self):
        # spdlog's package is also called after the fmt that it was built with.
        depends = {re.match(r"\S+", entry)[0].partition("-fmt")[0] for entry in self.field("Depends").split(", ")}
        stage = (CHECKOUT / "cluster/image/stage").read_text()
        listed = set(re.search(r"runtime_packages=\((.*?)\)", stage, re.DOTALL)[1].split())
        self.assertLessEqual({"libc6", "libopenmpi3", "libhwloc15", "libyaml-cpp0.7", "python3"}, depends)
        self.assertLessEqual(depends - {"libc6", "libgcc-s1", "libstdc++6"}, listed)
        self.assertFalse([name for name in depends if "torch" in name or "gomp" in name])

    @unittest.skipUnless(shutil.which("apt-get"), "needs apt")
    def test_apt_can_install_it(self):
        planned = output("apt-get", "--simulate", "--no-install-recommends", "install", self.package)
        self.assertRegex(planned, r"(?m)^Inst lamina \(")

    def test_installed_in_a_root_of_its_own_it_runs_and_leaves_nothing_behind(self):
        root = self.folder / "root"
        (root / "var/lib/dpkg/info").mkdir(parents=True)
        (root / "var/lib/dpkg/updates").mkdir()
        (root / "var/lib/dpkg/status").touch()
        # The other packages are the machine's own, and so is the shell of the package's script.
        dpkg = ("dpkg", f"--root={root}", "--force-not-root,depends,script-chrootless", "--log=/dev/null")
        output(*dpkg, "--install", self.package)
        program = root / "usr/bin/lamina"
        self.assertEqual(output(program, "--version"), lamina("--version"))
        (self.folder / "small.yaml").write_text(SMALL)
        output(program, "train", "small.yaml", "--out", "run", "--set", "train.max_steps=2", cwd=self.folder)
        self.assertEqual(json.loads((self.folder / "run/summary.json").read_text())["step"], 2)
        output(*dpkg, "--purge", "lamina")
        self.assertFalse([path for path in root.rglob("*") if "lamina" in path.name])

    def small_package(self):
        """The package with a small library in the place of LibTorch's large one, on which lintian would spend minutes, packed as
        Debian's archive takes it."""
        tree = self.folder / "tree"
        output("dpkg-deb", "--raw-extract", self.package, tree)
        libraries = tree / "usr/lib/lamina/libtorch"
        shutil.copy(libraries / "libc10.so", libraries / "libtorch_cpu.so")
        sums = tree / "DEBIAN/md5sums"
        md5 = hashlib.md5((libraries / "libc10.so").read_bytes()).hexdigest()
        sums.write_text(re.sub(r"\w+(?=  usr/lib/lamina/libtorch/libtorch_cpu.so$)", md5, sums.read_text(), flags=re.MULTILINE))
        small = self.folder / f"small-{self.package.name}"
        output("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, small)
        return small

    @unittest.skipUnless(shutil.which("lintian"), "needs lintian")
    def test_lintian_finds_no_fault(self):
        run = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", self.small_package()],
                             capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout), (0, ""), run.stdout + run.stderr)


if __name__ == "__main__":
    main()
