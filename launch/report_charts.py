"""The charts of launch/report: throughput, efficiency, time, memory, accuracy, a timeline."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

import report_style as style
from report_bars import Bar, Group, bar_panels
from report_data import Spread

LEFT, TOP, BOTTOM, GAP = 52, 46, 48, 28  # of a panel with axes, pixels
STEPS = [1, 2, 2.5, 5, 10]  # of an axis's numbers
IDEAL = ("ideal", "rest", (0, (3, 3)))


@dataclass
class Chart:
    key: str  # also the file's name
    title: str
    caption: str
    draw: Callable  # figure of a width
    legend: list = field(default_factory=list)  # [(name, colour, dashes)]
    description: str = ""  # for who cannot see it


def number(value, digits=3):
    """With so many digits that count, and thousands set apart: 1,234, 56.7, 0.891."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def percent(value):
    return f"{100 * value:.0f} %" if value >= 0.995 or value < 0.0005 else f"{100 * value:.1f} %"


def grid_of(panels, width, height):
    """(figure, axes): panels side by side where there is room for it, else one below the other."""
    columns = 2 if len(panels) > 1 and width >= 600 else 1
    panel_width = (width - GAP * (columns - 1)) / columns
    figure = style.new_figure(width, height * math.ceil(len(panels) / columns))
    axes = [style.add_axes(figure, LEFT + (panel_width + GAP) * (i % columns), TOP + height * (i // columns),
                           panel_width - LEFT - 10, height - TOP - BOTTOM) for i in range(len(panels))]
    return figure, axes, panel_width - LEFT - 10


def spread_apart(wanted, least, lowest, highest):
    """Positions near the wanted ones, in their order, that keep a distance, between two bounds if they fit."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = []
    for i in order:
        placed.append(max(wanted[i], placed[-1] + least if placed else lowest))
    limit = highest
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - least
    return {i: position for i, position in zip(order, placed, strict=True)}


def label_ends(axes, ends):
    """Names behind the last points of lines, [(x, y, name, colour)], none over another."""
    to_pixels = axes.transData.transform  # points, at the resolution at which everything is laid out
    pixels = spread_apart([to_pixels((x, y))[1] for x, y, *_ in ends], style.TEXT + 3, *axes.bbox.intervaly)
    for i, (x, y, name, colour) in enumerate(ends):
        axes.annotate(name, (x, y), (10, pixels[i] - to_pixels((x, y))[1]), "data", "offset points", va="center",
                      color=style.light(colour), fontsize=style.TEXT - 0.5, annotation_clip=False)


def name_y(axes, title, unit):
    """What the y axis shows, upright above it, under the panel's title: no number pushes it aside."""
    axes.set_title(title, pad=20)
    axes.annotate(unit, (0, 1), (0, 6), "axes fraction", "offset points", color=style.light("muted"),
                  fontsize=style.TEXT - 0.5)


def scale_workers(axes, counts, axes_width, room):
    """x: the numbers of workers, by powers of two if they are far apart; with so many pixels of room on the right."""
    wide_range = counts[-1] / counts[0] > 8
    first, last = (math.log2(each) if wide_range else each for each in (counts[0], counts[-1]))
    pad = max(0.06 * (last - first), 0.1)
    reach = last + (last - first + pad) * room / (axes_width - room)
    if wide_range:
        axes.set_xscale("log", base=2)
        axes.set_xlim(2 ** (first - pad), 2**reach)
    else:
        axes.set_xlim(first - pad, reach)
    axes.set_xlabel("workers")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.grid(visible=False, axis="x")


def lines_over_workers(study, width, unit, spreads_of, ideal_of, log_y):
    """A line a series over the numbers of workers: spreads_of({workers: cell}), beside ideal_of(the same)."""
    panels = study.panels()
    counts = sorted({cell.workers for cell in study.cells})
    figure, all_axes, axes_width = grid_of(panels, width, 330)
    direct = width >= 600
    room = max(style.text_width(series) for series in study.series) + 14 if direct else 12
    for axes, (title, cells) in zip(all_axes, panels, strict=True):
        ends = []
        for series, by_count in study.by_workers(cells).items():
            colour, dashes = style.series_style(study.series.index(series))
            x, spreads = list(by_count), spreads_of(by_count)
            y = [each.median for each in spreads]
            if len(x) > 1:
                axes.plot(x, ideal_of(by_count), color=style.light("rest"), linewidth=1.2, linestyle=(0, (3, 3)), zorder=2)
            axes.errorbar(x, y, [[s.median - s.lowest for s in spreads], [s.highest - s.median for s in spreads]],
                          color=style.light(colour), linestyle=dashes, linewidth=2.2, marker="o", markersize=6.5,
                          elinewidth=1.5, capsize=3.5, zorder=3)
            ends.append((x[-1], y[-1], series, colour))
        name_y(axes, title, unit)
        scale_workers(axes, counts, axes_width, room)
        if log_y:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.set_ylim(0, None)
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}" if value < 10000 else f"{value:,.0f}"))
        if direct:
            label_ends(axes, ends)
    return figure


