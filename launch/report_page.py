"""The page of launch/report: charts, tables and style in one HTML file without a script and without a request."""

import html

import report_charts
import report_style as style
import report_where
from report_charts import number, percent, throughput_a_worker
from report_data import phrase

PNG_DPI = 216  # three pixels for each of the page's


def charts_of(study):
    """Those that the study has something for."""
    by_workers = bool(study.worker_axis)
    wanted = [report_charts.curves, report_charts.throughput_over_workers if by_workers else report_charts.throughput_by_cell,
              report_charts.scaling_efficiency if by_workers else lambda _: None, report_charts.pipeline_efficiency,
              report_where.time_of_workers, report_where.memory_of_stages, report_where.timeline]
    return [chart for make in wanted if (chart := make(study))]


def write_png(chart, path):
    figure = chart.draw(style.WIDE)
    if len(chart.legend) > 1:
        style.add_legend(figure, chart.legend)
    figure.savefig(path, dpi=PNG_DPI, facecolor=style.light("surface"), metadata={"Software": None}, bbox_inches="tight",
                   pad_inches=0.1)


escape = html.escape


def figure_html(chart):
    drawings = "".join(f'<div class="{name}">{style.to_svg(chart.draw(width), f"{chart.key}-{name}")}</div>'
                       for name, width in (("wide", style.WIDE), ("narrow", style.NARROW)))
    legend = "".join(f"<li>{key_svg(colour, dashes)}{escape(name)}</li>" for name, colour, dashes in chart.legend)
    legend = f'<ul class="legend">{legend}</ul>' if len(chart.legend) > 1 else ""
    label = escape(f"{chart.title}. {chart.description}")
    return (f'<section id="{chart.key}"><h2>{escape(chart.title)}</h2><p class="caption">{escape(chart.caption)}</p>{legend}'
            f'<div class="chart" role="img" aria-label="{label}">{drawings}</div></section>')


def key_svg(colour, dashes):
    if dashes == "bar":
        shape = f'<rect width="12" height="12" y="1" rx="2" fill="var(--{colour})"/>'
        return f'<svg class="key" viewBox="0 0 12 14" width="12" height="14" aria-hidden="true">{shape}</svg>'
    array = "" if dashes == "solid" else f' stroke-dasharray="{" ".join(str(2.2 * each) for each in dashes[1])}"'
    return (f'<svg class="key" viewBox="0 0 26 14" width="26" height="14" aria-hidden="true"><line x1="1" x2="25" y1="7" y2="7" '
            f'stroke="var(--{colour})" stroke-width="2.4"{array}/></svg>')


def spread_html(spread, text):
    if not spread:
        return '<td class="number">–</td>'
    lowest, median, highest = map(text, (spread.lowest, spread.median, spread.highest))
    span = f'<small>{lowest} – {highest}</small>' if lowest != highest else ""
    return f'<td class="number">{median}{span}</td>'


COLUMNS = [("images/s", "images_per_s", number), ("pipeline efficiency", "pipeline_efficiency", percent),
           ("peak of a process, MiB", "peak_rss_mib", lambda value: f"{value:,.0f}"),
           ("accuracy, %", "test_accuracy", lambda value: f"{100 * value:.2f}"),
           ("time to accuracy, s", "seconds_to_accuracy", lambda value: f"{value:,.0f}")]


def results_html(study):
    columns = [column for column in COLUMNS if any(cell.spread(column[1]) for cell in study.cells)]
    axes = study.varying or study.axes[:1]
    head = "".join(f"<th>{escape(axis.rpartition('.')[2])}</th>" for axis in axes)
    head += '<th class="number">runs</th>' + "".join(f'<th class="number">{escape(title)}</th>' for title, *_ in columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell.axes[axis])}</td>" for axis in axes)
                   + f'<td class="number">{len(cell.rows)}</td>'
                   + "".join(spread_html(cell.spread(key), text) for _, key, text in columns) + "</tr>" for cell in study.cells)
    return section("results", "Results", "Median of the runs; below it the lowest and the highest.", table(head, rows))


def failures_html(study):
    if not study.failed:
        return ""
    rows = "".join(f"<tr><td>{escape(cell.name)}</td><td>{escape(cell.error)}</td></tr>" for cell in study.failed)
    return section("failed", "What could not run", "", table("<th>cell</th><th>why</th>", rows))


def configuration_html(study):
    """The keys that all cells share, and those that set them apart."""
    configs = [cell.typical.get("config", {}) for cell in study.cells]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    shared = [key for key in keys if len({config.get(key) for config in configs}) == 1]
    apart = [key for key in keys if key not in shared]
    rows = "".join(f"<tr><td>{escape(key)}</td><td>{escape(configs[0][key])}</td></tr>" for key in shared)
    parts = f"<details><summary>Keys that all cells share: {len(shared)}</summary>{table('<th>key</th><th>value</th>', rows)}</details>"
    if apart:
        head = "<th>cell</th>" + "".join(f"<th>{escape(key)}</th>" for key in apart)
        rows = "".join(f"<tr><td>{escape(study.label(cell))}</td>"
                       + "".join(f"<td>{escape(config.get(key, '–'))}</td>" for key in apart) + "</tr>"
                       for cell, config in zip(study.cells, configs, strict=True))
        parts = f"<details><summary>Keys in which they differ: {len(apart)}</summary>{table(head, rows)}</details>" + parts
    return section("configuration", "Configuration", "", parts)


