"""`mtl diff V1 V2`: what two registered versions were made from, how they do, and where they answer differently."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from flows.git import GitError, git, names
from flows.lineage import collect
from flows.predict import predict
from flows.restore import commit_of
from flows.settings import Settings
from flows.versions import opened
from mtl.gate import comparable, gain
from mtl.mlflow_params import flatten
from mtl.reports import EvalReport
from mtl.terminal import plain

LONGEST = 24
"""Characters of a value that is shown."""


def diff(settings: Settings, first: int, second: int, images: list[str], out: str) -> dict[str, Any]:
    """What differs; with images, the predictions too.

    Raises:
        RegistryError: there is no such version.
    """
    _, registry = opened(settings)
    versions = [registry.get(number) for number in (first, second)]
    one, other = (collect(settings, number) for number in (first, second))
    params = [dict(flatten(found["params"] or {})) for found in (one, other)]
    stages = [{f"outputs/{name}": _hash(found, name) for name in ("raw", "prepared")} for found in (one, other)]
    # On the second's test samples, if the first was judged on them.
    before = registry.comparison(versions[1], versions[0]) or registry.evaluation(versions[0], shown=True)
    doubts = {str(v.number): v.doubt.why for v in versions if v.doubt is not None}
    looked_at = all(registry.trust.lets(version.doubt) for version in versions)  # else git is not asked
    found: dict[str, Any] = {
        "versions": [first, second],
        "unverified": doubts,
        "params": _changed(*params),
        "data": _changed(*stages),
        "sources": _changed(*({s["name"]: s["sha256"] for s in found["sources"]} for found in (one, other))),
        "code": {
            "commits": [one["commit"], other["commit"]],
            "dirty": [one["dirty"], other["dirty"]],
            "files": _files(settings.root, *map(commit_of, versions)) if looked_at else None,
            "lock_differs": one["lock_sha256"] != other["lock_sha256"],
        },
        "weights_differ": one["weights_sha256"] != other["weights_sha256"],
        "metrics": _metrics(before, registry.evaluation(versions[1], shown=True)),
    }
    if images:
        with tempfile.TemporaryDirectory() as scratch:
            target = out or scratch
            found["predictions"] = predict(settings, [str(first), str(second)], images, target, ["parquet"])
        if not out:
            found["predictions"].pop("picture", None)
    return found


def _changed(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    """Key → [first's, second's value]; None where there is none."""
    keys = sorted(one.keys() | other.keys())
    return {key: [one.get(key), other.get(key)] for key in keys if one.get(key) != other.get(key)}


def _hash(found: dict[str, Any], name: str) -> str | None:
    stage = {"raw": "fetch", "prepared": "prepare"}[name]
    return found["stages"].get(stage, {}).get(f"outputs/{name}")


def _files(root: Path, first: str, second: str) -> list[str] | None:
    """Files that differ between two commits; None if git here does not have both."""
    try:
        return names(
            git(root, "diff-tree", "-r", "--name-only", "-z", "--no-renames", "--relative", first, second, "--")
        )
    except GitError:
        return None


def _metrics(before: EvalReport, after: EvalReport) -> dict[str, dict[str, Any]]:
    """Task → primary metric, both values; and the paired relative gain of the second, if both saw the same samples."""
    paired = comparable(after, before)
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(before.tasks.keys() | after.tasks.keys()):
        old, new = before.tasks.get(name), after.tasks.get(name)
        primaries = [task and task.metrics[task.primary] for task in (old, new)]
        row: dict[str, Any] = {
            "metric": (old or new).primary,  # type: ignore[union-attr]  # one of them is there
            "values": [metric and metric.value for metric in primaries],
            "intervals": [metric and [metric.low, metric.high] for metric in primaries],
            "gain": None,
        }
        if paired and old and new and old.primary == new.primary:
            change = gain(new, old)
            ends = change.interval((1 - before.confidence) / 2)
            row |= {"gain": change.point, "gain_interval": list(ends)} if ends else {}
        found[name] = row
    return found


def show(found: dict[str, Any]) -> str:
    """The differences as lines."""
    first, second = found["versions"]
    lines = [f"version {first} → version {second}"]
    lines += [f"version {number} is UNVERIFIED: {why}" for number, why in found["unverified"].items()]
    for title in ("params", "sources", "data"):
        lines.append(f"{title}: {'the same' if not found[title] else ''}")
        lines += [f"  {key}: {' → '.join(_short(a, b))}" for key, (a, b) in found[title].items()]
    code = found["code"]
    files = code["files"]
    unknown = "not looked at: unverified" if found["unverified"] else "a commit is not in this git"
    what = "the same" if files == [] else unknown if files is None else f"{len(files)} files"
    lines.append(f"code: {what}" + (", uncommitted changes" if any(code["dirty"]) else ""))
    lines += [f"  {name}" for name in (files or [])[:30]]
    lines.append("metrics:")
    for name, row in found["metrics"].items():
        values = " → ".join("–" if value is None else f"{value:.4f}" for value in row["values"])
        gain = (
            ""
            if row["gain"] is None
            else f"  {row['gain']:+.2%} [{row['gain_interval'][0]:+.2%}, {row['gain_interval'][1]:+.2%}]"
        )
        lines.append(f"  {name:<12}{row['metric']:<12}{values}{gain}")
    if "predictions" in found:
        lines.append("predictions (mean disagreement, share of images):")
        for name, one in found["predictions"]["tasks"].items():
            lines.append(f"  {name:<12}{one['mean']:.4f}  {one['changed']:.1%}")
        lines.append(f"  pictures: {found['predictions'].get('picture', 'with --out')}")
    return plain("\n".join(lines))


def _short(*values: Any) -> list[str]:
    """Two values that differ; of long ones, what they have from shortly before the first difference on."""
    texts = ["absent" if value is None else str(value) for value in values]
    if max(map(len, texts)) <= LONGEST:
        return texts
    same = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    start = max(0, same - 4)
    starts = [f"{'…' * bool(start)}{text[start:]}" for text in texts]
    return [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in starts]
