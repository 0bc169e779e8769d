"""`mtl diff V1 V2`: what two registered versions were made from, how they do, and where they answer differently."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from flows.checkout.git import GitError, git, names
from flows.registry.lineage import collect
from flows.registry.load import load_versions
from flows.registry.restore import commit_of
from flows.settings import Settings
from flows.versions.predict import predict
from mtl.gate import comparable, gain
from mtl.output.terminal import plain
from mtl.registry.mlflow_params import flatten
from mtl.reports import EvalReport
from mtl.reports.lineage import Lineage
from mtl.reports.prediction import Prediction
from mtl.reports.types import Report

LONGEST = 24
"""Characters of a value that is shown."""
Value = TypeVar("Value")


class CodeDifference(Report):
    """What differs between the code of two versions."""

    commits: tuple[str | None, str | None]
    dirty: tuple[bool, bool] = Field(description="whether something was uncommitted")
    files: tuple[str, ...] | None = Field(description="None: not known")
    lock_differs: bool


class MetricDifference(Report):
    """A task's primary metric in two versions."""

    metric: str
    values: tuple[float | None, float | None]
    intervals: tuple[tuple[float | None, float | None] | None, tuple[float | None, float | None] | None]
    gain: float | None = Field(default=None, description="relative, of the second; None: not on the same samples")
    gain_interval: tuple[float, float] | None = None

    def as_json(self) -> dict[str, object]:
        """Without an interval that is not known."""
        return self.model_dump(mode="json", exclude={"gain_interval"} if self.gain_interval is None else None)


class Difference(Report):
    """What differs between two versions. Values are [the first's, the second's]; None where there is none."""

    versions: tuple[int, int]
    unverified: dict[str, str] = Field(description="version → why")
    params: dict[str, tuple[str | None, str | None]]
    data: dict[str, tuple[str | None, str | None]]
    sources: dict[str, tuple[str | None, str | None]]
    code: CodeDifference
    weights_differ: bool
    metrics: dict[str, MetricDifference]
    predictions: Prediction | None = None

    def as_json(self) -> dict[str, object]:
        """As `mtl diff --json` prints it."""
        found: dict[str, object] = self.model_dump(mode="json", exclude={"metrics", "predictions"})
        found["metrics"] = {name: row.as_json() for name, row in self.metrics.items()}
        if self.predictions is not None:
            found["predictions"] = self.predictions.as_json()
        return found


def diff(settings: Settings, first: int, second: int, images: list[str], out: str) -> Difference:
    """What differs; with images, the predictions too.

    Raises:
        RegistryError: there is no such version.
    """
    _, registry = load_versions(settings)
    versions = [registry.get(number) for number in (first, second)]
    one, other = (collect(settings, number) for number in (first, second))
    params = [dict(flatten(found.params or {})) for found in (one, other)]
    stages = [{f"outputs/{name}": _hash(found, name) for name in ("raw", "prepared")} for found in (one, other)]
    # On the second's test samples, if the first was judged on them.
    before = registry.comparison(versions[1], versions[0]) or registry.evaluation(versions[0], shown=True)
    doubts = {str(v.number): v.doubt.why for v in versions if v.doubt is not None}
    looked_at = all(registry.trust.lets(version.doubt) for version in versions)  # else git is not asked
    predictions: Prediction | None = None
    if images:
        with tempfile.TemporaryDirectory() as scratch:
            predictions = predict(settings, [str(first), str(second)], images, out or scratch, ["parquet"])
        if not out and predictions.disagreements:
            kept = predictions.disagreements.model_copy(update={"picture": None})
            predictions = predictions.model_copy(update={"disagreements": kept})
    files = _files(settings.root, *map(commit_of, versions)) if looked_at else None
    return Difference(
        versions=(first, second),
        unverified=doubts,
        params=_changed(*params),
        data=_changed(*stages),
        sources=_changed(*({source.name: source.sha256 for source in found.sources} for found in (one, other))),
        code=CodeDifference(
            commits=(one.commit, other.commit),
            dirty=(one.dirty, other.dirty),
            files=None if files is None else tuple(files),
            lock_differs=one.lock_sha256 != other.lock_sha256,
        ),
        weights_differ=one.weights_sha256 != other.weights_sha256,
        metrics=_metrics(before, registry.evaluation(versions[1], shown=True)),
        predictions=predictions,
    )


