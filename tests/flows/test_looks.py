"""What looks remember: labels that come later are judged once, an event is told once, whatever is killed in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import flows.retraining.monitor
from flows.retraining.looks import Looks
from flows.retraining.monitor import look
from flows.settings import Settings
from mtl.config.params import Config, load
from mtl.errors import DataError
from mtl.monitor.stored_answers import score_stored
from mtl.reports import read_report
from mtl.reports.monitoring import (
    LateLabels,
    LateResult,
    MonitorReport,
    Outcome,
    Registered,
    StoredAnswer,
    StoredAnswers,
)
from tests.conftest import ROOT, heard

KNOWN = {"kind": Registered(serves="label", value=0.95, low=0.94, high=0.96, classes=("a", "b"))}


class Production:
    """A folder where images arrive, and a stage that answers `a` of all but those that cannot be read."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder, self.home = folder, folder / "home"
        for name in (".dvc", "incoming"):
            (folder / name).mkdir()
        self.settings = Settings(folder, self.home, "", None)
        words = {"min_images": 30, "labels": "labels.csv"} | settings
        self.config: Config = load(ROOT / "params.yaml", [f"monitor.{key}={value}" for key, value in words.items()])
        self.version = 1
        self.reasons: list[str] = []
        self.judged: list[str] = []
        self.asked: list[list[str]] = []
        self.events: list[str] = []
        self.lines: list[str] = []

    def arrive(self, day: str, count: int) -> list[str]:
        names = [f"{day}/{i:02d}.png" for i in range(count)]
        for name in names:
            (self.folder / "incoming" / name).parent.mkdir(exist_ok=True)
            (self.folder / "incoming" / name).write_bytes(name.encode())
        return names

    def label(self, labels: dict[str, str]) -> None:
        lines = "".join(f"{name},{label}\n" for name, label in labels.items())
        (self.folder / "labels.csv").write_text("image,kind\n" + lines)

    def compare(
        self, settings: Settings, config: Config, images: list[tuple[str, str, str]], out: Path
    ) -> MonitorReport:
        """As the stage does it, with answers out of thin air."""
        names = [name for _, name, _ in images]
        self.asked.append(names)
        answers = {n: StoredAnswer(content=n, answers={"kind": "a"}) for n in names if "broken" not in n}
        kept = StoredAnswers(version=self.version, registered=KNOWN, images=answers)
        (out / "answers.json").write_text(kept.model_dump_json())
        rows, told = score_stored(kept, read_report(LateLabels, out / "late.json"), out.parent, 0.01)
        late = [f"{row.images} of {row.task}" for row in rows if row.worse and row.version == self.version]
        return MonitorReport(
            version=self.version,
            images=len(images),
            unreadable=(),
            findings=(),
            late=tuple(rows),
            judged=len(rows) + len(self.judged),
            reasons=tuple(self.reasons),
            late_reasons=tuple(late),
            unjudged=tuple(told),
        )

    def look(self, tell: Callable[..., None] | None = None) -> Outcome:
        def told(model: str, result: Outcome, batch: str) -> None:
            self.events.append(batch)

        with heard(self.lines):
            return look(self.settings, self.config, tell or told)

    @property
    def report(self) -> list[LateResult]:
        """The rows of the last look, by what it kept."""
        last = Looks.read(self.home / "monitor").recent[-1].batch
        folder = self.home / "monitor" / last
        kept = read_report(StoredAnswers, folder / "answers.json")
        return score_stored(kept, read_report(LateLabels, folder / "late.json"), folder.parent, 0.01)[0]


@pytest.fixture
def production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Production:
    made = Production(tmp_path)
    monkeypatch.setattr(flows.retraining.monitor, "_compare", made.compare)
    return made


def test_late_labels_are_scored_by_the_next_monitor_run(production: Production) -> None:
    monday = production.arrive("monday", 30)
    production.judged = ["image/brightness"]
    assert production.look().state == "unshifted"
    assert "no label has come" in production.lines[-1]
    production.arrive("tuesday", 30)
    production.label(dict.fromkeys(monday, "b"))
    found = production.look()
    assert found.state == "event"
    assert found.reason == "30 of kind"
    assert production.report[0].value == 0.0
    assert production.asked == [monday, [f"tuesday/{i:02d}.png" for i in range(30)]]
    # The same labels are no second event; images without any new label wait.
    assert production.look().as_json() == {"state": "waiting", "images": 0}
    assert len(production.events) == 1


def test_labels_alone_are_worth_a_look(production: Production) -> None:
    monday = production.arrive("monday", 30)
    production.look()
    production.label(dict.fromkeys(monday[:19], "a"))
    assert production.look().state == "waiting"
    production.label(dict.fromkeys(monday[:25], "a"))
    assert production.look().state == "unshifted"
    assert production.asked[1:] == [[]]
    assert [(row.images, row.value) for row in production.report] == [(25, 1.0)]
    # A few more count with those before, each image once.
    production.arrive("tuesday", 30)
    production.label(dict.fromkeys(monday, "a") | {"tuesday/00.png": "b"})
    production.look()
    assert [(row.images, row.value) for row in production.report] == [(31, 30 / 31)]


