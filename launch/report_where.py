"""The charts of launch/report that tell where time and memory go: bars by worker and by stage, and a timeline."""

import json
import math
from collections import defaultdict

from matplotlib.ticker import FuncFormatter, MaxNLocator

import report_style as style
from report_bars import Bar, Group, bar_panels
from report_charts import STEPS, Chart, many_counts, number, percent
from report_data import ReportError

# As benchmarks, training runs and traces call it: (in words, colour).
SHARES = {
    "compute": ("compute", "blue"),
    "wait for input": ("waiting for input", "yellow"), "wait input": ("waiting for input", "yellow"),
    "wait for room": ("waiting for room", "orange"), "wait room": ("waiting for room", "orange"),
    "send": ("send", "red"),
    "wait for replicas": ("replicas", "violet"), "replicas": ("replicas", "violet"),
    "snapshot": ("snapshots", "green"),
    "checkpoint": ("checkpoints", "pink"),
    "report": ("report", "teal"),
    "idle": ("idle", "idle"),
    "unaccounted": ("unaccounted", "rest"),
}
# What a worker computes, as traces call it; the turns of an end-to-end schedule are told apart.
TURNS = {"compute": SHARES["compute"], "forward": ("forward", "sky"), "backward": ("backward", "navy"),
         "update": ("update", "muted")}
MOST_BARS = 8  # shown of a cell


def share_of(name):
    return SHARES.get(name, (name, "red"))


def shares_of(worker):
    """Of its time; without those that a run did not tell, as null."""
    return {name: share for name, share in (worker.get("share_of_time") or {}).items() if share is not None}


def worker_bars(cell):
    workers = cell.typical.get("workers") or []
    if not any(map(shares_of, workers)):
        return []
    bars = []
    for i, worker in enumerate(workers[:MOST_BARS]):
        shares = shares_of(worker)
        parts = [(max(0.0, shares[name]), share_of(name)[1]) for name in [*SHARES, *sorted(shares.keys() - SHARES.keys())]
                 if name in shares]
        bars.append(Bar(f"{i}", parts, percent(shares.get("compute", 0)) if shares else "–"))
    return bars


def by_cell(study, bars_of):
    return [(title, [Group(study.label(cell, (study.panel_axis,)), bars) for cell in cells if (bars := bars_of(cell))])
            for title, cells in shown_panels(study)]


def shown_panels(study):
    """All cells; of a series on many numbers of workers the one on the most."""
    if not (study.worker_axis and many_counts(study)):
        return study.panels()
    return [(title, [list(by_count.values())[-1] for by_count in study.by_workers(cells).values()])
            for title, cells in study.panels()]


def left_out(study, what):
    """A sentence for the caption."""
    most = max(len(cell.typical.get("workers") or []) for cell in study.cells)
    return f" Of each cell the first {MOST_BARS} {what} are shown." if most > MOST_BARS else ""


def time_of_workers(study):
    panels = by_cell(study, worker_bars)
    if not any(groups for _, groups in panels):
        return None
    seen = [name for cell in study.cells for worker in cell.typical.get("workers") or []
            for name, value in shares_of(worker).items() if value >= 0.001]
    legend = [(*share_of(name), "bar") for name in sorted(set(seen), key=lambda name: [*SHARES, name].index(name))]
    return Chart("time", "Where each worker's time goes",
                 "A bar a worker, of the run of median throughput; behind it the share of computing. The stream's first fill "
                 "and its end count, so a short run waits and idles more than a long one." + left_out(study, "workers"),
                 lambda width: bar_panels(panels, width, "of a worker's time", formatter=percent, most=1.0),
                 list(dict.fromkeys(legend)))


def stage_bars(cell):
    """The most that the tensors of a stage's step take, with the stage's own modules and shadows."""
    stages = defaultdict(float)
    for module in cell.typical.get("memory") or []:
        stages[module["stage"]] = max(stages[module["stage"]], module["peak_mib"])
    return [Bar(f"{stage}", [(mib, "blue")], f"{number(mib)} MiB") for stage, mib in sorted(stages.items())[:MOST_BARS]]


