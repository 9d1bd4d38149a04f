"""launch/report: its page in a real headless browser, wide and at a phone's width, and what it says of bad input."""

import functools
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("LAMINA_BINARY", PROJECT / "build/lamina")
PHONE, DESK = (390, 844), (1280, 900)

HAS_PLOTS = importlib.util.find_spec("matplotlib") is not None
HAS_BROWSER = bool(importlib.util.find_spec("selenium") and shutil.which("chromium") and shutil.which("chromedriver"))


def row(net, method, workers, repeat, images_per_s, **more):
    idle = 0.2 * (1 - 1 / workers)
    shares = {"compute": 0.95 - idle, "wait for input": idle / 2, "wait for room": idle / 2, "snapshot": 0.04, "idle": 0.01}
    return {"study": "sample", "cell": f"{net},{method},workers={workers}",
            "axes": {"net": net, "method": method, "pipeline.workers": str(workers)}, "repeat": repeat, "state": "done",
            "images_per_s": images_per_s * (1 + 0.03 * repeat), "pipeline_efficiency": 1 - idle, "num_workers": workers,
            "peak_rss_mib": 1234.5, "seconds": 3.5, "began": "2026-01-31T12:00:00Z", "git": "0123456789ab",
            "versions": "lamina 0.1.0\nLibTorch 2.13.0",
            "machine": {"host": "n1", "processor": "A Processor", "processors": 2, "memory_mib": 24576},
            "workers": [{"share_of_time": shares, "peak_rss_mib": 1234.5}] * workers,
            "memory": [{"stage": stage, "module": stage, "shadow": False, "peak_mib": 100.0 + 300 * stage}
                       for stage in range(workers)],
            "config": {"model.backbone": net, "method.framework": method, "train.batch": "256"}} | more


def sample(counts=(1, 2)):
    """Two networks, three methods, so many workers, two runs of each; one cell could not run."""
    rows = [row(net, method, workers, repeat, speed * pace * workers**0.9)
            for net, speed in (("resnet32", 200), ("resnet110", 60))
            for method, pace in (("greedy", 1.1), ("dgl", 1.0), ("dgl+mlaan", 0.37)) for workers in counts
            for repeat in range(2)]
    axes = {"net": "resnet110", "method": "e2e", "pipeline.workers": "2"}
    rows.append({"study": "sample", "cell": "resnet110,e2e,workers=2", "axes": axes, "repeat": 0, "state": "failed",
                 "error": "pipeline.stages: expected <at most 1>, found 2"})
    return rows


def trained():
    """Runs that trained, of one network on one worker."""
    return [row("resnet14", method, 1, repeat, 300,
                curve=[[49 * epoch, 30.0 * epoch, top * (1 - 0.5**epoch) + 0.01 * repeat] for epoch in range(1, 7)],
                test_accuracy=top, seconds_to_accuracy=60.0) for method, top in (("greedy", 0.66), ("e2e", 0.79))
            for repeat in range(2)]


TRACED = {"model": {"backbone": "resnet8"}, "partition": {"modules": 4}, "data": {"name": "synthetic", "test_limit": 8},
          "pipeline": {"stages": 2, "workers": 2, "threads": 1}, "train": {"batch": 16, "lr_schedule": "step"}}
END_TO_END = ("method.framework=e2e", "pipeline.schedule=1f1b", "pipeline.micro_batches=4")
LOCAL = ("method.framework=dgl", "method.mlaan.window=2")


def trace(folder, sets):
    """trace.json, as a real run of two workers leaves it."""
    config = folder / "traced.yaml"
    config.write_text(json.dumps(TRACED))  # which is YAML too
    command = [BINARY, "bench", config, "--steps", "8", "--rounds", "1", "--alone", "1", "--pipeline-only", "--trace",
               folder / "trace.json", *(word for each in sets for word in ("--set", each))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def new_folder():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lamina-"))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    return folder


def report(folder, *arguments):
    return subprocess.run([PROJECT / "launch/report", folder, *arguments], capture_output=True, text=True)


def write_rows(folder, rows):
    (folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))


@functools.cache
def page_of(make, *arguments):
    """The page of a sample: made once, for all tests."""
    folder = new_folder()
    write_rows(folder, make(*arguments))
    trace(folder, END_TO_END if make is sample else LOCAL)
    result = report(folder)
    if result.returncode:
        raise AssertionError(result.stderr)
    return folder / "report.html"


