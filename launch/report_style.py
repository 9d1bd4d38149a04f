"""How launch/report's charts look: colours in light and dark, sizes in pixels, and the way of a figure into the page.

A chart is drawn twice, for a wide and for a narrow page, and never scaled down: its text has the size it says. It is
drawn in the light colours; in the page every one of them is a variable that the dark theme sets otherwise.
"""

import base64
import functools
import io
import re

import matplotlib
import matplotlib.font_manager
from fontTools import subset
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

# name: (light, dark). All light ones differ, so that each can be told from the others in a drawing.
COLOURS = {
    "surface": ("#ffffff", "#16191d"), "ink": ("#1b1f24", "#e8ebef"), "muted": ("#5a6470", "#a3adb8"),
    "grid": ("#e4e7eb", "#2c323a"), "axis": ("#b8c0c9", "#4b545f"),
    "blue": ("#2a78d6", "#3987e5"), "orange": ("#eb6834", "#e0703f"), "green": ("#1b9e77", "#1faa80"),
    "violet": ("#5f4bb6", "#9085e9"), "pink": ("#d6619a", "#d55181"), "yellow": ("#d99a00", "#d9a520"),
    "red": ("#cf3f3f", "#e66767"), "teal": ("#177e89", "#3aa6b2"),
    "sky": ("#8db9ee", "#a3c8f5"), "navy": ("#1b4a8c", "#2460b4"),
    "idle": ("#c9d0d8", "#59636f"), "rest": ("#9aa4b0", "#7f8a97"),
}
SERIES = ("blue", "orange", "green", "violet", "pink", "yellow", "red", "teal")
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
WIDE, NARROW = 860, 350  # pixels
TEXT = 12.5
FONT = "DejaVu Sans"  # comes with the plotting library; the page carries the letters that it needs

matplotlib.rcParams.update({
    "font.family": FONT, "font.size": TEXT, "svg.fonttype": "none", "figure.dpi": 72,
    "axes.edgecolor": COLOURS["axis"][0], "axes.labelcolor": COLOURS["muted"][0], "axes.labelsize": TEXT,
    "axes.titlesize": 13.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlecolor": COLOURS["ink"][0],
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": COLOURS["grid"][0], "grid.linewidth": 1, "text.color": COLOURS["ink"][0],
    "xtick.color": COLOURS["axis"][0], "xtick.labelcolor": COLOURS["muted"][0], "xtick.labelsize": TEXT - 0.5,
    "ytick.color": COLOURS["axis"][0], "ytick.labelcolor": COLOURS["muted"][0], "ytick.labelsize": TEXT - 0.5,
    "figure.facecolor": "none", "axes.facecolor": "none",
})


def light(name):
    return COLOURS[name][0]


def series_style(number):
    """(colour's name, dashes): first the colours, then the same again with dashes."""
    return SERIES[number % len(SERIES)], DASHES[number // len(SERIES) % len(DASHES)]


def new_figure(width, height):
    return Figure(figsize=(width / 72, height / 72))


def add_axes(figure, left, top, width, height):
    """Axes by pixels from the figure's upper left corner."""
    figure_width, figure_height = (72 * each for each in figure.get_size_inches())
    return figure.add_axes((left / figure_width, 1 - (top + height) / figure_height, width / figure_width,
                            height / figure_height))


def add_legend(figure, entries):
    """Above the figure, of [(name, colour, dashes)]; "bar" for dashes is a filled area."""
    handles = [Patch(color=light(colour)) if dashes == "bar" else
               Line2D([], [], color=light(colour), linestyle=dashes, linewidth=2.2) for _, colour, dashes in entries]
    widest = max(text_width(name) for name, *_ in entries) + 50
    figure.legend(handles, [name for name, *_ in entries], loc="lower left", bbox_to_anchor=(0, 1), frameon=False,
                  ncols=max(1, min(len(entries), int(72 * figure.get_size_inches()[0] // widest))), borderaxespad=0)


@functools.cache
def text_width(text, size=TEXT, weight="normal"):
    """In pixels, as drawn."""
    properties = matplotlib.font_manager.FontProperties(family=FONT, size=size, weight=weight)
    return TextPath((0, 0), text, prop=properties).get_extents().width if text.strip() else 0


def shortened(text, width, size=TEXT):
    """The text, its end cut off where it would be wider than that many pixels."""
    while len(text) > 2 and text_width(text, size) > width:
        text = text.removesuffix("…")[:-1] + "…"
    return text


def to_svg(figure, name):
    """An <svg> element that takes the page's colours; `name` keeps its ids apart from other drawings'."""
    matplotlib.rcParams["svg.hashsalt"] = name
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg"):].strip()
    width, height = (round(72 * each) for each in figure.get_size_inches())
    svg = re.sub(r"<svg [^>]*>", f'<svg viewBox="0 0 {width} {height}" aria-hidden="true" focusable="false">', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"""(xlink:href="#|url\(#)""", rf"\1{name}-", svg).replace("xlink:href", "href")
    for colour, (value, _) in COLOURS.items():
        svg = svg.replace(value, f"var(--{colour})")
    return svg


def font_face(text):
    """CSS that brings the charts' font, with no more than the letters of the text."""
    faces = []
    for weight in ("normal", "bold"):
        path = matplotlib.font_manager.findfont(matplotlib.font_manager.FontProperties(family=FONT, weight=weight))
        options = subset.Options(flavor="woff", layout_features=["kern"], notdef_outline=True, recalc_timestamp=False)
        options.drop_tables.append("FFTM")  # when it was made
        font = subset.load_font(path, options)
        subsetter = subset.Subsetter(options)
        subsetter.populate(text=text)
        subsetter.subset(font)
        stream = io.BytesIO()
        subset.save_font(font, stream, options)
        data = base64.b64encode(stream.getvalue()).decode()
        faces.append(f'@font-face{{font-family:"{FONT}";font-weight:{weight};'
                     f'src:url(data:font/woff;base64,{data}) format("woff")}}')
    return "\n".join(faces)