def memory_of_stages(study):
    panels = by_cell(study, stage_bars)
    if any(groups for _, groups in panels):
        return Chart("memory", "Memory of each stage",
                     "A bar a stage: the most that its tensors take in a training step. What a process takes as a whole stands "
                     "in the table." + left_out(study, "stages"), lambda width: bar_panels(panels, width, "MiB"))
    panels = by_cell(study, lambda cell: [Bar("", [(cell.spread("peak_rss_mib").median, "blue")],
                                              f"{number(cell.spread('peak_rss_mib').median)} MiB")]
                     if cell.spread("peak_rss_mib") else [])
    if not any(groups for _, groups in panels):
        return None
    return Chart("memory", "Memory", "The most that a process of the run has had resident.",
                 lambda width: bar_panels(panels, width, "MiB"))


MOST_EVENTS = 48  # of a worker, in a timeline


def action_of(event):
    """What a trace's event is: (in words, colour). Its category tells what its time counts to, its name begins with the turn."""
    category = event.get("cat", "other")
    if category == "compute":
        return TURNS.get(event["name"].partition(" ")[0], SHARES["compute"])
    return share_of(category.replace("_", " "))


def read_trace(path):
    """{(process, thread): (name, [(start, end, action)])} in milliseconds, of Chrome's trace events."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        events = content["traceEvents"] if isinstance(content, dict) else content
        names, rows = {}, defaultdict(list)
        for event in events:
            lane = (event.get("pid", 0), event.get("tid", 0))
            if event["ph"] == "M" and event["name"] in ("thread_name", "process_name"):
                key = lane if event["name"] == "thread_name" else lane[0]
                names[key] = event["args"]["name"]
            elif event["ph"] == "X":
                start = event["ts"] / 1e3
                rows[lane].append((start, start + event.get("dur", 0) / 1e3, action_of(event)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{path}: expected Chrome's trace events, found {error!r}") from None
    lanes_of = defaultdict(int)
    for process, _ in rows:
        lanes_of[process] += 1
    return {lane: (names.get(lane[0] if lanes_of[lane[0]] == 1 and lane[0] in names else lane)
                   or f"{lane[0]}.{lane[1]}", sorted(events)) for lane, events in sorted(rows.items())}


def actions_of(rows):
    """All of a trace, in the order of the bars of shares."""
    order = list(dict.fromkeys([*TURNS.values(), *SHARES.values()]))
    found = {action for _, events in rows.values() for *_, action in events}
    return sorted(found, key=lambda action: (order.index(action) if action in order else len(order), action))


def middle_of(rows):
    """The part of a trace that is shown: past its beginning, with so many events a worker that each is seen."""
    begin = min(events[0][0] for _, events in rows.values())
    end = max(event[1] for _, events in rows.values() for event in events)
    most = max(len(events) for _, events in rows.values())
    length = (end - begin) * min(1.0, MOST_EVENTS / most)
    first = begin + (end - begin - length) / 2
    return first, first + length


def draw_timeline(rows, begin, end, width):
    row_height, left = 26, 8 + max(style.text_width(name, style.TEXT - 0.5) for name, _ in rows.values())
    left = min(left, width / 3)
    height = 8 + row_height * len(rows) + 44
    figure = style.new_figure(width, height)
    axes = style.add_axes(figure, left, 8, width - left - 12, row_height * len(rows))
    actions = actions_of(rows)
    for i, (_, events) in enumerate(rows.values()):
        for action in actions:
            spans = [(max(start, begin) - begin, min(stop, end) - max(start, begin)) for start, stop, its in events
                     if its == action and stop > begin and start < end]
            axes.broken_barh(spans, (i + 0.14, 0.72), facecolors=style.light(action[1]), linewidth=0)
    axes.set_xlim(0, end - begin)
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([i + 0.5 for i in range(len(rows))],
                    [style.shortened(name, left - 8, style.TEXT - 0.5) for name, _ in rows.values()])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("ms")
    axes.xaxis.set_major_locator(MaxNLocator(max(3, math.floor(width / 110)), steps=STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    return figure


def timeline(study):
    traces = study.traces()
    if not traces:
        return None
    label, path = traces[-1]
    rows = read_trace(path)
    if not rows:
        return None
    begin, end = middle_of(rows)
    of = f" of {label}" if label else ""
    return Chart("timeline", "Timeline", f"What every worker does{of}, {number(end - begin)} ms from the middle of the run. "
                 f"All of it is in {path.relative_to(study.folder)}, which Perfetto opens.",
                 lambda width: draw_timeline(rows, begin, end, width), [(*action, "bar") for action in actions_of(rows)])