@unittest.skipUnless(HAS_PLOTS, "not installed: matplotlib; launch/setup installs it")
class Report(unittest.TestCase):
    def test_the_page_asks_for_nothing_from_elsewhere(self):
        page = page_of(sample).read_text()
        self.assertEqual(re.findall(r"https?://\S+", page.replace("http://www.w3.org/", "")), [])
        self.assertEqual(re.findall(r"""(?:src|href)=["'](?!#|data:)""", page), [])
        self.assertNotIn("<script", page)

    def test_the_same_results_give_the_same_page(self):
        first = page_of(trained)
        again = new_folder() / "again.html"
        self.assertEqual(report(first.parent, "--out", again).returncode, 0)
        self.assertEqual(again.read_bytes(), first.read_bytes())

    def test_every_chart_is_a_picture_too(self):
        page = page_of(sample)
        for key in ("throughput", "efficiency", "pipeline-efficiency", "time", "memory", "timeline"):
            self.assertIn(f'<section id="{key}">', page.read_text())
            picture = (page.parent / "figures" / f"{key}.png").read_bytes()
            self.assertTrue(picture.startswith(b"\x89PNG"), key)
            self.assertGreater(int.from_bytes(picture[16:20], "big"), 2000, "pixels wide")
        self.assertNotIn('<section id="accuracy">', page.read_text())

    def test_the_table_has_the_median_and_the_range_and_what_failed_its_error(self):
        page = page_of(sample).read_text()
        self.assertIn('<td class="number">223<small>220 – 227</small></td>', page)
        self.assertIn("pipeline.stages: expected &lt;at most 1&gt;, found 2", page)
        self.assertIn("resnet32: fastest is greedy · 2 workers with 417 images/s, 1.87 times what 1 worker does.", page)

    def expect_timeline_of(self, page, *actions):
        section = re.search(r'<section id="timeline">.*?</section>', page.read_text(), re.DOTALL)[0]
        legend = re.findall(r'<rect [^>]*var\(--(\w+)\)"/></svg>([^<]+)</li>', section)
        self.assertLessEqual(set(actions), {action for _, action in legend})
        self.assertEqual(len({colour for colour, _ in legend}), len(legend), "each has a colour of its own")

    def test_a_timeline_tells_every_kind_of_time_apart(self):
        self.expect_timeline_of(page_of(trained), "compute", "waiting for input", "waiting for room", "send", "snapshots")
        self.expect_timeline_of(page_of(sample), "forward", "backward", "update", "waiting for input", "waiting for room",
                                "send")

    def expect_one_line(self, result, code, words):
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (code, 1), result.stderr)
        self.assertIn(words, result.stderr)

    def test_results_joined_of_studies_with_other_axes_have_a_dash_for_what_they_lack(self):
        folder = new_folder()
        other = row("resnet14", "dgl", 1, 0, 250, cell="dgl,lr=0.1", axes={"method": "dgl", "train.lr": "0.1"})
        write_rows(folder, [*trained(), other])
        result = report(folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = re.findall(r"<tr><td>(.*?)</td><td class=\"number\">", (folder / "report.html").read_text())
        self.assertIn("–</td><td>dgl</td><td>–</td><td>0.1", rows)
        self.assertIn("resnet14</td><td>greedy</td><td>1</td><td>–", rows)

    def test_shares_of_time_that_a_run_did_not_tell_are_left_out(self):
        folder = new_folder()
        rows = [row("resnet14", "dgl", 2, 0, 250), row("resnet14", "e2e", 1, 0, 250)]
        rows[0]["workers"] = [{"share_of_time": {"compute": 0.5, "idle": None}}, {"share_of_time": None}]
        rows[1]["workers"] = [{"share_of_time": None}]
        write_rows(folder, rows)
        result = report(folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn('<section id="time">', (folder / "report.html").read_text())

    def test_what_is_wrong_is_one_line(self):
        folder = new_folder()
        self.expect_one_line(report(folder), 3, "results.jsonl: expected the results of `lamina study`")
        for text, words in (("{}\n", "results.jsonl:1: expected a row"), ("", "expected a finished run")):
            (folder / "results.jsonl").write_text(text)
            self.expect_one_line(report(folder), 3, words)
        (folder / "results.jsonl").write_bytes(b'{"cell": "\xe9", "axes": {}, "state": "done"}\n')
        self.expect_one_line(report(folder), 3, "results.jsonl: expected UTF-8")
        write_rows(folder, trained())
        for text in ('{"title": "cut sh', '{"cells": [{"name": "a"}]}', "[]"):
            (folder / "study.json").write_text(text)
            self.expect_one_line(report(folder), 3, "study.json: expected the description of a study")
        (folder / "study.json").unlink()
        (folder / "trace.json").write_text("[1]")
        self.expect_one_line(report(folder), 3, "trace.json: expected Chrome's trace events")
        self.expect_one_line(report(folder, "--format", "pdf"), 2, "--format")


# What is wrong with how a chart is drawn, as texts; empty if nothing is. The figure that the page's width calls for.
FAULTS = """
const faults = [];
for (const chart of document.querySelectorAll('.chart')) {
  const key = chart.parentElement.id;
  const drawings = [...chart.children].filter(each => getComputedStyle(each).display != 'none');
  if (drawings.length != 1) { faults.push(key + ': ' + drawings.length + ' drawings'); continue; }
  const frame = drawings[0].firstElementChild.getBoundingClientRect();
  if (frame.width < 300 || frame.height < 60) faults.push(key + ': ' + frame.width + ' x ' + frame.height);
  const marks = [...drawings[0].querySelectorAll('path,use')].filter(each => each.getBoundingClientRect().width > 2);
  if (marks.length < 4) faults.push(key + ': ' + marks.length + ' marks');
  const texts = [...drawings[0].querySelectorAll('text')].map(each => [each, each.getBoundingClientRect()]);
  if (texts.length < 3) faults.push(key + ': ' + texts.length + ' texts');
  for (const [text, box] of texts) {
    const name = key + ': ' + text.textContent;
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      faults.push(name + ' is cut off');
    if (parseFloat(getComputedStyle(text).fontSize) * frame.width / text.ownerSVGElement.viewBox.baseVal.width < 11)
      faults.push(name + ' is too small');
    for (const [other, its] of texts)
      if (other !== text && box.left + 2 < its.right && its.left + 2 < box.right && box.top + 3 < its.bottom && its.top + 3 < box.bottom)
        faults.push(name + ' is drawn over ' + other.textContent);
  }
}
return faults;
"""

# The ratio in luminance of every text to the page behind it.
CONTRASTS = """
const luminance = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(each => each / 255)
    .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const page = luminance(getComputedStyle(document.body).backgroundColor);
return [...document.querySelectorAll('p,td,th,dt,dd,h1,h2,.chart text')].map(each => {
  const own = luminance(getComputedStyle(each)[each.ownerSVGElement ? 'fill' : 'color']);
  return [(Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05), each.textContent];
});
"""


@functools.cache
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    unittest.addModuleCleanup(driver.quit)
    return driver


@unittest.skipUnless(HAS_PLOTS and HAS_BROWSER, "not installed: matplotlib, selenium, chromium or chromium-driver; "
                                                "launch/setup --tools installs them")
class Page(unittest.TestCase):
    def open(self, page, size, theme="light"):
        width, height = size
        driver = browser()
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
        driver.get_log("browser")
        driver.get(page.as_uri())
        self.assertEqual(driver.get_log("browser"), [])
        self.assertEqual(driver.execute_script("return performance.getEntriesByType('resource').map(each => each.name)"
                                               ".filter(each => !each.startsWith('data:'))"), [])
        self.assertEqual(driver.execute_script("return innerWidth"), width)
        return driver

    def expect_legible(self, page):
        for size in (PHONE, DESK):
            with self.subTest(width=size[0]):
                driver = self.open(page, size)
                self.assertLessEqual(driver.execute_script("return document.documentElement.scrollWidth"), size[0])
                self.assertGreater(driver.execute_script("return document.querySelectorAll('.chart').length"), 0)
                self.assertTrue(driver.execute_script("return document.fonts.check('12px \"DejaVu Sans\"')"))
                self.assertEqual(driver.execute_script(FAULTS), [])

    def test_a_study_of_workers_is_legible(self):
        self.expect_legible(page_of(sample))

    def test_a_study_to_many_workers_is_legible(self):
        self.expect_legible(page_of(sample, (1, 2, 4, 8, 16, 32, 64)))

    def test_a_study_of_accuracy_is_legible(self):
        page = page_of(trained)
        self.assertIn('<section id="accuracy">', page.read_text())
        self.expect_legible(page)

    def test_text_stands_out_in_light_and_in_dark(self):
        page = page_of(sample)
        backgrounds = set()
        for theme in ("light", "dark"):
            driver = self.open(page, DESK, theme)
            backgrounds.add(driver.execute_script("return getComputedStyle(document.body).backgroundColor"))
            faint = [found for found in driver.execute_script(CONTRASTS) if found[0] < 3]
            self.assertEqual(faint, [], theme)
        self.assertEqual(len(backgrounds), 2)


if __name__ == "__main__":
    unittest.main()
