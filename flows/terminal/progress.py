"""What is known of a run that goes on, from its events and lines; nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mtl.reports.events import ChampionEvent, EpochEvent, Event, ProgressEvent, StepEvent


@dataclass
class Step:
    """One step of a run.

    Attributes:
        began: when, by the clock of whoever hears the events.
        seconds: that it took; None: it has not ended.
        said: its last line.
    """

    state: str = "waiting"
    began: float = 0.0
    seconds: float | None = None
    said: str = ""


@dataclass
class RunProgress:
    """Where a run stands.

    Attributes:
        trained: the step that the last epoch was of.
    """

    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    pace: ProgressEvent | None = None
    epoch: EpochEvent | None = None
    trained: str | None = None
    champion: ChampionEvent | None = None

    @property
    def running(self) -> str | None:
        """The step that runs; None: none does."""
        return next((name for name, step in self.steps.items() if step.state == "running"), None)

    def hear(self, event: Event, now: float) -> None:
        """Take an event in."""
        match event:
            case StepEvent():
                self._move(event, now)
            case ProgressEvent():
                self.pace = event
            case EpochEvent():
                self.epoch, self.trained = event, self.running
            case ChampionEvent():
                self.champion = event
            case _:
                pass

    def _move(self, event: StepEvent, now: float) -> None:
        step = self.steps.setdefault(event.step, Step())
        step.state, step.seconds = event.state, event.seconds
        if event.state in ("done", "unchanged", "failed") and event.seconds is None:
            step.seconds = now - step.began
        if event.state == "running":
            step.began, step.said, self.pace = now, "", None

    def say(self, line: str) -> bool:
        """Let a line be the last of the step that runs; False: none does."""
        if (name := self.running) is None:
            return False
        self.steps[name].said = " ".join(line.removeprefix(f"{name}: ").split())
        return True

    def metrics(self) -> list[tuple[str, str, float, float | None]]:
        """Task, metric, the last epoch's value on validation samples, the champion's."""
        if self.epoch is None:
            return []
        before: Mapping[str, float] = self.champion.metrics if self.champion else {}
        return [
            (*name.split("/")[1:3], value, before.get(name))  # type: ignore[misc]
            for name, value in self.epoch.row.metrics.items()
            if name.startswith("val/") and name.count("/") == 2
        ]
