"""What bash offers for a command line of lamina: by the completion that the program prints, in a real bash."""

import re
import subprocess
import tempfile
import unittest

from lamina_process import BINARY, main


def lamina(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=True).stdout


def commands():
    return re.findall(r"^  (\w+) ", lamina("--help").partition("Subcommands:")[2], re.MULTILINE)


def options(*command):
    """As the help lists them."""
    return set(re.findall(r"^  (?:-\w,)?(--[\w-]+)", lamina(*command, "--help"), re.MULTILINE))


# What readline hands to the function, whose name `complete -p` tells, and what that leaves.
ASK = """
source {script}
set -- {words}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
function=$(complete -p lamina | grep -o -- '-F [^ ]*' | cut -c 4-)
"$function" lamina "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.script = tempfile.NamedTemporaryFile("w", suffix=".bash")
        cls.script.write(lamina("completion", "bash"))
        cls.script.flush()
        cls.addClassCleanup(cls.script.close)

    def offered(self, *words):
        """After these words, the last of which is being written."""
        quoted = " ".join(f"'{word}'" for word in words)
        run = subprocess.run(["bash", "--norc", "-c", ASK.format(script=self.script.name, words=quoted)],
                             capture_output=True, text=True, check=True)
        self.assertEqual(run.stderr, "")
        return set(run.stdout.split())

    def test_every_command_and_the_programs_own_options(self):
        self.assertIn("train", commands())
        self.assertEqual(self.offered("lamina", ""), {*commands(), *options()})
        self.assertEqual(self.offered("lamina", "tr"), {"train"})
        self.assertEqual(self.offered("lamina", "--v"), {"--version"})

    def test_every_option_of_every_command(self):
        for command in commands():
            with self.subTest(command):
                self.assertEqual(self.offered("lamina", command, "a.yaml", "--"), options(command))

    def test_files_are_left_to_bash(self):
        self.assertEqual(self.offered("lamina", "train", "conf"), set())
        self.assertEqual(self.offered("lamina", "train", "--out", "ru"), set())

    def test_the_keys_of_a_configuration_behind_set(self):
        """bash takes the sign = for a word of its own."""
        self.assertEqual(self.offered("lamina", "train", "a.yaml", "--set", "train.max_st"), {"train.max_steps="})
        self.assertEqual(self.offered("lamina", "train", "a.yaml", "--set", "=", "method.mlaan.win"),
                         {"method.mlaan.window="})
        self.assertEqual(self.offered("lamina", "train", "a.yaml", "--set", "train.lr", "=", "0"), set())
        shown = lamina("show", "/dev/null")
        keys = {f"{key}=" for key in re.findall(r"^([a-z_.\d]+) +\S.* # ", shown, re.MULTILINE)}
        self.assertGreater(len(keys), 50)
        self.assertLessEqual(keys - {"method.mlaan="}, self.offered("lamina", "show", "a.yaml", "--set", ""))

    def test_a_shell_that_is_not_known_is_refused(self):
        run = subprocess.run([BINARY, "completion", "csh"], capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout), (2, ""))


if __name__ == "__main__":
    main()
