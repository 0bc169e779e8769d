"""Charts of pages as SVG in the page: their colours are the style sheet's, light or dark, and their text is text.

Drawn at the width of a phone and shown at up to one and a half times that, so that labels are legible everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mtl.reports.plot import BOTTOM, COLOURS, HEIGHT, TOP, Plot, figure, legend, path, short, written


@dataclass(frozen=True)
class Point:
    """One value, with its interval and words that are shown when it is pointed at.

    Attributes:
        mark: class of the style sheet.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    said: str = ""
    mark: str = ""


Series = Mapping[str, Sequence[Point]]


def lines(title: str, series: Series, x: str, y: str, *, diagonal: bool = False, counted: bool = False) -> Markup:
    """A line for each name; what is not finite is left out. Nothing if no value is known.

    Args:
        x, y: names of the axes.
        diagonal: with x = y, dotted.
        counted: x is a number of something: whole.
    """
    known = {name: [p for p in points if math.isfinite(p.x) and math.isfinite(p.y)] for name, points in series.items()}
    points = [point for some in known.values() for point in some]
    if not points:
        return Markup()
    plot = Plot.around(
        [p.x for p in points], [end for p in points for end in (p.y, p.low, p.high) if end is not None], x, y
    )
    drawn = [plot.axes(least=1.0 if counted else 0.0)]
    if diagonal:
        start, end = max(plot.x[0], plot.y[0]), min(plot.x[1], plot.y[1])
        drawn.append(path([plot.at(start, start), plot.at(end, end)], "guide"))
    for number, some in enumerate(known.values()):
        drawn.append(_series(plot, some, number))
    return figure(title, HEIGHT, drawn, legend(list(known)) if len(known) > 1 else Markup())


def _series(plot: Plot, points: Sequence[Point], number: int) -> Markup:
    kind = f"s{number % COLOURS}" + (" dashed" if number >= COLOURS else "")
    drawn = [path([plot.at(p.x, p.y) for p in points], "line")] if len(points) > 1 else []
    for point in points if len(points) <= 60 else ():
        across, down = plot.at(point.x, point.y)
        if point.low is not None and point.high is not None:
            ends = [plot.at(point.x, point.low), plot.at(point.x, point.high)]
            drawn.append(path(ends, "interval"))
        said = point.said or f"{written(point.x)}: {written(point.y)}"
        mark = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>')
        drawn.append(mark.format(point.mark, across, down, said))
    return Markup('<g class="{}">{}</g>').format(kind, Markup().join(drawn))


@dataclass(frozen=True)
class Range:
    """An interval around a value, with what it is compared with."""

    name: str
    value: float
    low: float
    high: float
    bound: float | None
    good: bool


def forest(title: str, ranges: Sequence[Range], x: str, farthest: float = math.inf) -> Markup:
    """Intervals below each other, each under its name.

    Args:
        farthest: from 0 that is drawn: what reaches farther is cut off.
    """
    if not ranges:
        return Markup()
    ends = [max(-farthest, min(farthest, end)) for r in ranges for end in (r.low, r.high, r.bound or 0.0, r.value, 0.0)]
    step, height = 32, TOP + 32 * len(ranges) + BOTTOM
    plot = Plot((min(ends), max(ends)), (0.0, 1.0), x, "", left=14, height=height)
    drawn = [plot.axes(sideways=False), path([plot.at(0, 0), plot.at(0, 1)], "guide")]
    for row, found in enumerate(ranges):
        down = TOP + step * row + 22
        low, value, high = (
            plot.at(max(-farthest, min(farthest, v)), 0)[0] for v in (found.low, found.value, found.high)
        )
        said = f"{found.name}: {found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
        text = Markup('<text class="name" x="14" y="{}">{}</text>').format(down - 9, short(found.name, 52))
        bar = path([(low, down), (high, down)], "interval")
        dot = Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="4.5"><title>{}</title></circle>').format(
            value, down, said
        )
        bound = Markup()
        if found.bound is not None:
            across = plot.at(max(-farthest, min(farthest, found.bound)), 0)[0]
            bound = path([(across, down - 7), (across, down + 7)], "bound")
        drawn.append(
            Markup('<g class="{}">{}{}{}{}</g>').format("good" if found.good else "bad", text, bar, dot, bound)
        )
    return figure(title, height, drawn)


def bars(title: str, rows: Mapping[str, Mapping[str, float]], x: str, *, stacked: bool = True) -> Markup:
    """Under each name its parts as bars: one after the other, or (not stacked) below each other."""
    if not rows:
        return Markup()
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    step = 20 + 11 * (1 if stacked else len(parts))
    longest = max(sum(row.values()) if stacked else max(row.values(), default=0.0) for row in rows.values())
    plot = Plot((0.0, longest or 1.0), (0.0, 1.0), x, "", left=14, height=TOP + step * len(rows) + BOTTOM)
    drawn = [plot.axes(sideways=False)]
    for number, (name, row) in enumerate(rows.items()):
        down, start = TOP + step * number, 0.0
        said = ", ".join(f"{part} {written(value)}" for part, value in row.items())
        text = Markup('<text class="name" x="14" y="{}">{}</text>').format(
            down + 11, short(f"{name}: {said}" if stacked else name, 54)
        )
        pieces: list[Markup] = []
        for place, part in enumerate(parts):
            value = row.get(part, 0.0)
            left, right = plot.at(start, 0)[0], plot.at(start + value, 0)[0]
            top = down + 15 + (0 if stacked else 11 * place)
            start += value if stacked else 0.0
            piece = Markup('<rect class="s{}" x="{:.1f}" y="{}" width="{:.1f}" height="10"/>')
            pieces.append(piece.format(place % COLOURS, left, top, right - left))
        drawn.append(Markup("<g><title>{}: {}</title>{}{}</g>").format(name, said, text, Markup().join(pieces)))
    return figure(title, plot.height, drawn, legend(parts))


def histogram(title: str, edges: Sequence[float], sides: Mapping[str, Sequence[float]]) -> Markup:
    """Two or more distributions over the same bins, as steps.

    Args:
        edges: of bins, one more than there are.
        sides: name → a share for each bin.
    """
    highest = max((share for shares in sides.values() for share in shares), default=0.0) or 1.0
    plot = Plot((edges[0], edges[-1]), (0.0, highest), "", "share")
    drawn = [plot.axes()]
    for number, shares in enumerate(sides.values()):
        corners = [plot.at(edges[0], 0)]
        for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True):
            corners += [plot.at(left, share), plot.at(right, share)]
        drawn.append(Markup('<g class="s{}">{}</g>').format(number, path([*corners, plot.at(edges[-1], 0)], "area")))
    return figure(title, HEIGHT, drawn, legend(list(sides)))


def dots(title: str, found: Iterable[tuple[float, float, float]], x: str, y: str) -> Markup:
    """A circle for each (x, y, number); the number is its area."""
    all_dots = list(found)
    if not all_dots:
        return Markup()
    plot = Plot.around([dot[0] for dot in all_dots], [dot[1] for dot in all_dots], x, y)
    largest = max(dot[2] for dot in all_dots) or 1.0
    drawn = [plot.axes()]
    for across, down, number in all_dots:
        place = plot.at(across, down)
        circle = Markup('<circle class="s0 bubble" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>')
        said = f"{written(across)} × {written(down)}: {written(number)}"
        drawn.append(circle.format(*place, 3 + 12 * math.sqrt(number / largest), said))
    return figure(title, HEIGHT, drawn)