def table(head, rows):
    return f'<div class="table" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def section(key, title, caption, body):
    caption = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    return f'<section id="{key}"><h2>{escape(title)}</h2>{caption}{body}</section>'


def facts(study):
    """[(what, value)] of where and when this was measured; several where the runs differ."""
    rows = [row for cell in study.cells for row in cell.rows]

    def all_of(get):
        return " / ".join(dict.fromkeys(str(value) for row in rows if (value := get(row)) is not None))

    def machine(row):
        about = row.get("machine") or {}
        memory = f", {about['memory_mib'] / 1024:.0f} GiB" if "memory_mib" in about else ""
        return f"{about['processors']} × {about['processor']}{memory}" if "processor" in about else None

    days = sorted(row["began"][:10] for row in rows if "began" in row)
    versions = all_of(lambda row: row.get("versions", "").replace("\n", ", ") or None)
    return [("cells", f"{len(study.cells)}, {len(rows)} runs" + (f"; {len(study.failed)} could not run" if study.failed else "")),
            ("machine", all_of(machine)), ("versions", versions), ("state of the code", all_of(lambda row: row.get("git"))),
            ("measured", " to ".join(dict.fromkeys(days[:1] + days[-1:])))]


def headlines(study):
    """A sentence or two a network: what is most accurate, what is fastest, and what more workers bring."""
    lines = []
    for title, cells in study.panels():
        found = [line for line in (most_accurate(study, cells), fastest(study, cells)) if line]
        if found:
            line = "; ".join(found) + "."
            lines.append(f"{title}: {line}" if title else line[0].upper() + line[1:])
    return lines


def best_of(cells, key):
    measured = [cell for cell in cells if cell.spread(key)]
    return max(measured, key=lambda cell: cell.spread(key).median) if len(measured) > 1 else None


def most_accurate(study, cells):
    best = best_of(cells, "test_accuracy")
    return best and (f"most accurate is {study.label(best, (study.panel_axis,))} with "
                     f"{100 * best.spread('test_accuracy').median:.2f} %")


def fastest(study, cells):
    best = best_of(cells, "images_per_s")
    if not best:
        return None
    line = f"fastest is {study.label(best, (study.panel_axis,))} with {number(best.spread('images_per_s').median)} images/s"
    alike = study.by_workers(cells).get(study.series_of(best), {}) if study.worker_axis else {}
    if len(alike) > 1 and best.workers == max(alike):
        gain = best.throughput / throughput_a_worker(alike) / min(alike)
        line += f", {gain:.2f} times what {phrase('workers', str(min(alike)))} {'does' if min(alike) == 1 else 'do'}"
    return line


def style_css(text):
    def variables(theme):
        return "".join(f"--{name}:{values[theme]};" for name, values in style.COLOURS.items())

    return f"""{style.font_face(text)}
:root{{{variables(0)}color-scheme:light dark}}
@media (prefers-color-scheme:dark){{:root{{{variables(1)}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:calc({style.WIDE}px + 2rem);background:var(--surface);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;-webkit-text-size-adjust:100%;overflow-wrap:break-word}}
h1{{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}}
h2{{font-size:1.2rem;margin:2.75rem 0 .25rem}}
.caption{{color:var(--muted);margin:.15rem 0 .75rem;max-width:44rem}}
.headline{{font-size:1.05rem;margin:.25rem 0}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0 0;font-size:.875rem}}
dt{{color:var(--muted)}}
dd{{margin:0;min-width:0}}
.chart svg{{display:block;width:100%;height:auto}}
.narrow{{display:none;max-width:520px}}
@media (max-width:760px){{.wide{{display:none}}.narrow{{display:block}}dl{{grid-template-columns:1fr;gap:0}}dd{{margin-bottom:.4rem}}}}
.legend{{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;margin:0 0 .75rem;padding:0;font-size:.875rem}}
.legend li{{display:flex;align-items:center;gap:.4rem}}
.key{{flex:none}}
.table{{overflow-x:auto;margin-top:.5rem}}
table{{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}}
th,td{{padding:.4rem .9rem .4rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid)}}
th{{color:var(--muted);font-weight:600;border-color:var(--axis)}}
.number{{text-align:right;white-space:nowrap}}
.number small{{display:block;color:var(--muted)}}
details{{margin:.5rem 0}}
summary{{cursor:pointer}}"""


def html_of(study, charts):
    figures = [figure_html(chart) for chart in charts]
    listed = "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in facts(study) if value)
    lines = "".join(f'<p class="headline">{escape(line)}</p>' for line in headlines(study))
    letters = "".join(sorted(set("".join(figures)) | set("0123456789−")))
    body = "\n".join([f"<header><h1>{escape(study.title)}</h1>{lines}<dl>{listed}</dl></header>", failures_html(study),
                      *figures, results_html(study), configuration_html(study)])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(study.title)}</title>
<style>
{style_css(letters)}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
