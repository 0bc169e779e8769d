"""A champion of before is judged again where its report cannot be compared, and never passed unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.retraining import beside, evidence
from flows.retraining.run_context import RunContext
from flows.settings import Settings
from mtl.config.gate import GateConfig
from mtl.errors import RegistryError, StageError
from mtl.gate import decide
from mtl.registry.registry import Version
from mtl.reports import METHOD, BlindReport, EvalReport, Metric, OwnSamples, TaskReport
from mtl.reports.beside import PicturesBeside
from tests.conftest import heard

SETTINGS = Settings(Path(), Path("home"), "sqlite:///nowhere", None)
OLD, NEW = Version(1, "a", {}), Version(2, "b", {})


def report(value: float = 0.9) -> EvalReport:
    """As this program makes it."""
    spread = tuple(value + 0.001 * (i % 5 - 2) for i in range(100))
    task = TaskReport(
        type="classification",
        auxiliary=False,
        primary="accuracy",
        floor=None,
        metrics={"accuracy": Metric(value=value, direction="max")},
        replicates=spread,
        num_targets=100,
        blind=BlindReport(value=0.1, replicates=(0.1,) * 100, jackknife=()),
        slices={},
    )
    values = {"samples_sha256": "s", "num_samples": 100, "seed": 0, "num_resamples": 100, "confidence": 0.95}
    return EvalReport(method=METHOD, ids_sha256="i", tasks={"kind": task}, **values)


AGAIN = report(0.8).model_copy(update={"own": OwnSamples(num_samples=100)})
"""Of a champion that was judged again."""


def as_before(found: EvalReport) -> str:
    """The JSON of the same, as it was before reports had all that they have now."""
    document = json.loads(found.model_dump_json())
    for key in ("method", "ids_sha256", "small_slices"):
        del document[key]
    for task in document["tasks"].values():
        for key in ("jackknife", "num_targets", "support", "blind"):
            del task[key]
        task["floor"] = 0.0
    return json.dumps(document)


class Registry:
    """What `champion_report` asks of one."""

    def __init__(self, champion: str, kept: EvalReport | None = None) -> None:
        self.champion, self.kept = champion, kept

    def evaluation(self, version: Version) -> EvalReport:
        try:
            return EvalReport.model_validate_json(self.champion)
        except ValueError as error:
            raise RegistryError("no readable evaluation") from error

    def comparison(self, version: Version, champion: Version) -> EvalReport | None:
        return self.kept

    def former(self, number: int) -> Version:
        return OLD

    def package(self, *words: Any) -> Path:
        return Path("package")

    def save_comparison(self, version: Version, champion: Version, found: EvalReport) -> None:
        self.kept = found


def asked(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> tuple[EvalReport, list[str]]:
    """The champion's report, and what was said of it."""

    def run(*words: str, folder: Path) -> None:
        Path(words[3]).write_text(AGAIN.model_dump_json())

    monkeypatch.setattr(evidence, "run_quietly", run)
    with heard() as lines:
        found = evidence.champion_report(SETTINGS, Path(), registry, NEW, OLD, report())  # type: ignore[arg-type]
    return found, lines


def test_a_champion_of_an_earlier_way_of_judging_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(as_before(report(0.5)))
    found, lines = asked(registry, monkeypatch)
    assert found == registry.kept == AGAIN
    assert lines == ["version 1 is judged again: its report was made by an earlier way of judging"]
    assert asked(registry, monkeypatch) == (found, [])  # once
    gate = GateConfig(margin=0.02, min_improvement=0.0, confidence=0.95)
    assert decide(report(), found, 1, gate).promote
    assert not decide(report(), EvalReport.model_validate_json(as_before(report(0.5))), 1, gate).promote


@pytest.mark.attack(boundary="registry writer", attack="a kept comparison that does not say what the champion had")
def test_a_kept_one_without_own_samples_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    other = report(0.5).model_copy(update={"ids_sha256": "other"})
    found, lines = asked(Registry(other.model_dump_json(), kept=report(0.1)), monkeypatch)
    assert found == AGAIN
    assert lines == ["version 1 is judged again: the test samples have changed"]


def test_one_of_this_way_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(Registry(report(0.7).model_dump_json()), monkeypatch) == (report(0.7), [])


@pytest.mark.parametrize("champion", ["{}", report().model_copy(update={"ids_sha256": "other"}).model_dump_json()])
def test_unreadable_or_outdated_reports_are_evaluated_again(champion: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, (line,) = asked(Registry(champion), monkeypatch)
    assert found == AGAIN
    assert "judged again" in line


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("former", RegistryError("version 1 is unverified")),
        ("package", RegistryError("not what was registered")),
        ("run", StageError("damaged")),
    ],
)
@pytest.mark.attack(boundary="registry writer", attack="another package of the champion, to be drawn beside a version")
def test_a_champion_that_does_not_verify_is_not_drawn(
    at: str, error: RegistryError | StageError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page says why; the decision stands."""
    order: list[str] = []

    def step(name: str, result: object = None) -> Any:
        def take(*words: Any, **_: Any) -> object:
            order.append(name)
            if name == at:
                raise error
            return result

        return take

    registry = Registry("{}")
    monkeypatch.setattr(registry, "former", step("former", OLD))
    monkeypatch.setattr(registry, "package", step("package", Path("package")))
    monkeypatch.setattr(beside, "run_quietly", step("run"))
    context = RunContext(SETTINGS, None, tmp_path, registry, None, "", "")  # type: ignore[arg-type]
    gate = GateConfig(margin=0.02, min_improvement=0.0, confidence=0.95)
    found = beside.pictures_beside(context, decide(report(), report(0.5), 1, gate))
    assert (found.pictures, order[-1]) == ((), at)  # nothing is done with it after that
    assert str(error).splitlines()[0] in found.remark
    first = beside.pictures_beside(context, decide(report(), None, None, gate))
    assert first == PicturesBeside(remark="there is no champion to show beside it")
    assert order[-1] == at