def throughput_over_workers(study):
    counts = [cell.workers for cell in study.cells]
    if not any(cell.throughput for cell in study.cells):
        return None

    def draw(width):
        return lines_over_workers(
            study, width, "images/s", lambda by_count: [cell.spread("images_per_s") for cell in by_count.values()],
            lambda by_count: [throughput_a_worker(by_count) * count for count in by_count], max(counts) / min(counts) > 8)

    return Chart("throughput", "Throughput against workers",
                 "Median of the runs, with the lowest and the highest. Dashed: the ideal, as many times the throughput as "
                 "there are times the fewest workers.", draw, [*series_legend(study), IDEAL],
                 described(study, "images_per_s", "images/s"))


def throughput_a_worker(by_count):
    """On the fewest workers, of {workers: cell}."""
    fewest, cell = next(iter(by_count.items()))
    return cell.throughput / fewest


def series_legend(study):
    return [(series, *style.series_style(i)) for i, series in enumerate(study.series)]


def described(study, key, unit):
    found = [(study.label(cell), cell.spread(key)) for cell in study.cells]
    return "; ".join(f"{label}: {number(spread.median)} {unit}" for label, spread in found if spread)


def bars_of(study, key, text, colour_of):
    """A group a cell, of one bar with its spread."""
    panels = []
    for title, cells in study.panels():
        groups = []
        for cell in cells:
            spread = cell.spread(key)
            if spread:
                groups.append(Group(study.label(cell, (study.panel_axis,)),
                                    [Bar("", [(spread.median, colour_of(cell))], text(spread), spread)]))
        panels.append((title, groups))
    return panels


def colour_by_series(study):
    return lambda cell: style.series_style(study.series.index(study.series_of(cell)))[0]


def throughput_by_cell(study):
    panels = bars_of(study, "images_per_s", lambda s: f"{number(s.median)}", colour_by_series(study))
    if not any(cell.throughput for cell in study.cells):
        return None
    return Chart("throughput", "Throughput", "Median of the runs, with the lowest and the highest.",
                 lambda width: bar_panels(panels, width, "images/s"), description=described(study, "images_per_s", "images/s"))


