"""The dashboard asks for what a run's endpoint really exports."""

import json
import pathlib
import re
import unittest

from lamina_process import main
from watch_test import WatchTest

DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "cluster" / "grafana" / "lamina.json"


def targets(dashboard):
    return [(panel["title"], target) for panel in dashboard["panels"] for target in panel.get("targets", [])]


class Dashboard(WatchTest):
    def setUp(self):
        super().setUp()
        self.dashboard = json.loads(DASHBOARD.read_text())

    def test_every_expression_names_what_the_endpoint_exports(self):
        # Two branches a module, a LAM and an evaluation: every figure that there is but a GPU's.
        mlaan = "method.mlaan={window: 2}"
        _, address = self.start("run", "pipeline.workers=2", mlaan, "train.eval_every_steps=2")
        samples = self.wait_for_steps(address)
        labels = {}
        for name, of in samples:
            labels.setdefault(name, set()).update(label.split("=")[0] for label in of)
        activities = {label.split('"')[1] for _, of in samples for label in of if label.startswith("activity=")}
        asked = set()
        for title, target in targets(self.dashboard):
            with self.subTest(title, expr=target["expr"]):
                names = set(re.findall(r"\blamina_\w+", target["expr"]))
                self.assertTrue(names)
                self.assertLessEqual(names, labels.keys())
                for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
                    self.assertIn(label, set().union(*(labels[name] for name in names)) | {"instance"})
                for activity in re.findall(r'activity="(\w+)"', target["expr"]):
                    self.assertIn(activity, activities)
                asked |= names
        self.assertEqual(labels.keys() - asked, {"lamina_train_seconds_total"}, "exported, and shown nowhere")

    def test_panels_have_titles_of_their_own_and_do_not_overlap(self):
        panels = self.dashboard["panels"]
        self.assertEqual(len({panel["title"] for panel in panels}), len(panels))
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells

    def test_the_data_source_is_the_user_s_choice(self):
        variables = {v["name"]: v for v in self.dashboard["templating"]["list"]}
        self.assertEqual(variables["datasource"]["type"], "datasource")
        self.assertEqual(variables["datasource"]["query"], "prometheus")
        for panel in self.dashboard["panels"]:
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")
        for _, target in targets(self.dashboard):
            self.assertIn('instance=~"$instance"', target["expr"])


if __name__ == "__main__":
    main()
