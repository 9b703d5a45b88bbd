#!/usr/bin/env python3
"""Draws the text on standard input as a terminal, in SVG on standard output.

usage: topiary report JOB | tools/terminal_svg.py "topiary report JOB" > docs/images/report.svg
"""

import html
import sys

CHARACTER_WIDTH, LINE_HEIGHT, MARGIN = 8.4, 18, 16


def svg(lines):
    width = max(len(line) for line in lines) * CHARACTER_WIDTH + 2 * MARGIN
    height = len(lines) * LINE_HEIGHT + 2 * MARGIN
    texts = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + (i + 0.8) * LINE_HEIGHT:.1f}" xml:space="preserve">'
        f"{html.escape(line)}</text>" for i, line in enumerate(lines) if line)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}">\n'
            f'<rect width="100%" height="100%" rx="8" fill="#1e2430"/>\n'
            f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" '
            f'fill="#d8dee9">\n{texts}\n</g>\n</svg>\n')


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stdout if "--help" in sys.argv else sys.stderr)
        return 0 if "--help" in sys.argv or "-h" in sys.argv else 2
    lines = [f"$ {sys.argv[1]}"] + [line.rstrip("\n") for line in sys.stdin]
    sys.stdout.write(svg(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
