"""Line plots with error bars, as SVG."""

import dataclasses
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 440, 320  # Of a panel,
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 40, 48  # and of its margins.
COLORS = ("#d1671c", "#1f6fb4", "#3a8a3a", "#8a4fa3", "#b03a4a", "#8c8c8c", "#222222", "#c0a000")


@dataclasses.dataclass
class Series:
    """Points (x, y, half of the error bar); x are positions on the panel's axis, from 0."""

    name: str
    points: list
    dashed: bool = False


@dataclasses.dataclass
class Panel:
    title: str
    x_labels: list
    x_title: str
    series: list


def nice_ticks(low, high, count=5):
    """Round numbers that span [low, high]."""
    if high <= low:
        high = low + 1e-6
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def draw_panel(panel, colors):
    ys = [y + sign * bar for series in panel.series for _, y, bar in series.points for sign in (-1, 1)]
    ticks = nice_ticks(min(ys, default=0), max(ys, default=1))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def at_x(x):
        return LEFT + (x + 0.5) / len(panel.x_labels) * (right - LEFT)

    def at_y(y):
        return bottom - (y - ticks[0]) / (ticks[-1] - ticks[0]) * (bottom - TOP)

    lines = [f'<text x="{LEFT}" y="16" font-weight="bold">{escape(panel.title)}</text>']
    for tick in ticks:
        lines.append(f'<path d="M{LEFT} {at_y(tick):.1f}H{right}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{at_y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for x, label in enumerate(panel.x_labels):
        lines.append(f'<text x="{at_x(x):.1f}" y="{bottom + 16}" text-anchor="middle">{escape(label)}</text>')
    for series in panel.series:
        color = colors[series.name]
        dash = ' stroke-dasharray="5 4"' if series.dashed else ""
        points = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y, _ in series.points)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{color}"{dash}/>')
        for x, y, bar in series.points:
            if bar > 0:
                lines.append(f'<path d="M{at_x(x):.1f} {at_y(y - bar):.1f}V{at_y(y + bar):.1f}" stroke="{color}"/>')
            lines.append(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{color}"/>')
    lines.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">'
                 f'{escape(panel.x_title)}</text>')
    return lines


def to_svg(panels):
    """Panels two in a row, and a legend below, in which each name of a series comes once."""
    names = list(dict.fromkeys(series.name for panel in panels for series in panel.series))
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}
    across, down = min(2, len(panels)), math.ceil(len(panels) / 2)
    per_row = 2 * across
    legend_rows = math.ceil(len(names) / per_row)
    width, height = WIDTH * across, HEIGHT * down + 20 * legend_rows + 12
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             'font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>']
    for i, panel in enumerate(panels):
        lines.append(f'<g transform="translate({WIDTH * (i % 2)} {HEIGHT * (i // 2) + 8})">')
        lines += draw_panel(panel, colors) + ["</g>"]
    for i, name in enumerate(names):
        x = LEFT + (i % per_row) * (width - LEFT) / per_row
        y = HEIGHT * down + 16 + 20 * (i // per_row)
        lines.append(f'<circle cx="{x:.0f}" cy="{y - 4}" r="4" fill="{colors[name]}"/>'
                     f'<text x="{x + 10:.0f}" y="{y}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
