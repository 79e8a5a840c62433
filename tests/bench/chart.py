"""Draws charts as SVG text, with the standard library alone: bars on a linear axis, and percentiles on a logarithmic
one. A chart is a list of panels, two per row; a panel is a title and rows of a system's name and its values."""
import html
import math

COLORS = {"sluice": "#0b7a5c", "peer": "#5b7aa8", "floor": "#a9adb3"}
NAME, PLOT, VALUE, ROW, TOP, GAP = 150, 270, 96, 19, 46, 20 # pixels
PANEL = NAME + PLOT + VALUE
STYLE = ("text{font:12px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:13px}.a{fill:#777;font-size:10px}"
         ".r{text-anchor:end}.m{text-anchor:middle}.g{stroke:#e4e4e4}.w{stroke:#222;stroke-opacity:.55}")


def short(value):
    """Formats a value with three digits and a magnitude."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def text(x, y, words, kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{html.escape(str(words))}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def ticks(top):
    step = 10 ** math.floor(math.log10(top)) if top > 0 else 1
    step *= 0.5 if top / step < 2 else 1 if top / step < 5 else 2
    return [i * step for i in range(int(top / step) + 1)]


def bars(rows, kind_of):
    """rows: (name, [(median, min, max), …]). The values after the first are drawn lighter, stacked on it."""
    top = max((sum(v[0] for v in values) for _, values in rows), default=0) or 1
    out = []
    for tick in ticks(top):
        x = NAME + PLOT * tick / top
        out += [line(x, TOP, x, TOP + ROW * len(rows), "g"), text(x, TOP - 6, short(tick), "a m")]
    for i, (name, values) in enumerate(rows):
        y, x = TOP + ROW * i, NAME
        out.append(text(NAME - 8, y + 14, name, "r"))
        for n, (median, low, high) in enumerate(values):
            width = PLOT * median / top
            out.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{max(width, 0.5):.1f}" height="{ROW - 6}" '
                       f'fill="{COLORS[kind_of(name)]}" fill-opacity="{1 if n == 0 else 0.4}"/>')
            if len(values) == 1 and high > low:
                out.append(line(NAME + PLOT * low / top, y + ROW / 2, NAME + PLOT * min(high, top) / top,
                                y + ROW / 2, "w"))
            x += width
        out.append(text(x + 6, y + 14, " + ".join(short(v[0]) for v in values)))
    return out


def percentiles(rows, kind_of):
    """rows: (name, [p50, p99, p99.9]). One dot each; the fewer events lie beyond it, the smaller the dot."""
    values = [v for _, row in rows for v in row if v > 0]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if values else (0, 1)
    def place(v):
        return NAME + PLOT * (math.log10(max(v, 10 ** low)) - low) / max(high - low, 1)
    out = []
    for power in range(low, high + 1):
        x = place(10 ** power)
        out += [line(x, TOP, x, TOP + ROW * len(rows), "g"), text(x, TOP - 6, short(10 ** power), "a m")]
    for i, (name, row) in enumerate(rows):
        y, color = TOP + ROW * i + ROW / 2, COLORS[kind_of(name)]
        out += [text(NAME - 8, y + 4, name, "r"), f'<line x1="{place(row[0]):.1f}" y1="{y}" x2="{place(row[-1]):.1f}" '
                f'y2="{y}" stroke="{color}" stroke-width="2" stroke-opacity=".45"/>']
        out += [f'<circle cx="{place(v):.1f}" cy="{y}" r="{r}" fill="{color}"/>' for v, r in zip(row, (5, 3.5, 2.2))]
        out.append(text(NAME + PLOT + 8, y + 4, short(row[0])))
    return out


def draw(title, panels, body, kind_of, legend):
    """panels: (title, rows). body: bars or percentiles."""
    out, y = [], 52
    for at in range(0, len(panels), 2):
        pair = panels[at:at + 2]
        for column, (name, rows) in enumerate(pair):
            out += [f'<g transform="translate({column * (PANEL + GAP)} {y})">', text(NAME, 16, name, "t"),
                    *body(rows, kind_of), "</g>"]
        y += TOP + ROW * max(len(rows) for _, rows in pair) + GAP
    columns = min(2, len(panels))
    width = columns * PANEL + (columns - 1) * GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" role="img">'
            f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
            f'<rect width="{width}" height="{y}" fill="#fff"/>' + text(12, 22, title, "t") + text(12, 38, legend, "a")
            + "\n".join(out) + "</svg>\n")
