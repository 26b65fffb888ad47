"""Bar charts as SVG, without any library."""

from xml.sax.saxutils import escape

COLOURS = {"direct": "#999999", "floor-copy": "#c7d7e8", "floor-splice-64k": "#a5c0da",
           "floor-splice-1m": "#7ba3c9", "pgsplice": "#d1495b", "haproxy": "#66a182",
           "haproxy-splice": "#98c7ae", "nginx": "#edae49", "pgbouncer": "#8d6a9f"}
OTHERS = ["#00798c", "#30638e", "#003d5b", "#5b3a29"]

BAR, GAP, LEFT, TOP, HEIGHT = 16, 22, 60, 70, 260


def colour(name, index):
    return COLOURS.get(name, OTHERS[index % len(OTHERS)])


def nice_top(value):
    """A round number at or above value, and the step of its grid."""
    step = 1.0
    while step * 5 > value > 0:
        step /= 10
    while value > step * 5:
        step *= 2 if str(step).lstrip("0.")[:1] != "2" else 2.5
    return step * (int(value / step) + 1), step


def text(x, y, content, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(content)}</text>'


def bars(title, unit, groups, line=None):
    """groups: (label, [(series, value, low, high)]); line: a level to compare with."""
    names = list(dict.fromkeys(name for _, bars_ in groups for name, *_ in bars_))
    top, step = nice_top(max((high for _, b in groups for *_, high in b), default=1))
    width = LEFT + sum(GAP + BAR * len(b) for _, b in groups) + GAP

    def y(value):
        return TOP + HEIGHT * (1 - value / top)

    out = [text(LEFT, 20, f"{title} ({unit})", 'font-size="14" font-weight="bold"')]
    x = LEFT
    for i, name in enumerate(names):
        out.append(f'<rect x="{x}" y="32" width="10" height="10" fill="{colour(name, i)}"/>')
        out.append(text(x + 14, 41, name))
        x += 28 + 7 * len(name)
    width = max(width, x)
    level = 0.0
    while level <= top * 1.0001:
        out.append(f'<line x1="{LEFT}" x2="{width}" y1="{y(level):.1f}" y2="{y(level):.1f}" '
                   'stroke="#dddddd"/>')
        out.append(text(LEFT - 6, y(level) + 4, f"{level:g}", 'text-anchor="end"'))
        level = round(level + step, 10)
    x = LEFT + GAP / 2
    for label, series in groups:
        middle = x + BAR * len(series) / 2
        for name, value, low, high in series:
            out.append(f'<rect x="{x + 1:.1f}" y="{y(value):.1f}" width="{BAR - 2}" '
                       f'height="{HEIGHT * value / top:.1f}" '
                       f'fill="{colour(name, names.index(name))}"><title>'
                       f'{escape(name)}: {value:.4g}</title></rect>')
            out.append(f'<line x1="{x + BAR / 2:.1f}" x2="{x + BAR / 2:.1f}" '
                       f'y1="{y(low):.1f}" y2="{y(high):.1f}" stroke="#333333"/>')
            x += BAR
        out.append(text(middle, TOP + HEIGHT + 18, label, 'text-anchor="middle"'))
        x += GAP
    if line is not None:
        out.append(f'<line x1="{LEFT}" x2="{width}" y1="{y(line):.1f}" y2="{y(line):.1f}" '
                   'stroke="#333333" stroke-dasharray="4 3"/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 10:.0f}" '
            f'height="{TOP + HEIGHT + 34}" font-family="sans-serif" font-size="11">\n'
            '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(out) + "\n</svg>\n")
