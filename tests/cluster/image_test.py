"""The images' recipes against this checkout and the built program; no image is built."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
IN_EVERY_DEBIAN = {"libc6", "libgcc-s1", "libstdc++6"}  # apt itself needs them


def read(path):
    return (PROJECT / "cluster/image" / path).read_text()


def needed_libraries(binary):
    dynamic = subprocess.run(["readelf", "-d", binary], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))


def resolved(binary):
    """{library: path}"""
    text = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", text, re.MULTILINE))


def package_of(path):
    """The Debian package that a library came with; on a merged /usr it may be registered under /lib."""
    real = os.path.realpath(path)
    for candidate in (real, real.removeprefix("/usr"), "/usr" + real):
        found = subprocess.run(["dpkg", "-S", candidate], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.partition(":")[0]
    return None


class Image(unittest.TestCase):
    @unittest.skipUnless(shutil.which("dpkg") and shutil.which("readelf"), "needs dpkg and readelf")
    def test_the_packages_for_a_run_are_those_of_the_programs_libraries(self):
        listed = set(re.search(r"runtime_packages=\((.*?)\)", read("stage"), re.DOTALL)[1].split())
        binary = os.environ["LAMINA_BINARY"]
        paths = resolved(binary)
        from_debian = [paths[name] for name in needed_libraries(binary) if "/torch/lib/" not in paths[name]]
        packages = {package_of(path) for path in from_debian}
        self.assertNotIn(None, packages)
        self.assertLessEqual(packages - IN_EVERY_DEBIAN, listed)

    def test_what_is_copied_from_the_checkout_is_there(self):
        copied = re.findall(r"^COPY (?!--from)(\S+) ", read("Containerfile"), re.MULTILINE)
        self.assertIn("cluster/image/stage", copied)
        for path in copied:
            self.assertTrue((PROJECT / path).exists(), path)
        for path in ("launch", "cluster", "configs", "LICENSE"):
            self.assertIn(f" {path} ", read("stage"))
            self.assertTrue((PROJECT / path).exists(), path)

    def test_both_recipes_build_on_the_same_debian_by_the_same_script(self):
        bases = [line.split()[1].removeprefix("docker.io/library/") for path in ("Containerfile", "lamina.def")
                 for line in read(path).splitlines() if line.lower().startswith("from")]
        self.assertEqual(len(bases), 4)
        self.assertEqual(len(set(bases)), 1)
        for path in ("Containerfile", "lamina.def"):
            for stage in ("stage build", "stage runtime"):
                self.assertIn(stage, read(path))

    def test_the_apptainer_stand_in_hands_its_arguments_to_the_program_in_the_image(self):
        """apptainer is a stand-in here."""
        script = "apptainer() { printf '%s\\n' \"$*\"; }; exec() { \"$@\"; }; source cluster/image/lamina"
        said = subprocess.run(["bash", "-c", f"{script} train a.yaml"], cwd=PROJECT, capture_output=True, text=True,
                              env=os.environ | {"LAMINA_IMAGE": "x.sif", "LAMINA_DATA": "/data"}, check=True).stdout
        self.assertEqual(said, "exec --bind /data x.sif /opt/lamina/build/lamina train a.yaml\n")


if __name__ == "__main__":
    unittest.main()
