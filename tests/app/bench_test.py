"""lamina bench, as people call it: what it compares, keeps, and refuses."""

import json
import re

from lamina_process import CONFIG, OK, LaminaTest, main


class Beside(LaminaTest):
    def beside(self, *arguments):
        return self.lamina("bench", self.config, "--beside", self.config, "--rounds", 3, *arguments)

    def test_overrides_apply_to_every_side(self):
        other = self.write("other.yaml", "include: small.yaml\nmodel: {backbone: resnet9}\n")
        self.assert_refused(self.lamina("bench", self.config, "--beside", other), CONFIG, "resnet9")
        mended = self.lamina("bench", self.config, "--beside", other, "--rounds", 1, "--set", "model.backbone=resnet8")
        self.assertEqual(mended.returncode, OK, mended.stderr)

    def test_what_it_found_is_kept(self):
        found = self.beside("--out", self.folder / "out")
        self.assertEqual(found.returncode, OK, found.stderr)
        sides = json.loads((self.folder / "out" / "summary.json").read_text())["sides"]
        self.assertEqual([side["config"] for side in sides], [str(self.config)] * 2)
        self.assertEqual(sides[0]["ratio"], {"median": 1, "lowest": 1, "highest": 1})
        printed = [float(ms) for ms in re.findall(r"([\d.]+) ms a step", found.stdout)]
        self.assertEqual(len(printed), 2)
        for ms, side in zip(printed, sides):
            self.assertAlmostEqual(ms, 1e3 * side["step_s"]["median"], delta=0.01)

    def test_what_says_how_a_stream_is_measured_is_refused(self):
        for option in (["--steps", 3], ["--alone", 3], ["--trace", "t.json"], ["--pipeline-only"]):
            with self.subTest(option):
                self.assert_refused(self.beside(*option), CONFIG, option[0])


if __name__ == "__main__":
    main()
