"""The one live display of a run on a terminal."""

from __future__ import annotations

import time
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.terminal.progress import RunProgress, Step
from mtl.output.terminal import one_line, plain
from mtl.reports.events import Event, ProgressEvent

MARKS = {
    "waiting": ("·", "dim"),
    "running": ("●", "bold cyan"),
    "done": ("✓", "green"),
    "unchanged": ("=", "green"),
    "failed": ("✗", "red"),
}
PLAIN_MARKS = {"waiting": ".", "running": ">", "done": "+", "unchanged": "=", "failed": "x"}
"""Where the terminal's encoding lacks the others."""
NARROW = 60
"""Columns below which a champion's column and what a step says are left out."""
REFRESHES = 4
"""Per second."""


class Display:
    """Draws a run's progress in place, again and again, and lines above it.

    Args:
        stream: a terminal, unguarded: what is drawn moves the cursor. Texts are cleaned here.
    """

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self.progress = RunProgress()
        self._live = Live(
            get_renderable=self.drawn,
            console=self.console,
            refresh_per_second=REFRESHES,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def hear(self, event: Event) -> None:
        """Take an event in."""
        self.progress.hear(event, time.monotonic())

    def say(self, line: str, style: str = "") -> None:
        """Show a line: of the step that runs beside it, others above the display."""
        if style or not self.progress.say(line):
            self.console.print(Text(plain(line), style), soft_wrap=True)

    def stop(self) -> None:
        """Leave the display as it is on the terminal."""
        self._live.stop()

    def drawn(self) -> RenderableType:
        """The display as it is now."""
        wide = self.console.width >= NARROW
        parts: list[RenderableType] = [self._steps(wide)] if self.progress.steps else []
        if (metrics := self._metrics(wide)) is not None:
            parts += [Text(), metrics]
        return Group(*parts)

    def _steps(self, wide: bool) -> Table:
        steps = dict(self.progress.steps)  # lines come in while it is drawn
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(width=max(map(len, steps)), no_wrap=True)
        table.add_column(width=len("unchanged"), no_wrap=True, justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for name, step in steps.items():
            mark, style = MARKS[step.state]
            if not self.console.encoding.startswith("utf"):
                mark = PLAIN_MARKS[step.state]
            said: RenderableType = Text(one_line(step.said if wide else ""), "dim")
            if step.state == "running" and self.progress.pace is not None:
                said = self._pace(self.progress.pace, wide)
            table.add_row(Text(mark, style), Text(one_line(name)), _time(step), said)
        return table

    def _pace(self, pace: ProgressEvent, wide: bool) -> RenderableType:
        told = Text(", ".join(self._told(pace)) if wide else f"{pace.done}/{pace.total}")
        row = Table.grid(padding=(0, 1))
        row.add_column(width=20 if wide else 8)
        row.add_column(no_wrap=True, overflow="ellipsis")
        row.add_row(ProgressBar(total=max(pace.total, 1), completed=pace.done, width=20 if wide else 8), told)
        return row

    def _told(self, pace: ProgressEvent) -> list[str]:
        told = [f"{pace.done}/{pace.total} {pace.unit}"]
        same = self.progress.trained == self.progress.running  # mtl baselines has a training per step
        if self.progress.epoch is not None and same and pace.unit == "steps":
            told.insert(0, f"epoch {min(self.progress.epoch.row.epoch + 2, self.progress.epoch.epochs)}")
            told[0] += f"/{self.progress.epoch.epochs}"
        if pace.images_per_second is not None:
            told.append(f"{pace.images_per_second:.0f} images/s")
        if pace.seconds_left is not None:
            told.append(f"at most {clock(pace.seconds_left)} left")
        return told

    def _metrics(self, wide: bool) -> Table | None:
        rows = self.progress.metrics()
        if not rows or self.progress.epoch is None:
            return None
        champion = self.progress.champion if wide else None
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("task", "metric"):
            table.add_column(name, no_wrap=True, overflow="ellipsis")
        table.add_column(f"validation, epoch {self.progress.epoch.row.epoch + 1}", justify="right")
        if champion is not None:
            table.add_column(f"champion {champion.version}", justify="right")
        for task, metric, value, before in rows:
            cells = [one_line(task), one_line(metric), f"{value:.4f}"]
            if champion is not None:
                cells.append("–" if before is None else f"{before:.4f}")
            table.add_row(*map(Text, cells))
        return table


def clock(seconds: float) -> str:
    """A duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _time(step: Step) -> Text:
    if step.state in ("waiting", "unchanged"):
        return Text("" if step.state == "waiting" else "unchanged", "dim")
    return Text(clock(step.seconds if step.seconds is not None else time.monotonic() - step.began))
