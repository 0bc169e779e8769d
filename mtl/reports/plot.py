"""What charts are drawn on: axes, places of values, and the pieces of SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 38
"""Room around the plot."""
BESIDE, DIGIT = 22, 6
"""Room for an axis' name, and for each character of its numbers."""
COLOURS = 8
"""Of series in the style sheet; more of them begin anew, dashed."""


def legend(names: Sequence[str]) -> Markup:
    """Which colour is what."""
    keys = (Markup('<span><i class="key s{}"></i>{}</span>').format(i % COLOURS, name) for i, name in enumerate(names))
    return Markup('<p class="legend">{}</p>').format(Markup(" ").join(keys))


@dataclass(frozen=True)
class Plot:
    """Where values lie in the picture."""

    x: tuple[float, float]
    y: tuple[float, float]
    across: str
    up: str
    left: int = LEFT
    height: int = HEIGHT

    @classmethod
    def around(cls, xs: Sequence[float], ys: Sequence[float], across: str, up: str) -> Plot:
        """With some room around all values, and for the numbers of the axis that goes up beside its name."""
        padded = _padded(ys)
        longest = max(len(written(tick)) for tick in ticks(*padded))
        return cls(_padded(xs), padded, across, up, left=max(LEFT, BESIDE + DIGIT * longest))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A value's place, in pixels from the left and the top."""
        (x0, x1), (y0, y1) = self.x, self.y
        width, height = WIDTH - self.left - RIGHT, self.height - TOP - BOTTOM
        right = (x - x0) / ((x1 - x0) or 1.0)
        return self.left + width * right, TOP + height * (1 - (y - y0) / ((y1 - y0) or 1.0))

    def axes(self, *, sideways: bool = True, least: float = 0.0) -> Markup:
        """Grid, numbers and names.

        Args:
            sideways: with the numbers of the axis that goes up.
            least: between two numbers of the other one.
        """
        drawn: list[Markup] = []
        floor, text = self.height - BOTTOM, Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
        for tick in ticks(*self.x, least=least):
            across = self.at(tick, 0)[0]
            drawn += [
                path([(across, TOP), (across, floor)], "grid"),
                text.format(across, floor + 14, "tick", written(tick)),
            ]
        for tick in ticks(*self.y) if sideways else ():
            down = self.at(0, tick)[1]
            ends = [(self.left, down), (WIDTH - RIGHT, down)]
            drawn += [path(ends, "grid"), text.format(self.left - 5, down + 4, "tick end", written(tick))]
        middle = (self.left + WIDTH - RIGHT) / 2
        drawn.append(text.format(middle, self.height - 5, "tick", self.across))
        if self.up:
            turned = Markup('<text class="tick" transform="translate(11 {:.1f}) rotate(-90)">{}</text>')
            drawn.append(turned.format((TOP + floor) / 2, short(self.up, 34)))
        return Markup().join(drawn)


def ticks(low: float, high: float, wanted: int = 5, least: float = 0.0) -> list[float]:
    """Round numbers from low to high, some `wanted` of them; no nearer to each other than `least`."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    size = 10 ** math.floor(math.log10(span / wanted))
    step = next((size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= wanted), size * 10)
    step = max(step, least)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or abs(low) * 0.1 or 1.0
    return low - room, high + room


def written(value: float) -> str:
    """With four digits; thousands and more in full."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def short(text: str, longest: int) -> str:
    """Cut off, so that it fits."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """A line through places; kind: class of the style sheet."""
    steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup('<path class="{}" d="M{}"/>').format(kind, steps)


def figure(title: str, height: int, drawn: Sequence[Markup], below: Markup | None = None) -> Markup:
    """A whole chart; below: under the picture."""
    text = '<figure class="chart"><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>{}</figure>'
    return Markup(text).format(title, WIDTH, height, title, Markup().join(drawn), below or Markup())