def test_images_without_stored_answers_are_predicted_again(production: Production) -> None:
    unlabelled = production.config
    production.config = unlabelled.model_copy(update={"monitor": unlabelled.monitor.model_copy(update={"labels": ""})})
    monday = production.arrive("monday", 31)
    production.look()
    looks = Looks.read(production.home / "monitor")
    (looks.folder / looks.recent[0].batch / "answers.json").unlink()
    (production.folder / "incoming" / monday[30]).unlink()
    production.config = unlabelled
    production.label(dict.fromkeys(monday, "b"))
    assert production.look().state == "event"
    assert production.asked[1] == monday[:30]
    assert "1 labels are of images without an answer that are gone or unreadable: monday/30.png" in production.lines[-1]
    production.arrive("tuesday", 30)
    production.look()
    assert not set(production.asked[2]) & set(monday)


def test_what_cannot_be_read_is_asked_for_once(production: Production) -> None:
    names = production.arrive("monday", 30) + production.arrive("broken", 5)
    production.look()
    production.label(dict.fromkeys(names, "a"))
    for _ in range(3):
        production.arrive(f"day{len(production.asked)}", 30)
        production.look()
    assert [sum("broken" in name for name in asked) for asked in production.asked] == [5, 5, 0, 0]
    assert "5 labels are of images without an answer" in production.lines[-1]


def test_an_answer_counts_for_the_version_that_gave_it(production: Production) -> None:
    """A later champion may have learnt from the images; that an earlier one was wrong is shown, and starts nothing."""
    monday = production.arrive("monday", 30)
    production.look()
    production.version = 2
    tuesday = production.arrive("tuesday", 30)
    production.label(dict.fromkeys(monday, "b") | dict.fromkeys(tuesday, "a"))
    assert production.look().state == "unshifted"
    assert {row.version: (row.value, row.worse) for row in production.report} == {
        1: (0.0, True),
        2: (1.0, False),
    }


def test_answers_wait_for_labels_as_long_as_is_said(production: Production) -> None:
    monday = production.arrive("monday", 30)
    production.look()
    looks = Looks.read(production.home / "monitor")
    before = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    state = json.loads((looks.folder / "state.json").read_text())
    state["recent"][0]["at"] = before
    (looks.folder / "state.json").write_text(json.dumps(state))
    production.arrive("tuesday", 30)
    production.label(dict.fromkeys(monday, "b"))
    assert production.look().state == "unjudged"
    assert "30 labels are of images whose answers are no longer kept: monday/00.png" in production.lines[-1]
    assert not (looks.folder / looks.recent[0].batch / "answers.json").exists()
    assert [past.images[0] for past in Looks.read(looks.folder).recent] == ["tuesday/00.png"]


def test_found_while_cooling_down_it_is_told_after(production: Production) -> None:
    monday = production.arrive("monday", 30)
    production.reasons = ["it is dark"]
    assert production.look().state == "event"
    production.reasons = []
    production.label(dict.fromkeys(monday, "b"))
    assert production.look().state == "cooling"
    looks = Looks.read(production.home / "monitor")
    looks.last_event = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    looks.save()
    assert production.look().state == "event"
    assert production.look().state == "waiting"
    assert len(production.events) == 2


def test_an_unsent_event_is_sent_by_the_next_monitor_run(production: Production) -> None:
    """Killed while it tells; more images arrive; the event is the same, and its images are looked at once."""
    production.arrive("monday", 30)
    production.reasons = ["it is dark"]
    tried: list[str] = []

    def die(model: str, result: Outcome, batch: str) -> None:
        tried.append(batch)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        production.look(die)
    production.arrive("tuesday", 30)
    assert production.look().state == "event"
    assert production.events == tried
    assert len(production.asked) == 1
    assert production.look().state == "cooling"
    assert production.asked[1] == [f"tuesday/{i:02d}.png" for i in range(30)]
    assert len(production.events) == 1


def test_a_look_killed_while_it_compares_is_made_again(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    production.arrive("monday", 30)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flows.retraining.monitor, "_compare", die)
    with pytest.raises(KeyboardInterrupt):
        production.look()
    monkeypatch.setattr(flows.retraining.monitor, "_compare", production.compare)
    monday = production.arrive("monday", 31)
    production.look()
    assert production.asked == [monday]
    production.label(dict.fromkeys(monday, "a"))
    production.look()
    assert [row.images for row in production.report] == [31]


def test_a_look_that_judged_nothing_says_so(production: Production) -> None:
    production.arrive("monday", 30)
    found = production.look()
    assert found.state == "unjudged"
    assert "unjudged; not judged: no label has come" in production.lines[-1]


def test_files_that_are_not_looked_at_are_said(production: Production) -> None:
    for name in ("a.mp4", "b.mp4", "notes.txt"):
        (production.folder / "incoming" / name).write_bytes(b"x")
    assert production.look().state == "waiting"
    assert "3 files are no images by their names: 2 .mp4, 1 .txt" in production.lines[-1]
    production.arrive("monday", 30)
    assert "3 files are no images by their names: 2 .mp4, 1 .txt" in (production.look().unjudged or ())


def test_a_damaged_state_is_explained(production: Production) -> None:
    (production.home / "monitor").mkdir(parents=True)
    for text in ("{", '{"seen": 1, "other": 2}'):
        (production.home / "monitor" / "state.json").write_text(text)
        with pytest.raises(DataError, match=r"state\.json is damaged"):
            production.look()
    # As it was before answers were kept.
    (production.home / "monitor" / "state.json").write_text('{"seen": {}, "last_event": null}')
    assert production.look().state == "waiting"