def scaling_efficiency(study):
    """Of every series with runs on several numbers of workers: throughput a worker, of that on the fewest."""
    def value(by_count, count):
        return by_count[count].throughput / count / throughput_a_worker(by_count)

    series = [(title, study.by_workers(cells)) for title, cells in study.panels()]
    panels = [(title, [Group(name, [Bar(f"{count}", [(value(by_count, count), series_colour(study, name))],
                                        percent(value(by_count, count))) for count in list(by_count)[1:]])
                       for name, by_count in all_of.items() if len(by_count) > 1]) for title, all_of in series]
    if not any(groups for _, groups in panels):
        return None
    caption = "Throughput a worker, of that on the fewest workers. It falls short where stages are unequal, wait, or share the "
    if not many_counts(study):
        return Chart("efficiency", "Scaling efficiency",
                     f"{caption}machine. Beside each bar stands the number of workers; the dashed line is the ideal.",
                     lambda width: bar_panels(panels, width, "of the ideal", mark=1.0, formatter=percent))

    def spreads_of(by_count):
        return [Spread(*[100 * value(by_count, count)] * 3) for count in by_count]

    return Chart("efficiency", "Scaling efficiency", f"{caption}machine.",
                 lambda width: lines_over_workers(study, width, "% of the ideal", spreads_of,
                                                  lambda by_count: [100] * len(by_count), False),
                 [*series_legend(study), IDEAL])


def series_colour(study, name):
    return style.series_style(study.series.index(name))[0]


def many_counts(study):
    """Whether there are more numbers of workers than bars can show."""
    return len({cell.workers for cell in study.cells}) > 3


def pipeline_efficiency(study):
    if not all(cell.spread("pipeline_efficiency") for cell in study.cells):
        return None
    caption = ("Throughput, of what the slowest worker's stages reach by themselves: what is missing is bubbles and waiting. "
               "Above 100 %, the machine was slower while the stages ran by themselves.")
    description = described(study, "pipeline_efficiency", "")
    if study.worker_axis and many_counts(study):
        def spreads_of(by_count):
            spreads = [cell.spread("pipeline_efficiency") for cell in by_count.values()]
            return [Spread(100 * s.lowest, 100 * s.median, 100 * s.highest) for s in spreads]

        return Chart("pipeline-efficiency", "Pipeline efficiency", caption,
                     lambda width: lines_over_workers(study, width, "% of 1/(slowest worker)", spreads_of,
                                                      lambda by_count: [100] * len(by_count), False),
                     [*series_legend(study), IDEAL], description)
    panels = bars_of(study, "pipeline_efficiency", lambda s: percent(s.median), colour_by_series(study))
    return Chart("pipeline-efficiency", "Pipeline efficiency", caption,
                 lambda width: bar_panels(panels, width, "of 1/(slowest worker)", mark=1.0, formatter=percent),
                 description=description)


def curves(study):
    """Test accuracy over steps and over time, a line a run; nothing where nothing was trained."""
    trained = [cell for cell in study.cells if any(row.get("curve") for row in cell.rows)]
    if not trained:
        return None
    longest = max(row["curve"][-1][1] for cell in trained for row in cell.rows if row.get("curve"))
    unit, seconds = ("hours", 3600) if longest > 7200 else ("minutes", 60) if longest > 120 else ("seconds", 1)
    axes_of = [("by step", "step", 0, 1), ("by time", f"training time, {unit}", 1, seconds)]
    names = [study.label(cell) for cell in trained]

    def draw(width):
        figure, all_axes, _ = grid_of(axes_of, width, 330)
        for axes, (title, x_label, column, scale) in zip(all_axes, axes_of, strict=True):
            for i, cell in enumerate(trained):
                colour, dashes = style.series_style(i)
                for row in cell.rows:
                    points = row.get("curve") or []
                    axes.plot([point[column] / scale for point in points], [100 * point[2] for point in points],
                              color=style.light(colour), linestyle=dashes, linewidth=1.8, marker="o", markersize=3.5)
            if study.to_accuracy:
                axes.axhline(100 * study.to_accuracy, color=style.light("rest"), linewidth=1.2, linestyle=(0, (3, 3)))
            name_y(axes, title, "test accuracy, %")
            axes.set_xlabel(x_label)
            axes.set_xlim(0, None)
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
        return figure

    target = f" The dashed line is the accuracy of interest, {100 * study.to_accuracy:g} %." if study.to_accuracy else ""
    return Chart("accuracy", "Accuracy while training", f"After every evaluation, a line a run.{target}", draw,
                 [(name, *style.series_style(i)) for i, name in enumerate(names)],
                 described(study, "test_accuracy", ""))
