"""What a study's folder says, as launch/report needs it: cells with their runs, and how they compare."""

import json
import statistics
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


class ReportError(Exception):
    """One line: what was expected, what was found, where."""


@dataclass(frozen=True)
class Spread:
    lowest: float
    median: float
    highest: float


@dataclass
class Cell:
    """One combination of the axes, with its finished runs and the error of one that failed."""
    name: str
    axes: dict
    rows: list = field(default_factory=list)
    error: str = ""

    def spread(self, key):
        """Over the runs; nothing where none has the value."""
        values = [row[key] for row in self.rows if row.get(key) is not None]
        return Spread(min(values), statistics.median(values), max(values)) if values else None

    @cached_property
    def typical(self):
        """The run of median throughput."""
        ordered = sorted(self.rows, key=lambda row: row.get("images_per_s") or 0)
        return ordered[(len(ordered) - 1) // 2]

    @property
    def throughput(self):
        """Images/s; 0 where the runs do not tell, or were too short to."""
        spread = self.spread("images_per_s")
        return spread.median if spread else 0

    @property
    def workers(self):
        """How many; nothing where the runs do not tell."""
        return self.typical.get("num_workers") if self.rows else None


def phrase(axis, value):
    """A value of an axis in words: "2 workers", "batch 256", "dgl"."""
    noun = axis.rpartition(".")[2].replace("_", " ")
    if not value.replace(".", "", 1).isdigit():
        return value
    if noun.endswith("s"):
        return f"{value} {noun[:-1] if value == '1' else noun}"
    return f"{noun} {value}"


@dataclass
class Study:
    folder: Path
    title: str
    axes: list
    cells: list  # those with finished runs
    failed: list
    to_accuracy: float | None = None

    @cached_property
    def varying(self):
        """The axes on which the finished cells differ."""
        return [axis for axis in self.axes if len({cell.axes[axis] for cell in self.cells}) > 1]

    @cached_property
    def worker_axis(self):
        """The axis whose values are numbers of workers, if there is one."""
        for axis in self.varying:
            counts = {}
            for cell in self.cells:
                counts.setdefault(cell.axes[axis], set()).add(cell.workers)
            known = [next(iter(each)) for each in counts.values() if len(each) == 1]
            if "worker" in axis and None not in known and len(set(known)) == len(counts):
                return axis
        return None

    @cached_property
    def panel_axis(self):
        """The axis of networks, which have a chart of their own each: their speeds do not compare."""
        for axis in self.varying:
            nets = {}
            for cell in self.cells:
                nets.setdefault(cell.axes[axis], set()).add(cell.typical.get("config", {}).get("model.backbone"))
            if all(len(each) == 1 for each in nets.values()) and len(set.union(*nets.values())) > 1:
                return axis
        return None

    def panels(self):
        """[(title, cells)]: one a network, or one of all."""
        if not self.panel_axis:
            return [("", self.cells)]
        values = dict.fromkeys(cell.axes[self.panel_axis] for cell in self.cells)
        return [(value, [cell for cell in self.cells if cell.axes[self.panel_axis] == value]) for value in values]

    def label(self, cell, without=()):
        """The cell by what sets it apart, e.g. "dgl · 2 workers"."""
        words = [phrase(axis, cell.axes[axis]) for axis in self.varying if axis not in without]
        return " · ".join(words) or cell.name

    def series_of(self, cell):
        """What the cell shares with those that differ in workers or network alone."""
        return self.label(cell, (self.panel_axis, self.worker_axis)) if self.varying else cell.name

    @cached_property
    def series(self):
        """All of them, in the study's order: a series has the same colour in every chart."""
        return list(dict.fromkeys(self.series_of(cell) for cell in self.cells))

    def by_workers(self, cells):
        """{series: {number of workers: cell}}, of the cells that tell their throughput."""
        found = {}
        for cell in cells:
            if cell.throughput:
                found.setdefault(self.series_of(cell), {})[cell.workers] = cell
        return {series: dict(sorted(cells.items())) for series, cells in found.items()}

    def traces(self):
        """[(label, file)] of the runs that left a timeline."""
        found = [(self.label(cell), path) for cell in self.cells
                 for path in sorted(self.folder.glob(f"{cell.name}/repeat-*/trace.json"))[:1]]
        own = self.folder / "trace.json"
        return ([("", own)] if own.exists() else []) + found


def read_text(path):
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ReportError(f"{path}: expected the results of `lamina study`, found no such file") from None
    except UnicodeDecodeError as error:
        raise ReportError(f"{path}: expected UTF-8, found {error}") from None


def read_lines(path):
    lines = read_text(path).splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not (isinstance(row, dict) and {"cell", "axes", "state"} <= row.keys() and isinstance(row["axes"], dict)):
            raise ReportError(f"{path}:{number}: expected a row of a study, found {line[:60]!r}")
        yield row


def read_description(path):
    """What study.json says, and {name: cell} of it, without runs; nothing where there is none."""
    if not path.exists():
        return {}, {}
    try:
        about = json.loads(read_text(path))
        return about, {each["name"]: Cell(each["name"], dict(each["axes"])) for each in about.get("cells", [])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{path}: expected the description of a study, found {error!r}") from None


def load(folder):
    rows = list(read_lines(folder / "results.jsonl"))
    about, cells = read_description(folder / "study.json")
    for row in rows:
        cell = cells.setdefault(row["cell"], Cell(row["cell"], row["axes"]))
        if row["state"] == "done":
            cell.rows.append(row)
        else:
            cell.error = row.get("error", "")
    finished = [cell for cell in cells.values() if cell.rows]
    if not finished:
        raise ReportError(f"{folder / 'results.jsonl'}: expected a finished run or more, found none")
    # Results may be joined of studies with different axes.
    axes = list(dict.fromkeys([*(about.get("axes") or []), *(axis for cell in finished for axis in cell.axes)]))
    for cell in finished:
        cell.axes = {axis: cell.axes.get(axis, "–") for axis in axes}
    return Study(folder, about.get("title", folder.name), axes, finished,
                 [cell for cell in cells.values() if cell.error], about.get("to_accuracy"))