def _changed(one: dict[str, Value], other: dict[str, Value]) -> dict[str, tuple[Value | None, Value | None]]:
    """Key → [first's, second's value]; None where there is none."""
    keys = sorted(one.keys() | other.keys())
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _hash(found: Lineage, name: str) -> str | None:
    stage = {"raw": "fetch", "prepared": "prepare"}[name]
    return found.stages.get(stage, {}).get(f"outputs/{name}")


def _files(root: Path, first: str, second: str) -> list[str] | None:
    """Files that differ between two commits; None if git here does not have both."""
    try:
        return names(
            git(root, "diff-tree", "-r", "--name-only", "-z", "--no-renames", "--relative", first, second, "--")
        )
    except GitError:
        return None


def _metrics(before: EvalReport, after: EvalReport) -> dict[str, MetricDifference]:
    """Task → primary metric, both values; and the paired relative gain of the second, if both saw the same samples."""
    paired = comparable(after, before)
    found: dict[str, MetricDifference] = {}
    for name in sorted(before.tasks.keys() | after.tasks.keys()):
        old, new = before.tasks.get(name), after.tasks.get(name)
        one, other = (task and task.metrics[task.primary] for task in (old, new))
        row = MetricDifference(
            metric=(old or new).primary,  # type: ignore[union-attr]  # one of them is there
            values=(one and one.value, other and other.value),
            intervals=(one and (one.low, one.high), other and (other.low, other.high)),
        )
        if paired and old and new and old.primary == new.primary:
            change = gain(new, old)
            ends = change.interval((1 - before.confidence) / 2)
            row = row.model_copy(update={"gain": change.point, "gain_interval": ends}) if ends else row
        found[name] = row
    return found


def show(difference: Difference) -> str:
    """The differences as lines."""
    first, second = difference.versions
    lines = [f"version {first} → version {second}"]
    lines += [f"version {number} is UNVERIFIED: {why}" for number, why in difference.unverified.items()]
    for title, changed in (("params", difference.params), ("sources", difference.sources), ("data", difference.data)):
        lines.append(f"{title}: {'' if changed else 'the same'}")
        lines += [f"  {key}: {' → '.join(_short(a, b))}" for key, (a, b) in changed.items()]
    code = difference.code
    files = code.files
    unknown = "not looked at: unverified" if difference.unverified else "a commit is not in this git"
    what = "the same" if files == () else unknown if files is None else f"{len(files)} files"
    lines.append(f"code: {what}" + (", uncommitted changes" if any(code.dirty) else ""))
    lines += [f"  {name}" for name in (files or ())[:30]]
    lines.append("metrics:")
    for name, row in difference.metrics.items():
        values = " → ".join("–" if value is None else f"{value:.4f}" for value in row.values)
        gain = ""
        if row.gain is not None and row.gain_interval is not None:
            gain = f"  {row.gain:+.2%} [{row.gain_interval[0]:+.2%}, {row.gain_interval[1]:+.2%}]"
        lines.append(f"  {name:<12}{row.metric:<12}{values}{gain}")
    if difference.predictions and (differ := difference.predictions.disagreements):
        lines.append("predictions (mean disagreement, share of images):")
        for name, one in differ.tasks.items():
            lines.append(f"  {name:<12}{one.mean:.4f}  {one.changed:.1%}")
        lines.append(f"  pictures: {differ.picture or 'with --out'}")
    return plain("\n".join(lines))


def _short(*values: object) -> list[str]:
    """Two values that differ; of long ones, what they have from shortly before the first difference on."""
    texts = ["absent" if value is None else str(value) for value in values]
    if max(map(len, texts)) <= LONGEST:
        return texts
    same = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    start = max(0, same - 4)
    starts = [f"{'…' * bool(start)}{text[start:]}" for text in texts]
    return [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in starts]
