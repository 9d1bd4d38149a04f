"""Horizontal bars in groups, each under its name: no name is ever turned, cut off or far from its bars."""

import math
from dataclasses import dataclass

from matplotlib.ticker import FuncFormatter, MaxNLocator

import report_style as style

NAME, BAR, BETWEEN, AFTER = 19, 17, 4, 11  # heights, pixels
TITLE, BOTTOM, COLUMN_GAP = 28, 44, 36


@dataclass
class Bar:
    name: str  # left of it; may be empty
    parts: list  # [(value, colour's name)], stacked
    text: str = ""  # right of it
    spread: object = None  # drawn as a whisker


@dataclass
class Group:
    name: str
    bars: list


def height_of(groups):
    return sum(NAME + len(group.bars) * (BAR + BETWEEN) + AFTER for group in groups)


def room_for(texts):
    return max((style.text_width(text, style.TEXT - 0.5) for text in texts), default=0)


def bar_panels(panels, width, x_label, mark=None, formatter=None, most=None):
    """A figure of [(title, groups)]; x runs to `most`, if not given to what all of a panel's bars need."""
    panels = [(title, groups) for title, groups in panels if groups]
    columns = 2 if len(panels) > 1 and width >= 600 else 1
    rows = [panels[i:i + columns] for i in range(0, len(panels), columns)]
    above = TITLE if any(title for title, _ in panels) else 4
    heights = [above + max(height_of(groups) for _, groups in row) + BOTTOM for row in rows]
    figure = style.new_figure(width, sum(heights))
    panel_width = (width - COLUMN_GAP * (columns - 1)) / columns
    for r, row in enumerate(rows):
        for c, (title, groups) in enumerate(row):
            draw_panel(figure, c * (panel_width + COLUMN_GAP), sum(heights[:r]) + above, panel_width, title, groups, x_label, mark,
                       formatter, most)
    return figure


def draw_panel(figure, left, top, width, title, groups, x_label, mark, formatter, most):
    bars = [bar for group in groups for bar in group.bars]
    names = room_for(bar.name for bar in bars)
    names += 8 if names else 0
    behind = room_for(bar.text for bar in bars) + 14
    drawn_height = height_of(groups)
    axes_width = width - names - 2
    axes = style.add_axes(figure, left + names + 1, top, axes_width, drawn_height)
    longest = most or max([bar.spread.highest if bar.spread else sum(value for value, _ in bar.parts) for bar in bars]
                          + ([mark] if mark else [])) or 1
    reach = longest * axes_width / (axes_width - behind)
    axes.set_xlim(0, reach)
    axes.set_ylim(drawn_height, 0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    if title:
        axes.set_title(title, x=-names / axes_width)
    if mark:
        axes.axvline(mark, color=style.light("rest"), linewidth=1.2, linestyle=(0, (3, 3)), zorder=1)
    draw_groups(axes, groups, (width - 4, names, axes_width, reach))
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_locator(MaxNLocator(max(2, min(6, math.floor(axes_width / 70))), steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %" if formatter else f"{value:,.4g}"))
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= longest * 1.001])
    if not names:
        axes.get_xticklabels()[0].set_horizontalalignment("left")  # it stands at the figure's edge


def draw_groups(axes, groups, sizes):
    width, names, axes_width, reach = sizes
    pixel = reach / axes_width
    y = 0
    for group in groups:
        axes.text(-names * pixel, y + NAME / 2, style.shortened(group.name, width), va="center", fontsize=style.TEXT,
                  bbox={"facecolor": style.light("surface"), "edgecolor": "none", "pad": 1})
        y += NAME
        for bar in group.bars:
            draw_bar(axes, bar, y + BAR / 2, pixel)
            y += BAR + BETWEEN
        y += AFTER


def draw_bar(axes, bar, y, pixel):
    small = style.TEXT - 0.5
    if bar.name:
        axes.text(-7 * pixel, y, bar.name, va="center", ha="right", color=style.light("muted"), fontsize=small)
    end = 0
    for value, colour in bar.parts:
        axes.barh(y, value, BAR, left=end, color=style.light(colour), linewidth=0, zorder=2)
        end += value
    if bar.spread:
        axes.plot([bar.spread.lowest, bar.spread.highest], [y, y], color=style.light("ink"), linewidth=1.4, marker="|",
                  markersize=7, zorder=3)
        end = max(end, bar.spread.highest)
    axes.text(end + 7 * pixel, y, bar.text, va="center", color=style.light("ink"), fontsize=small,
              bbox={"facecolor": style.light("surface"), "edgecolor": "none", "pad": 1})
